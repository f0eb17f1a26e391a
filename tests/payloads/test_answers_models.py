"""
Answers that are text or pydantic models: read in fewer steps, and when they are asked
for.
"""

from collections.abc import Iterator
from copy import copy
from functools import cache
from typing import Any

import pytest

from instrument import BaseCallbackHandler, callbacks, traced
from instrument._payloads.answers import Answer, LLMResult, answer_of, take
from instrument._payloads.answers.usage import _MOST_TYPES, _plans, usage_of
from instrument.handlers import background
from instrument.testing import Recorder

pytestmark = pytest.mark.anyio


@cache
def kind(*names: str) -> Any:
    """
    Make a class that has of pydantic's what is looked at.
    """
    fields = dict.fromkeys(names)
    space = {"__pydantic_fields__": fields, "model_fields": fields}
    return type("Model", (), {**space, "__pydantic_extra__": None})


def model(extra: dict[str, Any] | None = None, /, **fields: Any) -> Any:
    """
    Make an object of such a class.
    """
    made = kind(*fields)()
    vars(made).update(fields)
    if extra:
        made = type("More", (type(made),), {"__pydantic_fields__": fields})()
        vars(made).update(fields)
        type(made).__pydantic_extra__ = extra
    return made


def answer(text: str = "hello") -> Any:
    """
    Make a whole answer of OpenAI's.
    """
    message = model(role="assistant", content=text)
    return model(
        id="r1",
        model="m-2026",
        choices=[model(index=0, message=message, finish_reason="stop")],
        usage=model(prompt_tokens=3, completion_tokens=2),
    )


def chunk(**changes: Any) -> Any:
    """
    Make a chunk of OpenAI's, with text and nothing else but for *changes*.
    """
    delta = model(
        changes.pop("extra", None),
        content=changes.pop("content", "a"),
        role=changes.pop("role", None),
        tool_calls=changes.pop("tool_calls", None),
    )
    at, reason = changes.pop("index", 0), changes.pop("finish_reason", None)
    choices = [model(index=at, delta=delta, finish_reason=reason)]
    more = changes.pop("more", None)
    given = {"id": "r1", "model": "m", "usage": None, "choices": choices, **changes}
    return model(more, **given)


CALL = model(index=0, id="1", function=model(name="clock", arguments="{}"))
CHUNKS: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "text": ({}, [("a", "text")]),
    "a role": ({"role": "assistant"}, [("a", "text")]),
    "nothing": ({"content": None}, []),
    "a tool call": ({"content": None, "tool_calls": [CALL]}, [("{}", "tool_call")]),
    "reasoning": (
        {"content": None, "extra": {"reasoning_content": "hm"}},
        [("hm", "reasoning")],
    ),
    "another choice": ({"index": 1}, []),
    "its end": ({"finish_reason": "stop"}, [("a", "text")]),
    "another answer": ({"id": "r2"}, [("a", "text")]),
    "usage": ({"usage": model(prompt_tokens=1)}, [("a", "text")]),
    "more usage": (
        {"more": {"x_groq": {"usage": {"prompt_tokens": 1}}}},
        [("a", "text")],
    ),
    "usage alone": ({"choices": [], "usage": model(prompt_tokens=1)}, []),
}


@pytest.mark.parametrize("name", list(CHUNKS))
def test_chunks(name: str) -> None:
    """
    What a chunk tells beside its text is read as well.
    """
    changes, tokens = CHUNKS[name]
    read = Answer()
    take(read, chunk(content="before "))

    assert list(take(read, chunk(**changes))) == tokens

    assert read.text == "before " + "".join(t for t, how in tokens if how == "text")
    assert read.finish_reason == changes.get("finish_reason")
    assert read.response_id == changes.get("id", "r1")
    assert (read.usage is not None) is ("usage" in name)


def test_usage_of_one_type() -> None:
    """
    Once it is known where a type tells usage, that is where it is looked for.
    """
    details = model(cached_tokens=1)
    first = model(usage=model(prompt_tokens=3, prompt_tokens_details=None))
    second = model(usage=model(prompt_tokens=4, prompt_tokens_details=details))
    extra = model(usage=model({"cache_read_input_tokens": 1}, input_tokens=3))

    assert [usage_of(it).to_dict() for it in (first, second, extra)] == [  # type: ignore[union-attr]
        {"input_tokens": 3},
        {"input_tokens": 4, "cache_read_tokens": 1},
        {"input_tokens": 4, "cache_read_tokens": 1},
    ]


def test_many_types() -> None:
    """
    As many types as there are, memory stays bounded.
    """
    for number in range(_MOST_TYPES + 1):
        told = model(**{"prompt_tokens": 1, f"field_{number}": None})
        assert usage_of(model(usage=told)) is not None

    assert len(_plans) == _MOST_TYPES
    _plans.clear()


