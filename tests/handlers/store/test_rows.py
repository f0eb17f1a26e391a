"""
What a row says of a run in one line, and what of it was cut.
"""

from importlib import import_module
from typing import Any

import pytest

from instrument import callbacks, current_run, traced
from instrument.handlers._store.facts import answered_in, asked_in, line, message
from instrument.handlers._store.shapes import cuts_in

PRICING: Any = import_module("instrument.handlers._store.pricing")
CALL = {"name": "search", "arguments": {"query": "Rome", "most": 3}}


@pytest.mark.parametrize(
    "data, text",
    [
        ({}, ""),
        ({"inputs": None}, ""),
        ({"inputs": 5}, "5"),
        ({"inputs": {"a": 1, "b": "x"}}, "a=1, b='x'"),
        ({"inputs": {"messages": [{"role": "user", "content": "Hi"}]}}, "Hi"),
        ({"inputs": {"role": "user", "content": "Hi"}}, "Hi"),
        ({"inputs": {"a": 1, "question": "Why?"}}, "Why?"),
        ({"inputs": [1, 2]}, "[1, 2]"),
        ({"texts": ["only"]}, "only"),
        ({"messages": [{"role": "system", "content": "Be brief"}]}, "Be brief"),
        ({"messages": [{"role": "user", "content": [{"text": "a"}, "b"]}]}, "a b"),
        (
            {"messages": [{"role": "assistant", "content": "", "tool_calls": [CALL]}]},
            "search(query='Rome', most=3)",
        ),
    ],
)
def test_what_was_asked(data: Any, text: str) -> None:
    """
    What was asked is the last thing that a user said, else what there is, as text.
    """
    assert asked_in(data) == text


@pytest.mark.parametrize(
    "data, text",
    [
        ({"text": "", "tool_calls": [CALL]}, "search(query='Rome', most=3)"),
        ({"tool_calls": ["odd"]}, "'odd'"),
        ({"tool_calls": {"name": "now"}}, "now()"),
        ({"documents": ["a"]}, ""),
        ({"output": {"sum": 3}}, "3"),
        ({"type": "ValueError"}, ""),
    ],
)
def test_what_was_answered(data: Any, text: str) -> None:
    """
    What was answered is the text, or the calls, or what came out.
    """
    assert answered_in(data) == text


def test_long_lines_are_cut() -> None:
    """
    A line says that more was there.
    """
    assert line("word " * 100) == "word " * 59 + "word…"
    assert line(" " * 2_000 + "x") == "…"
    assert line("  ") is None
    assert len(message("x" * 501)) == 500


@pytest.mark.parametrize(
    "value, cut",
    [
        (
            {"a": ["b… [7 more characters]"]},
            {"path": "a[0]", "recorded": 1, "whole": 8},
        ),
        ({"a": [1, 2, "… 5 items"]}, {"path": "a", "recorded": 2, "whole": 7}),
        ({"a": [1, "… 5 more items"]}, {"path": "a", "recorded": 1, "whole": 6}),
        (
            {"a": {"b": 1, "…": "9 more entries"}},
            {"path": "a", "recorded": 1, "whole": 10},
        ),
    ],
)
def test_what_was_cut(value: Any, cut: Any) -> None:
    """
    Where a text, a list or an object was cut, it is told how much there was.
    """
    assert cuts_in(value) == [cut]


@pytest.mark.parametrize("said", ["… [{} more characters]", "… {} more items"])
def test_what_only_reads_as_cut(said: str) -> None:
    """
    What a model says as if it had been cut, by a number that cannot be, was not.
    """
    assert cuts_in({"text": [said.format("9" * 5_000)]}) == []


def test_very_many_cuts() -> None:
    """
    No more than a hundred cuts are told.
    """
    assert len(cuts_in(["x… [7 more characters]"] * 200)) == 100


def test_price_that_comes_late(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A cost that is looked up behind the end of a run is in its row and in the sums.
    """

    class Late:
        is_ready = False

        def asked(self, run: Any) -> None: ...

        def cost_usd(self, run: Any) -> float | None:
            return 0.5 if run.model == "known" else None

    late = Late()
    monkeypatch.setattr(PRICING, "shared_prices", lambda: late)

    @traced.llm
    def model(name: str) -> None:
        current_run().model = name
        current_run().record_usage(input_tokens=1, output_tokens=1)

    @traced
    def both() -> None:
        model("known")
        model("unknown")

    with callbacks(store.handler):
        both()
    assert "cost_usd" not in store.newest
    late.is_ready = True
    store.handler._writer._keeps_house()

    assert (store.newest["cost_usd"], store.newest["unpriced"]) == (0.5, 1)
    assert [it.get("cost_usd") for it in store.reader.names()].count(0.5) == 1
