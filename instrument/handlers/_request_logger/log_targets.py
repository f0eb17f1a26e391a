"""
Where log records go: loguru, or the standard library's logging.

Both take the same four things, and neither formats the message.
"""

import logging
from collections import deque
from functools import partial
from threading import local

from instrument._interrupts import Taking
from instrument._report import place
from instrument._text import safe_repr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from instrument._report import Source

    Raised = tuple[type[BaseException], BaseException, TracebackType | None]
    Standard = logging.Logger | logging.LoggerAdapter[Any]

_LOGURU_LEVELS = "TRACE, DEBUG, INFO, SUCCESS, WARNING, ERROR, CRITICAL"


class LoguruTarget:
    """
    Write to a loguru logger, and to what it is bound.
    """

    def __init__(self, logger: "Any") -> None:
        self._logger = logger
        self._here = local()

    def level(self, name: str) -> str:
        """
        Give a level by its name.

        Raises:
            ValueError: For one that loguru does not know.
        """
        try:
            self._logger.level(name)
        except ValueError:
            added = "and what logger.level() has added"
            raise ValueError(_unknown(name, f"{_LOGURU_LEVELS} {added}")) from None
        return name

    def write(
        self,
        level: "Any",
        message: str,
        fields: "dict[str, Any]",
        source: "Source",
        raised: "Raised | None" = None,
        taking: Taking | None = None,
    ) -> None:
        """
        Write a record; one that comes while this thread writes another waits for that.

        A stream that is collected meanwhile tells of its end, and loguru would refuse
        that: its sinks are not re-entrant.
        """
        taking = taking or Taking()
        waiting = self._here.__dict__
        if "records" in waiting:
            record, taking.is_taken = (
                (level, message, fields, source, raised, taking),
                True,
            )
            waiting["records"].append(record)
            return
        record = level, message, fields, source, raised, taking
        waiting["records"] = records = deque([record])
        try:
            self._write_each(records)
        finally:
            del waiting["records"]

    def _write_each(self, records: "deque[Any]") -> None:
        """
        Write what waits, each whatever becomes of the others.
        """
        try:
            while records:
                level, message, fields, source, raised, taking = records.popleft()
                # opt() also turns off what the logger given was set to: colours, lazy
                logger = self._logger.bind(**fields).opt(exception=raised)
                log = logger.patch(partial(place, source)).log
                taking.is_taken = True
                log(level, message)
        finally:
            if records:
                self._write_each(records)


class LoggingTarget:
    """
    Write to a standard logger, or through an adapter, whose extras are kept.
    """

    def __init__(self, logger: "Standard") -> None:
        self._logger = logger

    def level(self, name: str) -> int:
        """
        Give a level by its name.

        Raises:
            ValueError: For one that logging does not know.
        """
        levels = logging.getLevelNamesMapping()
        if name not in levels:
            raise ValueError(_unknown(name, ", ".join(levels)))
        return levels[name]

    def write(
        self,
        level: "Any",
        message: str,
        fields: "dict[str, Any]",
        source: "Source",
        raised: "Raised | None" = None,
        taking: Taking | None = None,
    ) -> None:
        """
        Write a record, with *fields* as its attributes.
        """
        taking = taking or Taking()
        logger = self._logger
        if not logger.isEnabledFor(level):
            return
        given: Any = {"exc_info": raised, "extra": fields}
        while isinstance(logger, logging.LoggerAdapter):
            message, given = logger.process(message, {**given})
            given["extra"] = {**(given.get("extra") or {}), **fields}
            logger = logger.logger
        place = logger.name, level, source.file, source.line, message, ()
        raised, fields = given["exc_info"], given["extra"]
        try:
            made = logger.makeRecord(*place, raised, source.function, fields)
        except KeyError:
            taken = vars(logging.makeLogRecord({})).keys() & fields
            # by the application's record factory: such a field stays as it made it
            fields = {it: fields[it] for it in fields.keys() - taken}
            made = logger.makeRecord(*place, raised, source.function, fields)
        taking.is_taken = True
        logger.handle(made)


def target_of(logger: object) -> LoguruTarget | LoggingTarget:
    """
    Tell what *logger* is; None is loguru's own.

    Raises:
        TypeError: If it is neither loguru's nor logging's.
    """
    if isinstance(logger, (logging.Logger, logging.LoggerAdapter)):
        return LoggingTarget(logger)

    from loguru import logger as own  # 110 ms, and not needed with logging

    if logger is None or isinstance(logger, type(own)):
        return LoguruTarget(own if logger is None else logger)
    name = logger if isinstance(logger, str) else "requests"
    message = (
        "RequestLogger takes a logger of loguru or logging, not"
        f" {safe_repr(logger)}. Make one: logging.getLogger({name!r})."
    )
    raise TypeError(message)


def _unknown(name: str, known: str) -> str:
    return f"RequestLogger: there is no level {name!r}. Levels: {known}."
