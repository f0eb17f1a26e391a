"""
Interrupts at each place of the bridge where Python looks for signals.
"""

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda

from instrument import callbacks

pytestmark = pytest.mark.usefixtures("langchain")
RUNS = Path(__file__).parents[2] / "runs"
ENTRY = re.compile(r"(End|Error)Method\.__call__\+\d$")
model = FakeListChatModel(responses=["ab"])
chain = RunnableLambda(lambda question: question) | model


def whole(*handlers: Any) -> None:
    with callbacks(*handlers):
        chain.invoke("q")


def streamed(*handlers: Any) -> None:
    with callbacks(*handlers):
        list(model.stream("q"))


def left_early(*handlers: Any) -> None:
    with callbacks(*handlers):
        stream: Any = model.stream("q")
        next(stream)
        stream.close()


@pytest.mark.parametrize("act", [whole, streamed, left_early])
def test_signal_in_what_langchain_tells(
    act: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A signal as LangChain tells a start, a token, an end or an error leaves nobody deaf,
    and no run without an end: LangChain itself tells no more of it. At the very entry of
    what is told an end none of our lines has been reached.
    """
    monkeypatch.syspath_prepend(RUNS)
    tool: Any = import_module("test_interrupts")
    place = "integrations/langchain/"
    looks = [
        look
        for look in tool.lines_of(act, tool.Ears, tool.Signal)
        if place in look and not ENTRY.search(look)
    ]

    found = tool.interrupted_at(
        dict.fromkeys(looks), act, tool.Ears, KeyboardInterrupt, tool.Signal
    )

    assert looks
    assert vars(found) == vars(tool.Found())
