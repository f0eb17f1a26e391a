"""
`BudgetHandler`: many requests at once, streams, hostile text, and what is left over.
"""

import asyncio
import gc
import pickle
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from weakref import ref

import pytest

from instrument import bind, callbacks, current_run, traced
from instrument.exceptions import BudgetExceeded, InstrumentError
from instrument.handlers import BudgetHandler
from instrument.handlers._budget import Spent
from instrument.testing import Recorder

every_backend = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


@traced.chat_model(model="m", provider="p")
def model(**usage: Any) -> str:
    """
    Consume what is given.
    """
    current_run().record_usage(**usage)
    return "answer"


@traced.tool
def search() -> str:
    """
    Find something.
    """
    return "found"


@traced.llm
async def astream(chunks: int) -> AsyncIterator[str]:
    """
    The same in async code.
    """
    for _ in range(chunks):
        yield "a"


def stopped(call: Callable[[], object]) -> BudgetExceeded:
    """
    Give the error that stops *call*.
    """
    with pytest.raises(BudgetExceeded) as caught:
        call()
    return caught.value


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """
    Set the time by hand: the first item.
    """
    now = [100.0]
    monkeypatch.setattr("instrument.handlers._budget.perf_counter", lambda: now[0])
    return now


def test_requests_have_accounts_of_their_own() -> None:
    """
    Each block is a request; that one is stopped does not stop another.
    """
    budget = BudgetHandler(max_calls=1)

    with callbacks(budget) as one:
        model()
        stopped(model)
    with callbacks(budget) as other:
        model()

    assert budget.spent(one).calls == budget.spent(other).calls == 1


def test_installed_budget() -> None:
    """
    Installed for the process, it gives each root run an account.
    """
    with callbacks(BudgetHandler(max_calls=1)).install():
        for _ in range(3):
            with traced("root"):
                model()
                stopped(model)


def test_request_may_go_on() -> None:
    """
    Code that catches the error goes on with what is allowed.
    """

    @traced
    def careful() -> str:
        try:
            return model()
        except BudgetExceeded:
            return "no model for you"

    with callbacks(BudgetHandler(max_calls=0)):
        assert careful() == "no model for you"


def test_tokens_of_a_refused_run() -> None:
    """
    What a refused run tells all the same is not counted.
    """
    budget, block = BudgetHandler(max_calls=0), traced("model", kind="llm")

    with callbacks(budget) as scope:
        refused = stopped(block.__enter__).run
        assert refused is not None
        budget.on_llm_new_token("a", run=refused)

    assert budget.spent(scope).tokens == 0


def test_spent(clock: list[float]) -> None:
    """
    What a request has spent can be read at any time; outside one nothing is spent.
    """
    budget = BudgetHandler(max_calls=5)

    with callbacks(budget) as scope:
        assert budget.spent() == Spent(0, 0, 0.0, 0.0)
        with traced("chain") as run:
            clock[0] += 2
            model(input_tokens=3, output_tokens=4, cost_usd=0.5)

    assert budget.spent(scope) == budget.spent(run) == Spent(1, 7, 0.0, 2.0)
    assert budget.spent() == Spent(0, 0, 0.0, 0.0)


