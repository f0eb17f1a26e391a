"""
How a value is opened: one table, which JSON and redaction both walk, so that nothing can
be shown that was not walked.

No code of a value runs: its type is what ``type`` says, its fields are read by the
descriptors of its type, containers by the methods of the builtin type. Only a ``repr``, a
mapping's iteration and the text of what the standard library writes as text are asked
for: muted, and guarded.
"""

import builtins
import sys
import types
import weakref
from collections import deque
from itertools import islice

from instrument._payloads import field_names
from instrument._payloads.turns import as_turn, is_sdks_message
from instrument._state import muted
from instrument._text import args_of, bases_of, is_callers, is_of_library, names_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Pairs = list[tuple[Any, Any]]
    Entries = tuple[list[Any], int | None]
    Row = Callable[["Opening"], None]

VALUE = "value"
"""Told as what ``read`` gives: its text, its number, its size."""
MAPPING = "mapping"
ITEMS = "items"
FIELDS = "fields"
"""Told as an object of its fields."""
REPR = "repr"
"""Told as its ``repr``, or as an object of its fields where that may not be shown."""

_MOST_TYPES = 500  # a class is held by what is known of it
_INT_BITS = 4_096  # int -> str refuses more than 4,300 digits
_POINTER = 8  # bytes
_BEGINNING = 64  # bytes, in which JSON has begun
SPACES = (
    " \t\n\r\v\f\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005"
    "\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
)
"""Before JSON: what ``str.strip`` takes away, and a mark of the order of bytes."""
_SPACES = b" \t\r\n\v\f\xef\xbb\xbf"
_name_of: "Any" = type.__dict__["__name__"].__get__
_size_of: "Any" = type.__dict__["__basicsize__"].__get__
_item_size_of: "Any" = type.__dict__["__itemsize__"].__get__
_offsets: "list[Any]" = [
    type.__dict__[name].__get__ for name in ("__dictoffset__", "__weakrefoffset__")
]


class Unreadable(str):
    """
    What is told of a value that could not be read.
    """

    __slots__ = ()


class Opening:
    """
    How the values of one type are opened.

    Attributes:
        told: What they are told as.
        read: Of `VALUE` gives that; of `MAPPING` and `ITEMS` at most so many entries,
            and how many there are, None where that is not known.
        asks: Whether that may run code of theirs, or fail: see `read`.
        is_copied: Whether it may give something else the next time.
        is_turn: Whether they are messages, told as turns.
        is_whole: False where they have a state that cannot be read, or that a mapping's
            entries do not show and its ``repr`` may.
        member: Gives the name of an enum's member.
    """

    __slots__ = (
        "_added",
        "_dict",
        "_slots",
        "_split",
        "asks",
        "is_copied",
        "is_turn",
        "is_whole",
        "member",
        "read",
        "told",
    )

    def __init__(self, kind: "type[Any]") -> None:
        bases = bases_of(kind)
        self._dict, self._slots = field_names.places(bases)
        self._split: Callable[[Any, Pairs], tuple[Pairs, Pairs]] | None = None
        self.told = REPR
        self.read: Any = None
        self.member: Callable[[Any], Any] | None = None
        self.asks = self.is_copied = self.is_turn = False
        self.is_whole = _is_all_in(kind, len(self._slots), has_dict=self._dict)
        rows = _rows()
        known = [number for number, base in enumerate(bases) if id(base) in rows]
        if known:
            self._added = bases[: known[0]]
            found = [rows[id(bases[number])] for number in known]
            if _of_enum in found:  # also of one that is a text or a number
                self.member = _held_as("_name_", self._dict)
            found[0](self)
        if self.told is REPR or issubclass(kind, tuple):
            split = field_names.found_in(bases, is_tuple=issubclass(kind, tuple))
            self._split = split or self._split
            self.told = self.told if split is None else FIELDS
        if self.told is FIELDS and is_sdks_message(kind):
            _of_message(self)

    def fields(self, value: object, most: int) -> "tuple[Pairs, Pairs]":
        """
        Give the fields that are told, by name, and those that it holds besides.
        """
        held = self.attributes(value, most)
        return (held, []) if self._split is None else self._split(value, held)

    def told_of(self, value: object, most: int) -> "tuple[Pairs, int | None]":
        """
        Give the fields that are told, and how many there are, None where that is not known.
        """
        told, _ = self.fields(value, most + 1)
        if len(told) <= most or self._dict is None:
            return told, len(told)
        slots = len(self.attributes(value, 0))
        count = slots + dict.__len__(self._dict(value))
        return told, count if self._split is None else None

    def attributes(self, value: object, most: int) -> "Pairs":
        """
        Give what its slots and its instance dictionary hold, of that so much at most.
        """
        held: Pairs = []
        for name, get in self._slots:
            try:
                held.append((name, get(value)))
            except AttributeError:  # nothing was put there
                continue
        if self._dict is not None:
            try:
                held += islice(dict.items(self._dict(value)), max(most, 0))
            except BaseException as exc:  # a proxy asks another, which may have gone
                if is_callers(exc):
                    raise
        return held

    def settle(self, told: str, read: "Any" = None, *, asks: bool = False) -> None:
        """
        Say what they are told as.
        """
        self.told, self.read, self.asks, self.is_whole = told, read, asks, True

    def bare(self) -> None:
        """
        Look for no fields but what a subclass adds: what they are told as shows none,
        unless that has a ``repr`` of its own.
        """
        self._dict, self._slots = field_names.places(self._added)
        self.is_whole = self.told is not REPR or not any(map(has_repr, self._added))


