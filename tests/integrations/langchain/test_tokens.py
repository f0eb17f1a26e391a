"""
Tokens on demand: a handler with ``wants_tokens`` has models stream that were invoked.
"""

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from threading import Thread
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.language_models.fake_chat_models import (
    FakeListChatModel,
    FakeMessagesListChatModel,
)
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers import JsonOutputParser, StrOutputParser
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel

from instrument import callbacks, traced
from instrument.testing import Recorder

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("langchain")]


class Wants:
    """
    Wants tokens, and keeps them.
    """

    wants_tokens = True

    def __init__(self) -> None:
        self.tokens: list[str] = []

    def on_llm_new_token(self, token: str, **_: Any) -> None:
        self.tokens.append(token)


class Counting(FakeListChatModel):
    """
    Counts how it was asked.
    """

    streamed: int = 0

    def _stream(self, *args: Any, **kwargs: Any) -> Any:
        self.streamed += 1
        yield from super()._stream(*args, **kwargs)

    async def _astream(self, *args: Any, **kwargs: Any) -> Any:
        self.streamed += 1
        async for chunk in super()._astream(*args, **kwargs):
            yield chunk


APPS: dict[str, tuple[str, Callable[[Any], Any], Any]] = {
    # what is called: (what the model says, what is made of it, the result)
    "a model": ("abc", lambda model: model | (lambda m: m.content), "abc"),
    "a chain": ("abc", lambda model: model | StrOutputParser(), "abc"),
    "structured output": (
        '{"a": [1, 2]}',
        lambda model: model | JsonOutputParser(),
        {"a": [1, 2]},
    ),
    "a nested model": (
        "abc",
        lambda model: RunnableLambda(lambda q: model.invoke(q).content),
        "abc",
    ),
}


def invoked(app: "Runnable[Any, Any]", *, is_async: bool) -> Any:
    """
    Call it one way or the other.
    """
    return asyncio.run(app.ainvoke("q")) if is_async else app.invoke("q")


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("is_async", [True, False])
def test_invoked_models_stream(app: str, is_async: bool) -> None:
    """
    With such a handler a model that can stream does, and the result is the same.
    """
    said, make, result = APPS[app]
    model, wants, recorder = Counting(responses=[said]), Wants(), Recorder()

    with callbacks(wants, recorder):
        assert invoked(make(model), is_async=is_async) == result

    assert wants.tokens == list(said)
    assert model.streamed == 1
    (run,) = recorder.find(kind="chat_model")
    assert run.time_to_first_token_s is not None
    assert recorder.events[-1].data["status"] == "ok"


@pytest.mark.parametrize("is_async", [True, False])
def test_nobody_else_streams(is_async: bool) -> None:
    """
    Without one nothing changes, nor after its block, nor beside it.
    """
    model, recorder = Counting(responses=["abc"]), Recorder()

    with callbacks(Wants()):
        pass
    with callbacks(recorder):
        invoked(model, is_async=is_async)
    with callbacks(Wants()), callbacks(inherit=False):
        invoked(model, is_async=is_async)
    invoked(model, is_async=is_async)

    assert model.streamed == 0
    assert "on_llm_new_token" not in {event.event for event in recorder.events}


@pytest.mark.parametrize("is_async", [True, False])
def test_streams_are_not_doubled(is_async: bool) -> None:
    """
    A model that is streamed anyhow tells each token once.
    """
    wants = Wants()
    app = RunnableLambda(str) | FakeListChatModel(responses=["abc"])

    async def drained() -> None:
        async for _ in app.astream("q"):
            pass

    with callbacks(wants):
        asyncio.run(drained()) if is_async else list(app.stream("q"))

    assert wants.tokens == list("abc")


def test_parallel_models() -> None:
    """
    Models side by side each stream, in the threads of LangChain.
    """
    wants = Wants()
    model = FakeListChatModel(responses=["abc"])

    with callbacks(wants), traced("request"):
        RunnableParallel(a=model, b=model).invoke("q")

    assert sorted(wants.tokens) == list("aabbcc")


def test_process_wide() -> None:
    """
    A process-wide handler may want tokens, too.
    """
    wants = Wants()

    with callbacks(wants).install():
        FakeListChatModel(responses=["abc"]).invoke("q")

    assert wants.tokens == list("abc")


def test_block_left_from_elsewhere() -> None:
    """
    A block that another thread has left wants nothing any more.
    """
    model, block = Counting(responses=["abc"]), callbacks(Wants())

    def inside() -> None:
        block.__enter__()
        leaving = Thread(target=block.__exit__, args=(None, None, None))
        leaving.start()
        leaving.join()
        model.invoke("q")

    copy_context().run(inside)

    assert model.streamed == 0


def test_model_that_cannot_stream() -> None:
    """
    A model that cannot stream answers as it did, without tokens.
    """
    wants = Wants()

    with callbacks(wants):
        answer = FakeMessagesListChatModel(responses=[AIMessage("abc")]).invoke("q")

    assert answer.content == "abc"
    assert wants.tokens == []


def test_what_a_handler_calls_does_not_stream() -> None:
    """
    A model that a handler itself calls is not heard, and does not stream.
    """
    model = Counting(responses=["abc"])

    class Judge(Wants):
        def on_llm_end(self, *_: Any, **__: Any) -> None:
            model.invoke("is that so?")

    with callbacks(Judge()):
        FakeListChatModel(responses=["abc"]).invoke("q")

    assert model.streamed == 0


class Blocks(FakeListChatModel):
    """
    Streams blocks of content, as models that reason do.
    """

    def _stream(self, *_: Any, run_manager: Any = None, **__: Any) -> Any:
        contents: Any = ([{"type": "text", "text": "a", "index": 0}], "", "b")
        for content in contents:
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=content))
            if run_manager is not None:
                run_manager.on_llm_new_token(content, chunk=chunk)
            yield chunk


def test_blocks_of_content() -> None:
    """
    The text of a block is a token; what has no text is none.
    """
    wants = Wants()

    with callbacks(wants):
        list(Blocks(responses=[]).stream("q"))

    assert wants.tokens == ["a", "b"]
