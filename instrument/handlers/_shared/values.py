"""
Values in one line: what went into a run and what came out of it, for a person.

They are opened by the table of `fields`, so that none of their code runs that is not
guarded. Each is written as pieces, of which those who crop take no more than fit: a list
of a million items is never looked through.
"""

import sys

from instrument._payloads.fields import (
    FIELDS,
    ITEMS,
    MAPPING,
    REPR,
    Unreadable,
    key_of,
    name_of,
    opening_of,
    read,
)
from instrument._payloads.jsonable import repr_once
from instrument._payloads.messages import get, items
from instrument._payloads.names import MASK
from instrument._payloads.redact import DROPPED, asked_for
from instrument._text import length_of
from instrument.handlers._shared import amounts
from instrument.handlers._shared.said import (
    answer_in,
    documents_of,
    found,
    is_answered,
    is_document,
    messages_of,
    read_message,
)
from instrument.handlers._shared.style import cells
from instrument.handlers._shared.usual_names import USUAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from instrument._payloads.jsonable import Memo
    from instrument._runs.run import Run
    from instrument.handlers._shared.said import Found, Said
    from instrument.handlers._shared.style import Marks

    Pieces = Iterator[str]

_CHUNK = 200
_SHORT = 20
"""The cells of an item that is short enough to be told in a list."""
_FEW = 3
_LONGEST_REPR = 2_000
_INT_BITS = 4_096  # int -> str refuses more than 4,300 digits
_MOST_DOCUMENTS = 100
_MOST_FIELDS = 10_000
_FIRST_WORDS = 24
_LONGEST_JSON = 20_000
"""The most characters of it in which secrets are looked for; no more are told."""
_DIGITS = 6
_PAIR = 2
_BRACKETS: "dict[type, tuple[str, str]]" = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
    frozenset: ("{", "}"),
}
_MAY_BE_EMPTY = frozenset(map(id, (str, list, dict)))
_MORE = " more items"
_BEGINS_JSON = frozenset('{["')


def went_in(
    data: "dict[str, Any]",
    marks: "Marks",
    most: int | None = None,
    memo: "Memo | None" = None,
) -> "Pieces":
    """
    Write what went into a run.

    Args:
        data: That of its start event: ``inputs``, ``messages``, ``prompts``, ``query``
            or ``texts``.
        most: The characters of a text behind which the rest is counted, as in logs.
        memo: What objects said of themselves, so that none is asked twice.
    """
    writing = _Writing(marks, most, memo)
    for name in ("messages", "prompts", "texts", "query", "inputs"):
        if name in data:
            return writing.asked(data[name], name)
    return iter(())


def came_out(
    data: "dict[str, Any]",
    marks: "Marks",
    most: int | None = None,
    memo: "Memo | None" = None,
) -> "Pieces":
    """
    Write what came out of a run; nothing where that is None.

    Args:
        data: That of its last event: ``outputs``, ``output``, ``documents``,
            ``vectors``, or a model's ``text`` and ``tool_calls``.
        most, memo: As for `went_in`.
    """
    writing = _Writing(marks, most, memo)
    for name in ("documents", "vectors", "outputs", "output"):
        if name in data:
            return writing.answered(data[name], name)
    return writing.answer(data.get("text"), data.get("tool_calls"))


def input_of(
    run: "Run", marks: "Marks", most: int | None = None, memo: "Memo | None" = None
) -> "Pieces":
    """
    Write what went into a run; nothing where no payload is told.
    """
    if not run._audience.capture:
        return iter(())
    memo = asked_by(run) if memo is None else memo
    return went_in(run._kind.start_data(run), marks, most, memo)


def asked_by(run: "Run") -> "Memo":
    """
    Give what objects in the inputs of a run that starts have said already.
    """
    asked = asked_for(run._audience.redactors)
    if run._asked is not None:
        asked.update(run._asked)
    return asked