_openings: "dict[int, tuple[Opening, Any]]" = {}


def opening_of(kind: "type[Any]") -> Opening:
    """
    Give how values of that type are opened.
    """
    key = id(kind)  # a metaclass may have a hash of its own
    known = _openings.get(key)
    if known is not None:
        return known[0]
    made = Opening(kind)
    if len(_openings) >= _MOST_TYPES:
        _openings.clear()
    _openings[key] = made, kind
    return made


def name_of(value: object) -> str:
    """
    Name the type of *value*.
    """
    return str.__str__(_name_of(type(value)))


def read(value: object, take: "Callable[..., Any]", *args: object) -> "Any":
    """
    Read *value* by what may run its own code; `Unreadable` where that fails.
    """
    with muted():
        try:
            return take(value, *args)
        except BaseException as exc:
            if is_callers(exc):
                raise
            return Unreadable(f"<unreadable {name_of(value)}>")


def key_of(key: object) -> str | None:
    """
    Give the text of a mapping's key or a field's name; None for what is no such name.
    """
    kind = type(key)
    if kind is str:
        return key  # type: ignore[return-value]
    if key is None:
        return "null"
    if kind is bool:
        return "true" if key else "false"
    opening = opening_of(kind)
    if opening.told is not VALUE:
        return None
    if opening.read is _size:
        return _decoded(key)
    value = read(key, opening.read)
    if type(value) is int and value.bit_length() >= _INT_BITS:
        return None
    if type(value) is str or type(value) is int or type(value) is float:
        return str(value)
    return None if value is key else key_of(value)


def json_in(value: "Any", opening: Opening) -> str | None:
    """
    Give the text of bytes or characters that may be JSON; None of anything else.
    """
    if opening.read is _count:
        text = read(value, field_names.characters_of)
        return None if text is None else str.__str__(text)
    if opening.read is not _size:
        return None
    kind = bytes if issubclass(type(value), bytes) else bytearray
    begins = bytes(kind.__getitem__(value, slice(_BEGINNING))).lstrip(_SPACES)[:1]
    if begins not in (b"{", b"[", b'"'):
        return None
    return kind.decode(value, "utf-8", "backslashreplace")


def is_of_pairs(kind: "type[Any]") -> bool:
    """
    Tell whether two of them may be a name and its value wherever they stand; a list is
    often one of two names.
    """
    return kind is not list and issubclass(kind, (tuple, list, deque))


def _is_all_in(kind: "type[Any]", slots: int, *, has_dict: object) -> bool:
    """
    Tell whether its instances hold nothing but those slots and a dictionary that is
    found.
    """
    if _offsets[0](kind) and not has_dict:
        return False
    room = _size_of(kind) - _size_of(object) - _POINTER * slots
    room -= _POINTER * sum(offset(kind) > 0 for offset in _offsets)
    return bool(room == 0 and _item_size_of(kind) == 0)


def is_in_table(base: "type[Any]") -> bool:
    """
    Tell whether a class itself says how its values are told: numpy's of a number, say.
    """
    return id(base) in _rows()


