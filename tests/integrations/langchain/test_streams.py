"""
Streams of LangChain: made in the block and read outside it, left early, dropped.
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.language_models import LLM
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.outputs import GenerationChunk
from langchain_core.runnables import (
    Runnable,
    RunnableGenerator,
    RunnableLambda,
    RunnableParallel,
)

from instrument import bind, callbacks, traced
from instrument.testing import Recorder

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("langchain")]

CHAT = FakeListChatModel(responses=["abc"])


class Completion(LLM):
    """
    Streams the alphabet's first letters.
    """

    _llm_type = "completion"

    def _call(self, *_: Any, **__: Any) -> str:
        return "abc"

    def _stream(
        self, prompt: str, stop: Any = None, run_manager: Any = None, **_: Any
    ) -> Iterator[GenerationChunk]:
        for letter in "abc":
            run_manager.on_llm_new_token(letter, chunk=GenerationChunk(text=letter))
            yield GenerationChunk(text=letter)


def sequence() -> "Runnable[Any, Any]":
    """
    Make a chain that streams what its model does.
    """
    return RunnableLambda(str, name="ask") | CHAT | RunnableGenerator(passed, apassed)


def passed(chunks: Iterator[Any]) -> Iterator[Any]:
    """
    Pass on each chunk.
    """
    yield from chunks


async def apassed(chunks: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """
    Pass on each chunk.
    """
    async for chunk in chunks:
        yield chunk


def tokens(recorder: Recorder) -> str:
    """
    Join the tokens heard.
    """
    told = [e for e in recorder.events if e.event == "on_llm_new_token"]
    return "".join(event.data["token"] for event in told)


def statuses(recorder: Recorder) -> dict[str, str]:
    """
    Give the status of each run by its name.
    """
    return {run.name: run.status for run in recorder.runs}


@pytest.mark.parametrize("bound", [True, False])
def test_made_inside_and_read_outside(bound: bool, whole: Callable[..., None]) -> None:
    """
    A stream begins at its first step: made in the block and begun outside, it is heard
    if it was bound there.
    """
    recorder = Recorder()

    with callbacks(recorder):
        stream = sequence().stream("q")
        stream = bind(stream) if bound else stream
    list(stream)

    whole(recorder, roots=int(bound))
    assert tokens(recorder) == "abc" * bound


@pytest.mark.parametrize("bound", [True, False])
async def test_async_made_inside_and_read_outside(
    bound: bool, whole: Callable[..., None]
) -> None:
    """
    The same for an async stream.
    """
    recorder = Recorder()

    async with callbacks(recorder):
        stream = sequence().astream("q")
        stream = bind(stream) if bound else stream
    async for _ in stream:
        pass

    whole(recorder, roots=int(bound))
    assert tokens(recorder) == "abc" * bound


def test_begun_inside_and_read_outside(whole: Callable[..., None]) -> None:
    """
    A stream of which one step was taken in the block is heard to its end.
    """
    recorder, later = Recorder(), Recorder()

    with callbacks(recorder):
        stream = sequence().stream("q")
        next(stream)
    with callbacks(later):
        list(stream)

    whole(recorder)
    assert tokens(recorder) == "abc"
    assert set(statuses(recorder).values()) == {"ok"}
    assert later.events == []


async def test_async_begun_inside_and_read_outside(
    whole: Callable[..., None],
) -> None:
    """
    The same for an async stream.
    """
    recorder, later = Recorder(), Recorder()

    async with callbacks(recorder):
        stream = sequence().astream("q")
        await anext(stream)
    async with callbacks(later):
        async for _ in stream:
            pass

    whole(recorder)
    assert tokens(recorder) == "abc"
    assert set(statuses(recorder).values()) == {"ok"}
    assert later.events == []


@pytest.mark.parametrize("how", ["closed", "dropped", "closed outside"])
@pytest.mark.parametrize("in_run", [True, False])
def test_left_early(how: str, in_run: bool, whole: Callable[..., None]) -> None:
    """
    A sequence left early is abandoned, its model too and before it, with the text so far.
    """
    recorder = Recorder()

    def left() -> Any:
        stream: Any = sequence().stream("q")
        next(stream)
        if how == "closed":
            stream.close()
        return stream if how == "closed outside" else None

    with callbacks(recorder):
        stream = traced("request")(left)() if in_run else left()
        gc.collect()
    if stream is not None:
        stream.close()

    found = statuses(recorder)
    assert found["RunnableSequence"] == found["FakeListChatModel"] == "abandoned"
    (model,) = recorder.find("FakeListChatModel")
    assert model.outputs == "a"
    assert isinstance(model.error, GeneratorExit)
    if stream is None or not in_run:
        whole(recorder)


@pytest.mark.parametrize("model", [CHAT, Completion()], ids=["chat", "completion"])
def test_model_left_early(model: Any, whole: Callable[..., None]) -> None:
    """
    A model whose stream is closed is abandoned, with the text so far.
    """
    recorder = Recorder()

    with callbacks(recorder):
        stream = model.stream("q")
        next(stream)
        next(stream)
        stream.close()

    whole(recorder)
    (run,) = recorder.runs
    assert (run.status, run.outputs) == ("abandoned", "ab")
    assert recorder.events[-1].event == "on_llm_error"
    assert recorder.events[-1].data["text"] == "ab"


@pytest.mark.parametrize("in_run", [True, False])
async def test_async_left_early(in_run: bool, whole: Callable[..., None]) -> None:
    """
    An async sequence that is closed is abandoned, its model too and before it, as
    soon as the loop has closed what LangChain leaves to it.
    """
    recorder = Recorder()

    async def left() -> None:
        stream: Any = sequence().astream("q")
        await anext(stream)
        await stream.aclose()

    async with callbacks(recorder):
        await (traced("request")(left)() if in_run else left())
    for _ in range(100):  # turns of the loop
        await asyncio.sleep(0)

    if not in_run:
        whole(recorder)
    found = statuses(recorder)
    assert found["RunnableSequence"] == found["FakeListChatModel"] == "abandoned"
    (model,) = recorder.find("FakeListChatModel")
    assert model.outputs == "a"


async def test_async_model_left_early(whole: Callable[..., None]) -> None:
    """
    A model whose async stream is closed is abandoned, with the text so far.
    """
    recorder = Recorder()

    async with callbacks(recorder):
        stream: Any = CHAT.astream("q")
        await anext(stream)
        await stream.aclose()

    whole(recorder)
    (run,) = recorder.runs
    assert (run.status, run.outputs) == ("abandoned", "a")


def with_fallbacks() -> "Runnable[Any, Any]":
    """
    Make one of whose stream LangChain tells no end, where it is left at its first piece.
    """
    return RunnableGenerator(passed, apassed).with_fallbacks([RunnableLambda(str)])


@pytest.mark.parametrize("how", ["closed", "dropped"])
def test_left_at_the_first_piece(how: str, whole: Callable[..., None]) -> None:
    """
    A stream whose end LangChain does not tell is abandoned when it has gone.
    """
    recorder = Recorder()

    with callbacks(recorder):
        stream: Any = with_fallbacks().stream("q")
        next(stream)
        assert statuses(recorder)["RunnableWithFallbacks"] == "running"
        if how == "closed":
            stream.close()
        del stream
        gc.collect()

    whole(recorder)
    assert statuses(recorder)["RunnableWithFallbacks"] == "abandoned"


@pytest.mark.parametrize("how", ["closed", "cancelled", "in two tasks"])
async def test_async_left_at_the_first_piece(
    how: str, whole: Callable[..., None]
) -> None:
    """
    So is one in async code, as soon as the loop has closed what LangChain leaves to it,
    also where each step has a task; or it is cancelled with its own.
    """
    recorder, begun = Recorder(), asyncio.Event()

    async def left() -> None:
        stream: Any = with_fallbacks().astream("q")
        await anext(stream)
        begun.set()
        if how == "cancelled":
            await asyncio.Event().wait()
        await stream.aclose()

    async with callbacks(recorder):
        if how == "in two tasks":
            stream: Any = with_fallbacks().astream("q")
            await asyncio.create_task(anext(stream))
            assert statuses(recorder)["RunnableWithFallbacks"] == "running"
            await asyncio.create_task(stream.aclose())
            del stream
        else:
            task = asyncio.create_task(left())
            if how == "cancelled":
                await begun.wait()
                task.cancel()
            await asyncio.wait([task])
    for _ in range(100):  # turns of the loop
        await asyncio.sleep(0)

    whole(recorder)
    expected = "cancelled" if how == "cancelled" else "abandoned"
    assert statuses(recorder)["RunnableWithFallbacks"] == expected


def test_thrown_into_while_branches_are_open() -> None:
    """
    What LangChain ends by what a frame of the error has is ended as soon as the error has
    gone, though the run that failed by it stands above.
    """
    recorder = Recorder()
    app = RunnableParallel(a=RunnableGenerator(passed), b=RunnableGenerator(passed))
    gc.disable()
    try:
        with callbacks(recorder):
            stream: Any = app.stream("q")
            next(stream)
            with pytest.raises(KeyError):
                stream.throw(KeyError("gone"))
            del stream
        told = statuses(recorder)
    finally:
        gc.enable()

    assert told.pop("RunnableParallel<a,b>") == "error"
    assert told
    assert "running" not in told.values()


def test_broken_off_by_the_consumer(whole: Callable[..., None]) -> None:
    """
    Who breaks out of a loop over a stream leaves nothing open.
    """
    recorder = Recorder()

    with callbacks(recorder), traced("request"):
        for _ in sequence().stream("q"):
            break

    whole(recorder)


def test_stream_that_fails(whole: Callable[..., None]) -> None:
    """
    A model that fails mid-stream ends as an error with the text so far, and so does
    what streams it, with the same exception.
    """
    model = FakeListChatModel(responses=["abc"], error_on_chunk_number=2)
    recorder = Recorder()

    with callbacks(recorder), pytest.raises(Exception) as caught:
        list((RunnableLambda(str) | model).stream("q"))

    whole(recorder)
    (run,) = recorder.find("FakeListChatModel")
    assert (run.status, run.outputs, run.error_origin) == ("error", "ab", True)
    assert recorder.roots[0].error is run.error is caught.value


def test_inputs_of_a_stream(whole: Callable[..., None]) -> None:
    """
    What a stream was called with is known at its end.
    """
    recorder = Recorder()

    with callbacks(recorder):
        list(sequence().stream("q"))

    whole(recorder)
    assert recorder.roots[0].inputs == "q"
