"""
What workers of Dask do is heard by who sent it, live, in order, at its own handlers.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from instrument import bind, callbacks, traced
from instrument._relay import arrivals
from instrument._relay.transport import Elsewhere
from instrument.exceptions import BudgetExceeded, RemoteError
from instrument.handlers import BudgetHandler, MonitorHandler, UsageHandler
from instrument.integrations.dask import DASK, Job, hear
from instrument.integrations.dask import _stations as stations
from instrument.integrations.dask._stations import STATIONS, DaskLine, Station
from instrument.testing import Recorder

sys.path.append(str(Path(__file__).parent))  # tests/ is no package; workers are told
if TYPE_CHECKING:
    from tests.engines import dask_jobs as jobs
    from tests.engines.waits import until
else:
    jobs = import_module("dask_jobs")
    until = import_module("waits").until

dask: Any = pytest.importorskip("dask")
distributed: Any = pytest.importorskip("distributed")

BUSY = "  chain work: ok\n    llm model: ok\n    tool tool: ok"


def local(workers: int = 1, threads: int = 1, **options: Any) -> Any:
    """
    Make a cluster on loopback.
    """
    return distributed.LocalCluster(
        n_workers=workers,
        threads_per_worker=threads,
        dashboard_address="127.0.0.1:0",
        **options,
    )


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """
    Give two workers of two threads, each a process.
    """
    with local(2, 2) as made:
        yield made


@pytest.fixture(scope="module")
def client(cluster: Any) -> Iterator[Any]:
    """
    Give a client that is heard.
    """
    with hear(distributed.Client(cluster)) as made:
        yield made


@pytest.fixture
def recorder() -> Recorder:
    """
    Give what hears the request.
    """
    return Recorder()


def retries(recorder: Recorder) -> list[Any]:
    """
    Give the retries that were told: of which run, which attempt, after what.
    """
    return [
        (it.name, it.data["attempt"], it.data.get("type"))
        for it in recorder.events
        if it.event == "on_retry"
    ]


def test_submit_and_map(client: Any, recorder: Recorder) -> None:
    """
    Calls are heard below the run that sent them, whole, whatever sends them.
    """
    with callbacks(recorder), traced("request") as request:
        assert client.submit(jobs.work, 1, pure=False).result() == 2
        futures = client.map(jobs.plain, [2, 3], pure=False)
        assert client.gather(futures) == [4, 6]

    assert recorder.tree() == "\n".join(["chain request: ok", *[BUSY] * 3])
    works = recorder.children(request)
    assert sorted(run.inputs["number"] for run in works) == [1, 2, 3]
    assert {run.trace_id for run in recorder.runs} == {request.id}
    progress = [it for it in recorder.events if it.event == "on_custom_event"]
    assert sorted(it.data["data"]["number"] for it in progress) == [1, 2, 3]


def test_tokens_come_while_the_task_runs(client: Any, tmp_path: Path) -> None:
    """
    A piece of an answer is heard here before the task goes on.
    """
    path, heard = tmp_path / "go on", []

    def hear_token(token: str) -> None:
        heard.append((token, future.done()))
        path.touch()

    with callbacks(on_llm_new_token=hear_token):
        future = client.submit(jobs.read_paused, str(path), pure=False)
        assert future.result() == "firstsecond"

    assert [token for token, _ in heard] == ["first", "second"]
    assert heard[0][1] is False


def test_fifty_requests_at_once(client: Any) -> None:
    """
    Each hears its own, all of it, in order.
    """

    def request(number: int) -> tuple[int, Recorder, list[str]]:
        recorder, tokens = Recorder(), []

        def hear_token(token: str) -> None:
            tokens.append(token)

        with (
            callbacks(recorder, on_llm_new_token=hear_token),
            traced(f"request {number}"),
        ):
            result = client.submit(jobs.work, number, pure=False).result()
        return result, recorder, tokens

    with ThreadPoolExecutor(50) as threads:
        heard = list(threads.map(request, range(50)))

    for number, (result, recorder, tokens) in enumerate(heard):
        assert result == number * 2
        assert recorder.tree() == f"chain request {number}: ok\n{BUSY}"
        assert tokens == ["one ", "two ", f"{number}"]


def test_burst(client: Any, recorder: Recorder) -> None:
    """
    Of very many nothing is lost, and the result comes behind all.
    """
    tokens: list[str] = []

    def hear_token(token: str) -> None:
        tokens.append(token)

    with callbacks(on_llm_new_token=hear_token):
        assert client.submit(jobs.burst, 5_000, pure=False).result() == 5_000
        told = len(tokens)

    assert told == 5_000
    assert tokens == [f"{number} " for number in range(5_000)]


def test_delayed(client: Any, recorder: Recorder) -> None:
    """
    Functions of a graph are heard each, also where Dask makes one task of several.
    """
    with callbacks(recorder), traced("request"):
        work = dask.delayed(client.bind(jobs.work))
        add = dask.delayed(client.bind(jobs.total))
        graph = add([work(1), work(2)])
        first = client.compute(graph)
        assert client.compute(add([graph]), optimize_graph=True).result() == 6
        assert first.result() == 6

    assert len(recorder.find("work")) == 2
    assert len(recorder.find("total")) == 2
    assert retries(recorder) == []


def test_result_that_is_needed_again(
    client: Any, cluster: Any, recorder: Recorder
) -> None:
    """
    What Dask does once more, as its result was let go, is told as that.
    """
    with callbacks(recorder), traced("request"):
        graph = dask.delayed(client.bind(jobs.tool))("x")
        for _ in range(2):
            until(lambda: graph.key not in cluster.scheduler.tasks)
            assert client.compute(graph).result() == "<x>"

    assert len(recorder.find("tool")) == 2
    assert retries(recorder) == [("request", 1, None)]


def test_executor(client: Any, recorder: Recorder) -> None:
    """
    The client as an executor of `concurrent.futures` is heard too.
    """
    with (
        client.get_executor(pure=False) as executor,
        callbacks(recorder),
        traced("request"),
    ):
        assert executor.submit(jobs.work, 1).result() == 2
        assert [*executor.map(jobs.plain, [2])] == [4]

    assert recorder.tree() == "\n".join(["chain request: ok", *[BUSY] * 2])


def test_several_of_ours_in_one_task(client: Any, recorder: Recorder) -> None:
    """
    What is called within one task, one behind the other, is no retry.
    """
    with callbacks(recorder), traced("request"):
        first, second = client.bind(jobs.work), client.bind(jobs.plain)

        def both(number: int) -> int:
            return int(second(first(number)))

        assert client.submit(both, 1, pure=False).result() == 4

    assert recorder.tree() == "\n".join(["chain request: ok", *[BUSY] * 2])
    assert retries(recorder) == []


def test_coroutine_functions(client: Any, recorder: Recorder) -> None:
    """
    They run on the worker's loop, as without us, and are heard.
    """
    with callbacks(recorder, BudgetHandler(max_calls=100)), traced("request"):
        assert client.submit(jobs.work_later, 1, pure=False).result() == 2
        futures = client.map(jobs.work_later, [2, 3, 4], pure=False)
        assert client.gather(futures) == [4, 6, 8]

    assert recorder.tree() == "\n".join(["chain request: ok", *[BUSY] * 4])
    assert retries(recorder) == []


def test_tasks_of_tasks(client: Any, recorder: Recorder) -> None:
    """
    What a task sends on is heard here, below the task's run.
    """
    with callbacks(recorder), traced("request"):
        assert client.submit(jobs.send_on, 1, pure=False).result() == 6

    inner = BUSY.replace("\n", "\n  ")
    assert recorder.tree() == (
        f"chain request: ok\n  chain send_on: ok\n  {inner}\n  {inner}"
    )


def test_task_that_outlives_who_sent_it(
    client: Any, recorder: Recorder, tmp_path: Path
) -> None:
    """
    What a task leaves behind goes on telling when the task is over.
    """
    path = tmp_path / "end"

    with callbacks(recorder), traced("request"):
        client.submit(jobs.leave_behind, str(path), pure=False).result()
        until(lambda: recorder.find("is_there"))
        path.touch()
        until(lambda: recorder.find("is_there")[0].status == "ok")

    (left,) = recorder.find("is_there")
    (leaver,) = recorder.find("leave_behind")
    assert left.parent_id == leaver.id


def test_who_hears_in_a_worker(client: Any) -> None:
    """
    A task that nobody hears may have handlers of its own, and hear what it sends on.
    """
    names = client.submit(jobs.hear_own, pure=False).result()

    assert names[0] == "above"
    assert names.count("work") >= 1


def test_errors(client: Any, recorder: Recorder) -> None:
    """
    What is raised reaches the caller as it is, and the handlers as what it was.
    """
    with callbacks(recorder), traced("request"):
        with pytest.raises(ValueError, match="no luck with 7"):
            client.submit(jobs.fail, 7, pure=False).result()
        with pytest.raises(jobs.OwnError):
            client.submit(jobs.fail_own, pure=False).result()

    (one,), (other,) = recorder.find("fail"), recorder.find("fail_own")
    assert type(one.error) is ValueError
    assert isinstance(other.error, RemoteError)
    assert other.error.type == "OwnError"


@pytest.mark.parametrize("later", [False, True], ids=["function", "coroutine"])
def test_task_that_fails_and_is_done_again(
    client: Any, recorder: Recorder, tmp_path: Path, later: bool
) -> None:
    """
    Each attempt has its own run; the run that sent the task hears of a retry.
    """
    fail_once = jobs.fail_once_later if later else jobs.fail_once
    with callbacks(recorder), traced("request"):
        path = str(tmp_path / "once")
        future = client.submit(fail_once, path, retries=2, pure=False)
        assert future.result() == "done"

    assert retries(recorder) == [("request", 1, "ValueError")]
    assert recorder.tree().splitlines()[1:] == [
        "  chain fail_once: error ValueError",
        "  chain fail_once: ok",
    ]


def test_worker_that_is_killed(client: Any, recorder: Recorder, tmp_path: Path) -> None:
    """
    Its open runs end, inner before outer; the task is done by another, and the run that
    sent it hears so.
    """
    path = str(tmp_path / "dead")

    def hear(serialized: Any, inputs: Any, *, name: str) -> None:
        if name == "last words":
            Path(f"{path}.heard").touch()

    with callbacks(recorder, on_chain_start=hear), traced("request"):
        future = client.submit(jobs.die_once, path, pure=False)
        assert future.result() == "done"

    assert retries(recorder) == [("request", 1, "WorkerLost")]
    assert recorder.tree().splitlines()[1:] == [
        "  chain die_once: error WorkerLost",
        "    chain last words: error WorkerLost",
        "  chain die_once: ok",
    ]


def test_worker_that_is_killed_for_good(
    client: Any, cluster: Any, recorder: Recorder, tmp_path: Path
) -> None:
    """
    The runs of a task that nobody does again end as well.
    """
    path = tmp_path / "never"
    with callbacks(recorder), traced("request"):
        future = client.submit(jobs.is_there, str(path), pure=False)
        until(lambda: recorder.find("is_there"))
        pids = client.run(os.getpid)
        busy = client.processing()
        (worker,) = [it for it, keys in busy.items() if future.key in keys]
        future.cancel()
        os.kill(pids[worker], signal.SIGKILL)
        until(lambda: recorder.find("is_there")[0].status == "error")
    until(lambda: cluster.scheduler.workers)

    error: Any = recorder.find("is_there")[0].error
    assert error.type == "WorkerLost"
    assert retries(recorder) == []


def test_cancelled_future(client: Any, recorder: Recorder, tmp_path: Path) -> None:
    """
    Dask does not stop a function that runs: what it tells is heard, to its end.
    """
    path = tmp_path / "end"
    with callbacks(recorder), traced("request"):
        future = client.submit(jobs.is_there, str(path), pure=False)
        until(lambda: recorder.find("is_there"))
        future.cancel()
        path.touch()
        until(lambda: recorder.find("is_there")[0].status == "ok")

    assert future.cancelled()


@pytest.mark.parametrize("later", [False, True], ids=["function", "coroutine"])
def test_budget_over_workers(client: Any, later: bool) -> None:
    """
    A budget holds exactly, whichever workers spend it.
    """
    budget, usage = BudgetHandler(max_calls=5), UsageHandler()
    work = jobs.use_later if later else jobs.use

    with callbacks(budget, usage):
        futures = client.map(work, range(20), pure=False)
        distributed.wait(futures)

    failed = [it.exception() for it in futures if it.status == "error"]
    assert len(failed) == 15
    assert {type(exc) for exc in failed} == {BudgetExceeded}
    assert usage.total.input_tokens == 50


def test_sums(client: Any) -> None:
    """
    What one request used adds up exactly.
    """
    usage, monitor = UsageHandler(), MonitorHandler()

    with callbacks(usage, monitor), traced("request"):
        client.gather(client.map(jobs.use, range(30), pure=False))

    assert (usage.total.calls, usage.total.input_tokens) == (30, 300)
    assert usage.total.output_tokens == 150
    counts = {name: it.count for name, it in monitor.stats.items()}
    assert counts == {"request": 1, "use": 30, "whole": 30}


def test_where_nobody_hears(client: Any) -> None:
    """
    Nothing goes along, and a function goes as it is.
    """
    assert client.bind(jobs.work) is jobs.work
    with callbacks():
        assert client.bind(jobs.work) is jobs.work
    assert client.bind(7) == 7


def test_keys_are_as_without_us(client: Any, recorder: Recorder) -> None:
    """
    A call has the same key, so that what is there already is not done again.
    """
    bare = client.submit(jobs.tool, "same")
    bare.result()
    with callbacks(recorder):
        again = client.submit(jobs.tool, "same")
        (mapped,) = client.map(jobs.tool, ["map"])
        anonymous = client.submit(lambda: 1)

    assert again.key == bare.key
    assert again.result() == "<same>"
    assert mapped.key.startswith("tool-")
    assert anonymous.key.startswith("lambda-")
    assert mapped.result() == "<map>"


def test_trace_without_handlers(client: Any) -> None:
    """
    Where a run is open and nobody hears, the trace goes along.
    """
    with callbacks(Recorder()), traced("request") as request:
        trace_hex = request.trace_hex
        with callbacks(inherit=False):
            job = client.bind(jobs.work)

    assert type(job) is Job
    assert trace_hex in job.carrier["traceparent"]
    assert "return" not in job.carrier


def test_actor(client: Any, recorder: Recorder) -> None:
    """
    An actor is made as without us.
    """
    with callbacks(recorder):
        for keyword in ("actor", "actors"):
            actor = client.submit(jobs.Counter, **{keyword: True}).result()
            assert actor.add().result() == 1


def test_bind_of_the_library(client: Any, recorder: Recorder) -> None:
    """
    On one machine `bind` does too, with any client: by a socket.
    """
    bare = client.__wrapped__
    with callbacks(recorder), traced("request"):
        assert bare.submit(bind(jobs.work), 1, pure=False).result() == 2
        assert bare.submit(bind(jobs.work_later), 2, pure=False).result() == 4

    assert recorder.tree() == "\n".join(["chain request: ok", *[BUSY] * 2])


def queues_of(cluster: Any) -> set[str]:
    """
    Name the queues that its scheduler has of ours.
    """
    return {*cluster.scheduler.extensions["queues"].queues}


def test_scheduler_keeps_nothing(client: Any, cluster: Any) -> None:
    """
    It has a queue for each process, all empty; and no event of ours.
    """
    with callbacks(Recorder()), traced("request"):
        client.gather(client.map(jobs.burst, [200] * 20, pure=False))

    queues = cluster.scheduler.extensions["queues"].queues
    assert 2 <= len(queues) <= 6  # who was killed may just have gone
    assert [it.qsize() for it in queues.values()] == [0] * len(queues)
    assert "on_llm" not in str(cluster.scheduler.get_events())


def test_nothing_is_left(client: Any) -> None:
    """
    Of many requests there is no more left than of a few.
    """

    def ours() -> int:
        names = [it.name for it in threading.enumerate()]
        return len([it for it in names if it.startswith("instrument")])

    def request() -> None:
        with callbacks(Recorder()), traced("request"):
            client.gather(client.map(jobs.work, range(8), pure=False))

    request()
    before = ours()
    for _ in range(5):
        request()
    until(lambda: not arrivals._calls)

    assert ours() <= before + 4  # as many lines as there are threads in the workers


def test_client_that_leaves(cluster: Any) -> None:
    """
    The last client of a scheduler takes with it what it had there, and here.
    """
    with hear(distributed.Client(cluster)) as first, callbacks(Recorder()):
        assert hear(first) is first
        assert isinstance(first, distributed.Client)
        first.submit(jobs.work, 1, pure=False).result()
        (station,) = [
            it for it in STATIONS._known.values() if first.__wrapped__ in it.users
        ]
    until(lambda: first.__wrapped__ not in station.users)


def test_cluster_of_its_own(recorder: Recorder) -> None:
    """
    With its client all goes: threads, lines, queues.
    """
    with local() as made, hear(distributed.Client(made)) as own:
        with callbacks(recorder), traced("request"):
            assert own.submit(jobs.work, 1, pure=False).result() == 2
        address = made.scheduler_address
        station = STATIONS._known[address]
        own.close()
        assert station.is_over
        assert station.lines == {}
        assert station.id not in queues_of(made)
        assert not station._thread.is_alive()

    assert address not in STATIONS._known
    assert recorder.tree() == f"chain request: ok\n{BUSY}"


def test_workers_that_are_threads(recorder: Recorder) -> None:
    """
    In one process the very scope is found, and nothing is sent.
    """
    with local(1, 2, processes=False) as made, hear(distributed.Client(made)) as own:
        assert own.bind(jobs.work) is jobs.work
        with callbacks(recorder), traced("request"):
            assert own.submit(jobs.work, 1).result() == 2
            assert own.gather(own.map(jobs.plain, [2])) == [4]
            assert own.submit(jobs.work_later, 3).result() == 6
            assert own.submit(jobs.send_on, 1).result() == 6
            assert repr(own.bind(jobs.work)) == repr(jobs.work)
        assert queues_of(made) == set()
        own.shutdown()

    inner = BUSY.replace("\n", "\n  ")
    lines = ["chain request: ok", *[BUSY] * 3, "  chain send_on: ok"]
    assert recorder.tree() == "\n".join([*lines, f"  {inner}", f"  {inner}"])


@pytest.mark.anyio
async def test_asynchronous_client(cluster: Any, recorder: Recorder) -> None:
    """
    It is heard the same way; the loop that it runs on is never waited for.
    """
    bare = distributed.Client(cluster.scheduler_address, asynchronous=True)
    async with hear(bare) as own, callbacks(recorder):
        with traced("request"):
            assert await own.submit(jobs.work, 1, pure=False) == 2
            futures = own.map(jobs.work_later, [2, 3], pure=False)
            assert await own.gather(futures) == [4, 6]

    assert recorder.tree() == "\n".join(["chain request: ok", *[BUSY] * 3])


@pytest.mark.anyio
async def test_all_on_one_loop(recorder: Recorder) -> None:
    """
    Also where the scheduler is on the loop of the request.
    """
    async with (
        local(asynchronous=True) as made,
        hear(distributed.Client(made, asynchronous=True)) as own,
        callbacks(recorder),
    ):
        with traced("request"):
            assert await own.submit(jobs.work, 1, pure=False) == 2

    assert recorder.tree() == f"chain request: ok\n{BUSY}"


@pytest.mark.anyio
async def test_client_that_is_not_connected(cluster: Any, reports: list[str]) -> None:
    """
    What cannot be sent along is reported, and the call goes on without it.
    """
    address = cluster.scheduler_address
    async with hear(distributed.Client(address, asynchronous=True)) as own:
        pass
    with callbacks(Recorder()):
        assert own.bind(jobs.work) is jobs.work

    assert "submit" in "".join(reports)


def test_block_of_a_worker_that_is_left(client: Any) -> None:
    """
    What was sent from a worker to itself is done, and heard by nobody any more.
    """
    assert client.submit(jobs.call_behind_the_block, 3, pure=False).result() == 6


def test_another_machine(client: Any, recorder: Recorder) -> None:
    """
    There the number of the process that sent it says nothing.
    """
    with callbacks(recorder):
        job = client.bind(jobs.work)
    home = job.carrier["return"]

    assert job._carried()["return"] == home
    home["host"] = "another"
    assert "pid" not in job._carried()["return"]


def test_no_worker() -> None:
    """
    Outside a worker of Dask nothing is reached, and what is no address is refused.
    """
    with pytest.raises(Elsewhere):
        DASK.open({"kind": "dask", "to": "instrument-x"})
    with pytest.raises(ValueError, match="no address"):
        DASK.open({"kind": "dask", "to": 7})


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_child(client: Any) -> None:
    """
    It begins without the parent's threads and connections.
    """
    with callbacks(Recorder()):
        client.bind(jobs.work)
    token = stations._TOKEN

    pid = os.fork()
    if pid == 0:
        os._exit(STATIONS._known != {} or token == stations._TOKEN)

    assert os.waitpid(pid, 0)[1] == 0
    assert STATIONS._known != {}


@pytest.fixture
def lines(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """
    Give what makes a side of a line, and have a line be impatient.
    """
    for name, seconds in (("AGAIN_S", 0.02), ("ASK_S", 0.02)):
        monkeypatch.setattr(stations, name, seconds)
    made: list[Station] = []

    def make(serve: Callable[[DaskLine], object] = print) -> Station:
        def served(line: DaskLine) -> None:
            with suppress(OSError):
                serve(line)

        made.append(Station(cluster.scheduler_address, None, served))
        return made[-1]

    yield make
    for station in made:
        station.stop(jobs.WAIT_S)


def line_of(worker: Station, caller: Station, cluster: Any) -> DaskLine:
    """
    Open a line, from a worker that the scheduler knows.
    """
    worker.wait()
    address = next(iter(cluster.scheduler.workers))
    return worker.line_to(caller.id, address, is_early=True)


def test_caller_that_connects_late(lines: Any, cluster: Any) -> None:
    """
    What a worker says first is said until it is heard, and heard once.
    """
    heard: list[bytes] = []

    def serve(line: DaskLine) -> None:
        heard.append(line.receive())
        with pytest.raises(TimeoutError):
            line.receive(0.05)
        line.send(b"well")
        heard.append(line.receive())
        line.send(b"done")

    caller, worker = lines(serve), lines()
    worker.wait()
    line = line_of(worker, caller, cluster)
    line.send(b"hello")
    assert line.receive(jobs.WAIT_S) == b"well"
    line.send(b"more")
    assert line.receive(jobs.WAIT_S) == b"done"

    with pytest.raises(ConnectionResetError):
        line.receive()
    with pytest.raises(ConnectionAbortedError):
        line.send(b"more")
    assert heard == [b"hello", b"more"]
    assert line.has_news()


def test_caller_that_takes_its_time(lines: Any, cluster: Any) -> None:
    """
    A slow handler is waited for, as long as its process is there.
    """

    sent = threading.Event()

    def serve(caller_line: DaskLine) -> None:
        caller_line.receive()
        sent.wait(jobs.WAIT_S)
        began_s = line._heard_s
        until(lambda: line._heard_s > began_s)
        caller_line.send(b"well")

    line = line_of(lines(), lines(serve), cluster)
    line.send(b"hello")
    sent.set()

    assert line.receive() == b"well"


def test_answer_that_was_lost(lines: Any, cluster: Any) -> None:
    """
    Who asks again is given the answer again.
    """
    ended = threading.Event()

    def serve(line: DaskLine) -> None:
        line.receive()
        line.send(b"well")
        ended.wait(jobs.WAIT_S)

    line = line_of(lines(), lines(serve), cluster)
    line.send(b"hello")
    assert line.receive() == b"well"
    line._taken = 0
    line._ask()

    assert line.receive() == b"well"
    ended.set()


def test_caller_that_is_gone(
    lines: Any, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A worker does not wait for ever; nor does the scheduler keep what was for the caller.
    """
    monkeypatch.setattr(stations, "PATIENCE_S", 0.3)
    caller, worker = lines(), lines()
    caller.wait()
    caller.post(caller.id, None)
    caller._thread.join(jobs.WAIT_S)
    line = line_of(worker, caller, cluster)
    line.send(b"hello")

    with pytest.raises(ConnectionResetError, match="no sign of life"):
        line.receive()
    with pytest.raises(TimeoutError):
        line_of(worker, caller, cluster).receive(0.01)
    until(lambda: not worker.gone)
    assert caller.id not in queues_of(cluster)


