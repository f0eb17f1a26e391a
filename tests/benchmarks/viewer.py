"""
How long one waits for the page: from the command to its first byte and to the first list,
served by uvicorn and by the small server; and for a request of 100,000 runs.

``python tests/benchmarks/viewer.py`` prints a Markdown table, the bars beside.
"""

import contextlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from time import perf_counter
from urllib.parse import urlsplit

import psutil

if not __package__:  # run as a script
    sys.path.append(str(Path(__file__).parents[2]))

from instrument import callbacks, traced
from instrument.handlers import StoreHandler

READY_S = 1.0
OPEN_S = 3.0
_RUNS = 100_000
_TIMES = 5
_HIDDEN = "raise ImportError('hidden')"


class View:
    """
    A page that was started, and when what of it was there.
    """

    def __init__(self, path: Path, *, has_uvicorn: bool) -> None:
        hidden = path.parent / "hidden"
        hidden.mkdir(exist_ok=True)
        (hidden / "uvicorn.py").write_text(_HIDDEN)
        folders = [str(Path(__file__).parents[2]), *([] if has_uvicorn else [hidden])]
        paths = os.pathsep.join(map(str, reversed(folders)))
        command = [sys.executable, "-m", "instrument", "view", str(path), "--port", "0"]
        self._began = perf_counter()
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": paths},
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()
        link = urlsplit(self._process.stdout.readline().strip())
        self._client = HTTPConnection(str(link.hostname), link.port, timeout=120)
        self._headers: dict[str, str] = {}
        self._get(f"/?{link.query}")

    def page_s(self) -> float:
        """
        Get the page, and tell how long after the command that is.
        """
        assert b"<script" in self._get("/")
        return perf_counter() - self._began

    def list_s(self) -> float:
        """
        Get the list, and tell how long after the command that is.
        """
        assert b'"requests":[{' in self._get("/api/requests")
        return perf_counter() - self._began

    def cpu_s(self) -> float:
        """
        Tell how much of a processor it has used until now.
        """
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)

    def open_s(self) -> float:
        """
        Get all of the newest request, and tell how long that takes.
        """
        began = perf_counter()
        assert self._get("/api/request/LAST").count(b'"seq":') == _RUNS
        return perf_counter() - began

    def close(self) -> None:
        """
        End it.
        """
        self._client.close()
        self._process.terminate()
        self._process.communicate()

    def _get(self, path: str) -> bytes:
        self._client.request("GET", path, headers=self._headers)
        response = self._client.getresponse()
        cookie = response.getheader("set-cookie")
        if cookie:
            self._headers["cookie"] = cookie.partition(";")[0]
        return response.read()


@contextlib.contextmanager
def store(runs: int) -> Iterator[Path]:
    """
    Give a store with one request of so many runs.
    """

    @traced
    def all_of_it() -> None:
        for _ in range(runs - 1):
            with traced("step", kind="tool", inputs="What is this step for?") as run:
                run.outputs = "for nothing"

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "traces.db"
        handler = StoreHandler(path)
        with callbacks(handler):
            all_of_it()
        assert handler.drain(120)
        yield path


def ready_s(*, has_uvicorn: bool) -> tuple[float, float, float]:
    """
    Tell how long after the command the page is there, and its list; and how much of a
    processor that took.
    """
    times = []
    with store(20) as path:
        for _ in range(_TIMES + 1):
            with contextlib.closing(View(path, has_uvicorn=has_uvicorn)) as view:
                times.append((view.page_s(), view.list_s(), view.cpu_s()))
    pages, lists, cpus = zip(*times[1:], strict=True)  # the first also compiles
    return median(pages), median(lists), median(cpus)


def open_s() -> float:
    """
    Tell how long a request of 100,000 runs takes to be there.
    """
    with (
        store(_RUNS) as path,
        contextlib.closing(View(path, has_uvicorn=False)) as view,
    ):
        return median(view.open_s() for _ in range(3))


def main() -> None:
    """
    Print the table.
    """
    print(f"Python {platform.python_version()}, by the clock, median of {_TIMES}.\n")
    print("| what | s | CPU s | bar, s |")
    print("|---|---:|---:|---:|")
    for has_uvicorn in (True, False):
        server = "uvicorn" if has_uvicorn else "the small server"
        page, first, cpu = ready_s(has_uvicorn=has_uvicorn)
        print(f"| command to page, {server} | {page:.2f} | | {READY_S:.0f} |")
        print(
            f"| command to list, {server} | {first:.2f} | {cpu:.2f} | {READY_S:.0f} |"
        )
    print(f"| a request of {_RUNS:,} runs | {open_s():.2f} | | {OPEN_S:.0f} |")


if __name__ == "__main__":
    main()
