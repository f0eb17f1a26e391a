"""
Turn any value into JSON types, or into text, by the table of `fields`: what JSON lacks
becomes text, and what is cut at a limit says how much was cut. Limits come before the work.
"""

from instrument._payloads.fields import (
    FIELDS,
    ITEMS,
    MAPPING,
    REPR,
    VALUE,
    Unreadable,
    key_of,
    name_of,
    opening_of,
    read,
)
from instrument._text import cut, is_callers, is_short, length_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from instrument._payloads.fields import Opening

    Memo = dict[int, tuple[object, Any]]

TEXT_LIMIT = 1_000_000
"""The most characters that one string holds."""
ALL_TEXT_LIMIT = 4_000_000
"""The most characters, all strings together."""
NODE_LIMIT = 100_000
"""The most values, all levels together."""
DEPTH_LIMIT = 40
REPR_LIMIT = 1_000
"""The most objects of which a ``repr`` is made; of the others, their type is told."""
_SMALL = 2_000  # values
_SMALL_TEXT = 200_000  # characters: too few, both, for any limit to be reached
_INT_BITS = 4_096  # int -> str refuses more than 4,300 digits
_KEY = 10_000
_SHORT_KEY = 100  # characters: does not count as text
_MOST_REPR = 10_000
_LOOKS = 20
_FEW = 100
"""The entries of a container that are told also where no more values may be."""
_READ = 2
"""How often as many entries as may be told are read before they are, at most: what
holds itself is read at each level."""
_NATIVE = {DEPTH_LIMIT - 2: 20, DEPTH_LIMIT - 3: 8}
"""The entries that are read at these depths of an event also where no more may be: its
``data`` and the ``usage`` in that, behind metadata of any size."""
_TOP = DEPTH_LIMIT - 2
"""The depth down to which short texts are told in any case, as a status in ``data``."""


def jsonable(
    value: object,
    *,
    nodes: int = NODE_LIMIT,
    text: int = TEXT_LIMIT,
    memo: "Memo | None" = None,
) -> "Any":
    """
    Give *value* as dicts with string keys, lists, strings, finite numbers, bools, None.

    Never raises, and ends on cyclic data.

    Args:
        value: Anything.
        nodes: The most values, all levels together.
        text: The most characters that one string holds.
        memo: What objects said of themselves, so that none is asked twice.
    """
    return _Writing(nodes, text, memo).written(value, DEPTH_LIMIT)


def encoded(value: object, memo: "Memo | None" = None) -> str:
    """
    Give `jsonable` of *value* as one line of ASCII.

    Most values fit as they are: json's own encoder then takes a fifth of the time.
    """
    write = _encoder()
    try:
        text = write(value) if is_plain(value) else None
    except Exception as exc:  # what JSON lacks: an object, nan, a key that is no name
        if is_callers(exc):
            raise
        text = None
    if text is None or len(text) > _SMALL_TEXT:
        return write(jsonable(value, memo=memo))
    return text


def text_of(value: object, limit: int, memo: "Memo | None" = None) -> str:
    """
    Write *value* as Python would, and stop after that many characters.

    Args:
        memo: As for `jsonable`.
    """
    text = _Text(limit, {} if memo is None else memo)
    text.write(value, DEPTH_LIMIT)
    return "".join(text.pieces)


def repr_of(value: object, limit: int = _MOST_REPR) -> str:
    """
    Give the ``repr`` of *value*, of which that much is kept: of what has too much to
    write, written here, and no more of it than that.
    """
    if not is_short(value):
        return text_of(value, limit)
    return cut(str.__str__(read(value, repr)), limit)


def repr_once(value: object, limit: int, memo: "Memo") -> str:
    """
    Give `repr_of` of *value*, which is asked for it only if it has not been before.

    Args:
        memo: As for `jsonable`.
    """
    text = said_once(value, memo)
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… [{length_of(text) - limit} more characters]"


def said_once(value: object, memo: "Memo") -> str:
    """
    Give `said_of` of *value*, which is asked for it only if it has not been before.
    """
    known = memo.get(id(value))
    if known is None or type(known[1]) is not str:  # None: it has too much to write
        known = memo[id(value)] = value, said_of(value, memo)
    return known[1]


class Asked(dict):  # type: ignore[type-arg]
    """
    What objects said of themselves, as it may be seen: a `Memo` where something is
    redacted, as a ``repr`` may show what is found nowhere in the object.

    Attributes:
        shown: Gives what one said as it may be seen.
    """

    __slots__ = ("shown",)
    shown: "Callable[[str], str]"


def said_of(value: object, memo: "Memo") -> str:
    """
    Give `repr_of` of *value*, as it may be seen.
    """
    text = repr_of(value)
    return memo.shown(text) if type(memo) is Asked else text


class _Kept:
    encode: "Callable[[Any], str] | None" = None


def _encoder() -> "Callable[[Any], str]":
    if _Kept.encode is None:
        from json import JSONEncoder  # not needed where nobody writes events

        # what it is given holds nothing that holds itself
        made = JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False)
        _Kept.encode = made.encode
    return _Kept.encode


