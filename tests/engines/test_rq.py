"""
What RQ's workers do comes home by `bind`: RQ pickles what it is given, and so how that
is bound.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from operator import call
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from instrument import bind, callbacks, traced
from instrument.exceptions import RemoteError
from instrument.testing import Recorder

redis = pytest.importorskip("redis")
rq = pytest.importorskip("rq")

if TYPE_CHECKING:
    from tests.engines import rq_jobs
else:
    rq_jobs = import_module("rq_jobs")

WORKERS = ["rq.SimpleWorker", "rq.Worker", "rq.worker.SpawnWorker"]
pytestmark = pytest.mark.wide


@pytest.fixture
def queue(redis_url: str) -> Iterator[Any]:
    """
    Give an empty queue.
    """
    with redis.Redis.from_url(redis_url) as connection:
        connection.flushall()
        yield rq.Queue(connection=connection)


@pytest.fixture
def work(redis_url: str) -> Callable[..., None]:
    """
    Give a function that has a worker do what is queued, and waits for it.
    """
    folder = str(Path(rq_jobs.__file__).parent)
    known = [folder, *filter(None, [os.environ.get("PYTHONPATH")])]
    told = {**os.environ, "PYTHONPATH": os.pathsep.join(known)}
    python = [sys.executable, "-m", "rq.cli", "worker", "--url", redis_url, "--burst"]

    def work(worker: str = "rq.Worker") -> None:
        command = [*python, "--worker-class", worker]
        done = subprocess.run(
            command, env=told, capture_output=True, text=True, check=False, timeout=50
        )
        assert done.returncode == 0, done.stderr

    return work


@pytest.mark.parametrize("worker", WORKERS)
def test_heard_while_it_runs(
    worker: str, queue: Any, work: Callable[..., None], tmp_path: Path
) -> None:
    """
    A job's runs are heard while it goes on, below the run that queued it: it ends only
    when its first piece has been heard here.
    """
    recorder, file = Recorder(), tmp_path / "go on"

    def hear(token: str) -> None:
        file.touch()

    with callbacks(recorder, on_llm_new_token=hear), traced("request") as request:
        job = queue.enqueue(bind(rq_jobs.answer), str(file))
        work(worker)

    (run,) = recorder.children(request)
    (begun,) = [it for it in recorder.events if it.event == "on_custom_event"]
    tokens = [it.data["token"] for it in recorder.events if "token" in it.data]
    assert job.return_value() == "done"
    assert recorder.tree() == "chain request: ok\n  llm said_until: ok"
    assert (run.parent_id, run.trace_id) == (request.id, request.trace_id)
    assert (begun.run_id, tokens) == (request.id, ["first", "last"])
    assert begun.data["data"] != os.getpid()


@pytest.mark.parametrize("worker", WORKERS)
def test_failing_job(worker: str, queue: Any, work: Callable[..., None]) -> None:
    """
    A job that fails has failed for RQ, and its runs end with what it raised.
    """
    recorder = Recorder()

    with callbacks(recorder), traced("request"):
        job = queue.enqueue(bind(rq_jobs.fails), "luck")
        work(worker)

    errors = [run.error for run in recorder.runs[1:]]
    assert job.get_status() == "failed"
    assert "no luck" in job.latest_result().exc_string
    assert [type(error) for error in errors] == [ValueError] * 2
    assert errors[0] is errors[1]
    assert [run.error_origin for run in recorder.runs] == [False, False, True]


@pytest.mark.parametrize(
    "name, error", [("fails_once", "OSError"), ("killed_once", "WorkerLost")]
)
def test_retried_by_rq(
    name: str, error: str, queue: Any, work: Callable[..., None], tmp_path: Path
) -> None:
    """
    Each attempt is a run of its own below the request; one whose process is killed ends
    as an error too.
    """
    recorder, file = Recorder(), tmp_path / "tried"

    with callbacks(recorder), traced("request"):
        job = queue.enqueue(
            bind(getattr(rq_jobs, name)), str(file), retry=rq.Retry(max=2)
        )
        work()

    assert job.return_value() == "done"
    assert recorder.tree().splitlines() == [
        "chain request: ok",
        f"  chain {name}: error {error}",
        f"  chain {name}: ok",
    ]


def test_stopped_by_rq(queue: Any, work: Callable[..., None]) -> None:
    """
    A job that takes too long for RQ ends as an error, of RQ's own.
    """
    recorder = Recorder()

    with callbacks(recorder), traced("request"):
        queue.enqueue(bind(rq_jobs.never_ends), job_timeout=1)
        work()

    (run,) = recorder.find("never_ends")
    assert isinstance(run.error, RemoteError)
    assert run.error.type == "JobTimeoutException"


@pytest.mark.parametrize(
    "function", [rq_jobs.Chain().run, rq_jobs.later], ids=["method", "async function"]
)
def test_forms(function: Any, queue: Any, work: Callable[..., None]) -> None:
    """
    What RQ would take for something else is handed over as an argument.
    """
    recorder = Recorder()

    with callbacks(recorder), traced("request") as request:
        job = queue.enqueue(call, bind(function), 7)
        work("rq.SimpleWorker")

    (run,) = recorder.children(request)
    assert job.return_value() == 7
    assert (run.name, run.status) == (function.__qualname__, "ok")


def test_requests_at_once(queue: Any, work: Callable[..., None]) -> None:
    """
    30 requests at once, done by two workers, are told whole and in order, each to its
    own handlers.
    """
    recorders = [Recorder() for _ in range(30)]
    queued, chain, has_worked = Event(), rq_jobs.Chain(), Event()
    left = [*recorders]

    def request(number: int) -> None:
        with callbacks(recorders[number]), traced("request"):
            queue.enqueue(call, bind(chain.run), number)
            left.pop()
            if not left:
                queued.set()
            has_worked.wait()

    with ThreadPoolExecutor(32) as threads:
        requests = [threads.submit(request, number) for number in range(30)]
        queued.wait()
        for worker in [threads.submit(work, "rq.SimpleWorker") for _ in range(2)]:
            worker.result()
        has_worked.set()
        for each in requests:
            each.result()

    for number, recorder in enumerate(recorders):
        told = [it.data["data"] for it in recorder.events if "data" in it.data]
        assert recorder.tree() == "chain request: ok\n  chain Chain.run: ok"
        assert told == [[number, at] for at in range(48)]


def test_block_that_has_been_left(queue: Any, work: Callable[..., None]) -> None:
    """
    A job that begins when the block has been left, and nothing keeps what was bound
    there, is done and not heard.
    """
    heard: list[str] = []

    with callbacks(lambda event: heard.append(event.name)), traced("request"):
        id = queue.enqueue(call, bind(rq_jobs.later), 7).id
    work("rq.SimpleWorker")

    assert queue.fetch_job(id).return_value() == 7
    assert heard == ["request", "request"]
