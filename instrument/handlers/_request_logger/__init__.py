"""
`RequestLogger`: a log record at the start and the end of each run.
"""

import json

from instrument._forks import fork_lock
from instrument._interrupts import Taking
from instrument._payloads.fields import name_of
from instrument._payloads.jsonable import jsonable
from instrument._payloads.redact import (
    asked_for,
    error_of,
    given_text,
    redacted,
    said_by,
)
from instrument._text import cut, printable
from instrument.handlers._request_logger.log_targets import target_of
from instrument.handlers._request_logger.shown_errors import shown_error
from instrument.handlers._request_logger.sources import source_of
from instrument.handlers._shared.amounts import counted, duration
from instrument.handlers._shared.open_runs import OpenRuns
from instrument.handlers._shared.prices import shared_prices
from instrument.handlers._shared.run_handler import RunHandler
from instrument.handlers._shared.style import NAME, Marks
from instrument.handlers._shared.usual_names import USUAL
from instrument.handlers._shared.values import (
    asked_by,
    counted_error,
    input_of,
    output_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from instrument._payloads.jsonable import Memo
    from instrument._runs.run import Run
    from instrument.handlers._shared.open_runs import Entry

_PAYLOAD = 1_000
_VALUES = 1_000
"""The most values in one field of a record, and characters in one of them."""
_STRING = 100_000
"""The most characters read of one string in a payload, of which less is shown."""
_ERROR = 10_000
"""The characters of an error's text in a traceback, behind which the rest is counted."""
_TRACEBACK = 20_000
"""Those of a note, and of a traceback of another process, which are cut before."""
_MESSAGE = 1_000
"""The same in a record's message."""
_DEEPEST = 8
_COUNT = 40
"""The cells in which the rest of a payload is counted."""
_ENDED = {"error": "failed"}
_MARKS = Marks()


class RequestLogger(RunHandler):
    """
    Log each run: when it starts, when it ends, and an error where it comes from.

    A message begins with the id of the request, six digits of `Run.trace_hex`. A record
    comes from the function that was decorated, of a framework's run from the nearest
    one above: its file, line and name are the record's.

    Records carry, as loguru's extras or attributes of a `logging.LogRecord`:
    ``run_id``, ``parent_run_id``, ``trace_id``, ``trace_hex``, ``run_name``, ``kind``,
    ``status``, ``duration_s`` (None at the start), ``tags``, ``metadata``, ``model``,
    ``provider`` and ``usage`` (the counts that are known). An error is logged once, at ERROR and
    with its traceback, by the run in which it was raised; the runs that it passes
    through end at *level*, with the status ``error``.

    What models and tools write cannot break a record or fake one: no text holds a
    control character or a line break, nothing is formatted or taken for markup, and
    tracebacks hold no local values.

    Args:
        logger: A logger of loguru or of `logging`, or a `logging.LoggerAdapter`; by
            default loguru's own.
        level: The level of starts and ends, by name or number.
        payload: True also logs ``inputs`` (at the start) and ``outputs`` (at the end),
            each as text of at most 1,000 characters, and short in the message; a number
            is another limit. What is usually secret is masked in them.

    Raises:
        TypeError: For another kind of logger, or a level or payload of another type.
        ValueError: For a level that the logger does not know, or a negative number.
    """

    def __init__(
        self,
        logger: object = None,
        level: "str | int" = "INFO",
        payload: "bool | int" = False,
    ) -> None:
        self._target = target_of(logger)
        self._open = OpenRuns()
        self._lock = fork_lock()
        self._prices = shared_prices()
        self._error_level = self._target.level("ERROR")
        if isinstance(level, str):
            self._level: str | int = self._target.level(level)
        else:
            self._level = _number("level", "a level's name or number", level)
        if isinstance(payload, bool):
            self._payload = _PAYLOAD if payload else 0
        else:
            what = "True, False or a number of characters"
            self._payload = _number("payload", what, payload)

    def run_started(self, run: "Run") -> None:
        taking = Taking()
        self._prices.asked(run)
        with self._lock:
            entry = self._open.start(run, self)
        fields = _fields(run, "running", None)  # in background it may have ended
        message = f"{_head(run, entry)} started"
        if self._payload:
            memo = _said_by_inputs(run)
            fields["inputs"] = _payload(run, "inputs", self._payload, memo)
            message += self._told(input_of(run, _MARKS, self._payload, memo))
        self._target.write(self._level, message, fields, source_of(run), taking=taking)

    def on_llm_new_token(
        self, token: str, channel: str = "text", **kwargs: "Any"
    ) -> None:
        taking = Taking()
        self._open.of(kwargs["run"], self).token(taking)

    def run_ended(self, run: "Run") -> None:
        taking = Taking()
        with self._lock:
            entry = self._open.ending(run, self)
        fields = _fields(run, run.status, run.duration_s)
        memo = asked_for((*run._audience.redactors, USUAL))
        if self._payload:
            fields["outputs"] = _payload(run, "outputs", self._payload, memo)
        message = f"{_head(run, entry)} {_ENDED.get(run.status, run.status)} in"
        message += f" {duration(run.duration_s)}{_after(run, entry)}"
        consumed = entry.consumed(run, self._prices, _MARKS, wide=True)
        message += f", {consumed}" if consumed else ""
        try:
            if run.status == "error" and run.error is not None:
                self._failed(run, run.error, entry, message, fields, taking)
            else:
                if self._payload:
                    message += self._told(output_of(run, _MARKS, self._payload, memo))
                self._target.write(
                    self._level, message, fields, source_of(run), taking=taking
                )
            taking.is_taken = True  # also where that level is off
        finally:
            if taking.is_taken:
                with self._lock:
                    self._open.end(run, entry)

    def _failed(
        self,
        run: "Run",
        error: BaseException,
        entry: "Entry",
        message: str,
        fields: "dict[str, Any]",
        taking: Taking,
    ) -> None:
        """
        Write that a run has failed; with the traceback where that was raised.
        """
        message += f": {_name(name_of(error))}"
        where = entry.from_where(run)
        if where:
            message += f" from {printable(cut(where, 2 * NAME))}"
            self._target.write(
                self._level, message, fields, source_of(run), taking=taking
            )
            return
        shown = shown_error(
            error,
            lambda text: _error_text(run, text),
            lambda exc: _said_by(run, exc),
            lambda line: _is_hidden(run, line),
        )
        said = printable(_said_by(run, error, _MESSAGE))
        message += f": {said}" if said else ""
        raised = (type(error), shown, shown.__traceback__)
        place = source_of(run)
        self._target.write(self._error_level, message, fields, place, raised, taking)

    def _told(self, pieces: "Iterator[str]") -> str:
        text = _MARKS.cropped(pieces, self._payload + _COUNT)
        return f": {text}" if text else ""


def _fields(run: "Run", status: str, duration_s: float | None) -> "dict[str, Any]":
    return {
        "run_id": str(run.id),
        "parent_run_id": None if run.parent_id is None else str(run.parent_id),
        "trace_id": str(run.trace_id),
        "trace_hex": run.trace_hex,
        "run_name": _shown(run.name),
        "kind": _shown(run.kind),
        "status": status,
        "duration_s": duration_s,
        "tags": _shown(run.tags),
        "metadata": _shown(redacted(run.metadata.copy(), (USUAL,), ("metadata",))),
        "model": _shown(run.model),
        "provider": _shown(run.provider),
        "usage": run.usage.to_dict(),
    }


def _shown(value: object) -> "Any":
    return _printable(jsonable(value, nodes=_VALUES, text=_VALUES))


def _printable(value: "Any") -> "Any":
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {
            printable(cut(key, _VALUES)): _printable(item)
            for key, item in value.items()
        }
    return [_printable(item) for item in value] if isinstance(value, list) else value


def _said_by_inputs(run: "Run") -> "Memo":
    """
    Give what objects in the inputs have said already, where what usually is a secret is
    masked too.
    """
    memo = asked_for((*run._audience.redactors, USUAL))
    for key, (it, said) in asked_by(run).items():
        memo[key] = it, USUAL.masked_text(said) if type(said) is str else said
    return memo


def _payload(run: "Run", name: str, limit: int, memo: "Memo") -> str | None:
    value = getattr(run, name)
    if value is None:
        return None
    value = redacted(value, (USUAL,), (name,), said=memo)
    if issubclass(type(value), str):
        return printable(cut(value, limit))
    plain = jsonable(value, nodes=limit, text=_STRING, memo=memo)
    text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    answer = run._read_answer() if name == "outputs" else None
    if answer is not None and answer.error:  # as the message of any other error
        redactors = (*run._audience.redactors, USUAL)
        text = given_text(redacted(text, redactors, ("error",)))
    return printable(cut(text, limit))


def _head(run: "Run", entry: "Entry") -> str:
    """
    Say which run of which request it is.
    """
    indent = "  " * min(run.depth, _DEEPEST)
    head = f"{entry.request.hex} {indent}{_name(run.kind)} {_name(entry.name)}"
    if entry.branch is not None:
        head += f" #{entry.branch}"
    if entry.inside is not None:
        head += f" in {_name(entry.inside[0])} #{entry.inside[1]}"
    return head


def _after(run: "Run", entry: "Entry") -> str:
    """
    Say how many tokens had come when a model, or a request, was stopped.
    """
    if run.status not in ("cancelled", "abandoned"):
        return ""
    count = entry.tokens if entry.is_model else entry.request.tokens * entry.is_first
    return f" after {counted(count, 'token')}" if count else ""


def _name(name: str) -> str:
    return _MARKS.name(name)


def _error_text(run: "Run", text: str) -> str:
    """
    Give a message as the run's redactors leave it; nothing with ``capture=False``.
    """
    shown = run._cleared(text, "error")
    return "" if shown is None else counted_error(given_text(shown), _TRACEBACK)


def _is_hidden(run: "Run", line: str) -> bool:
    """
    Tell whether the run's redactors leave a line of a program otherwise.
    """
    if not line or not run._audience.capture:
        return False
    shown = run._cleared(line, "error")
    return type(shown) is not str or shown != line


def _said_by(run: "Run", exc: BaseException, most: int = _ERROR) -> str:
    said = error_of(run) if exc is run.error else said_by(exc, run._audience)
    return counted_error(said or "", most)


def _number(name: str, what: str, given: object) -> int:
    if not isinstance(given, int) or isinstance(given, bool):
        message = f"RequestLogger({name}=...) is {what}, not {given!r}."
        raise TypeError(message)
    if given < 0:
        message = f"RequestLogger({name}=...) cannot be negative: {given!r}."
        raise ValueError(message)
    return given
