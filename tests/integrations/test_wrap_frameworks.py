"""
A wrapped client in the hands of a framework: LangChain's ChatOpenAI, instructor.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from instrument import Usage, callbacks, wrap
from instrument.testing import Recorder

openai = pytest.importorskip("openai")

if TYPE_CHECKING:
    from tests.integrations.provider import Provider

HELLO: list[Any] = import_module("sdks").HELLO
USAGE = Usage(11, 4, 8, None, 2)


def client_of(provider: "Provider") -> Any:
    """
    Wrap a client of the fake provider.
    """
    return wrap(openai.OpenAI(api_key="k", base_url=provider.url + "/v1"))


def chat_openai(provider: "Provider", **more: Any) -> Any:
    """
    Make LangChain's model with a wrapped client.
    """
    langchain_openai = pytest.importorskip("langchain_openai")
    client = client_of(provider)
    return langchain_openai.ChatOpenAI(
        model="m",
        api_key="k",
        client=client.chat.completions,
        root_client=client,
        **more,
    )


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_chat_openai(provider: "Provider") -> None:
    """
    LangChain's model calls through a wrapped client, whole and in streams.
    """
    recorder = Recorder()
    model = chat_openai(provider)

    with callbacks(recorder):
        answer = model.invoke("hi")
        pieces = [chunk.text for chunk in model.stream("hi")]

    assert answer.text == "Hello world"
    assert "".join(pieces) == "Hello world"
    assert [run.name for run in recorder.runs] == ["openai.chat.completions"] * 2
    assert recorder.runs[0].usage == USAGE


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_chat_openai_heard_as_well(provider: "Provider") -> None:
    """
    Where LangChain is heard too, its run and the wrapped client's are one.
    """
    model = chat_openai(provider)
    from instrument import auto

    recorder = Recorder()
    auto.install()
    try:
        with callbacks(recorder):
            model.invoke("hi")
            list(model.stream("hi"))
    finally:
        auto.uninstall()

    tokens = [e.data["token"] for e in recorder.events if e.event == "on_llm_new_token"]
    assert [run.name for run in recorder.runs] == ["ChatOpenAI"] * 2
    assert tokens == ["Hel", "lo ", "wor", "ld"]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_instructor(provider: "Provider") -> None:
    """
    Instructor takes a wrapped client for an OpenAI one, and each attempt is a run.
    """
    instructor = pytest.importorskip("instructor")
    pydantic = pytest.importorskip("pydantic")

    class Person(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        name: str
        age: int

    recorder = Recorder()
    patched = instructor.from_openai(client_of(provider), mode=instructor.Mode.JSON)

    with callbacks(recorder):
        person = patched.chat.completions.create(
            model="m", messages=HELLO, response_model=Person
        )

    assert (person.name, person.age) == ("Ada", 36)
    assert [run.kind for run in recorder.runs] == ["chat_model"]
