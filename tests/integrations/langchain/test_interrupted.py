"""
Interrupts at each place of the bridge where Python looks for signals.
"""

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda

from instrument import auto, callbacks

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


def chain_left_early(*handlers: Any) -> None:
    with callbacks(*handlers):
        stream: Any = chain.stream("q")
        next(stream)
        stream.close()


@pytest.mark.parametrize("act", ["whole", "streamed", "left_early", "chain_left_early"])
def test_signal_in_what_langchain_tells(act: str) -> None:
    """
    A signal as LangChain tells a start, a token, an end or an error leaves nobody deaf,
    and no run without an end: LangChain itself tells no more of it. At the very entry of
    what is told an end none of our lines has been reached.

    In a process of its own, in which nothing else looks at each place.
    """
    command = [sys.executable, __file__, act]
    env = {name: os.environ[name] for name in os.environ if "COVERAGE" not in name}
    told = json.loads(subprocess.check_output(command, env=env, text=True, timeout=100))

    assert told.pop("looks") > 0
    assert {name: places for name, places in told.items() if places} == {}


def main(name: str) -> None:
    """
    Interrupt the function of that name at each look, and write what went wrong.
    """
    sys.path.append(str(RUNS))
    tool: Any = import_module("test_interrupts")
    auto.install()
    act = globals()[name]
    looks = [
        look
        for look in tool.lines_of(act, tool.Ears, tool.Signal)
        if "integrations/langchain/" in look and not ENTRY.search(look)
    ]

    found = tool.interrupted_at(
        dict.fromkeys(looks), act, tool.Ears, KeyboardInterrupt, tool.Signal
    )

    json.dump({**tool.faults(found), "looks": len(looks)}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