def test_calls_at_once_do_not_overshoot() -> None:
    """
    Of 50 threads that call at the same time as many get through as are allowed.
    """
    barrier, refused = threading.Barrier(50), []

    def call() -> None:
        barrier.wait()
        for _ in range(10):
            try:
                model()
            except BudgetExceeded as exc:
                refused.append(exc.value)

    with callbacks(BudgetHandler(max_calls=100)):
        threads = [threading.Thread(target=bind(call)) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert refused == [100] * 400


def test_threads_and_tasks() -> None:
    """
    10,000 calls of 550 requests over 50 threads and 500 tasks are counted exactly.
    """
    budget, scopes = BudgetHandler(max_calls=100, max_tokens=1_000), []

    def call() -> None:
        with callbacks(budget) as scope:
            for _ in range(100):
                model(output_tokens=2)
            stopped(model)
        scopes.append(scope)

    async def task() -> None:
        async with callbacks(budget) as scope:
            for _ in range(10):
                model(input_tokens=2)
                await asyncio.sleep(0)
        scopes.append(scope)

    async def tasks() -> None:
        await asyncio.gather(*(task() for _ in range(500)))

    with ThreadPoolExecutor(51) as pool:
        jobs: list[Callable[[], object]] = [lambda: asyncio.run(tasks())]
        for future in [pool.submit(bind(job)) for job in jobs + [call] * 50]:
            future.result()

    spent = [budget.spent(scope) for scope in scopes]
    assert sorted(s.calls for s in spent) == [10] * 500 + [100] * 50
    assert sum(s.tokens for s in spent) == 20_000
    assert len(budget._calls) == 0


@pytest.mark.anyio
@every_backend
async def test_async_stream() -> None:
    """
    In async code a stream is stopped in the middle too: the body is closed, and another
    request goes on.
    """
    heard, closed = Recorder(), []
    budget = BudgetHandler(max_tokens=5)

    @traced.llm
    async def endless() -> AsyncIterator[str]:
        try:
            while True:
                yield "a"
        finally:
            closed.append(current_run().status)

    async with callbacks(budget, heard):
        with pytest.raises(BudgetExceeded) as caught:
            _ = [token async for token in endless()]
    async with callbacks(budget):
        assert [token async for token in astream(5)] == ["a"] * 5

    assert caught.value.value == 6
    assert len(closed) == 1
    assert heard.tree() == "llm endless: error BudgetExceeded"


@pytest.mark.anyio
@every_backend
async def test_async_call() -> None:
    """
    In async code a call is refused before its body runs.
    """

    @traced.chat_model
    async def ask() -> str:
        return "answer"

    async with callbacks(BudgetHandler(max_calls=1)):
        assert await ask() == "answer"
        with pytest.raises(BudgetExceeded, match="max_calls"):
            await ask()


def test_sync_stream_is_closed() -> None:
    """
    The body of a stream that is stopped is closed at once.
    """
    closed = []

    @traced.llm
    def endless() -> Iterator[str]:
        try:
            while True:
                yield "a"
        finally:
            closed.append("closed")

    with callbacks(BudgetHandler(max_tokens=3)):
        exc = stopped(lambda: list(endless()))

        assert closed == ["closed"]
        assert exc.value == 4


def test_error_is_ours() -> None:
    """
    `BudgetExceeded` is an `InstrumentError`, and survives pickling without the run.
    """
    with callbacks(BudgetHandler(max_calls=0)):
        exc = stopped(model)

    copy = pickle.loads(pickle.dumps(exc))

    assert isinstance(exc, InstrumentError)
    assert (str(copy), copy.limit, copy.value, copy.maximum, copy.run) == (
        str(exc),
        "max_calls",
        0,
        0,
        None,
    )


def test_nothing_is_kept() -> None:
    """
    When a stopped request is over, nothing of it is left: no run, account or error.
    """
    budget = BudgetHandler(max_calls=0, max_depth=9)

    def request() -> list[Any]:
        with callbacks(budget) as scope, traced("chain"):
            exc = stopped(model)
        assert exc.run is not None
        account = budget._accounts.at(scope)
        return [ref(exc), ref(exc.run), ref(account), ref(scope)]

    gone = request()
    gc.collect()

    assert [kept() for kept in gone] == [None] * 4
    assert len(budget._calls) == 0


def test_refusals_are_not_reported(reports: list[str]) -> None:
    """
    The error is told to the caller, and so not to the log.
    """
    with callbacks(BudgetHandler(max_calls=0)):
        stopped(model)

    assert reports == []


def test_hostile_names(reports: list[str]) -> None:
    """
    No name breaks the message, drives a terminal, or is shown at length.
    """
    hostile = "\x1b[2J{}<red>\r\n\ud800" + "x" * 10_000_000
    prices = {"m": {"input": 1.0, "output": 1.0}}

    with callbacks(BudgetHandler(max_depth=0)):
        depth = stopped(traced(hostile, kind=hostile).__enter__)
    with callbacks(BudgetHandler(tools=[hostile + "y"])):
        tool = stopped(traced(hostile, kind="tool").__enter__)
    with callbacks(BudgetHandler(max_cost_usd=1, prices=prices)):
        lacking = stopped(traced("call", kind="llm", model=hostile).__enter__)

    for exc in (depth, tool, lacking):
        assert str(exc).isprintable()
        assert len(str(exc)) < 1_000
    assert reports == []


def test_hostile_payloads(reports: list[str]) -> None:
    """
    Payloads are nothing to it; a model that is no name, and counts that cannot be, do
    not break a call.
    """

    class Rude:
        def __repr__(self) -> str:
            raise SystemExit

    cyclic: list[Any] = []
    cyclic.append(cyclic)

    @traced.chat_model
    def ask(given: object) -> object:
        run: Any = current_run()
        run.model, run.provider = {"unhashable": Rude()}, cyclic
        run.record_usage(input_tokens=10**400, output_tokens=10**400)
        return given

    prices = {"m": {"input": 1.0, "output": 1.0}}
    with callbacks(BudgetHandler(max_cost_usd=1, prices=prices)):
        assert ask(cyclic) is cyclic
        assert "is not known" in str(stopped(model))
    with callbacks(BudgetHandler(max_tokens=1)):
        ask("x" * 10_000_000)
        assert "max_tokens=1 stops" in str(stopped(model))

    assert reports == []


def test_installed_and_in_a_block() -> None:
    """
    A budget that was installed, and given to a block as well, let the block go on for
    ever: each of its root runs had an account of its own.
    """
    budget = BudgetHandler(max_calls=2)

    with callbacks(budget).install(), callbacks(budget) as request:
        model()
        model()

        assert stopped(model).limit == "max_calls"
    model()
    assert budget.spent(request).calls == 2
