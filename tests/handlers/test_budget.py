"""
`BudgetHandler`: each limit, before a call and in mid-stream, for each request apart.
"""

import gc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from instrument import callbacks, current_run, traced
from instrument.exceptions import BudgetExceeded
from instrument.handlers import BudgetHandler
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
        "max_calls=3 stops the request at chat_model 'model': 3 model calls were made."
        " Raise max_calls, or give each request a block of its own."
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
    assert heard.runs[0].error is exc
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
    assert "0.012 US dollars were spent" in str(exc)


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

        assert "the cost of llm 'stream' is not known" in str(stopped(search))


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

    assert "the cost of llm 'stream' is not known" in str(exc)
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
    assert "at chain 'three': 2 levels of runs are above it" in str(exc)


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
    assert "tools=['search', 'read'] stops the request at tool 'delete'" in str(exc)


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
