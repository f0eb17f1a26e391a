"""
`TreeHandler`: the live tree of a request in the terminal.
"""

import sys

from instrument import _ids
from instrument.handlers._shared.checks import checked_payload
from instrument.handlers._shared.run_handler import RunHandler
from instrument.handlers._stdout import PAYLOAD, attempt
from instrument.handlers._tree.told import Teller

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

    from instrument._runs.run import Run


class TreeHandler(RunHandler):
    """
    Show what runs as a tree that grows at the foot of the terminal.

    Each run has a row: how long, a sign, kind and name, what a model consumed, what went
    in and what came out; of a model that runs its newest words. What failed is told
    whole below its row. From 110 columns on a time line is at the right. When there are
    more rows than the terminal has, what ended well folds first, the oldest first, then
    what failed. A tree that is done is printed above, with what it came to and the first
    six digits of `Run.trace_hex`, by which it can be looked up.

    Other output goes above the trees while something runs, if it is written through the
    standard streams; what is asked of the user meanwhile, as by ``input()``, is drawn
    over. Several handlers, also for ``sys.stdout`` and ``sys.stderr``, share a terminal.

    Where *file* is no terminal, or one that cannot draw (``TERM=dumb``), and in a
    forked child, the finished tree is written, once, when the request ends: in 120
    columns, or as many as ``COLUMNS`` says. In a notebook that is a tree to fold and
    unfold. A child forked while the parent draws is silent. ``NO_COLOR`` takes the
    colour, not the tree.

    Of one tree 2,000 runs are kept, and those that run; of more, the ones that ended
    first are counted. Names, messages and payloads are untrusted: no control character
    of them is written, markup is text, and what is usually secret is masked.

    Args:
        file: A text stream; by default what ``sys.stdout`` is now.
        payload: The cells that what went in and what came out may take; 0 for none.

    Raises:
        ImportError: Without the package rich.
        TypeError: If *file* is no text stream.
    """

    def __init__(self, file: "TextIO | None" = None, *, payload: int = PAYLOAD) -> None:
        try:
            import rich  # noqa: F401
        except ImportError:
            message = 'TreeHandler needs rich: pip install "instrument-callbacks[rich]"'
            raise ImportError(message) from None

        from instrument.handlers._tree.display import display_of

        payload = checked_payload("TreeHandler", payload)
        self._display = display_of(sys.stdout if file is None else file)
        self._forest = self._display.trees.plant(payload)
        self._teller = Teller(self._display.marks, payload)

    def run_started(self, run: "Run") -> None:
        ids = run.id, run.parent_id, run._root_run().id
        self._display.tell(self._forest.start, *ids, self._teller.started(run))

    def on_llm_new_token(
        self, token: str, *, channel: str = "text", **kwargs: "Any"
    ) -> None:
        run = kwargs["run"]
        times = run._first_token_ns, _ids.clock_ns()
        self._display.tell(self._forest.token, run.id, *times, token, channel)

    def on_retry(self, retry_state: "Any", **kwargs: "Any") -> None:
        run = kwargs["run"]
        told = attempt(retry_state, run._audience.redactors)
        self._display.tell(self._forest.retry, run.id, told)

    def on_custom_event(self, name: str, data: "Any", **kwargs: "Any") -> None:
        told = self._teller.event(name, data, kwargs["run"])
        self._display.tell(self._forest.tell, kwargs["run"].id, told)

    def run_ended(self, run: "Run") -> None:
        self._display.tell(self._forest.end, run.id, self._teller.ended(run))

    def flush(self) -> None:
        """
        Draw what is done; with nothing left that runs, the terminal is as before.
        """
        self._display.settle()
