"""
Handlers that fail, and those that mean to stop LangChain: ``raise_error = True``.
"""

import asyncio
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.callbacks import BaseCallbackHandler as LangChainHandler
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models import LLM
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tools import tool

from instrument import AsyncCallbackHandler, BaseCallbackHandler, callbacks, traced
from instrument.integrations.langchain._messages import messages_of
from instrument.testing import Recorder

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("langchain")]

RAN: list[str] = []


@pytest.fixture(autouse=True)
def ran() -> Iterator[list[str]]:
    """
    Collect which bodies ran.
    """
    RAN.clear()
    yield RAN
    RAN.clear()


class Model(FakeListChatModel):
    """
    Says that it ran.
    """

    def _call(self, *args: Any, **kwargs: Any) -> str:
        RAN.append("chat_model")
        return super()._call(*args, **kwargs)


class Completion(LLM):
    """
    Says that it ran.
    """

    _llm_type = "completion"

    def _call(self, *args: Any, **kwargs: Any) -> str:
        RAN.append("llm")
        return "abc"


class Documents(BaseRetriever):
    """
    Says that it ran.
    """

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        RAN.append("retriever")
        return []


@tool("shout")
def shout(text: str) -> str:
    """
    Say that it ran.
    """
    RAN.append("tool")
    return text


KINDS: dict[str, Runnable[Any, Any]] = {
    "chain": RunnableLambda(lambda _: RAN.append("chain")),
    "chat_model": Model(responses=["abc"]),
    "llm": Completion(),
    "retriever": Documents(),
    "tool": shout,
}


class Stops(BaseCallbackHandler):
    """
    Raises at one event.
    """

    raise_error = True

    def __init__(self, event: str) -> None:
        self._event = event

    def on_event(self, event: Any, **_: Any) -> None:
        if event.event == self._event:
            raise PermissionError(event.event)


class AsyncStops(AsyncCallbackHandler):
    """
    Raises at one event, awaited.
    """

    raise_error = True

    def __init__(self, event: str) -> None:
        self._event = event

    async def on_event(self, event: Any, **_: Any) -> None:
        if event.event == self._event:
            raise PermissionError(event.event)


def sequence(kind: str) -> "Runnable[Any, Any]":
    """
    Make a chain that calls one thing of that kind.
    """
    return RunnableLambda(str, name="first") | KINDS[kind]


