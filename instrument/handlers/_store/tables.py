"""
The tables and views of a store, and how a connection to one is opened.

What stands here is told to people in the guide ``examples/store``: they read it with
their own tools. A change raises `VERSION` and adds to `_MIGRATIONS`.
"""

import json
import sqlite3
import zlib
from contextlib import closing, suppress
from time import monotonic, sleep

from instrument.exceptions import StoreError
from instrument.handlers._store.forking import check_own
from instrument.handlers._store.place import APPLICATION_ID, head_of, prepare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

VERSION = 1
BUSY_S = 30.0
"""How long to wait for another process: it writes for some milliseconds."""

RUNS = (
    *("id", "run_id", "parent_run_id", "trace", "process", "kind", "name", "status"),
    *("started_ns", "duration_ms", "first_token_ms", "model", "provider"),
    *("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "cost_usd"),
    *("error_type", "error_message", "is_origin", "retries", "marks", "hint", "finish"),
    *("said", "answered", "tags", "metadata", "is_priced"),
)
TRACES = (
    *("id", "trace_id", "trace_hex", "root", "run_id", "process", "kind", "name"),
    *("status", "started_ns", "duration_ms", "first_token_ms", "said", "answered"),
    *("error_type", "error_message", "error_name", "error_run_id", "user", "tags"),
    *("names", "models", "runs", "errors", "retries", "model_calls", "unpriced"),
    *("input_tokens", "output_tokens", "cost_usd", "changed"),
)
EVENTS = ("id", "run", "event", "time_ns", "seq", "data", "described")

_SCHEMA = (
    """
    CREATE TABLE processes (
        id INTEGER PRIMARY KEY AUTOINCREMENT, pid INTEGER NOT NULL, host TEXT NOT NULL,
        created REAL, argv0 TEXT, program TEXT,
        started_ns INTEGER NOT NULL, seen_ns INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE traces (
        id INTEGER PRIMARY KEY AUTOINCREMENT, trace_id TEXT NOT NULL UNIQUE,
        trace_hex TEXT NOT NULL, root INTEGER, run_id TEXT, process INTEGER,
        kind TEXT, name TEXT, status TEXT NOT NULL DEFAULT 'running',
        started_ns INTEGER NOT NULL, duration_ms REAL, first_token_ms REAL,
        said TEXT, answered TEXT,
        error_type TEXT, error_message TEXT, error_name TEXT, error_run_id TEXT,
        user TEXT, tags TEXT, names TEXT NOT NULL DEFAULT '[]',
        models TEXT NOT NULL DEFAULT '[]',
        runs INTEGER NOT NULL DEFAULT 0, errors INTEGER NOT NULL DEFAULT 0,
        retries INTEGER NOT NULL DEFAULT 0, model_calls INTEGER NOT NULL DEFAULT 0,
        unpriced INTEGER NOT NULL DEFAULT 0,
        input_tokens INTEGER, output_tokens INTEGER, cost_usd REAL,
        changed INTEGER NOT NULL DEFAULT 0
    )
    """,
    """
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL UNIQUE,
        parent_run_id TEXT, trace INTEGER NOT NULL, process INTEGER,
        kind TEXT NOT NULL, name TEXT NOT NULL, status TEXT NOT NULL,
        started_ns INTEGER NOT NULL, duration_ms REAL, first_token_ms REAL,
        model TEXT, provider TEXT, input_tokens INTEGER, cached_tokens INTEGER,
        output_tokens INTEGER, reasoning_tokens INTEGER, cost_usd REAL,
        error_type TEXT, error_message TEXT, is_origin INTEGER,
        retries INTEGER, marks TEXT, hint TEXT, finish TEXT,
        said TEXT, answered TEXT, tags TEXT, metadata TEXT, is_priced INTEGER
    )
    """,
    """
    CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL,
        event TEXT NOT NULL, time_ns INTEGER NOT NULL, seq INTEGER NOT NULL,
        data, described TEXT
    )
    """,
    "CREATE INDEX traces_hex ON traces (trace_hex)",
    "CREATE INDEX traces_changed ON traces (changed)",
    "CREATE INDEX traces_running ON traces (process) WHERE status = 'running'",
    "CREATE INDEX runs_trace ON runs (trace)",
    "CREATE INDEX runs_running ON runs (process) WHERE status = 'running'",
    "CREATE INDEX events_run ON events (run)",
    """
    CREATE VIEW requests AS
    SELECT trace_hex AS request, name, kind, status,
           datetime(started_ns / 1000000000, 'unixepoch') AS started_utc,
           round(duration_ms / 1000, 3) AS duration_s,
           round(first_token_ms / 1000, 3) AS first_token_s,
           said, answered, error_type, error_message, error_name, user, tags, names,
           models, runs, errors, retries, model_calls, input_tokens, output_tokens,
           cost_usd, unpriced AS unpriced_calls, trace_id
    FROM traces ORDER BY id DESC
    """,
    """
    CREATE VIEW models AS
    SELECT model, provider, kind, count(*) AS calls,
           sum(status = 'error') AS errors, sum(input_tokens) AS input_tokens,
           sum(cached_tokens) AS cached_tokens, sum(output_tokens) AS output_tokens,
           sum(reasoning_tokens) AS reasoning_tokens, sum(cost_usd) AS cost_usd,
           sum(is_priced = 0) AS unpriced_calls,
           round(avg(duration_ms) / 1000, 3) AS mean_duration_s,
           round(avg(first_token_ms) / 1000, 3) AS mean_first_token_s
    FROM runs WHERE kind IN ('llm', 'chat_model', 'embedding')
    GROUP BY model, provider, kind ORDER BY calls DESC
    """,
    """
    CREATE VIEW errors AS
    SELECT traces.trace_hex AS request, traces.name AS request_name, runs.kind,
           runs.name, runs.error_type, runs.error_message,
           datetime(runs.started_ns / 1000000000, 'unixepoch') AS started_utc,
           traces.status = 'error' AS failed_the_request, runs.run_id
    FROM runs JOIN traces ON traces.id = runs.trace
    WHERE runs.is_origin = 1 ORDER BY runs.id DESC
    """,
)
_TEXTS = "CREATE VIRTUAL TABLE texts USING fts5 (text)"
"""Its rowid is the id of the event that says it."""

_MIGRATIONS: "dict[int, tuple[str, ...]]" = {}
"""What is done to a store of that version, to make it one of the next."""


def writing(path: "Path") -> sqlite3.Connection:
    """
    Open the store at *path* to write, and make it if there is none.

    Raises:
        StoreError: If it is none, one of a newer version, or not this process's to open.
        OSError, sqlite3.Error: If it cannot be opened or written.
    """
    check_own(path)
    prepare(path)
    made = sqlite3.connect(
        path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
    )
    try:
        check_version(made, path, is_new_fine=True)
        made.execute("PRAGMA synchronous = NORMAL")
        _begin_wal(made)
        _set_up(made, path)
        made.execute("PRAGMA wal_autocheckpoint = 2000")
        made.execute("PRAGMA journal_size_limit = 16000000")
    except BaseException:
        made.close()
        raise
    made.create_function("payload", 1, payload, deterministic=True)
    return made


def check_file(path: "Path") -> None:
    """
    Look whether what is at *path* can be a store, without waiting for who writes it.

    Raises:
        StoreError: If it cannot.
    """
    try:
        head = head_of(path)
    except sqlite3.DatabaseError:
        raise StoreError(_no_store(path)) from None
    if head is None:  # there is none, or it may not be read: who writes will see
        return
    application, version = head
    if application not in (0, APPLICATION_ID):
        raise StoreError(_no_store(path))
    if application and version > VERSION:
        raise StoreError(_too_new(path, version))


def check_tables(path: "Path") -> None:
    """
    Look whether what is at *path* is a store, or one in the making.

    Raises:
        StoreError: If it is none.
    """
    with suppress(sqlite3.OperationalError):  # there is none, or who writes will see
        uri = f"{path.as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            check_version(connection, path, is_new_fine=True)


def check_version(
    connection: sqlite3.Connection, path: "Path", *, is_new_fine: bool = False
) -> int:
    """
    Give the version of the store; 0 for an empty file.

    Raises:
        StoreError: If the file is no store, or of a version that this release does not
            know.
    """
    try:
        application, version, count = connection.execute(
            "SELECT application_id, user_version, tables FROM"  # at one state of it
            " (SELECT count(*) AS tables FROM sqlite_master),"
            " pragma_application_id, pragma_user_version"
        ).fetchone()
    except sqlite3.DatabaseError as exc:
        if not isinstance(exc, sqlite3.OperationalError):
            raise StoreError(_no_store(path)) from None
        raise
    if not (application or version or count) and is_new_fine:
        return 0
    if application != APPLICATION_ID:
        raise StoreError(_no_store(path))
    if version > VERSION:
        raise StoreError(_too_new(path, version))
    return int(version)


def is_older(version: int) -> bool:
    """
    Tell whether a store of that version is to be made one of this.
    """
    return version < VERSION


def payload(data: "str | bytes | None") -> str | None:
    """
    Give the JSON of an event's ``data``, which is compressed where it is long.

    In a store's own connections it is an SQL function, too.
    """
    return zlib.decompress(data).decode("ascii") if type(data) is bytes else data  # type: ignore[return-value]


def loaded(text: str) -> "Any":
    """
    Read the JSON of a column.

    Raises:
        JSONDecodeError: If it is none; also for a number of more digits than Python reads.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError as exc:
        raise json.JSONDecodeError(str(exc), text, 0) from exc


def has_texts(connection: sqlite3.Connection) -> bool:
    """
    Tell whether the store has an index of texts, and this SQLite can read it.
    """
    try:
        connection.execute("SELECT 1 FROM texts LIMIT 1").fetchone()
    except sqlite3.OperationalError:
        return False
    return True


def _no_store(path: "Path") -> str:
    return (
        f"{str(path)!r} is no store. One is made where there is no file yet, by"
        " StoreHandler(FILE) or `python -m instrument run --store FILE app.py`. A file"
        " of events is named FILE.jsonl."
    )


def _too_new(path: "Path", version: int) -> str:
    return (
        f"the store {str(path)!r} has version {version}, and this release knows"
        f" {VERSION}. Read it with the release that wrote it, or a newer one."
    )


def _begin_wal(connection: sqlite3.Connection) -> None:
    """
    Have readers and writers not wait for each other; two that make it at once may.
    """
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before there is any table
    until = monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as exc:
            if "locked" not in str(exc) or monotonic() > until:
                raise
            sleep(0.005)
        else:
            return


def _set_up(connection: sqlite3.Connection, path: "Path") -> None:
    if check_version(connection, path, is_new_fine=True) == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = check_version(connection, path, is_new_fine=True)
        statements = _SCHEMA if version == 0 else ()
        while 0 < version < VERSION:
            statements = (*statements, *_MIGRATIONS[version])
            version += 1
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        if statements is _SCHEMA:
            with suppress(sqlite3.OperationalError):  # built without FTS5
                connection.execute(_TEXTS)
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise
