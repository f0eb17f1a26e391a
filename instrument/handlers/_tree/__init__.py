"""
`TreeHandler`: the live tree of a request in the terminal.
"""

import sys

from instrument._payloads.redact import said_by
from instrument._text import cut, printable, type_of
from instrument.handlers._shared.run_handler import RunHandler
from instrument.handlers._stdout import StdOutCallbackHandler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

    from instrument._runs.run import Run

_MESSAGE = 200


class TreeHandler(RunHandler):
    """
    Show what runs as a tree that grows at the foot of the terminal.

    Each run has a row: a spinner while it runs, its duration, a model's tokens and
    their speed, what it failed with. When there are more rows than the terminal has,
    what is done folds, the oldest first. A tree that is done is printed above, with
    what it came to.

    Other output goes above the trees while something runs, if it is written through the
    standard streams; what is asked of the user meanwhile, as by ``input()``, is drawn
    over. Several handlers, also for ``sys.stdout`` and ``sys.stderr``, share a terminal.

    Where *file* is no terminal, or one that cannot draw (``TERM=dumb``), and in a
    forked child, the runs are written as `StdOutCallbackHandler` does. A child forked
    while the parent draws is silent. ``NO_COLOR`` takes the colour, not the tree.

    Of one tree 2,000 runs are kept, and those that run; of more, the ones that ended
    first are counted. Names and messages are untrusted: no control character of them is
    written, markup is text, and a row is cut at the width of the terminal.

    Args:
        file: A text stream; by default what ``sys.stdout`` is now.

    Raises:
        ImportError: Without the package rich.
        TypeError: If *file* is no text stream.
    """

    def __init__(self, file: "TextIO | None" = None) -> None:
        try:
            import rich  # noqa: F401
        except ImportError:
            message = 'TreeHandler needs rich: pip install "instrument-callbacks[rich]"'
            raise ImportError(message) from None

        from instrument.handlers._tree.display import display_of

        self._lines = StdOutCallbackHandler(file)
        self._display = display_of(sys.stdout if file is None else file)
        if self._display is not None:
            self._forest = self._display.forest()

    def run_started(self, run: "Run") -> None:
        display = self._display
        if display is None or display.mode == "lines":
            self._lines.run_started(run)
        else:
            top = run._root_run().id
            facts = run.id, run.parent_id, top, run.kind, run.name, run._started_ns
            display.tell(self._forest.start, *facts)

    def on_llm_new_token(
        self, token: str, *, channel: str = "text", **kwargs: "Any"
    ) -> None:
        run = kwargs["run"]
        if self._display is not None:
            self._display.tell(self._forest.token, run.id, run._first_token_ns)

    def run_ended(self, run: "Run") -> None:
        display = self._display
        if display is None or display.mode == "lines":
            self._lines.run_ended(run)
        else:
            told = _failure(run, **_error(run))
            facts = run.id, run.status, run._ended_ns, run.model, run.usage, told
            display.tell(self._forest.end, *facts)

    def flush(self) -> None:
        """
        Draw what is done; with nothing left that runs, the terminal is as before.
        """
        if self._display is not None:
            self._display.settle()


def _error(run: "Run") -> "dict[str, str]":
    """
    Give the type and the message, as handlers may see it, of what *run* failed with.
    """
    if run.status != "error" or run.error is None:
        return {}
    shown = said_by(run.error, run._audience) or ""
    return {"type": type_of(run.error), "message": shown}


def _failure(run: "Run", type: str = "", message: str = "") -> str:
    """
    Say what a row tells of an ending; a message only where it came from.
    """
    if run.status != "error":
        return "" if run.status == "ok" else run.status
    shown = printable(cut(message, _MESSAGE)) if run.error_origin else ""
    return printable(cut(type, _MESSAGE)) + (shown and f": {shown}")
