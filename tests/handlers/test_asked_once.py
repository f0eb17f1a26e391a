"""
What an object says of itself is asked once an event, however often a handler tells it.
"""

import io
import logging
from collections import UserDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from instrument import Run, callbacks, traced
from instrument.handlers import (
    FileCallbackHandler,
    RequestLogger,
    StdOutCallbackHandler,
    StoreHandler,
    TreeHandler,
    background,
    tail,
)
from instrument.handlers._shared.run_handler import RunHandler
from instrument.handlers._shared.spans.told import LIMIT, Told


class Plain:
    """
    Counts how often it is asked.
    """

    asked = 0

    def __repr__(self) -> str:
        type(self).asked += 1
        return "Plain()"


class BrokenError(Exception):
    """
    Raised where something is to fail.
    """


class Spans(RunHandler):
    """
    Takes runs as those handlers do that know spans.
    """

    def __init__(self) -> None:
        self.open: dict[object, Told] = {}

    def run_started(self, run: Run) -> None:
        self.open[run.id] = Told(run, LIMIT, None)

    def run_ended(self, run: Run) -> None:
        self.open.pop(run.id).ends(run)


def logged() -> RequestLogger:
    logger = logging.getLogger("asked once")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    return RequestLogger(logger, payload=True)


MADE: dict[str, Callable[[Path], Any]] = {
    "stdout": lambda _: StdOutCallbackHandler(io.StringIO()),
    "tree": lambda _: TreeHandler(io.StringIO()),
    "logger": lambda _: logged(),
    "spans": lambda _: Spans(),
    "file": lambda folder: FileCallbackHandler(folder / "events.jsonl"),
    "store": lambda folder: StoreHandler(folder / "traces.db"),
    "json": lambda _: lambda event: event.to_json(),
    "background": lambda _: background(StdOutCallbackHandler(io.StringIO())),
    "tail": lambda _: tail(StdOutCallbackHandler(io.StringIO())),
}
SHAPES: dict[str, Callable[[Plain], Any]] = {
    "bare": lambda it: it,
    "listed": lambda it: [it, it],
    "named": lambda it: {"a": it, "b": (it, {"c": it})},
    "mapping": lambda it: UserDict(a=it, b=it),
    "message": lambda it: [{"role": "user", "content": it}],
    "call": lambda it: {"content": it, "tool_calls": [{"name": it, "args": it}]},
    "document": lambda it: [{"page_content": it, "metadata": {"source": it}}],
}
KINDS = ["chain", "llm", "chat_model", "tool", "retriever", "embedding"]


@pytest.mark.parametrize("handler", MADE)
def test_each_repr_is_made_once_an_event(handler: str, tmp_path: Path) -> None:
    """
    At its start and at its end, a run of any kind has an object say once what it is.
    """
    heard = MADE[handler](tmp_path)
    often = {}

    for kind in KINDS:
        for shape, made in SHAPES.items():
            Plain.asked = 0
            with callbacks(heard):
                traced(kind=kind)(lambda given: given)(made(Plain()))
            often[kind, shape] = Plain.asked

    assert {at: count for at, count in often.items() if count > 2} == {}


@pytest.mark.parametrize("redact", [None, ["password"]])
@pytest.mark.parametrize("handler", MADE)
def test_errors_are_asked_once(
    handler: str, redact: list[str] | None, tmp_path: Path
) -> None:
    """
    An error that holds an object is asked once for its message, also for the traceback.
    """

    @traced(inputs=False)
    def fails() -> None:
        raise BrokenError(Plain()) from ValueError("below")

    Plain.asked = 0
    with (
        callbacks(MADE[handler](tmp_path), redact=redact),
        pytest.raises(BrokenError),
    ):
        fails()

    assert Plain.asked <= 1


def test_traceback_of_a_known_message() -> None:
    """
    A traceback tells the message that was asked for, the notes and the cause, as
    Python does.
    """
    lines: list[str] = []

    @traced
    def fails() -> None:
        error = BrokenError(Plain())
        error.add_note("by the way")
        raise error from ValueError("below")

    class Ends(RunHandler):
        def run_ended(self, run: Run) -> None:
            told = Told(run, LIMIT, None)
            told.ends(run)
            assert told.failure is not None
            lines.extend((told.failure.stack or "").splitlines())

    with callbacks(Ends()), pytest.raises(BrokenError):
        fails()

    assert lines[0] == "ValueError: below"
    assert "The above exception was the direct cause" in "\n".join(lines)
    assert lines[-2:] == [f"{__name__}.BrokenError: Plain()", "by the way"]


class Own(BaseException):
    """
    What an application's own code may raise.
    """


def raises(_: object) -> object:
    raise Own


@pytest.mark.parametrize("place", ["raised", "cause"])
@pytest.mark.parametrize("name", ["__notes__", "__context__", "__cause__", "__class__"])
@pytest.mark.parametrize("handler", ["spans", "store", "logger"])
def test_error_whose_fields_raise(
    handler: str, name: str, place: str, tmp_path: Path
) -> None:
    """
    An error of which a field raises reaches the caller, whoever writes its traceback.
    """
    odd = type("Odd", (Exception,), {name: property(raises)})("odd")
    error = odd if place == "raised" else BrokenError("whole")
    if error is not odd:
        error.__cause__ = odd
    caught: list[BaseException] = []

    @traced
    def fails() -> None:
        raise error

    try:
        with callbacks(MADE[handler](tmp_path)):
            fails()
    except BaseException as exc:
        caught.append(exc)

    assert [id(it) for it in caught] == [id(error)]
