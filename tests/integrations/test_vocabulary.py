"""
The messages of every provider in one shape, as dicts and as objects.
"""

from types import SimpleNamespace
from typing import Any

import pytest
from vocabulary import ASKS, CALL, HI, THINKS, VOCABULARY  # type: ignore[import-not-found]

from instrument import callbacks, traced
from instrument._payloads.turns import turns_of
from instrument.testing import Recorder

names = pytest.mark.parametrize("name", VOCABULARY)


def as_object(value: Any) -> Any:
    """
    Turn dicts into objects with attributes, but those that are data.
    """
    if isinstance(value, list):
        return [as_object(item) for item in value]
    if not isinstance(value, dict) or "zone" in value or "time" in value:
        return value
    return SimpleNamespace(**{key: as_object(item) for key, item in value.items()})


@names
@pytest.mark.parametrize("as_given", [lambda it: it, as_object])
def test_messages(name: str, as_given: Any) -> None:
    """
    A message of any provider has a role, its text, its calls and its reasoning.
    """
    given, turns = VOCABULARY[name].values()
    blocks = [turn["content"] for turn in turns if turn["content"] is not None]

    made = turns_of([as_given(given)])

    if as_given is as_object and not all(isinstance(it, str) for it in blocks):
        assert [turn["role"] for turn in made] == [turn["role"] for turn in turns]
    else:
        assert made == turns


@names
def test_turns_stay(name: str) -> None:
    """
    What has been written so stays as it is.
    """
    turns = VOCABULARY[name]["turns"]

    assert turns_of(turns) == turns


@names
def test_traced_models_tell_the_same(name: str) -> None:
    """
    A traced model's record tells a message as an SDK's does.
    """
    recorder = Recorder()
    given, turns = VOCABULARY[name].values()

    with callbacks(recorder):
        traced.chat_model(lambda messages: "ok")([given])

    assert recorder.events[0].data["messages"] == turns


def test_calls_told_twice() -> None:
    """
    A call that stands in the content and beside it is one; so is reasoning.
    """
    use = {"type": "tool_use", "id": "1", "name": "clock", "input": CALL["arguments"]}
    call = {"id": "1", "name": "clock", "args": CALL["arguments"]}
    thought = {"reasoning_content": "hm"}
    said = {"type": "ai", "content": "hey", "additional_kwargs": thought}
    summary = {"type": "reasoning", "summary": [{"text": "h"}, {"text": "m"}]}

    made = turns_of(
        [
            {"type": "ai", "content": [use], "tool_calls": [call]},
            said,
            {
                "role": "assistant",
                "content": [summary, {"type": "text", "text": "hey"}],
            },
            {"type": "human", "content": "hi"},
            {"type": "odd", "text": "hi"},
        ]
    )

    assert made == [ASKS, THINKS, THINKS, HI, HI]


def test_what_is_no_message() -> None:
    """
    What is no message is told as it is, and stays so.
    """
    odd = {"role": "unknown", "content": {"a": 1}}

    assert turns_of([{"a": 1}]) == turns_of([odd]) == [odd]
