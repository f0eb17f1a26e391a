"""
Ray: tasks and actors of a real cluster are heard by the request that sent them.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from instrument import BaseCallbackHandler, Event, bind, callbacks, traced
from instrument._relay import arrivals, sockets
from instrument.handlers import BudgetHandler, MonitorHandler, UsageHandler
from instrument.testing import Recorder

sys.path.append(str(Path(__file__).parent))  # tests/ is no package
ray: Any = pytest.importorskip("ray")
exceptions: Any = import_module("ray.exceptions")
jobs: Any = import_module("ray_jobs")
until: Any = import_module("waits").until
ours: Any = import_module("instrument.integrations.ray")


def start() -> None:
    """
    Start Ray on this machine, whose workers find the jobs.
    """
    folder = str(Path(__file__).parent)
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths += (
        [str(Path(__file__).parents[2])] if not os.environ.get("PYTHONSAFEPATH") else []
    )
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=100 * 2**20,
        logging_level="ERROR",
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join([folder, *paths])}},
    )


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    start()
    yield
    ray.shutdown()


@pytest.fixture(params=["here", "elsewhere"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Have workers find that they are on the sender's machine, or on another.
    """
    if request.param == "elsewhere":
        monkeypatch.setattr(sockets, "HOST_NAME", "another")


each_way = pytest.mark.usefixtures("way")


@pytest.fixture
def recorder() -> Recorder:
    """
    Give what hears the request.
    """
    return Recorder()


def tokens(recorder: Recorder) -> list[str]:
    """
    Give the pieces that were told.
    """
    return [
        it.data["token"] for it in recorder.events if it.event == "on_llm_new_token"
    ]


def retries(recorder: Recorder) -> list[Any]:
    """
    Give the retries that were told: of which run, which attempt, and what it ended with.
    """
    return [
        (it.name, it.data["attempt"], it.data.get("type"))
        for it in recorder.events
        if it.event == "on_retry"
    ]


def has_begun(recorder: Recorder, count: int = 1) -> bool:
    """
    Tell whether so many calls say that they have begun.
    """
    return [it.event for it in recorder.events].count("on_custom_event") == count


def noting(path: Path) -> Callable[..., None]:
    """
    Give a handler that has a job which waits for it go on.
    """

    def note(*_: object) -> None:
        Path(f"{path}.heard").touch()

    return note


def lines(recorder: Recorder) -> list[str]:
    """
    Give the tree of what was heard, by lines.
    """
    return recorder.tree().splitlines()


def test_nothing_is_sent_where_nobody_hears() -> None:
    """
    Where nobody hears, Ray is asked for the call and for nothing else.
    """
    assert ray.get(jobs.work.remote("a")) == "a0a1a2"
    told = ray.get(jobs.loaded.remote())

    assert ours.MAILBOXES._home is None
    assert told == ["a run: False"]


@each_way
def test_task(recorder: Recorder) -> None:
    """
    What a task does stands below the run that sent it, its pieces in order.
    """
    with callbacks(recorder), traced("request"):
        answer = ray.get(jobs.work.remote("a", count=5, end="!"))

    assert answer == "a0a1a2a3a4!"
    assert tokens(recorder) == ["a0", "a1", "a2", "a3", "a4"]
    assert lines(recorder) == [
        "chain request: ok",
        "  chain work: ok",
        "    llm stream: ok",
    ]


@each_way
def test_pieces_come_before_the_task_is_done(tmp_path: Path) -> None:
    """
    A piece is heard while the task goes on, which here waits for that.
    """
    path = tmp_path / "heard"
    told = []

    def hear(token: str) -> None:
        told.append(token)
        path.touch()

    with callbacks(on_llm_new_token=hear):
        ref = jobs.waits.remote(str(path))
        assert list(map(ray.get, ref)) == ["first", "last"]

    assert told == ["first", "last"]


def test_what_is_made_is_rays_own(recorder: Recorder) -> None:
    """
    Options, several results and refs as arguments are as with `ray.remote`.
    """
    with callbacks(recorder), traced("request"):
        first, second = jobs.two.remote()
        named = jobs.work.options(num_cpus=0.5, name="x").remote(
            jobs.work.remote("r", 1), 1
        )
        assert ray.get([first, second, named]) == [1, 2, "r00"]

    assert isinstance(jobs.work, ray.remote_function.RemoteFunction)
    assert isinstance(named, ray.ObjectRef)
    assert sorted(lines(recorder)[1:]) == sorted(
        ["  chain two: ok"] + 2 * ["  chain work: ok", "    llm stream: ok"]
    )


