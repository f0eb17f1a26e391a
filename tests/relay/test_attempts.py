"""
What an engine does once more is told as that: the attempt before is over, and the run that
sent the job hears of a retry.
"""

import asyncio
import json
from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from instrument import callbacks, traced
from instrument._relay import arrivals, attempts, relay
from instrument._relay.carriers import carrier_of
from instrument._relay.sockets import SOCKETS, Sockets
from instrument._state import get_state
from instrument.propagation import attach, carrier
from instrument.testing import Recorder

if TYPE_CHECKING:
    from tests.relay import jobs
    from tests.relay.test_arrivals import Worker, end_of, record, until
else:
    jobs = import_module("jobs")
    hand = import_module("test_arrivals")
    Worker, end_of, record, until = hand.Worker, hand.end_of, hand.record, hand.until


@pytest.fixture
def recorder() -> Recorder:
    """
    Give what hears the request.
    """
    return Recorder()


@pytest.fixture
def carried(recorder: Recorder) -> Iterator[dict[str, Any]]:
    """
    Give the carrier of a request, whose calls are over when it is.
    """
    with callbacks(recorder), traced("request"):
        yield carrier()
    until(lambda: not arrivals._calls)


class Attempt(Worker):
    """
    A worker that has begun a job, and a run in it.
    """

    def __init__(
        self, carried: dict[str, Any], name: str, job: object = "job 1"
    ) -> None:
        super().__init__(carried)
        assert self.begin(job=job)["ok"] is True
        started = record(name=name, parent_run_id=carried["run"])
        self.run_id = started["event"]["run_id"]
        self.tell(started)

    def succeed(self) -> None:
        """
        End the run, and the job.
        """
        self.tell(end_of(self.run_id))
        self.leave()

    def fail(self, message: str) -> None:
        """
        End the run with an error, and the job.
        """
        failed = {"type": "ValueError", "message": message, "status": "error"}
        data = {"usage": {}, "duration_s": 1.0, "origin": True, **failed}
        told = record("on_chain_error", run_id=self.run_id, data=data)
        error = {"type": "ValueError", "own": True, "message": message}
        self.tell({**told, "more": {"error": error}})
        self.leave()

    def leave(self) -> None:
        """
        End the job.
        """
        assert self.ask({"end": self.sent}) == {}
        self.line.close()


def retries(recorder: Recorder) -> list[Any]:
    """
    Give the retries that were told: which run, which attempt, and what it ended with.
    """
    return [
        (it.name, it.data["attempt"], it.data.get("type"), it.data.get("message"))
        for it in recorder.events
        if it.event == "on_retry"
    ]


def test_job_that_fails_and_is_done_again(
    carried: dict[str, Any], recorder: Recorder
) -> None:
    """
    Each attempt has its own runs; the run that sent the job hears why there is another.
    """
    first = Attempt(carried, "first")
    first.fail("no luck")
    second = Attempt(carried, "second")
    second.succeed()

    assert retries(recorder) == [("request", 1, "ValueError", "no luck")]
    assert recorder.tree().splitlines()[1:] == [
        "  chain first: error ValueError",
        "  chain second: ok",
    ]


def test_job_whose_worker_is_not_heard_any_more(
    carried: dict[str, Any], recorder: Recorder
) -> None:
    """
    What an attempt has left open ends when the next begins; nothing it tells later counts.
    """
    first = Attempt(carried, "first")
    second = Attempt(carried, "second")
    first.tell(end_of(first.run_id), record(name="late"))
    second.succeed()
    first.leave()

    ((name, attempt, type_, message),) = retries(recorder)
    assert (name, attempt, type_) == ("request", 1, "WorkerLost")
    assert "is done once more" in message
    assert recorder.tree().splitlines()[1:] == [
        "  chain first: error WorkerLost",
        "  chain second: ok",
    ]


