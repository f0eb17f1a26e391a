"""
The parts that an answer has: text, calls of tools, and what is neither.
"""

from instrument._payloads.messages import (
    is_listed,
    items,
    plain,
    read_arguments,
    string,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from instrument._payloads.answers.answer import Token


class ToolCall:
    """
    One call of a tool.

    Attributes:
        index: What its provider counts it by, as far as it tells.
        pieces: Of its arguments, where they are text.
        is_server: Whether the provider runs it.
    """

    __slots__ = ("given", "id", "index", "is_server", "is_text", "name", "pieces")

    def __init__(self, index: object = None) -> None:
        self.index = index
        self.id: str | None = None
        self.name: str | None = None
        self.pieces: list[str] = []
        self.given: object = None
        self.is_server = self.is_text = False

    def goes_on_with(self, id: str | None, name: str | None) -> bool:
        """
        Tell whether a piece at its index, which has these, is one of it.
        """
        if type(self.index) is str:
            return True
        if id is not None:
            return self.id in (id, None)
        if name is None or not (self._has_arguments or self.index is None):
            return True
        return self.index is not None and self.name == name and not self._is_full

    @property
    def _has_arguments(self) -> bool:
        return bool(self.pieces) or self.given is not None

    @property
    def _is_full(self) -> bool:
        return not issubclass(type(self.data()["arguments"]), str)

    def take(
        self,
        id: str | None,
        name: str | None,
        arguments: object,
        *,
        is_whole: bool = False,
        is_text: bool = False,
        is_server: bool = False,
    ) -> "Sequence[Token]":
        """
        Take what is told of it.

        Args:
            is_whole: Whether the arguments are all that there are; else they are a piece.
            is_text: Whether they are a text, whatever it looks like.
            is_server: Whether the provider runs it.
        """
        self.id = self.id or id
        if name and not is_whole and not self._has_arguments and self.name != name:
            self.name = (self.name or "") + name  # it may come in pieces as well
        self.name = self.name or name
        self.is_text = self.is_text or is_text
        self.is_server = self.is_server or is_server
        if not issubclass(type(arguments), str):
            self.given = self.given if arguments is None else arguments
            return ()
        piece = string(arguments)
        if piece is None:
            return ()
        if is_whole:
            return put_whole(self.pieces, piece, "tool_call")
        self.pieces.append(piece)
        return ((piece, "tool_call"),)

    def data(self) -> "dict[str, Any]":
        """
        Write it.
        """
        text = "".join(self.pieces)
        given: object = text
        if not self.is_text:
            given = read_arguments(text) if text else opened(self.given)
        if given is None:  # it has none
            given = {}
        return {"id": self.id, "name": self.name, "arguments": given}


class File:
    """
    What is no text: of what kind it is, and how large.
    """

    __slots__ = ("_digits", "_size", "kind")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._size: int | None = None
        self._digits = 0

    def take(self, held: object) -> None:
        """
        Count what is told of it: bytes, base 64, or a URL.
        """
        if issubclass(type(held), bytes):
            self._size = (self._size or 0) + bytes.__len__(held)  # type: ignore[arg-type]
        text = string(held)
        if text is None:
            return
        head, is_url, data = text.partition("base64,")
        if is_url and head.startswith("data:"):
            self.kind = head[len("data:") :].rstrip(";") or self.kind
            text = data
        elif "://" in text[:10]:
            return
        self._digits += len(text) - text[-2:].count("=")

    def data(self) -> "dict[str, Any]":
        """
        Write it.
        """
        size = self._digits * 3 // 4 if self._digits else self._size
        return {"kind": self.kind, "size": size}


def opened(value: object) -> object:
    """
    Give the fields that were told of a pydantic model, and of those in it, as objects.

    What there is too much of stays as it is.
    """
    return _opened(value, _DEEPEST, [_MOST])


def _opened(value: object, depth: int, left: "list[int]") -> object:
    if depth <= 0 or left[0] <= 0:
        return value
    if is_listed(value):
        found = items(value)
        left[0] -= len(found)
        if left[0] < 0:
            return value
        return [_opened(item, depth - 1, left) for item in found]
    fields = plain(value)
    if fields is value or type(fields) is not dict:
        return value
    left[0] -= len(fields)
    told = fields.items()
    return {k: _opened(it, depth - 1, left) for k, it in told if it is not None}


_DEEPEST = 20
_MOST = 10_000  # values


def put_whole(pieces: "list[str]", text: str, channel: str) -> "Sequence[Token]":
    """
    Put a whole *text* for its *pieces*; give what these have not told.
    """
    told = "".join(pieces)
    pieces[:] = [text]
    more = text[len(told) :] if text.startswith(told) else ""
    return ((more, channel),) if more else ()
