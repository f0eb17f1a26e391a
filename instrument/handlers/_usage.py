"""
`UsageHandler`: tokens, calls and cost by model, per request and in total.
"""

from collections import defaultdict
from dataclasses import asdict, dataclass

from instrument._audience.handler import BaseCallbackHandler
from instrument._forks import fork_lock
from instrument._text import cut
from instrument.handlers._shared.accounts import Accounts
from instrument.handlers._shared.prices import Prices
from instrument.handlers._shared.table import Table, written_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    from instrument._runs.run import Run
    from instrument.handlers._shared.prices import PriceTable

    Key: TypeAlias = tuple[str | None, str | None]

MOST_MODELS = 1_000
"""How many models are told apart; calls of further ones count as ``(other)``."""
LONGEST_NAME = 200
_OTHER = ("(other)", "(other)")
_HEAD = ["provider", "model", "calls", "input", "output", "cache read", "cache write"]
_HEAD += ["reasoning", "cost", "unpriced"]


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """
    What model calls consumed. None means not known.

    Attributes:
        calls: Calls that have ended, well or not.
        unpriced_calls: Those whose cost is not known, and so is not in `cost_usd`.
        input_tokens: Tokens read, cached ones included.
        output_tokens: Tokens written, reasoning included.
    """

    calls: int = 0
    unpriced_calls: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: float | None = None


class Ledger:
    """
    What the models of one request, or of all, consumed up to now.
    """

    def __init__(self) -> None:
        self._tallies: dict[Key, defaultdict[str, Any]] = {}
        self._lock = fork_lock()

    def __repr__(self) -> str:
        return f"<Ledger of {len(self._tallies)} models: {self.total}>"

    @property
    def total(self) -> ModelUsage:
        """
        What all models consumed.
        """
        whole: defaultdict[str, Any] = defaultdict(int)
        for usage in self.by_model.values():
            for name, count in asdict(usage).items():
                if count is not None:
                    whole[name] += count
        return ModelUsage(**whole)

    @property
    def by_model(self) -> "dict[Key, ModelUsage]":
        """
        What each model consumed, by ``(provider, model)``; None where not known.
        """
        with self._lock:  # a list, as a call may end, and be new, in between
            known = list(self._tallies.items())
            return {key: ModelUsage(**tally) for key, tally in known}

    def add(self, key: "Key", counts: "dict[str, Any]") -> None:
        """
        Add the *counts* of one call, by the fields of `ModelUsage`.
        """
        with self._lock:
            tallies = self._tallies
            if key not in tallies:
                key = key if len(tallies) < MOST_MODELS else _OTHER
                tallies.setdefault(key, defaultdict(int))
            tally = tallies[key]
            for name, count in counts.items():
                tally[name] += count  # this is not interrupted by a collection


class UsageHandler(BaseCallbackHandler):
    """
    Count the tokens, calls and cost of models and embeddings.

    Args:
        prices: US dollars per million tokens by model, ``{"my-model": {"input": 3.0,
            "output": 15.0}}``, for models whose provider tells no cost. Without it
            the package genai-prices is asked, if it is installed. A model without a
            price is counted in `unpriced_calls`, and not in the cost.

    Runs that failed or were left count with what usage they recorded; one model run
    inside another counts beside it. At most 1,000 models are told apart, their names
    cut at 200 characters.

    Raises:
        TypeError, ValueError: For a bad table of prices.
    """

    def __init__(self, prices: "PriceTable | None" = None) -> None:
        self._prices = Prices(prices)
        self.reset()

    def __repr__(self) -> str:
        total = self.total
        return f"<UsageHandler: {total.calls} calls of {len(self.by_model)} models>"

    def _repr_html_(self) -> str:
        return self._table().html()

    def on_llm_start(self, *args: "Any", **kwargs: "Any") -> None:
        self._prices.asked(kwargs["run"])

    on_chat_model_start = on_embedding_start = on_llm_start

    def on_llm_end(self, *args: "Any", **kwargs: "Any") -> None:
        self._count(kwargs["run"])

    on_llm_error = on_embedding_end = on_embedding_error = on_llm_end

    @property
    def total(self) -> ModelUsage:
        """
        What was consumed since `reset`.
        """
        return self._all.total

    @property
    def by_model(self) -> "dict[Key, ModelUsage]":
        """
        The same by ``(provider, model)``; None where not known.
        """
        return self._all.by_model

    def request(self, scope_or_run: object = None) -> Ledger:
        """
        Give `total` and `by_model` of one request; they go on counting.

        Args:
            scope_or_run: A run of the request, or what ``with callbacks(...) as`` gave;
                by default the request in hand. Of what is none, nothing is counted.
        """
        return self._accounts.look_up(scope_or_run, self)

    def to_dicts(self) -> "list[dict[str, Any]]":
        """
        Give `by_model` as plain dicts, for JSON or a data frame.
        """
        return [
            {"provider": provider, "model": model, **asdict(usage)}
            for (provider, model), usage in self.by_model.items()
        ]

    def report(self) -> str:
        """
        Write `by_model` and the total as a table; columns of which nothing is known are
        left out.
        """
        return self._table().text()

    def reset(self) -> None:
        """
        Begin anew, for all requests.
        """
        self._all = Ledger()
        self._accounts = Accounts(Ledger)

    def _count(self, run: "Run") -> None:
        counts: dict[str, Any] = {**run.usage.to_dict(), "calls": 1}
        cost_usd = self._prices.cost_usd(run)
        if cost_usd is None:
            counts["unpriced_calls"] = 1
        else:
            counts["cost_usd"] = cost_usd
        key = (_name(run.provider), _name(run.model))
        self._all.add(key, counts)
        self._accounts.of(run, self).add(key, counts)

    def _table(self) -> Table:
        ledger = self._all
        rows = [
            _row(provider or "-", model or "-", usage)
            for (provider, model), usage in ledger.by_model.items()
        ]
        return Table(_HEAD, [*rows, _row("total", "", ledger.total)], names=2)


def _name(value: object) -> str | None:
    return cut(value, LONGEST_NAME) if isinstance(value, str) else None


def _row(provider: str, model: str, usage: ModelUsage) -> list[str]:
    cost = usage.cost_usd
    return [
        provider,
        model,
        written_count(usage.calls),
        written_count(usage.input_tokens),
        written_count(usage.output_tokens),
        written_count(usage.cache_read_tokens),
        written_count(usage.cache_write_tokens),
        written_count(usage.reasoning_tokens),
        "" if cost is None else f"${cost:,.4f}",
        written_count(usage.unpriced_calls or None),
    ]
