"""
The words by which requests are looked for, as a condition of SQL.

``rome status:error cost:>0.01 -tag:test "not found"``: what is asked of each request; all
words must fit, and one behind ``-`` must not.
"""

import re

from instrument.exceptions import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KEYS = {
    "status": "running, ok, error, cancelled, abandoned, lost",
    "kind": "that of its first run, as chain, agent, tool",
    "name": "a part of the name of any run",
    "model": "a part of a model's name",
    "user": "the user_id, or user, of its metadata",
    "tag": "one of its tags",
    "error": "a part of the error's type; error:below for one that it got over",
    "id": "how its id begins",
    "cost": "US dollars, as cost:>0.01",
    "duration": "as duration:>5s, 500ms, 1m",
    "tokens": "how many went in and came out, as tokens:>1000",
    "runs": "how many runs it has, as runs:>100",
}
STATUSES = ("running", "ok", "error", "cancelled", "abandoned", "lost")
_NUMBERS = {
    "cost": "cost_usd",
    "duration": "duration_ms",
    "tokens": "coalesce(input_tokens, 0) + coalesce(output_tokens, 0)",
    "runs": "runs",
}
_MOST_WORDS = 100
_UNITS_MS = {"ms": 1, "s": 1_000, "": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000}
_WORD = re.compile(r'(-?)(?:([a-z_]+):)?(?:"([^"]*)"?|(\S+))', re.IGNORECASE)
_NUMBER = re.compile(r"(>=|<=|>|<|=)?\s*\$?([\d.]+)([a-z]*)\Z", re.IGNORECASE)
_SAID = (
    "names",
    "said",
    "answered",
    "error_type",
    "error_message",
    "models",
    "user",
    "tags",
)


class FilterError(StoreError, ValueError):
    """
    Raised for a word that asks for nothing that there is.

    Attributes:
        what: What is wrong, without the cure.
        cure: What to write instead.
    """

    def __init__(self, what: str, cure: str) -> None:
        super().__init__(f"{what}. {cure}")
        self.what, self.cure = what, cure


class Condition:
    """
    What a filter asks, as SQL.

    Attributes:
        sql: Over the table ``traces``; true where nothing is asked.
        values: Those of its question marks.
    """

    def __init__(self, status: str, *, has_texts: bool) -> None:
        self.sql, self.values = "1", []  # type: tuple[str, list[Any]]
        self._status, self._has_texts = status, has_texts

    def asks(self, sql: str, *values: "Any", is_not: bool) -> None:
        """
        Ask one more thing.
        """
        self.sql += f" AND NOT coalesce(({sql}), 0)" if is_not else f" AND ({sql})"
        self.values += values

    def word(self, text: str, *, is_not: bool) -> None:
        """
        Ask for what is written anywhere.
        """
        like = contains(text)
        sql = " OR ".join(f"{name} LIKE ? ESCAPE '\\'" for name in _SAID)
        found, value = _FOUND[self._has_texts], like
        if self._has_texts:
            words = re.findall(r"\w+", text)
            value = '"' + " ".join(words) + '"*'
            if not words:
                found = "0 AND ?"
        self.asks(f"{sql} OR {found}", *([like] * len(_SAID)), value, is_not=is_not)

    def key(self, key: str, value: str, *, is_not: bool) -> None:
        """
        Ask for what a key names.

        Raises:
            FilterError: If there is no such key, or value.
        """
        if key in _NUMBERS:
            self.asks(*_compared(key, value), is_not=is_not)
        elif key == "status":
            if value.lower() not in STATUSES:
                raise _unknown(f"status:{value}", "status", KEYS["status"])
            self.asks(f"{self._status} = ?", value.lower(), is_not=is_not)
        elif key == "error" and value.lower() == "below":
            self.asks("errors > 0 AND status != 'error'", is_not=is_not)
        elif key in ("user", "kind"):
            self.asks(f"{key} = ? COLLATE NOCASE", value, is_not=is_not)
        elif key == "tag":
            tags = "SELECT 1 FROM json_each(tags) WHERE value = ? COLLATE NOCASE"
            self.asks(f"tags IS NOT NULL AND EXISTS ({tags})", value, is_not=is_not)
        elif key == "id":
            begins = f"{_escaped(value.lower())}%"
            sql = "trace_hex LIKE ? ESCAPE '\\' OR trace_id LIKE ? ESCAPE '\\'"
            self.asks(sql, begins, begins, is_not=is_not)
        else:
            column = {"name": "names", "model": "models", "error": "error_type"}[key]
            sql = f"{column} LIKE ? ESCAPE '\\'"
            if key == "error":
                sql = f"status = 'error' AND {sql}"
            self.asks(sql, contains(value), is_not=is_not)


_FOUND = {
    True: (
        "id IN (SELECT runs.trace FROM texts JOIN events ON events.id = texts.rowid"
        " JOIN runs ON runs.id = events.run WHERE texts MATCH ?)"
    ),
    False: (
        "id IN (SELECT runs.trace FROM events JOIN runs ON runs.id = events.run"
        " WHERE payload(events.data) LIKE ? ESCAPE '\\')"
    ),
}


def condition(
    filter: str, *, status: str = "status", has_texts: bool = False
) -> Condition:
    """
    Read a filter.

    Args:
        status: SQL for the status of a request.
        has_texts: Whether there is an index of texts.

    Raises:
        FilterError: If a word cannot be; names the word and what there is.
    """
    made = Condition(status, has_texts=has_texts)
    for count, found in enumerate(_WORD.finditer(filter)):
        if count == _MOST_WORDS:
            raise FilterError("too much to look for", f"{_MOST_WORDS} words at most.")
        minus, key, quoted, bare = found.groups()
        text = bare if quoted is None else quoted
        is_bare = key is None and quoted is None and text.endswith(":")
        if is_bare and text[:-1].lower() in KEYS:
            raise _unknown(text, "a whole word", f"{text}VALUE, without a space")
        if key is None or key.lower() not in KEYS:
            if key is not None and quoted is None and not _is_text(key, text):
                raise _unknown(f"{key}:{text}", "a key", _told())
            text = text if key is None else f"{key}:{text}"
            if text:
                made.word(text, is_not=bool(minus))
        elif text:
            made.key(key.lower(), text, is_not=bool(minus))
    return made


def contains(text: str) -> str:
    """
    Give a pattern of LIKE for what holds *text*.
    """
    return f"%{_escaped(text)}%"


def _escaped(text: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", text)


def _is_text(key: str, rest: str) -> bool:
    """
    Tell whether a colon stands in a text, as in ``https://``, not behind a key.
    """
    return rest.startswith("/") or len(key) == 1


def _compared(key: str, value: str) -> "tuple[str, float]":
    found = _NUMBER.match(value)
    unit = "" if found is None else found[3].lower()
    units = _UNITS_MS if key == "duration" else {"": 1}
    if found is None or unit not in units or found[2].count(".") > 1 or found[2] == ".":
        raise _unknown(f"{key}:{value}", "a number", KEYS[key])
    number = float(found[2]) * units[unit]
    return f"{_NUMBERS[key]} {found[1] or '>='} ?", number


def _unknown(word: str, what: str, cure: str) -> FilterError:
    message = f"{word!r} is no {what.removeprefix('a ')} to look for"
    return FilterError(message, f"There is: {cure}.")


def _told() -> str:
    return ", ".join(f"{key}:" for key in KEYS)
