"""
What a worker tells is told on only as far as it makes sense, whatever it is.
"""

import json
import os
import pickle
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from instrument import (
    BaseCallbackHandler,
    _report,
    bind,
    callbacks,
    current_run,
    traced,
)
from instrument._relay import arrivals, mirror, outbox
from instrument._relay.errors import remade, written
from instrument._relay.relay import reached
from instrument._relay.sockets import SOCKETS
from instrument.exceptions import BudgetExceeded, RemoteError
from instrument.propagation import attach, carrier
from instrument.testing import Recorder

if TYPE_CHECKING:
    from tests.relay import jobs
else:
    jobs = import_module("jobs")

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def said_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Have nothing been reported yet: what is ours is told once a process.
    """
    monkeypatch.setattr(_report, "_counts", {})


def until(holds: Callable[[], object]) -> None:
    """
    Wait until something holds, 5 s at most.
    """
    last = monotonic() + 5
    while not holds():
        assert monotonic() < last
        threading.Event().wait(0.001)


class Worker:
    """
    Speaks as a worker's process does, by hand.
    """

    def __init__(self, carried: dict[str, Any]) -> None:
        self.id = carried["id"]
        self.line: Any = SOCKETS.open(carried["return"])
        self.sent = 0

    def ask(self, told: Any) -> Any:
        """
        Send a frame; give the answer.
        """
        self.line.send(told if type(told) is bytes else json.dumps(told).encode())
        return json.loads(self.line.receive(5))

    def begin(self, **more: Any) -> Any:
        """
        Begin a call.
        """
        return self.ask({"v": 1, "open": self.id, "pid": 1, **more})

    def tell(self, *events: Any) -> Any:
        """
        Tell events.
        """
        first, self.sent = self.sent, self.sent + len(events)
        return self.ask({"first": first, "events": events})


@contextmanager
def worker() -> Iterator[tuple[Worker, Recorder]]:
    """
    Give a worker of a request, in which nothing has been told yet.
    """
    recorder = Recorder()
    with callbacks(recorder):
        made = Worker(carrier())
        try:
            yield made, recorder
        finally:
            made.line.close()
            until(lambda: not arrivals._calls)


def record(event: str = "on_chain_start", **fields: Any) -> dict[str, Any]:
    """
    Give a record as it is sent.
    """
    id = str(fields.pop("run_id", uuid4()))
    return {
        "event": {
            "v": 1,
            "event": event,
            "seq": 1,
            "time_ns": 1_800_000_000_000_000_000,
            "trace_id": id,
            "run_id": id,
            "parent_run_id": None,
            "kind": "chain",
            "name": "job",
            "tags": [],
            "metadata": {},
            "data": {"inputs": {}},
            **fields,
        }
    }


def end_of(id: UUID, **data: Any) -> dict[str, Any]:
    """
    Give the record of an end.
    """
    told = {"outputs": 1, "usage": {}, "status": "ok", "duration_s": 2.0, **data}
    return record("on_chain_end", run_id=id, data=told)


@pytest.mark.parametrize(
    "told",
    [
        1,
        {},
        {"event": 1},
        {"token": []},
        {"token": [[], 1, "x", "text"]},
        {"event": {"v": 1}},
        {"event": {**record()["event"], "v": 2}},
        {"event": {**record()["event"], "run_id": "x"}},
        record("on_nothing_start"),
        record("__init__"),
        record(tags=[1, {"a": 2}], kind=1),
        record(data={"inputs": {}}, metadata=[1]),
    ],
)
def test_event_that_is_none(told: Any, reports: list[str]) -> None:
    """
    What is no event is said once not to be one, and what is behind it is told.
    """
    with worker() as (there, recorder):
        there.begin()
        there.tell(told, told, record(name="good"))

        assert [run.name for run in recorder.runs] == ["good"]
    assert len(reports) == 1


@pytest.mark.parametrize(
    "frame",
    [b"", b"{", b"[]", b"\xff", b'{"first":0}', b'{"end":"x"}', b'{"first":[]}'],
)
def test_frame_that_is_none(frame: bytes, reports: list[str]) -> None:
    """
    A frame that makes no sense ends the connection, and the runs that it told of.
    """
    with worker() as (there, recorder):
        there.begin()
        there.tell(record())
        there.line.send(frame)

        with pytest.raises(OSError):
            there.line.receive(5)
        until(lambda: not arrivals._calls)
        assert recorder.tree() == "chain job: error WorkerLost"
        until(lambda: reports)
    assert len(reports) == 1


@pytest.mark.parametrize(
    "hello",
    [
        {"v": 1, "open": "ab" * 16},
        {"v": 1, "open": 1},
        {"v": 1},
        {"v": 2},
        {"v": 2, "open": None},
    ],
)
def test_call_that_nobody_sent(hello: dict[str, Any]) -> None:
    """
    A call of a scope that is not here, or in another version, is refused; the line stays.
    """
    with worker() as (there, _):
        assert there.ask(hello) == {"gone": True}
        assert there.ask(hello) == {"gone": True}
        assert there.begin()["ok"] is True


def test_flood_of_open_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    No more runs are open at once than may be, nor one twice; others are passed over.
    """
    monkeypatch.setattr(mirror, "MOST_OPEN", 3)
    first = uuid4()

    with worker() as (there, recorder):
        there.begin()
        there.tell(record(run_id=first), record(run_id=first))
        there.tell(*[record() for _ in range(10)])
        assert len(recorder.runs) == 3
        there.tell(end_of(first), end_of(first), record())
        assert len(recorder.runs) == 4