def test_arguments_that_do_not_fit() -> None:
    """
    They are refused where the call is sent, as by Ray.
    """
    with callbacks(Recorder()), pytest.raises(TypeError, match="too many positional"):
        jobs.work.remote("a", 1, 2)
    with pytest.raises(TypeError, match="function or a class"):
        ours.remote(print)
    with pytest.raises(AssertionError, match="must be applied"):
        ours.remote(7)


def test_task_that_fails(recorder: Recorder) -> None:
    """
    Its runs end with what was raised; who asks for the result gets Ray's error.
    """
    with (
        callbacks(recorder),
        pytest.raises(exceptions.RayTaskError, match="no luck"),
        traced("request"),
    ):
        ray.get(jobs.fails.remote("luck"))

    (failed,) = [it for it in recorder.events if it.name == "fails"][1:]
    assert (failed.event, failed.data["message"]) == ("on_chain_error", "no luck")
    assert lines(recorder)[1] == "  chain fails: error ValueError"


@each_way
def test_failure_that_ray_tries_again(recorder: Recorder, tmp_path: Path) -> None:
    """
    An attempt after `retry_exceptions` is a retry of the run that sent the task.
    """
    with callbacks(recorder), traced("request"):
        assert ray.get(jobs.fails_once.remote(str(tmp_path / "begun"))) == "well"

    assert retries(recorder) == [("request", 1, "ValueError")]
    assert lines(recorder)[1:] == [
        "  chain fails_once: error ValueError",
        "  chain fails_once: ok",
    ]


@each_way
def test_worker_that_is_killed(recorder: Recorder, tmp_path: Path) -> None:
    """
    What was open in it ends as lost; that Ray does it once more is a retry.
    """
    path = tmp_path / "begun"
    with callbacks(recorder, on_llm_new_token=noting(path)), traced("request"):
        assert ray.get(jobs.killed_once.remote(str(path))) == "well"

    assert tokens(recorder) == ["said0"]
    assert retries(recorder) == [("request", 1, "WorkerLost")]
    assert lines(recorder)[1:] == [
        "  chain killed_once: error WorkerLost",
        "    llm stream: error WorkerLost",
        "  chain killed_once: ok",
    ]


@each_way
def test_worker_that_is_killed_for_good(recorder: Recorder, tmp_path: Path) -> None:
    """
    Where Ray does not do it once more, its runs end all the same.
    """
    job, path = jobs.killed_once.options(max_retries=0), tmp_path / "begun"
    with (
        callbacks(recorder, on_llm_new_token=noting(path)),
        pytest.raises(exceptions.WorkerCrashedError),
        traced("request"),
    ):
        ray.get(job.remote(str(path)))

    until(lambda: recorder.tree().count("WorkerLost") == 2)
    assert retries(recorder) == []
    assert [it for it in lines(recorder) if "WorkerLost" in it] == [
        "  chain killed_once: error WorkerLost",
        "    llm stream: error WorkerLost",
    ]


@each_way
def test_nested_tasks(recorder: Recorder) -> None:
    """
    What tasks send on stands below the run that sent it, however deep.
    """
    with callbacks(recorder), traced("request"):
        assert ray.get(jobs.outer.remote(1)) == ["a0", "b0"]

    assert lines(recorder) == [
        "chain request: ok",
        "  chain outer: ok",
        "    chain outer: ok",
        *2 * ["      chain work: ok", "        llm stream: ok"],
    ]


@each_way
def test_task_that_outlives_who_sent_it(recorder: Recorder) -> None:
    """
    What a task sends on comes home past it, also when it is done by then.
    """
    with callbacks(recorder), traced("request"):
        (late,) = ray.get(jobs.sends_and_leaves.remote())
        assert ray.get(late) == "late 0late 1"

    assert tokens(recorder) == ["late 0", "late 1"]
    (sender,) = [it for it in recorder.events if it.name == "sends_and_leaves"][:1]
    (work,) = [it for it in recorder.events if it.name == "work"][:1]
    assert work.parent_run_id == sender.run_id


def test_task_that_hears_itself() -> None:
    """
    A task has a mailbox of its own where it hears what it sends.
    """
    tree = ray.get(jobs.hears_itself.remote())

    assert tree.splitlines() == [
        "chain own: ok",
        "  chain work: ok",
        "    llm stream: ok",
    ]


def test_generator(recorder: Recorder) -> None:
    """
    A task that is a generator streams as with Ray, and its runs are open as long.
    """
    with callbacks(recorder), traced("request"):
        told = [ray.get(ref) for ref in jobs.pieces.remote(3)]

    assert told == tokens(recorder) == ["item 0", "item 1", "item 2"]
    assert lines(recorder)[1:] == ["  chain pieces: ok", "    llm stream: ok"]


