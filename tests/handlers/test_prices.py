"""
`Prices`: told, from a table, or from genai-prices; never guessed.
"""

import os
import subprocess
import sys
from typing import Any

import pytest

from instrument import callbacks, traced
from instrument.handlers._shared.prices import Prices
from instrument.testing import Recorder

TABLE: dict[str, dict[str, float]] = {
    "m": {"input": 2.0, "output": 10.0, "cache_read": 0.5, "cache_write": 4.0},
    "free": {"input": 0, "output": 0},
}


def cost(prices: Prices, **call: Any) -> float | None:
    """
    Tell what a call cost.

    Args:
        call: ``kind``, ``model``, ``provider``; ``answers``, the model that it says it
            was; else the usage that it recorded.
    """
    given = {"kind": "llm", "model": "m", "provider": None, "answers": None} | call
    usage = {name: call[name] for name in call if name.endswith(("_tokens", "_usd"))}
    options = {name: given[name] for name in ("kind", "model", "provider")}
    heard = Recorder()
    with callbacks(heard), traced("call", **options) as run:
        prices.asked(run)
        run.model = given["answers"] or run.model
        run.record_usage(**usage)
    return prices.cost_usd(heard.runs[0])


@pytest.fixture
def without_genai(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The package genai-prices is not installed.
    """
    monkeypatch.setitem(sys.modules, "genai_prices", None)


def test_what_the_provider_tells_comes_first() -> None:
    """
    A cost that was told is taken, whatever the table says.
    """
    usage = {"input_tokens": 10, "output_tokens": 10, "cost_usd": 0.5}

    assert cost(Prices(TABLE), **usage) == 0.5


@pytest.mark.parametrize(
    "usage, expected",
    [
        ({"input_tokens": 1_000_000, "output_tokens": 0}, 2.0),
        ({"input_tokens": 0, "output_tokens": 100_000}, 1.0),
        ({"input_tokens": 1_000, "output_tokens": 0, "cache_read_tokens": 800}, 800e-6),
        (
            {"input_tokens": 1_000, "output_tokens": 0, "cache_write_tokens": 1_000},
            4e-3,
        ),
        ({"input_tokens": 10, "output_tokens": 0, "cache_read_tokens": 20}, 1e-5),
        ({"input_tokens": 10}, None),
        ({"output_tokens": 10}, None),
        ({}, None),
        ({"input_tokens": 10**400, "output_tokens": 0}, 2**63 * 2e-6),
    ],
)
def test_table(usage: dict[str, int], expected: float | None) -> None:
    """
    A table prices input without its cached part, that part, and output; what is not
    known has no price.
    """
    assert cost(Prices(TABLE), **usage) == pytest.approx(expected)


def test_cached_tokens_without_a_price() -> None:
    """
    Where the table has no price for cached tokens, they cost what input does.
    """
    prices = Prices({"m": {"input": 1.0, "output": 1.0}})
    usage = {"cache_read_tokens": 300_000, "cache_write_tokens": 200_000}

    got = cost(prices, input_tokens=1_000_000, output_tokens=0, **usage)

    assert got == pytest.approx(1.0)


def test_embeddings_write_nothing() -> None:
    """
    The cost of an embedding is known without output tokens.
    """
    assert cost(Prices(TABLE), kind="embedding", input_tokens=500_000) == 1.0


def test_free_is_a_price() -> None:
    """
    A model that costs nothing is priced.
    """
    assert cost(Prices(TABLE), model="free", input_tokens=1, output_tokens=1) == 0.0


def test_answer_names_its_model_more_exactly() -> None:
    """
    A model that is in the table as asked for is priced, whatever the answer calls it;
    the answer's own name comes first.
    """
    usage = {"input_tokens": 0, "output_tokens": 1_000_000}

    assert cost(Prices(TABLE), answers="m-2026-11-22", **usage) == 10.0
    assert cost(Prices(TABLE), answers="free", **usage) == 0.0
    assert cost(Prices(TABLE), model=None, answers="x", **usage) is None


def test_call_that_failed_at_once_costs_nothing() -> None:
    """
    A call that failed before a token or any usage cost nothing; one that failed after
    a token cost what is not known.
    """
    heard, prices = Recorder(), Prices(TABLE)
    for tokens in (0, 1):
        with (
            pytest.raises(OSError, match="gone"),
            callbacks(heard),
            traced("call", kind="llm", model="m") as run,
        ):
            for _ in range(tokens):
                run.token("a")
            raise OSError("gone")

    assert [prices.cost_usd(run) for run in heard.runs] == [0.0, None]


@pytest.mark.usefixtures("without_genai")
def test_without_genai_prices() -> None:
    """
    Without the package only the table prices, and nothing is raised.
    """
    usage = {"input_tokens": 10, "output_tokens": 1}

    assert cost(Prices(), model="gpt-4o", provider="openai", **usage) is None
    assert cost(Prices(TABLE), **usage) is not None


@pytest.mark.parametrize(
    "model, provider, is_priced",
    [
        ("gpt-4o", "openai", True),
        ("gpt-4o", "OpenAI", True),
        ("gemini-2.5-pro", "google_genai", True),
        ("gpt-4o", None, False),
        (None, "openai", False),
        ("gpt-4o", "my-openai", False),  # the package would take it for OpenAI
        ("gpt-4o", "litellm", False),
        ("gpt-4o", "nobody", False),
        ("my-gpt-4o", "openai", False),
        ("x" * 10_000_000, "openai", False),
        ("{}<red>\x1b\r\n\ud800", "openai", False),
    ],
)
def test_genai_prices(model: str | None, provider: str | None, is_priced: bool) -> None:
    """
    The package prices a model under the very name of its provider, and no other.
    """
    pytest.importorskip("genai_prices")
    usage = {"input_tokens": 1_000, "output_tokens": 100}

    got = cost(Prices(), model=model, provider=provider, **usage)

    assert (got is not None and got > 0) is is_priced


def test_genai_prices_with_usage_that_cannot_be() -> None:
    """
    Usage that the package refuses has no price; the next call of that model has one.
    """
    pytest.importorskip("genai_prices")
    prices, model = Prices(), {"model": "gpt-4o", "provider": "openai"}
    usage = {"input_tokens": 1, "output_tokens": 1}

    assert cost(prices, **model, **usage, cache_read_tokens=100) is None
    assert cost(prices, **model, **usage)


def test_table_comes_before_genai_prices() -> None:
    """
    A model in the table costs what the table says; others are looked up.
    """
    pytest.importorskip("genai_prices")
    prices = Prices({"gpt-4o": {"input": 0, "output": 0}})
    usage = {"input_tokens": 1_000, "output_tokens": 100}

    assert cost(prices, model="gpt-4o", provider="openai", **usage) == 0.0
    assert cost(prices, model="gpt-4o-mini", provider="openai", **usage)


_UNPRICED = """
import sys
from instrument import callbacks, current_run, traced
from instrument.handlers import *

def call(**options):
    with traced("m", kind="chat_model", **options) as run:
        run.record_usage(input_tokens=1, output_tokens=1)

found = []
with callbacks(handlers()):
    for options in ({}, {"model": "m"}, {"model": "gpt-4o", "provider": "openai"}):
        found.append("genai_prices" in sys.modules)
        with traced("first"), traced("second", kind="tool"):
            call(**options)
found.append("genai_prices" in sys.modules)
print(found, file=sys.stderr)
"""


@pytest.mark.parametrize(
    "made",
    [
        "StdOutCallbackHandler()",
        "TreeHandler()",
        "RequestLogger()",
        "MonitorHandler(), UsageHandler(), BudgetHandler(max_calls=9)",
    ],
)
def test_genai_prices_are_imported_late(made: str) -> None:
    """
    The package is imported, which takes a while, beside the first call of a model that
    it may know; no sooner.
    """
    pytest.importorskip("genai_prices")
    pytest.importorskip("rich")
    code = _UNPRICED.replace("handlers()", made)

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stderr.splitlines()[-1] == "[False, False, False, True]"


_BESIDE = """
import os, sys, threading
from instrument import callbacks, current_run, traced
from instrument.handlers import StdOutCallbackHandler

def refuse(self):
    raise RuntimeError("can't start new thread")

if "no thread" in sys.argv:
    threading.Thread.start = refuse
with callbacks(StdOutCallbackHandler(sys.stderr)):
    options = {"model": "gpt-4o-mini", "provider": "openai"}
    with traced("m", kind="chat_model", **options) as run:
        print("instrument prices" in [it.name for it in threading.enumerate()])
        sys.stdout.flush()
        child = os.fork() if "fork" in sys.argv else None
        run.record_usage(input_tokens=40, output_tokens=12)
    if child == 0:
        os._exit(7)
if child:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
@pytest.mark.parametrize("way", ["plain", "fork", "no thread"])
def test_genai_prices_are_imported_beside_the_call(way: str) -> None:
    """
    That is done in a thread while the call runs, if there is one to be had; its end
    waits for the rest of it, and so does a fork.
    """
    pytest.importorskip("genai_prices")
    command = [sys.executable, "-W", "ignore", "-c", _BESIDE, way]

    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout == f"{way != 'no thread'}\n"
    assert done.stderr.count("40 in, 12 out, $0.000013\n") == 1 + (way == "fork")


def test_genai_prices_that_cannot_be_had_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where there is no descriptor to import it there is no price, until there is one.
    """
    pytest.importorskip("genai_prices")

    class Full:
        def find_spec(self, name: str, path: Any, target: Any = None) -> None:
            if name == "genai_prices":
                raise OSError(24, "Too many open files")

    call = {"model": "gpt-4o", "provider": "openai", "input_tokens": 10**6}
    prices = Prices()
    with monkeypatch.context() as full:
        full.delitem(sys.modules, "genai_prices")
        full.setattr(sys, "meta_path", [Full(), *sys.meta_path])
        without = cost(prices, **call, output_tokens=0)

    assert without is None
    assert cost(prices, **call, output_tokens=0)


def test_lookups_are_bounded() -> None:
    """
    After 1,000 models no further one is looked up.
    """
    pytest.importorskip("genai_prices")
    prices, usage = Prices(), {"input_tokens": 1_000, "output_tokens": 100}
    prices._known = {(str(i), "openai"): False for i in range(1_000)}

    assert cost(prices, model="gpt-4o", provider="openai", **usage) is None
    assert len(prices._known) == 1_000


@pytest.mark.parametrize(
    "table, error, words",
    [
        ([("m", 1)], TypeError, "prices is a table"),
        ("m", TypeError, "prices is a table"),
        ({3: {"input": 1, "output": 1}}, TypeError, "named by a str, not 3"),
        ({"m": 3.0}, TypeError, r"prices\['m'\] is \{'input'.*not 3.0"),
        ({"m": {"input": 1}}, ValueError, "lacks 'output': add it"),
        ({"m": {"output": 1}}, ValueError, "lacks 'input': add it"),
        ({"m": {}}, ValueError, "lacks 'input'"),
        ({"m": {"input": -1, "output": 1}}, ValueError, "cannot be -1"),
        ({"m": {"input": float("nan"), "output": 1}}, ValueError, "cannot be nan"),
        ({"m": {"input": float("inf"), "output": 1}}, ValueError, "cannot be inf"),
        ({"m": {"input": True, "output": 1}}, TypeError, "a number, not True"),
        ({"m": {"input": "1", "output": 1}}, TypeError, "a number, not '1'"),
        ({"m": {"input": 1, "output": 1, "cached": 1}}, ValueError, "not 'cached'"),
    ],
)
def test_bad_tables(table: Any, error: type[Exception], words: str) -> None:
    """
    A bad table is refused at once, with the value and the cure.
    """
    with pytest.raises(error, match=words):
        Prices(table)


def test_table_is_copied() -> None:
    """
    A table that is changed later changes nothing.
    """
    table = {"m": {"input": 1.0, "output": 1.0}}
    prices = Prices(table)

    table["m"]["output"] = 5.0

    assert cost(prices, input_tokens=0, output_tokens=1_000_000) == 1.0