def test_late_end_of_an_attempt_that_gave_way(
    carried: dict[str, Any], recorder: Recorder
) -> None:
    """
    It says nothing of the job: what the next retry tells of is the attempt before that.
    """
    first = Attempt(carried, "first")
    Attempt(carried, "second").succeed()
    first.leave()
    until(lambda: not arrivals._calls)
    Attempt(carried, "third").succeed()

    assert [it[1:3] for it in retries(recorder)] == [(1, "WorkerLost"), (2, None)]


def test_third_attempt(carried: dict[str, Any], recorder: Recorder) -> None:
    """
    Attempts are counted; one that was well, and is delivered once more, is one too.
    """
    for number in range(3):
        worker = Attempt(carried, f"attempt {number}")
        worker.succeed()

    assert retries(recorder) == [
        ("request", 1, None, None),
        ("request", 2, None, None),
    ]


@pytest.mark.parametrize("job", [None, 7, ["x"]])
def test_work_that_is_no_job(
    carried: dict[str, Any], recorder: Recorder, job: object
) -> None:
    """
    Of a pool's work each call is for itself.
    """
    for _ in range(2):
        worker = Attempt(carried, "call", job)
        worker.succeed()

    assert retries(recorder) == []


def test_jobs_are_told_apart(carried: dict[str, Any], recorder: Recorder) -> None:
    """
    Two jobs of one request go on beside each other.
    """
    one, other = Attempt(carried, "one", "a"), Attempt(carried, "other", "b")
    for worker in (one, other):
        worker.succeed()

    assert retries(recorder) == []
    assert recorder.tree().count(": ok") == 2


def test_sender_that_is_over(recorder: Recorder) -> None:
    """
    A run that has ended hears of no retry; the attempts are heard all the same.
    """
    with callbacks(recorder):
        with traced("request"):
            carried = carrier()
            carried["id"] = carrier_of(get_state())["id"]
        for name in ("first", "second"):
            worker = Attempt(carried, name)
            worker.line.close()
            until(lambda: not arrivals._calls)

    assert retries(recorder) == []
    assert recorder.tree().count("error") == 2


def test_few_jobs_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Of very many jobs of one sender the oldest are forgotten.
    """
    monkeypatch.setattr(attempts, "MOST_JOBS", 2)
    with callbacks(Recorder()) as scope:
        first = attempts.job_of(scope, "a")
        assert attempts.job_of(scope, "a") is first
        for name in "bc":
            attempts.job_of(scope, name)
        assert attempts.job_of(scope, "a") is not first


def test_what_a_job_sends_on_goes_home_past_it(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Work that a job sends on over its engine comes home to who sent the first: the job may
    be over by then. By another way, or where a block in the job hears it, it comes
    through the job.
    """
    engine = Sockets()
    address = engine.address

    def named() -> dict[str, Any]:
        return {**address(), "kind": "engine"}

    monkeypatch.setattr(engine, "address", named)
    monkeypatch.setitem(relay.TRANSPORTS, "engine", engine)

    with callbacks(recorder), traced("request"):
        sent = json.loads(json.dumps(carrier_of(get_state(), transport=engine)))
        with attach(sent), traced("job") as job:
            sent_on = carrier_of(get_state(), transport=engine)
            through = carrier_of(get_state())
            with callbacks(Recorder()):
                heard = carrier_of(get_state(), transport=engine)
    engine.stop()

    assert sent["return"]["kind"] == "engine"
    assert (sent_on["id"], sent_on["return"]) == (sent["id"], sent["return"])
    assert sent_on["run"] == str(job.id)
    assert heard["id"] != sent["id"]
    assert through["return"]["kind"] == "socket"
    assert through["return"] == SOCKETS.address()
    assert recorder.tree() == "chain request: ok\n  chain job: ok"


@pytest.mark.parametrize("way", ["flush", "aflush"])
def test_interrupted_at_its_end(
    carried: dict[str, Any], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Where an interrupt comes as the last is to be told, the line is closed: the other side
    waits for no end.
    """
    reached = relay.reached(carried)
    assert reached is not None

    def interrupt() -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(reached._box, "finish", interrupt)
    with pytest.raises(KeyboardInterrupt):
        if way == "flush":
            reached.flush()
        else:
            asyncio.run(reached.aflush())

    assert not reached._close.alive
