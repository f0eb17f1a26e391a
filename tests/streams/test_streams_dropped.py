"""
Streams that nobody finishes: closed, collected, forgotten until the interpreter exits.
"""

import asyncio
import gc
import subprocess
import sys
import threading
import types
import weakref
from collections.abc import AsyncIterator, Iterator
from contextvars import Context, copy_context
from textwrap import dedent
from typing import Any

import pytest

from instrument import BaseCallbackHandler, callbacks, traced
from instrument._state import get_state
from instrument.testing import Recorder

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_kept")]


def stream() -> Iterator[int]:
    """
    Yield twice.
    """
    yield from (1, 2)


async def astream() -> Any:
    """
    Yield twice.
    """
    for number in (1, 2):
        yield number


async def coroutine() -> None:
    """
    Do nothing.
    """


def ends(recorder: Recorder) -> list[tuple[str, Any]]:
    """
    Give the status of each end, and the outputs with it.
    """
    return [
        (event.data["status"], event.data.get("outputs"))
        for event in recorder.events
        if not event.event.endswith("_start")
    ]


@pytest.mark.rule(7, "generator")
@pytest.mark.parametrize("where", ["here", "in a cycle", "in a thread", "in a Context"])
def test_suspended_generator_collected(where: str) -> None:
    """
    A suspended generator that is collected ends as abandoned, and leaves no trace there.
    """
    recorder = Recorder()
    with callbacks(recorder):
        held: list[Any] = [traced("x")(stream)()]
    next(held[0])
    before = get_state()
    if where == "in a cycle":
        held.append(held)
        del held
        gc.collect()
    elif where == "in a thread":
        thread = threading.Thread(target=held.clear)
        thread.start()
        thread.join()
    elif where == "in a Context":
        other = Recorder()
        with callbacks(other), traced("other"):
            copy_context().run(held.clear)
        assert [run.name for run in other.runs] == ["other"]
    else:
        del held

    assert get_state() is before
    assert ends(recorder) == [("abandoned", [1])]


@pytest.mark.usefixtures("uncollected")
@pytest.mark.rule(7, "generator", "async generator", "async", "sync")
@pytest.mark.parametrize("how", ["close", "collect", "in a cycle"])
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
async def test_unstarted_stream(mode: str, how: str) -> None:
    """
    What a plain function returned and nobody stepped ends as abandoned when dropped.
    """
    recorder = Recorder()
    functions = {"generator": stream, "async generator": astream, "async": coroutine}

    class Holder:
        held: object

        @traced("x")
        def call(self) -> Any:
            return functions.get(mode, stream)()

    holder = Holder()
    freed = weakref.ref(holder)
    with callbacks(recorder):
        held = holder.call()
        if how == "in a cycle":
            holder.held = held
        elif how == "close":
            await held.aclose() if mode == "async generator" else held.close()
        del held, holder
        gc.collect()

    assert freed() is None
    assert [run.status for run in recorder.runs] == ["abandoned"]
    assert len(recorder.events) == 2


def echo() -> Any:
    """
    Yield what was sent.
    """
    sent = None
    while True:
        sent = yield sent


@pytest.mark.rule(7, "generator")
def test_close_of_returned_stream_in_midst() -> None:
    """
    What was stepped before it was returned ends when it is closed, though it is still held.
    """
    recorder = Recorder()
    inner = echo()
    next(inner)
    with callbacks(recorder):
        held = traced("x")(lambda: inner)()

    held.close()

    assert ends(recorder) == [("abandoned", [])]
    assert inner.gi_frame is None


@pytest.mark.rule(9, "generator")
def test_send_to_returned_stream_in_midst() -> None:
    """
    What was stepped before it was returned can be sent to, or thrown into, at once.
    """
    recorder = Recorder()
    inner, failing = echo(), echo()
    next(inner), next(failing)
    with callbacks(recorder):
        held, thrown = [traced("x")(lambda it=it: it)() for it in (inner, failing)]

    assert held.send(1) == 1
    with pytest.raises(ZeroDivisionError) as caught:
        thrown.throw(ZeroDivisionError)

    assert [run.status for run in recorder.runs] == ["running", "error"]
    assert len(caught.traceback) == 3  # here, the driver, the body


@pytest.mark.usefixtures("uncollected")
@pytest.mark.rule(7, "generator")
def test_unstarted_cycle_through_body() -> None:
    """
    A generator whose own body can reach it is collected un-started all the same.
    """
    recorder = Recorder()

    class Holder:
        held: object

        def body(self) -> Iterator[object]:
            yield self

        @traced("x")
        def call(self) -> Iterator[object]:
            return self.body()

    holder = Holder()
    freed = weakref.ref(holder)
    with callbacks(recorder):
        holder.held = holder.call()
        del holder
        gc.collect()

    assert freed() is None
    assert [run.status for run in recorder.runs] == ["abandoned"]


@pytest.mark.rule(7, "generator", "async generator")
async def test_generator_function_unstarted(mode: str) -> None:
    """
    A generator that was never stepped never ran: it has no run at all.
    """
    recorder = Recorder()

    with callbacks(recorder):
        made: Any = traced("x")(stream if mode == "generator" else astream)()
        if mode == "generator":
            made.close()
        else:
            await made.aclose()
        del made
        traced("x")(stream)()
        gc.collect()

    assert recorder.events == []