def output_of(
    run: "Run", marks: "Marks", most: int | None = None, memo: "Memo | None" = None
) -> "Pieces":
    """
    Write what came out of a run that has ended, or what there was of it.
    """
    if not run._audience.capture:
        return iter(())
    data = run._kind.end_data(run)
    memo = asked_for(run._audience.redactors) if memo is None else memo
    is_none = run.outputs is None and not (data.get("text") or data.get("tool_calls"))
    return iter(()) if is_none else came_out(data, marks, most, memo)


def value(given: object, marks: "Marks", run: "Run | None" = None) -> "Pieces":
    """
    Write any value.

    Args:
        run: That which told it, of which something may be redacted.
    """
    memo = None if run is None else asked_for(run._audience.redactors)
    return _Writing(marks, memo=memo).value(given)


def arguments(given: "dict[Any, Any]", marks: "Marks") -> "Pieces":
    """
    Write what is called by name: ``city='Rome', days=14``.
    """
    return _Writing(marks).named(given.items(), 0)


def counted_text(text: str, most: int, marks: "Marks") -> str:
    """
    Write a text of which the rest is counted: ``'How is…' + 12,401 characters``.
    """
    return "".join(_Writing(marks, most).text(text))


def counted_error(message: str, most: int) -> str:
    """
    Give an error's message without what is usually secret, and count what is too much.
    """
    shown = USUAL.masked_text(message[:most])
    left = length_of(message) - most
    return f"{shown}… + {left:,} characters" if left > 0 else shown


