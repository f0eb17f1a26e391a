"""
``INSTRUMENT_DISABLED=1`` turns everything off.
"""

import os
import subprocess
import sys

import pytest

CODE = """
import asyncio
from instrument import AsyncCallbackHandler, bind, callbacks, current_run, emit, traced
from instrument.testing import Recorder

heard = Recorder()

class Flushing(Recorder):
    def flush(self): print("flushed")

flushing = Flushing()

@traced
def work(): return "done"

@traced(callbacks=[heard])
def own(): return "done"

@traced
class Thing:
    @traced
    def method(self): return "done"

@traced(callbacks=[heard])
async def coroutine(): return "done"

@traced.llm(callbacks=[heard])
def stream():
    yield "done"

@callbacks(heard)
def scoped(): return work()

async def main():
    async with callbacks(heard) as scope:
        return await coroutine()

def use_block():
    with callbacks(heard, flushing, tags=["a"]) as scope:
        emit("told")
        assert not current_run()
        return work()

def use_install():
    with callbacks(heard).install():
        return work()

def use_run():
    with callbacks(heard), traced("run", callbacks=[heard]) as run:
        run.outputs = 1
        assert not run
        return work()

uses = {
    "block": use_block,
    "install": use_install,
    "decorated": scoped,
    "constructor": own,
    "generator": lambda: list(stream())[0],
    "coroutine": lambda: asyncio.run(main()),
    "call": lambda: work(callbacks=[heard]),
    "class": lambda: Thing(callbacks=[heard]).method(),
    "run": use_run,
    "bind": lambda: bind(use_block)(),
}
"""


@pytest.mark.parametrize(
    "use",
    [
        "block",
        "install",
        "decorated",
        "constructor",
        "generator",
        "coroutine",
        "call",
        "class",
        "run",
        "bind",
    ],
)
def test_disabled(use: str) -> None:
    """
    With the switch on the application runs as ever, and no handler hears.
    """
    assert run(use, "1") == "done 0"


def test_token_stream() -> None:
    """
    With the switch on a stream of tokens ends at once: nobody will say that it does.
    """
    code = "from instrument.handlers import TokenStream; print(list(TokenStream()))"

    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "INSTRUMENT_DISABLED": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("value", ["", "0"])
def test_not_disabled(value: str) -> None:
    """
    Empty and ``0`` are off.
    """
    assert run("install", value) == "done 2"


def run(use: str, switch: str) -> str:
    """
    Run one use in a process of its own; give its result and what was heard.
    """
    code = f"{CODE}\nprint(uses[{use!r}](), len(heard.events))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "INSTRUMENT_DISABLED": switch},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_demo_says_that_nobody_listens() -> None:
    """
    The demo answers with the switch on, and says why it shows no tree.
    """
    done = subprocess.run(
        [sys.executable, "-m", "instrument", "demo"],
        env={**os.environ, "INSTRUMENT_DISABLED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "INSTRUMENT_DISABLED is set" in done.stdout
    assert "agent answer" not in done.stdout
