"""
What is bound goes into other processes: pickled, it takes along where it was bound.
"""

import asyncio
import copy
import inspect
import json
import multiprocessing
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextvars import Context
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import cloudpickle
import pytest

from instrument import bind, callbacks, current_run, traced
from instrument._ids import span_hex_of
from instrument._relay import homes
from instrument.handlers._shared.spans.told import Told
from instrument.propagation import attach, carrier
from instrument.testing import Recorder

if TYPE_CHECKING:
    from tests.relay import jobs
else:
    jobs = import_module("jobs")

METHODS = multiprocessing.get_all_start_methods()
pytestmark = [
    pytest.mark.wide,
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


def ids_of_child(request: Any) -> dict[str, Any]:
    """
    Give what `jobs.ids` tells below the run *request*.
    """
    return {
        "trace": str(request.trace_id),
        "trace_hex": request.trace_hex,
        "parent": str(request.id),
        "depth": request.depth + 1,
    }


def elsewhere(pickled: bytes) -> Any:
    """
    Unpickle as in another process: nothing of here is known or open there.
    """
    known = homes._frames.copy()
    homes._frames.clear()
    try:
        return Context().run(pickle.loads, pickled)
    finally:
        homes._frames.update(known)


@pytest.mark.parametrize("method", METHODS)
def test_pool_maps_what_is_bound(method: str) -> None:
    """
    ``pool.map(bind(f), ...)`` goes on with the trace and run of where it was bound.
    """
    context = multiprocessing.get_context(method)

    with callbacks(Recorder()), traced("outer"), traced("request") as request:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            mapped = list(pool.map(bind(jobs.ids_of), range(2)))
            alone = pool.submit(bind(jobs.ids)).result()
        with context.Pool(1) as old_pool:
            mapped += old_pool.map(bind(jobs.ids_of), range(2))

    assert [*mapped, alone] == [ids_of_child(request)] * 5


FORMS: dict[str, Callable[[], Any]] = {
    "function": lambda: jobs.ids,
    "method": lambda: jobs.Job().ids,
    "partial": lambda: partial(jobs.ids_of, 1),
    "callable object": jobs.Job,
}


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps], ids=["", "cloud"])
@pytest.mark.parametrize("form", FORMS)
def test_forms_pickle(form: str, dumps: Callable[[Any], bytes]) -> None:
    """
    Whatever can be called and pickled can be bound and pickled, again and again.
    """
    with callbacks(Recorder()), traced("request") as request:
        pickled = dumps(bind(FORMS[form]()))

    arrived = elsewhere(pickled)
    again = elsewhere(dumps(arrived))

    assert Context().run(arrived) == Context().run(again) == ids_of_child(request)


@pytest.mark.parametrize("is_partial", [False, True])
def test_generator_functions_pickle(*, is_partial: bool) -> None:
    """
    Each step of a generator made there is below where its function was bound.
    """
    with callbacks(Recorder()), traced("request") as request:
        bound = bind(jobs.one_step if is_partial else jobs.steps)
        pickled = pickle.dumps(bound)

    def step() -> dict[str, Any]:
        steps: Iterator[Any] = elsewhere(pickled)(*([] if is_partial else [1]))
        (only,) = steps
        return only  # type: ignore[no-any-return]

    assert inspect.isgeneratorfunction(bound)
    assert Context().run(step) == ids_of_child(request)


def test_coroutine_functions_pickle() -> None:
    """
    A coroutine function stays one, bound and unpickled.
    """
    with callbacks(Recorder()), traced("request") as request:
        bound = bind(jobs.ids_later)
        arrived = elsewhere(pickle.dumps(bound))

    for each in (bound, arrived):
        assert inspect.iscoroutinefunction(each)
        assert asyncio.iscoroutinefunction(each)
    assert Context().run(asyncio.run, arrived()) == ids_of_child(request)


def test_lambda_through_cloudpickle() -> None:
    """
    A local function goes by value where that is how functions are pickled.
    """
    with callbacks(Recorder()), traced("request") as request:
        bound = bind(lambda: str(current_run().id))
        with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
            pickle.dumps(bound)
        arrived = elsewhere(cloudpickle.dumps(bound))

    assert Context().run(arrived) == str(request.id)


def test_unpickled_in_the_same_process() -> None:
    """
    In the process that pickled it, it is bound to the very scope: its handlers hear.
    """
    recorder = Recorder()

    with callbacks(recorder), traced("request") as request:
        again = pickle.loads(pickle.dumps(bind(jobs.leaf)))
        Context().run(again)

    assert [run.name for run in recorder.children(request)] == ["leaf"]


def test_pickled_in_a_thread() -> None:
    """
    Bound once more where it was bound to, as in a thread of a request, it is heard below
    the same run, also when that thread is done.
    """
    recorder = Recorder()

    with callbacks(recorder), traced("request") as request:
        pickled = Context().run(bind(lambda: pickle.dumps(bind(jobs.leaf))))
        Context().run(pickle.loads(pickled))

    assert [run.name for run in recorder.children(request)] == ["leaf"]


