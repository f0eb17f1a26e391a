"""
`filtered`: a handler that hears some runs only.
"""

from instrument._payloads.kinds import check_kind
from instrument._text import safe_repr
from instrument.handlers._shared.wrapper import Wrapped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from instrument._audience.plan import Layer
    from instrument._runs.run import Run


class Filtered(Wrapped):
    """
    What `filtered` gives: the handler, and what a run must be for it to hear.
    """

    def __init__(
        self,
        handler: object,
        kinds: "frozenset[str] | None",
        names: "frozenset[str] | None",
        tags: "frozenset[str] | None",
    ) -> None:
        super().__init__(handler, "filtered")
        self._kinds = kinds
        self._names = names
        self._tags = tags

    def method(self, event: str) -> "Callable[..., Any] | None":
        method = self._inner.method(event)
        if method is None:
            return None

        def hear(*args: object, run: "Run", **kwargs: object) -> object:
            return method(*args, run=run, **kwargs) if self._hears(run) else None

        return hear

    def flusher(
        self, name: str, layer: "Layer | None" = None
    ) -> "Callable[[], Any] | None":
        return self._inner.flusher(name, layer)

    def _hears(self, run: "Run") -> bool:
        """
        Decide by what stays the same from a run's start to its end.
        """
        return (
            (self._kinds is None or run.kind in self._kinds)
            and (self._names is None or run.name in self._names)
            and (self._tags is None or not self._tags.isdisjoint(run._audience.tags))
        )


def filtered(
    handler: object,
    *,
    kinds: "str | Iterable[str] | None" = None,
    names: "str | Iterable[str] | None" = None,
    tags: "str | Iterable[str] | None" = None,
) -> Filtered:
    """
    Let *handler* hear only the runs that match, each whole: from start to end.

    A run matches if it is of one of the *kinds*, has one of the *names* and one of the
    *tags*; what is not given is not asked. Runs below one that does not match are
    asked themselves. Tags are those that the run has at its start, inherited ones
    included.

    Args:
        handler: What `callbacks` takes. It may be filtered in a constructor's
            handlers too.

    Raises:
        TypeError: For what is no handler, or no string among the strings.
        ValueError: If nothing is asked for, or something that nothing can match.
    """
    asked = {"kinds": kinds, "names": names, "tags": tags}
    strings = {name: _strings(name, given) for name, given in asked.items()}
    for kind in strings["kinds"] or ():
        check_kind(kind, "filtered(kinds={!r})")
    if all(given is None for given in strings.values()):
        message = (
            "filtered() was given nothing to filter by, and would let all pass. Say"
            ' kinds=, names= or tags=: filtered(handler, kinds="tool").'
        )
        raise ValueError(message)
    return Filtered(handler, **strings)


def _strings(name: str, given: "Any") -> "frozenset[str] | None":
    if given is None:
        return None
    listed = (given,) if isinstance(given, str) else given
    try:
        strings = frozenset(listed)
    except TypeError:
        strings = frozenset((None,))
    if not all(isinstance(it, str) for it in strings):
        message = (
            f"filtered({name}=...) is a string or some of them, not {safe_repr(given)}."
        )
        raise TypeError(message)
    if not strings:
        message = (
            f"filtered({name}=...) is empty, and no run would match: leave {name} out"
            " to let all pass."
        )
        raise ValueError(message)
    return strings
