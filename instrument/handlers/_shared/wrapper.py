"""
`Wrapped`: the ground on which handlers stand that take another handler in.

To the dispatcher a wrapper is a listener, not a handler: `handler` is the one within, so
that its flags hold, it is told by its own name when it fails, and wrappers nest. To
LangChain it is a handler like any other of ours.
"""

from instrument import _report
from instrument._audience import seen_by_langchain as _seen
from instrument._audience.listener import Listener, as_listener
from instrument._audience.plan import Options
from instrument._payloads.answers import LLMResult
from instrument._payloads.jsonable import text_of
from instrument._payloads.redact import asked_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument._runs.run import Run


class Wrapped(Listener, _seen.Seen):
    """
    A handler in a wrapper; a subclass says in `method` what becomes of its events.

    Args:
        handler: What `callbacks` takes, or another wrapper.
        wrapper: The name of the function that makes the wrapper, for messages.

    Raises:
        TypeError: For what is no handler.
    """

    def __init__(self, handler: object, wrapper: str) -> None:
        if issubclass(type(handler), Options):
            message = (
                f"{wrapper}() takes a handler, not callbacks(): open the block around"
                f" it, callbacks({wrapper}(handler))."
            )
            raise TypeError(message)
        self._inner = as_listener(handler)
        if self._inner.local:
            message = (
                f"{wrapper}() takes a handler, not local(): put it the other way round,"
                f" local({wrapper}(handler))."
            )
            raise TypeError(message)
        self.take(self._inner.handler)
        # its own: beside the wrapper the handler itself may be given, and hears too
        self.key = object()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {_report.described(self.handler)}>"

    def __deepcopy__(self, memo: object) -> "Wrapped":
        return self

    @property
    def raise_error(self) -> bool:
        return self.raises

    @property
    def __wrapped__(self) -> "Any":
        return self.handler

    @property
    def flushes(self) -> bool:
        return self._inner.flushes

    @property
    def needs_its_place(self) -> bool:
        return self._inner.needs_its_place

    @property
    def hears_channels(self) -> bool:
        return self._inner.hears_channels


def read_now(args: "tuple[Any, ...]", run: "Run | None") -> None:
    """
    Read what a handler is told of later as it is now: what may change meanwhile and, where
    anything is redacted, what objects say, which may hold more by then.
    """
    for each in args:
        if issubclass(type(each), LLMResult):
            each.read()
    if run is not None and run._asked is None and run._audience.redactors:
        run._asked = asked_for(run._audience.redactors)
        text_of(run._kind.start_data(run), _MOST_ASKED, run._asked)


_MOST_ASKED = 100_000
