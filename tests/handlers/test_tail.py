"""
`tail`: whole requests, told when they have ended, and only those that are worth it.
"""

import asyncio
import gc
import threading
import weakref
from typing import Any

import pytest

from instrument import (
    AsyncCallbackHandler,
    bind,
    callbacks,
    current_run,
    emit,
    traced,
)
from instrument._audience.sampling import drawn
from instrument.handlers import BudgetHandler, background, filtered, tail
from instrument.propagation import attach
from instrument.testing import Recorder, predictable


@traced.tool
def search(query: str) -> str:
    """
    Be a tool, which fails for some.
    """
    if query == "bad":
        raise ValueError(query)
    return query


@traced
def answer(query: str) -> str:
    """
    Call it, and catch what it raises.
    """
    try:
        return search(query)
    except ValueError:
        return "nothing"


@traced.chat_model(model="big-1", provider="nobody")
def model(prompt: str) -> str:
    """
    Consume a thousand tokens for each letter.
    """
    current_run().record_usage(input_tokens=1_000 * len(prompt), output_tokens=0)
    return "Well ..."


@traced.chat_model
def words(count: int) -> Any:
    """
    Stream so many tokens, between two other events.
    """
    current_run().text("begin")
    yield from (f"w{number} " for number in range(count))
    emit("done")


def names(recorder: Recorder) -> list[str]:
    """
    Give what was heard, in order.
    """
    return [event.event for event in recorder.events]


def test_failed_requests_are_told() -> None:
    """
    A request in which something failed is told whole, also where that was caught; the
    others are not.
    """
    recorder, beside = Recorder(), Recorder()
    kept = tail(recorder)

    for query in ("good", "bad", "fine"):
        with callbacks(kept, beside):
            answer(query)

    assert recorder.events == beside.events[4:8]
    assert [event.seq for event in recorder.events] == [1, 2, 3, 4]


def test_block_is_one_request() -> None:
    """
    All runs of a block are told together, when it is left.
    """
    recorder = Recorder()

    with callbacks(tail(recorder)):
        answer("good")
        answer("bad")
        answer("fine")
        assert recorder.events == []

    assert [run.name for run in recorder.roots] == ["answer"] * 3


@pytest.mark.parametrize("how", ["process", "constructor", "call"])
def test_outermost_run_is_one_request(how: str) -> None:
    """
    Where no block gave the handler, the outermost run that it hears is the request, and
    is told when it has ended.
    """
    recorder = Recorder()
    kept = tail(recorder)

    @traced("inner")
    def inner(query: str) -> None:
        answer(query)
        assert recorder.events == []

    given = traced("given", callbacks=[kept])(inner) if how == "constructor" else inner
    more: Any = {"callbacks": [kept]} if how == "call" else {}
    process = callbacks(kept if how == "process" else Recorder())

    with process.install(), callbacks(Recorder()):
        for query in ("good", "bad"):
            given(query, **more)

    assert [run.inputs for run in recorder.roots] == [{"query": "bad"}]


@pytest.mark.parametrize(
    "keep, told",
    [
        ("slow>5ms", ["slow"]),
        ("slow > .005 s", ["slow"]),
        ("slow>1h", []),
        (["slow>1m", "slow>0s"], ["quick", "slow"]),
        ("cost>0.01", []),
    ],
    ids=str,
)
def test_slow_requests(keep: Any, told: list[str]) -> None:
    """
    A request is slow from its first start to its last end.
    """
    recorder = Recorder()

    with predictable(), callbacks(tail(recorder, keep)).install():
        for name, looks in (("quick", 0), ("slow", 8)):
            with traced(name) as run:
                for _ in range(looks):
                    assert run.duration_s > 0

    assert [run.name for run in recorder.runs] == told


@pytest.mark.parametrize("keep", ["cost>0.01", "cost>$0.01", " cost > .01 "])
def test_dear_requests(keep: str) -> None:
    """
    What the models of a request cost adds up; of a handler that hears in two ways, once.
    """

    class Both(Recorder):
        def on_llm_end(self, response: Any, **kwargs: Any) -> None:
            pass

    recorder = Both()
    prices = {"big-1": {"input": 2.0, "output": 0.0}}
    kept = tail(recorder, keep, prices=prices)

    for prompts in (["xx"], ["xx", "xxx"], ["xxx", "xxx"]):
        with callbacks(kept):
            for prompt in prompts:
                model(prompt)

    assert [run.inputs[0] for run in recorder.runs] == ["xxx", "xxx"]