class _Writing:
    """
    Writes values as pieces of text that can be printed.

    Args:
        most: The characters behind which the rest of a text is counted.
        memo: What objects said of themselves.
    """

    def __init__(
        self, marks: "Marks", most: int | None = None, memo: "Memo | None" = None
    ) -> None:
        self._marks = marks
        self._most = most
        self._memo: Memo = {} if memo is None else memo

    def asked(self, given: "Any", name: str) -> "Pieces":
        if id(type(given)) in _MAY_BE_EMPTY and not given:
            return iter(())
        if name in ("prompts", "texts") and _is_single(given):
            return self.value(given[0])
        if messages := messages_of(given):
            return self._messages(messages)
        if name == "inputs" and type(given) is dict:
            return self.named(given.items(), 0)
        return self.value(given)

    def answered(self, given: "Any", name: str) -> "Pieces":
        if given is None:
            return iter(())
        if name == "vectors":
            return self._vectors(given)
        if name == "documents" and (documents := items(given)):
            return self._documents(documents)
        answer = answer_in(given)
        return self.value(given) if answer is None else self._said(answer)

    def answer(self, text: object, calls: "Any") -> "Pieces":
        """
        Write what a model told; its text may be hidden, and is then None.
        """
        shown = None if calls and not text else text
        yield from self._content(shown)
        yield from self._calls(calls, "" if shown is None else " ")

    def value(self, given: "Any", depth: int = 0) -> "Pieces":
        """
        Write anything; what lies *depth* levels below the first is only told by name.
        """
        kind = type(given)
        if kind is str:
            return self._marked(given) if _is_mark(given) else self.text(given)
        if given is None or kind is bool:
            return iter((str(given),))
        if kind is int:
            return iter((_int(given),))
        if kind is float:
            return iter((_float(given),))
        if depth == 0:
            if messages := messages_of(given):
                return self._messages(messages)
            documents = [given] if is_document(given) else documents_of(given)
            if documents:
                return self._documents(documents)
        return self._opened(given, kind, depth)

    def text(self, text: str) -> "Pieces":
        """
        Write a text in quotes, as Python does.
        """
        if text[:_CHUNK].lstrip()[:1] in _BEGINS_JSON:
            rest = self._marks.ellipsis if len(text) > _LONGEST_JSON else ""
            text = USUAL.masked_text(text[:_LONGEST_JSON]) + rest
        head = text[:_CHUNK]
        quote = '"' if "'" in head and '"' not in head else "'"
        left = 0 if self._most is None else len(text) - self._most
        yield quote
        if left > 0:
            yield from self._chunks(text[: self._most], quote)
            yield f"{self._marks.ellipsis}{quote} + {left:,} characters"
        else:
            yield from self._chunks(text, quote)
            yield quote

    def named(self, pairs: "Any", depth: int) -> "Pieces":
        """
        Write ``city='Rome', days=14``, without what is usually secret.
        """
        for index, (key, item) in enumerate(pairs):
            name = key if type(key) is str else key_of(key)
            yield ", " if index else ""
            yield self._marks.shown((name or name_of(key))[:_CHUNK]) + "="
            yield from self._unmasked(name, item, depth)

    def _unmasked(self, name: str | None, item: object, depth: int) -> "Pieces":
        if name is not None and USUAL.masks(name):
            return iter((MASK,))
        return self.value(item, depth)

    def _chunks(self, text: str, quote: str) -> "Pieces":
        for at in range(0, len(text), _CHUNK):
            chunk = text[at : at + _CHUNK].replace("\\", "\\\\")
            yield self._marks.shown(chunk.replace(quote, "\\" + quote))

    def _marked(self, text: str) -> "Pieces":
        yield self._marks.shown(text)

    def _opened(self, given: "Any", kind: "Any", depth: int) -> "Pieces":
        if issubclass(kind, str):
            return self.text(str.__str__(given))
        told_size = _measured(given, kind)
        if told_size is not None:
            return self._marked(told_size)
        opening = opening_of(kind)
        if opening.told is FIELDS:
            return self._object(given, opening.fields(given, _MOST_FIELDS)[0], depth)
        if opening.told is REPR:
            text = repr_once(given, _LONGEST_REPR, self._memo)
            return self._marked(USUAL.masked_text(text))
        if opening.told in (MAPPING, ITEMS):
            found = read(given, opening.read, _FEW + 1)
        else:
            found = read(given, opening.read)
        if type(found) is Unreadable or type(found) is str:
            return self._marked(str.__str__(found))  # a date, a path: bare
        if opening.told is MAPPING:
            return self._mapping(found[0], found[1], depth)
        if opening.told is ITEMS:
            return self._items(given, found[0], found[1], depth)
        return self.value(found, depth)

    def _object(self, given: object, fields: "Any", depth: int) -> "Pieces":
        name = self._marks.shown(name_of(given))
        if depth:
            yield f"{name}({self._marks.ellipsis})"
            return
        yield f"{name}("
        yield from self.named(fields, 1)
        yield ")"

    def _mapping(self, pairs: "Any", count: int | None, depth: int) -> "Pieces":
        more = count is None or count > _FEW
        if depth and count:
            yield "{" + amounts.counted(count, "key") + "}"
            return
        yield "{"
        for index, (key, item) in enumerate(pairs[:_FEW]):
            yield ", " if index else ""
            yield from self.value(key, 1)
            yield ": "
            yield from self._unmasked(_name(key), item, 1)
        yield f", {self._marks.ellipsis}}}" if more else "}"

    def _items(self, given: object, items: "Any", count: int, depth: int) -> "Pieces":
        kinds = (kind for kind in _BRACKETS if issubclass(type(given), kind))
        begins, ends = _BRACKETS[next(kinds, list)]
        if begins == "{" and not count:
            yield "set()"
            return
        written = self._short_items(items, depth) if count <= _FEW else None
        if written is None:
            told = amounts.counted(count, "item")
            if count > _FEW and _is_cut(given):
                told = f"{amounts.counted(count - 1, 'item')} of more"
            yield f"{begins}{told}{ends}"
            return
        end = f",{ends}" if begins == "(" and count == 1 else ends
        yield f"{begins}{', '.join(written)}{end}"

    def _short_items(self, items: "Any", depth: int) -> "list[str] | None":
        """
        Write a few short ones; None where one of them is not.
        """
        if len(items) == _PAIR and type(items[0]) is str and USUAL.masks(items[0]):
            return ["".join(self.text(items[0])), MASK]
        written = []
        for item in items:
            if not _is_scalar(item):
                return None
            whole = self._marks.cropped(self.value(item, depth + 1), _SHORT + 1)
            if cells(whole) > _SHORT:
                return None
            written.append(whole)
        return written

    def _messages(self, messages: "list[Any]") -> "Pieces":
        """
        Write the last of a conversation, and how many there are.
        """
        said = read_message(messages[-1])
        is_answer = len(messages) == 1 and is_answered(said)
        if len(messages) > 1:
            yield f"{len(messages):,} messages, "
        yield "" if is_answer else f"{self._marks.name(said.role)}: "
        yield from self._said(said)

    def _said(self, message: "Said") -> "Pieces":
        yield from self._content(message.text)
        for index, part in enumerate(message.parts):
            yield ", " if index or message.text else ""
            yield self._marks.shown(part)
        is_first = message.text is None and not message.parts
        yield from self._calls(message.calls, "" if is_first else " ")

    def _content(self, text: "Any") -> "Pieces":
        return iter(()) if text is None else self.value(text)

    def _calls(self, calls: "Any", before: str) -> "Pieces":
        for index, call in enumerate(calls or ()):
            yield ", " if index else f"{before}-> "
            name, given = get(call, "name"), get(call, "arguments")
            is_text = issubclass(type(name), str)
            if not is_text:
                name = repr_once(name, _LONGEST_REPR, self._memo)
            yield f"{self._marks.name(str.__str__(name))}("
            if type(given) is dict:
                yield from self.named(given.items(), 1)
            elif given is not None and not (type(given) is str and not given):
                yield from self.value(given, 1)
            yield ")"

    def _documents(self, documents: "Any") -> "Pieces":
        """
        Write how many there are and where from, equal ones once.
        """
        yield f"{amounts.counted(len(documents), 'document')}: "
        times: dict[Found, int] = {}
        for document in documents[:_MOST_DOCUMENTS]:
            known = found(document)
            times[known] = times.get(known, 0) + 1
        for index, (known, count) in enumerate(times.items()):
            yield ", " if index else ""
            if known.is_named:
                yield self._marks.name(known.source)
            elif len(times) == 1:
                yield from self.text(known.source)
            else:
                yield self._marks.cropped(self.text(known.source), _FIRST_WORDS)
            yield f" ({count})" if count > 1 else ""

    def _vectors(self, given: "Any") -> "Pieces":
        if type(given) is not dict or type(given.get("count")) is not int:
            return self.value(given)
        told = amounts.counted(given["count"], "vector")
        return iter((f"{told} of {given.get('size') or 0:,}",))


