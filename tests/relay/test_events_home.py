"""
What happens in worker processes reaches the handlers of the request that sent the work.
"""

import gc
import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, nullcontext
from contextvars import Context
from functools import partial
from importlib import import_module
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from instrument import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    Event,
    bind,
    callbacks,
    traced,
)
from instrument._relay import arrivals, homes
from instrument._relay.sockets import SOCKETS
from instrument._state import PROCESS, get_state, set_state
from instrument.exceptions import BudgetExceeded, RemoteError
from instrument.handlers import (
    BudgetHandler,
    RequestLogger,
    StoreHandler,
    UsageHandler,
    filtered,
)
from instrument.propagation import attach, carrier
from instrument.testing import Recorder

if TYPE_CHECKING:
    from tests.relay import jobs
    from tests.relay.pools import pool_of
else:
    jobs = import_module("jobs")
    pool_of = import_module("pools").pool_of

METHODS = multiprocessing.get_all_start_methods()
pytestmark = [
    pytest.mark.wide,
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


_OF_TIME = ("duration_s", "time_to_first_token_s")


def told(event: Event, names: dict[Any, str]) -> dict[str, Any]:
    """
    Give a record without what differs each time; runs by the order of their starts.
    """
    names.setdefault(event.run_id, f"run {len(names)}")
    return {
        **event.to_dict(),
        "seq": None,
        "time_ns": None,
        "trace_id": names.get(event.trace_id),
        "run_id": names[event.run_id],
        "parent_run_id": names.get(event.parent_run_id),
        "data": {k: v for k, v in event.to_dict()["data"].items() if k not in _OF_TIME},
    }


def told_of(recorder: Recorder) -> list[dict[str, Any]]:
    """
    Give all records so.
    """
    names: dict[Any, str] = {}
    return [told(event, names) for event in recorder.events]


@pytest.mark.parametrize("method", METHODS)
def test_worker_is_heard_as_if_it_were_here(method: str) -> None:
    """
    Whatever a worker's runs tell is told as if they were of this process: each event,
    in order, with the same data, tags and metadata, below the run that sent the work.
    """
    here, home = Recorder(), Recorder()
    with pool_of(1, method) as pool:
        with callbacks(here, tags=["t"], metadata={"user": "ada"}), traced("request"):
            jobs.everything()
        with callbacks(home, tags=["t"], metadata={"user": "ada"}), traced("request"):
            pool.submit(bind(jobs.everything)).result()

    for one, other in zip(told_of(here), told_of(home), strict=True):
        assert one == other
    seqs = [event.seq for event in home.events]
    assert seqs == sorted(seqs)
    assert home.tree() == here.tree()


@pytest.mark.timeout(120)
def test_many_requests_at_once() -> None:
    """
    100 requests of 50 events each, from 4 workers at once, arrive complete and in order,
    each at its own handlers, before its block is left.
    """
    recorders = [Recorder() for _ in range(100)]

    def request(number: int) -> None:
        with callbacks(recorders[number]), traced("request"):
            pool.submit(bind(jobs.fifty_events), f"request {number}").result()

    with pool_of(4) as pool:
        pool.submit(int).result()
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(request, range(100)))

    for number, recorder in enumerate(recorders):
        assert recorder.tree() == "chain request: ok\n  chain fifty_events: ok"
        own = [it for it in recorder.events if it.event == "on_custom_event"]
        assert [it.data["data"] for it in own] == list(range(48))
        assert {it.data["name"] for it in own} == {f"request {number}"}
        assert len(recorder.events) == 52


def test_burst_loses_nothing() -> None:
    """
    A burst of 5,000 pieces loses none, and is told in order.
    """
    tokens: list[str] = []
    ends: list[str] = []

    block = callbacks(
        on_llm_new_token=tokens.append,
        on_llm_end=lambda response: ends.append(response.generations[0][0].text),
    )
    with block, pool_of(1) as pool:
        pool.submit(bind(jobs.drained), 5_000).result()

    assert tokens == [str(number) for number in range(5_000)]
    assert ends == ["".join(tokens)]