def test_failures_below_what_is_not_here() -> None:
    """
    What failed is kept for the run above it, where that is here; of others nothing is.
    """
    error = {"type": "X", "message": "", "origin": True, "status": "error"}
    above, below = uuid4(), [(uuid4(), uuid4()) for _ in range(10)]

    with worker() as (there, recorder):
        there.begin()
        there.tell(record(run_id=above))
        for id, parent in [*below, (uuid4(), above)]:
            told: dict[str, Any] = {"run_id": id, "parent_run_id": str(parent)}
            data = {**error, "duration_s": 1.0}
            there.tell(record(**told), record("on_chain_error", data=data, **told))
        (call,) = arrivals._calls.values()
        kept = list(call._mirrors._errors)

        assert kept == [above]
    assert len(recorder.runs) == 12


def test_events_of_no_run() -> None:
    """
    What is told of a run that is not open is told to nobody.
    """
    with worker() as (there, recorder):
        there.begin()
        error = {"type": "X", "message": "", "origin": True, "status": "error"}
        there.tell(
            end_of(uuid4()),
            record("on_chain_error", data={**error, "duration_s": 1.0}),
            {"token": [str(uuid4()), 1, "x", "text"]},
            record("on_text", data={"text": "x"}),
            record("on_retry", data={"attempt": 1}),
        )

        assert recorder.events == []


def test_lost_ones_are_counted(reports: list[str]) -> None:
    """
    At the end it is said how many were lost, and what is still open is abandoned.
    """
    with worker() as (there, recorder):
        there.begin()
        there.ask({"first": 0, "events": [record()]})
        there.ask({"first": 3, "events": [record("on_text", data={"text": "x"})]})
        there.ask({"end": 6, "dropped": 4})

        assert recorder.tree() == "chain job: abandoned"
    assert len(reports) == 1
    assert "8 events" in reports[0]


def test_times_are_those_of_the_worker() -> None:
    """
    A run here has the times that it had there.
    """
    id = uuid4()

    with worker() as (there, recorder):
        there.begin()
        there.tell({**record(run_id=id), "more": {"started_at": 5}})
        there.tell(end_of(id, duration_s=3.25, time_to_first_token_s=0.5))
    (run,) = recorder.runs

    assert (run.started_at, run.duration_s, run.time_to_first_token_s) == (5, 3.25, 0.5)


def test_parent_that_nobody_heard_of() -> None:
    """
    A run keeps the parent that it had there, also where that was not told.
    """
    parent = str(uuid4())
    recorder = Recorder()

    with callbacks(recorder), traced("request") as request:
        there = Worker(carrier())
        there.begin()
        there.tell(record(parent_run_id=parent))
        there.line.close()
        until(lambda: not arrivals._calls)
    with worker() as (alone, other):
        alone.begin()
        alone.tell(record(parent_run_id=parent))

    assert str(recorder.runs[1].parent_id) == str(other.runs[0].parent_id) == parent
    assert recorder.runs[1].trace_id == request.id
    assert other.runs[0].trace_id == other.runs[0].id


