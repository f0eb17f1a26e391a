"""
`FileCallbackHandler` where something is in its way: nothing that is whole is lost.
"""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from instrument import Event, callbacks, emit
from instrument.handlers import FileCallbackHandler
from instrument.handlers._file import lines


def told(path: Path) -> list[Any]:
    """
    Give what was emitted into a file of events.
    """
    events = [Event.from_json(line) for line in path.read_text("ascii").splitlines()]
    return [event.data["data"] for event in events]


def systems(monkeypatch: pytest.MonkeyPatch, **calls: Callable[..., Any]) -> None:
    """
    Have the file handler's calls of the system be others.
    """
    monkeypatch.setattr(lines, "os", SimpleNamespace(**{**vars(os), **calls}))


def test_file_that_cannot_be_put_aside_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reports: list[str]
) -> None:
    """
    A full file that cannot be put aside, as another's in a sticky folder, grows on; each
    attempt costs none of those that were put aside before.
    """
    path = tmp_path / "events.jsonl"

    def replace(source: str, target: str) -> None:
        if source == str(path):
            raise PermissionError(1, "Operation not permitted", source)
        os.replace(source, target)  # noqa: PTH105

    with (
        FileCallbackHandler(path, max_bytes=10, keep=3) as handler,
        callbacks(handler),
    ):
        for number in range(3):
            emit("n", number)
        systems(monkeypatch, replace=replace)
        for number in range(3, 8):
            emit("n", number)
        monkeypatch.undo()
        emit("n", 8)

    files = [path.with_name(f"events.jsonl{end}") for end in (".3", ".2", ".1", "")]
    assert [told(file) for file in files] == [[0], [1], [2, 3, 4, 5, 6, 7], [8]]
    assert handler.lost == 0
    assert "Operation not permitted" in reports[0]


def test_killed_while_a_file_is_put_aside(tmp_path: Path) -> None:
    """
    Where who moved the files up was killed in the midst of it, the next one loses none.
    """
    path = tmp_path / "events.jsonl"
    for number in (2, 3):  # 1 has become 2 just now
        path.with_name(f"events.jsonl.{number}").write_text(f"{number}\n")
    path.write_text("full\n")

    with FileCallbackHandler(path, max_bytes=5, keep=3) as handler, callbacks(handler):
        emit("n", 1)

    found = {file.name[-1]: file.read_text() for file in tmp_path.iterdir()}
    assert (found["1"], found["2"], found["3"]) == ("full\n", "2\n", "3\n")
    assert told(path) == [1]


def test_folder_that_may_not_be_looked_into_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reports: list[str]
) -> None:
    """
    Where a process gives up the right to its folder, as a service that was begun by root,
    the file that is open is written to; that none can be put aside is reported once.
    """
    path = tmp_path / "events.jsonl"

    def refused(*args: object) -> Any:
        raise PermissionError(13, "Permission denied")

    with FileCallbackHandler(path, max_bytes=300) as handler, callbacks(handler):
        systems(monkeypatch, stat=refused, open=refused, replace=refused)
        for number in range(5):
            emit("n", number)

    assert told(path) == [0, 1, 2, 3, 4]
    assert handler.lost == 0
    assert sum("Permission denied" in it for it in reports) == 1


@pytest.mark.usefixtures("reports")
@pytest.mark.parametrize("where", ["write", "to_json"])
def test_no_memory_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """
    A record for which there is no memory is counted as lost, whatever took it.
    """
    path = tmp_path / "events.jsonl"

    def fails(*args: object) -> Any:
        raise MemoryError

    with FileCallbackHandler(path) as handler, callbacks(handler):
        if where == "write":
            systems(monkeypatch, write=fails)
        else:
            monkeypatch.setattr(Event, "to_json", fails)
        emit("n", 1)
        monkeypatch.undo()
        emit("n", 2)

    assert told(path) == [2]
    assert handler.lost == 1


@pytest.mark.skipif(lines.fcntl is None, reason="no locks on files")
@pytest.mark.usefixtures("reports")
def test_full_disk_behind_which_another_has_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What a writer takes back of its own, when the disk is full, is no line of one that
    waited for it no longer.
    """
    path, room = tmp_path / "events.jsonl", [300]

    def write(file: int, line: bytes) -> int:
        if room:
            return os.write(file, line[: room.pop()])
        with path.open("ab") as other:
            other.write(b"\nwhole\n")
        raise OSError(28, "No space left on device")

    with FileCallbackHandler(path) as handler, callbacks(handler):
        systems(monkeypatch, write=write)
        emit("n", "x" * 600)
        monkeypatch.undo()
        emit("n", 2)

    torn, whole, last = path.read_text().splitlines()
    assert len(torn) == 300
    assert whole == "whole"
    assert Event.from_json(last).data["data"] == 2
    assert handler.lost == 1