def has_repr(base: "type[Any]") -> bool:
    """
    Tell whether a class of the application's writes a ``repr``.
    """
    is_own = not {"__repr__", "__str__"}.isdisjoint(names_in(base))
    return is_own and not is_of_library(base)


def _pairs(value: "Any", most: int) -> "Entries":
    return list(islice(dict.items(value), most)), dict.__len__(value)


def _asked_pairs(value: "Any", most: int) -> "Entries":
    """
    Iterate a mapping that is no dict; how long it is, it is not asked.
    """
    keys = list(islice(iter(value), most + 1))
    found = [(key, value[key]) for key in keys[:most]]
    return found, len(keys) if len(keys) <= most else None


def _items_by(kind: "Any") -> "Callable[[Any, int], Entries]":
    def items(value: "Any", most: int) -> "Entries":
        return list(islice(kind.__iter__(value), most)), kind.__len__(value)

    return items


def _size(value: "Any") -> str:
    """
    Tell bytes and arrays by how much they hold.
    """
    kind = bytes if issubclass(type(value), bytes) else bytearray
    size = f"{kind.__len__(value):,} bytes"
    return f"<{size}>" if type(value) is bytes else f"<{name_of(value)} of {size}>"


def _count(value: "Any") -> str:
    return f"<{name_of(value)} of {memoryview(value).nbytes:,} bytes>"


def _array(value: "Any") -> str:
    """
    Tell an array of numpy by its size; what are no numbers may be, or lead to, anything.
    """
    told = _count(value)
    return told if field_names.is_of_numbers(value) else Unreadable(told)


def _decoded(value: "Any") -> str | None:
    if not issubclass(type(value), bytes):
        return None
    return bytes.decode(value, "utf-8", "backslashreplace")


def _told_as(told: str, read: "Any", *, asks: bool = False) -> "Row":
    return lambda opening: opening.settle(told, read, asks=asks)


def _asked(opening: Opening) -> None:
    opening.settle(MAPPING, _asked_pairs, asks=True)
    opening.is_copied = True
    opening.is_whole = not any(map(has_repr, opening._added))


def _text_by(module: str, name: str, method: str) -> "Row":
    """
    Tell values of a class of the standard library by its own method.
    """

    def settle(opening: Opening) -> None:
        kind = sys.modules[module].__dict__[name]
        opening.settle(VALUE, kind.__dict__[method], asks=True)
        opening.bare()

    return settle


def _of_enum(opening: Opening) -> None:
    held = opening._dict
    opening.settle(VALUE, _held_as("_value_", held))
    opening.bare()
    opening._dict = lambda value: {
        name: item for name, item in dict.items(held(value)) if name not in _OF_ENUM
    }


def _held_as(name: str, instance_dict: "Any") -> "Callable[[Any], Any]":
    return lambda value: dict.get(instance_dict(value), name)


def _of_exception(opening: Opening) -> None:
    opening._slots.append(("args", args_of))
    opening._split = _without_marks
    pythons: list[type[Any]] = [BaseException]
    others: list[type[Any]] = []
    for base in opening._added:
        is_pythons = vars(builtins).get(str.__str__(_name_of(base))) is base
        (pythons if is_pythons else others).append(base)
    room = 0
    if others:  # Python's own tell of themselves nothing but what they are made of
        slots = len(field_names.places(tuple(others))[1]) + (_offsets[1](others[0]) > 0)
        room = _size_of(others[0]) - max(map(_size_of, pythons)) - _POINTER * slots
    opening.is_whole = room == 0


def _without_marks(_: object, held: "Pairs") -> "tuple[Pairs, Pairs]":
    """
    Leave out what we ourselves have put on an exception.
    """
    return [it for it in held if not _is_mark(it[0])], []


def _is_mark(name: object) -> bool:
    return type(name) is str and name.startswith("__instrument_")


def _whole(opening: Opening) -> None:
    opening.is_whole = True


def _of_message(opening: Opening) -> None:
    """
    Tell a message as the turn that it is; what else it holds is looked into, not told.
    """
    opening.settle(FIELDS)
    opening.is_turn = True
    opening._split = lambda value, held: as_turn(
        value, field_names.without_pydantics(held)
    )


def _of_document(opening: Opening) -> None:
    opening.settle(FIELDS)
    split = field_names.marked(("page_content", "metadata"))
    opening._split = lambda value, held: split(
        value, field_names.without_pydantics(held)
    )


