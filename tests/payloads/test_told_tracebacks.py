"""
Tests of the traceback in the record of an error.
"""

import asyncio
import json
import linecache
import os
import pickle
from concurrent.futures import process
from multiprocessing import pool
from pathlib import Path
from typing import Annotated, Any

import pytest
from loguru import logger

from instrument import Event, Secret, callbacks, current_run, traced
from instrument._payloads.redact import TRACEBACK
from instrument.handlers import RequestLogger
from instrument.testing import Recorder

LONGEST = 16_000


def ends_of(recorder: Recorder) -> list[Event]:
    """
    Give the ends that *recorder* has heard of runs that failed.
    """
    return [it for it in recorder.events if it.event.endswith("_error")]


def test_where_it_was_raised_alone() -> None:
    """
    An error's record has the traceback where it was raised: as Python writes it, from
    the application's frames on, and not where it passes through.
    """
    recorder = Recorder()

    @traced.tool
    def search(query: str) -> None:
        key = "kept here"  # noqa: F841 - it must not be told
        raise LookupError(query)

    @traced
    def answer(question: str) -> None:
        search(question)

    with callbacks(recorder), pytest.raises(LookupError, match="Rome"):
        answer("Rome")

    tool, chain = ends_of(recorder)
    lines = tool.data["traceback"].splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "LookupError: Rome"
    assert lines[1].endswith("in search")
    assert lines[2].strip() == "raise LookupError(query)"
    assert "kept here" not in tool.data["traceback"]
    assert "traceback" not in chain.data
    assert json.loads(tool.to_json())["data"]["traceback"] == tool.data["traceback"]


def test_what_it_was_raised_from() -> None:
    """
    It has what an error was raised from.
    """
    recorder = Recorder()

    @traced
    def answer() -> None:
        try:
            os.environ["CITY_THAT_IS_NOT_SET"]
        except KeyError as exc:
            raise LookupError("nothing") from exc

    with callbacks(recorder), pytest.raises(LookupError, match="nothing"):
        answer()

    (end,) = ends_of(recorder)
    told = end.data["traceback"]
    assert told.index("KeyError: 'CITY_THAT_IS_NOT_SET'") < told.index(
        "LookupError: nothing"
    )


@pytest.mark.parametrize("way", ["cancelled", "abandoned"])
def test_not_of_what_was_left(way: str) -> None:
    """
    What was cancelled or left has none: it has not failed.
    """
    recorder = Recorder()

    @traced
    def stream() -> Any:
        yield 1
        yield 2

    @traced
    async def sleep() -> None:
        await asyncio.sleep(60)

    async def cancelled() -> None:
        with callbacks(recorder):
            task = asyncio.create_task(sleep())
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])

    if way == "cancelled":
        asyncio.run(cancelled())
    else:
        with callbacks(recorder):
            pieces = stream()
            next(pieces)
            pieces.close()

    (end,) = ends_of(recorder)
    assert end.data["status"] == way
    assert "traceback" not in end.data


def test_end_of_a_long_one_is_kept() -> None:
    """
    Of one that is too long its end is kept, and it says how much is left out.
    """
    recorder = Recorder()

    @traced
    def answer() -> None:
        def down(depth: int) -> None:
            if depth == 0:
                raise LookupError("at the ground")
            (down if depth % 2 else lower)(depth - 1)

        def lower(depth: int) -> None:
            down(depth)

        down(200)

    with callbacks(recorder), pytest.raises(LookupError):
        answer()

    told = ends_of(recorder)[0].data["traceback"]
    first, _, rest = told.partition("\n")
    assert first.startswith("… [")
    assert first.endswith(" characters left out]")
    assert len(rest) == LONGEST
    assert rest.endswith("LookupError: at the ground\n")


def test_nothing_that_is_redacted() -> None:
    """
    What a redactor hides of an error's message is not in its traceback.
    """
    recorder = Recorder()

    @traced
    def log_in(user: str, password: Annotated[str, Secret]) -> None:
        raise LookupError({"user": user, "password": password})

    with callbacks(recorder, redact=["password"]), pytest.raises(LookupError):
        log_in("ada", "hunter2")

    (end,) = ends_of(recorder)
    assert "in log_in" in end.data["traceback"]
    assert "ada" in end.data["traceback"]
    assert "hunter2" not in end.to_json()


def test_none_where_a_redactor_leaves_no_text() -> None:
    """
    Of one that was raised elsewhere, for which a function that redacts gives no text,
    there is none.
    """
    recorder = Recorder()

    def hide(value: Any, path: Any) -> Any:
        return None if str(value).startswith("Traceback") else value

    @traced
    def answer() -> None:
        exc = LookupError("Rome")
        exc.__dict__[TRACEBACK] = "Traceback, of a worker"
        raise exc

    for redact in (None, hide):
        with callbacks(recorder, redact=redact), pytest.raises(LookupError):
            answer()

    shown, hidden = ends_of(recorder)
    assert shown.data["traceback"] == "Traceback, of a worker"
    assert hidden.data["message"] == "Rome"
    assert hidden.data.get("traceback") is None


class RefusedError(Exception):
    """
    Says what it holds by a name.
    """

    def __init__(self, password: str) -> None:
        super().__init__(password)
        self.password = password

    def __str__(self) -> str:
        return f"no user has {self.password}"


def masked(value: Any, path: tuple[str | int, ...]) -> Any:
    """
    Mask by a function what is called a password.
    """
    return "***" if path[-1] == "password" else value