@pytest.mark.parametrize("method", METHODS)
def test_live(method: str, tmp_path: Path) -> None:
    """
    A run is heard while it goes on, and has the times that it had there.
    """
    heard = threading.Event()
    recorder = Recorder()
    path = tmp_path / "go on"

    block = callbacks(recorder, on_chain_start=lambda: heard.set())  # noqa: PLW0108
    with block, pool_of(1, method) as pool:
        future = pool.submit(bind(jobs.waits_for), str(path))
        assert heard.wait(30)
        (run,) = recorder.runs
        assert run.status == "running"
        before = run.duration_s
        path.touch()
        future.result()

    assert run.status == "ok"
    assert run.duration_s >= before
    assert recorder.events[-1].data["duration_s"] == run.duration_s
    assert abs(run.started_at - recorder.events[0].time_ns) < 5e9


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_worker(number: int) -> None:
    """
    The open runs of a worker that is killed end as errors, inner before outer, before
    the run that waited for it does.
    """
    recorder = Recorder()

    broken = pytest.raises(BrokenProcessPool)
    with pool_of(1) as pool, broken, callbacks(recorder), traced("request"):
        pool.submit(bind(jobs.killed_in_a_run), number).result()

    ends = [it for it in recorder.events if it.event.endswith("_error")]
    assert [it.name for it in ends] == ["inner", "killed", "outer", "request"]
    assert [it.data["type"] for it in ends] == [
        *["WorkerLost"] * 3,
        "BrokenProcessPool",
    ]
    assert [it.data["origin"] for it in ends] == [True, False, False, True]
    (error,) = {run.error for run in recorder.runs[1:]}
    assert isinstance(error, RemoteError)
    assert error.type == "WorkerLost"
    assert "process" in str(error)
    assert "last words" in [it.data.get("token") for it in recorder.events]


def test_killed_at_once() -> None:
    """
    The first event is on its way before anything else happens there.
    """
    recorder = Recorder()

    broken = pytest.raises(BrokenProcessPool)
    with pool_of(1) as pool, broken, callbacks(recorder), traced("request"):
        pool.submit(bind(jobs.killed_at_once)).result()

    tree = recorder.tree().splitlines()
    assert tree[1] == "  chain killed_at_once: error WorkerLost"


def test_error_is_the_same_on_its_way() -> None:
    """
    An error has one origin, there: neither the runs that it comes through there nor
    those here are another.
    """
    recorder = Recorder()

    unlucky = pytest.raises(ValueError, match="no luck")
    with unlucky, callbacks(recorder), traced("request"), pool_of(1) as pool:
        pool.submit(bind(jobs.passes_on), "luck").result()

    errors = [run.error for run in recorder.runs]
    assert [type(error) for error in errors] == [ValueError] * 3
    assert errors[1] is errors[2]
    assert [run.error_origin for run in recorder.runs] == [False, False, True]
    ends = [it.data for it in recorder.events[-3:]]
    assert [jobs.__file__ in it.get("traceback", "") for it in ends] == [
        True,
        False,
        False,
    ]
    assert ends[0]["traceback"].rstrip().endswith("ValueError: no luck")


def test_log_has_the_traceback_of_there(reports: list[str]) -> None:
    """
    A log tells where an error of a worker was raised there, and by what name.
    """
    failed = pytest.raises(jobs.OwnError)
    with failed, callbacks(RequestLogger()), pool_of(1) as pool:
        pool.submit(bind(jobs.fails_in_its_own_way)).result()

    lines = reports[-1].splitlines()
    there = lines[lines.index("In the process where it was raised:") :]
    assert lines[1].startswith("OwnError: mine")
    assert there[1] == "Traceback (most recent call last):"
    assert any(jobs.__file__ in line for line in there)
    assert there[-1] == "jobs.OwnError: mine"


def test_log_masks_what_a_traceback_of_there_says_in_lines(
    reports: list[str],
) -> None:
    """
    In the traceback of there a log masks what stands in another line than its name.
    """
    with callbacks(RequestLogger()), pool_of(1) as pool:
        future = pool.submit(bind(jobs.refuse_in_lines), "enigma1940")
        assert type(future.exception()) is LookupError

    lines = reports[-1].splitlines()
    there = lines[lines.index("In the process where it was raised:") :]
    assert there[-1] == "LookupError: password = [redacted]"
    assert "enigma1940" not in reports[-1]


