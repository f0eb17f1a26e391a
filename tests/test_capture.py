"""
``capture=False``: no payload reaches any handler below.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from instrument import callbacks, emit, traced
from instrument.testing import Recorder

Called = Callable[..., Awaitable[Any]]


pytestmark = pytest.mark.anyio


every_mode = ("sync", "async", "generator", "async generator")


KEY = "hunter2"


class Everything(Recorder):
    """
    Keeps all that any event carries, as text.
    """

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("on_") or name == "on_event":
            return super().__getattribute__(name)

        def hear(*args: Any, **kwargs: Any) -> None:
            for value in (*args, *kwargs.values()):
                self.text += f" {getattr(value, 'generations', value)!r}"
                self.text += f" {getattr(value, '__dict__', '')!r}"

        return hear

    def on_event(self, event: Any, **kwargs: Any) -> None:
        super().on_event(event)
        self.text += event.to_json()
        self.text += repr([event.run.inputs, event.run.outputs, event.run.params])


@pytest.mark.parametrize(
    "kind", ["chain", "tool", "retriever", "embedding", "llm", "chat_model"]
)
@pytest.mark.rule(16, *every_mode)
async def test_capture_false(called: Called, kind: str) -> None:
    """
    ``capture=False`` keeps all payloads from every handler below, outer ones included.
    """

    def body(given: str) -> str:
        emit("told", KEY)
        return given

    everything = Everything()
    with callbacks(everything), callbacks(capture=False):
        got = await called(traced(kind=kind), body, KEY)

    assert got in (KEY, [KEY])
    assert KEY not in everything.text
    assert [run.status for run in everything.runs] == ["ok"]


@pytest.mark.rule(16, "sync")
def test_capture_false_of_an_inner_block() -> None:
    """
    A block inside a run keeps what is emitted in it from outer handlers.
    """
    everything = Everything()

    with callbacks(everything), traced("run"), callbacks(capture=False):
        emit("login", {"password": KEY})

    assert KEY not in everything.text
