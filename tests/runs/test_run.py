"""
`Run`: its facts, and the inert one that stands where no run is.
"""

import tracemalloc
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from instrument import Run, Usage, callbacks, current_run, emit, traced
from instrument.testing import Recorder, predictable

FACTS: dict[str, Any] = {
    "id": UUID,
    "parent_id": type(None),
    "trace_id": UUID,
    "depth": int,
    "name": str,
    "kind": str,
    "tags": tuple,
    "metadata": dict,
    "error": type(None),
    "error_origin": bool,
    "status": str,
    "started_at": int,
    "duration_s": float,
    "time_to_first_token_s": type(None),
    "model": type(None),
    "provider": type(None),
    "usage": Usage,
    "outputs": type(None),
}


SAYS = {
    "add_metadata",
    "add_tags",
    "emit",
    "inputs",
    "params",
    "record_usage",
    "retry",
    "text",
    "token",
    "trace_hex",
}


def test_public_names_of_a_run() -> None:
    """
    A run shows its facts and what its body may tell; its internals have underscores.
    """
    with callbacks(Recorder()), traced("run") as run:
        shown = {name for name in dir(run) if not name.startswith("_")}

    assert shown == FACTS.keys() | SAYS


@pytest.mark.parametrize("name", list(FACTS))
def test_fact_of_a_run(name: str) -> None:
    """
    In a run each fact has its type from the start on.
    """
    with callbacks(Recorder()), traced("run") as run:
        assert isinstance(getattr(run, name), FACTS[name])


def test_current_run() -> None:
    """
    The run in hand is that of the innermost body, and there is none behind it.
    """
    with callbacks(Recorder()):
        assert not current_run()
        with traced("outer") as outer:
            with traced("inner") as inner:
                assert current_run() is inner
            assert current_run() is outer
            assert (inner.parent_id, inner.trace_id) == (outer.id, outer.id)
            assert (outer.depth, inner.depth) == (0, 1)
            assert outer.status == "running"
        assert not current_run()
        assert bool(outer)

    assert repr(outer) == f"<Run chain 'outer' ok {outer.id}>"


def test_times() -> None:
    """
    Duration and time to the first token are seconds from the start.
    """
    with predictable(), callbacks(lambda event: None), traced("run", kind="llm") as run:
        before = run.duration_s
        assert run.time_to_first_token_s is None
        run.token("a")
        first = run.time_to_first_token_s
        run.token("b")
        assert run.time_to_first_token_s == first

    ended = run.duration_s
    assert first is not None
    assert 0 < before < first < ended < 1
    assert run.duration_s == ended


def test_usage_adds_up() -> None:
    """
    What is recorded of usage adds up.
    """
    with callbacks(Recorder()), traced("run") as run:
        run.record_usage(input_tokens=1, cost_usd=0.5)
        run.record_usage(input_tokens=2, output_tokens=3)

    assert run.usage == Usage(3, 3, cost_usd=0.5)


@pytest.mark.parametrize(
    "counts", [{"input_tokens": "many"}, {"input_tokens": -1}, {"unknown": 1}]
)
def test_wrong_usage_is_reported(counts: Any, reports: list[str]) -> None:
    """
    A usage that is none ends no request: it is reported.
    """
    name = f"run {counts}"
    with callbacks(Recorder()), traced(name) as run:
        run.record_usage(**counts)

    assert run.usage == Usage()
    assert f"record_usage of {name!r}" in reports[0]
    assert ("It takes input_tokens, " in reports[0]) == ("unknown" in counts)