@pytest.mark.parametrize("method", METHODS)
def test_hops(method: str) -> None:
    """
    What a worker's own pool does comes home as well, hop by hop, below the right runs.
    """
    recorder = Recorder()

    with callbacks(recorder), traced("request"), pool_of(1, method) as pool:
        assert pool.submit(bind(jobs.hop), method, 2).result() == "bottom"

    chain = ["chain request: ok", *[f"{'  ' * at}chain hop: ok" for at in (1, 2, 3)]]
    assert recorder.tree().splitlines() == chain
    assert [run.depth for run in recorder.runs] == [0, 1, 2, 3]
    assert len({run.trace_id for run in recorder.runs}) == 1
    events = [it.event for it in recorder.events]
    starts = ["on_chain_start"] * 4
    assert events == [*starts, "on_custom_event", *["on_chain_end"] * 4]


def test_budget_of_calls_holds_across_workers() -> None:
    """
    A budget is kept exactly: a call that it refuses does not run there, however many
    workers call at once.
    """
    budget = BudgetHandler(max_calls=5)
    usage = UsageHandler()

    with callbacks(budget, usage), pool_of(3) as pool:
        ends = list(pool.map(bind(jobs.calls), [3, 3, 3]))
        spent = budget.spent()

    flat = [end for each in ends for end in each]
    bodies = sum(int(end.split()[0]) for end in flat if end.endswith("bodies"))
    refused = [end for end in flat if end.startswith("BudgetExceeded")]
    assert flat.count("ok") == bodies == 5
    assert len(refused) == 4
    assert all("max_calls=5" in each for each in refused)
    assert (spent.calls, spent.tokens) == (5, 25)
    assert usage.total.calls == 5 + 4


def test_refusal_is_one_error() -> None:
    """
    What a budget refuses there is one error, also of the runs that it comes through.
    """
    recorder = Recorder()
    budget = BudgetHandler(tools=["other"])

    block = callbacks(recorder, budget)
    with pytest.raises(BudgetExceeded) as raised, block, pool_of(1) as pool:
        pool.submit(bind(jobs.work), 1).result()

    (tool,), (work,) = recorder.find("tool"), recorder.find("work")
    assert tool.error is work.error
    assert [run.error_origin for run in (tool, work)] == [True, False]
    assert str(raised.value) == str(tool.error)
    assert (raised.value.limit, raised.value.value) == ("tools", "tool")


def test_usage_adds_up() -> None:
    """
    What a request used in its workers is what it used.
    """
    usage, other = UsageHandler(), UsageHandler()

    with pool_of(3) as pool, callbacks(usage), callbacks(other):
        list(pool.map(bind(jobs.calls), [7] * 3))

    for each in (usage, other):
        total = each.total
        assert (total.calls, total.input_tokens, total.output_tokens) == (21, 42, 63)
        assert total.cost_usd == 21 * 0.25


class Stops(BaseCallbackHandler):
    """
    Stops a call at one event.
    """

    raise_error = True

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        raise OSError(5, "enough")


def test_what_an_end_refuses_stops_the_next_call() -> None:
    """
    What a handler refuses at an end stops the worker's next call.
    """
    with callbacks(Stops()), pool_of(1) as pool:
        ends = pool.submit(bind(jobs.calls), 2).result()

    assert ends == ["ok", "OSError: [Errno 5] enough", "1 bodies"]


def test_slow_handler_slows_the_worker() -> None:
    """
    A slow handler is waited for: all is told, in order, before the result is there.
    """
    tokens: list[str] = []

    def slow(token: str) -> None:
        threading.Event().wait(0.002)
        tokens.append(token)

    with pool_of(1) as pool, callbacks(on_llm_new_token=slow):
        pool.submit(bind(jobs.drained), 200).result()
        known = len(tokens)

    assert known == len(tokens) == 200


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_async_handlers(anyio_backend: str) -> None:
    """
    Async handlers hear on their own loop, in order, before the block is left.
    """
    heard: list[tuple[str, bool]] = []
    here = threading.get_ident()

    class Handler(AsyncCallbackHandler):
        async def on_event(self, event: Event, **kwargs: Any) -> None:
            heard.append((event.event, threading.get_ident() == here))

    with pool_of(1) as pool:
        async with callbacks(Handler()):
            bound = bind(jobs.fifty_events)
            await anyio.to_thread.run_sync(lambda: pool.submit(bound, "x").result())

    names = [name for name, _ in heard]
    assert names == ["on_chain_start", *["on_custom_event"] * 48, "on_chain_end"]
    if anyio_backend == "asyncio":
        assert all(is_here for _, is_here in heard)


