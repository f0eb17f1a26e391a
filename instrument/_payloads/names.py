"""
By which names ``redact=[...]`` masks: `Names`, and how a name is parted into words.
"""

import re

from instrument._payloads.field_names import aliases_of
from instrument._payloads.fields import names_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

MASK = "[redacted]"
_MOST_NAMES = 4_096
_MOST_NAME = 500
_MOST_LOOKS = 20
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")
_OTHER_WORDS = re.compile(r"[^\W_]+")
_SAID = re.compile(
    r"""(?<![\w.-])([\w.-]{1,100})\\{0,9}["'`”\])]{0,3}\s{0,20}"""
    r"""(?:[!<>~:]?={1,3}>?|<>|->|[:>\uff1a\uff1d])\s{0,3}[ \t]{0,20}"""
    r"""|[\[(]\s{0,40}b?\\{0,9}["']([\w.-]{1,100})\\{0,9}["']\s{0,3},\s{0,40}"""
    r"""|(?<![\w.-])--?([A-Za-z][\w.-]{0,99})(?:\\{0,9}["']\s{0,3},|(?=\s))\s{0,3}"""
)
"""A name before its value, in a pair with it, or as an option of a command."""
_COLUMNS = re.compile(r"\(([^()=\n]{1,300})\){1,3}=(?=\()")
"""The names of columns before their values, as a database tells them."""
_NAME = re.compile(r"[\w.-]+")
_ESCAPED = re.compile(r"\\{1,9}u00([2-7][0-9a-fA-F])")
_NAMED = re.compile(r"""(?:\A|["'])([^"']*)["']\s*:""")
_PAIRED = re.compile(r"""[\[(][\s\\]*["']([^"'\\]*)\\*["']\s*,""")
_GIVEN = re.compile(r"(?:\n|\\n)(?: {0,99}\| )?  (?! )[^\n]{0,500}?, input_value=")
"""Pydantic tells what it was given below the name of the field, in a group behind a bar."""
_TYPED = ", input_type="
_QUOTES = ("'", '"')
_OPENS = ("{", "[")
_OPEN, _CLOSED = ("{", "[", "("), ("}", "]", ")")
_LINE = re.compile(r"\n|\\n")
_QUOTED = re.compile(
    r"""b?(?:"{3}.*?(?:"{3}|\Z)|'{3}.*?(?:'{3}|\Z)"""
    r"""|(?:"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?)+)""",
    re.DOTALL,
)
"""One text in quotes, of three or doubled in it as in SQL too."""
_UNQUOTED = re.compile(r"[^,;\n)}\]&]*")
_BLOCK = re.compile(r"[{\[(]|[|>][+-]?[ \t]{0,9}\n|-----BEGIN ")
"""What begins a value of more lines, of which the end is not looked for."""
_BRACKET = re.compile(r"[{\[(]")
_PARTED = re.compile(rf"{_QUOTED.pattern}|[{{\[(]|[}}\])]", re.DOTALL)


class Names:
    """
    The redactor that masks values by the name they stand under, at any depth.

    A name masks what is called so or ends in it as whole words, whatever the case:
    words are parted by a capital and by all that is neither letter nor digit.

    Attributes:
        opens: Whether plain objects are told as their fields, whatever is masked: for
            another redactor, which has only what is told.
    """

    def __init__(self, names: "Iterable[str]", *, opens: bool = False) -> None:
        self.names = frozenset(names)
        self.opens = opens
        self._ends = frozenset("".join(words_of(name)) for name in self.names)
        self._known: dict[str, bool] = {}

    def masks(self, key: object) -> bool:
        """
        Tell whether what stands under that name is masked.
        """
        if type(key) is not str:
            return any(map(self.masks, (*names_of(key), *aliases_of(key))))
        known = self._known.get(key)
        if known is None:
            known = self._is_masked(key)
            if len(self._known) >= _MOST_NAMES:
                self._known.clear()
            if len(key) <= _MOST_NAME:
                self._known[key] = known
        return known

    def masked_text(self, text: str) -> str:
        """
        Mask in a message what it tells under such a name: ``password='x'``.
        """
        text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
        text = self._without_columns(self._without_inputs(text))
        shown: list[str] = []
        at = 0
        for found in _SAID.finditer(text):
            name = found[1] or found[2] or found[3]
            if found.start() >= at and self.masks(name):
                shown += [text[at : found.end()], MASK]
                at = _end_of_value(text, found.end())
        return "".join([*shown, text[at:]])

    def _without_columns(self, text: str) -> str:
        for found in _COLUMNS.finditer(text):
            if any(map(self.masks, _NAME.findall(found[1]))):
                return f"{text[: found.end()]}{MASK}"
        return text

    def _without_inputs(self, text: str) -> str:
        shown: list[str] = []
        at = 0
        for found in _GIVEN.finditer(text):
            start, end = found.span()
            if start < at:
                continue
            field = _LINE.split(text[max(start - _MOST_NAME, 0) : start])[-1]
            given, _, _ = text[end : end + _MOST_NAME].partition(_TYPED)
            if not (any(map(self.masks, field.split("."))) or _is_cut(given)):
                continue
            shown += [text[at:end], MASK]
            at = text.find(_TYPED, end)
            if at < 0:
                return "".join(shown)
        return "".join([*shown, text[at:]])

    def are_in(self, text: str) -> bool:
        """
        Tell whether something in what is nearly JSON, and may hold more of it as text,
        stands under such a name, or is the second of a pair of which that is the first.
        """
        named = [name.rstrip("\\") for name in set(_NAMED.findall(text))]
        if any("\\" in name or self.masks(name) for name in named):
            return True
        return any(map(self.masks, set(_PAIRED.findall(text))))

    def _is_masked(self, name: str) -> bool:
        tail = ""
        for word in reversed(words_of(name[-_MOST_NAME:])):
            tail = word + tail
            if tail in self._ends:
                return True
        return False