def test_rule_of_the_application() -> None:
    """
    A function is asked once, with the runs of the request, as they have ended.
    """
    recorder = Recorder()
    asked: list[Any] = []

    def worth(runs: Any) -> bool:
        asked.append([(run.name, run.status) for run in runs])
        return bool(runs[0].metadata.get("vip"))

    kept = tail(recorder, ["error", worth])
    for vip in (False, True):
        with callbacks(kept, metadata={"vip": vip}):
            answer("good")

    assert asked == [[("answer", "ok"), ("search", "ok")]] * 2
    assert [run.metadata for run in recorder.runs] == [{"vip": True}] * 2


def test_rule_that_fails(reports: list[str]) -> None:
    """
    A function that fails is reported, and the request is told.
    """
    recorder = Recorder()

    def broken(runs: Any) -> bool:
        raise KeyError("vip")

    with callbacks(tail(recorder, broken)):
        answer("good")

    assert len(recorder.runs) == 2
    assert "broken failed at tail(keep=...)" in reports[0]


def test_share_of_the_others() -> None:
    """
    A share is told of what no rule keeps, by what others draw for the same trace.
    """
    recorder, beside = Recorder(), Recorder()

    with callbacks(tail(recorder, sample=0.3)).install(), callbacks(beside).install():
        for _ in range(200):
            answer("good")

    told = [run for run in beside.roots if drawn(run.trace_hex) < 0.3]
    assert recorder.roots == told
    assert 30 < len(told) < 90


def test_share_goes_by_the_block() -> None:
    """
    A block that has drawn, or into which a draw came, does not draw again.
    """
    for _ in range(50):
        recorder, beside = Recorder(), Recorder()
        with callbacks(beside, sample=0.3), callbacks(tail(recorder, sample=0.3)):
            answer("good")
        with attach({"draw": 0.9}), callbacks(tail(beside, sample=0.8)):
            answer("good")
        with attach({"draw": 0.7}), callbacks(tail(recorder, sample=0.8)):
            answer("good")
        assert len(recorder.runs) == len(beside.runs) + 2


def test_what_comes_later_follows() -> None:
    """
    A stream and a thread that go on after the decision are told as their request was.
    """
    recorder = Recorder()
    kept = tail(recorder)
    for query in ("bad", "good"):
        with callbacks(kept):
            answer(query)
            stream = words(2)
            late = bind(answer)
        thread = threading.Thread(target=late, args=("bad",))
        thread.start()
        thread.join()
        assert list(stream) == ["w0 ", "w1 "]

    assert [run.name for run in recorder.roots] == ["answer", "answer", "words"]
    assert names(recorder)[-6:] == [
        "on_chat_model_start",
        "on_text",
        "on_llm_new_token",
        "on_llm_new_token",
        "on_custom_event",
        "on_llm_end",
    ]


def test_what_comes_later_than_its_root() -> None:
    """
    The same of a stream that outlives the run that returned it, whatever happens there.
    """
    recorder = Recorder()

    @traced
    def streaming(query: str) -> list[Any]:
        answer(query)
        return [words(1)]

    with callbacks(tail(recorder)).install():
        for query in ("bad", "good"):
            (stream,) = streaming(query)
            list(stream)
            del stream

    assert [run.name for run in recorder.runs] == [
        "streaming",
        "answer",
        "search",
        "words",
    ]
    assert recorder.runs[-1].parent_id == recorder.runs[0].id


def test_block_in_which_nothing_happened() -> None:
    """
    What comes from a block after it was left, and nothing had happened, is of no request
    that failed.
    """
    recorder = Recorder()

    with callbacks(tail(recorder)):
        late = bind(answer)
    late("bad")

    assert recorder.events == []

    with callbacks(tail(recorder, sample=1)):
        late = bind(answer)
    late("good")

    assert len(recorder.runs) == 2