@pytest.mark.parametrize("method", METHODS)
def test_where_handlers_work(method: str) -> None:
    """
    One that forwards hears here; a local one in each process where it is installed, by
    itself or inherited; one to drop nowhere; none twice.
    """
    context = multiprocessing.get_context(method)

    jobs_here = jobs.SAID
    for said in jobs_here.values():
        said.heard.clear()
    with callbacks(*jobs_here.values()).install(), traced("request"):
        initializer = None if method == "fork" else jobs.install_all
        with ProcessPoolExecutor(1, context, initializer) as pool:
            (there,) = pool.map(bind(jobs.heard_here), [1])
    here = {remote: said.heard[1:] for remote, said in jobs_here.items()}

    assert there == {"forward": [], "local": ["leaf"], "drop": []}
    assert here == {"forward": ["leaf"], "local": [], "drop": []}


@pytest.mark.parametrize("method", METHODS)
def test_where_a_blocks_handlers_work(method: str) -> None:
    """
    A block's handler hears here, a local one too: no other process has it.
    """
    one, other = jobs.Said("local"), jobs.Said("drop")

    with callbacks(filtered(one, names="leaf"), other), pool_of(1, method) as pool:
        (there,) = pool.map(bind(jobs.heard_here), [1])

    assert one.heard == ["leaf"]
    assert other.heard == []
    assert there == {"forward": [], "local": [], "drop": []}


@pytest.mark.parametrize("method", METHODS)
def test_where_handlers_work_below_a_worker(method: str) -> None:
    """
    A local one that is installed in a worker hears nothing of what a pool of that
    worker's own does: it is installed there too.
    """
    context = multiprocessing.get_context(method)
    initializer = None if method == "fork" else jobs.install_all

    pool = ProcessPoolExecutor(1, context, initializer)
    with callbacks(*jobs.SAID.values()).install(), traced("request"), pool:
        here, there = pool.submit(bind(jobs.heard_below), method).result()

    assert here == {"forward": [], "local": [], "drop": []}
    assert there == {"forward": [], "local": ["leaf"], "drop": []}


@pytest.mark.parametrize("way", ["block", "constructor"])
@pytest.mark.parametrize("remote", ["forward", "local", "drop"])
@pytest.mark.parametrize("method", METHODS)
def test_handlers_made_in_a_worker(method: str, remote: str, way: str) -> None:
    """
    Who is made in a worker, around what is bound, hears it there, as the request does
    here.
    """
    recorder = Recorder()

    with callbacks(recorder), pool_of(1, method) as pool:
        bound = bind(jobs.leaf)
        there = pool.submit(jobs.heard_around, remote, way, bound).result()

    assert there == ["leaf"]
    assert [run.name for run in recorder.runs] == ["leaf"]


@pytest.mark.parametrize("way", ["block", "outer", "run", "inner", "installed"])
@pytest.mark.parametrize("remote", ["forward", "local", "drop"])
def test_who_hears_where_all_is_in_one_process(remote: str, way: str) -> None:
    """
    Work that goes on where the request's own blocks are open is heard once by each.
    """
    said, other = jobs.Said(remote), Recorder()

    def given(*ways: str) -> Any:
        return callbacks(said) if way in ways else nullcontext()

    def request() -> None:
        carried = carrier()
        with given("inner"), attach(carried):
            jobs.leaf()

    constructor: Any = [said] if way == "run" else []
    installed = callbacks(said).install() if way == "installed" else nullcontext()
    with installed, given("outer"), callbacks(other), given("block"):
        traced("request", callbacks=constructor)(request)()

    assert [name for name in said.heard if name != "request"] == ["leaf"]
    assert other.tree() == "chain request: ok\n  chain leaf: ok"


ELSEWHERE = """if True:
    import json, sys
    sys.path.insert(0, {folder!r})
    import jobs
    from instrument import callbacks
    from instrument.propagation import attach
    jobs.install_all()
    with attach(json.loads(sys.stdin.read())):
        jobs.leaf()
    print([name for name in jobs.SAID if jobs.SAID[name].heard])
"""