class Ended(BaseCallbackHandler):
    """
    Keeps what it hears of an end.
    """

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.response, self.run = response, kwargs["run"]


@traced.chat_model("mine")
def ask(result: object) -> object:
    """
    Be a model.
    """
    return result


@pytest.fixture
def ended() -> Iterator[Ended]:
    """
    Hear what a test does.
    """
    handler = Ended()
    with callbacks(handler):
        yield handler


@pytest.mark.rule(15, "sync")
def test_read_when_asked_for(ended: Ended) -> None:
    """
    Nothing of an answer is read that no handler asks for, and nothing twice: what it
    becomes after that is not told.
    """
    result = answer()
    ask(result)
    vars(result).update(vars(answer("hello, later")))

    assert ended.response.generations[0][0].text == "hello, later"
    vars(result).update(usage=None, model=None)

    assert ended.run.usage.to_dict() == {"input_tokens": 3, "output_tokens": 2}
    assert ended.run.model == "m-2026"


def test_text_that_nobody_asks_for(ended: Ended) -> None:
    """
    An answer of text is read when a handler asks for it, and is there all the same.
    """
    for text in ("hello", "again"):
        ask(text)

        with pytest.raises(AttributeError):
            object.__getattribute__(ended.response, "generations")
        assert ended.response.run is None
        assert ended.response.generations[0][0].text == text
        assert not ended.run.usage


@pytest.mark.parametrize("name", ["usage", "model"])
def test_facts_of_a_run(ended: Ended, name: str) -> None:
    """
    A run's facts are those of the answer, whichever is asked for first.
    """
    ask(answer())

    facts = {"usage": {"input_tokens": 3, "output_tokens": 2}, "model": "m-2026"}
    told = getattr(ended.run, name)
    assert (told if name == "model" else told.to_dict()) == facts[name]
    assert ended.response.llm_output["token_usage"] == facts["usage"]


def test_usage_that_is_added(ended: Ended) -> None:
    """
    What is recorded afterwards is added to what the answer told.
    """
    ask(answer())

    ended.run.record_usage(output_tokens=1)
    assert ended.run.usage.output_tokens == 3
    ended.run.usage = ended.run.usage + ended.run.usage
    assert ended.run.usage.input_tokens == 6


def test_result_that_is_kept(ended: Ended) -> None:
    """
    The result can be copied, shown, and asked for what it lacks.
    """
    ask(answer())

    assert "hello" in repr(ended.response)
    with pytest.raises(AttributeError, match="nothing"):
        _ = ended.response.nothing
    again = copy(ended.response)
    assert type(again) is LLMResult
    assert again.generations[0][0].text == "hello"


def test_result_of_the_same_shape(ended: Ended) -> None:
    """
    What has the shape that handlers take is given to them as it is.
    """
    result = model(generations=[[model(text="hello", message=None)]])
    ask(result)

    assert ended.response is result


class Later(BaseCallbackHandler):
    """
    Looks at the end when it is awaited.
    """

    text = ""

    async def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.text = response.generations[0][0].text


@pytest.mark.rule(13, "sync", "async")
@pytest.mark.parametrize("in_background", [False, True])
def test_heard_later(in_background: bool) -> None:
    """
    Who hears later hears of the answer as it was, whatever its owner did to it since.
    """
    handler, ended = Later(), Ended()
    result = answer()

    with callbacks(background(ended) if in_background else handler):
        ask(result)
        result.choices[0].message.content = "changed"

    told = ended.response.generations[0][0].text if in_background else handler.text
    assert told == "hello"


def test_events() -> None:
    """
    An event holds what the answer tells.
    """
    recorder = Recorder()
    with callbacks(recorder):
        ask(answer())

    data = recorder.events[-1].data
    assert (data["text"], data["model"], data["finish_reason"]) == (
        "hello",
        "m-2026",
        "stop",
    )
    assert data["usage"] == {"input_tokens": 3, "output_tokens": 2}


def test_answer_with_code_of_its_own(ended: Ended, reports: list[str]) -> None:
    """
    A list in an answer is read as a list is, whatever code its class has.
    """

    class Broken(list[Any]):
        def __iter__(self) -> Iterator[Any]:
            raise ZeroDivisionError

    result = answer()
    result.choices = Broken(result.choices)
    ask(result)

    assert ended.response.generations[0][0].text == "hello"
    assert not reports


def test_message_of_an_answer() -> None:
    """
    A model that is a message itself is kept as the message.
    """
    message = model(role="assistant", content="hello")

    assert answer_of(message).message is message