def test_event_outside_of_runs() -> None:
    """
    Process-wide, an event outside of all runs is a request of its own.
    """
    heard: list[str] = []

    def hear(name: str, data: Any, **kwargs: Any) -> None:
        heard.append(name)

    class Typed:
        on_custom_event = staticmethod(hear)

    with callbacks(tail(Typed(), sample=1), tail(Typed())).install():
        emit("one")
    with callbacks(tail(lambda event: heard.append(event.event), sample=1)).install():
        emit("two")

    assert heard == ["one", "on_custom_event"]


def test_tokens_go_first(reports: list[str]) -> None:
    """
    Beyond `max_events` tokens are left out, then other events; starts, ends and errors
    stay. It is said once, and counted.
    """
    recorder = Recorder()
    kept = tail(recorder, sample=1, max_events=4)

    for _ in range(2):
        with callbacks(kept):
            answer("bad")
            list(words(5))

    assert names(recorder)[: len(recorder.events) // 2] == [
        "on_chain_start",
        "on_tool_start",
        "on_tool_error",
        "on_chain_end",
        "on_chat_model_start",
        "on_llm_end",
    ]
    assert kept.dropped == 14
    (report,) = reports
    assert "tail(Recorder) left out 7 events of a request" in report


def test_others_stay_while_there_is_room() -> None:
    """
    Tokens make room for what is none.
    """
    recorder = Recorder()
    kept = tail(recorder, sample=1, max_events=4)

    with callbacks(kept):
        list(words(5))

    assert names(recorder) == [
        "on_chat_model_start",
        "on_text",
        "on_custom_event",
        "on_llm_end",
    ]
    assert kept.dropped == 5


def test_no_model_streams_for_it() -> None:
    """
    A handler that has models stream does not in a tail.
    """

    class Live(Recorder):
        wants_tokens = True

    @traced
    def asked() -> bool:
        return current_run()._audience.wants_tokens

    with callbacks(Live()):
        assert asked()
    with callbacks(tail(Live())):
        assert not asked()


@pytest.mark.anyio
async def test_async_handler() -> None:
    """
    An async handler is awaited in order, at the end, with what comes meanwhile behind.
    """
    log: list[Any] = []
    may_go_on, has_begun = asyncio.Event(), asyncio.Event()

    class Slow(AsyncCallbackHandler):
        async def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            has_begun.set()
            await may_go_on.wait()
            log.append(("start", kwargs["name"]))

        async def on_tool_error(self, error: Any, **kwargs: Any) -> None:
            raise OSError("no disk")

        def on_chain_end(self, *args: Any, **kwargs: Any) -> Any:
            log.append(("end", kwargs["name"]))

        async def aflush(self) -> None:
            log.append("flush")

    async def request() -> Any:
        async with callbacks(tail(Slow())):
            answer("bad")
            return bind(answer)

    task = asyncio.create_task(request())
    await has_begun.wait()
    may_go_on.set()
    late = await task
    late("good")
    await asyncio.sleep(0)

    assert log[:3] == [("start", "answer"), ("end", "answer"), "flush"]


@pytest.mark.anyio
async def test_events_meanwhile_are_told_behind() -> None:
    """
    While an async handler is told of a request, what comes is told behind it.
    """
    log: list[str] = []
    has_begun, may_go_on = asyncio.Event(), asyncio.Event()

    class Slow(AsyncCallbackHandler):
        async def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            has_begun.set()
            await may_go_on.wait()
            log.append(f"start {kwargs['name']}")

        async def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
            log.append(f"end {kwargs['name']}")

    given: list[Any] = []

    @traced
    async def root() -> None:
        given.append(bind(traced("late")(lambda: None)))

    installed = callbacks(tail(Slow(), sample=1)).install()
    task = asyncio.create_task(root())
    await has_begun.wait()
    given[0]()
    may_go_on.set()
    await task
    installed.uninstall()

    assert log == ["start root", "end root", "start late", "end late"]


def test_raise_error_is_refused() -> None:
    """
    What could stop a call that has ended is refused, with the cure; so is a wrapper that
    must itself hear when things happen, in background.
    """
    with pytest.raises(TypeError, match=r"raise_error is True.*itself to callbacks"):
        tail(BudgetHandler(max_calls=1))
    with pytest.raises(TypeError, match="must hear where and when"):
        tail(tail(Recorder()))
    with pytest.raises(TypeError, match=r"tail\(background\(handler\)\)"):
        background(filtered(tail(Recorder()), kinds="tool"))