@each_way
def test_actor(recorder: Recorder) -> None:
    """
    Each call of an actor goes on with the request that makes it, inherited methods too.
    """
    actor = jobs.Sync.options(max_restarts=0).remote("ada")
    with callbacks(Recorder()) as other, traced("other"):
        ray.get(actor.say.remote("other"))
    with callbacks(recorder), traced("request"):
        assert ray.get(actor.say.remote("a")) == "ada: a0a1"
        assert ray.get(actor.__call__.remote("b")) == "ada: b0b1"
        assert ray.get(actor.inherited.remote()) == "inherited"
        assert ray.get(actor.sum.remote(1, 2)) == 3
        assert [ray.get(ref) for ref in actor.items.remote(2)] == [0, 1]
    assert ray.get(actor.say.remote("unheard")) == "ada: unheard0unheard1"

    assert other is not None
    assert tokens(recorder) == ["a0", "a1", "b0", "b1"]
    assert [it for it in lines(recorder) if "llm" not in it] == [
        "chain request: ok",
        *2 * ["  chain Sync.say: ok"],
        "  chain Base.inherited: ok",
        "  chain Sync.items: ok",
    ]


def test_actor_that_is_killed(recorder: Recorder, tmp_path: Path) -> None:
    """
    Its runs end as lost; what Ray does once more in the next is a retry.
    """
    actor, path = jobs.Sync.remote(), tmp_path / "begun"
    with callbacks(recorder, on_custom_event=noting(path)), traced("request"):
        assert ray.get(actor.killed_once.remote(str(path))) == "well"

    assert retries(recorder) == [("request", 1, "WorkerLost")]
    assert lines(recorder)[1:] == [
        "  chain Sync.killed_once: error WorkerLost",
        "  chain Sync.killed_once: ok",
    ]


@each_way
def test_actor_that_ray_kills(recorder: Recorder, tmp_path: Path) -> None:
    """
    `ray.kill` in the middle of a call ends its runs as lost.
    """
    actor = jobs.Sync.options(max_restarts=0, max_task_retries=0).remote()
    with callbacks(recorder):
        ref = actor.waits.remote(str(tmp_path / "never"))
        until(partial(has_begun, recorder))
        ray.kill(actor)
        with pytest.raises(exceptions.RayActorError):
            ray.get(ref)

    until(lambda: "WorkerLost" in recorder.tree())
    assert lines(recorder) == ["chain Sync.waits: error WorkerLost"]


@pytest.mark.parametrize("kind", ["Threaded", "Async"])
def test_calls_at_once(kind: str) -> None:
    """
    Calls of one actor at once, in threads or on its loop, are heard each by its own.
    """
    actor = getattr(jobs, kind).remote()

    def one(name: str) -> Recorder:
        recorder = Recorder()
        with callbacks(recorder):
            assert ray.get(actor.meet.remote(name)) == f"{name}0{name}1"
        return recorder

    with ThreadPoolExecutor(2) as threads:
        heard = list(threads.map(one, "ab"))

    for name, recorder in zip("ab", heard, strict=True):
        assert tokens(recorder) == [f"{name}0", f"{name}1"]
        assert lines(recorder) == [f"chain {kind}.meet: ok", "  llm stream: ok"]


@each_way
def test_async_actor(recorder: Recorder) -> None:
    """
    Async generators are followed, and what a coroutine sends on is heard.
    """
    actor = jobs.Async.remote()
    with callbacks(recorder), traced("request"):
        assert [ray.get(ref) for ref in actor.items.remote(2)] == [0, 1]
        assert ray.get(actor.sends_on.remote()) == "on 0"

    assert lines(recorder)[1:] == [
        "  chain Async.items: ok",
        "  chain Async.sends_on: ok",
        "    chain work: ok",
        "      llm stream: ok",
    ]


def test_results_are_awaited(recorder: Recorder) -> None:
    """
    In async code a ref is awaited, as any of Ray's.
    """

    async def main() -> list[str]:
        async with callbacks(recorder), traced("request"):
            return list(await asyncio.gather(*[jobs.work.remote(it, 1) for it in "ab"]))

    assert asyncio.run(main()) == ["a0", "b0"]
    assert sorted(tokens(recorder)) == ["a0", "b0"]


def test_task_that_is_cancelled(recorder: Recorder, tmp_path: Path) -> None:
    """
    A task that Ray interrupts ends its run, and so does a coroutine that it cancels.
    """
    actor = jobs.Async.remote()
    calls = (lambda: jobs.sleeps.remote(str(tmp_path / "never")), actor.forever.remote)
    for count, call in enumerate(calls, 1):
        with callbacks(recorder):
            ref = call()
            until(partial(has_begun, recorder, count))
            ray.cancel(ref)
            with pytest.raises(exceptions.RayError):
                ray.get(ref)

    assert lines(recorder) == [
        "chain sleeps: error KeyboardInterrupt",
        "chain Async.forever: cancelled",
    ]