@pytest.mark.parametrize("stops", [Stops, AsyncStops])
@pytest.mark.parametrize("when", ["start", "end"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_async", [True, False])
def test_start_and_end_are_stopped(
    kind: str, when: str, stops: Any, is_async: bool, whole: Callable[..., None]
) -> None:
    """
    A handler that may, sync or async, stops what starts before its body runs, and
    discards what has ended, in sync and async code; all others hear all of it.
    """
    recorder = Recorder()
    event = f"on_{kind}_{when}".replace("chat_model_end", "llm_end")
    before = Stops(event) if kind == "chain" else stops(event)

    async def main() -> None:
        async with callbacks(before, recorder):
            await sequence(kind).ainvoke("q")

    with pytest.raises(PermissionError) as caught:
        if is_async:
            asyncio.run(main())
        else:
            with callbacks(before, recorder):
                sequence(kind).invoke("q")

    whole(recorder)
    if kind != "chain":  # of which there are three
        assert [kind] * (when == "end") == RAN
        (run,) = recorder.find(kind=kind)
        assert run.status == ("error" if when == "start" else "ok")
        assert repr(recorder.roots[0].error) == repr(caught.value)
    assert recorder.roots[0].status == "error" or when == "end"


@pytest.mark.parametrize("kind", ["chat_model", "chain"])
@pytest.mark.parametrize("stops", [Stops, AsyncStops])
async def test_first_of_all_is_stopped(
    kind: str, stops: Any, whole: Callable[..., None]
) -> None:
    """
    What is called outside any run is stopped as well, and ends as an error.
    """
    recorder = Recorder()

    async with callbacks(recorder, stops(f"on_{kind}_start")):
        with pytest.raises(PermissionError) as caught:
            await KINDS[kind].ainvoke("q")

    whole(recorder)
    assert [repr(run.error) for run in recorder.runs] == [repr(caught.value)]
    assert RAN == []


@pytest.mark.parametrize("stops", [Stops, AsyncStops])
@pytest.mark.parametrize("is_async", [True, False])
def test_token_stops_a_stream(
    stops: Any, is_async: bool, whole: Callable[..., None]
) -> None:
    """
    A token is where a stream can be stopped: it ends as an error with its text so far.
    """
    recorder = Recorder()
    model = FakeListChatModel(responses=["abc"])
    got: list[str] = []

    async def main() -> None:
        async with callbacks(recorder, stops("on_llm_new_token")):
            got.extend([str(chunk.content) async for chunk in model.astream("q")])

    with pytest.raises(PermissionError):
        if is_async:
            asyncio.run(main())
        else:
            with callbacks(recorder, stops("on_llm_new_token")):
                got.extend(str(chunk.content) for chunk in model.stream("q"))

    whole(recorder)
    (run,) = recorder.runs
    assert (run.status, run.outputs, got) == ("error", "a", [])


def test_stopped_by_other_exceptions(whole: Callable[..., None]) -> None:
    """
    ``NotImplementedError``, of which LangChain makes something else, stops it too.
    """

    class Refuses(BaseCallbackHandler):
        raise_error = True

        def on_chat_model_start(self, *_: Any, **__: Any) -> None:
            raise NotImplementedError("mine")

    recorder = Recorder()
    with callbacks(recorder, Refuses()), pytest.raises(Exception, match="mine"):
        KINDS["chat_model"].invoke("q")

    whole(recorder)
    assert RAN == []


@pytest.mark.parametrize("is_async", [True, False])
async def test_handler_that_fails(
    is_async: bool, whole: Callable[..., None], reports: list[str]
) -> None:
    """
    A handler that fails changes nothing, silences nobody, and is reported once.
    """

    class Fails(BaseCallbackHandler):
        def on_chain_start(self, *_: Any, **__: Any) -> None:
            raise ValueError("mine")

    recorder = Recorder()
    async with callbacks(Fails(), recorder):
        app = sequence("chat_model")
        result = await app.ainvoke("q") if is_async else app.invoke("q")

    assert result.content == "abc"
    whole(recorder)
    assert len([line for line in reports if "Fails" in line and "mine" in line]) == 1


@pytest.mark.parametrize("is_async", [True, False])
async def test_handler_that_fails_at_everything(
    is_async: bool, whole: Callable[..., None], reports: list[str]
) -> None:
    """
    A handler that fails at every event of every kind changes nothing.
    """

    class Fails:
        def __getattr__(self, name: str) -> Any:
            if not name.startswith("on_"):
                raise AttributeError(name)
            raise ValueError(name)

        def on_event(self, event: Any) -> None:
            raise ValueError(event.event)

    recorder = Recorder()
    async with callbacks(Fails(), recorder):
        for kind in KINDS:
            app = sequence(kind)
            if is_async:
                await app.ainvoke("q")
            else:
                app.invoke("q")

    assert list(KINDS) == RAN
    whole(recorder, roots=len(KINDS))
    assert reports


async def test_plain_function_that_gives_a_coroutine() -> None:
    """
    What a handler's plain function returns is awaited, where it is a coroutine.
    """
    heard: list[str] = []

    async def later(name: str) -> None:
        heard.append(name)

    def hear(serialized: Any, inputs: Any, name: str) -> Any:
        return later(name)

    async with callbacks(on_chain_start=hear):
        await KINDS["chain"].ainvoke("q")
        KINDS["chain"].invoke("q")

    assert heard == ["RunnableLambda"] * 2


async def test_completion_model_beside_other_handlers() -> None:
    """
    Completion models are heard by all in async code, and LangChain's own handlers hear
    as they did.
    """

    class Theirs(LangChainHandler):
        def __init__(self, *, inline: bool) -> None:
            self.run_inline = inline
            self.prompts: list[Any] = []

        def on_llm_start(self, serialized: Any, prompts: Any, **_: Any) -> None:
            self.prompts.append(prompts)

    inline, plain, recorder = Theirs(inline=True), Theirs(inline=False), Recorder()
    async with callbacks(inline, plain, recorder):
        await KINDS["llm"].ainvoke("q")
        await KINDS["llm"].agenerate(["a", "b"])  # type: ignore[attr-defined]

    assert inline.prompts == plain.prompts == [["q"], ["a"], ["b"]]
    assert [run.inputs for run in recorder.runs] == [["q"], ["a"], ["b"]]


async def test_other_handlers_while_nobody_listens() -> None:
    """
    LangChain's own handlers hear the same as without us, where nobody listens here.
    """

    class Theirs(LangChainHandler):
        heard = 0

        def on_llm_start(self, *_: Any, **__: Any) -> None:
            self.heard += 1

    theirs = Theirs()

    await KINDS["llm"].ainvoke("q", {"callbacks": [theirs]})

    assert theirs.heard == 1


def test_duplicates_are_heard_once(whole: Callable[..., None]) -> None:
    """
    One handler given in several ways hears each event once.
    """
    recorder: Any = Recorder()
    model = FakeListChatModel(responses=["a"], callbacks=[recorder])
    app = RunnableLambda(model.invoke).with_config(callbacks=[recorder])

    with callbacks(recorder), callbacks(recorder), traced("r", callbacks=[recorder]):
        app.invoke("q", {"callbacks": [recorder, recorder]})

    whole(recorder)
    assert [run.kind for run in recorder.runs] == ["chain", "chain", "chat_model"]


def test_duck() -> None:
    """
    An object that is no LangChain handler hears LangChain, and one that is false too.
    """

    class Handler:
        def __len__(self) -> int:
            return 0

        def on_chain_end(self, outputs: Any, **_: Any) -> None:
            heard.append(outputs)

    heard: list[Any] = []
    with callbacks(Handler()):
        RunnableLambda(str).invoke(1)

    assert heard == ["1"]


class TimeLimit(Exception):  # noqa: N818 - as those of job queues are called
    """
    What a job's time limit raises.
    """


@pytest.mark.parametrize("is_async", [True, False])
def test_time_limit_while_a_start_is_made(is_async: bool) -> None:
    """
    What a signal handler raises while a run of LangChain's is begun reaches the caller.
    """

    def over(*_: object) -> None:
        raise TimeLimit

    def redact(*_: object) -> None:
        signal.raise_signal(signal.SIGALRM)

    async def main() -> None:
        async with callbacks(Recorder(), redact=redact):
            await KINDS["chain"].ainvoke("q")

    before = signal.signal(signal.SIGALRM, over)
    try:
        with pytest.raises(TimeLimit):
            if is_async:
                asyncio.run(main())
            else:
                with callbacks(Recorder(), redact=redact):
                    KINDS["chain"].invoke("q")
    finally:
        signal.signal(signal.SIGALRM, before)


def test_message_of_another_kind() -> None:
    """
    What is no message is told as one of what it says; what interrupts goes through.
    """

    class Interrupts:
        __slots__ = ()

        def __repr__(self) -> str:
            raise KeyboardInterrupt

    assert [message.type for message in messages_of(object())] == ["human"]

    with pytest.raises(KeyboardInterrupt):
        messages_of({"role": "user", "content": Interrupts()})