def _is_mark(text: str) -> bool:
    """
    Tell whether it is what stands for a secret: the very object, as text may be equal.
    """
    return text is MASK or text is DROPPED


def _is_single(given: object) -> bool:
    return type(given) is list and len(given) == 1


def _is_scalar(item: object) -> bool:
    kind = type(item)
    if item is None or issubclass(kind, (str, int, float, bool)):
        return True
    return opening_of(kind).told not in (FIELDS, MAPPING, ITEMS, REPR)


def _is_cut(given: "Any") -> bool:
    """
    Tell whether it is what is kept of a long stream, whose last item says so.
    """
    last = given[-1] if type(given) is list else None
    return type(last) is str and last[:2] == "… " and last.endswith(_MORE)


def _name(key: object) -> str | None:
    return key if type(key) is str else key_of(key)


def _int(number: int) -> str:
    bits = number.bit_length()
    return str(number) if bits < _INT_BITS else f"<int of {bits:,} bits>"


def _float(number: float) -> str:
    return repr(float(f"{number:.{_DIGITS}g}"))


def _measured(given: "Any", kind: "Any") -> str | None:
    """
    Tell bytes and arrays by how much they hold.
    """
    for plain in (bytes, bytearray):
        if issubclass(kind, plain):
            return f"<{name_of(given)}, {amounts.size(plain.__len__(given))}>"
    numpy = sys.modules.get("numpy")
    array = getattr(numpy, "ndarray", None)
    if array is not None and issubclass(kind, array):
        shape = "x".join(map(str, array.shape.__get__(given)))
        told = read(given, lambda it: str(array.dtype.__get__(it)))
        return f"<{name_of(given)} {shape or 'of one'} {str.__str__(told)}>"
    if kind is memoryview:
        told = read(given, lambda it: f"<memoryview, {amounts.size(it.nbytes)}>")
        return str.__str__(told)  # or that it cannot be read, once it is released
    return None
