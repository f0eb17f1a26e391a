"""
Keep values from handlers: `Secret`, and the ``redact=`` of a block.

A redactor that fails drops the whole payload: it fails closed.
"""

from instrument import _report
from instrument._text import safe_repr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeAlias

    Path: TypeAlias = tuple[str | int, ...]
    Redactor: TypeAlias = Callable[[Any, Path], Any]

MASK = "[redacted]"
DROPPED = "[dropped: the redactor failed]"
_DEPTH = 32


class Secret:
    """
    Mark a parameter whose value no handler may see: ``key: Annotated[str, Secret]``.
    """


class Names:
    """
    The redactor that masks values by the name they stand under, at any depth.
    """

    def __init__(self, names: "Iterable[str]") -> None:
        self.names = frozenset(names)

    def __call__(self, value: object, path: "Path") -> object:
        return MASK if path and path[-1] in self.names else value


def as_redactor(given: object) -> "Redactor":
    """
    Make a redactor of a function ``(value, path) -> value`` or a list of names.

    Raises:
        TypeError: For anything else.
    """
    if isinstance(given, (list, tuple, set, frozenset)) and all(
        isinstance(name, str) for name in given
    ):
        return Names(given)
    if callable(given) and not isinstance(given, type):
        return given
    message = (
        "callbacks(redact=...) takes a function (value, path) -> value or a list of"
        f" names to mask, not {safe_repr(given)}."
    )
    raise TypeError(message)


def redacted(value: object, redactors: "tuple[Redactor, ...]", path: "Path") -> "Any":
    """
    Give *value* as handlers may see it.

    Args:
        value: A payload; builtin containers in it are walked, and rebuilt where
            something changed. The original is never touched.
        redactors: Asked for every value, containers before what they hold.
        path: Where the value stands: ``("inputs", "user", "password")``.
    """
    for redactor in redactors:
        try:
            value = _walked(value, redactor, path, _DEPTH)
        except (Exception, SystemExit) as exc:  # noqa: BLE001 - fails closed, whatever it is
            _report.failed(redactor, f"redact of {path[0]}", exc)
            return DROPPED
    return value


def _walked(value: "Any", redactor: "Redactor", path: "Path", depth: int) -> "Any":
    changed = redactor(value, path)
    if changed is not value:
        return changed
    if not isinstance(value, (dict, list, tuple)):
        return value
    if depth == 0:
        return MASK  # too deep to be looked into: not shown
    if isinstance(value, dict):
        return {
            key: _walked(item, redactor, (*path, key), depth - 1)
            for key, item in value.items()
        }
    items = [
        _walked(item, redactor, (*path, index), depth - 1)
        for index, item in enumerate(value)
    ]
    return tuple(items) if isinstance(value, tuple) else items
