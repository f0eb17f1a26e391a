"""
What one request takes, uses and may use adds up over its workers.
"""

import multiprocessing
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from instrument import bind, callbacks, traced
from instrument.handlers import BudgetHandler, MonitorHandler, UsageHandler

if TYPE_CHECKING:
    from tests.relay import jobs
    from tests.relay.pools import pool_of
else:
    jobs = import_module("jobs")
    pool_of = import_module("pools").pool_of

METHODS = multiprocessing.get_all_start_methods()
SUMS = ("count", "errors", "input_tokens", "output_tokens", "cost_usd")
pytestmark = [
    pytest.mark.wide,
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


def sums(monitor: MonitorHandler) -> dict[str, list[Any]]:
    """
    Give what was counted of each name, and is not time.
    """
    return {
        name: [getattr(stats, what) for what in SUMS]
        for name, stats in monitor.stats.items()
    }


@pytest.mark.parametrize("method", METHODS)
def test_monitor_counts_what_workers_do(method: str) -> None:
    """
    A `MonitorHandler` counts of each name what it would count here, a function of the
    application's by its own and not by the model that it asks: calls, errors, tokens,
    cost, and the times that were measured there.
    """
    here, home = MonitorHandler(memory=False), MonitorHandler(memory=False)
    with callbacks(here):
        for _ in range(6):
            jobs.everything()

    with callbacks(home), pool_of(3, method) as pool:
        for future in [pool.submit(bind(jobs.everything)) for _ in range(6)]:
            future.result()

    assert sums(home) == sums(here)
    assert home.stats["complete"].input_tokens == 18
    assert home.stats["agent"].count == home.stats["passes_on"].errors == 6
    assert home.stats["agent"].total_s >= home.stats["think"].total_s > 0
    assert home.stats["think"].first_token_p50_s is not None


def test_monitor_measures_no_other_process() -> None:
    """
    CPU and memory of a process tell nothing of a run whose body is in another.
    """
    monitor = MonitorHandler()

    with callbacks(monitor), pool_of(1) as pool, traced("request"):
        pool.submit(bind(jobs.drained), 2_000).result()

    there, request = monitor.stats["burst"], monitor.stats["request"]
    assert (there.count, there.cpu_s, there.memory_bytes_max) == (1, 0.0, None)
    assert request.cpu_s > 0
    assert request.memory_bytes_max is not None


def test_groups_go_along() -> None:
    """
    What is counted apart by the metadata of a request's block is so in its workers.
    """
    monitor = MonitorHandler(memory=False, group_by="user_id")
    usage = UsageHandler(group_by="user_id")

    with callbacks(monitor, usage).install(), pool_of(2) as pool:
        for user, count in (("ada", 3), ("bob", 4)):
            with callbacks(metadata={"user_id": user}):
                pool.submit(bind(jobs.calls), count).result()

    assert {key: it.count for key, it in monitor.stats.items()} == {
        ("ada", "counted_call"): 3,
        ("bob", "counted_call"): 4,
    }
    assert {user: it.input_tokens for user, it in usage.by_group.items()} == {
        "ada": 6,
        "bob": 8,
    }


@pytest.mark.parametrize("limit", [{"max_tokens": 18}, {"max_cost_usd": 0.9}], ids=str)
def test_budget_spent_in_one_worker(limit: dict[str, Any]) -> None:
    """
    What one worker has spent stops the next call in another one, and here; another
    request has an account of its own.
    """
    budget, usage = BudgetHandler(**limit), UsageHandler()

    with pool_of(1) as pool, pool_of(1) as other:
        with callbacks(budget, usage):
            first = pool.submit(bind(jobs.calls), 6).result()
            second = other.submit(bind(jobs.calls), 1).result()
            here = jobs.calls(1)
            spent = budget.spent()
        with callbacks(budget):
            anew = other.submit(bind(jobs.calls), 1).result()

    (name,) = limit
    assert first[:4] == ["ok"] * 4
    assert [it[:16] for it in first[4:6]] == ["BudgetExceeded: "] * 2
    assert first[6] == "4 bodies"
    for each in (second, here):
        assert name in each[0]
        assert each[1] == "0 bodies"
    assert (spent.calls, spent.tokens, spent.cost_usd) == (
        4,
        20,
        1.0 if name == "max_cost_usd" else 0.0,
    )
    assert usage.total.cost_usd == 1.0
    assert anew == ["ok", "1 bodies"]


def test_budget_of_tokens_stops_a_stream() -> None:
    """
    A limit of tokens that is reached in mid-stream stops that worker's next call, and
    what is told of the stream until then is counted.
    """
    budget = BudgetHandler(max_tokens=100)

    with callbacks(budget), pool_of(2) as pool:
        pool.submit(bind(jobs.drained), 1_000).result()
        refused = pool.submit(bind(jobs.calls), 1).result()
        spent = budget.spent()

    assert "max_tokens" in refused[0]
    assert spent.tokens == 1_000
