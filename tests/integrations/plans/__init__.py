"""
Answers of each provider, made up at random: the whole one, the events that stream it in
pieces and in any order that its SDK takes, and what is to be told of it.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

Body = dict[str, Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]

WORD = st.text('abcé {}[]"\\\n', min_size=1, max_size=3)
WORDS = st.lists(WORD, max_size=4)
SOME_WORDS = st.lists(WORD, min_size=1, max_size=4)
ARGUMENTS = st.dictionaries(
    st.sampled_from(["city", "day", "n"]),
    st.one_of(st.integers(0, 99), st.text('ab"é', max_size=3), st.booleans()),
    max_size=2,
)


@dataclass(repr=False)
class Plan:
    """
    One answer.

    Attributes:
        whole: As it comes at once.
        events: As it is streamed.
        text, reasoning, calls, server_calls: What is to be told of it.
        facts: Its finish reason, model and response id.
        usage: What it used.
    """

    whole: Body = field(default_factory=dict)
    events: list[Body] = field(default_factory=list)
    text: str = ""
    reasoning: str = ""
    calls: list[Body] = field(default_factory=list)
    server_calls: list[Body] = field(default_factory=list)
    facts: Body = field(default_factory=dict)
    usage: Body = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Plan({json.dumps(self.events)})"

    def told(self) -> Body:
        """
        Give what the end of its run has to tell.
        """
        data: Body = {"text": self.text, "tool_calls": self.calls, **self.facts}
        if self.reasoning:
            data["reasoning"] = self.reasoning
        if self.server_calls:
            data["server_tool_calls"] = self.server_calls
        return data | {"usage": self.usage}


def heard(data: Body) -> Body:
    """
    Give of the end of a run what a plan tells.
    """
    names = ("text", "tool_calls", "reasoning", "server_tool_calls", "usage")
    facts = ("model", "finish_reason", "response_id")
    return {name: data[name] for name in (*names, *facts) if name in data}


def cut(draw: Draw, text: str) -> list[str]:
    """
    Cut a text into pieces, of which some may be empty.
    """
    at = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[a:b] for a, b in zip([0, *at], [*at, len(text)], strict=True)]


def as_json(draw: Draw) -> tuple[Body, list[str]]:
    """
    Give the arguments of a call, and pieces of their JSON.
    """
    given = draw(ARGUMENTS)
    return given, cut(draw, json.dumps(given))


def merged(draw: Draw, lines: list[list[Body]]) -> Iterator[Body]:
    """
    Mix what several parts are told by: each in its own order, and each behind the first
    of the part before.
    """
    rest = [list(line) for line in lines]
    begun = 0
    while any(rest):
        ready = [n for n, line in enumerate(rest) if line and n <= begun]
        n = draw(st.sampled_from(ready)) if ready else begun
        if rest[n]:
            yield rest[n].pop(0)
        begun = max(begun, n + 1)
        while begun < len(rest) and not lines[begun]:
            begun += 1