@pytest.mark.parametrize("redact", [["password"], masked], ids=["names", "function"])
@pytest.mark.parametrize(
    "wrapped",
    [process._ExceptionWithTraceback, pool.ExceptionWithTraceback],  # type: ignore[attr-defined]
    ids=["concurrent.futures", "multiprocessing"],
)
def test_what_a_pool_tells_of_its_worker(wrapped: Any, redact: Any) -> None:
    """
    Where anything redacts, of the traceback that a pool of processes puts below an error
    the places are told, and nothing that was said there: it is a text, in which nobody
    can tell what is to be masked.
    """
    recorder, lines = Recorder(), list[str]()
    number = logger.add(lines.append, format="{message}")

    def there() -> bytes:
        try:
            try:
                raise RefusedError("enigma1940")
            except RefusedError as exc:
                raise LookupError("no such user") from exc
        except LookupError as exc:
            return pickle.dumps(wrapped(exc, exc.__traceback__))

    @traced
    def work() -> None:
        raise pickle.loads(there())

    logged = callbacks(recorder, RequestLogger(), redact=redact)
    with logged, pytest.raises(LookupError):
        work()
    logger.remove(number)

    (end,) = ends_of(recorder)
    for told in (end.data["traceback"], "".join(lines)):
        assert "enigma1940" not in told
        assert "LookupError: no such user" in told
        assert told.count(", in there") == 2
        assert told.count("[redacted]") == 1


class UnpickleableExceptionWrapper(Exception):  # noqa: N818 - as Celery names it
    """
    What Celery raises in the place of an error that cannot be pickled.
    """


def test_what_stands_in_for_a_workers_error() -> None:
    """
    Where anything redacts, what Celery has of a worker's error is not told: its text.
    """
    recorder, lines, text = Recorder(), list[str](), "RefusedError('enigma1940')"
    number = logger.add(lines.append, format="{message}")

    @traced
    def work() -> None:
        raise UnpickleableExceptionWrapper(text)

    logged = callbacks(recorder, RequestLogger(), redact=["password"])
    with logged, pytest.raises(UnpickleableExceptionWrapper):
        work()
    logger.remove(number)

    (end,) = ends_of(recorder)
    assert end.data["message"] == "\n[redacted]"
    assert "enigma1940" not in end.data["traceback"] + "".join(lines)


def test_lines_of_programs_are_masked_in_logs(tmp_path: Path) -> None:
    """
    A line in which something stands under a masked name is shown by a log as little as
    by a record.
    """
    path = tmp_path / "program.py"
    path.write_text(
        "def log_in(act):\n    act(user='ada', password='enigma1940')\n", "utf-8"
    )
    scope: dict[str, Any] = {}
    exec(compile(path.read_text("utf-8"), str(path), "exec"), scope)
    recorder, shown = Recorder(), dict[str, str]()

    def refuse(user: str, password: str) -> None:
        raise LookupError(user)

    for name, options in (
        ("masked", {"redact": ["password"]}),
        ("another", {"redact": ["key"]}),
        ("nothing", {"capture": False}),
    ):
        lines: list[str] = []
        number = logger.add(lines.append, format="{message}")
        logged = callbacks(recorder, RequestLogger(), **options)
        with logged, pytest.raises(LookupError):
            traced(scope["log_in"])(refuse)
        logger.remove(number)
        shown[name] = "".join(lines)

    assert "password='enigma1940'" in linecache.getline(str(path), 2)
    assert "password=[redacted]" in ends_of(recorder)[0].data["traceback"]
    assert "enigma1940" not in shown["masked"]
    assert "program.py, a line that may not be seen>" in shown["masked"]
    assert "raise LookupError(user)" in shown["masked"]
    assert "password='enigma1940'" in shown["another"]
    assert "password='enigma1940'" in shown["nothing"]


def test_no_message_where_no_payload_is_told() -> None:
    """
    Where no payload is told, it has the frames and says nothing of the message.
    """
    recorder = Recorder()

    @traced
    def answer() -> None:
        raise LookupError(*["said" + " there"])

    with callbacks(recorder, capture=False), pytest.raises(LookupError):
        answer()

    (end,) = ends_of(recorder)
    assert "in answer" in end.data["traceback"]
    assert "said there" not in end.to_json()


def test_one_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    One that cannot be written is left out: there may be no room, or no descriptor.
    """
    recorder = Recorder()

    @traced
    def answer() -> None:
        import traceback

        monkeypatch.setattr(traceback, "TracebackException", None)
        monkeypatch.setattr(traceback, "format_tb", None)
        current_run().outputs = 1
        raise LookupError

    with callbacks(recorder), pytest.raises(LookupError):
        answer()
    monkeypatch.undo()

    (end,) = ends_of(recorder)
    assert end.data["type"] == "LookupError"
    assert end.data["outputs"] == 1
    assert end.data.get("traceback") is None


def test_marks_are_not_told() -> None:
    """
    What the library has put on an exception is no attribute of it: it is not told, and
    not shown to a redactor.
    """
    recorder, seen = Recorder(), []

    class RefusedError(Exception):
        def __init__(self) -> None:
            super().__init__("no")
            self.password = "hunter2"

    @traced
    def refuse() -> None:
        raise RefusedError

    @traced
    def show(error: Exception) -> None: ...

    def look(value: Any, path: Any) -> Any:
        seen.append(path)
        return "" if value == "hunter2" else value

    with callbacks(recorder), pytest.raises(RefusedError) as info:
        refuse()
    with callbacks(recorder, redact=["password"]), callbacks(redact=look):
        show(info.value)

    assert "__instrument" not in recorder.events[-2].to_json()
    told = recorder.events[-2].data["inputs"]["error"]
    assert told["password"] == "[redacted]"
    assert not [path for path in seen if "__instrument" in str(path)]
