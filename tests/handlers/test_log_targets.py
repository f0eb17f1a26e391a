"""
Where log records go: what is taken for a logger, and levels.
"""

import logging
import sys
from contextlib import ExitStack
from typing import Any

import pytest
from loguru import logger

from instrument import callbacks, current_run, traced
from instrument._report import Source
from instrument.handlers import RequestLogger
from instrument.handlers._request_logger.log_targets import (
    LoggingTarget,
    LoguruTarget,
    target_of,
)
from instrument.handlers._request_logger.sources import source_of

plain = logging.getLogger("tests.targets")
HERE = Source("tests", "here", 7, "here.py")


@pytest.mark.parametrize(
    "given, target",
    [
        (None, LoguruTarget),
        (logger, LoguruTarget),
        (logger.bind(app="web"), LoguruTarget),
        (plain, LoggingTarget),
        (logging.LoggerAdapter(plain), LoggingTarget),
    ],
    ids=["none", "loguru", "bound", "logging", "adapter"],
)
def test_loggers(given: object, target: type) -> None:
    """
    Loggers of loguru and logging are known, and None is loguru's own.
    """
    assert isinstance(target_of(given), target)


@pytest.mark.parametrize("given", ["app", 7, object(), print, logging, logging.Logger])
def test_no_logger(given: object) -> None:
    """
    Anything else is refused at once, and the message says how to make a logger.
    """
    with pytest.raises(TypeError, match=r"Make one: logging.getLogger\('"):
        RequestLogger(given)


def test_name_of_a_logger() -> None:
    """
    Who gives a name is told how to make the logger of that name.
    """
    with pytest.raises(TypeError, match=r"not 'app'. Make one: .*getLogger\('app'\)"):
        RequestLogger("app")


@pytest.mark.parametrize(
    "given, known", [(None, "SUCCESS, WARNING"), (plain, "CRITICAL, FATAL")]
)
def test_unknown_level(given: object, known: str) -> None:
    """
    A level that the logger does not know is refused, with those that it knows.
    """
    with pytest.raises(ValueError, match=rf"no level 'LOUD'. Levels: .*{known}"):
        RequestLogger(given, level="LOUD")


@pytest.mark.parametrize(
    "level, error", [(-1, ValueError), (True, TypeError), (1.5, TypeError)]
)
def test_bad_level(level: Any, error: type[Exception]) -> None:
    """
    A level that is neither a name nor a number from 0 is refused.
    """
    with pytest.raises(error, match=rf"RequestLogger\(level=...\) .*{level!r}"):
        RequestLogger(level=level)


@pytest.mark.parametrize("payload, error", [(-1, ValueError), ("all", TypeError)])
def test_bad_payload(payload: Any, error: type[Exception]) -> None:
    """
    A payload that is no limit is refused.
    """
    with pytest.raises(error, match=rf"RequestLogger\(payload=...\) .*{payload!r}"):
        RequestLogger(payload=payload)


def test_adapters_keep_their_extras(caplog: pytest.LogCaptureFixture) -> None:
    """
    What adapters add to a record is there, beside the fields; one may stand on another.
    """

    class Shouting(logging.LoggerAdapter[Any]):
        def process(self, msg: Any, kwargs: Any) -> Any:
            return f"{msg}!", kwargs

    inner = logging.LoggerAdapter(plain, {"app": "web"})
    adapter: Any = Shouting(inner, {})

    with caplog.at_level("INFO"):
        target_of(adapter).write(20, "a {} %s <red>", {"kind": "tool"}, HERE)

    (record,) = caplog.records
    assert record.getMessage() == "a {} %s <red>!"
    assert vars(record)["app"] == "web"
    assert vars(record)["kind"] == "tool"


def test_record_within_a_record() -> None:
    """
    A record that comes while a sink of loguru writes follows it, and none is lost.
    """
    written: list[str] = []
    target = target_of(None)

    def sink(message: Any) -> None:
        written.append(str(message).strip())
        if len(written) < 4:
            target.write("INFO", str(len(written)), {}, HERE)

    number = logger.add(sink, format="{message}", catch=False)
    target.write("INFO", "first", {}, HERE)
    logger.remove(number)

    assert written == ["first", "1", "2", "3"]


def test_sink_that_raises() -> None:
    """
    After a sink has raised, records are written as before.
    """
    written: list[str] = []
    target = target_of(None)

    def sink(message: Any) -> None:
        written.append(str(message))
        raise OSError("full")

    number = logger.add(sink, catch=False)
    for _ in range(2):
        with pytest.raises(OSError, match="full"):
            target.write("INFO", "first", {}, HERE)
    logger.remove(number)

    assert len(written) == 2


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_sink_that_raises_as_others_wait(error: type[BaseException]) -> None:
    """
    Of what comes while a sink writes none is lost as that cannot write the one before.
    """
    written: list[str] = []
    target = target_of(None)

    def sink(message: Any) -> None:
        written.append(str(message).strip())
        if len(written) == 1:
            target.write("INFO", "second", {}, HERE)
            target.write("INFO", "third", {}, HERE)
        if len(written) < 3:
            raise error("full")

    number = logger.add(sink, format="{message}", catch=False)
    with pytest.raises(error, match="full"):
        target.write("INFO", "first", {}, HERE)
    logger.remove(number)

    assert written == ["first", "second", "third"]


def test_field_of_the_application(caplog: pytest.LogCaptureFixture) -> None:
    """
    No run was logged where the application's record factory sets a ``trace_id`` of its
    own; it stays, beside our other fields.
    """
    made = logging.getLogRecordFactory()

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = made(*args, **kwargs)
        record.trace_id = "theirs"
        return record

    logging.setLogRecordFactory(factory)
    try:
        with caplog.at_level("INFO"):
            target_of(plain).write(20, "a", {"trace_id": "ours", "kind": "tool"}, HERE)
    finally:
        logging.setLogRecordFactory(made)

    (record,) = caplog.records
    assert (vars(record)["trace_id"], vars(record)["kind"]) == ("theirs", "tool")


def test_filter_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """
    A KeyError of the application's own filter is told as it is.
    """

    def broken(record: logging.LogRecord) -> bool:
        raise KeyError("theirs")

    plain.addFilter(broken)
    try:
        with caplog.at_level("INFO"), pytest.raises(KeyError, match="theirs"):
            target_of(plain).write(20, "a", {"kind": "tool"}, HERE)
    finally:
        plain.removeFilter(broken)

    assert caplog.records == []


def test_level_that_is_off(caplog: pytest.LogCaptureFixture) -> None:
    """
    No record is made for a level that the logger does not take.
    """
    with caplog.at_level("WARNING", plain.name):
        target_of(plain).write(20, "a", {}, HERE)
        target_of(plain).write(30, "b", {}, HERE)

    assert caplog.messages == ["b"]


def test_source_below_many_blocks() -> None:
    """
    Where a record comes from is not sought with more calls for each block above it.
    """

    def calls_made(blocks: int) -> int:
        made: list[object] = []
        with ExitStack() as stack:
            for _ in range(blocks):
                stack.enter_context(traced("block"))
            run = current_run()
            sys.setprofile(lambda *of: made.append(of))
            try:
                source_of(run)
            finally:
                sys.setprofile(None)
        return len(made)

    with callbacks(lambda event: None):
        assert calls_made(40) == calls_made(4)
