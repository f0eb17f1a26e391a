"""
What each kind of run tells its handlers: the arguments of every event.
"""

from collections.abc import Awaitable, Callable, Iterator
from functools import wraps
from inspect import getdoc
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from instrument import BaseCallbackHandler, Run, callbacks, emit, traced

Called = Callable[..., Awaitable[Any]]


pytestmark = pytest.mark.anyio


every_mode = ("sync", "async", "generator", "async generator")


class Typed(BaseCallbackHandler):
    """
    Keeps the arguments of every event, as a handler's methods get them.
    """

    def __init__(self) -> None:
        self.heard: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("on_") or name == "on_event":
            return super().__getattribute__(name)

        def hear(*args: Any, **kwargs: Any) -> None:
            self.heard[name] = (args, kwargs)

        return hear


def like(body: Callable[..., Any], decorate: Callable[[Any], Any]) -> Any:
    """
    Decorate a function of any mode so that it has the name and signature of *body*.
    """
    return lambda function: decorate(wraps(body)(function))


def ask(query: str, top: int = 3, *, tags: tuple[str, ...] = ()) -> Any:
    """
    Be what is called, with defaults.
    """
    return {"found": query}


STARTS = [
    ("chain", "on_chain_start", {"query": "q", "top": 3, "tags": ()}, {}),
    ("agent", "on_chain_start", {"query": "q", "top": 3, "tags": ()}, {}),
    ("other", "on_chain_start", {"query": "q", "top": 3, "tags": ()}, {}),
    ("retriever", "on_retriever_start", "q", {}),
    ("embedding", "on_embedding_start", ["q"], {}),
    ("llm", "on_llm_start", ["q"], {"invocation_params": {"top": 3, "tags": ()}}),
    (
        "chat_model",
        "on_chat_model_start",
        [["q"]],
        {"invocation_params": {"top": 3, "tags": ()}},
    ),
    (
        "tool",
        "on_tool_start",
        "{'query': 'q', 'top': 3, 'tags': ()}",
        {"inputs": {"query": "q", "top": 3, "tags": ()}},
    ),
]


@pytest.mark.parametrize("kind, event, payload, own", STARTS)
@pytest.mark.rule(15, *every_mode)
async def test_start_arguments(
    called: Called, kind: str, event: str, payload: Any, own: dict[str, Any]
) -> None:
    """
    Each kind starts with its own event: serialized, payload, and LangChain's keywords.
    """
    typed = Typed()

    with callbacks(typed, tags=["t"], metadata={"m": 1}):
        await called(like(ask, traced(kind=kind)), ask, "q")

    (serialized, told), kwargs = typed.heard[event]
    run = kwargs.pop("run")
    described = {"description": getdoc(ask)} if kind == "tool" else {}
    assert serialized == {"name": "ask", **described}
    assert told == payload
    assert isinstance(run, Run)
    assert kwargs == {
        "run_id": run.id,
        "parent_run_id": None,
        "tags": ["t"],
        "metadata": {"m": 1},
        "name": "ask",
        **own,
    }


ENDS = [
    ("chain", "on_chain_end"),
    ("agent", "on_chain_end"),
    ("other", "on_chain_end"),
    ("tool", "on_tool_end"),
    ("retriever", "on_retriever_end"),
    ("embedding", "on_embedding_end"),
]


@pytest.mark.parametrize("kind, event", ENDS)
@pytest.mark.rule(15, *every_mode)
async def test_end_arguments(called: Called, kind: str, event: str, mode: str) -> None:
    """
    Each kind ends with what it returned; a generator with the list of its items.
    """
    typed = Typed()

    with callbacks(typed, tags=["t"]):
        await called(traced(kind=kind), lambda: {"found": 1})

    (told,), kwargs = typed.heard[event]
    assert told == ([{"found": 1}] if "generator" in mode else {"found": 1})
    assert kwargs["run"].status == "ok"
    assert kwargs["tags"] == ["t"]


