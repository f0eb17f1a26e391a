"""
`UsageHandler`: tokens, calls and cost by model, per request and in total.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from instrument import BaseCallbackHandler, bind, callbacks, current_run, traced
from instrument.handlers import UsageHandler
from instrument.handlers._usage import MOST_MODELS, ModelUsage

PRICES: dict[str, dict[str, float]] = {"m": {"input": 1.0, "output": 2.0}}


approx: Any = pytest.approx  # typed as what it equals


@pytest.fixture
def usage() -> UsageHandler:
    """
    A handler that knows the price of one model.
    """
    return UsageHandler(PRICES)


@traced.chat_model(model="m", provider="p")
def model(**usage: int) -> None:
    """
    Consume what is given.
    """
    current_run().record_usage(**usage)


@traced.llm
def nameless(error: Exception | None = None) -> None:
    """
    Consume, and tell no name.
    """
    current_run().record_usage(input_tokens=7, reasoning_tokens=2)
    if error is not None:
        raise error


def test_by_model(usage: UsageHandler) -> None:
    """
    What each model consumed is summed under provider and name, None where unknown.
    """
    with callbacks(usage):
        model(input_tokens=100, output_tokens=10, cache_read_tokens=40)
        model(input_tokens=200, output_tokens=20)
        nameless()

    assert usage.by_model == {
        ("p", "m"): ModelUsage(
            calls=2,
            input_tokens=300,
            output_tokens=30,
            cache_read_tokens=40,
            cost_usd=approx(360e-6),
        ),
        (None, None): ModelUsage(
            calls=1, unpriced_calls=1, input_tokens=7, reasoning_tokens=2
        ),
    }


def test_total(usage: UsageHandler) -> None:
    """
    The total is over all models; its cost is what is known.
    """
    with callbacks(usage):
        model(input_tokens=100, output_tokens=10, cache_write_tokens=5)
        nameless()

    assert usage.total == ModelUsage(
        calls=2,
        unpriced_calls=1,
        input_tokens=107,
        output_tokens=10,
        cache_write_tokens=5,
        reasoning_tokens=2,
        cost_usd=approx(120e-6),
    )


def test_only_models_and_embeddings_count(usage: UsageHandler) -> None:
    """
    Runs of kind llm, chat_model and embedding count, others do not.
    """
    kinds = ["llm", "chat_model", "embedding", "chain", "tool", "retriever", "agent"]

    with callbacks(usage):
        for kind in kinds:
            with traced("run", kind=kind, model=kind) as run:
                run.record_usage(input_tokens=1)

    assert [name for _, name in usage.by_model] == kinds[:3]


def test_failed_and_abandoned_calls_count(usage: UsageHandler) -> None:
    """
    A call that fails or is left counts, with what usage it told until then.
    """

    @traced.chat_model(model="m")
    def stream() -> Iterator[dict[str, Any]]:
        yield {"content": "a", "usage": {"input_tokens": 3, "output_tokens": 1}}
        yield {"content": "b"}

    with callbacks(usage):
        with pytest.raises(OSError, match="gone"):
            nameless(OSError("gone"))
        for _ in stream():
            break

    assert usage.by_model[None, None].input_tokens == 7
    assert usage.by_model[None, "m"].calls == 1
    assert usage.total.calls == 2


def test_answers_model_is_the_model(usage: UsageHandler) -> None:
    """
    A call counts under the name that the answer gives, at the price of the name that
    was asked for.
    """

    @traced.chat_model(model="m")
    def ask() -> dict[str, Any]:
        return {
            "model": "m-2026-11-22",
            "content": "a",
            "usage": {"input_tokens": 1_000_000, "output_tokens": 0},
        }

    with callbacks(usage):
        ask()

    assert usage.by_model[None, "m-2026-11-22"].cost_usd == 1.0


def test_cost_by_genai_prices() -> None:
    """
    Without a table the cost comes from genai-prices, where it is installed.
    """
    pytest.importorskip("genai_prices")
    usage = UsageHandler()

    with callbacks(usage), traced("c", kind="llm", model="gpt-4o", provider="openai"):
        current_run().record_usage(input_tokens=1_000, output_tokens=1_000)

    assert usage.total.unpriced_calls == 0
    assert 0.001 < (usage.total.cost_usd or 0) < 1


def test_request(usage: UsageHandler) -> None:
    """
    A request has an account of its own: in hand, by its scope, and by any of its runs.
    """
    with callbacks(usage) as one:
        model(input_tokens=1)
        with traced("chain") as run:
            model(input_tokens=2)
            assert usage.request().total.input_tokens == 3
    with callbacks(usage):
        model(input_tokens=10)
        assert usage.request().total.input_tokens == 10

    assert usage.request(one).by_model["p", "m"].calls == 2
    assert usage.request(run).total.input_tokens == 3
    assert usage.request().total == ModelUsage()
    assert usage.total.input_tokens == 13
    assert "input_tokens=3" in repr(usage.request(one))


def test_request_in_another_handler(usage: UsageHandler) -> None:
    """
    Another handler of the request asks by the run that it is told of.
    """
    seen = []

    class Meter(BaseCallbackHandler):
        def on_chain_end(self, *args: Any, **kwargs: Any) -> None:
            seen.append(usage.request(kwargs["run"]).total.calls)

    with callbacks(usage, Meter()), traced("chain"):
        model()

    assert seen == [1]


def test_report(usage: UsageHandler) -> None:
    """
    The report is a table with a total, without columns of which nothing is known.
    """
    with callbacks(usage):
        model(input_tokens=1_000, output_tokens=500)
        nameless()

    assert usage.report().split("\n") == [
        "model  provider  calls     in  out  reasoning      cost",
        "m      p             1  1,000  500              $0.0020",
        "-      -             1      7               2  no price",
        "total                2  1,007  500          2   $0.0020",
        "1 call without a price",
    ]
    assert repr(usage) == "<UsageHandler: 2 calls of 2 models>"


def test_to_dicts(usage: UsageHandler) -> None:
    """
    `to_dicts` is JSON: one dict per model.
    """
    with callbacks(usage):
        model(input_tokens=1, output_tokens=1)

    (told,) = json.loads(json.dumps(usage.to_dicts()))
    assert (told["provider"], told["model"], told["calls"]) == ("p", "m", 1)
    assert told["cost_usd"] == pytest.approx(3e-6)
    assert told["reasoning_tokens"] is None


def test_reset(usage: UsageHandler) -> None:
    """
    After `reset` it begins anew, for all requests.
    """
    with callbacks(usage) as scope:
        model(input_tokens=1)
        usage.reset()
        model(input_tokens=5)

    assert usage.total.input_tokens == 5
    assert usage.request(scope).total.calls == 1


def test_hostile_names(usage: UsageHandler) -> None:
    """
    No name breaks the table, drives a terminal, becomes HTML, or is kept at length.
    """
    names = ["\x1b[2J", "{}", "<red>", "a\r\nb", "\ud800", "<b>" + "x" * 10_000_000]

    with callbacks(usage):
        for name in names:
            with traced("call", kind="llm", model=name, provider=name):
                pass

    assert len(usage.report().split("\n")) == 3 + len(names)
    assert usage.report().replace("\n", "").isprintable()
    assert "<b>" not in usage._repr_html_()
    assert "&lt;red&gt;" in usage._repr_html_()
    assert max(len(name or "") for _, name in usage.by_model) < 300


def test_hostile_payloads(usage: UsageHandler, reports: list[str]) -> None:
    """
    Payloads are nothing to it, and a model that is no name counts without one.
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
        return given

    with callbacks(usage):
        for given in (Rude(), cyclic, "x" * 10_000_000):
            ask(given)

    assert usage.by_model[None, None].calls == 3
    assert reports == []