def test_event_of_the_sender() -> None:
    """
    What is emitted there outside every run is of the run that sent the work; without
    one it is of none.
    """
    recorder = Recorder()
    fields = {"name": "progress", "data": 1}

    with callbacks(recorder), traced("request") as request:
        there = Worker(carrier())
        there.begin()
        there.tell(record("on_custom_event", run_id=request.id, data=fields))
        there.line.close()
        until(lambda: not arrivals._calls)
    with worker() as (alone, other):
        alone.begin()
        alone.tell(
            record("on_custom_event", data=fields, tags=["t"], metadata={"a": 1})
        )

    (own,) = [it for it in recorder.events if it.event == "on_custom_event"]
    (free,) = other.events
    assert own.run_id == request.id
    assert (free.data, free.tags, free.metadata) == (fields, ["t"], {"a": 1})


def test_what_a_block_hides() -> None:
    """
    What the block does not capture, or masks, its handlers are not told of a worker.
    """
    recorder, id = Recorder(), uuid4()
    secret = {"user": "ada", "plan": "free"}

    hidden: list[dict[str, Any]] = [{"capture": False}, {"redact": ["user"]}]

    for options in hidden:
        with callbacks(recorder, **options):
            there = Worker(carrier())
            there.begin()
            there.tell(record(run_id=id, metadata=secret, data={"inputs": secret}))
            there.tell(end_of(id, outputs=secret))
            there.line.close()
            until(lambda: not arrivals._calls)
    first, second = recorder.runs

    masked = {"user": "[redacted]", "plan": "free"}
    assert (first.inputs, first.outputs, first.metadata) == ({}, None, secret)
    assert (second.inputs, second.outputs, second.metadata) == (masked,) * 3


@pytest.mark.parametrize(
    "names, inputs",
    [
        (["plan", "user"], {"user": "[redacted]", "plan": "[redacted]"}),
        (["user", "user"], {"user": "[redacted]", "plan": "free"}),
        ([f"name_{number}" for number in range(500)], {}),  # too many to go along
        (lambda value, path: "x", {"user": "ada", "plan": "free"}),  # a function stays
    ],
    ids=["names", "twice", "many", "function"],
)
def test_names_go_along(names: Any, inputs: dict[str, str]) -> None:
    """
    The names that are masked go along, and hold where the request goes on; too many of
    them leave payloads out there.
    """
    recorder = Recorder()
    with callbacks(redact=names), traced("request"):
        carried = carrier()
    assert len(json.dumps(carried)) < 1_000

    with attach(carried), callbacks(recorder), traced("there", inputs=dict(SECRET)):
        pass

    assert recorder.runs[0].inputs == inputs


@pytest.mark.parametrize("given", ["user", ["user", 1], {"user": 1}])
def test_names_that_are_none(given: Any) -> None:
    """
    What is no list of names leaves all payloads out.
    """
    recorder = Recorder()
    carried = carrier() | {"v": 1, "redact": given}

    with attach(carried), callbacks(recorder), traced("there", inputs=dict(SECRET)):
        pass

    assert recorder.runs[0].inputs == {}


def test_metadata_where_nothing_is_known() -> None:
    """
    Where the names that are masked are too many to go along, no metadata is told there,
    nor where the request goes on from there.
    """
    recorder = Recorder()
    with callbacks(redact=[f"name_{number}" for number in range(500)]):
        carried = carrier()
    with attach(carried):
        carried_on = carrier()

    for each in (carried, carried_on):
        there = traced("there", metadata={"name_1": "hunter2"})
        with attach(each), callbacks(recorder), there:
            pass

    assert [run.metadata for run in recorder.runs] == [{"name_1": "[redacted]"}] * 2


class Login:
    """
    Shows what it holds in its ``repr``.
    """

    def __init__(self, user: str) -> None:
        self.user = user

    def __repr__(self) -> str:
        return f"Login({self.user})"


@pytest.mark.parametrize("names", [[], ["plan"]], ids=str)
def test_objects_for_a_function(names: list[str]) -> None:
    """
    Where a function masks what comes home, plain objects come as their fields, which it
    can mask; an error as its text all the same.
    """
    recorder, error = Recorder(), ValueError(Login("ada"))
    with callbacks(redact=lambda value, path: value), callbacks(redact=names):
        carried = carrier()
    with attach(carried):
        carried_on = carrier()

    for each in (carried, carried_on):
        with attach(each), callbacks(recorder):
            inputs = {"by": [Login("ada")]}
            with suppress(ValueError), traced("there", inputs=inputs):
                raise error

    told = {"by": [{"type": "Login", "user": "ada"}]}
    assert [run.inputs for run in recorder.runs] == [told] * 2
    messages = [it.data["message"] for it in recorder.events if it.data.get("message")]
    assert messages == ["Login(ada)"] * 2