def test_caller_that_has_left(lines: Any, cluster: Any) -> None:
    """
    What begins when who sent it has left does not wait, and it is no fault.
    """
    caller, worker = lines(), lines()
    caller.wait()
    caller.stop(jobs.WAIT_S)
    worker.wait()
    line = worker.line_to(caller.id, next(iter(cluster.scheduler.workers)))
    line.send(b"hello")

    with pytest.raises(Elsewhere):
        line.receive()


def test_worker_that_left_without_a_word(lines: Any, cluster: Any) -> None:
    """
    Who answers it sees that it has gone.
    """
    has_left, why = threading.Event(), []

    def serve(line: DaskLine) -> None:
        line.receive()
        has_left.wait(jobs.WAIT_S)
        line.send(b"well")
        try:
            line.receive()
        except OSError as exc:
            why.append(str(exc))

    caller, worker = lines(serve), lines()
    line_of(worker, caller, cluster).send(b"hello")
    until(lambda: caller.lines)
    worker.lines.clear()
    worker.stop(jobs.WAIT_S)
    has_left.set()

    until(lambda: why)
    assert why == ["who it leads to has left"]


def test_worker_that_is_not_there(lines: Any) -> None:
    """
    A line of a worker that the scheduler does not know is lost.
    """
    why: list[OSError] = []

    def serve(line: DaskLine) -> None:
        line.receive()
        try:
            line.receive()
        except OSError as exc:
            why.append(exc)

    caller, worker = lines(serve), lines()
    worker.wait()
    caller.wait()
    worker.line_to(caller.id, "tcp://127.0.0.1:9").send(b"hello")

    until(lambda: why)
    assert "knows its worker no more" in str(why[0])
    until(lambda: worker.is_over)