def test_task_that_is_forced_to_end(recorder: Recorder, tmp_path: Path) -> None:
    """
    `ray.cancel(force=True)` kills its worker: the runs end as lost.
    """
    with callbacks(recorder):
        ref = jobs.sleeps.remote(str(tmp_path / "never"))
        until(partial(has_begun, recorder))
        ray.cancel(ref, force=True)
        with pytest.raises(exceptions.RayError):
            ray.get(ref)

    until(lambda: "WorkerLost" in recorder.tree())
    assert lines(recorder) == ["chain sleeps: error WorkerLost"]


@each_way
def test_fifty_requests_at_once() -> None:
    """
    Each hears all of its own, in order, and nothing of others.
    """

    def one(name: str) -> list[Event]:
        recorder = Recorder()
        with callbacks(recorder), traced("request"):
            ray.get(jobs.many.remote(name))
        return recorder.events

    names = [f"r{number}" for number in range(50)]
    with ThreadPoolExecutor(50) as threads:
        heard = list(threads.map(one, names))

    for name, events in zip(names, heard, strict=True):
        own = events[1:-1]
        assert [it.name for it in own] == [name] * 50
        assert [it.data["data"] for it in own[1:-1]] == list(range(48))
        assert own[0].parent_run_id == events[0].run_id


@each_way
def test_burst(recorder: Recorder) -> None:
    """
    Five thousand pieces come home complete and in order, before the result is had.
    """
    with callbacks(recorder), traced("request"):
        ray.get(jobs.work.remote("", 5_000))
        told = tokens(recorder)

    assert told == [str(number) for number in range(5_000)]


@each_way
def test_budget_over_workers() -> None:
    """
    A budget of five calls is five calls, in whichever worker they are.
    """
    with callbacks(BudgetHandler(max_calls=5)):
        told = ray.get([jobs.calls.remote(10) for _ in range(3)])

    assert sum(ran for ran, _ in told) == 5
    assert {name for _, raised in told for name in raised} == {"BudgetExceeded"}
    assert sum(len(raised) for _, raised in told) == 25


@each_way
def test_sums() -> None:
    """
    What tasks use adds up exactly, for one request.
    """
    usage, monitor = UsageHandler(), MonitorHandler()
    with callbacks(usage, monitor):
        ray.get([jobs.calls.remote(10) for _ in range(4)])

    total = usage.total
    assert (total.calls, total.input_tokens, total.output_tokens) == (40, 80, 120)
    assert total.cost_usd == 10.0
    assert "40" in monitor.to_prometheus()


def test_handler_that_stops_an_actor() -> None:
    """
    What a handler refuses at a start is raised there, and the body does not run.
    """

    class Refuses(BaseCallbackHandler):
        raise_error = True

        def on_llm_start(self, *args: Any, **kwargs: Any) -> None:
            raise PermissionError("not today")

    actor = jobs.Async.remote()
    with (
        callbacks(Refuses()),
        pytest.raises(exceptions.RayTaskError, match="not today"),
    ):
        ray.get(actor.meet.remote("a", 0))


def test_plain_bind(recorder: Recorder) -> None:
    """
    `bind` goes through any task of Ray's as an argument, over the socket of a machine.
    """

    def call(function: Any, *args: Any) -> Any:
        return function(*args)

    apply = ray.remote(num_cpus=0.5)(call)
    with callbacks(recorder), traced("request"):
        assert ray.get(apply.remote(bind(jobs.read), "a", 2)) == "a0a1"
        with pytest.raises(ZeroDivisionError):
            ray.get(apply.remote(bind(lambda: 1 // 0)))
    with callbacks(BudgetHandler(max_calls=3)):
        told = ray.get([apply.remote(bind(jobs.calls._function), 4) for _ in range(2)])

    assert lines(recorder)[1:] == ["  llm stream: ok"]
    assert sum(ran for ran, _ in told) == 3


def test_function_bound_is_refused_by_ray() -> None:
    """
    Ray takes functions and classes only.
    """
    with pytest.raises(TypeError, match="function or a class"):
        ray.remote(bind(jobs.read))


def test_nothing_is_left(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    When Ray is shut down, no thread of ours is left; a next session begins anew.
    """
    monkeypatch.setattr(sockets, "HOST_NAME", "another")
    with callbacks(recorder):
        ray.get(jobs.work.remote("a", 1))
    ray.shutdown()
    until(
        lambda: not [it for it in threading.enumerate() if "instrument ray" in it.name]
    )
    assert not arrivals._calls
    start()
    with callbacks(recorder):
        ray.get(jobs.work.remote("b", 1))

    assert tokens(recorder) == ["a0", "b0"]
