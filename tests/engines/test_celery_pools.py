"""
Celery's other pools; a Redis and a caller that go; a web process that streams a task.
"""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from importlib import import_module
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest

from instrument import callbacks, traced
from instrument.handlers import SSEHandler, WebSocketHandler
from instrument.handlers._store.reader import Reader
from instrument.testing import Recorder

pytest.importorskip("celery")
pytest.importorskip("redis")
from celery import chain, group

if TYPE_CHECKING:
    from tests.engines import celery_jobs as jobs
    from tests.engines.celery_workers import FOLDER, reached_at, worker
    from tests.engines.conftest import Redis
    from tests.engines.waits import until
else:
    jobs = import_module("celery_jobs")
    workers = import_module("celery_workers")
    reached_at, worker, FOLDER = workers.reached_at, workers.worker, workers.FOLDER
    until = import_module("waits").until

pytestmark = [pytest.mark.wide, pytest.mark.anyio]
WAIT_S = 30
POOLS = [("--pool=threads", "-c", "8"), ("--pool=solo",)]


@pytest.fixture(
    scope="module", params=POOLS, ids=[it[0].rpartition("=")[2] for it in POOLS]
)
def pool(
    request: pytest.FixtureRequest,
    start_redis: "Callable[..., Redis]",
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """
    Run a worker of another pool, with a Redis of its own.
    """
    url, log = start_redis().url, tmp_path_factory.mktemp("worker") / "log"
    with worker(url, log, *request.param), reached_at(jobs.app, url):
        yield request.param[0]


def test_pool(pool: str) -> None:
    """
    Requests at once are heard each at its own handlers, whatever does the tasks; and what
    does the next task is in no scope of the one before.
    """
    recorders = [Recorder() for _ in range(8)]
    with ExitStack() as blocks:
        results = []
        for number, recorder in enumerate(recorders):
            with callbacks(recorder) as scope, traced("request"):
                results.append(jobs.counted.delay(f"job {number}"))
                if number == 0:
                    chain(jobs.add.s(1, 2), jobs.add.s(3)).apply_async().get(
                        timeout=WAIT_S
                    )
                results[-1].get(timeout=WAIT_S)
            assert scope is not None
        blocks.close()
    bare = group(jobs.plain.s() for _ in range(8)).apply_async().get(timeout=WAIT_S)

    for number, recorder in enumerate(recorders):
        told = [it.data for it in recorder.events if it.event == "on_custom_event"]
        assert told == [{"name": f"job {number}", "data": n} for n in range(20)]
    assert recorders[0].tree().count("tool add: ok") == 2
    assert bare == [["none", "dict"]] * 8


def test_tasks_at_once(pool: str) -> None:
    """
    Tasks that run at once in threads of one process are told apart.
    """
    names = [f"job {number}" for number in range(24)]
    recorder = Recorder()
    with callbacks(recorder), traced("request"):
        sent = group(jobs.counted.s(name) for name in names).apply_async()
        assert sent.get(timeout=WAIT_S) == names

    assert recorder.tree().count("tool count: ok") == len(names)
    for name in names:
        told = [
            it.data["data"]
            for it in recorder.events
            if it.event == "on_custom_event" and it.data["name"] == name
        ]
        assert told == list(range(20))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("options", [(), ("--appendonly", "yes")])
def test_redis_is_started_anew_while_a_task_runs(
    start_redis: "Callable[..., Redis]", tmp_path: Path, options: tuple[str, ...]
) -> None:
    """
    A task runs on while Redis is away, and nothing of what it tells is lost.
    """
    tokens: list[str] = []
    server = start_redis(*options)
    with (
        worker(server.url, tmp_path / "log", "-c", "1"),
        reached_at(jobs.app, server.url),
        callbacks(on_llm_new_token=tokens.append),
    ):
        jobs.answer.delay(200, 0.01)
        until(lambda: len(tokens) > 20)
        server.stop()
        sleep(0.3)
        server.start()
        until(lambda: len(tokens) == 200)

    assert tokens == [f"{number} " for number in range(200)]


@pytest.mark.timeout(120)
def test_what_finds_no_room_while_redis_is_away(
    start_redis: "Callable[..., Redis]", tmp_path: Path, reports: list[str]
) -> None:
    """
    Pieces of an answer that find no room meanwhile are dropped, the oldest first; how many
    is said. Starts and ends are heard.
    """
    server, recorder, count = start_redis(), Recorder(), 15_000
    gates = [tmp_path / name for name in ("begin", "told", "end")]
    with (
        worker(server.url, tmp_path / "log", "-c", "1"),
        reached_at(jobs.app, server.url),
        callbacks(recorder),
    ):
        jobs.flood.delay(count, [str(gate) for gate in gates])
        until(lambda: len(recorder.events) == 2)
        server.stop()
        gates[0].touch()
        until(gates[1].exists)
        server.start()
        gates[2].touch()
        until(lambda: "flood: ok" in recorder.tree())

    tokens = [it.data["token"] for it in recorder.events if "token" in it.data]
    (lost,) = re.findall(r"([\d,]+) events of worker process \d+ were lost", reports[0])
    assert int(lost.replace(",", "")) == count + 1 - len(tokens)
    assert tokens[-1] == str(count - 1)


CALLER = """
import sys, time
import celery_jobs as jobs
from instrument import callbacks
from instrument.testing import Recorder

with callbacks(Recorder(), on_llm_new_token=lambda token: print(token, flush=True)):
    result = jobs.gated.delay(sys.argv[1])
    {then}
"""


@pytest.mark.timeout(120)
def test_caller_that_is_killed(
    start_redis: "Callable[..., Redis]", tmp_path: Path
) -> None:
    """
    A task goes on, and is done, when its caller has been killed, or has left.
    """
    server, gate = start_redis(), tmp_path / "gate"
    paths = os.pathsep.join([str(FOLDER), os.environ.get("PYTHONPATH", "")])
    known = {**os.environ, "PYTHONPATH": paths, "TEST_REDIS_URL": server.url}
    code = CALLER.format(then="print(result.id, flush=True); time.sleep(60)")
    with worker(server.url, tmp_path / "log", "-c", "1"):
        with subprocess.Popen(
            [sys.executable, "-c", code, str(gate)],
            env=known,
            stdout=subprocess.PIPE,
            text=True,
        ) as caller:
            assert caller.stdout is not None
            said = {caller.stdout.readline().strip() for _ in range(2)}
            caller.send_signal(signal.SIGKILL)
        (id,) = [it for it in said if not it.isdigit()]
        gate.touch()
        with reached_at(jobs.app, server.url):
            assert jobs.app.AsyncResult(id).get(timeout=WAIT_S) == "heard"

    assert "Not all of a call was told" in (tmp_path / "log").read_text()


def test_nothing_is_left(start_redis: "Callable[..., Redis]", tmp_path: Path) -> None:
    """
    A caller that leaves has no thread and no inbox any more; workers that have left have
    none either.
    """
    import redis

    from instrument.integrations.celery._streams import STREAMS

    server = start_redis()
    client = redis.Redis.from_url(server.url)
    with (
        worker(server.url, tmp_path / "log", "-c", "2"),
        reached_at(jobs.app, server.url),
        callbacks(Recorder()),
    ):
        group(jobs.add.s(1, 2) for _ in range(20)).apply_async().get(timeout=WAIT_S)
        assert len(client.keys("instrument:*")) >= 2
    STREAMS.stop()

    until(lambda: all(it.endswith(b":left") for it in client.keys("instrument:*")))
    until(
        lambda: not [it for it in threading.enumerate() if "celery" in it.name.lower()]
    )


async def test_web_process_streams_a_task(
    pool: str, serve_asgi: Any, tmp_path: Path
) -> None:
    """
    A page hears the tokens of a task over its WebSocket, or as events of its response,
    while the task runs: that waits until its token has come to the page.
    """
    pytest.importorskip("starlette")
    httpx = pytest.importorskip("httpx")
    from starlette.applications import Starlette
    from starlette.responses import StreamingResponse
    from starlette.routing import Route, WebSocketRoute
    from websockets.asyncio.client import connect

    gates = [tmp_path / "page", tmp_path / "sse"]

    async def socket(websocket: Any) -> None:
        await websocket.accept()
        async with callbacks(WebSocketHandler(websocket)):
            result = jobs.gated.delay(str(gates[0]))
            assert await anyio.to_thread.run_sync(result.get, WAIT_S) == "heard"
        await websocket.close()

    async def events(request: Any) -> Any:
        stream = SSEHandler(protocol="native")

        async def answer() -> None:
            async with callbacks(stream):
                result = jobs.gated.delay(str(gates[1]))
                assert await anyio.to_thread.run_sync(result.get, WAIT_S) == "heard"

        tasks.start_soon(answer)
        return StreamingResponse(stream, headers=stream.headers)

    app = Starlette(
        routes=[WebSocketRoute("/ws", socket), Route("/sse", events, methods=["GET"])]
    )
    heard: list[str] = []
    async with anyio.create_task_group() as tasks, serve_asgi(app) as port:
        async with connect(f"ws://127.0.0.1:{port}/ws", proxy=None) as page:
            async for frame in page:
                heard.append(str(frame))
                if "on_llm_new_token" in str(frame):
                    gates[0].touch()
        async with (
            httpx.AsyncClient() as client,
            client.stream("GET", f"http://127.0.0.1:{port}/sse") as response,
        ):
            async for line in response.aiter_lines():
                heard.append(line)
                if "on_llm_new_token" in line:
                    gates[1].touch()

    assert sum("on_tool_end" in it for it in heard) == 2


def test_process_that_ends_behind_a_task_writes_it_to_its_store(
    start_redis: "Callable[..., Redis]", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Celery ends such a process at once, without the interpreter's exit.
    """
    kept = import_module("celery_kept")
    url, store = start_redis().url, tmp_path / "traces.db"
    monkeypatch.setenv("TEST_STORE", str(store))
    options = ["-c", "1", "--max-tasks-per-child", "1"]
    with (
        worker(url, tmp_path / "log", *options, module="celery_kept"),
        reached_at(kept.app, url),
    ):
        for number in range(3):
            assert kept.counted.delay(number).get(timeout=WAIT_S) == number

    with closing(Reader(store)) as reader:
        found = reader.requests()
    assert [(it["name"], it["status"]) for it in found] == 3 * [("count", "ok")]