def test_unpickled_outside_every_block() -> None:
    """
    Bound where no block is, it is heard by those that are installed.
    """
    recorder = Recorder()

    with callbacks(recorder).install():
        pickle.loads(pickle.dumps(bind(jobs.leaf)))()

    assert recorder.tree() == "chain leaf: ok"


@pytest.mark.usefixtures("uncollected")
def test_scope_that_is_gone_is_not_kept() -> None:
    """
    What was pickled keeps no scope alive, and one that is gone is not found.
    """
    known = set(homes._frames)

    with callbacks(Recorder()):
        pickled = pickle.dumps(bind(jobs.caller_id))
        assert len(set(homes._frames) - known) == 1

    assert not set(homes._frames) - known
    assert pickle.loads(pickled)() == str(current_run().id)


def test_bound_reads_as_its_function() -> None:
    """
    A bound function has the name, signature and attributes of its function, binds as a
    method, and a copy is itself.
    """

    class Holder:
        method = bind(lambda self, value=1: (self, value))

    bound = bind(jobs.steps)
    plain: Any = bind(jobs.ids_of)
    holder: Any = Holder()

    assert bound.__name__ == "steps"
    assert inspect.signature(plain) == inspect.signature(jobs.ids_of)
    assert repr(plain) == repr(jobs.ids_of)
    assert plain.__code__ is jobs.ids_of.__code__
    assert copy.copy(plain) is copy.deepcopy(plain) is plain
    assert holder.method(2) == (holder, 2)
    assert callable(Holder.method)
    with pytest.raises(AttributeError):
        plain.nothing


def test_carrier_tells_the_run() -> None:
    """
    A carrier is JSON of less than 1 kB, of version 1, and tells the run in hand, its
    root and its depth; those below `attach` are its children.
    """
    state = ",".join(f"v{at}={'x' * 58}" for at in range(8))
    parent = f"00-{'ab' * 16}-{'cd' * 8}-01"

    came = attach({"traceparent": parent, "tracestate": state})
    with (
        callbacks(Recorder()),
        came,
        traced("outer") as outer,
        traced("inner") as request,
    ):
        carried = carrier()
    text = json.dumps(carried)
    with attach(json.loads(text)), callbacks(Recorder()), traced("below") as below:
        inner = carrier()

    assert len(text) < 1_000
    assert carried["v"] == 1
    assert carried["run"] == str(request.id)
    assert carried["trace"] == [str(outer.id), 1]
    assert (below.parent_id, below.trace_id, below.depth) == (request.id, outer.id, 2)
    assert below.trace_hex == request.trace_hex
    assert inner["run"] == str(below.id)
    assert inner["tracestate"] == state


@pytest.mark.parametrize("version", [2, 0, "1", True, None, [1] * 100_000])
def test_carrier_of_another_version(version: object, reports: list[str]) -> None:
    """
    A carrier of another version is said once to be so, and is as if it were empty.
    """
    with callbacks(Recorder()), traced("request"):
        carried = {**carrier(), "v": version}

    with attach(carried), callbacks(Recorder()), traced("alone") as run:
        assert run.parent_id is None
        assert run.trace_id == run.id

    (report,) = reports
    assert "version 1" in report
    assert len(report) < 2_000


UUID_TEXT = "0199c9a2-7a5b-7c3d-8e9f-0123456789ab"


@pytest.mark.parametrize(
    "hostile",
    [
        {"run": 1, "trace": [UUID_TEXT, 0]},
        {"run": UUID_TEXT},
        {"run": UUID_TEXT, "trace": UUID_TEXT},
        {"run": UUID_TEXT, "trace": [UUID_TEXT]},
        {"run": UUID_TEXT, "trace": [UUID_TEXT, -1]},
        {"run": UUID_TEXT, "trace": [UUID_TEXT, True]},
        {"run": UUID_TEXT, "trace": [UUID_TEXT, 10**9]},
        {"run": UUID_TEXT, "trace": [1, 1]},
        {"run": "x" * 64_000, "trace": ["y", 1]},
    ],
)
def test_malformed_run_is_passed_over(hostile: dict[str, Any]) -> None:
    """
    What is no run and no trace is passed over.
    """
    with attach({"v": 1, **hostile}), callbacks(Recorder()), traced("alone") as run:
        assert run.parent_id is None


def test_span_above_is_that_of_the_caller() -> None:
    """
    To exporters the run in the other process is the span above, and no other unheard
    one is.
    """
    with callbacks(Recorder()), traced("request") as request:
        carried = carrier()
    with attach(carried), callbacks(Recorder()), traced("below") as below:
        told = Told(below, 0, None)
        with traced("deeper") as deeper:
            unheard = Told(deeper, 0, None)

    assert told.parent_hex == span_hex_of(request.id)
    assert told.unheard_parent is None
    assert unheard.parent_hex is None
    assert unheard.unheard_parent == str(below.id)