def test_process_of_somebody_else() -> None:
    """
    In a process that was not made by who sent the work, as a queue's worker, all hear
    that are installed there, and events come home as well.
    """
    recorder = Recorder()
    code = ELSEWHERE.format(folder=str(Path(jobs.__file__).parent))

    with callbacks(recorder), traced("request"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps(carrier()),
            capture_output=True,
            text=True,
            check=True,
        )

    assert done.stdout.strip() == "['forward', 'local', 'drop']"
    assert recorder.tree() == "chain request: ok\n  chain leaf: ok"


def test_local_ones_hear_their_share() -> None:
    """
    A local handler that hears a share there hears the requests that its twin here does.
    """
    heard = []
    for _ in range(20):
        said = jobs.Said("local")
        block = callbacks(said, sample=0.5)
        with callbacks(Recorder()), traced("request"):
            carried = carrier()

        def there(carried: Any, block: Any) -> None:
            with block.install(), attach(carried):
                jobs.leaf()

        Context().run(there, carried, block)
        heard.append((bool(said.heard), carried["draw"] < 0.5))

    assert all(is_heard is is_drawn for is_heard, is_drawn in heard)
    assert len(set(heard)) == 2


@pytest.mark.parametrize("method", METHODS)
def test_local_store_in_a_worker(method: str, tmp_path: Path) -> None:
    """
    An installed store has what each worker did, below the run that sent it, when the
    pool is closed.
    """
    store = StoreHandler(tmp_path / "traces.db")
    context = multiprocessing.get_context(method)
    initializer: Any = None if method == "fork" else jobs.install_store

    with callbacks(store).install(), traced("request") as request:
        given: Any = (tmp_path / "traces.db",) if initializer else ()
        with ProcessPoolExecutor(1, context, initializer, given) as pool:
            list(pool.map(bind(jobs.heard_here), range(2)))
    store.drain()

    with closing(sqlite3.connect(tmp_path / "traces.db")) as kept:
        rows = kept.execute("SELECT name, parent_run_id FROM runs").fetchall()
    leaf = ("leaf", str(request.id))
    assert sorted(rows) == sorted([leaf, leaf, ("request", None)])


@pytest.mark.parametrize("method", METHODS)
def test_what_is_masked_is_masked_there(method: str, tmp_path: Path) -> None:
    """
    What the request's block masks by name, a store of the worker's own does not see.
    """
    path = tmp_path / "traces.db"
    context = multiprocessing.get_context(method)
    pool = ProcessPoolExecutor(1, context, jobs.install_store, (path,))

    with pool, callbacks(redact=["password"]), traced("request"):
        pool.submit(bind(jobs.sign_in), "ada", "hunter2").result()

    with closing(sqlite3.connect(path)) as kept:
        (data, *_) = kept.execute("SELECT data FROM events ORDER BY id").fetchone()
    assert json.loads(data) == {"inputs": {"user": "ada", "password": "[redacted]"}}


def test_async_code_in_a_worker() -> None:
    """
    Async code in a worker is heard, of `asyncio.run` there and of a bound coroutine
    function.
    """
    recorder = Recorder()

    with callbacks(recorder), pool_of(1) as pool:
        pool.submit(bind(jobs.run_later)).result()

    assert recorder.tree() == "chain later: ok"


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_attach_in_async_code(anyio_backend: str) -> None:
    """
    ``async with attach(...)`` leaves when all has been told.
    """
    recorder = Recorder()
    with callbacks(recorder), traced("request"):
        carried = carrier()

        async def there() -> None:
            async with attach(carried) as scope:
                async with traced("later"):
                    await anyio.lowlevel.checkpoint()
                relay: Any = scope.options.listeners[-1].handler
            await relay.aflush()  # there is nothing more to tell

        await elsewhere(there)

    assert recorder.tree() == "chain request: ok\n  chain later: ok"


async def elsewhere(act: Any) -> None:
    """
    Await *act* where nothing of here is open.
    """
    state = get_state()
    set_state(PROCESS)
    try:
        await act()
    finally:
        set_state(state)


def test_block_waits_for_what_goes_on(tmp_path: Path) -> None:
    """
    A block is left when the calls that have begun have ended.
    """
    recorder, begun = Recorder(), threading.Event()
    path = tmp_path / "go on"

    with pool_of(1) as pool:
        with callbacks(recorder, on_chain_start=lambda: begun.set()):  # noqa: PLW0108
            pool.submit(bind(jobs.waits_for), str(path))
            assert begun.wait(30)
            threading.Timer(0.1, path.touch).start()
        assert recorder.tree() == "chain waits: ok"