def is_plain(value: object) -> bool:
    """
    Tell whether *value* holds so little, of texts and keys as well, that no limit is
    reached, and nothing that json's encoder would ask for more than it holds.
    """
    if type(value) is not dict:
        return False
    level: list[Any] = [value]
    left, room = _SMALL, _SMALL_TEXT
    for _ in range(DEPTH_LIMIT):
        below: list[Any] = []
        for it in level:
            kind = type(it)
            if kind is str:
                room -= len(it)
            elif kind is dict:
                left -= len(it)
                if left < 0:
                    return False
                for key in it:
                    if type(key) is str:
                        room -= len(key)
                    else:
                        below.append(key)
                below += it.values()
            elif kind is list or kind is tuple:
                left -= len(it)
                if left < 0:
                    return False
                below += it
            elif not (it is None or kind is int or kind is float or kind is bool):
                return False
        if not below or room < 0:
            return room >= 0
        level = below
    return False


class _Writing:
    """
    One value on its way to JSON types, and how much more of it may be written.
    """

    __slots__ = ("_chars", "_least", "_left", "_memo", "_reprs", "_text", "_unread")

    def __init__(self, left: int, text: int, memo: "Memo | None") -> None:
        self._left = left
        self._least = _NATIVE if left == NODE_LIMIT else {}
        self._unread = left * _READ
        self._text = text
        self._chars = ALL_TEXT_LIMIT
        self._reprs = REPR_LIMIT
        self._memo: Memo = {} if memo is None else memo

    def written(self, value: "Any", depth: int) -> "Any":
        self._left -= 1
        kind = type(value)
        if kind is str:
            is_told = depth >= _TOP and len(value) <= min(_SHORT_KEY, self._text)
            return value if is_told else self._cut(value)
        if value is None or kind is bool:
            return value
        if kind is int:
            return _number(value)
        if kind is float:
            return value if value - value == 0 else repr(value)
        if depth <= 0:
            return f"<{name_of(value)} nested too deep>"
        return self._opened(value, depth - 1)

    def _opened(self, value: "Any", depth: int) -> "Any":
        opening = opening_of(type(value))
        told = opening.told
        if told is MAPPING or told is ITEMS:
            found = self._entries(value, opening, depth)
            if type(found) is Unreadable:
                return str.__str__(found)
            entries, count = found
            if told is MAPPING:
                return self._mapping(entries, count, depth)
            return self._listed(entries, count, depth)
        if told is FIELDS:
            return self._mapping(*self._fields(value, opening), depth)
        if told is REPR:
            text = self._repr(value)
            if text is not None:
                return self._cut(text)
            fields, count = self._fields(value, opening)
            count = None if count is None else count + 1
            return self._mapping([("type", name_of(value)), *fields], count, depth)
        inner = read(value, opening.read) if opening.asks else opening.read(value)
        if type(inner) is Unreadable:
            return str.__str__(inner)
        return self.written(inner, depth)

    def _room(self, least: int = 0) -> int:
        """
        Give how many entries may be read of the next container.
        """
        return max(min(self._left, self._unread), least)

    def _fields(
        self, value: object, opening: "Opening"
    ) -> "tuple[list[Any], int | None]":
        room = self._room()
        if not room:
            return [], None
        fields, count = opening.told_of(value, NODE_LIMIT)
        return fields[:room], count

    def _entries(self, value: object, opening: "Opening", depth: int) -> "Any":
        room = self._room(self._least.get(depth, 0) if opening.told is MAPPING else 0)
        if not opening.is_copied:
            return read(value, opening.read, room)
        found = self._once(value, lambda: read(value, opening.read, room))
        if type(found) is Unreadable:
            return found
        entries, count = found
        return entries[:room], count  # it was read when there was more room

    def _repr(self, value: object) -> str | None:
        """
        Give the ``repr`` of *value*; None where that has too much to write.
        """

        def made() -> str | None:
            self._reprs -= 1
            if self._reprs < 0:
                return f"<{name_of(value)}>"
            return said_of(value, self._memo) if is_short(value) else None

        return self._once(value, made)  # type: ignore[no-any-return]

    def _once(self, value: object, make: "Callable[[], Any]") -> "Any":
        known = self._memo.get(id(value))
        if known is not None:
            return known[1]
        made = make()
        self._memo[id(value)] = value, made  # held, so that the id stays its own
        return made

    def _mapping(self, pairs: "list[Any]", count: int | None, depth: int) -> "Any":
        whole, told = {}, 0
        self._unread -= len(pairs)
        for key, item in pairs:
            if self._left < 0 and told >= _FEW:
                break
            whole[self._key(key)] = self.written(item, depth)
            told += 1
        self._unread += len(pairs)
        more = _more(told, count)
        return whole if more is None else {**whole, "…": f"{more} entries"}

    def _listed(self, items: "list[Any]", count: int | None, depth: int) -> "Any":
        whole: list[Any] = []
        self._unread -= len(items)
        for item in items:
            if self._left < 0 and len(whole) >= _FEW:
                break
            whole.append(self.written(item, depth))
        self._unread += len(items)
        more = _more(len(whole), count)
        return whole if more is None else [*whole, f"… {more} items"]

    def _key(self, key: object) -> str:
        name = key if type(key) is str else key_of(key)
        if name is None:
            name = self._repr(key) or text_of(key, _KEY)
        if len(name) <= _SHORT_KEY:
            return cut(name, _KEY)
        shown = cut(name, max(min(_KEY, self._chars), _SHORT_KEY))
        self._chars -= len(shown)
        return shown

    def _cut(self, text: str) -> str:
        if len(text) <= self._text and len(text) <= self._chars:
            self._chars -= len(text)
            return text
        shown = cut(text, max(min(self._text, self._chars), 0))
        self._chars -= len(shown)
        return shown