@pytest.mark.rule(7, "generator")
def test_collected_while_handler_runs() -> None:
    """
    A generator collected while a handler is at work ends for it, and it goes on.
    """
    heard: list[str] = []
    held: list[Any] = []

    class Collecting(BaseCallbackHandler):
        def on_chain_start(self, *_: object, **given: Any) -> None:
            if given["name"] == "trigger":
                held.clear()
            heard.append(given["name"])

        def on_chain_error(self, *_: object, **given: Any) -> None:
            heard.append(f"{given['name']} abandoned")

    with callbacks(Collecting()):
        held.append(traced("x")(stream)())
        next(held[0])
        with traced("trigger"):
            traced("child")(lambda: None)()

    assert heard == ["x", "x abandoned", "trigger", "child"]


@pytest.mark.rule(7, "async generator")
@pytest.mark.parametrize("how", ["break", "shutdown", "no shutdown"])
def test_dropped_async_generator(how: str) -> None:
    """
    An async generator left half-way ends once, whoever closes it: loop or collector.
    """
    recorder = Recorder()
    reported: list[object] = []

    async def start() -> Any:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context))
        with callbacks(recorder):
            if how == "break":
                async for _ in traced("x")(astream)():
                    break
                return None
            made = traced("x")(astream)()
            await anext(made)
            return made

    loop = asyncio.new_event_loop()
    made = loop.run_until_complete(start())
    if how != "no shutdown":
        loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    del made
    gc.collect()

    assert ends(recorder) == [("abandoned", [1])]
    assert reported == []


@pytest.mark.rule(7, "generator", "async generator")
async def test_start_stopped_by_handler(mode: str) -> None:
    """
    A stream whose start a handler forbids ends at once, and is not remembered.
    """
    recorder = Recorder()

    class Forbidding(BaseCallbackHandler):
        raise_error = True

        def on_chain_start(self, *_: object, **__: object) -> None:
            raise PermissionError

    with callbacks(recorder, Forbidding()):
        if mode == "generator":
            with pytest.raises(PermissionError):
                next(traced("x")(stream)())
        else:
            with pytest.raises(PermissionError):
                await anext(traced("x")(astream)())

    assert [status for status, _ in ends(recorder)] == ["error"]


@pytest.mark.rule(7, "generator", "async generator", "sync")
def test_interpreter_exit() -> None:
    """
    Streams that are still suspended when the interpreter exits end once, as abandoned.
    """
    program = """
        import asyncio
        from instrument import callbacks, traced

        def show(event):
            if event.event != "on_chain_start":
                print(event.name, event.data["status"], event.data.get("outputs"))

        def stream():
            yield 1
            yield 2

        async def astream():
            yield 1
            yield 2

        async def start():
            with callbacks(show):
                made = traced("agen")(astream)()
                await anext(made)
                return made

        with callbacks(show):
            one = traced("gen")(stream)()
            next(one)
            two = traced("followed")(lambda: stream())()
            next(two)
            three = traced("unstarted")(lambda: stream())()
            four = traced("never stepped")(stream)()
        loop = asyncio.new_event_loop()
        six = loop.run_until_complete(start())
        seven = [traced("cycle")(stream)()]
        seven.append(seven)
        print("exit")
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(program)],
        capture_output=True,
        text=True,
        check=True,
    )

    first, *rest = done.stdout.splitlines()
    assert [first, *sorted(rest)] == [
        "exit",
        "agen abandoned [1]",
        "followed abandoned [1]",
        "gen abandoned [1]",
        "unstarted abandoned []",
    ]


@pytest.mark.rule(7, "generator")
def test_dropped_in_thread_that_listens() -> None:
    """
    A stream collected inside another request is not heard by that request.
    """
    recorder, other = Recorder(), Recorder()

    def body() -> Iterator[None]:
        try:
            yield
        finally:
            traced("cleanup")(lambda: None)()

    with callbacks(recorder):
        held = [traced("x")(body)()]
    Context().run(next, held[0])
    with callbacks(other), traced("request"):
        held.clear()
        traced("next")(lambda: None)()

    assert recorder.tree() == "chain x: abandoned\n  chain cleanup: ok"
    assert other.tree() == "chain request: ok\n  chain next: ok"


@pytest.mark.rule(3)
def test_nested_stream_dropped_while_it_waits_leaves_no_state() -> None:
    """
    A coroutine that is closed while a stream in a stream waits for something leaves this
    thread with the state that it had.
    """

    @types.coroutine
    def wait() -> Iterator[None]:
        yield

    @traced
    async def inner() -> AsyncIterator[int]:
        await wait()
        yield 1

    @traced
    async def outer() -> AsyncIterator[int]:
        async for item in inner():
            yield item

    async def consume() -> None:
        async for _ in outer():
            pass

    with callbacks(Recorder()):
        before, consuming = get_state(), consume()
        consuming.send(None)
        consuming.close()
        after = get_state()

    assert after is before
