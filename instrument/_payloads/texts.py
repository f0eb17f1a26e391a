"""
The texts of one walk through a payload: JSON in them is walked, half of it told where it
names nothing; of a failed tool's result they are masked as messages are.
"""

from abc import ABC, abstractmethod

from instrument._payloads.jsonable import jsonable
from instrument._payloads.messages import is_half
from instrument._payloads.names import MASK, MOST_JSON, Names, each_once, may_be_json
from instrument._text import cut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    Path: TypeAlias = tuple[str | int, ...]

_MOST_VALUES = 100_000
_MOST_READ = 4_000_000
"""The most characters of JSON, and of messages, that are looked through in one payload."""
DEPTH = 32
ARGUMENTS = frozenset(("arguments", "args", "input", "input_str", "partial_json"))


class Texts(ABC):
    """
    What of a walk is masked, and its texts.

    Attributes:
        changes: How often something was masked, changed or not looked into.
        _chars: How many characters may be looked through yet.
        _has_failed: Whether this is a failed tool's result, whose texts an error says.
        _left: How many values may be looked into yet.
    """

    def __init__(self, names: "Names | None") -> None:
        self._names = names
        self._left = _MOST_VALUES
        self._chars = _MOST_READ
        self._has_failed = False
        self.changes = 0

    @abstractmethod
    def walked(self, value: "Any", path: "Path", depth: int) -> "Any":
        """
        Give *value* as it may be seen.
        """

    def _masked(self, told: str = MASK) -> str:
        self.changes += 1
        return str.__str__(told)

    def _text(self, text: str, path: "Path", depth: int) -> str:
        """
        Walk JSON: of a list of names all that looks so, else arguments of a tool.
        """
        is_told = self._names is not None or path[-1] in ARGUMENTS
        if not is_told or not may_be_json(text):
            return self._cleared(text) if self._has_failed else text
        if depth == 0:
            return self._masked()
        if len(text) > MOST_JSON:
            return self._unread(text)
        if not self._has_room(text):
            return self._masked()
        import json

        before = self.changes
        try:
            held = json.loads(text, object_pairs_hook=each_once)
        except (ValueError, RecursionError):
            return self._unread(text)
        shown = self.walked(held, path, depth - 1)
        if self.changes == before:
            return text
        return json.dumps(jsonable(shown), ensure_ascii=False)

    def _unread(self, text: str) -> str:
        """
        Show what is nearly JSON, half of it perhaps, only where it names nothing, and to
        a function nothing of it; of what is long, the beginning.
        """
        if len(text) > MOST_JSON:
            self.changes += 1
            text = cut(text, MOST_JSON)
        names = self._names
        if names is None:
            return self._masked() if is_half(text) else text
        is_seen = self._has_room(text) and "\\u" not in text
        if not is_seen or names.are_in(text):
            return self._masked()
        return self._cleared(text) if self._has_failed else text

    def _has_room(self, text: str) -> bool:
        self._chars -= len(text)
        return self._chars >= 0

    def _cleared(self, item: "Any", depth: int = DEPTH) -> "Any":
        kind: Any = type(item)
        names: Any = self._names
        if kind is tuple or kind is list:
            self._left -= len(item)
            if self._left < 0 or depth == 0:
                return self._masked()
            words = names.without_options(item)
            self.changes += words is not item
            return kind([self._cleared(it, depth - 1) for it in words])
        if kind is bytes:
            text = self._cleared(item.decode("latin-1"), depth)
            return str.encode(text, "latin-1")
        if kind is not str:
            return item
        if len(item) > MOST_JSON or not self._has_room(item):
            return self._masked()
        text = names.masked_text(item)
        self.changes += text != item
        return text