class Later(AsyncCallbackHandler):
    """
    Keeps what it hears, a little later.
    """

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.heard: list[str] = []

    async def on_event(self, event: Event, **kwargs: Any) -> None:
        self.begun.set()
        await anyio.sleep(0.01)
        self.heard.append(event.event)


def test_block_waits_for_async_handlers(tmp_path: Path) -> None:
    """
    So has an async handler heard it all when a sync block is left.
    """
    later, path = Later(), tmp_path / "go on"

    with pool_of(1) as pool:
        with callbacks(later):
            pool.submit(bind(jobs.waits_for), str(path))
            assert later.begun.wait(30)
            threading.Timer(0.1, path.touch).start()
        assert later.heard == ["on_chain_start", "on_chain_end"]


async def test_async_block_waits_for_async_handlers(tmp_path: Path) -> None:
    """
    Likewise when an async block is left; where all has been told it waits for nothing.
    """
    later, path = Later(), tmp_path / "go on"

    with pool_of(1) as pool:
        async with callbacks(later):
            future = pool.submit(bind(jobs.waits_for), str(path))
            while not later.heard:  # noqa: ASYNC110
                await anyio.sleep(0.001)
            threading.Timer(0.1, path.touch).start()
        assert later.heard == ["on_chain_start", "on_chain_end"]
        future.result()
        async with callbacks(later):
            await anyio.to_thread.run_sync(pool.submit(bind(jobs.leaf)).result)
            while arrivals._calls:  # noqa: ASYNC110
                await anyio.sleep(0.001)
        assert len(later.heard) == 4


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_block_gives_up(
    anyio_backend: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reports: list[str],
) -> None:
    """
    It waits for no call that tells nothing for long; what that tells later is heard.
    """
    monkeypatch.setattr(arrivals, "QUIET_S", 0.1)
    recorder, begun = Recorder(), threading.Event()
    path = tmp_path / "go on"

    with pool_of(1) as pool:
        async with callbacks(recorder, on_chain_start=lambda: begun.set()):  # noqa: PLW0108
            future = pool.submit(bind(jobs.waits_for), str(path))
            assert begun.wait(30)
        assert recorder.tree() == "chain waits: running"
        path.touch()
        future.result()

    assert recorder.tree() == "chain waits: ok"
    assert len(reports) == 1
    assert "go on" in reports[0]


def test_fork_in_a_threaded_parent() -> None:
    """
    A pool that is forked while others are served serves as well as they.
    """
    recorder = Recorder()

    def request(_: int) -> None:
        with pool_of(1) as pool:
            pool.submit(bound, "x").result()

    with callbacks(recorder), traced("request"):
        bound = bind(jobs.fifty_events)
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(request, range(8)))

    assert len(recorder.find("fifty_events")) == 8
    assert len(recorder.events) == 8 * 50 + 2


@pytest.mark.parametrize("method", METHODS)
def test_process_of_its_own(method: str) -> None:
    """
    ``Process(target=bind(f))`` is heard, also where it is forked and nothing pickled; a
    method and a partial too.
    """
    recorder = Recorder()
    context: Any = multiprocessing.get_context(method)
    targets = [jobs.leaf, jobs.Job().leaf, partial(jobs.fifty_events, "x")]

    with callbacks(recorder), traced("request") as request:
        for target in targets:
            process = context.Process(target=bind(target))
            process.start()
            process.join()
            assert process.exitcode == 0

    names = [run.name for run in recorder.children(request)]
    assert names == ["leaf", "leaf", "fifty_events"]
    assert len(recorder.events) == 2 + 2 + 2 + 50