def _end_of_value(text: str, at: int) -> int:
    """
    Find where what begins there ends: a text in quotes, or all up to what parts it from
    the next, a call with what it is given.
    """
    if _BLOCK.match(text, at):
        return len(text)
    quoted = _QUOTED.match(text, at)
    if quoted:
        return quoted.end()
    end: int = _UNQUOTED.match(text, at).end()  # type: ignore[union-attr]
    opened = _BRACKET.search(text, at, end)
    if opened is None:
        return end
    depth = 0
    for found in _PARTED.finditer(text, opened.start()):
        depth += found[0] in _OPEN
        depth -= found[0] in _CLOSED
        if depth == 0:
            return found.end()
    return len(text)


def _is_cut(given: str) -> bool:
    """
    Tell whether pydantic has left out the middle of what it was given, of names perhaps.
    """
    is_text = given[:1] in _QUOTES and given.lstrip("'\"\\ ")[:1] not in _OPENS
    return "..." in given and not is_text


def words_of(name: str) -> "list[str]":
    """
    Part a name into words: ``dbPassword`` and ``DB-PASSWORD`` are two, the same.
    """
    if name.isascii():
        return [word.lower() for word in _WORDS.findall(name)]
    from unicodedata import normalize

    name = normalize("NFKC", name)  # an accent may be a character of its own
    parted = "".join(f" {char}" if char.isupper() else char for char in name)
    whole = name if name.isupper() else parted
    return [word.casefold() for word in _OTHER_WORDS.findall(whole)]


def is_in(said: str, item: object, say: "Callable[[object], str]") -> bool:
    """
    Tell whether what a ``repr`` said shows *item*, as a word or words of its own.
    """
    if type(item) is not str:
        return _stands_in(said, say(item))
    is_short = len(item) <= len(said)
    return is_short and (_stands_in(said, item) or _stands_in(said, repr(item)))


def _stands_in(said: str, text: str) -> bool:
    if not text:
        return True
    at = -1
    for _ in range(_MOST_LOOKS):
        at = said.find(text, at + 1)
        if at < 0:
            return False
        end = at + len(text)
        around = said[max(at - 1, 0) : at], said[end : end + 1]
        if not any(it.isalnum() or it == "_" for it in around):
            return True
    return False


def numbered(text: "Any", shown: "dict[Any, Any]") -> str:
    """
    Give *text* as a key that there is not yet, found in few steps where many are alike.
    """
    if text not in shown:
        return text  # type: ignore[no-any-return]
    taken, free = 1, 2
    while f"{text} ({free})" in shown:
        taken, free = free, 2 * free
    while free - taken > 1:
        middle = (taken + free) // 2
        if f"{text} ({middle})" in shown:
            taken = middle
        else:
            free = middle
    return f"{text} ({free})"


class Unsaid:
    """
    A key that is no name, which has not been asked for its ``repr``.
    """

    __slots__ = ("key",)

    def __init__(self, key: object) -> None:
        self.key = key


def is_of_names(key: object) -> bool:
    """
    Tell whether *key* is a tuple of names, whose ``repr`` is Python's alone.
    """
    return type(key) is tuple and all(id(type(it)) in NAME_TYPES for it in key)


NAME_TYPES = frozenset(map(id, (str, int, float, bool, type(None), bytes)))
"""By id, as a metaclass may have a hash of its own."""
