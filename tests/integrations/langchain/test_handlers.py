"""
Handlers written for LangChain, unchanged, in our scope: of our runs and of LangChain's.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

pytest.importorskip("langchain_core")
from langchain_core.callbacks import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    FileCallbackHandler,
    StdOutCallbackHandler,
    StreamingStdOutCallbackHandler,
    UsageMetadataCallbackHandler,
)
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    HumanMessage,
    SystemMessage,
)
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    GenerationChunk,
    LLMResult,
)
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tools import tool
from langchain_core.tracers.base import AsyncBaseTracer, BaseTracer
from langchain_core.tracers.langchain import LangChainTracer
from langchain_core.tracers.root_listeners import RootListenersTracer
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler
from langchain_core.tracers.stdout import (
    ConsoleCallbackHandler,
    FunctionCallbackHandler,
)

from instrument import callbacks, current_run, traced
from instrument.integrations.langchain._kinds import answer_of

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("langchain"),
    # by versions before 1, of themselves
    pytest.mark.filterwarnings(
        "ignore:The `(construct|copy|dict)` method is deprecated"
    ),
]


@traced.retriever
def find(query: str) -> list[Any]:
    """
    Find documents of three shapes.
    """
    return ["cats", {"page_content": "dogs", "metadata": {"page": 1}}, Document("ants")]


@traced.tool
def add(x: int, y: int) -> int:
    """
    Add.
    """
    return x + y


@traced.chat_model(model="fake-1", provider="nobody")
def chat(messages: list[dict[str, str]]) -> str:
    """
    Answer a conversation.
    """
    current_run().record_usage(input_tokens=3, output_tokens=2, cache_read_tokens=1)
    return "Paris."


@traced.llm(model="fake-2")
def complete(prompt: str, temperature: float = 0.5) -> Iterator[str]:
    """
    Stream a completion.
    """
    yield from ("of ", "course")


@traced(kind="agent", tags=["v2"], metadata={"team": "geo"})
def answer(question: str) -> str:
    """
    Do all of that.
    """
    find(question)
    add(1, 2)
    system = {"role": "system", "content": "Be brief."}
    text = chat([system, {"role": "user", "content": question}])
    return text + "".join(complete(question))


NAMES = ["answer", "find", "add", "chat", "complete"]


class Told(BaseCallbackHandler):
    """
    Keeps what it is told, by event.
    """

    def __init__(self) -> None:
        self.told: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def of(self, event: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        """
        Give the arguments of each such event.
        """
        return [(args, kwargs) for name, args, kwargs in self.told if name == event]

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("on_"):
            return super().__getattribute__(name)
        return lambda *args, **kwargs: self.told.append((name, args, kwargs))


class Tracer(BaseTracer):
    """
    Keeps the roots of trees.
    """

    def __init__(self) -> None:
        super().__init__()
        self.roots: list[Any] = []

    def _persist_run(self, run: Any) -> None:
        self.roots.append(run)


class AsyncTracer(AsyncBaseTracer):
    """
    The same in async code.
    """

    def __init__(self) -> None:
        super().__init__()
        self.roots: list[Any] = []

    async def _persist_run(self, run: Any) -> None:
        await asyncio.sleep(0)
        self.roots.append(run)


def test_keywords() -> None:
    """
    They get the keywords that LangChain passes, and no other.
    """
    told = Told()

    with callbacks(told, tags=["web"], metadata={"user": "ada"}):
        answer("Where?")

    ((serialized, inputs), given), *_ = told.of("on_chain_start")
    assert (serialized, inputs) == ({"name": "answer"}, {"question": "Where?"})
    assert isinstance(given.pop("run_id"), UUID)
    assert given == {
        "parent_run_id": None,
        "tags": ["web", "v2"],
        "metadata": {"team": "geo", "user": "ada"},
        "name": "answer",
    }
    ((_, text), given), *_ = told.of("on_tool_start")
    assert (text, given["inputs"]) == ("{'x': 1, 'y': 2}", {"x": 1, "y": 2})
    (_, given), *_ = told.of("on_llm_start")
    assert given["invocation_params"] == {"temperature": 0.5, "model": "fake-2"}
    assert not any("run" in kwargs for _, _, kwargs in told.told)


def test_messages() -> None:
    """
    Messages of ours, whatever their shape, are LangChain's messages.
    """
    told = Told()
    odd = {"role": "narrator", "content": "Once"}

    with callbacks(told):
        answer("Where?")
        chat([odd, "plain", HumanMessage("real")])  # type: ignore[list-item]

    (((_, [first]), _), ((_, [second]), _)) = told.of("on_chat_model_start")
    assert first == [SystemMessage("Be brief."), HumanMessage("Where?")]
    once = ChatMessage(role="narrator", content="Once")
    assert second == [once, HumanMessage("plain"), HumanMessage("real")]


def test_results() -> None:
    """
    What a model of ours returned is an `LLMResult`, with usage where LangChain has it.
    """
    told = Told()

    with callbacks(told):
        answer("Where?")

    ((chat_result,), _), ((text_result,), _) = told.of("on_llm_end")
    assert isinstance(chat_result, LLMResult)
    generation: Any = chat_result.generations[0][0]
    assert isinstance(generation, ChatGeneration)
    assert generation.text == "Paris."
    assert generation.message.response_metadata == {
        "model_name": "fake-1",
        "model_provider": "nobody",
    }
    message: Any = generation.message
    assert message.usage_metadata == {
        "input_tokens": 3,
        "output_tokens": 2,
        "total_tokens": 5,
        "input_token_details": {"cache_read": 1},
        "output_token_details": {},
    }
    assert chat_result.llm_output == {
        "model_name": "fake-1",
        "token_usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }
    assert text_result.generations[0][0].text == "of course"
    assert text_result.llm_output == {"model_name": "fake-2"}


def test_message_of_langchain() -> None:
    """
    A message of LangChain that a function of ours returns stays that message.
    """
    told = Told()
    reply = AIMessage("Paris.")

    with callbacks(told):
        traced.chat_model(lambda messages: reply)("Where?")

    (((result,), _),) = told.of("on_llm_end")
    assert result.generations[0][0].message is reply


def test_text_models_only() -> None:
    """
    A handler that knows text models alone hears chat models as text.
    """
    told: list[list[str]] = []

    class Old(BaseCallbackHandler):
        def on_llm_start(self, serialized: Any, prompts: Any, **kwargs: Any) -> None:
            told.append(prompts)

    with callbacks(Old()):
        chat([{"role": "user", "content": "Where?"}])

    assert told == [["Human: Where?"]]


@pytest.mark.parametrize("generations", [[], [[]]])
def test_nothing_answered(generations: list[Any]) -> None:
    """
    A result without an answer is read as an empty one.
    """
    answer = answer_of(LLMResult(generations=generations))

    assert (answer.text, answer.usage, answer.model) == ("", None, None)


def test_tokens() -> None:
    """
    A token comes with a chunk of LangChain's.
    """
    told = Told()

    @traced.chat_model
    def stream(messages: str) -> Iterator[Any]:
        yield "a"
        yield AIMessageChunk(content="b")

    with callbacks(told):
        list(complete("x"))
        list(stream("x"))

    heard = told.of("on_llm_new_token")
    assert [args for args, _ in heard] == [("of ",), ("course",), ("a",), ("b",)]
    chunks = [kwargs["chunk"] for _, kwargs in heard]
    assert [type(chunk) for chunk in chunks] == (
        [GenerationChunk] * 2 + [ChatGenerationChunk] * 2
    )
    assert [chunk.text for chunk in chunks] == ["of ", "course", "a", "b"]


def test_documents() -> None:
    """
    What a retriever of ours found are Documents; one of LangChain's stays what it is.
    """
    told = Told()
    found = Document("it")

    with callbacks(told):
        find("x")
        traced.retriever(lambda query: [found, 7])("x")
        traced.retriever(lambda query: None)("x")

    (((first,), _), ((second,), _), ((third,), _)) = told.of("on_retriever_end")
    assert first == [
        Document("cats"),
        Document("dogs", metadata={"page": 1}),
        Document("ants"),
    ]
    assert second[0] is found
    assert second[1] == Document("7")
    assert third is None


def test_errors() -> None:
    """
    A model that fails is told with what there was of its answer.
    """
    told = Told()

    @traced.llm
    def broken(prompt: str) -> Iterator[str]:
        yield "half"
        raise TimeoutError

    with callbacks(told), pytest.raises(TimeoutError):
        list(broken("x"))

    ((error,), given), *_ = told.of("on_llm_error")
    assert isinstance(error, TimeoutError)
    assert isinstance(given["response"], LLMResult)
    assert given["response"].generations[0][0].text == "half"


class Shelf(BaseRetriever):
    """
    Has one document.
    """

    document: Document

    def _get_relevant_documents(
        self, query: str, *, run_manager: Any
    ) -> list[Document]:
        return [self.document]


def test_originals() -> None:
    """
    Of LangChain's own runs they get the very objects that LangChain made.
    """
    told, direct = Told(), Told()
    question = HumanMessage("Where?")
    reply = AIMessage("There.", usage_metadata=None)
    document = Document("map")
    model = GenericFakeChatModel(messages=iter([reply]))
    error = KeyError("lost")

    def lose(_: object) -> None:
        raise error

    config: Any = {"callbacks": [direct]}
    with callbacks(told):
        answered = model.invoke([question], config)
        Shelf(document=document).invoke("Where?", config)
        with pytest.raises(KeyError):
            RunnableLambda(lose).invoke("Where?", config)

    (((_, [[message]]), started),) = told.of("on_chat_model_start")
    ((_, original),) = direct.of("on_chat_model_start")
    assert message is question
    assert started == {**original, "name": "GenericFakeChatModel"}
    (((result,), _),) = told.of("on_llm_end")
    (((original_result,), _),) = direct.of("on_llm_end")
    assert result is original_result
    assert result.generations[0][0].message is answered
    ((([found],), _),) = told.of("on_retriever_end")
    assert found is document
    (((raised,), _),) = told.of("on_chain_error")
    assert raised is error


def test_heard_twice() -> None:
    """
    LangChain's handler given to us and to LangChain hears LangChain's runs from both.

    No hook tells us whom LangChain was given: one of ours would hear once.
    """
    told = Told()
    config: Any = {"callbacks": [told]}

    with callbacks(told):
        RunnableLambda(len).invoke("abc", config)

    assert len(told.of("on_chain_start")) == len(told.of("on_chain_end")) == 2


def test_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    """
    `StdOutCallbackHandler` prints chains and what tools gave.
    """
    with callbacks(StdOutCallbackHandler()):
        answer("Where?")

    printed = capsys.readouterr().out
    assert "Entering new answer chain..." in printed
    assert printed.count("Finished chain.") == 1


def test_streaming_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    """
    `StreamingStdOutCallbackHandler` writes our tokens and LangChain's.
    """
    with callbacks(StreamingStdOutCallbackHandler()):
        answer("Where?")
        list(FakeListChatModel(responses=["!!"]).stream("x"))

    assert capsys.readouterr().out == "of course!!"


def test_file(tmp_path: Path) -> None:
    """
    `FileCallbackHandler` writes what the other prints.
    """
    path = tmp_path / "log.txt"

    with FileCallbackHandler(str(path)) as handler, callbacks(handler):
        answer("Where?")

    assert "Entering new answer chain..." in path.read_text()


@pytest.mark.parametrize("cls", [ConsoleCallbackHandler, FunctionCallbackHandler])
def test_console(cls: type, capsys: pytest.CaptureFixture[str]) -> None:
    """
    `ConsoleCallbackHandler` shows the way to each run; tools by name do not break it.
    """
    lines: list[str] = []
    handler = cls() if cls is ConsoleCallbackHandler else cls(lines.append)

    with callbacks(handler):
        answer("Where?")

    printed = capsys.readouterr().out + "\n".join(lines)
    assert "[chain:answer > tool:add] Entering Tool run" in printed
    assert "[chain:answer > llm:chat]" in printed
    assert "Exiting Chain run" in printed


def test_usage() -> None:
    """
    `UsageMetadataCallbackHandler` counts models of ours by their names.
    """
    handler = UsageMetadataCallbackHandler()

    with callbacks(handler):
        answer("Where?")
        answer("Where else?")

    assert handler.usage_metadata["fake-1"]["total_tokens"] == 10


def test_run_collector() -> None:
    """
    `RunCollectorCallbackHandler` collects whole trees.
    """
    handler = RunCollectorCallbackHandler()

    with callbacks(handler):
        answer("Where?")

    (root,) = handler.traced_runs
    assert [root.name, *(child.name for child in root.child_runs)] == NAMES


@traced
def through_langchain(question: str) -> Any:
    """
    Call LangChain, which calls us.
    """
    step: Runnable[str, str] = RunnableLambda(answer, name="step")
    return step.invoke(question)


def test_tracer() -> None:
    """
    A `BaseTracer` sees one tree of our runs around LangChain's around ours.
    """
    tracer = Tracer()

    with callbacks(tracer):
        through_langchain("Where?")

    (outer,) = tracer.roots
    (step,) = outer.child_runs
    (inner,) = step.child_runs
    assert [outer.name, step.name, inner.name] == [
        "through_langchain",
        "step",
        "answer",
    ]
    assert [child.name for child in inner.child_runs] == NAMES[1:]
    assert tracer.run_map == {}


@pytest.mark.parametrize("is_async", [True, False])
async def test_async_tracer(*, is_async: bool) -> None:
    """
    An `AsyncBaseTracer`, which refuses chat models, sees them as text, as elsewhere.
    """
    tracer = AsyncTracer()

    async with callbacks(tracer):
        if is_async:
            await traced("outer")(anyio_answer)("Where?")
        else:
            answer("Where?")

    (root,) = tracer.roots
    below = root.child_runs[0] if is_async else root
    assert [child.name for child in below.child_runs] == NAMES[1:]
    assert below.child_runs[2].inputs["prompts"] == ["System: Be brief.\nHuman: Where?"]


async def anyio_answer(question: str) -> str:
    """
    Call it from async code.
    """
    return answer(question)


def test_root_listeners() -> None:
    """
    A `RootListenersTracer` tells of the root; ``with_listeners`` goes on as it was.
    """
    told: list[str] = []

    def start(run: Any) -> None:
        told.append(f"> {run.name}")

    def end(run: Any) -> None:
        told.append(f"< {run.name}")

    tracer = RootListenersTracer(config={}, on_start=start, on_end=end, on_error=None)
    listening = RunnableLambda(answer, name="step").with_listeners(
        on_start=start, on_end=end
    )

    with callbacks(tracer):
        answer("Where?")
    with callbacks(Tracer()):
        listening.invoke("Where?")

    assert told == ["> answer", "< answer", "> step", "< step"]


class Coroutines(AsyncCallbackHandler):
    """
    Awaits.
    """

    def __init__(self) -> None:
        self.told: list[str] = []

    async def on_chain_start(
        self, serialized: Any, inputs: Any, *, name: str = "", **kwargs: Any
    ) -> None:
        await asyncio.sleep(0)
        self.told.append(f"> {name}")

    async def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        await asyncio.sleep(0)
        self.told.append(token)

    async def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
        await asyncio.sleep(0)
        self.told.append("<")


def test_async_handler_in_sync_code() -> None:
    """
    An `AsyncCallbackHandler` hears sync code, in order.
    """
    handler = Coroutines()

    with callbacks(handler):
        answer("Where?")

    assert handler.told == ["> answer", "of ", "course", "<"]


async def test_async_handler() -> None:
    """
    In async code it is awaited where things happen.
    """
    handler = Coroutines()

    @traced
    async def asked(question: str) -> str:
        handler.told.append("body")
        return question

    async with callbacks(handler):
        await asked("Where?")
        handler.told.append("after")

    assert handler.told == ["> asked", "body", "<", "after"]


class Nowhere:
    """
    A client of LangSmith that keeps what it is to send.
    """

    def __init__(self) -> None:
        from langsmith import Client

        kept = self.kept = []  # type: ignore[var-annotated]

        class Keeping(Client):
            def create_run(self, name: str, *args: Any, **kwargs: Any) -> None:
                kept.append(("create", name, kwargs))

            def update_run(self, run_id: Any, **kwargs: Any) -> None:
                kept.append(("update", str(run_id), kwargs))

        self.client = Keeping(
            api_url="http://localhost:9", api_key="none", auto_batch_tracing=False
        )

    def close(self) -> None:
        """
        Let go of its connections.
        """
        self.client.session.close()


def test_langsmith() -> None:
    """
    `LangChainTracer` posts each run of ours once, and its end, as one trace.
    """
    nowhere = Nowhere()
    tracer = LangChainTracer(client=nowhere.client)

    with callbacks(tracer):
        through_langchain("Where?")
    tracer.wait_for_futures()
    nowhere.close()

    created = [it for it in nowhere.kept if it[0] == "create"]
    updated = [it for it in nowhere.kept if it[0] == "update"]
    assert [name for _, name, _ in created] == ["through_langchain", "step", *NAMES]
    assert len({kwargs["trace_id"] for _, _, kwargs in created}) == 1
    assert len(updated) == len(created)
    assert all(kwargs["end_time"] for _, _, kwargs in updated)
    assert tracer.run_map == {}


def test_openai_of_community() -> None:
    """
    LangChain community's `OpenAICallbackHandler` counts and prices our models.
    """
    community = pytest.importorskip("langchain_community.callbacks")

    @traced.llm(model="gpt-4o")
    def model(prompt: str) -> str:
        current_run().record_usage(input_tokens=1_000, output_tokens=100)
        return "yes"

    handler = community.OpenAICallbackHandler()
    with callbacks(handler):
        model("Is it?")

    assert handler.successful_requests == 1
    assert handler.total_tokens == 1_100
    assert handler.total_cost > 0


def test_openai_by_its_own_hook() -> None:
    """
    ``get_openai_callback`` goes on to hear LangChain, next to our scope.
    """
    community = pytest.importorskip("langchain_community.callbacks")
    usage: Any = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    model = GenericFakeChatModel(messages=iter([AIMessage("a", usage_metadata=usage)]))

    with callbacks(Tracer()) as _, community.get_openai_callback() as counted:
        model.invoke("x")

    assert counted.total_tokens == 5


def test_logging_of_classic(caplog: pytest.LogCaptureFixture) -> None:
    """
    LangChain classic's `LoggingCallbackHandler` logs our runs.
    """
    module = pytest.importorskip("langchain_classic.callbacks.tracers.logging")
    logger = logging.getLogger("langchain_of_ours")

    with (
        caplog.at_level(logging.INFO),
        callbacks(module.LoggingCallbackHandler(logger)),
    ):
        answer("Where?")

    assert "[chain:answer > tool:add]" in caplog.text


async def test_iterator_of_classic() -> None:
    """
    LangChain classic's `AsyncIteratorCallbackHandler` yields our tokens.
    """
    classic = pytest.importorskip("langchain_classic.callbacks")
    handler = classic.AsyncIteratorCallbackHandler()

    @traced.llm
    async def model(prompt: str) -> AsyncIterator[str]:
        for text in ("It ", "was"):
            await asyncio.sleep(0.01)
            yield text
        await asyncio.sleep(0.01)

    async def produce() -> None:
        async with callbacks(handler):
            [chunk async for chunk in model("x")]

    task = asyncio.create_task(produce())
    heard = [token async for token in handler.aiter()]
    await task

    assert heard == ["It ", "was"]


def test_tool_of_langchain() -> None:
    """
    A tool of LangChain is told with its arguments by name and as text.
    """
    told = Told()

    @tool
    def multiply(x: int, y: int) -> int:
        """
        Multiply.
        """
        return x * y

    with callbacks(told):
        multiply.invoke({"x": 2, "y": 3})

    (((serialized, text), given),) = told.of("on_tool_start")
    assert serialized["name"] == "multiply"
    assert text == "{'x': 2, 'y': 3}"
    assert given["inputs"] == {"x": 2, "y": 3}


def test_handler_that_fails(reports: list[str]) -> None:
    """
    A handler of LangChain that fails is reported once; calls go on.
    """

    class Clumsy(BaseCallbackHandler):
        def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            raise KeyError("serialized")

    with callbacks(Clumsy()):
        assert answer("Where?") == "Paris.of course"
        RunnableLambda(len).invoke("abc")

    (report,) = reports
    assert "Clumsy failed at on_chain_start" in report


def test_handler_that_stops() -> None:
    """
    ``raise_error`` of a handler of LangChain stops our runs and LangChain's.
    """

    class Stopper(BaseCallbackHandler):
        raise_error = True

        def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
            raise PermissionError

    @tool
    def free(x: int) -> int:
        """
        Do nothing.
        """
        return x

    with callbacks(Stopper()):
        with pytest.raises(PermissionError):
            answer("Where?")
        with pytest.raises(PermissionError):
            free.invoke({"x": 1})
