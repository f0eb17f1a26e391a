"""
What an open page is told while programs write: changed requests and runs, tokens, ends.
"""

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from instrument import callbacks, traced
from instrument.handlers import StoreHandler
from instrument.handlers._store import opened, reader
from instrument.viewer import following, live, viewer

pytestmark = pytest.mark.anyio


@pytest.fixture
def serve(serve_small: Any, serve_asgi: Any) -> Any:
    """
    Serve the page, and give the URL of its streams.
    """

    @contextlib.asynccontextmanager
    async def served(page: Any, *, by_uvicorn: bool = False) -> Any:
        async with (serve_asgi if by_uvicorn else serve_small)(page) as port:
            yield f"http://127.0.0.1:{port}/api/live"

    return served


@pytest.mark.parametrize("by_uvicorn", [False, True])
async def test_list(
    by_uvicorn: bool, store: Any, page: Any, serve: Any, watch: Any
) -> None:
    """
    A request appears when it starts, and again when it has ended; not those of before.
    """
    store.ask("Oslo")

    async with serve(page, by_uvicorn=by_uvicorn) as url, watch(url) as frames:
        assert frames.response.headers["content-type"].startswith("text/event-stream")
        stream = store.stream("a", "b")
        next(stream)
        started = await frames.until("requests")
        assert [*stream] == ["b"]
        ended = await frames.until("requests")
        while ended["requests"][0]["status"] == "running":
            ended = await frames.until("requests")

    (row,) = started["requests"]
    assert (row["name"], row["status"]) == ("model", "running")
    assert ended["requests"] == [store.requests()[0]]
    assert frames.id == str(ended["cursor"])