SECRET = {"user": "ada", "plan": "free"}


class Quick(BaseCallbackHandler):
    """
    Keeps what typed methods are told.
    """

    def __init__(self) -> None:
        self.told: list[Any] = []

    def on_retry(self, retry_state: Any, **kwargs: Any) -> None:
        self.told.append(retry_state)

    def on_embedding_end(self, vectors: Any, **kwargs: Any) -> None:
        self.told.append(vectors)


def test_retries_and_vectors() -> None:
    """
    A retry tells its attempt and what failed, as tenacity's state does; of vectors count
    and size have come.
    """
    quick, recorder, id = Quick(), Recorder(), uuid4()
    failure = {"attempt": 2, "type": "OSError", "message": "busy"}

    with callbacks(quick, recorder):
        there = Worker(carrier())
        there.begin()
        there.tell(record("on_embedding_start", run_id=id, kind="embedding"))
        there.tell(
            record("on_retry", run_id=id, data={"attempt": 1}),
            record("on_retry", run_id=id, data=failure),
        )
        vectors = {"count": 2, "size": 3}
        end = end_of(id, vectors=vectors)["event"]
        del end["data"]["outputs"]
        there.tell({"event": {**end, "event": "on_embedding_end", "kind": "embedding"}})
        there.line.close()
        until(lambda: not arrivals._calls)

    first, state, told = quick.told
    assert (first, told) == (1, vectors)
    assert state.attempt_number == 2
    assert isinstance(state.outcome.exception(), OSError)
    retries = [it.data for it in recorder.events if it.event == "on_retry"]
    assert retries == [{"attempt": 1}, failure]
    assert recorder.events[-1].data["vectors"] == vectors


def test_answer_of_a_model() -> None:
    """
    What a model said, and all that was told of it, is told on.
    """
    recorder, id = Recorder(), uuid4()
    data = {
        "text": "hi",
        "reasoning": "hm",
        "tool_calls": [{"id": "c", "name": "f", "arguments": {"a": 1}}],
        "server_tool_calls": [
            {"id": None, "name": "g", "arguments": "x", "server": True}
        ],
        "files": [{"kind": "image", "size": 10}, {"kind": "audio", "size": None}],
        "error": {"code": "c", "message": "m"},
        "model": "m",
        "finish_reason": "stop",
        "response_id": "r",
        "usage": {"input_tokens": 1},
        "status": "ok",
        "duration_s": 1.0,
        "time_to_first_token_s": None,
    }
    start = {"messages": [], "model": "asked", "provider": "p", "params": {"t": 1}}

    with worker() as (there, _), callbacks(recorder):
        inner = Worker(carrier())
        inner.begin()
        inner.tell(
            record("on_chat_model_start", run_id=id, kind="chat_model", data=start),
            record("on_llm_end", run_id=id, kind="chat_model", data=data),
        )
        inner.line.close()
        there.begin()
    (run,) = recorder.runs

    assert recorder.events[0].data == start
    assert recorder.events[1].data == data
    assert (run.provider, run.model, run.params) == ("p", "m", {"t": 1})


def test_error_with_what_there_was() -> None:
    """
    What there was of the outputs until it failed is told on; a cancelled run is one.
    """
    first, second, third = (uuid4() for _ in range(3))
    base = {"origin": True, "duration_s": 1.0, "usage": {}, "message": "m"}

    with worker() as (there, recorder):
        there.begin()
        there.tell(*[record(run_id=id) for id in (first, second)])
        there.tell(
            record("on_llm_start", run_id=third, kind="llm", data={"prompts": []})
        )
        for id, more in (
            (first, {"type": "ValueError", "status": "error", "outputs": [1]}),
            (second, {"type": "CancelledError", "status": "cancelled"}),
        ):
            there.tell(record("on_chain_error", run_id=id, data={**base, **more}))
        partial: dict[str, Any] = {"text": "par", "tool_calls": [], "model": None}
        failed = {"type": "Own.Error", "status": "error", "origin": False}
        data = {**base, **failed, **partial, "traceback": "there"}
        there.tell(record("on_llm_error", run_id=third, kind="llm", data=data))
    one, other, model = recorder.runs

    assert (one.status, one.outputs, type(one.error)) == ("error", [1], ValueError)
    assert other.status == "cancelled"
    assert recorder.events[-1].data["text"] == "par"
    assert isinstance(model.error, RemoteError)
    assert (model.error.type, model.error.traceback) == ("Own.Error", "there")
    assert (type(model.error).__name__, model.error_origin) == ("Own.Error", False)