class _Text:
    """
    One value on its way to text, piece by piece.
    """

    __slots__ = ("_above", "_left", "_looks", "_memo", "pieces")

    def __init__(self, left: int, memo: "Memo") -> None:
        self._left = left
        self._memo = memo
        self._looks = _LOOKS
        self._above: list[int] = []
        self.pieces: list[str] = []

    def write(self, value: "Any", depth: int) -> None:
        kind = type(value)
        if kind is str:
            room = max(self._left, 0)
            over = len(value) - room
            self._put(repr(value if over <= 0 else value[:room]))
            if over > 0:
                self._put(f"… [{over} more characters]")
        elif value is None or kind is bool or kind is float:
            self._put(repr(value))
        elif kind is int:
            self._put(repr(_number(value)))
        elif depth <= 0:
            self._put(f"<{name_of(value)} nested too deep>")
        elif id(value) in self._above:
            self._put("{...}" if kind is dict else "[...]")
        else:
            self._above.append(id(value))
            self._opened(value, opening_of(kind), depth - 1)
            self._above.pop()

    def _put(self, piece: str) -> None:
        self._left -= len(piece)
        self.pieces.append(piece)

    def _opened(self, value: "Any", opening: "Opening", depth: int) -> None:
        told = opening.told
        if told is REPR and self._is_asked(value):
            self._put(repr_once(value, max(self._left, 0), self._memo))
            return
        if told is REPR or told is FIELDS:
            self._fields(value, *opening.told_of(value, NODE_LIMIT), depth)
            return
        most = () if told is VALUE else (self._left,)
        found = read(value, opening.read, *most)
        if type(found) is Unreadable:
            self._put(str.__str__(found))
        elif told is VALUE:
            self.write(found, depth)
        elif told is MAPPING:
            self._mapping(found[0], found[1], depth)
        else:
            self._items(value, found[0], found[1], depth)

    def _is_asked(self, value: object) -> bool:
        """
        Tell whether *value* is asked for its ``repr``; to find that out has its price.
        """
        if self._looks and not is_short(value):
            self._looks -= 1
            return False
        return bool(self._looks)

    def _fields(
        self, value: object, fields: "list[Any]", count: int | None, depth: int
    ) -> None:
        self._put(f"{name_of(value)}(")
        for index, (name, item) in enumerate(fields):
            if self._is_full(index, count):
                break
            self._put(f"{', ' if index else ''}{_key(name)}=")
            self.write(item, depth)
        self._put(")")

    def _mapping(self, pairs: "list[Any]", count: int | None, depth: int) -> None:
        self._put("{")
        for index, (key, item) in enumerate(pairs):
            if self._is_full(index, count):
                break
            if index:
                self._put(", ")
            self.write(key, depth)
            self._put(": ")
            self.write(item, depth)
        self._put("}")

    def _items(
        self, value: object, items: "list[Any]", count: int | None, depth: int
    ) -> None:
        begins, ends = _BRACKETS.get(id(type(value)), ("[", "]"))
        self._put(begins)
        for index, item in enumerate(items):
            if self._is_full(index, count):
                break
            if index:
                self._put(", ")
            self.write(item, depth)
        self._put(f",{ends}" if ends == ")" and len(items) == 1 else ends)

    def _is_full(self, index: int, count: int | None) -> bool:
        """
        Say how much is left out, if nothing more may be written.
        """
        if self._left > 0:
            return False
        left = "more" if count is None else f"{count - index:,} more"
        self._put(f"{', ' if index else ''}… {left}")
        return True


_BRACKETS = {id(tuple): ("(", ")"), id(set): ("{", "}")}


def _number(value: int) -> int | str:
    """
    Give a number that Python writes; of a longer one, how long it is.
    """
    bits = value.bit_length()
    return value if bits < _INT_BITS else f"<int of {bits:,} bits>"


def _key(key: object) -> str:
    name = key if type(key) is str else key_of(key)
    return cut(repr_of(key) if name is None else name, _KEY)


def _more(shown: int, count: int | None) -> str | None:
    if count is None:
        return "more"
    left = count - shown
    return f"{left} more" if left > 0 else None