@pytest.mark.parametrize("kind", ["llm", "chat_model"])
@pytest.mark.rule(15, *every_mode)
async def test_model_end_arguments(called: Called, kind: str) -> None:
    """
    A model ends with LLMResult's shape, without LangChain.
    """
    typed = Typed()

    with callbacks(typed):
        await called(traced(kind=kind, model="m-1"), lambda: "answer")

    (response,), _ = typed.heard["on_llm_end"]
    assert response.generations[0][0].text == "answer"
    assert response.generations[0][0].message is None
    assert response.llm_output == {"model_name": "m-1"}
    assert response.run is None
    assert "answer" in repr(response)


@pytest.mark.parametrize(
    "kind, event",
    [
        ("chain", "on_chain_error"),
        ("tool", "on_tool_error"),
        ("retriever", "on_retriever_error"),
        ("embedding", "on_embedding_error"),
        ("llm", "on_llm_error"),
        ("chat_model", "on_llm_error"),
    ],
)
@pytest.mark.rule(15, *every_mode)
async def test_error_arguments(called: Called, kind: str, event: str) -> None:
    """
    A failure is told with the exception itself.
    """
    typed = Typed()
    failure = ValueError("no")

    def fail() -> None:
        raise failure

    with callbacks(typed), pytest.raises(ValueError, match="no"):
        await called(traced(kind=kind), fail)

    (error,), kwargs = typed.heard[event]
    assert error is failure
    assert kwargs["run"].error is failure
    assert ("response" in kwargs) is (event == "on_llm_error")


@pytest.mark.rule(15, "generator")
def test_token_arguments() -> None:
    """
    A token is told as text, with the provider's chunk and the run's ids.
    """

    @traced.llm
    def model() -> Iterator[Any]:
        yield chunk

    chunk = {"choices": [{"delta": {"content": "Hi"}}]}
    typed = Typed()
    with callbacks(typed, tags=["t"]):
        list(model())

    args, kwargs = typed.heard["on_llm_new_token"]
    assert args == ("Hi",)
    assert kwargs["chunk"] is chunk
    assert isinstance(kwargs["run_id"], UUID)
    assert kwargs["parent_run_id"] is None
    assert kwargs["tags"] == ["t"]
    assert kwargs["run"].id == kwargs["run_id"]


@pytest.mark.rule(15, "sync")
def test_arguments_of_a_runs_own_words() -> None:
    """
    ``text``, ``retry`` and ``emit`` have LangChain's arguments.
    """
    typed = Typed()
    state = SimpleNamespace(attempt_number=2)

    with callbacks(typed), traced("run") as run:
        run.text("said")
        run.retry(state)
        emit("progress", {"done": 1})

    assert typed.heard["on_text"][0] == ("said",)
    assert typed.heard["on_retry"][0] == (state,)
    args, kwargs = typed.heard["on_custom_event"]
    assert args == ("progress", {"done": 1})
    assert "name" not in kwargs
    assert kwargs["run_id"] == run.id


HI = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    "given, messages",
    [
        ("Hi", ["Hi"]),
        ([HI], [HI]),
        ([HI, HI], [HI, HI]),
        ([[HI, HI]], [HI, HI]),
        ([[HI]], [HI]),
        ((HI,), [HI]),
        ([("user", "Hi")], [("user", "Hi")]),
        (["Hi"], ["Hi"]),
        (HI, [HI]),
        ([], []),
        (None, [None]),
    ],
)
@pytest.mark.rule(15, "sync")
def test_messages_of_a_chat_model(given: Any, messages: Any) -> None:
    """
    Messages are told as a list in a list, however they were given.
    """
    typed = Typed()

    with callbacks(typed):
        traced.chat_model(lambda messages: None)(given)

    assert typed.heard["on_chat_model_start"][0][1] == [messages]


@pytest.mark.rule(15, "sync")
def test_chat_model_as_text() -> None:
    """
    A handler that knows only text models gets a chat model's messages as text.
    """
    heard: list[list[str]] = []

    class Old(BaseCallbackHandler):
        def on_llm_start(self, serialized: Any, prompts: list[str], **_: Any) -> None:
            heard.append(prompts)

    with callbacks(Old()):
        traced.chat_model(lambda messages: "ok")(
            [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hi"},
            ]
        )

    assert heard == [["System: Be brief.\nUser: Hi"]]