def test_samples_are_drawn_for_roots() -> None:
    """
    Process-wide handlers that hear a share hear it of a worker's roots, each whole.
    """
    recorder = Recorder()
    ids = [uuid4() for _ in range(40)]

    with callbacks(recorder, sample=0.5).install():
        there = Worker(carrier())
        there.begin()
        for id in ids:
            below = uuid4()
            there.tell(
                record(run_id=id),
                record(run_id=below, parent_run_id=str(id)),
                end_of(below),
                end_of(id),
            )
        there.line.close()
        until(lambda: not arrivals._calls)

    roots = [run for run in recorder.runs if run.parent_id is None]
    assert 0 < len(roots) < 40
    assert len(recorder.runs) == 2 * len(roots)


class Own(Exception):  # noqa: N818
    """
    An exception that nobody else knows.
    """


@pytest.mark.parametrize(
    "exc",
    [
        ValueError("no"),
        KeyError("x"),
        OSError(2, "no such file"),
        KeyboardInterrupt(),
        BudgetExceeded("m", "tools", "x", ("a", "b")),
        RemoteError("m", "T", "trace"),
    ],
)
def test_exceptions_are_made_anew(exc: BaseException) -> None:
    """
    Python's own exceptions and ours are what they were.
    """
    again = remade(json.loads(json.dumps(written(exc))))

    assert type(again) is type(exc)
    assert str(again) == str(exc)
    assert pickle.dumps(again)


@pytest.mark.parametrize(
    "value",
    [10**5_000, -(10**5_000), [10**5_000], [0] * 10_000, "x" * 200_000],
    ids=["digits", "negative", "listed", "list", "text"],
)
def test_exceptions_with_too_much(value: Any) -> None:
    """
    What JSON cannot have, or would be too much, does not go along; that it failed does.
    """
    again = remade(json.loads(json.dumps(written(ValueError(value)))))

    assert type(again) is ValueError
    assert len(str(again)) <= 100_000


@pytest.mark.parametrize(
    "exc",
    [
        Own("mine"),
        UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"),
        ExceptionGroup("all", [ValueError("one")]),
    ],
)
def test_exceptions_that_cannot_be_made(exc: Exception) -> None:
    """
    Others are a `RemoteError` that has their name, and pickles.
    """
    again: Any = remade(json.loads(json.dumps(written(exc))))

    assert isinstance(again, RemoteError)
    assert type(again).__name__ == again.type == type(exc).__name__
    assert str(again) == str(exc)
    copied = pickle.loads(pickle.dumps(again))
    assert (str(copied), copied.type) == (str(exc), again.type)


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"type": 1},
        {"type": "print", "own": True, "message": "m"},
        {"type": "os.system", "own": True, "args": ["x"]},
        {"type": "__doc__", "own": True},
        {"type": "x" * 500 + "()", "own": True},
        {"type": "ValueError", "own": 1, "args": [1]},
    ],
)
def test_nothing_else_is_called(told: dict[str, Any]) -> None:
    """
    Whatever is told, nothing is called but a class of exceptions.
    """
    assert isinstance(remade(told, "m"), RemoteError)
    plain: Any = {"type": "ValueError", "own": True, "args": [{}], "message": "m"}
    assert str(remade(plain)) == "m"


def test_message_that_is_hidden() -> None:
    """
    What may not be seen is not written.
    """
    assert written(ValueError("secret"), is_shown=False) == {
        "type": "ValueError",
        "own": True,
    }