def test_fork_that_cannot_be_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where nothing can listen a fork goes on, and what is bound is done in the child.
    """

    def refused() -> None:
        raise OSError(24, "too many open files")

    monkeypatch.setattr(SOCKETS, "address", refused)
    with callbacks(Recorder()):
        bound = bind(jobs.leaf)
        child = os.fork()
        if child == 0:
            bound()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_fork_inside_a_call() -> None:
    """
    A child that a worker forks in a run is no part of its call: what it tells is not
    heard, and it waits for nothing.
    """
    recorder = Recorder()

    with callbacks(recorder), pool_of(1) as pool:
        assert pool.submit(bind(jobs.forks_in_a_run)).result() == 7

    assert recorder.tree() == "chain parent: ok"


def test_connections_are_used_again() -> None:
    """
    A worker has one connection and one thread for all its calls, one behind the other.
    """
    before = {*threading.enumerate()}
    with callbacks(Recorder()), pool_of(1) as pool:
        bound = bind(jobs.threads_here)
        list(pool.map(bound, range(20)))
        there = pool.submit(bound, 1).result()
        begun = {*threading.enumerate()} - before
        here = [it.name for it in begun if "relay line" in it.name]

    assert there == ["instrument relay outbox"]
    assert len(here) == 1


def test_nothing_is_left() -> None:
    """
    When pools are closed no thread, descriptor, call or scope is left of them but the
    one listener; nor is a block kept that was left.
    """

    def request() -> None:
        with callbacks(Recorder()), traced("request"), pool_of(2) as pool:
            list(pool.map(bind(jobs.work), range(4)))

    def left() -> tuple[set[threading.Thread], int, int, int]:
        gc.collect()
        descriptors = len([*Path("/proc/self/fd").iterdir()])
        known = len(homes._frames)
        return {*threading.enumerate()}, descriptors, len(arrivals._calls), known

    request()
    last = monotonic() + 10
    threads, descriptors, _, known = left()
    for _ in range(3):
        request()
    while left() != (threads, descriptors, 0, known) and monotonic() < last:
        now = left()
        threads, descriptors = threads & now[0], min(descriptors, now[1])
        known = min(known, now[3])

    assert left() == (threads, descriptors, 0, known)
    assert len([it for it in threads if it.name == "instrument relay"]) == 1


EXITS = """if True:
    import multiprocessing, os, sys, threading, time
    sys.path.insert(0, {folder!r})
    import jobs
    from instrument import bind, callbacks, traced
    from instrument.testing import Recorder
    if __name__ == "__main__":
        heard = threading.Event()
        with callbacks(Recorder(), on_chain_start=lambda: heard.set()):
            context = multiprocessing.get_context({method!r})
            bound = bind(jobs.writes)
            pool = context.Pool(1)
            pool.apply_async(bound, ({path!r}, "written"))
            heard.wait(30)
            print(multiprocessing.active_children()[0].pid, flush=True)
            os._exit(3)