@pytest.mark.parametrize(
    "rule, error",
    [
        ("slow", ValueError),
        ("slow>5", ValueError),
        ("slow>$5s", ValueError),
        ("slow>5 days", ValueError),
        ("slow<5s", ValueError),
        ("cost>1s", ValueError),
        ("cost>", ValueError),
        ("cost>1.2.3", ValueError),
        ("errors", ValueError),
        ("", ValueError),
        (["error", ""], ValueError),
        (7, TypeError),
        ([None], TypeError),
        ([Recorder], TypeError),
    ],
    ids=str,
)
def test_bad_rules(rule: Any, error: type[Exception]) -> None:
    """
    A rule that cannot be read is an error at once, that says how rules are written.
    """
    with pytest.raises(error, match='A rule is "error", "slow>5s"'):
        tail(Recorder(), rule)


@pytest.mark.parametrize(
    "given, error",
    [
        ({"sample": "all"}, TypeError),
        ({"sample": True}, TypeError),
        ({"sample": 5}, ValueError),
        ({"max_events": 0}, ValueError),
        ({"max_events": 1.5}, TypeError),
    ],
    ids=str,
)
def test_bad_bounds(given: Any, error: type[Exception]) -> None:
    """
    So is a share that is none, or room for nothing.
    """
    with pytest.raises(error, match=r"tail\("):
        tail(Recorder(), **given)


def test_whole_in_spite_of_an_interrupt() -> None:
    """
    Ctrl-C while the handler is told of a request reaches the program, behind the rest.
    """
    log: list[str] = []

    class Stopped(Recorder):
        def on_event(self, event: Any, **kwargs: Any) -> None:
            log.append(event.event)
            if event.event == "on_tool_start":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), callbacks(tail(Stopped(), sample=1)):
        answer("good")

    assert len(log) == 4


@pytest.mark.anyio
async def test_cancelled_while_it_is_told() -> None:
    """
    So does a cancellation, in async code; a coroutine that is closed waits for nothing.
    """
    log: list[str] = []

    class Slow(AsyncCallbackHandler):
        async def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
            await asyncio.Event().wait()

        async def on_tool_end(self, output: Any, **kwargs: Any) -> None:
            log.append("tool")

        def on_chain_end(self, *args: Any, **kwargs: Any) -> Any:
            log.append("chain")
            if kwargs["name"] == "answer":
                raise OSError("no disk")

    async def request() -> None:
        async with callbacks(tail(Slow(), sample=1)):
            answer("good")
            traced("other")(len)("")

    task = asyncio.create_task(request())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["tool", "chain", "chain"]

    log.clear()
    coroutine = request()
    coroutine.send(None)
    coroutine.close()
    assert log == ["chain", "chain"]


def test_flush_behind() -> None:
    """
    The handler is flushed when it has been told, however it does that.
    """
    log: list[str] = []

    class Async:
        async def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
            log.append("end")

    class Flushed(Async):
        def flush(self) -> None:
            log.append("flush")

    for handler in (Async(), Flushed()):
        with callbacks(tail(handler, sample=1)):
            answer("good")

    assert log == ["end", "end", "flush"]


def test_given_twice() -> None:
    """
    One that is given itself and in another wrapper decides once.
    """
    recorder = Recorder()
    asked: list[Any] = []
    kept = tail(recorder, asked.append, sample=0)

    with callbacks(kept, filtered(kept, kinds="tool")):
        answer("good")

    assert len(asked) == 1
    assert recorder.events == []


@pytest.mark.usefixtures("uncollected")
def test_leaves_nothing_behind() -> None:
    """
    Nothing is kept of a request that was decided, nor of one that was never left.
    """

    class Payload:
        pass

    payloads = []
    kept = tail(Recorder())

    @traced
    def take(payload: object) -> None:
        payloads.append(weakref.ref(payload))

    with callbacks(kept):
        take(Payload())
    assert payloads[0]() is None

    with callbacks(kept).install():
        take(Payload())
    assert payloads[1]() is None

    @callbacks(kept)
    def left_open() -> Any:
        take(Payload())
        yield

    stream = left_open()
    next(stream)
    assert payloads[2]() is not None
    del stream
    gc.collect()
    assert payloads[2]() is None
    assert len(kept._by_run) == 0
