"""
A store is kept within the bounds that it was given.
"""

import sqlite3
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from instrument import callbacks, traced
from instrument.handlers import StoreHandler
from instrument.handlers._store.pruning import Bounds, prune
from instrument.handlers._store.reader import Reader

WRITER: Any = import_module("instrument.handlers._store.writer")
PRUNING: Any = import_module("instrument.handlers._store.pruning")
TABLES: Any = import_module("instrument.handlers._store.tables")


@traced.tool
def echo(value: Any) -> Any:
    """
    Give back what it is given.
    """
    return value


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Look for what is too much behind each batch.
    """
    monkeypatch.setattr(WRITER, "_PRUNED_S", 0.0)
    monkeypatch.setattr(WRITER, "_PRUNING_S", 5.0)


def grow_old(path: Path, days: float, where: str) -> None:
    """
    Have requests of before be some days older.
    """
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute(
            f"UPDATE traces SET started_ns = started_ns - ? WHERE {where}",
            (int(days * 86_400e9),),
        )
    connection.close()


def test_old_requests_go(store: Any) -> None:
    """
    With ``keep_days``, older requests are deleted whole, but for those that run.
    """
    handler = StoreHandler(store.path, keep_days=2)

    @traced
    def slow() -> None:
        assert handler.drain(20)
        grow_old(store.path, 3, "name IN ('slow', 'answer')")
        echo("new")
        assert handler.drain(20)

    store.ask("old words")
    with callbacks(handler):
        slow()
        assert [it["name"] for it in store.reader.requests()] == ["slow"]
        assert store.reader.requests("words") == []
        assert store.reader.about()["runs"] == 2
        grow_old(store.path, 3, "name = 'slow'")
        echo("newest")

    assert handler.drain(20)
    assert [it["said"] for it in store.reader.requests()] == ["newest"]
    with sqlite3.connect(store.path) as connection:
        for table in ("texts", "events"):
            (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
            assert count <= 2
    connection.close()


def test_large_store_shrinks(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    With ``keep_bytes``, the oldest requests go while the store is larger, and the file
    becomes smaller.
    """
    monkeypatch.setattr(PRUNING, "_AT_ONCE", 20)
    with callbacks(store.handler):
        for number in range(1_000):
            echo(f"{number} " * 300)
    before = store.reader.about()
    handler = StoreHandler(store.path, keep_bytes=500_000)

    with callbacks(handler):
        echo("last")

    assert handler.drain(20)
    left = store.reader.requests(limit=2_000)
    assert left[0]["said"] == "last"
    assert 0 < len(left) < 1_000
    assert [it["key"] for it in left] == sorted([it["key"] for it in left])[::-1]
    assert int(left[-1]["said"].split()[0]) == 1_001 - len(left)
    store.close()
    store.handler._writer._close()  # the last who has it open makes it small
    assert store.path.stat().st_size <= 600_000 < before["bytes"]


def test_least_of_all_bounds_holds(store: Any) -> None:
    """
    Of what several handlers of one store say, the least holds.
    """
    StoreHandler(store.path, keep_days=7, keep_bytes=10**9)
    StoreHandler(store.path, keep_days=2)

    bounds = store.handler._writer.bounds
    assert (bounds.keep_days, bounds.keep_bytes) == (2, 10**9)


def test_deleting_takes_no_long_time(store: Any) -> None:
    """
    What is not deleted within its time is left for another.
    """
    for _ in range(3):
        store.ask()
    bounds = Bounds()
    bounds.tighten(None, 1)
    ledger = store.handler._writer._opened()

    assert not prune(ledger.connection, bounds, time.monotonic() - 1)
    assert prune(ledger.connection, bounds, time.monotonic() + 60)
    assert store.reader.requests() == []


def test_deleting_without_index_of_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Where SQLite is built without FTS5, old requests are deleted likewise.
    """
    monkeypatch.setattr(TABLES, "_TEXTS", "CREATE VIRTUAL TABLE texts USING fts99 (x)")
    handler = StoreHandler(tmp_path / "traces.db")
    with callbacks(handler):
        echo("old")
    assert handler.drain(20)
    grow_old(handler.path, 3, "1")
    StoreHandler(handler.path, keep_days=2)

    with callbacks(handler):
        echo("new")

    assert handler.drain(20)
    reader = Reader(handler.path)
    assert [it["said"] for it in reader.requests()] == ["new"]
    reader.close()


def test_deleting_that_fails(store: Any) -> None:
    """
    Deleting that fails leaves all as it was.
    """
    store.ask()
    bounds = Bounds()
    bounds.tighten(None, 1)
    connection = store.handler._writer._opened().connection
    connection.execute(
        "CREATE TRIGGER no BEFORE DELETE ON traces BEGIN SELECT raise(ABORT, 'no'); END"
    )

    with pytest.raises(sqlite3.IntegrityError, match="no"):
        prune(connection, bounds, time.monotonic() + 60)

    assert store.reader.about()["events"] == 7