async def test_list_that_matches(
    store: Any, page: Any, serve: Any, watch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Only what matches the filter is told; what does not match any more, as it ended,
    once more.
    """
    monkeypatch.setattr(live, "_CHECK_S", 0.05)
    stream = store.stream("a", "b")
    next(stream)
    store.requests()

    async with serve(page) as url, watch(f"{url}?q=status:running") as frames:
        store.ask()
        assert [*stream] == ["b"]
        told = await frames.until("requests")
        while told["requests"][0]["status"] == "running":
            told = await frames.until("requests")

    assert [row["name"] for row in told["requests"]] == ["model"]
    assert told["requests"][0]["status"] == "ok"


async def test_list_resumes(store: Any, page: Any, serve: Any, watch: Any) -> None:
    """
    A client that comes back with the last id that it got misses nothing; what its URL
    says is older, and not heeded.
    """
    async with serve(page) as url:
        async with watch(url) as frames:
            store.ask("Oslo")
            while (await frames.until("requests"))["requests"][0]["status"] != "ok":
                pass
        store.ask("Bern")
        store.ask("Rome")
        resumed = {"last_event_id": frames.id}
        async with watch(f"{url}?after=0", **resumed) as again:
            told = await again.until("requests")
        async with watch(f"{url}?after=0") as anew:
            everything = await anew.until("requests")

    assert told["requests"] == store.requests()[:2]
    assert len(everything["requests"]) == 3


async def test_list_of_one_who_was_away_for_long(
    store: Any, page: Any, serve: Any, watch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Who would have to be told of very many is told to read the list anew.
    """
    monkeypatch.setattr(live, "_MOST_ROWS", 2)
    for _ in range(3):
        store.ask()

    async with serve(page) as url, watch(f"{url}?after=0") as frames:
        back = await frames.next()
        store.ask()
        row = (await frames.until("requests"))["requests"][0]

    assert back[0] == "back"
    assert row["key"] == 4


@pytest.mark.parametrize("by_uvicorn", [False, True])
async def test_request(
    by_uvicorn: bool, store: Any, page: Any, serve: Any, watch: Any
) -> None:
    """
    A request's tokens are told while it runs, each once and in order, its runs as they
    change, and its end; then the stream closes.
    """
    tokens = [f"token {number}" for number in range(8)]
    stream = store.stream(*tokens)
    told = [next(stream)]
    store.requests()
    heard, runs = [], []

    async with (
        serve(page, by_uvicorn=by_uvicorn) as url,
        watch(f"{url}/LAST") as frames,
    ):
        first = await frames.until("runs")
        told += [*stream]
        while True:
            event, data = await frames.next()
            if event == "end":
                break
            heard += [data["text"]] if event == "token" else []
            runs += [data] if event == "runs" else []
        after = await frames.next()

    assert [run["status"] for run in first["runs"]] == ["running"]
    assert first["request"]["status"] == "running"
    assert "".join(heard) == "".join(tokens[1:])
    assert runs[-1]["request"] == {**store.requests()[0], **runs[-1]["request"]}
    assert runs[-1]["runs"][0]["status"] == "ok"
    assert after == ("closed", {})


async def test_request_resumes(store: Any, page: Any, serve: Any, watch: Any) -> None:
    """
    A client that comes back hears no token twice and misses none, also where many came
    meanwhile.
    """
    tokens = [f"<{number}>" for number in range(30)]
    stream = store.stream(*tokens)
    next(stream)
    store.requests()
    heard = []

    async with serve(page) as url:
        async with watch(f"{url}/LAST") as frames:
            await frames.until("runs")
            next(stream)
            heard.append((await frames.until("token"))["text"])
        for _ in range(10):
            next(stream)
            store.requests()
        resumed = {"last_event_id": frames.id}
        async with watch(f"{url}/LAST", **resumed) as again:
            assert len([*stream]) == 18
            while (found := await again.next())[0] != "end":
                heard += [found[1]["text"]] if found[0] == "token" else []

    assert "".join(heard) == "".join(tokens[1:])


async def test_end_that_is_written_while_the_page_reads(
    store: Any, page: Any, serve: Any, watch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What is written between two questions of one look is told by the next: no end comes
    before the tokens that it ends.
    """
    stream = store.stream("a", "b", "c")
    next(stream)
    store.requests()
    ask = reader.Reader.request

    def asked(self: Any, trace_id: str) -> dict[str, Any]:
        if [*stream]:
            store.requests()
        return ask(self, trace_id)

    async with serve(page) as url, watch(f"{url}/LAST?after=0") as frames:
        monkeypatch.setattr(reader.Reader, "request", asked)
        told = [await frames.next() for _ in range(2)]
        while told[-1][0] != "end":
            told.append(await frames.next())

    heard = [data["text"] for event, data in told if event == "token"]
    assert "".join(heard) == "abc"
    assert [event for event, _ in told].count("runs") == 2


async def test_many_tokens_at_once(
    store: Any, page: Any, serve: Any, watch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    However much there is to tell, all of it is told, and then the end.
    """
    monkeypatch.setattr(live, "_MOST_EVENTS", 3)
    tokens = [f"<{number}>" for number in range(10)]
    stream = store.stream(*tokens)
    for _ in tokens:
        next(stream)
        store.requests()
    assert [*stream] == []
    store.requests()
    heard = []

    async with serve(page) as url, watch(f"{url}/LAST?after=1") as frames:
        while (found := await frames.next())[0] != "end":
            heard += [found[1]["text"]] if found[0] == "token" else []

    assert "".join(heard) == "".join(tokens)


async def test_tokens_of_one_run(store: Any, page: Any, serve: Any, watch: Any) -> None:
    """
    A page that shows one run gets the tokens of that alone.
    """
    with callbacks(store.handler), traced("both"):
        streams = [store.stream("a1", "a2"), store.stream("b1", "b2")]
        for stream in streams:
            next(stream)
        store.requests()
        async with serve(page) as url:
            async with watch(f"{url}/LAST") as frames:
                told = await frames.until("runs")
            shown = told["runs"][2]["run_id"]
            query = f"run={shown}&after={told['cursor']}"
            async with watch(f"{url}/LAST?{query}") as frames:
                for stream in streams:
                    next(stream)
                token = await frames.until("token")

    assert (token["run_id"], token["text"], token["channel"]) == (shown, "b2", "text")
    assert [list(stream) for stream in streams] == [[], []]


async def test_request_that_has_ended(
    store: Any, page: Any, serve: Any, watch: Any
) -> None:
    """
    The stream of an ended request tells its runs, that it has ended, and closes.
    """
    store.ask()

    async with serve(page) as url, watch(f"{url}/LAST") as frames:
        events = [await frames.next() for _ in range(3)]

    assert [event for event, _ in events] == ["runs", "end", "closed"]
    assert [run["name"] for run in events[0][1]["runs"]] == ["weather"]


async def test_run_that_outlives_its_root(
    store: Any, page: Any, serve: Any, watch: Any
) -> None:
    """
    A request whose root has ended goes on while something below still runs.
    """
    with callbacks(store.handler), traced("root"):
        stream = store.stream("a", "b")
        next(stream)
    store.requests()

    async with serve(page) as url, watch(f"{url}/LAST") as frames:
        first = await frames.until("runs")
        assert [*stream] == ["b"]
        token = await frames.until("token")
        end = await frames.next()
        while end[0] == "runs":
            end = await frames.next()

    assert [run["status"] for run in first["runs"]] == ["ok", "running"]
    assert token["text"] == "b"
    assert end[0] == "end"


_KILLED = """
import sys
from instrument import callbacks, traced
from instrument.handlers import StoreHandler
from instrument.handlers._store import reader
handler = StoreHandler(sys.argv[1])
with callbacks(handler), traced("root"), traced("work"):
    assert handler.drain(10)
    print(flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("path", ["", "/LAST"])
async def test_process_that_is_killed(
    path: str, store: Any, page: Any, serve: Any, watch: Any, monkeypatch: Any
) -> None:
    """
    What ran in a process that was killed is told to be lost, though nothing is written.
    """
    monkeypatch.setattr(live, "_CHECK_S", 0.05)
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    command = [sys.executable, "-c", _KILLED, str(store.path)]
    with subprocess.Popen(command, **pipes) as process:  # noqa: ASYNC220
        assert process.stdout is not None
        process.stdout.readline()

        async with serve(page) as url, watch(f"{url}{path}?after=0") as frames:
            first = await frames.next()
            process.kill()
            process.wait()
            last, after = await frames.next(), await frames.next() if path else None

    if path:
        assert [run["status"] for run in first[1]["runs"]] == ["running"] * 2
        assert [run["status"] for run in last[1]["runs"]] == ["lost"] * 2
        assert after is not None
        assert after[0] == "end"
    else:
        assert first[1]["requests"][0]["status"] == "running"
        assert last[1]["requests"][0]["status"] == "lost"


@pytest.mark.parametrize("path", ["", "/LAST"])
async def test_store_that_goes_and_comes_back(
    path: str, store: Any, page: Any, serve: Any, watch: Any
) -> None:
    """
    A page is told when the store has gone, once, and when it is back.
    """
    stream = store.stream("a", "b")
    next(stream)
    store.requests()
    away = store.path.parent / "away"
    away.mkdir()
    files = sorted(store.path.parent.glob("traces.db*"))  # the store itself first

    async with serve(page) as url, watch(f"{url}{path}?after=0") as frames:
        await frames.next()
        for file in files:
            file.rename(away / file.name)
        gone = await frames.until("gone")
        async with watch(f"{url}{path}") as other:
            told_other = await other.next()
        for file in reversed(files):
            (away / file.name).rename(file)
        back = await frames.next()
        assert [*stream] == ["b"]

    assert gone == {"error": f"{store.path}: no such file"}
    assert told_other == ("gone", gone)
    assert back[0] == "back"


async def test_another_store_in_its_place(
    store: Any, page: Any, serve: Any, watch: Any, tmp_path: Path
) -> None:
    """
    A file that has taken the place of the store is read instead; a request that is not
    in it has ended.
    """
    stream = store.stream("a", "b")
    next(stream)
    store.requests()
    other = StoreHandler(tmp_path / "other.db")
    with callbacks(other), traced("another"):
        pass
    assert other.drain(10)
    with contextlib.closing(sqlite3.connect(other.path)) as connection:
        connection.execute(f"VACUUM INTO '{tmp_path / 'new.db'}'")
    trace_id = store.requests()[0]["trace_id"]

    async with (
        serve(page) as url,
        watch(url) as list_,
        watch(f"{url}/{trace_id}") as request,
    ):
        await request.next()
        for name in ("traces.db-wal", "traces.db-shm"):
            (tmp_path / name).unlink(missing_ok=True)
        (tmp_path / "new.db").rename(store.path)
        told = [await list_.next() for _ in range(2)]
        of_request = [await request.next() for _ in range(3)]
    next(stream)

    assert [event for event, _ in told] == ["gone", "back"]
    assert [event for event, _ in of_request] == ["gone", "end", "closed"]
    assert "no request" in of_request[1][1]["error"]


async def test_store_that_is_restored(
    store: Any, page: Any, serve: Any, watch: Any, tmp_path: Path
) -> None:
    """
    A store that was put back to what it once was is read anew.
    """
    store.ask()
    with contextlib.closing(sqlite3.connect(tmp_path / "backup.db")) as backup:
        with contextlib.closing(sqlite3.connect(store.path)) as connection:
            connection.backup(backup)
        store.ask()

        async with serve(page) as url, watch(f"{url}?after=0") as frames:
            await frames.until("requests")
            with contextlib.closing(sqlite3.connect(store.path)) as connection:
                backup.backup(connection)
            told = [await frames.next() for _ in range(2)]

    assert [event for event, _ in told] == ["gone", "back"]


async def test_store_that_is_locked(
    store: Any, serve: Any, watch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    While another program keeps the store for itself it is gone, and then back.
    """
    monkeypatch.setattr(opened, "_BUSY_S", 0)
    store.ask()
    path = store.path.with_name("copy.db")
    with contextlib.closing(sqlite3.connect(store.path)) as connection:
        connection.execute(f"VACUUM INTO '{path}'")
    page = viewer(path)

    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        async with serve(page) as url, watch(f"{url}?after=0") as frames:
            gone = await frames.next()
            connection.rollback()
            back = await frames.next()
    page.close()

    assert (gone[0], back[0]) == ("gone", "back")
    assert "locked" in gone[1]["error"]


async def test_file_that_goes_while_it_is_read(store: Any, page: Any) -> None:
    """
    A file that goes between a look and the read is told to be gone, once.
    """
    store.ask()
    stream = live.LiveList(page._store, "", 0)
    await stream.open()
    store.path.rename(store.path.with_name("away.db"))
    watcher = page._store.watch()
    frames = []

    for cursor in (99, 100):
        seen = following.Seen(cursor, 0)
        frames += [frame async for frame in stream._told(seen, watcher)]

    assert len(frames) == 1
    assert frames[0].startswith(b"event: gone\n")


def test_loop_that_is_closed(store: Any, page: Any) -> None:
    """
    Who waited on a loop that was closed is forgotten, and the store not followed for
    nobody.
    """
    loop = asyncio.new_event_loop()
    loop.run_until_complete(page._store.watch().__aenter__())
    loop.close()
    polling = page._store._thread

    store.ask()
    polling.join(10)

    assert not polling.is_alive()
    assert page._store._watchers == []


async def test_cursor_of_another_store(
    store: Any, page: Any, serve: Any, watch: Any
) -> None:
    """
    A client whose cursor is ahead of the store's has seen another: it reads anew.
    """
    store.ask()

    async with serve(page) as url, watch(f"{url}?after=1000000") as frames:
        told = [await frames.next() for _ in range(2)]

    assert [event for event, _ in told] == ["gone", "back"]
    assert told[1][1]["cursor"] < 1_000_000


async def test_store_that_appears(tmp_path: Path, serve: Any, watch: Any) -> None:
    """
    The first request of the first program appears on a page that was there before.
    """
    page = viewer(tmp_path / "traces.db")

    async with serve(page) as url, watch(url) as frames:
        handler = StoreHandler(tmp_path / "traces.db")
        with callbacks(handler), traced("first"):
            pass
        told = await frames.next()
    page.close()

    assert [row["name"] for row in told[1]["requests"]] == ["first"]


async def test_no_thread_is_to_be_had(
    store: Any, page: Any, serve: Any, watch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Where no thread is to be had for a while, streams that come later are told.
    """
    start, refused = threading.Thread.start, threading.Event()

    def cannot(thread: threading.Thread) -> None:
        if "poll" in thread.name:
            refused.set()
            raise RuntimeError("can't start new thread")
        start(thread)

    async with serve(page) as url:
        with monkeypatch.context() as scarce:
            scarce.setattr(threading.Thread, "start", cannot)
            with contextlib.suppress(Exception):
                async with watch(url) as frames:
                    await frames.until("requests")
        assert refused.is_set()
        async with watch(url) as frames:
            store.ask("Oslo")
            await frames.until("requests")


@pytest.mark.parametrize("where", ["_asked", "_started_pool"])
async def test_look_that_fails(
    where: str,
    store: Any,
    page: Any,
    serve: Any,
    watch: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    Whatever stands in the way of a look at the store, streams go on when it does not.
    """
    failed = threading.Event()

    def fails(*_: object) -> Any:
        failed.set()
        raise RuntimeError("can't start new thread")

    async with serve(page) as url, watch(url) as frames:
        store.ask("Oslo")
        await frames.until("requests")
        with monkeypatch.context() as scarce:
            scarce.setattr(following.FollowedStore, where, fails)
            await asyncio.to_thread(failed.wait, 20)
            assert "can't start" in (await frames.until("gone"))["error"]
        store.ask("Rome")
        await frames.until("back")


async def test_silence(
    store: Any, page: Any, serve: Any, watch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Where nothing happens a comment is sent, so that nobody between closes the stream.
    """
    monkeypatch.setattr(live, "_SILENCE_S", 0)

    async with serve(page) as url, watch(url) as frames:
        assert await frames.next() == ("", {"comment": "still here"})


async def test_page_that_ends(store: Any, page: Any, serve: Any, watch: Any) -> None:
    """
    When the page is closed, its streams end.
    """
    stream = store.stream("a")
    next(stream)
    store.requests()

    async with serve(page) as url, watch(url) as list_, watch(f"{url}/LAST") as one:
        await one.next()
        page.close()
        assert await list_.next() == ("closed", {})
        assert await one.next() == ("closed", {})
    assert [*stream] == []


def behind_middleware(page: Any) -> Any:
    """
    Mount the page in an application that wraps what it receives and sends.
    """
    app = pytest.importorskip("fastapi").FastAPI()
    app.mount("/", page)

    @app.middleware("http")  # type: ignore[untyped-decorator]
    async def pass_on(request: Any, call: Any) -> Any:
        return await call(request)

    return app


@pytest.mark.wide
@pytest.mark.parametrize(
    "by_uvicorn, is_wrapped", [(False, False), (True, False), (True, True)]
)
async def test_nothing_is_left(
    by_uvicorn: bool, is_wrapped: bool, store: Any, page: Any, serve: Any, watch: Any
) -> None:
    """
    When its clients have left, the page keeps no thread, descriptor or task of theirs.
    """
    stream = store.stream("a", "b")
    next(stream)
    store.requests()
    process, all_here = psutil.Process(), threading.Barrier(4)

    def in_every_thread(reader: Any) -> None:
        reader.cursor()
        all_here.wait()

    def is_left() -> bool:
        names = [it.name for it in threading.enumerate()]
        now = names.count("instrument-viewer-poll"), process.num_fds()
        return (*now, len(asyncio.all_tasks())) > before

    app = behind_middleware(page) if is_wrapped else page
    async with serve(app, by_uvicorn=by_uvicorn) as url:
        await asyncio.gather(*[page._store.read(in_every_thread) for _ in range(4)])
        before = 0, process.num_fds(), len(asyncio.all_tasks())
        for _ in range(3):
            async with contextlib.AsyncExitStack() as stack:
                for path in ("", "/LAST") * 5:
                    opening = watch(f"{url}{path}?after=0")
                    frames = await stack.enter_async_context(opening)
                    await frames.next()
        while is_left():  # noqa: ASYNC110 - nobody tells when a socket has closed
            await asyncio.sleep(0)
    assert [*stream] == ["b"]


def test_what_is_not_there(tmp_path: Path) -> None:
    """
    A store is gone where nothing is at its path, and not where that cannot be asked.
    """
    there = tmp_path / "there"
    there.touch()

    assert not following._is_absent(there)
    assert following._is_absent(tmp_path / "gone")
    assert not following._is_absent(there / "below a file")