@pytest.mark.parametrize(
    "address",
    [
        1,
        {},
        {"kind": "other"},
        {"kind": ["socket"]},
        {"kind": "socket", "host": "here", "port": "x"},
        {"kind": "socket", "host": "here", "port": 1, "key": "ab" * 32},
    ],
)
def test_return_address_of_a_stranger(address: Any, reports: list[str]) -> None:
    """
    A return address that leads nowhere is said once to do so; the call goes on unheard.
    """
    if type(address) is dict and "host" in address:
        address = {**address, "host": SOCKETS.address()["host"]}

    for _ in range(2):
        with attach({"v": 1, "id": "x", "return": address}), callbacks(Recorder()):
            jobs.leaf()

    assert len(reports) == 1


def test_address_on_another_machine(reports: list[str]) -> None:
    """
    Where a queue has brought a carrier to another machine, nobody is called.
    """
    with callbacks(Recorder()):
        carried = carrier()
    carried["return"]["host"] = "elsewhere"

    assert reached(carried) is None
    assert reports == []


def test_scope_that_is_gone() -> None:
    """
    A call that begins when the block has been left is not heard, and goes on.
    """
    recorder = Recorder()
    with callbacks(recorder):
        carried = carrier()

    with attach(carried):
        jobs.leaf()

    assert recorder.runs == []


class Gatekeeper(BaseCallbackHandler):
    """
    May stop any call.
    """

    raise_error = True


def test_gatekeeper_that_is_gone() -> None:
    """
    Where who may stop a call cannot be asked any more, it does not run.
    """
    with callbacks(Gatekeeper()):
        carried = carrier()
        with attach(carried) as scope:
            jobs.leaf()
            relay: Any = scope.options.listeners[-1].handler
            relay._box.close()
            with pytest.raises(RemoteError, match="cannot be asked"):
                jobs.leaf()


def test_call_that_is_not_told_whole(
    monkeypatch: pytest.MonkeyPatch, reports: list[str]
) -> None:
    """
    A call whose events could not all be told says so once, and goes on.
    """
    with callbacks(Recorder()), attach(carrier()) as scope:
        jobs.leaf()
        relay: Any = scope.options.listeners[-1].handler
        relay._box.close()
        jobs.leaf()
        relay.flush()
        relay.flush()

    assert len(reports) == 1
    assert "Not all" in reports[0]


def test_call_that_is_left_by_an_interrupt() -> None:
    """
    A block that an interrupt takes away closes its connection.
    """
    recorder = Recorder()
    with callbacks(recorder):
        block: Any = attach(carrier())
        scope = block.__enter__()
        box = scope.options.listeners[-1].handler._box
        block.undo(scope)
        del scope
        until(lambda: box.error is not None)
        until(lambda: not arrivals._calls)


def test_muted_and_disabled() -> None:
    """
    In a handler nothing is carried and nobody is called.
    """
    carriers: list[Any] = []

    def hear(event: Any) -> None:
        carriers[:] = [carrier(), pickle.dumps(bind(jobs.leaf))]
        with attach(carried):
            jobs.leaf()

    with callbacks(Recorder()):
        carried = carrier()
        with callbacks(hear):
            jobs.leaf()

    assert "return" not in carriers[0]
    assert "id" not in carriers[0]
    pickle.loads(carriers[1])()


def test_an_interrupt_while_it_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What comes while a call begins leaves nothing open.
    """

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with callbacks(Recorder()):
        carried = carrier()
        monkeypatch.setattr("instrument._relay.relay.reached", interrupted)
        before = current_run()
        with pytest.raises(KeyboardInterrupt), attach(carried):
            pass
        assert current_run() is before


def test_full_of_open_boxes() -> None:
    """
    What a forked child inherits takes nothing.
    """
    before = outbox.idle._boxes.copy()
    child = os.fork()
    if child == 0:
        os._exit(len(outbox.idle._boxes))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert outbox.idle._boxes == before


class Payload:
    """
    What must go.
    """


@pytest.mark.rule(21)
@pytest.mark.usefixtures("uncollected")
def test_line_that_waits_keeps_no_run() -> None:
    """
    What waits for a worker's next call keeps nothing of the request of the last.
    """
    gone = threading.Event()

    def request(payload: Payload) -> None:
        weakref.finalize(payload, gone.set)
        inputs = {"payload": payload}
        with callbacks(hears), traced("x", inputs=inputs), attach(carrier()):
            pass

    request(Payload())

    assert gone.wait(5)


def hears(event: object) -> None:
    """
    Hear, and do nothing.
    """
