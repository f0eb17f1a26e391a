"""
By which names ``redact=[...]`` masks: `Names`, how a name is parted into words, and where
names are looked for: in JSON, in what a class has, in messages (as `sayings` tells them).
"""

import re
from types import FunctionType

from instrument._payloads import sayings
from instrument._payloads.field_names import aliases_of, computed_aliases
from instrument._payloads.fields import (
    REPR,
    SPACES,
    VALUE,
    has_repr,
    is_in_table,
    key_of,
    opening_of,
)
from instrument._text import (
    args_of,
    bases_of,
    is_callers,
    is_of_library,
    names_in,
    type_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

MASK = sayings.MASK
_MOST_NAMES = 4_096
_MOST_NAME = 500
_MOST_LOOKS = 20
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")
_OTHER_WORDS = re.compile(r"[^\W_]+")
_NEAR = 60
"""How many characters before the last word of a name the others are looked for."""
_APART = re.compile(r"[^\w. -]")
_OPTION = re.compile(r"--?([A-Za-z][\w.-]{0,99})")
_NAMED = re.compile(r"""(?:\A|["'])([^"']*)["']\s*:""")
_PAIRED = re.compile(r"""[\[(][\s\\]*["']([^"'\\]*)\\*["']\s*,""")
_GIVEN = re.compile(r"(?:\n|\\n)(?: {0,99}\| )?  (?! )[^\n]{0,500}?, input_value=")
"""Pydantic tells what it was given below the name of the field, in a group behind a bar."""
_INPUT = ", input_value="
_TYPED = ", input_type="
_QUOTES = ("'", '"')
_OPENS = ("{", "[")
_MOST_OF_A_KEY = 100
_CALLED = frozenset(("name", "key"))
_LINE = re.compile(r"\n|\\n")


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
        parted = [words_of(name) for name in self.names]
        self._ends = frozenset(map("".join, parted))
        self._lasts = tuple(words[-1] for words in parted if len(words) > 1)
        self._known: dict[str, bool] = {}
        self._classes: dict[int, tuple[_Held, bool]] = {}

    def masks(self, key: object) -> bool:
        """
        Tell whether what stands under that name is masked.
        """
        if type(key) is not str:
            return any(map(self.masks, names_of(key)))
        known = self._known.get(key)
        if known is None:
            known = self._is_masked(key)
            if len(self._known) >= _MOST_NAMES:
                self._known.clear()
            if len(key) <= _MOST_NAME:
                self._known[key] = known
        return known

    def masks_in(self, kind: "type[Any]") -> bool:
        """
        Tell whether a class that writes its own ``repr`` has something under such a
        name: a property, say, which is not asked.
        """
        held = _held_by(kind)
        if not held.names:
            return False
        known = self._classes.get(id(kind))
        if known is None or known[0] is not held:
            is_so = any(it in _ANY or self.masks(it) for it in held.names)
            if len(self._classes) >= _MOST_TYPES:
                self._classes.clear()
            known = self._classes[id(kind)] = held, is_so
        return known[1]

    def without_options(self, words: "Sequence[Any]") -> "Sequence[Any]":
        """
        Mask in the words of a command what stands behind an option of such a name.
        """
        options = [_OPTION.fullmatch(it) if type(it) is str else None for it in words]
        masked = [at for at, it in enumerate(options) if it and self.masks(it[1])]
        shown = list(words)
        for at in masked:
            shown[at + 1 : at + 2] = [MASK] * (at + 1 < len(words))
        return shown if masked else words

    def without_parameters(self, held: "list[tuple[Any, Any]]") -> "list[Any]":
        """
        Mask of an error's fields what stands in the place of a statement's marks, where
        that names something masked, as in the message that SQLAlchemy makes of them.
        """
        texts = [it for name, it in held if name == "statement" and type(it) is str]
        words = [word for text in texts for word in sayings.NAME.findall(text)]
        if not any(map(self.masks, words)):
            return held
        return [(name, MASK if name == "params" else it) for name, it in held]

    def masked_text(self, text: str) -> str:
        """
        Mask in a message what it tells under such a name: ``password='x'``.
        """
        if text.isascii() and not self._may_name(text):
            return text
        text = sayings.without_values(sayings.plain(text), self.masks)
        text = self._without_inputs(text)
        shown: list[str] = []
        at = 0
        for found in sayings.BY_NAME.finditer(text):
            start = found.start()
            if start >= at and self._masks_in(text, start, found):
                shown += [text[at : found.end()], MASK]
                at = sayings.end_of_value(text, found.end())
        return "".join([*shown, text[at:]])

    def _masks_in(self, text: str, start: int, found: "re.Match[str]") -> bool:
        name = found[1] or found[2] or found[3]
        if self.masks(name) or self._ends_one(text, start, name):
            return True
        bare = sayings.unescaped(text, start, name)
        return bare is not name and self.masks(bare)

    def _ends_one(self, text: str, start: int, name: str) -> bool:
        """
        Tell whether that is the last word of such a name: ``api key: x``.
        """
        if text[start - 1 : start] != " " or not name.casefold().endswith(self._lasts):
            return False
        before = _APART.split(text[max(start - _NEAR, 0) : start])[-1]
        bare = sayings.unescaped(text, start - len(before), before)
        return any(self._is_masked(f"{it}{name}") for it in {before, bare})

    def _may_name(self, text: str) -> bool:
        """
        Tell whether such a name may stand in *text*, in a tenth of the time that it takes
        to look for what follows it.
        """
        if "\\u" in text or _INPUT in text:
            return True
        chars = text.lower()
        for apart in "-_. ":
            chars = chars.replace(apart, "")
        return any(end in chars for end in self._ends)

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


def names_of(key: object) -> "list[str]":
    """
    Give the names that a mapping's key stands for: of an enum its value and its name, of
    an object, a column say, what it holds as its name, of a tuple those of its last.
    """
    while type(key) is tuple and key:  # keys are told apart in levels
        key = key[-1]
    opening = opening_of(type(key))
    found = [key_of(key)]
    if opening.member is not None:
        found.append(opening.member(key))
    elif opening.told is not VALUE:
        held = opening.attributes(key, _MOST_OF_A_KEY)
        found += [item for name, item in held if type(name) is str and name in _CALLED]
    return [name for name in (*found, *aliases_of(key)) if type(name) is str]


class _Held:
    """
    What the application's classes that *kind* derives from have, if one of them writes
    the ``repr``, which may show it, or all is told as a value that it may be made of:
    ``__getattr__`` of what is told as its ``repr``, as that may be anything.

    Attributes:
        names: All by name.
        asked: With where it stands, what is no method: a function is asked of that.
        size: How much they had, as it may become more.
    """

    __slots__ = ("asked", "bases", "kind", "names", "size")

    def __init__(self, kind: "type[Any]") -> None:
        self.kind = kind  # held, so that its id stays its own
        bases = [base for base in bases_of(kind) if not is_of_library(base)]
        told = opening_of(kind).told
        if told is VALUE:  # its number is not hidden in what numpy gives it besides
            self.bases = [base for base in bases if not is_in_table(base)]
        else:
            self.bases = bases if any(map(has_repr, bases)) else []
        self.size = self.counted()
        self.names: list[str] = []
        self.asked: list[tuple[str, type[Any]]] = []
        is_any = bool(self.bases) and told is REPR
        for base in self.bases:
            for name, item in names_in(base).items():
                if type(name) is not str or type(item) is kind:  # a member of an enum
                    continue
                if name[:2] == "__" and not (name in _ANY and is_any):
                    continue
                self.names.append(name)
                if not issubclass(type(item), _METHODS):
                    self.asked.append((name, base))
            aliases = computed_aliases(names_in(base))
            self.names += aliases
            self.asked += [(name, base) for name in aliases]

    def counted(self) -> int:
        """
        Count what they have.
        """
        return sum([len(names_in(base)) for base in self.bases])


_held: "dict[int, _Held]" = {}


def _held_by(kind: "type[Any]") -> _Held:
    known = _held.get(id(kind))
    if known is None or (known.bases and known.size != known.counted()):
        if len(_held) >= _MOST_TYPES:
            _held.clear()
        known = _held[id(kind)] = _Held(kind)
    return known


def shows_by_class(kind: "type[Any]", redactor: "Any", path: "tuple[Any, ...]") -> bool:
    """
    Tell whether the ``repr`` of what is of that class may show what is masked, and is
    found in no instance. A function is asked of a property, which is not asked, by its
    name.
    """
    if type(redactor) is Names:
        return redactor.masks_in(kind)
    for name, base in _held_by(kind).asked:
        item = names_in(base).get(name, _Held)  # an alias is no name of the class
        given = item if id(type(item)) in _PLAIN else _UNASKED
        try:
            if redactor(given, (*path, name)) is not given:
                return True
        except BaseException as exc:  # it looks for another type of value there
            if is_callers(exc):
                raise
            return True
    return False


def is_of_pool(exc: BaseException) -> bool:
    """
    Tell whether that is what a pool of processes puts below an error, or Celery in the
    place of one that cannot be pickled or made anew: all that was raised there, as text,
    of which nobody can tell what in it is to be masked.
    """
    given = args_of(exc)
    is_text = type(exc) is Exception and len(given) == 1 and type(given[0]) is str
    return type_of(exc) in _POOLS or (is_text and _MADE.match(given[0]) is not None)


def only_said(
    value: object,
    held: "Iterable[tuple[Any, Any]]",
    shown: "Any",
    say: "Callable[[object], str]",
    *,
    computes: bool,
) -> "Any":
    """
    Mask of *value*'s fields what its ``repr`` does not show, in place of which they
    are told: it may have been made to hide that. What an error was made of is looked
    into elsewhere.

    Args:
        computes: Whether its class has something that is masked, as a property may be:
            it is in fields of its own, which are masked.
    """
    if type(shown) is not dict:
        return shown
    said = say(value)
    names = [(name, item) for name, item in held if type(name) is str]
    if computes:
        names = [(name, item) for name, item in names if name[:1] != "_"]
    seen = {name for name, item in names if is_in(said, item, say)}
    if issubclass(type(value), BaseException):
        seen.add("args")
    return {
        name: item if type(name) is str and name in seen else MASK
        for name, item in shown.items()
    }


def without_private(shown: "Any") -> "Any":
    """
    Mask the private fields of what is always told by its fields, a dataclass say, and
    whose class has something that is masked, as a property may be: it is in these.
    """
    if type(shown) is not dict:
        return shown  # pragma: no cover - more fields than are looked through
    return {
        name: MASK if type(name) is str and name[:1] == "_" else item
        for name, item in shown.items()
    }


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


def named(shown: "Any", say: "Callable[[object], str]", names: "Names | None") -> "Any":
    """
    Name the keys that have not been asked, now that they are told; of one that calls
    itself so, the value is masked.
    """
    if type(shown) is not dict or Unsaid not in map(type, shown):
        return shown
    told: dict[Any, Any] = {}
    for key, item in shown.items():
        if type(key) is not Unsaid:
            told[key] = item
            continue
        name = say(key.key)
        is_masked = names is not None and names.masks(name)
        told[numbered(name, told)] = MASK if is_masked else item
    return told


def is_of_names(key: object) -> bool:
    """
    Tell whether *key* is a tuple of names, whose ``repr`` is Python's alone.
    """
    return type(key) is tuple and all(id(type(it)) in NAME_TYPES for it in key)


def may_be_json(text: str) -> bool:
    """
    Tell whether JSON begins in *text*, or what is not looked at.
    """
    head = text[:MOST_JSON].lstrip(SPACES)
    return head[:1] in _BEGINS_JSON if head else len(text) > MOST_JSON


def each_once(pairs: "list[tuple[str, Any]]") -> "dict[str, Any]":
    """
    Refuse an object that has a name twice: only the last of them would be looked into.
    """
    held = dict(pairs)
    if len(held) < len(pairs):
        message = "a name stands twice"
        raise ValueError(message)
    return held


_BEGINS_JSON = frozenset('{["')
MAY_BEGIN_JSON = frozenset((*_BEGINS_JSON, *SPACES))
MOST_JSON = 1_000_000
"""The most characters in which JSON is looked for."""
_POOLS = frozenset(
    ("_RemoteTraceback", "RemoteTraceback", "UnpickleableExceptionWrapper")
)
_MADE = re.compile(r"<class '[\w.<>]{1,500}'>\(")
"""What Celery says of an error whose class takes other arguments than it has."""
_ANY = ("__getattr__", "__getattribute__")
_METHODS = (FunctionType, classmethod, staticmethod)
_PLAIN = frozenset(map(id, (str, int, float, bool, type(None))))
_UNASKED = "…"
_MOST_TYPES = 500  # a class is held by what is known of it
NAME_TYPES = frozenset(map(id, (str, int, float, bool, type(None), bytes)))
"""By id, as a metaclass may have a hash of its own."""
