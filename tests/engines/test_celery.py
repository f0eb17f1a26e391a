"""
What a Celery task does in a worker reaches the handlers of the request that sent it.
"""

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from instrument import callbacks, traced
from instrument._relay import arrivals
from instrument.handlers import BudgetHandler, MonitorHandler, UsageHandler
from instrument.testing import Recorder

pytest.importorskip("celery")
pytest.importorskip("redis")
from celery import chain, chord, group
from celery.exceptions import WorkerLostError

if TYPE_CHECKING:
    from tests.engines import celery_jobs as jobs
    from tests.engines.celery_workers import reached_at, worker
    from tests.engines.waits import until
else:
    jobs = import_module("celery_jobs")
    workers = import_module("celery_workers")
    reached_at, worker = workers.reached_at, workers.worker
    until = import_module("waits").until

pytestmark = pytest.mark.wide
WAIT_S = 30


@pytest.fixture(scope="module", autouse=True)
def prefork(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """
    Run a worker of two processes, and give its log.
    """
    log = tmp_path_factory.mktemp("worker") / "log"
    with worker(redis_url, log, "-c", "2"), reached_at(jobs.app, redis_url):
        yield log


def retries(recorder: Recorder) -> list[Any]:
    """
    Give the retries that were told: which run, which attempt, and what it ended with.
    """
    return [
        (it.name, it.data["attempt"], it.data.get("type"))
        for it in recorder.events
        if it.event == "on_retry"
    ]


def test_tokens_are_heard_while_the_task_runs(tmp_path: Path) -> None:
    """
    The task waits until its token was heard here: so that was before its end.
    """
    gate, recorder = tmp_path / "gate", Recorder()
    with (
        callbacks(recorder, on_llm_new_token=lambda token: gate.touch()),
        traced("request"),
    ):
        assert jobs.gated.delay(str(gate)).get(timeout=WAIT_S) == "heard"

    assert recorder.tree() == ("chain request: ok\n  tool gated: ok\n    llm inner: ok")
    ids = {event.name: event.run_id for event in recorder.events}
    parents = {event.name: event.parent_run_id for event in recorder.events}
    assert parents["gated"] == ids["request"]
    assert parents["inner"] == ids["gated"]
    assert len({event.trace_id for event in recorder.events}) == 1


def test_many_requests_at_once() -> None:
    """
    50 requests of tasks in two processes arrive complete and in order, each at its own
    handlers, before its block is left.
    """

    def request(number: int) -> Recorder:
        recorder = Recorder()
        with callbacks(recorder), traced("request"):
            jobs.counted.delay(f"job {number}").get(timeout=WAIT_S)
        return recorder

    with ThreadPoolExecutor(50) as threads:
        recorders = list(threads.map(request, range(50)))

    for number, recorder in enumerate(recorders):
        told = [it.data for it in recorder.events if it.event == "on_custom_event"]
        assert told == [{"name": f"job {number}", "data": n} for n in range(20)]
        assert recorder.tree() == "chain request: ok\n  tool count: ok"


def test_burst() -> None:
    """
    5,000 pieces, as fast as can be, are all heard, in order.
    """
    tokens: list[str] = []
    with callbacks(on_llm_new_token=tokens.append):
        jobs.burst.delay(5_000).get(timeout=WAIT_S)

    assert tokens == [f"{number} " for number in range(5_000)]


def test_worker_that_is_killed(tmp_path: Path) -> None:
    """
    What is open in a process that is killed ends as an error: its worker is lost.
    """
    recorder = Recorder()
    with callbacks(
        recorder, on_llm_new_token=lambda token: os.kill(int(token), signal.SIGKILL)
    ):
        result = jobs.gated.delay(str(tmp_path / "never"))
        with pytest.raises(WorkerLostError):
            result.get(timeout=WAIT_S)

    assert recorder.tree() == (
        "tool gated: error WorkerLost\n  llm inner: error WorkerLost"
    )


@pytest.mark.parametrize(
    "how, error", [("SIGTERM", "SystemExit"), ("SIGKILL", "WorkerLost")]
)
def test_task_that_is_terminated(tmp_path: Path, how: str, error: str) -> None:
    """
    A task that is revoked while it runs ends as its process did.
    """
    recorder, begun = Recorder(), tmp_path / "begun"
    with callbacks(recorder, on_llm_new_token=lambda token: begun.touch()):
        result = jobs.gated.delay(str(tmp_path / "never"))
        until(begun.exists)
        result.revoke(terminate=True, signal=how)

    assert recorder.tree() == f"tool gated: error {error}\n  llm inner: error {error}"


def test_worker_that_is_lost_and_task_done_again(tmp_path: Path) -> None:
    """
    A task that is delivered again when its worker was lost is a retry of the run that
    sent it; each attempt has its own runs.
    """
    gate, recorder = tmp_path / "gate", Recorder()
    with (
        callbacks(recorder, on_llm_new_token=lambda token: gate.touch()),
        traced("request"),
    ):
        assert jobs.late.delay(str(gate)).get(timeout=WAIT_S) == "second"

    assert retries(recorder) == [("request", 1, "WorkerLost")]
    assert recorder.tree() == (
        "chain request: ok\n"
        "  tool late: error WorkerLost\n"
        "    llm inner: error WorkerLost\n"
        "  tool late: ok"
    )


def test_task_that_retries_itself() -> None:
    """
    Each attempt of a task is below who sent it first, who hears of each retry.
    """
    recorder = Recorder()
    with callbacks(recorder), traced("request"):
        assert jobs.retried.delay(2).get(timeout=WAIT_S) == 2

    assert retries(recorder) == [("request", 1, "Retry"), ("request", 2, "Retry")]
    assert recorder.tree() == (
        "chain request: ok\n"
        "  tool retried: error Retry\n"
        "  tool retried: error Retry\n"
        "  tool retried: ok"
    )


def test_task_that_is_retried_by_its_options() -> None:
    """
    With ``autoretry_for`` the runs end with what the task raised.
    """
    recorder = Recorder()
    with (
        callbacks(recorder),
        traced("request"),
        pytest.raises(KeyError),
    ):
        jobs.autoretried.delay().get(timeout=WAIT_S)

    assert retries(recorder) == [("request", 1, "KeyError"), ("request", 2, "KeyError")]
    assert recorder.tree().count("tool autoretried: error KeyError") == 3


def test_task_that_sends_tasks() -> None:
    """
    What a task sends from its body is below it, and comes home also when that is over.
    """
    recorder = Recorder()
    with callbacks(recorder), traced("request"):
        jobs.nested.delay(3).get(timeout=WAIT_S)
        until(lambda: recorder.tree().count("tool nested: ok") == 4)

    starts = [it for it in recorder.events if it.event == "on_tool_start"]
    parents = [it.parent_run_id for it in starts]
    request = recorder.events[0].run_id
    assert parents == [request, *[it.run_id for it in starts[:-1]]]


def test_task_that_is_replaced() -> None:
    """
    The task that stands in is another job, below the one that asked for it.
    """
    recorder = Recorder()
    with callbacks(recorder), traced("request"):
        assert jobs.replaced.delay().get(timeout=WAIT_S) == 42

    assert retries(recorder) == []
    starts = {it.name: it for it in recorder.events if it.event == "on_tool_start"}
    assert starts["add"].parent_run_id == starts["replaced"].run_id
    assert "tool replaced: error Ignore" in recorder.tree()


def test_message_that_is_delivered_twice() -> None:
    """
    The same task done twice is two attempts, both of which are heard.
    """
    recorder = Recorder()
    with callbacks(recorder), traced("request"):
        for _ in range(2):
            jobs.add.apply_async((1, 2), task_id="twice").get(timeout=WAIT_S)
        until(lambda: recorder.tree().count("tool add: ok") == 2)

    assert retries(recorder) == [("request", 1, None)]


WORKFLOWS = {
    "chain": lambda: chain(jobs.add.s(1, 2), jobs.add.s(3), jobs.add.s(4)),
    "group": lambda: group(jobs.add.s(number, 1) for number in range(4)),
    "chord": lambda: chord([jobs.add.s(1, 2), jobs.add.s(3, 4)], jobs.total.s()),
    "links": lambda: jobs.add.s(1, 2).on_error(jobs.add.s()) | group(jobs.add.s(5)),
    "map": lambda: jobs.add.starmap([(1, 2), (3, 4)]),
}


@pytest.mark.parametrize(
    "name, names",
    [
        ("chain", ["add", "add", "add"]),
        ("group", ["add"] * 4),
        ("chord", ["add", "add", "total"]),
        ("links", ["add", "add"]),
        ("map", ["add", "add"]),
    ],
)
def test_workflows(name: str, names: list[str]) -> None:
    """
    All tasks of a chain, a group or a chord are below the run that sent it.
    """
    recorder = Recorder()
    with callbacks(recorder), traced("request") as run:
        WORKFLOWS[name]().apply_async().get(timeout=WAIT_S)

    starts = [it for it in recorder.events if it.event == "on_tool_start"]
    assert [it.name for it in starts] == names
    assert {it.parent_run_id for it in starts} == {run.id}
    assert recorder.tree().count(": ok") == len(names) + 1


def test_task_that_fails() -> None:
    """
    A run ends with what the task raised, and the callers get what Celery gives them.
    """
    recorder = Recorder()
    with callbacks(recorder), pytest.raises(ValueError, match="no luck"):
        jobs.fails.delay().get(timeout=WAIT_S)

    (error,) = [it.data for it in recorder.events if it.event == "on_tool_error"]
    assert (error["type"], error["message"]) == ("ValueError", "no luck")


@pytest.mark.parametrize("name", ["ignored", "rejected"])
def test_task_without_a_result(name: str) -> None:
    """
    A task that is ignored or rejected ends its runs as errors.
    """
    recorder = Recorder()
    with callbacks(recorder):
        getattr(jobs, name).delay()
        until(lambda: "error" in recorder.tree())

    error = {"ignored": "Ignore", "rejected": "Reject"}[name]
    assert recorder.tree() == f"tool {name}: error {error}"


def test_time_limit() -> None:
    """
    A soft time limit ends what is open as an error; a task that catches it goes on. The
    next tasks of these processes are heard as ever, and by nobody else.
    """
    recorder = Recorder()
    with callbacks(recorder):
        with pytest.raises(Exception, match="SoftTimeLimitExceeded"):
            jobs.slow.delay().get(timeout=WAIT_S)
        assert jobs.stubborn.delay().get(timeout=WAIT_S) == "late"
    told = recorder.tree()

    after = Recorder()
    with callbacks(after):
        for _ in range(4):
            jobs.add.delay(1, 2).get(timeout=WAIT_S)
    bare = group(jobs.plain.s() for _ in range(4)).apply_async().get(timeout=WAIT_S)

    assert told == (
        "tool slow: error SoftTimeLimitExceeded\n"
        "  chain inner: error SoftTimeLimitExceeded\n"
        "tool stubborn: ok"
    )
    assert after.tree() == "\n".join(["tool add: ok"] * 4)
    assert bare == [["none", "dict"]] * 4
    assert recorder.tree() == told


def test_task_that_is_no_run() -> None:
    """
    What a task that is not decorated tells is heard, as of the run that sent it.
    """
    recorder = Recorder()
    with callbacks(recorder), traced("request") as run:
        jobs.plain.delay().get(timeout=WAIT_S)

    (told,) = [it for it in recorder.events if it.event == "on_custom_event"]
    assert told.run_id == run.id


def test_base_class_with_a_call_of_its_own() -> None:
    """
    The call of a base class is called as before, and a task may call itself.
    """
    recorder = Recorder()
    with callbacks(recorder):
        assert jobs.own.delay(1).get(timeout=WAIT_S) == [1, 0]

    assert recorder.tree() == (
        "chain call 1: ok\n  tool own: ok\n    chain call 2: ok\n      tool own: ok"
    )


def test_budget_and_sums() -> None:
    """
    A budget holds over all workers, to the call; the sums of a request are exact.
    """
    usage, monitor = UsageHandler(), MonitorHandler()
    with callbacks(usage, monitor):
        group(jobs.ask.s(5) for _ in range(6)).apply_async().get(timeout=WAIT_S)

    heard = Recorder()
    with callbacks(heard, BudgetHandler(max_calls=7)):
        sent = group(jobs.ask.s(5) for _ in range(4)).apply_async()
        with pytest.raises(Exception, match="max_calls=7 stops"):
            sent.get(timeout=WAIT_S)
        until(sent.ready)

    total = usage.total
    assert (total.calls, total.input_tokens, total.output_tokens) == (30, 120, 180)
    assert (monitor.stats["ask"].count, monitor.stats["model"].count) == (6, 30)
    assert heard.tree().count("llm model: ok") == 7


def test_nothing_goes_along_where_nobody_hears() -> None:
    """
    Outside every block and run there is no header; in a run that nobody hears of there is
    the trace, and no way home. What goes along never holds where Redis is.
    """
    assert jobs.headers.delay().get(timeout=WAIT_S) is None
    with callbacks(Recorder()), traced("request") as run:
        heard = jobs.headers.delay().get(timeout=WAIT_S)

    assert heard["traceparent"].startswith(f"00-{run.trace_hex}")
    assert sorted(heard["return"]) == ["host", "inbox", "kind", "pid", "redis"]
    assert heard["return"]["redis"] == "broker_url"
    assert "127.0.0.1" not in json.dumps(heard)
    assert len(json.dumps(heard)) < 1_000


def test_eager_tasks() -> None:
    """
    A task that is called here is heard here, by no detour.
    """
    recorder = Recorder()
    jobs.app.conf.task_always_eager = True
    try:
        with callbacks(recorder), traced("request"):
            chain(jobs.add.s(1, 2), jobs.add.s(3)).apply_async().get()
            jobs.add.apply((1, 2)).get()
    finally:
        jobs.app.conf.task_always_eager = False

    assert recorder.tree() == "chain request: ok" + "\n  tool add: ok" * 3
    assert not arrivals._calls


def test_late_task_of_a_block_that_is_left() -> None:
    """
    What begins when its block is left is done all the same.
    """
    with callbacks(Recorder()):
        result = jobs.add.apply_async((1, 2), countdown=0.5)

    assert result.get(timeout=WAIT_S) == 3