"""


def test_parent_exits_early(tmp_path: Path) -> None:
    """
    A worker whose parent is gone does its work to the end all the same.
    """
    path = tmp_path / "file"
    folder = str(Path(jobs.__file__).parent)
    code = EXITS.format(folder=folder, method="fork", path=str(path))

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )

    assert done.returncode == 3, done.stderr
    last = monotonic() + 20
    while not path.exists() and monotonic() < last:
        threading.Event().wait(0.01)
    assert path.read_text() == "written"


def test_nobody_is_asked_where_nobody_hears() -> None:
    """
    Where nobody hears, nothing listens, and a carrier holds no address.
    """
    code = """if True:
        import threading
        from instrument import bind, callbacks, traced
        from instrument.propagation import carrier
        import pickle
        with callbacks(tags=["t"]), traced("request"):
            assert "return" not in carrier()
            pickle.dumps(bind(print))
        assert threading.active_count() == 1
    """
    subprocess.run([sys.executable, "-c", code], check=True)


def test_block_that_carriers_were_made_in() -> None:
    """
    That a block waits for calls makes nobody hear there: where no other does, no carrier
    has an address.
    """
    with callbacks(jobs.Said("drop")):
        with callbacks(Recorder()):
            assert "return" in carrier()
        assert "return" not in carrier()


def test_capture_goes_along() -> None:
    """
    What is not to be captured here is not captured there; nor is plumbing told.
    """
    local = jobs.Said("local")
    with callbacks(Recorder(), capture=False, plumbing=False), traced("request"):
        carried = carrier()

    with callbacks(local), attach(carried) as scope:
        audience = scope.settle()

    assert (carried["capture"], carried["plumbing"]) == (False, False)
    assert (audience.capture, audience.plumbing) == (False, False)


def test_redaction_of_the_block() -> None:
    """
    What a block hides is hidden from its handlers in what comes home as well.
    """
    recorder = Recorder()

    with callbacks(recorder, redact=["query", "found"]), pool_of(1) as pool:
        pool.submit(bind(jobs.work), 1).result()
    (tool,) = recorder.find("tool")

    assert tool.inputs == {"query": "[redacted]"}
    assert tool.outputs == {"found": "[redacted]"}
    ends = [it.to_json() for it in recorder.events if it.event.startswith("on_tool")]
    assert "query 1" not in "".join(ends)


@pytest.mark.parametrize(
    "options",
    [
        {"redact": ["tool_calls"]},
        {"redact": ["files"]},
        {"redact": ["arguments"]},
        {"capture": False},
        {},
    ],
    ids=str,
)
def test_answer_of_which_parts_are_hidden(
    options: dict[str, Any], reports: list[str]
) -> None:
    """
    A model's run in a worker ends as here, whatever of its calls and files is hidden.
    """
    ends = []

    for is_there in (False, True):
        recorder = Recorder()
        with callbacks(recorder, **options), pool_of(1) as pool:
            if is_there:
                pool.submit(bind(jobs.answer_in_parts), []).result()
            else:
                jobs.answer_in_parts([])
        assert len(recorder.events) == 2
        end = told(recorder.events[-1], {})["data"]
        ends.append({name: it for name, it in end.items() if it is not None})

    assert ends[0] == ends[1]
    assert reports == []


WAYS = ["itself", "cause", "group", "arguments", "neither"]


@pytest.mark.parametrize("way", WAYS)
def test_function_hides_what_an_error_holds_there(way: str) -> None:
    """
    What a function hides of an error raised in a worker, by a name in it, is not in its
    message either, nor in a traceback; of another error both are told.
    """
    recorder = Recorder()

    def masked(value: Any, path: Any) -> Any:
        return "***" if path[-1] == "password" else value

    with callbacks(recorder, redact=masked), pool_of(1) as pool:
        future = pool.submit(bind(jobs.refuse), "enigma1940", way=way)
        assert future.exception() is not None
    end = recorder.events[-1]

    assert "enigma1940" not in end.to_json()
    assert end.data["type"] == type(future.exception()).__name__
    assert end.data["message"] in ("no user", "[redacted]")
    assert (end.data["message"] == "no user") is (way in ("cause", "neither"))
    if way == "neither":
        assert end.data["traceback"].endswith("LookupError: no user\n")


@pytest.mark.parametrize("is_there", [False, True])
def test_function_hides_what_errors_in_payloads_hold(*, is_there: bool) -> None:
    """
    What a function hides in an error that is told of, or with which an attempt failed,
    is not among what it was made of either; of a worker as of here.
    """
    recorder = Recorder()

    def masked(value: Any, path: Any) -> Any:
        return "***" if path[-1] == "password" else value

    with callbacks(recorder, redact=masked), pool_of(1) as pool:
        if is_there:
            pool.submit(bind(jobs.tell_of_errors), "enigma1940").result()
        else:
            jobs.tell_of_errors("enigma1940")
    told, retry = [it.data for it in recorder.events[1:3]]

    assert told["data"][0] == {
        "type": "LoginError",
        "args": "[redacted]",
        "password": "***",
    }
    assert retry == {"attempt": 2, "type": "LoginError", "message": "[redacted]"}
    assert "enigma1940" not in "".join(it.to_json() for it in recorder.events)


@pytest.mark.parametrize("is_there", [False, True])
def test_function_is_shown_no_more_than_a_repr_shows(*, is_there: bool) -> None:
    """
    What the ``repr`` of a worker's object does not show does not come home either, where
    its fields are told for a function that masks by name.
    """
    recorder = Recorder()

    def masked(value: Any, path: Any) -> Any:
        return "***" if path[-1] == "user" and is_there else value

    with callbacks(recorder, redact=masked), pool_of(1) as pool:
        if is_there:
            pool.submit(bind(jobs.tell_of_objects), "enigma1940").result()
        else:
            jobs.tell_of_objects("enigma1940")
    start, told, _ = recorder.events

    assert start.data["inputs"] == {"key": "enigma1940"}
    assert "enigma1940" not in told.to_json()
    if is_there:
        account = {"type": "Account", "user": "***", "key": "[redacted]", "visits": 3}
        assert told.data["data"] == {
            "account": {**account, "friend": "[redacted]"},
            "plain": {"type": "Plain", "key": "[redacted]"},
        }
