"""
``capture=False``: no payload reaches any handler below.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from instrument import callbacks, emit, traced

Called = Callable[..., Awaitable[Any]]


pytestmark = pytest.mark.anyio


every_mode = ("sync", "async", "generator", "async generator")


KEY = "hunter2"


@pytest.mark.parametrize("flag", ["capture", "plumbing", "inherit"])
def test_flag_that_is_none(flag: str) -> None:
    """
    What is neither True nor False is refused: ``capture="no"`` would capture.
    """
    with pytest.raises(TypeError, match=rf"callbacks\({flag}=...\) .*, not 'no'"):
        callbacks(**{flag: "no"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "kind", ["chain", "tool", "retriever", "embedding", "llm", "chat_model"]
)
@pytest.mark.rule(16, *every_mode)
async def test_capture_false(everything: Any, called: Called, kind: str) -> None:
    """
    ``capture=False`` keeps all payloads from every handler below, outer ones included.
    """

    def body(given: str) -> str:
        emit("told", KEY)
        return given

    with callbacks(everything), callbacks(capture=False):
        got = await called(traced(kind=kind), body, KEY)

    assert got in (KEY, [KEY])
    assert KEY not in everything.text
    assert [run.status for run in everything.runs] == ["ok"]


@pytest.mark.rule(16, "sync")
def test_capture_false_of_an_inner_block(everything: Any) -> None:
    """
    A block inside a run keeps what is emitted in it from outer handlers.
    """

    with callbacks(everything), traced("run"), callbacks(capture=False):
        emit("login", {"password": KEY})

    assert KEY not in everything.text
