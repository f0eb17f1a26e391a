"""
Hear this process from its beginning, as ``run`` has asked by the environment: what it
does is kept, and in the program itself shown while it runs and summed up at its end.
"""

import os
import shlex
import sys
from contextlib import closing, suppress

from instrument._cli.run import GIVEN
from instrument._payloads.event import Usage
from instrument._state import DISABLED
from instrument.exceptions import StoreError
from instrument.handlers import StoreHandler
from instrument.handlers._shared import amounts
from instrument.handlers._shared.open_runs import ID
from instrument.handlers._store.processes import PROGRAM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from instrument import Event
    from instrument.handlers._shared.style import Segment

_KEEP_DAYS = 7
_KEEP_BYTES = 1_000_000_000
_WAIT_S = 5.0
_ENDS = ("_end", "_error")
_SAYS = "instrument: "


def begin() -> "Callable[[], None]":
    """
    Hear this process.

    Returns:
        What is to be called at its very end.
    """
    given = os.environ.pop(GIVEN, None)
    if DISABLED:
        return _keep_interrupted
    try:
        kept = Kept(keep_days=_KEEP_DAYS, keep_bytes=_KEEP_BYTES)
    except (OSError, StoreError) as exc:
        print(f"{_SAYS}nothing is kept: {exc}", file=sys.stderr)
        return _keep_interrupted
    from instrument import auto, callbacks

    auto.install()
    shown = [] if given is None else _shown()
    callbacks(kept, *shown).install()
    return _keep_interrupted if given is None else Ending(kept, given).tell


def _shown() -> "list[Any]":
    """
    Give what shows the runs on standard error, if that is a terminal.
    """
    from instrument.handlers._shared.style import is_terminal

    if not is_terminal(sys.stderr):
        return []
    from instrument.handlers import StdOutCallbackHandler, TreeHandler

    try:
        return [TreeHandler(sys.stderr)]
    except ImportError:  # without rich
        return [StdOutCallbackHandler(sys.stderr)]


class Kept(StoreHandler):
    """
    A store to which workers of `multiprocessing` write at once: they end without a word,
    or are ended as soon as they have answered.
    """

    def on_event(self, event: "Event", **kwargs: "Any") -> None:
        """
        Write *event*; in a worker, wait for that at the end of a request.
        """
        super().on_event(event, **kwargs)
        is_over = event.parent_run_id is None and event.event.endswith(_ENDS)
        if is_over and _is_worker():
            self.drain(_WAIT_S)


def _is_worker() -> bool:
    process: Any = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


class Ending:
    """
    The last lines of a program, on standard error.

    Args:
        kept: Where it was kept.
        store: Its name, if one was given.
    """

    def __init__(self, kept: "StoreHandler", store: str) -> None:
        self._kept = kept
        self._store = store
        self._pid = os.getpid()

    def tell(self) -> None:
        """
        Say what the program's requests came to, and how to see them.
        """
        self._tell()
        _keep_interrupted()

    def _tell(self) -> None:
        is_forked = os.getpid() != self._pid  # and ends as this one does
        if is_forked or sys.stderr is None:
            return
        from instrument.handlers._shared.terminal import Terminal

        self._kept.drain(_WAIT_S)
        with suppress(OSError, ValueError):  # nobody reads it; it was closed
            Terminal(sys.stderr).lines([*self._lines(self._came())])

    def _came(self) -> "dict[str, Any]":
        from instrument.handlers._store.reader import Reader

        if not self._kept.path.exists():
            return {"requests": 0}
        try:
            with closing(Reader(self._kept.path)) as reader:
                return reader.program(os.environ.get(PROGRAM, ""))
        except StoreError as exc:
            return {"error": str(exc)}

    def _lines(self, came: "dict[str, Any]") -> "Iterator[list[Segment]]":
        if "error" in came:
            yield [(f"{_SAYS}{came['error']}", "")]
            return
        if not came["requests"]:
            yield _line("nothing was heard; what can be:", "status")
            return
        failed = came["errors"]
        told = [amounts.counted(came["requests"], "request")]
        if failed:
            told.append(f"{failed:,} failed")
        if came["model_calls"]:
            told.append(amounts.counted(came["model_calls"], "model call"))
        consumed = Usage(came.get("input_tokens"), came.get("output_tokens"))
        told.append(amounts.usage(consumed, came.get("cost_usd")))
        said = ", ".join(filter(None, told))
        yield [(_SAYS, "dim"), (said, "bold" if failed else "")]
        store = f" --store {shlex.quote(self._store)}" if self._store else ""
        if failed:
            which = came["failed"][:ID] if failed == 1 else "--errors"
            yield _line("what failed:", f"show {which}{store}")
        at = f" {shlex.quote(self._store)}" if self._store else ""
        yield _line("all of them:", f"view{at}")


def _keep_interrupted() -> None:
    """
    Have a process that Ctrl-C has ended die by its signal, as shells want it.

    Python notes that the last text that it ran was interrupted, and modules that are
    imported since, as by who writes the store, run texts: one more is interrupted.
    """
    kind: Any = getattr(sys, "last_type", None)
    if isinstance(kind, type) and issubclass(kind, KeyboardInterrupt):
        with suppress(KeyboardInterrupt):
            exec("raise KeyboardInterrupt")  # noqa: S102


def _line(what: str, command: str) -> "list[Segment]":
    return [(f"{_SAYS}{what} python -m instrument {command}", "dim")]
