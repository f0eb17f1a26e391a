"""
What tests of the commands share: programs that are run, and stores of known requests.
"""

import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from instrument import Event, cli
from instrument.handlers._store.reader import Reader

Done = subprocess.CompletedProcess[str]
Shell = Callable[..., Done]
Program = Callable[..., Done]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """
    Run Python with some words, in an empty folder, with its own store.
    """
    environment = os.environ | {"INSTRUMENT_STORE": str(tmp_path / "own.db")}
    environment.pop("PYTHONSAFEPATH", None)  # programs have modules beside them

    def run(*words: str, env: dict[str, str] | None = None, **options: Any) -> Done:
        given: dict[str, Any] = {"capture_output": True, **options}
        return subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env=environment | (env or {}),
            text=True,
            timeout=60,
            check=False,
            **given,
        )

    return run


@pytest.fixture
def program(shell: Shell, tmp_path: Path) -> Program:
    """
    Run a program of some text, heard and kept in ``own.db``.
    """

    def run(text: str, *words: str, **options: Any) -> Done:
        (tmp_path / "app.py").write_text(text, "utf-8")
        return shell("-m", "instrument", "run", "app.py", *words, **options)

    return run


class Terminal:
    """
    A terminal to which processes may write.
    """

    def __init__(self) -> None:
        pty = pytest.importorskip("pty")
        self._ours, self.theirs = pty.openpty()
        self._read = bytearray()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def text(self) -> str:
        """
        Give all that was written, when nothing more comes.
        """
        os.close(self.theirs)
        self._thread.join()
        os.close(self._ours)
        return self._read.decode()

    def _work(self) -> None:
        with suppress(OSError):  # nobody has it open any longer
            while True:
                self._read += os.read(self._ours, 100_000)


@pytest.fixture
def terminal() -> Terminal:
    """
    Open a terminal.
    """
    return Terminal()


@pytest.fixture
def kept(tmp_path: Path) -> Callable[[], list[tuple[str, str, str | None]]]:
    """
    Give name, status and what was said of each request in ``own.db``.
    """

    def read() -> list[tuple[str, str, str | None]]:
        reader = Reader(tmp_path / "own.db")
        found = reader.requests()
        reader.close()
        return [(it["name"], it["status"], it.get("said")) for it in reversed(found)]

    return read


NOON_NS = 1_764_244_800_000_000_000
"""2025-11-27, 12:00 UTC: the same day nearly everywhere."""


class Told:
    """
    Records of requests, as a process would have told them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.hex: dict[str, str] = {}
        self._count = 0
        self._lines: list[str] = []

    def event(self, event: str, run: int, at_ms: float, **fields: Any) -> None:
        """
        Tell one event of a run.
        """
        self._count += 1
        root = fields.pop("root")
        made = Event(
            event,
            seq=self._count,
            time_ns=NOON_NS + int(at_ms * 1e6),
            trace_id=UUID(int=root),
            run_id=UUID(int=run),
            **fields,
        )
        with self.path.open("a", encoding="utf-8") as file:
            file.write(made.to_json() + "\n")

    def run(
        self, run: int, kind: str, name: str, begins: float, ends: float, **fields: Any
    ) -> None:
        """
        Tell a run whole, and within it what *inside* tells.

        Args:
            fields: ``root`` and ``parent``; ``given`` and ``came`` are its data.
        """
        root, parent = fields.get("root", run), fields.get("parent")
        said = ("tags", "metadata")
        described: dict[str, Any] = {it: fields[it] for it in said if it in fields}
        same: dict[str, Any] = {"root": root, "kind": kind, "name": name, **described}
        same["parent_run_id"] = None if parent is None else UUID(int=parent)
        word = {"agent": "chain"}.get(kind, kind)
        self.event(f"on_{word}_start", run, begins, data=fields["given"], **same)
        for at_ms, event, data in fields.get("meanwhile", ()):
            self.event(event, run, at_ms, data=data, **same)
        if "inside" in fields:
            fields["inside"]()
        if ends < 0:
            return
        came = {"status": "ok", "duration_s": (ends - begins) / 1e3, **fields["came"]}
        end = f"on_{'llm' if kind == 'chat_model' else word}"
        failed = came["status"] != "ok"
        self.event(
            f"{end}_{'error' if failed else 'end'}", run, ends, data=came, **same
        )


@pytest.fixture
def told(tmp_path: Path) -> Told:
    """
    Give a file of events to tell something to.
    """
    return Told(tmp_path / "events.jsonl")


class Stream(io.TextIOWrapper):
    """
    A stream in memory, which may say that it is a terminal.
    """

    def __init__(self, encoding: str, *, is_terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding, newline="\n")
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        """
        Say whether it is one.
        """
        return self.is_terminal


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """
    Run a command and give what it prints on a terminal of some width, or elsewhere.
    """

    def show(
        *words: object,
        width: int | None = None,
        encoding: str = "utf-8",
        code: int = 0,
        no_color: str = "1",
    ) -> str:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("NO_COLOR", no_color)
        monkeypatch.delenv("FORCE_COLOR", raising=False)
        monkeypatch.delenv("COLUMNS", raising=False)
        if width is not None:
            monkeypatch.setenv("COLUMNS", str(width))
        stream = Stream(encoding, is_terminal=width is not None)
        with redirect_stdout(stream):
            assert cli.main(list(map(str, words))) == code
        stream.flush()
        written: Any = stream.buffer
        return str(written.getvalue(), encoding)

    return show
