"""
What is redacted, dropped or secret reaches no handler from LangChain either.
"""

from typing import Annotated, Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.callbacks import dispatch_custom_event
from langchain_core.documents import Document
from langchain_core.language_models import LLM
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool

from instrument import Secret, callbacks, traced
from instrument.testing import Recorder

pytestmark = pytest.mark.usefixtures("langchain")

HIDDEN = "hunter2"


class Documents(BaseRetriever):
    """
    Finds what nobody is to see.
    """

    def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
        return [Document("public", metadata={"password": HIDDEN})]


class Completion(LLM):
    """
    Says back what it is asked.
    """

    _llm_type = "completion"
    password: str = HIDDEN

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"password": self.password}

    def _call(self, prompt: str, *_: Any, **__: Any) -> str:
        return prompt


@tool
def login(user: str, password: str) -> dict[str, Any]:
    """
    Log in.
    """
    return {"user": user, "password": password}


def everything_called(text: str, metadata: Any = None) -> None:
    """
    Call one of everything with *text*, under the name ``password`` where there are names.
    """
    message = HumanMessage("hello", additional_kwargs={"password": text})
    answer = AIMessage(
        "", tool_calls=[{"name": "login", "args": {"password": text}, "id": "1"}]
    )

    def deepen(given: dict[str, Any]) -> dict[str, Any]:
        return {**given, "deep": [{"password": text}]}

    inner = RunnableLambda(deepen)

    def body(given: dict[str, Any]) -> dict[str, Any]:
        dispatch_custom_event("told", {"password": text})
        FakeListChatModel(responses=["ok"]).invoke([message, answer])
        Completion(password=text).invoke("hello")
        Documents().invoke("q")
        login.invoke({"user": "u", "password": text})
        inner.invoke(given)
        prompt = ChatPromptTemplate.from_messages([("human", "{user}")])
        prompt.invoke({**given, "user": "u"})
        return {"messages": [message], "documents": [Document("x", metadata=given)]}

    given = {"password": text, "message": message}
    app = RunnableLambda(body)
    app.invoke(given, {"metadata": metadata or {}})
    list(app.stream(given))


def test_names_reach_no_handler(everything: Any) -> None:
    """
    A name to be masked is masked in dicts, messages, documents and tool calls, in
    inputs, outputs, metadata and parameters.
    """
    with callbacks(everything, redact=["password"]):
        everything_called(HIDDEN, metadata={"password": HIDDEN})

    assert HIDDEN not in everything.text
    assert "[redacted]" in everything.text
    assert "hello" in everything.text


def test_without_redaction_all_is_shown(everything: Any) -> None:
    """
    Without it the same text is seen, so that the test above looks where it is.
    """
    with callbacks(everything):
        everything_called(HIDDEN)

    assert everything.text.count(HIDDEN) > 20


def test_function_reaches_contents(everything: Any) -> None:
    """
    A function is asked for every string, those in messages and documents too.
    """

    def found(text: str) -> list[Document]:
        return [Document(text)]

    def mask(value: Any, path: Any) -> Any:
        return value.replace(HIDDEN, "***") if isinstance(value, str) else value

    with callbacks(everything, redact=mask):
        model = FakeListChatModel(responses=[f"it is {HIDDEN}"])
        model.invoke([HumanMessage(f"what about {HIDDEN}?")])
        list(model.stream(f"say {HIDDEN}"))
        Completion().invoke(HIDDEN)
        RunnableLambda(found).invoke(HIDDEN)

    assert HIDDEN not in everything.text
    assert "what about ***?" in everything.text


def test_failing_redactor_shows_nothing(everything: Any, reports: list[str]) -> None:
    """
    A redactor that fails drops the payload.
    """

    def fail(value: Any, path: Any) -> Any:
        raise ValueError

    with callbacks(everything, redact=fail):
        everything_called(HIDDEN)

    assert HIDDEN not in everything.text
    assert reports


def test_nothing_is_captured(everything: Any) -> None:
    """
    With ``capture=False`` no payload reaches a handler.
    """
    with callbacks(everything, capture=False):
        everything_called(HIDDEN)
        FakeListChatModel(responses=[HIDDEN]).invoke(HIDDEN, {"run_name": "named"})

    assert [run.name for run in everything.runs][-1] == "named"
    assert HIDDEN not in everything.text


def test_error_messages_are_redacted(everything: Any) -> None:
    """
    The message of an exception is a payload, in the native record.
    """

    def fail(_: Any) -> None:
        raise ValueError(HIDDEN)

    recorder = Recorder()
    redact = callbacks(recorder, redact=lambda v, _: "***" if v == HIDDEN else v)
    with redact, pytest.raises(ValueError, match=HIDDEN):
        RunnableLambda(fail).invoke(1)

    assert recorder.events[-1].data["message"] == "***"


@pytest.mark.parametrize("holds_more", [False, True])
def test_result_of_a_tool_that_failed(everything: Any, *, holds_more: bool) -> None:
    """
    What LangGraph makes a tool's result of an error is masked as that error's message:
    it tells what the tool was called with.
    """
    said = f"Error invoking 'login' with kwargs {{'password': '{HIDDEN}'}}: no user"
    more: Any = {"artifact": {"password": HIDDEN}} if holds_more else {}
    failed = ToolMessage(said, tool_call_id="1", status="error", **more)
    fine = ToolMessage("no password: none", tool_call_id="2")

    with callbacks(everything, redact=["password"]):
        model = FakeListChatModel(responses=["ok"])
        RunnableLambda(lambda given: given["messages"]).invoke(
            {"messages": [failed, fine]}
        )
        model.invoke([failed, fine])

    assert HIDDEN not in everything.text
    assert "kwargs {'password': [redacted]}: no user" in everything.text
    assert everything.text.count("no password: none") > 3


def test_secret_below_langchain(everything: Any) -> None:
    """
    A secret argument of a traced function that LangChain calls is seen nowhere there.
    """

    @traced
    def ask(key: Annotated[str, Secret], text: str) -> str:
        return text

    def body(text: str) -> str:
        return ask(HIDDEN, text)

    with callbacks(everything):
        RunnableLambda(body).invoke("q")

    assert HIDDEN not in everything.text


def test_unchanged_objects_stay_what_they_are() -> None:
    """
    A message in which nothing is to be masked reaches handlers as itself.
    """
    message = HumanMessage("hello", additional_kwargs={"a": {"b": [1]}})
    recorder = Recorder()

    with callbacks(recorder, redact=["password"]):
        FakeListChatModel(responses=["ok"]).invoke([message])

    assert recorder.runs[0].inputs[0] is message
