"""
What each handler costs a run, and what a million runs leave behind.

``python tests/benchmarks/handlers.py [WORD]`` prints a Markdown table, all handlers or
those with WORD in their name; with ``--soak`` it takes minutes, and adds the memory.
"""

import gc
import logging
import os
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from loguru import logger

if not __package__:  # run as a script
    sys.path.append(str(Path(__file__).parents[2]))

from instrument import callbacks, current_run, traced
from instrument.handlers import (
    BudgetHandler,
    FileCallbackHandler,
    MonitorHandler,
    RequestLogger,
    StdOutCallbackHandler,
    StreamingStdOutCallbackHandler,
    TokenStream,
    TreeHandler,
    UsageHandler,
    WebSocketHandler,
    background,
    filtered,
)
from instrument.handlers._shared.run_handler import RunHandler
from tests.benchmarks.measure import cpu_us

SOAK_RUNS = 1_000_000
SOAK_BYTES = 4.0
"""The most that a run may leave: 4 MB in a million come and go with the allocator."""

_BLOCK = 500
_SLICES = 9
_SLICE_BLOCKS = 4


class Socket:
    """
    A client that takes what it is sent at once.
    """

    def send(self, text: str) -> None: ...


@traced.chat_model(model="fake-1", provider="nobody")
def model(question: str) -> str:
    current_run().record_usage(input_tokens=3, output_tokens=1)
    return question


def _logger() -> logging.Logger:
    quiet = logging.Logger("benchmark")  # noqa: LOG001 - not to be found by its name
    quiet.addHandler(logging.NullHandler())
    return quiet


def _loguru() -> RequestLogger:
    logger.remove()
    logger.add(os.devnull)
    return RequestLogger()


def _nowhere() -> Any:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - as long as it is measured


HANDLERS: dict[str, Callable[[], object]] = {
    "`StdOutCallbackHandler`": lambda: StdOutCallbackHandler(_nowhere()),
    "`StreamingStdOutCallbackHandler`": lambda: StreamingStdOutCallbackHandler(
        _nowhere()
    ),
    "`FileCallbackHandler`": lambda: FileCallbackHandler(os.devnull),
    "`RequestLogger`, loguru with a sink": _loguru,
    "`RequestLogger(logging.Logger)`": lambda: RequestLogger(_logger()),
    "`MonitorHandler`": MonitorHandler,
    "`MonitorHandler(memory=False)`": lambda: MonitorHandler(memory=False),
    "`UsageHandler`": UsageHandler,
    "`BudgetHandler`": lambda: BudgetHandler(max_calls=10**9, max_seconds=10**6),
    "`WebSocketHandler`": lambda: WebSocketHandler(Socket()),
    "`TokenStream(events=True)`": lambda: TokenStream(events=True),
    "`TreeHandler`, piped": lambda: TreeHandler(_nowhere()),
    "`background(handler)`": lambda: background(RunHandler()),
    "`filtered(handler)`, a miss": lambda: filtered(RunHandler(), kinds="tool"),
}


def cost_us(make: Callable[[], object]) -> float:
    """
    Tell what a handler adds to a run that has a handler that does nothing, in CPU time
    of all threads.
    """
    nothing = RunHandler()
    pairs = [(_slice(make), _slice(lambda: nothing)) for _ in range(_SLICES)]
    return median(ours - least for ours, least in pairs)


def soak_bytes(make: Callable[[], object], runs: int = SOAK_RUNS) -> float:
    """
    Tell by how many bytes a run the process has grown after *runs* of them.
    """
    with _same(make) as handler:
        _blocks(handler, runs // 20)
        before = _resident_bytes()
        _blocks(handler, runs)
        return max(0, _resident_bytes() - before) / runs


@contextmanager
def _same(make: Callable[[], object]) -> Iterator[Callable[[], object]]:
    """
    Give one handler for all blocks; a stream serves one.
    """
    handler = make()
    yield make if isinstance(handler, TokenStream) else lambda: handler


def _slice(make: Callable[[], object]) -> float:
    runs = _BLOCK * _SLICE_BLOCKS
    with _same(make) as handler:
        _blocks(handler, _BLOCK)
        return cpu_us(lambda: _blocks(handler, runs), runs)


def _blocks(handler: Callable[[], Any], runs: int) -> None:
    for _ in range(runs // _BLOCK):
        heard = handler()
        with callbacks(heard):
            for _ in range(_BLOCK):
                model("?")
        if isinstance(heard, TokenStream):
            for _ in heard:
                pass


def _resident_bytes() -> int:
    gc.collect()
    return psutil.Process().memory_info().rss


def main(*words: str) -> None:
    """
    Print the rows whose name has the word in it.
    """
    is_soak = "--soak" in words
    word = next((w for w in words if not w.startswith("--")), "")
    print(f"Python {platform.python_version()}, {platform.machine()}\n")
    print(
        "| handler | us a run |" + (" bytes a run, of 1,000,000 |" if is_soak else "")
    )
    print("|---|--:|" + ("--:|" if is_soak else ""))
    for name, make in HANDLERS.items():
        if word in name:
            line = f"| {name} | {cost_us(make):.1f} |"
            print(line + (f" {soak_bytes(make):.1f} |" if is_soak else ""), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
