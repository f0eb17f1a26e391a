"""
Keep values from handlers: `Secret`, and the ``redact=`` of a block.

A redactor that fails drops the whole payload: it fails closed.
"""

from instrument import _report
from instrument._state import muted
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
_MOST_VALUES = 100_000


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
        # the first word says which payload it is: inputs, token, data ...
        return MASK if path[1:] and path[-1] in self.names else value


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
        value: A payload; builtin containers and pydantic models in it are walked, and
            rebuilt (models as dicts) where something changed. The original is never
            touched.
        redactors: Asked for every value, containers before what they hold.
        path: Where the value stands: ``("inputs", "user", "password")``.
    """
    if not redactors:
        return value
    with muted():  # a redactor may call what is traced
        try:
            for redactor in redactors:
                value = _Walk(redactor).walked(value, path, _DEPTH)
        except (Exception, SystemExit) as exc:
            _report.failed(redactor, f"redact of {path[0]}", exc)
            return DROPPED
    return value


class _Walk:
    """
    One walk of one redactor through one payload, of at most so many values.
    """

    __slots__ = ("_left", "_redactor")

    def __init__(self, redactor: "Redactor") -> None:
        self._redactor = redactor
        self._left = _MOST_VALUES

    def walked(self, value: "Any", path: "Path", depth: int) -> "Any":
        changed = self._redactor(value, path)
        if changed is not value:
            return changed
        fields = _fields(value)
        if fields is None:
            return value
        self._left -= len(fields)
        if depth == 0 or self._left < 0:
            return MASK  # too deep or too large to be looked into: not shown
        if isinstance(fields, dict):
            shown = {
                key: self.walked(item, (*path, key), depth - 1)
                for key, item in fields.items()
            }
            same = all(shown[key] is item for key, item in fields.items())
            return value if same else shown
        items = [
            self.walked(item, (*path, index), depth - 1)
            for index, item in enumerate(value)
        ]
        if all(new is old for new, old in zip(items, value, strict=True)):
            return value
        return items if isinstance(value, list) else _plain_type(value)(items)


def _fields(value: "Any") -> "Any":
    """
    Give what *value* holds: a container itself, the fields of a pydantic model as a
    dict (messages and documents are such models), None for all else.
    """
    if isinstance(value, _CONTAINERS):
        return value
    if not hasattr(type(value), "__pydantic_fields__"):
        return None
    return {**vars(value), **(value.__pydantic_extra__ or {})}


_CONTAINERS = (dict, list, tuple, set, frozenset)


def _plain_type(value: object) -> "type[Any]":
    return next(kind for kind in _CONTAINERS if isinstance(value, kind))
