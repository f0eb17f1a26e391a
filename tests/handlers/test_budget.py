"""
`BudgetHandler`: each limit, before a call and in mid-stream, for each request apart, many
at once; hostile text, and what is left over.
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
def stream(chunks: int, **usage: int) -> Iterator[str]:
    """
    Stream that many chunks, and tell the usage at the end.
    """
    try:
        yield from "a" * chunks
    finally:
        current_run().record_usage(**usage)


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


def id_of(exc: BudgetExceeded) -> str:
    """
    Give by what the request is looked up.
    """
    assert exc.run is not None
    return exc.run.trace_hex[:6]


def test_max_calls() -> None:
    """
    With three calls allowed the fourth start is refused, and its body does not run.
    """
    heard = Recorder()

    with callbacks(BudgetHandler(max_calls=3), heard):
        for _ in range(3):
            model()
        exc = stopped(model)

    assert (exc.limit, exc.value, exc.maximum) == ("max_calls", 3, 3)
    assert exc.run is heard.runs[-1]
    assert heard.tree().endswith("chat_model model: error BudgetExceeded")
    assert str(exc) == (
        f"max_calls=3 stops request {id_of(exc)} at chat_model model: 3 model calls were made."
        " Raise max_calls, or give each request a block of its own."
    )


def test_message_of_little_money() -> None:
    """
    No amount has an exponent, and the request can be looked up.
    """
    with callbacks(BudgetHandler(max_cost_usd=0.00003)):
        model(input_tokens=1, output_tokens=1, cost_usd=0.000035)
        exc = stopped(model)

    assert str(exc) == (
        f"max_cost_usd=0.00003 stops request {id_of(exc)} at chat_model model:"
        " $0.000035 were spent. Raise max_cost_usd, or give each request a block of its"
        " own."
    )


@pytest.mark.parametrize("kind", ["llm", "chat_model", "embedding"])
def test_calls_are_of_models(kind: str) -> None:
    """
    Models and embeddings are calls; chains, retrievers and tools are none.
    """
    with callbacks(BudgetHandler(max_calls=0)):
        for other in ("chain", "agent", "retriever", "tool", "custom"):
            with traced("run", kind=other):
                pass
        exc = stopped(traced("run", kind=kind).__enter__)

    assert exc.limit == "max_calls"


def test_max_tokens_before_a_call() -> None:
    """
    When the tokens are used up the next model and the next tool are refused; chains go
    on.
    """
    with callbacks(BudgetHandler(max_tokens=100)):
        model(input_tokens=80, output_tokens=19)
        search()
        model(input_tokens=80, output_tokens=19)
        with traced("chain"):
            errors = [stopped(model), stopped(search)]

    assert [(e.limit, e.value, e.maximum) for e in errors] == [
        ("max_tokens", 198, 100)
    ] * 2


def test_max_tokens_in_mid_stream() -> None:
    """
    A stream is stopped at the chunk that exceeds the limit: the body is closed, the run
    ends as error, and the caller gets the error.
    """
    heard = Recorder()
    got: list[str] = []

    with callbacks(BudgetHandler(max_tokens=5), heard):
        exc = stopped(lambda: got.extend(stream(100)))
        errors = [stopped(lambda: list(stream(1))), stopped(search)]

    assert (exc.limit, exc.value, exc.maximum) == ("max_tokens", 6, 5)
    assert got == ["a"] * 5
    assert heard.runs[0].status == "error"
    kept = heard.runs[0].error
    assert isinstance(kept, BudgetExceeded)
    assert (kept.limit, kept.value, str(kept)) == ("max_tokens", 6, str(exc))
    assert heard.runs[0].outputs == "aaaaaa"
    assert [e.value for e in errors] == [6, 6]


def test_stream_of_two_channels() -> None:
    """
    Chunks of reasoning and of tool calls count too.
    """

    def think() -> None:
        with traced("model", kind="llm") as run:
            for channel in ("reasoning", "text", "tool_call"):
                run.token("a", channel=channel)

    with callbacks(BudgetHandler(max_tokens=2)):
        assert stopped(think).value == 3


@pytest.mark.parametrize(
    "usage, tokens",
    [
        ({}, 3),
        ({"input_tokens": 50, "output_tokens": 7}, 57),
        ({"output_tokens": 1}, 1),
        ({"input_tokens": 50}, 53),
    ],
)
def test_usage_replaces_the_chunks(usage: dict[str, int], tokens: int) -> None:
    """
    When a stream has ended its chunks are replaced by what it told; of what it did not
    tell, they stay.
    """
    budget = BudgetHandler(max_tokens=1_000)

    with callbacks(budget):
        open_stream = stream(3, **usage)
        next(open_stream)
        assert budget.spent().tokens == 1
        list(open_stream)

        assert budget.spent().tokens == tokens


def test_streams_at_once() -> None:
    """
    The chunks of all open streams of a request count together.
    """
    with callbacks(BudgetHandler(max_tokens=3)):
        first, second = stream(9), stream(9)
        got = [next(first), next(second), next(first)]
        exc = stopped(lambda: next(second))

    assert len(got) == 3
    assert exc.value == 4


def test_abandoned_stream() -> None:
    """
    A stream that is left early has used what was heard of it.
    """
    budget = BudgetHandler(max_tokens=100)

    with callbacks(budget) as scope:
        for _ in stream(50):
            break
        gc.collect()

    assert budget.spent(scope).tokens == 1


def test_cost_told() -> None:
    """
    When the cost that providers told reaches the limit the next call is refused.
    """
    with callbacks(BudgetHandler(max_cost_usd=0.01)):
        model(cost_usd=0.004)
        model(cost_usd=0.008)
        exc = stopped(search)

    assert (exc.limit, exc.value, exc.maximum) == (
        "max_cost_usd",
        pytest.approx(0.012),
        0.01,
    )
    assert "$0.012 were spent" in str(exc)


def test_cost_by_prices() -> None:
    """
    A table of prices makes the cost of what the provider tells.
    """
    budget = BudgetHandler(max_cost_usd=1, prices={"m": {"input": 1, "output": 2}})

    with callbacks(budget):
        model(input_tokens=500_000, output_tokens=0)
        assert budget.spent().cost_usd == 0.5
        model(input_tokens=0, output_tokens=300_000)

        assert stopped(model).value == pytest.approx(1.1)


def test_cost_that_is_not_known() -> None:
    """
    After a call that cannot be priced the next model or tool call is refused, with the
    model's name and the cure.
    """
    with callbacks(BudgetHandler(max_cost_usd=1)):
        model(input_tokens=1, output_tokens=1)
        with traced("chain"):
            errors = [stopped(model), stopped(search)]

    for exc in errors:
        assert (exc.limit, exc.value, exc.maximum) == ("max_cost_usd", None, 1)
        assert "the cost of model 'm' is not known" in str(exc)
        assert "prices=" in str(exc)
        assert "genai-prices" in str(exc)


def test_cost_of_a_nameless_model() -> None:
    """
    A model without a name is named by its run.
    """
    with callbacks(BudgetHandler(max_cost_usd=1)):
        list(stream(1))

        assert "the cost of llm stream is not known" in str(stopped(search))


def test_model_that_the_table_lacks() -> None:
    """
    A model of a known name that the table lacks is refused at once; one whose name is
    not known yet is not.
    """
    prices = {"other": {"input": 1.0, "output": 1.0}}

    with callbacks(BudgetHandler(max_cost_usd=1, prices=prices)):
        list(stream(1, input_tokens=1))
        exc = stopped(model)
    with callbacks(BudgetHandler(max_cost_usd=1, prices=prices)):
        at_once = stopped(model)
    with callbacks(BudgetHandler(max_calls=1, prices=prices)):
        model()  # no limit of cost, no reason to refuse

    assert "the cost of llm stream is not known" in str(exc)
    assert "the cost of model 'm' is not known" in str(at_once)


def test_retry_after_a_failure() -> None:
    """
    A call that failed before it told anything costs nothing, so that it may be tried
    again.
    """

    @traced.llm(model="m")
    def fail() -> None:
        raise ConnectionError

    with callbacks(BudgetHandler(max_cost_usd=1, max_tokens=10)):
        with pytest.raises(ConnectionError):
            fail()

        assert model(cost_usd=0.1) == "answer"


def test_max_seconds(clock: list[float]) -> None:
    """
    Time runs from the request's first run; it is looked at at each start and chunk.
    """
    heard = Recorder()
    with callbacks(BudgetHandler(max_seconds=30), heard):
        clock[0] += 1_000  # nothing runs yet
        open_stream = stream(9)
        next(open_stream)
        clock[0] += 29.5
        next(open_stream)
        with traced("chain"):
            pass
        clock[0] += 0.5
        errors = [stopped(lambda: next(open_stream)), stopped(traced("c").__enter__)]

    assert [(e.limit, e.value, e.maximum) for e in errors] == [
        ("max_seconds", 30.0, 30)
    ] * 2
    assert heard.runs[0].status == "error"


def test_max_depth() -> None:
    """
    Levels of runs of any kind are limited; a root run is the first.
    """
    with callbacks(BudgetHandler(max_depth=2)), traced("one"):
        with traced("two"):
            exc = stopped(traced("three").__enter__)
        with traced("two again"):
            pass

    assert (exc.limit, exc.value, exc.maximum) == ("max_depth", 2, 2)
    assert "at chain three: 2 levels of runs are above it" in str(exc)


def test_tools() -> None:
    """
    Only the tools that are named may be called.
    """
    with callbacks(BudgetHandler(tools=["search", "read"])):
        assert search() == "found"
        with traced("delete", kind="chain"):
            pass
        exc = stopped(traced("delete", kind="tool").__enter__)

    assert (exc.limit, exc.value) == ("tools", "delete")
    assert exc.maximum == ("search", "read")
    assert "tools=['search', 'read'] stops request " in str(exc)


@pytest.mark.parametrize(
    "limit",
    [
        {"max_tokens": 0},
        {"max_cost_usd": 0},
        {"max_calls": 0},
        {"max_seconds": 0},
        {"max_depth": 0},
        {"tools": []},
    ],
)
def test_zero_allows_none(limit: dict[str, Any]) -> None:
    """
    0, or no tool at all, allows nothing.
    """
    with callbacks(BudgetHandler(**limit)):
        exc = stopped(search if limit == {"tools": []} else model)

    assert exc.limit in limit


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ({}, TypeError, "without a limit stops nothing. Give one"),
        ({"prices": {}}, TypeError, "without a limit"),
        ({"max_tokens": -1}, ValueError, "max_tokens cannot be -1"),
        (
            {"max_tokens": True},
            TypeError,
            "max_tokens must be a whole number, not True",
        ),
        ({"max_tokens": 1.5}, TypeError, "a whole number, not 1.5"),
        ({"max_calls": "3"}, TypeError, "max_calls must be a whole number, not '3'"),
        ({"max_depth": [3]}, TypeError, r"max_depth must be a whole number, not \[3\]"),
        ({"max_cost_usd": float("nan")}, ValueError, "max_cost_usd cannot be nan"),
        ({"max_cost_usd": False}, TypeError, "max_cost_usd must be a number"),
        ({"max_seconds": float("inf")}, ValueError, "leave it out for no limit"),
        ({"max_seconds": "1 s"}, TypeError, "max_seconds must be a number, not '1 s'"),
        ({"tools": "search"}, TypeError, r"Did you mean \['search'\]\?"),
        ({"tools": 3}, TypeError, "tools is a list of names.*not 3"),
        ({"tools": ["a", 3]}, TypeError, r"tools is a list of names.*not \['a', 3\]"),
        ({"tools": b"ab"}, TypeError, "tools is a list of names"),
        ({"max_calls": 1, "prices": 3}, TypeError, "prices is a table"),
    ],
)
def test_bad_arguments(
    arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    """
    What is no limit is refused at once, with the value and the cure.
    """
    with pytest.raises(error, match=words):
        BudgetHandler(**arguments)


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
    When a stopped request is over, nothing of it is left, with the collector off: no
    run, account or error.
    """
    budget = BudgetHandler(max_calls=0, max_depth=9)

    def request() -> list[Any]:
        with callbacks(budget) as scope, traced("chain"):
            try:
                model()
            except BudgetExceeded as exc:
                run: Any = exc.run
                account = budget._accounts.at(scope)
                return [ref(exc), ref(run), ref(account), ref(scope)]
        return []

    gc.disable()
    try:
        gone = request()
        left = [kept() for kept in gone]
    finally:
        gc.enable()

    assert left == [None] * 4
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