def test_models_are_bounded(usage: UsageHandler) -> None:
    """
    After 1,000 models the calls of further ones count as ``(other)``.
    """
    with callbacks(usage):
        for i in range(MOST_MODELS + 50):
            with traced("call", kind="llm", model=f"model {i}"):
                pass
        with traced("call", kind="llm", model="model 0"):
            pass

    models = usage.by_model
    assert len(models) == MOST_MODELS + 1
    assert models["(other)", "(other)"].calls == 50
    assert models[None, "model 0"].calls == 2


def test_threads_and_tasks(usage: UsageHandler) -> None:
    """
    10,000 calls over 50 threads and 500 tasks at once are counted exactly, in total and
    per request.
    """
    requests = []

    def call() -> None:
        with callbacks(usage) as scope:
            for _ in range(100):
                model(input_tokens=1, output_tokens=1)
        requests.append(scope)

    async def task() -> None:
        async with callbacks(usage) as scope:
            for _ in range(10):
                model(input_tokens=1, output_tokens=1)
                await asyncio.sleep(0)
        requests.append(scope)

    async def tasks() -> None:
        await asyncio.gather(*(task() for _ in range(500)))

    with ThreadPoolExecutor(51) as pool:
        jobs: list[Callable[[], object]] = [lambda: asyncio.run(tasks())]
        for future in [pool.submit(bind(job)) for job in jobs + [call] * 50]:
            future.result()

    total = usage.total
    assert (total.calls, total.input_tokens, total.output_tokens) == (10_000,) * 3
    assert total.cost_usd == pytest.approx(0.03)
    counts = [usage.request(scope).total.calls for scope in requests]
    assert sorted(counts) == [10] * 500 + [100] * 50


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_async_request(usage: UsageHandler) -> None:
    """
    In async code a request counts what its streams consumed, drained within or later.
    """

    @traced.llm(model="m")
    async def stream() -> Any:
        yield "a"
        current_run().record_usage(input_tokens=1, output_tokens=1)

    async with callbacks(usage) as scope:
        assert [token async for token in stream()] == ["a"]
        late = stream()
    assert [token async for token in late] == ["a"]

    assert usage.request(scope).total.calls == 2


@pytest.mark.parametrize("prices", [3, {"m": 1}, {"m": {"input": -1, "output": 1}}])
def test_bad_prices(prices: Any) -> None:
    """
    A bad table of prices is refused at once.
    """
    with pytest.raises((TypeError, ValueError), match="prices"):
        UsageHandler(prices)


def test_what_names_no_request(usage: UsageHandler) -> None:
    """
    What is neither a scope nor a run is refused.
    """
    with pytest.raises(TypeError, match="named by its block"):
        usage.request("request")
