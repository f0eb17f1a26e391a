"""
`UsageHandler`: tokens, calls and cost by model, per request and in total.
"""

from collections import defaultdict
from dataclasses import asdict, dataclass

from instrument._audience.handler import BaseCallbackHandler
from instrument._forks import fork_lock
from instrument._interrupts import Taking
from instrument._text import cut, safe_repr
from instrument.handlers._shared import amounts
from instrument.handlers._shared.accounts import Accounts
from instrument.handlers._shared.groups import checked_group_by, group_of
from instrument.handlers._shared.prices import Prices
from instrument.handlers._shared.table import (
    Table,
    listed,
    width_of_tables,
    written_count,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, TypeAlias

    from instrument._runs.run import Run
    from instrument.handlers._shared.prices import PriceTable

    Key: TypeAlias = tuple[str | None, str | None]
    Tallied: TypeAlias = tuple[str | None, str | None, str | None]

MOST_MODELS = 1_000
"""How many models are told apart; calls of further ones count as ``(other)``."""
LONGEST_NAME = 200
_OTHER = "(other)"
_HEAD = ["model", "provider", "calls", "in", "cached", "out", "reasoning", "cost"]
_REASONING = _HEAD.index("reasoning")
_WIDE = 86
"""The width from which on there is room for reasoning."""
_MOST_HINTED = 3


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


_FIELDS = tuple(ModelUsage.__dataclass_fields__)


class Ledger:
    """
    What the models of one request, or of all, consumed up to now.
    """

    def __init__(self) -> None:
        self._tallies: dict[Tallied, dict[str, Any]] = {}
        self._lock = fork_lock()

    def __repr__(self) -> str:
        return f"<Ledger of {len(self._tallies)} models: {self.total}>"

    @property
    def total(self) -> ModelUsage:
        """
        What all models consumed.
        """
        return _sums(("", usage) for usage in self._by_row().values())[""]

    @property
    def by_model(self) -> "dict[Key, ModelUsage]":
        """
        What each model consumed, by ``(provider, model)``; None where not known.
        """
        return dict(_sums((key[1:], it) for key, it in self._by_row().items()))

    @property
    def by_group(self) -> "dict[str, ModelUsage]":
        """
        What was consumed for each value of the metadata that it is grouped by.
        """
        rows = self._by_row().items()
        return dict(_sums((key[0], it) for key, it in rows if key[0] is not None))

    def _by_row(self) -> "dict[Tallied, ModelUsage]":
        with self._lock:  # a list, as a call may end, and be new, in between
            known = list(self._tallies.items())
            return {key: ModelUsage(**tally) for key, tally in known}

    def add(self, key: "Tallied", counts: "dict[str, Any]") -> None:
        """
        Add the *counts* of one call, by the fields of `ModelUsage`.

        Args:
            key: What it is grouped by, or None, the provider and the model.
        """
        self.add_with(self, key, counts, Taking())

    def add_with(
        self,
        other: "Ledger",
        key: "Tallied",
        counts: "dict[str, Any]",
        taking: Taking,
    ) -> None:
        """
        Add them here and to *other*, wholly or not at all, and tell *taking* which.

        A collection may have another call counted meanwhile: then they are added anew.
        """
        is_done = False
        with self._lock, other._lock:
            here, there = self._place(key), other._place(key)
            while not is_done:
                known, others = self._tallies[here], other._tallies[there]
                sums, other_sums = _added(known, counts), _added(others, counts)
                # nothing is called from here on
                if self._tallies[here] is known and other._tallies[there] is others:
                    taking.is_taken = is_done = True
                    self._tallies[here] = sums
                    other._tallies[there] = other_sums

    def _place(self, key: "Tallied") -> "Tallied":
        if key not in self._tallies and len(self._tallies) >= MOST_MODELS:
            key = None if key[0] is None else _OTHER, _OTHER, _OTHER
        self._tallies.setdefault(key, {})
        return key


class UsageHandler(BaseCallbackHandler):
    """
    Count the tokens, calls and cost of models and embeddings.

    Args:
        prices: US dollars per million tokens by model, ``{"my-model": {"input": 3.0,
            "output": 15.0}}``, for models whose provider tells no cost. Without it
            the package genai-prices is asked, if it is installed. A model without a
            price is counted in `unpriced_calls`, and not in the cost.
        group_by: A key of the runs' metadata, ``"user_id"``: each value is counted
            apart too, ``-`` where there is none.

    Runs that failed or were left count with what usage they recorded; one model run
    inside another counts beside it. At most 1,000 models are told apart, their names
    cut at 200 characters.

    Raises:
        TypeError, ValueError: For a bad table of prices.
    """

    def __init__(
        self, prices: "PriceTable | None" = None, *, group_by: str | None = None
    ) -> None:
        self._prices = Prices(prices)
        self._group_by = checked_group_by("UsageHandler", group_by)
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

    @property
    def by_group(self) -> "dict[str, ModelUsage]":
        """
        The same by the value of the metadata that it is grouped by.
        """
        return self._all.by_group

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
        Give `by_model` as plain dicts, for JSON or a data frame; also by ``group``, if it
        is grouped.
        """
        return [
            {"provider": provider, "model": model, **asdict(usage), **_grouped(group)}
            for (group, provider, model), usage in self._all._by_row().items()
        ]

    def merge(self, other: "UsageHandler | Iterable[Mapping[str, Any]]") -> None:
        """
        Add what another one has counted, as in another process; to no request.

        Args:
            other: A `UsageHandler`, or what its `to_dicts` gave, also through JSON.

        Raises:
            TypeError: For anything else. Nothing is added then.
        """
        told = other.to_dicts() if isinstance(other, UsageHandler) else other
        for key, counts in [_checked_row(row) for row in listed(told, "UsageHandler")]:
            self._all.add(key, counts)

    def report(self) -> str:
        """
        Write `by_model` and the total as a table, busiest first; columns of which nothing
        is known are left out.
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
        group = group_of(run, self._group_by)
        key = (group, _name(run.provider), _name(run.model))
        taking = Taking()
        self._all.add_with(self._accounts.of(run, self), key, counts, taking)

    def _table(self) -> Table:
        rows = self._all._by_row()
        grouped = [] if self._group_by is None else [self._group_by]
        busiest = sorted(rows.items(), key=lambda it: it[1].calls, reverse=True)
        written = [
            [*([group or ""] if grouped else []), *_row(model, provider, usage)]
            for (group, provider, model), usage in busiest
        ]
        total = _row("", "", self._all.total)
        total[0] = "" if grouped else "total"
        total[-1] = _money(self._all.total)
        written.append([*(["total"] if grouped else []), *total])
        head = [*grouped, *_HEAD]
        if width_of_tables() < _WIDE:
            at = len(grouped) + _REASONING
            head, *written = [
                [*cells[:at], *cells[at + 1 :]] for cells in (head, *written)
            ]
        return Table(head, written, 2 + len(grouped), _hint(rows))


def _added(known: "dict[str, Any]", counts: "dict[str, Any]") -> "dict[str, Any]":
    return known | {name: known.get(name, 0) + it for name, it in counts.items()}


def _name(value: object) -> str | None:
    if not issubclass(type(value), str):
        return None
    return cut(value, LONGEST_NAME)  # type: ignore[arg-type]


def _grouped(group: str | None) -> dict[str, str]:
    return {} if group is None else {"group": group}


def _sums(rows: "Iterable[tuple[Any, ModelUsage]]") -> "defaultdict[Any, ModelUsage]":
    """
    Add up rows of one key.
    """
    sums: dict[Any, defaultdict[str, Any]] = {}
    for key, usage in rows:
        whole = sums.setdefault(key, defaultdict(int))
        for name, count in asdict(usage).items():
            if count is not None:
                whole[name] += count
    made = {key: ModelUsage(**whole) for key, whole in sums.items()}
    return defaultdict(ModelUsage, made)


def _checked_row(row: "Any") -> "tuple[Tallied, dict[str, Any]]":
    try:
        counts = {name: row[name] for name in _FIELDS if row[name] is not None}
        key = row.get("group"), row["provider"], row["model"]
        are_names = all(isinstance(it, str | None) for it in key)
        if are_names and all(type(it) in (int, float) for it in counts.values()):
            return key, counts
    except (AttributeError, KeyError, TypeError):
        pass
    message = f"merge(): this is no row of to_dicts(): {safe_repr(row)}."
    raise TypeError(message)


def _row(model: str | None, provider: str | None, usage: ModelUsage) -> list[str]:
    return [
        model or "-",
        "-" if provider is None else provider,
        written_count(usage.calls),
        written_count(usage.input_tokens),
        written_count(usage.cache_read_tokens),
        written_count(usage.output_tokens),
        written_count(usage.reasoning_tokens),
        _cost(usage),
    ]


def _cost(usage: ModelUsage) -> str:
    """
    Write the cost, and of how many calls that is, where it is not of all.
    """
    told = _money(usage)
    if not told:
        return "no price" if usage.unpriced_calls else ""
    if not usage.unpriced_calls:
        return told
    priced = usage.calls - usage.unpriced_calls
    return f"{told} ({priced:,} of {usage.calls:,})"


def _money(usage: ModelUsage) -> str:
    return "" if usage.cost_usd is None else amounts.money(usage.cost_usd)


def _hint(rows: "dict[Tallied, ModelUsage]") -> str:
    """
    Say how to give the prices that are not known.
    """
    unpriced = sum(usage.unpriced_calls for usage in rows.values())
    models = [model for (_, _, model), it in rows.items() if it.unpriced_calls]
    names = list(dict.fromkeys(filter(None, models)))[:_MOST_HINTED]
    if not unpriced:
        return ""
    told = f"{amounts.counted(unpriced, 'call')} without a price"
    prices = ", ".join(f"{safe_repr(name)}: {{'input': ...}}" for name in names)
    return f"{told}: UsageHandler({{{prices}}})" if names else told
