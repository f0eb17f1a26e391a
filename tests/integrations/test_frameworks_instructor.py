"""
instructor, heard through ``instrument.auto``: one run per call, whatever it takes.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from instrument import BaseCallbackHandler, auto, callbacks, traced
from instrument.testing import Recorder

if TYPE_CHECKING:
    from tests.integrations.provider import Provider

if sys.version_info < (3, 12):
    pytest.skip("sys.monitoring needs Python 3.12", allow_module_level=True)

instructor: Any = pytest.importorskip("instructor")
pydantic: Any = pytest.importorskip("pydantic")

pytestmark = pytest.mark.filterwarnings("default")  # what it says is not ours

CALLS: Any = import_module("sdks")
CHILD = "\n  chat_model openai.chat.completions: ok"

Person = pydantic.create_model("Person", name=(str, ...), age=(int, ...))
Unfit = pydantic.create_model("Unfit", name=(int, ...))


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    """
    Hear instructor in each test.
    """
    auto.install()
    yield
    auto.uninstall()


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest, provider: "Provider") -> Iterator[Any]:
    """
    Ask in sync code, or in async code.
    """

    async def aask(given: dict[str, Any]) -> Any:
        async with CALLS.OPENAI.amake(provider.url) as client:
            asked = instructor.from_openai(client, mode=instructor.Mode.JSON)
            return await asked.chat.completions.create(**given)

    def call(shape: Any, **given: Any) -> Any:
        given = {"model": "m", "messages": CALLS.HELLO, "response_model": shape} | given
        if request.param == "async":
            return asyncio.run(aask(given))
        with CALLS.OPENAI.make(provider.url) as client:
            asked = instructor.from_openai(client, mode=instructor.Mode.JSON)
            return asked.chat.completions.create(**given)

    return call


def test_an_answer_that_fits(ask: Callable[..., Any]) -> None:
    """
    A call is one run, with what the provider tells of it.
    """
    recorder = Recorder()

    with callbacks(recorder):
        person = ask(Person)

    (run,) = recorder.runs
    end = recorder.events[-1].data
    assert (person.name, person.age) == ("Ada", 36)
    assert (run.kind, run.name, run.status) == ("chat_model", "instructor.create", "ok")
    assert (run.provider, run.model) == ("openai", "m")
    assert [message["role"] for message in run.inputs] == ["system", "user"]
    assert (end["text"], end["finish_reason"]) == ('{"name":"Ada","age":36}', "stop")
    assert run.usage.to_dict() == CALLS.FULL


def test_answers_that_do_not_fit(ask: Callable[..., Any], provider: "Provider") -> None:
    """
    Each that is refused is a retry with its error; every attempt's tokens count once.
    """
    recorder = Recorder()
    states: list[tuple[int, str]] = []

    class Hears(BaseCallbackHandler):
        def on_retry(self, state: Any, **_: Any) -> None:
            name = type(state.outcome.exception()).__name__
            states.append((state.attempt_number, name))

    with callbacks(recorder, Hears()), pytest.raises(Exception) as caught:
        ask(Unfit, max_retries=2)

    told = [e.data for e in recorder.events if e.event == "on_retry"]
    error = "InstructorRetryException"
    assert recorder.tree() == f"chat_model instructor.create: error {error}{CHILD * 2}"
    assert recorder.runs[0].error is caught.value
    assert states == [(1, "ValidationError"), (2, "ValidationError")]
    assert [(data["attempt"], data["type"]) for data in told] == states
    assert "valid integer" in told[0]["message"]
    assert [run.usage.input_tokens for run in recorder.runs] == [11] * 3
    assert len(provider.requests) == 3


def test_a_refused_key(ask: Callable[..., Any], provider: "Provider") -> None:
    """
    A provider's error ends the run with instructor's own exception object.
    """
    provider.will(401)
    recorder = Recorder()

    with callbacks(recorder), pytest.raises(Exception) as caught:
        ask(Person)

    (run,) = recorder.runs
    assert run.error is caught.value


def test_no_shape(ask: Callable[..., Any]) -> None:
    """
    Where no shape is asked for, the call is the SDK's own.
    """
    recorder = Recorder()

    with callbacks(recorder):
        ask(None)

    assert recorder.tree() == "chat_model openai.chat.completions: ok"


def test_inside_a_model_of_ones_own(ask: Callable[..., Any]) -> None:
    """
    Inside a model's run, the retries are that run's.
    """
    recorder = Recorder()

    @traced.chat_model("mine")
    def mine() -> None:
        with pytest.raises(Exception, match="valid integer"):
            ask(Unfit, max_retries=1)

    with callbacks(recorder):
        mine()

    assert recorder.runs[0].name == "mine"
    assert [e.run_id for e in recorder.events if e.event == "on_retry"] == [
        recorder.runs[0].id
    ]


def test_a_stream_of_parts(provider: "Provider") -> None:
    """
    Parts that come as the answer does are the SDK's run, with its tokens.
    """
    recorder = Recorder()

    with callbacks(recorder), CALLS.OPENAI.make(provider.url) as client:
        asked = instructor.from_openai(client, mode=instructor.Mode.JSON)
        given = {"model": "m", "messages": CALLS.HELLO, "response_model": Person}
        parts = list(asked.chat.completions.create_partial(**given))

    told = [e.event for e in recorder.events]
    assert parts[-1].age == 36
    assert recorder.tree() == "chat_model openai.chat.completions: ok"
    assert told.count("on_llm_new_token") == 2


def test_a_response(provider: "Provider") -> None:
    """
    The input of OpenAI's Responses is messages, too.
    """
    city = pydantic.create_model("get_weather", city=(str, ...))
    recorder = Recorder()

    with callbacks(recorder), CALLS.OPENAI.make(provider.url) as client:
        mode = instructor.Mode.RESPONSES_TOOLS
        asked = instructor.from_openai(client, mode=mode)
        given = {"model": "m", "messages": CALLS.HELLO, "response_model": city}
        asked.chat.completions.create(**given)

    (run,) = recorder.runs
    assert (run.name, run.inputs) == ("instructor.create", CALLS.HELLO)
    assert run.usage.to_dict() == CALLS.FULL


def test_messages_under_another_name() -> None:
    """
    What a provider calls its messages otherwise, Gemini's contents, is read as such.
    """
    from instrument.integrations.instructor import _asked

    read = _asked({"kwargs": {"model": "m", "contents": CALLS.HELLO}})

    assert read.inputs == {"messages": CALLS.HELLO}


def test_anthropic_over_instructor(provider: "Provider") -> None:
    """
    Other providers' SDKs are heard in the same way, the tool that is called too.
    """
    city = pydantic.create_model("get_weather", city=(str, ...))
    recorder = Recorder()

    with callbacks(recorder), CALLS.ANTHROPIC.make(provider.url) as client:
        asked = instructor.from_anthropic(client)
        given = {"model": "m", "messages": CALLS.HELLO, "max_tokens": 9}
        asked.messages.create(**given, response_model=city)

    (run,) = recorder.runs
    (call,) = recorder.events[-1].data["tool_calls"]
    assert run.provider == "anthropic"
    assert call["arguments"] == {"city": "Oslo"}
    assert run.usage.to_dict() == CALLS.COUNTED_APART


def test_no_attribute_changes(ask: Any) -> None:
    """
    No attribute of the package's modules, classes or functions is another's.
    """
    snapshot = import_module("facts").snapshot
    auto.uninstall()
    for _ in range(3):  # what is made when it is first used has been made
        ask(Person)
        snapshot("instructor")
    before = snapshot("instructor")

    auto.install()
    with callbacks(Recorder()):
        ask(Person)
    during = snapshot("instructor")

    assert {k: v for k, v in during.items() if before.get(k) != v} == {}