SLIPS: dict[str, Any] = {
    "run.token(channel=) of ": lambda run: run.token("la", channel="song"),
    "record_usage of ": lambda run: run.record_usage(input_tokens="many"),
    "run.usage of ": lambda run: setattr(run, "usage", {"input_tokens": 3}),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_slips_are_counted(slip: str, reports: list[str]) -> None:
    """
    What a body tells wrongly, call after call, is reported once, then counted.
    """
    recorder, name = Recorder(), f"slips at {slip}"

    with callbacks(recorder), traced(name, kind="llm") as run:
        for _ in range(11):
            SLIPS[slip](run)

    assert run.usage == Usage()
    assert recorder.events[-1].event == "on_llm_end"
    assert len(reports) == 2
    assert f"of {name!r}" in reports[0]
    assert reports[1] == f"{slip}{name!r} has been wrong 10 times\n"


@pytest.mark.parametrize(
    "error", [ValueError, SystemExit, type("Own", (BaseException,), {})]
)
def test_channel_that_compares_in_its_own_way(error: Any, reports: list[str]) -> None:
    """
    A channel that is no text is not compared: the piece is told as text.
    """

    class Channel:
        def __eq__(self, other: object) -> bool:
            raise error

        __hash__ = None  # type: ignore[assignment]

    recorder, name = Recorder(), f"compares by {error.__name__}"

    with callbacks(recorder), traced(name, kind="llm") as run:
        run.token("la", channel=Channel())  # type: ignore[arg-type]

    assert recorder.events[1].data == {"token": "la", "channel": "text"}
    assert "it is told as text" in reports[0]


def test_usage_given_beats_usage_read() -> None:
    """
    What the body recorded is not overwritten by what is read from the result.
    """
    recorder = Recorder()

    @traced.llm
    def model() -> Any:
        current_run().record_usage(input_tokens=7)
        return {"content": "x", "usage": {"input_tokens": 1, "output_tokens": 1}}

    with callbacks(recorder):
        model()

    assert recorder.runs[0].usage == Usage(7)


def test_added_tags_and_metadata() -> None:
    """
    What a body adds is carried by the run's end and by later children.
    """
    recorder = Recorder()

    with (
        callbacks(recorder, tags=["a"], metadata={"a": 1, "b": 1}),
        traced("run") as run,
    ):
        traced("before")(lambda: None)()
        run.add_tags("b", "a")
        run.add_metadata(b=2, c=3)
        traced("after")(lambda: None)()

    before, after = recorder.find("before")[0], recorder.find("after")[0]
    assert (before.tags, before.metadata) == (("a",), {"a": 1, "b": 1})
    assert (after.tags, after.metadata) == (("a", "b"), {"a": 1, "b": 2, "c": 3})
    assert recorder.events[-1].tags == ["a", "b"]
    assert recorder.events[-1].metadata == {"a": 1, "b": 2, "c": 3}
    assert recorder.events[0].metadata == {"a": 1, "b": 1}


def test_same_tag_added_again_and_again() -> None:
    """
    What is added once more, as by each step of a long run, takes no more room.
    """
    recorder = Recorder()

    def add() -> None:
        for number in range(5_000):
            run.add_tags("a", "b")
            run.add_metadata(step=number % 10)

    with callbacks(recorder), traced("run") as run:
        add()
        tracemalloc.start()
        try:
            add()
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        traced("after")(lambda: None)()

    assert held < 10_000
    assert recorder.find("after")[0].tags == run.tags == ("a", "b")


def test_ended_run_says_nothing() -> None:
    """
    After its end a run tells nothing more.
    """
    recorder = Recorder()

    with callbacks(recorder):
        with traced("run", kind="llm") as run:
            pass
        run.token("late")
        run.text("late")
        run.emit("late")
        run.retry(1)

    assert [event.event for event in recorder.events] == ["on_llm_start", "on_llm_end"]


@pytest.mark.parametrize("state", [2, SimpleNamespace(attempt_number=2)])
def test_retry(state: Any) -> None:
    """
    A retry is told with its attempt, of a number or of tenacity's state.
    """
    recorder = Recorder()

    with callbacks(recorder), traced("run") as run:
        run.retry(state)

    assert recorder.events[1].event == "on_retry"
    assert recorder.events[1].data == {"attempt": 2}


def outcome(how: str) -> Any:
    """
    Make the outcome of an attempt.
    """
    made: Future[None] = Future()
    if how == "failed":
        made.set_exception(ValueError("no"))
    if how == "cancelled":
        made.cancel()
    return made if how != "another" else how


@pytest.mark.parametrize("how", ["failed", "pending", "cancelled", "another"])
def test_retry_after_a_failure(how: str) -> None:
    """
    A retry tells what the attempt before it raised, if that is known; waits for nothing.
    """
    recorder = Recorder()
    state = SimpleNamespace(attempt_number=2, outcome=outcome(how))
    failure = {"type": "ValueError", "message": "no"} if how == "failed" else {}

    with callbacks(recorder), traced("run") as run:
        run.retry(state)

    assert recorder.events[1].data == {"attempt": 2, **failure}


@pytest.mark.parametrize("channel", ["text", "reasoning", "tool_call"])
def test_token_channel(channel: str) -> None:
    """
    A token says on which channel it came.
    """
    recorder = Recorder()

    with callbacks(recorder), traced("run", kind="llm") as run:
        run.token("a", channel=channel)

    assert recorder.events[1].data == {"token": "a", "channel": channel}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_token_in_async_code(backend: str) -> None:
    """
    ``_atoken`` gives what is to be awaited, or None where no handler is async.
    """
    import anyio

    heard: list[str] = []

    async def hear(token: str) -> None:
        await anyio.lowlevel.checkpoint()
        heard.append(token)

    async def main() -> None:
        async with traced("nobody") as run:
            assert run._atoken("a") is None
        async with callbacks(Recorder()), traced("run", kind="llm") as run:
            assert run._atoken("a") is None
        async with callbacks(on_llm_new_token=hear), traced("run", kind="llm") as run:
            pending = run._atoken("b")
            assert pending is not None
            await pending
            assert heard == ["b"]

    anyio.run(main, backend=backend)


def test_seq() -> None:
    """
    The number of an event rises by one per recorded event of a root run.
    """
    recorder, other = Recorder(), Recorder()

    with callbacks(recorder):
        with traced("root"):
            emit("told")
            with callbacks(other):
                traced("leaf")(lambda: None)()
        traced("second")(lambda: None)()

    assert [event.seq for event in recorder.events] == [1, 2, 3, 4, 5, 1, 2]
    assert [event.seq for event in other.events] == [3, 4]
    assert other.events[0] is recorder.events[2]


def test_inputs_of_a_block() -> None:
    """
    A block's inputs are the dict that it was given, or its one value.
    """
    with callbacks(Recorder()):
        with traced("a", inputs={"q": 1}) as first:
            assert first.inputs == {"q": 1}
        with traced("b", inputs=["x"]) as second:
            assert second.inputs == {"input": ["x"]}
        with traced("c", kind="retriever", inputs="why") as third:
            assert third.inputs == "why"
        with traced("d") as fourth:
            assert fourth.inputs == {}
        with traced("e", kind="llm", inputs="Hi", model="m") as fifth:
            assert (fifth.inputs, fifth.model, fifth.params) == (["Hi"], "m", {})


def test_outputs_of_a_block() -> None:
    """
    A block's outputs are what it set; a block that failed keeps them too.
    """
    recorder = Recorder()

    with callbacks(recorder):
        with traced("a") as run:
            run.outputs = [1]
        with pytest.raises(KeyError), traced("b") as run:
            run.outputs = "partial"
            raise KeyError("x")

    assert recorder.events[1].data["outputs"] == [1]
    assert recorder.events[3].data["outputs"] == "partial"
    assert recorder.events[3].data["type"] == "KeyError"


def test_emit_outside_a_run() -> None:
    """
    Outside any run an event goes to the scope's handlers, with an id of its own.
    """
    recorder = Recorder()

    with callbacks(recorder, tags=["t"]):
        emit("one", {"a": 1})
        emit("two")

    one, two = recorder.events
    assert one.data == {"name": "one", "data": {"a": 1}}
    assert one.run_id != two.run_id
    assert one.parent_run_id is None
    assert one.tags == ["t"]
    assert recorder.runs == []


def test_emit_that_nobody_hears() -> None:
    """
    Without handlers nothing happens.
    """
    emit("told")
    with callbacks(tags=["t"]):
        emit("told")


@pytest.mark.parametrize("name", list(FACTS))
def test_fact_of_an_inert_run(name: str) -> None:
    """
    Outside any run each fact has the type that it has in a run.
    """
    assert isinstance(getattr(current_run(), name), FACTS[name])


@pytest.mark.anyio
async def test_async_block_that_nobody_hears() -> None:
    """
    The same for an async block.
    """
    async with traced("run") as run:
        run.outputs = 1

    assert not run


def test_inert_run_is_false_and_silent() -> None:
    """
    The inert run is false; its methods do nothing, and what is set on it is dropped.
    """
    inert: Any = current_run()
    recorder = Recorder()

    assert not inert
    assert isinstance(current_run(), Run)
    assert repr(inert) == "<no run>"
    assert inert.name
    with callbacks(recorder):
        inert.token("a")
        inert.text("a")
        inert.retry(1)
        inert.emit("told", 1)
        inert.add_tags("a")
        inert.add_metadata(a=1)
        inert.record_usage(input_tokens=1)
        inert.outputs = inert.model = inert.anything = "set"
        inert.metadata["a"] = 1

    assert recorder.events == []
    assert inert.tags == ()
    assert inert.metadata == {}
    assert inert.usage == Usage()
    assert (inert.outputs, inert.model) == (None, None)
    assert not hasattr(inert, "anything")
    assert inert.duration_s == 0.0


def test_block_that_nobody_hears_is_inert() -> None:
    """
    Where nobody listens a block gives the inert run.
    """
    with traced("run") as run:
        run.outputs = 1

    assert not run
    assert run.outputs is None


def test_what_is_added_is_one_layer() -> None:
    """
    However often a run is told more tags and metadata, what is below looks at one layer:
    16,000 steps of an agent that each tell where it stands take no longer than their number.
    """
    recorder = Recorder()

    with callbacks(recorder, tags=["a"]), traced("agent") as run:
        for step in range(50):
            run.add_tags(f"step {step}")
            run.add_metadata(step=step)
            with callbacks(metadata={"block": step}):
                traced("below")(lambda: run.add_metadata(late=step))()  # noqa: B023

    below = recorder.find("below")
    assert {len(it._audience.layers) for it in below} == {3}
    assert below[-1].tags == run.tags == ("a", *[f"step {it}" for it in range(50)])
    assert below[-1].metadata == {"block": 49, "step": 49, "late": 48}
    assert below[0].metadata == {"block": 0, "step": 0}
    assert run.metadata == {"step": 49, "late": 49}


def test_what_has_begun_sees_nothing_that_is_added_later() -> None:
    """
    What a run is told more is on children that begin later, and not on the children of
    one that has begun before, whatever is opened or installed meanwhile.
    """
    recorder = Recorder()

    with callbacks(recorder), traced("run") as run:
        run.add_tags("first")
        run.add_metadata(first=1)
        with traced("child"):
            run.add_tags("late")
            run.add_metadata(late=1)
            callbacks(Recorder()).install().uninstall()
            with traced("grandchild"):
                pass
        with traced("later"):
            pass

    (grandchild,), (later,) = recorder.find("grandchild"), recorder.find("later")
    assert (grandchild.tags, grandchild.metadata) == (("first",), {"first": 1})
    assert (later.tags, later.metadata) == (("first", "late"), {"first": 1, "late": 1})