def test_worker_that_is_started_anew(lines: Any, cluster: Any) -> None:
    """
    Where another process has the worker's address, the lines of the one before are lost.
    """
    caller = lines(lambda line: line.receive())
    address = next(iter(cluster.scheduler.workers))
    posts = [
        {"line": name, "n": 1, "worker": address, "process": name} for name in "ab"
    ]
    first = caller._opened("instrument-a", posts[0])
    caller._opened("instrument-b", posts[1])

    assert [*caller.lines] == ["b"]
    until(first.has_news)


def test_messages_of_no_use(lines: Any, client: Any, reports: list[str]) -> None:
    """
    What is no message is reported, and the next is heard.
    """
    heard: list[bytes] = []
    caller, worker = lines(lambda line: heard.append(line.receive())), lines()
    caller.wait()
    for data in (7, {"from": "x", "posts": [{"line": "unknown", "n": 0}]}):
        client.sync(client.scheduler.queue_put, name=caller.id, data=data)
    worker.wait()
    address = next(iter(client.scheduler_info()["workers"]))
    worker.line_to(caller.id, address).send(b"hello")

    until(lambda: heard)
    assert "a message" in "".join(reports)


def test_scheduler_that_is_not_there(reports: list[str]) -> None:
    """
    Nothing is waited for longer than until that is known.
    """
    with dask.config.set({"distributed.comm.timeouts.connect": "0.1s"}):
        station = Station("tcp://127.0.0.1:9", None, print)
        with pytest.raises(ConnectionError, match="is not reached"):
            station.wait()

    assert station.is_over
    station.post("instrument-x", None)
    assert "a scheduler" in "".join(reports)


def test_scheduler_that_goes_as_it_is_left(
    reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What fails where the scheduler is being left is no failure.
    """

    async def fail(station: Any) -> None:
        station._is_left = True
        raise OSError("the scheduler has gone")

    monkeypatch.setattr(Station, "_serve", fail)
    station = Station("tcp://127.0.0.1:9", None, print)
    station._thread.join(10)

    assert station.is_over
    assert reports == []


def test_no_thread_is_to_be_had(
    lines: Any, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Then a function goes as it is, or a line is left.
    """

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    caller, worker = lines(), lines()
    caller.wait()
    worker.wait()
    address = next(iter(client.scheduler_info()["workers"]))
    line = worker.line_to(caller.id, address)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        patched.setattr(STATIONS, "_known", {})
        with callbacks(Recorder()):
            assert "return" not in client.bind(jobs.work).carrier
        line.send(b"hello")
        with pytest.raises(ConnectionResetError, match="has left"):
            line.receive()

    assert caller.lines == {}
