"""
`Recorder`, `predictable`, and the pytest fixture ``recorder``.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from instrument import callbacks, emit, traced
from instrument.testing import Recorder, predictable


@traced.tool("search")
def search(*, fail: bool = False) -> None:
    """
    Be a leaf.
    """
    if fail:
        raise KeyError("x")


@traced("answer")
def answer(*, fail: bool = False) -> None:
    """
    Call twice.
    """
    search()
    emit("told")
    search(fail=fail)


def test_recorder() -> None:
    """
    A recorder keeps events and runs, and finds them by name, kind and parent.
    """
    recorder = Recorder()

    with callbacks(recorder):
        answer()
        answer()

    first, second = recorder.roots
    assert len(recorder.events) == 14
    assert len(recorder.runs) == 6
    assert recorder.find("answer") == [first, second]
    assert recorder.find(kind="tool") == recorder.find("search")
    assert recorder.find("search", "chain") == []
    assert recorder.find() == recorder.runs
    assert [run.name for run in recorder.children(first)] == ["search", "search"]
    assert recorder.children(recorder.find("search")[0]) == []


def test_tree() -> None:
    """
    The tree is text: kind, name and status, indented; failures name their exception.
    """
    recorder = Recorder()

    @traced("stream")
    def stream() -> Any:
        yield 1

    with callbacks(recorder):
        answer()
        with pytest.raises(KeyError):
            answer(fail=True)
        left = stream()
        next(left)
        left.close()
        with traced("open"):
            tree = recorder.tree()

    assert tree == (
        "chain answer: ok\n"
        "  tool search: ok\n"
        "  tool search: ok\n"
        "chain answer: error KeyError\n"
        "  tool search: ok\n"
        "  tool search: error KeyError\n"
        "chain stream: abandoned\n"
        "chain open: running"
    )


def test_tree_of_hostile_names() -> None:
    """
    A name cannot drive the terminal on which the tree is printed, nor fake a line of it.
    """
    heard = Recorder()
    with callbacks(heard), traced("a\x1b[31m\nchain b: ok\ud800", kind="tool"):
        pass

    assert heard.tree() == "tool a\\x1b[31m\\nchain b: ok\\ud800: ok"


def test_tree_of_many_runs() -> None:
    """
    The tree looks through the runs a few times, however many there are.
    """

    class Counting(list[Any]):
        looks = 0

        def __iter__(self) -> Iterator[Any]:
            Counting.looks += 1
            return super().__iter__()

    recorder = Recorder()
    recorder.runs = Counting()
    with callbacks(recorder):
        for _ in range(100):
            answer()

    tree = recorder.tree()

    assert len(tree.splitlines()) == len(recorder.runs)
    assert 0 < Counting.looks < 10


def test_deep_tree() -> None:
    """
    A tree may be deeper than Python's stack.
    """
    recorder = Recorder()

    def nested(depth: int) -> None:
        if depth:
            with traced("level"):
                nested(depth - 1)

    with callbacks(recorder):
        nested(200)

    assert recorder.tree().count("\n") == 199


def test_clear() -> None:
    """
    A recorder that was cleared has heard nothing.
    """
    recorder = Recorder()

    with callbacks(recorder):
        answer()
    recorder.clear()

    assert (recorder.events, recorder.runs, recorder.tree()) == ([], [], "")


def test_inner_recorder_has_roots() -> None:
    """
    To a recorder that did not hear the parent, its child is a root.
    """
    recorder = Recorder()

    with callbacks(Recorder()), traced("outer"), callbacks(recorder):
        search()

    assert recorder.tree() == "tool search: ok"


def test_predictable() -> None:
    """
    Ids count from one, and each look at a clock takes a millisecond.
    """
    recorder = Recorder()

    with predictable(), callbacks(recorder):
        answer()

    assert [run.id for run in recorder.runs] == [
        UUID(f"00000000-0000-7000-8000-{number:012d}") for number in (1, 2, 3)
    ]
    assert recorder.runs[0].started_at == 1_767_225_600_000_000_000
    assert recorder.runs[0].id.version == 7


def test_predictable_twice() -> None:
    """
    The same code writes the same events each time.
    """

    def written() -> list[str]:
        recorder = Recorder()
        with predictable(), callbacks(recorder):
            answer()
        return [event.to_json() for event in recorder.events]

    assert written() == written()


def test_predictable_ends() -> None:
    """
    Afterwards ids and clocks are real again, also after an exception.
    """
    with pytest.raises(KeyError), predictable():
        raise KeyError
    recorder = Recorder()
    with callbacks(recorder):
        search()

    assert recorder.runs[0].id.int >> 80 > 1_700_000_000_000
    assert recorder.runs[0].id.int & 0xFFFF != 1


SUITE = """
import asyncio
import threading

import anyio
import pytest

from instrument import callbacks, traced

@traced
def work(): pass

@traced
async def awork(): await anyio.lowlevel.checkpoint()

def test_sync(recorder):
    work()
    assert recorder.tree() == "chain work: ok"

def test_thread(recorder):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert recorder.tree() == "chain work: ok"

def test_empty(recorder):
    assert recorder.events == []

def test_without():
    work()

@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request): return request.param

@pytest.fixture
async def service(recorder):
    await awork()
    yield recorder
    await awork()

@pytest.mark.anyio
async def test_async(recorder):
    await awork()
    assert recorder.tree() == "chain awork: ok"

@pytest.mark.anyio
async def test_async_fixture(service, recorder):
    await awork()
    assert service is recorder
    assert recorder.tree() == "chain awork: ok\\nchain awork: ok"

@pytest.fixture(scope="module")
async def shared():
    await awork()
    return "shared"

@pytest.fixture(scope="module", params=["asyncio"])
def anyio_backend_name_of_module(request): return request.param

def test_block(recorder):
    with callbacks(tags=["t"]):
        work()
    assert recorder.runs[0].tags == ("t",)
"""


def test_fixture(tmp_path: Path) -> None:
    """
    The fixture ``recorder`` comes with the package and hears sync and async tests.
    """
    (tmp_path / "test_suite.py").write_text(SUITE)

    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--strict-markers",
            ".",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert "9 passed" in done.stdout


def test_fixture_is_described() -> None:
    """
    ``pytest --fixtures`` says what the fixture is for.
    """
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--fixtures",
            "-q",
            "-p",
            "no:cacheprovider",
            __file__,
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "A `Recorder` that hears everything the test does" in done.stdout
