"""
`RequestLogger`: a log record at the start and the end of each run.
"""

import json

from instrument._payloads.fields import name_of
from instrument._payloads.jsonable import jsonable
from instrument._payloads.redact import said_by
from instrument._text import cut, printable, safe_str
from instrument.handlers._request_logger.log_targets import target_of
from instrument.handlers._request_logger.shown_errors import shown_error
from instrument.handlers._shared.amounts import duration as written_duration
from instrument.handlers._shared.run_handler import RunHandler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument._runs.run import Run

_PAYLOAD = 1_000
_VALUES = 1_000
"""The most values in one field of a record, and characters in one of them."""
_STRING = 100_000
"""The most characters read of one string in a payload, of which less is shown."""
_NAME = 200
_MESSAGE = 200
_ERROR = 10_000


class RequestLogger(RunHandler):
    """
    Log each run: when it starts, when it ends, and an error where it comes from.

    Records carry, as loguru's extras or attributes of a `logging.LogRecord`:
    ``run_id``, ``parent_run_id``, ``trace_id``, ``run_name``, ``kind``, ``status``,
    ``duration_s`` (None at the start), ``tags``, ``metadata``, ``model``, ``provider``
    and ``usage`` (the counts that are known). An error is logged once, at ERROR and
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
            each as text of at most 1,000 characters; a number is another limit.

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
        fields = _fields(run, "running", None)  # in background it may have ended
        if self._payload:
            fields["inputs"] = _payload(run.inputs, self._payload)
        self._target.write(self._level, f"{_head(run)} started", fields)

    def run_ended(self, run: "Run") -> None:
        fields = _fields(run, run.status, run.duration_s)
        if self._payload:
            fields["outputs"] = _payload(run.outputs, self._payload)
        duration = written_duration(run.duration_s)
        error = run.error
        if run.status != "error" or error is None:
            message = f"{_head(run)} {run.status} in {duration}"
            self._target.write(self._level, message, fields)
            return
        message = f"{_head(run)} failed in {duration}: {_name(name_of(error))}"
        if not run.error_origin:
            self._target.write(self._level, f"{message} from within", fields)
            return
        shown = shown_error(
            error, lambda text: _error_text(run, text), lambda exc: _said_by(run, exc)
        )
        if text := cut(str(shown), _MESSAGE):
            message += f": {text}"
        raised = (type(error), shown, shown.__traceback__)
        self._target.write(self._error_level, message, fields, raised)


def _fields(run: "Run", status: str, duration_s: float | None) -> "dict[str, Any]":
    return {
        "run_id": str(run.id),
        "parent_run_id": None if run.parent_id is None else str(run.parent_id),
        "trace_id": str(run.trace_id),
        "run_name": _shown(run.name),
        "kind": _shown(run.kind),
        "status": status,
        "duration_s": duration_s,
        "tags": _shown(run.tags),
        "metadata": _shown(run.metadata),
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


def _payload(value: "Any", limit: int) -> str | None:
    if value is None:
        return None
    if issubclass(type(value), str):
        return printable(cut(value, limit))
    plain = jsonable(value, nodes=limit, text=_STRING)
    text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    return printable(cut(text, limit))


def _head(run: "Run") -> str:
    return f"{_name(run.kind)} {_name(run.name)}"


def _name(name: str) -> str:
    return printable(cut(name, _NAME))


def _error_text(run: "Run", text: str) -> str:
    """
    Give a message as the run's redactors leave it; nothing with ``capture=False``.
    """
    shown = run._cleared(text, "error")
    return "" if shown is None else cut(safe_str(shown), _ERROR)


def _said_by(run: "Run", exc: BaseException) -> str:
    return cut(said_by(exc, run._audience) or "", _ERROR)


def _number(name: str, what: str, given: object) -> int:
    if not isinstance(given, int) or isinstance(given, bool):
        message = f"RequestLogger({name}=...) is {what}, not {given!r}."
        raise TypeError(message)
    if given < 0:
        message = f"RequestLogger({name}=...) cannot be negative: {given!r}."
        raise ValueError(message)
    return given