_OF_ENUM = frozenset(("_name_", "_value_", "_sort_order_", "__objclass__"))
_VIEWS: "list[Any]" = [type(it({})) for it in (dict.keys, dict.values, dict.items)]
_BARE = (
    types.AsyncGeneratorType,
    types.BuiltinFunctionType,
    types.CodeType,
    types.CoroutineType,
    types.FunctionType,
    types.GeneratorType,
    types.ModuleType,
    type,
    type(...),
    type(NotImplemented),
    range,
    weakref.ref,
)
_BUILTIN: "list[tuple[Any, Row]]" = [
    (type(None), _told_as(VALUE, lambda value: value)),
    (bool, _told_as(VALUE, lambda value: value)),
    (str, _told_as(VALUE, str.__str__)),
    (int, _told_as(VALUE, int.__int__)),
    (float, _told_as(VALUE, float.__float__)),
    (complex, _told_as(VALUE, complex.__repr__)),
    (bytes, _told_as(VALUE, _size)),
    (bytearray, _told_as(VALUE, _size)),
    (memoryview, _told_as(VALUE, _count, asks=True)),
    (dict, _told_as(MAPPING, _pairs)),
    *[(it, _told_as(ITEMS, _items_by(it))) for it in (list, tuple, set, frozenset)],
    *[(it, _told_as(ITEMS, _items_by(it))) for it in (deque, *_VIEWS)],
    (types.MappingProxyType, _asked),
    (BaseException, _of_exception),
    (types.MethodType, _whole),
    *[(it, Opening.bare) for it in _BARE],
]
_LATER: "dict[tuple[str, str], Row]" = {
    ("datetime", "datetime"): _text_by("datetime", "datetime", "isoformat"),
    ("datetime", "date"): _text_by("datetime", "date", "isoformat"),
    ("datetime", "time"): _text_by("datetime", "time", "isoformat"),
    ("datetime", "timedelta"): _text_by("datetime", "timedelta", "__str__"),
    ("decimal", "Decimal"): _text_by("decimal", "Decimal", "__str__"),
    ("fractions", "Fraction"): _text_by("fractions", "Fraction", "__str__"),
    ("uuid", "UUID"): _text_by("uuid", "UUID", "__str__"),
    ("pathlib", "PurePath"): _text_by("pathlib", "PurePath", "__str__"),
    ("ipaddress", "IPv4Address"): _text_by("ipaddress", "IPv4Address", "__str__"),
    ("ipaddress", "IPv6Address"): _text_by("ipaddress", "IPv6Address", "__str__"),
    ("numpy", "generic"): _text_by("numpy", "generic", "item"),
    ("numpy", "void"): _told_as(VALUE, field_names.record_of, asks=True),
    ("numpy", "ndarray"): _told_as(VALUE, _array, asks=True),
    ("array", "array"): _told_as(VALUE, _count, asks=True),
    ("enum", "Enum"): _of_enum,
    ("functools", "partial"): _whole,
    ("langchain_core.messages.base", "BaseMessage"): _of_message,
    ("langchain_core.documents.base", "Document"): _of_document,
    ("langgraph.types", "Send"): lambda opening: opening.settle(FIELDS),
    ("_collections_abc", "Mapping"): _asked,
    ("_thread", "lock"): Opening.bare,
    ("_thread", "LockType"): Opening.bare,
    ("_thread", "RLock"): Opening.bare,
    ("_io", "_IOBase"): Opening.bare,
    ("_socket", "socket"): Opening.bare,
    ("re", "Pattern"): Opening.bare,
    ("pydantic.types", "Secret"): Opening.bare,  # they are made to hide what they hold
    ("pydantic.types", "SecretBytes"): Opening.bare,
    ("pydantic.types", "SecretStr"): Opening.bare,
    ("starlette.datastructures", "Secret"): Opening.bare,
}
"""Of modules that are not imported for this: a class is known once it is there."""


def _rows() -> "dict[int, Row]":
    """
    Give the table, of the classes that there are by now.
    """
    rows = {id(kind): settle for kind, settle in _BUILTIN}
    for (module, name), settle in _LATER.items():
        there = sys.modules.get(module)
        kind = there.__dict__.get(name) if type(there) is types.ModuleType else None
        if kind is not None:
            rows[id(kind)] = settle
    return rows
