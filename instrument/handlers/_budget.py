"""
`BudgetHandler`: stops a request before its next model or tool call, or in mid-stream.
"""

from dataclasses import dataclass
from math import isfinite
from time import perf_counter
from weakref import WeakKeyDictionary

from instrument._forks import fork_lock
from instrument._interrupts import Taking
from instrument._text import safe_repr
from instrument.exceptions import BudgetExceeded
from instrument.handlers._shared import amounts
from instrument.handlers._shared.accounts import Accounts
from instrument.handlers._shared.open_runs import ID, shown_name
from instrument.handlers._shared.prices import Prices
from instrument.handlers._shared.run_handler import RunHandler
from instrument.handlers._shared.style import Marks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from instrument._runs.run import Run
    from instrument.handlers._shared.prices import PriceTable

_MODELS = frozenset(("llm", "chat_model", "embedding"))
_TOKENS = "tokens were used"


@dataclass(frozen=True, slots=True)
class Spent:
    """
    What a request has spent up to now.

    Attributes:
        calls: Model calls that were started.
        tokens: Of calls that have ended, what they told; of streams, chunks heard.
        cost_usd: What is known of the cost; 0 where no limit of cost or prices are set.
        seconds: Since its first run started.
    """

    calls: int
    tokens: int
    cost_usd: float
    seconds: float


class BudgetHandler(RunHandler):
    """
    Stop a request that exceeds a limit, by `BudgetExceeded`.

    A request is the block that gave the handler; for one that is installed, or given to
    a constructor or a call, a root run and all below it. Each has an account of its
    own. Limits are checked before each model and tool call; what is reached refuses
    the next one, so 0 allows none. What a call consumed is known when it has ended:
    calls made at once may together exceed a limit of tokens or cost, never of calls.

    Args:
        max_tokens: Input and output tokens of models. Also checked at each chunk of a
            stream, which counts as one until the call has ended and told its usage.
        max_cost_usd: Fails closed: after a call whose cost is not known the next one is
            refused. A call that failed before its first token costs nothing.
        max_calls: Calls of models: ``llm``, ``chat_model``, ``embedding``; not of tools.
        max_seconds: Since the request's first run started. Checked when any run starts
            and at each chunk; a call that blocks is not interrupted.
        max_depth: Levels of runs of any kind; a root run is level 1.
        tools: The names of the tools that may be called.
        prices: US dollars per million tokens by model, as for `UsageHandler`. A call of
            a model that is not in it, and not known otherwise, is refused at once.

    Raises:
        TypeError, ValueError: For a bad limit, or none at all.
    """

    raise_error = True

    def __init__(
        self,
        *,
        max_tokens: int | None = None,
        max_cost_usd: float | None = None,
        max_calls: int | None = None,
        max_seconds: float | None = None,
        max_depth: int | None = None,
        tools: "Iterable[str] | None" = None,
        prices: "PriceTable | None" = None,
    ) -> None:
        _check_limit("max_cost_usd", max_cost_usd)
        _check_limit("max_seconds", max_seconds)
        _check_limit("max_tokens", max_tokens, whole=True)
        _check_limit("max_calls", max_calls, whole=True)
        _check_limit("max_depth", max_depth, whole=True)
        limits = (max_tokens, max_cost_usd, max_calls, max_seconds, max_depth, tools)
        if all(limit is None for limit in limits):
            message = (
                "BudgetHandler() without a limit stops nothing. Give one:"
                " BudgetHandler(max_tokens=10_000)."
            )
            raise TypeError(message)
        self._max_tokens = max_tokens
        self._max_cost_usd = max_cost_usd
        self._max_calls = max_calls
        self._max_seconds = max_seconds
        self._max_depth = max_depth
        self._tools = _checked_tools(tools)
        is_priced = prices is not None or max_cost_usd is not None
        self._prices = Prices(prices) if is_priced else None
        self._accounts = Accounts(_Account)
        self._calls: WeakKeyDictionary[Run, _Call] = WeakKeyDictionary()

    def spent(self, scope_or_run: object = None) -> Spent:
        """
        Tell what a request has spent.

        Args:
            scope_or_run: A run of the request, or what ``with callbacks(...) as`` gave;
                by default the request in hand. Of what is none, nothing is spent.
        """
        return self._accounts.look_up(scope_or_run, self).spent()

    def run_started(self, run: "Run") -> None:
        account = self._accounts.of(run, self)
        _hold(
            run, "max_depth", self._max_depth, run.depth, "levels of runs are above it"
        )
        with account.lock:  # of two calls at once only one takes the last place
            account.begin()
            self._hold_seconds(run, account)
            if run.kind == "tool":
                self._check_tool(run, account)
            elif run.kind in _MODELS:
                self._check_model(run, account)
                taking = Taking()
                self._calls[run] = _Call(account)
                taking.is_taken = True
                account.calls += 1

    def on_llm_new_token(
        self, token: str, *, channel: str = "text", **kwargs: "Any"
    ) -> None:
        run = kwargs["run"]
        call = self._calls.get(run)
        if call is None:  # it was refused, and its body went on all the same
            return
        account, limit = call.account, self._max_tokens
        taking = Taking()
        with account.lock:
            taking.is_taken = True
            call.chunks += 1
            account.tokens += 1
        if limit is not None and account.tokens > limit:
            raise _exceeded(run, "max_tokens", limit, account.tokens, _TOKENS)
        self._hold_seconds(run, account)

    def run_ended(self, run: "Run") -> None:
        call = self._calls.get(run)
        if call is None:
            return
        taking = Taking()
        account, usage = call.account, run.usage
        cost_usd = self._prices.cost_usd(run) if self._prices else 0.0
        written = call.chunks if usage.output_tokens is None else usage.output_tokens
        tokens = (usage.input_tokens or 0) + written - call.chunks
        asked = _asked(run) if cost_usd is None else None
        with account.lock:
            taking.is_taken = True
            account.tokens += tokens
            if cost_usd is None:
                account.unpriced = asked
            else:
                account.cost_usd += cost_usd
        self._calls.pop(run, None)

    def _check_tool(self, run: "Run", account: "_Account") -> None:
        if self._tools is not None and run.name not in self._tools:
            raise _not_allowed(run, self._tools)
        self._hold_spent(run, account)

    def _check_model(self, run: "Run", account: "_Account") -> None:
        self._hold_spent(run, account)
        _hold(run, "max_calls", self._max_calls, account.calls, "model calls were made")
        prices, limit = self._prices, self._max_cost_usd
        if prices is None:
            return
        prices.asked(run)
        is_known = prices.table is None or run.model is None or prices.knows(run)
        if limit is not None and not is_known:
            raise _unpriced(run, limit, _asked(run))

    def _hold_spent(self, run: "Run", account: "_Account") -> None:
        limit = self._max_cost_usd
        _hold(run, "max_tokens", self._max_tokens, account.tokens, _TOKENS)
        _hold(run, "max_cost_usd", limit, account.cost_usd, "were spent")
        if limit is not None and account.unpriced:
            raise _unpriced(run, limit, account.unpriced)

    def _hold_seconds(self, run: "Run", account: "_Account") -> None:
        seconds = account.seconds()
        _hold(run, "max_seconds", self._max_seconds, seconds, "seconds have passed")


class _Account:
    """
    What one request has spent.

    Attributes:
        unpriced: The model, or else the run, whose call could not be priced.
    """

    def __init__(self) -> None:
        self.lock = fork_lock()
        self.calls = 0
        self.tokens = 0
        self.cost_usd = 0.0
        self.unpriced: tuple[str, bool] | None = None
        self._began_s: float | None = None

    def begin(self) -> None:
        if self._began_s is None:
            self._began_s = perf_counter()

    def seconds(self) -> float:
        return 0.0 if self._began_s is None else perf_counter() - self._began_s

    def spent(self) -> Spent:
        with self.lock:
            return Spent(self.calls, self.tokens, self.cost_usd, self.seconds())


class _Call:
    """
    A model call that is open, and how many chunks it has told.
    """

    __slots__ = ("account", "chunks")

    def __init__(self, account: _Account) -> None:
        self.account = account
        self.chunks = 0


def _asked(run: "Run") -> tuple[str, bool]:
    """
    Tell what was called, and whether that is the name of a model.
    """
    model = run.model
    is_known = bool(model) and isinstance(model, str)
    return (str(model), True) if is_known else (_named(run), False)


def _check_limit(name: str, value: "Any", *, whole: bool = False) -> None:
    """
    Refuse what is no limit.

    Args:
        whole: True where only whole numbers make sense.

    Raises:
        TypeError, ValueError: Names the value and the cure.
    """
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        what = "a whole number" if whole else "a number"
        message = f"BudgetHandler: {name} must be {what}, not {safe_repr(value)}."
        raise TypeError(message)
    if not (value >= 0 and isfinite(value)):
        message = (
            f"BudgetHandler: {name} cannot be {value!r}: give 0 or more, or leave it"
            " out for no limit."
        )
        raise ValueError(message)


def _checked_tools(tools: "Iterable[str] | None") -> "tuple[str, ...] | None":
    """
    Take the names of the tools that may be called.

    Raises:
        TypeError: For anything but a collection of strings.
    """
    if tools is None:
        return None
    if isinstance(tools, str):
        message = f"BudgetHandler: tools is a list of names. Did you mean [{tools!r}]?"
        raise TypeError(message)
    names = tuple(tools) if hasattr(tools, "__iter__") else None
    if names is None or not all(isinstance(name, str) for name in names):
        message = (
            "BudgetHandler: tools is a list of names, such as ['search'], not"
            f" {safe_repr(tools)}."
        )
        raise TypeError(message)
    return names


def _hold(
    run: "Run", limit: str, maximum: float | None, value: float, unit: str
) -> None:
    """
    Refuse *run* if *value* has reached *maximum*.

    Raises:
        BudgetExceeded: Then.
    """
    if maximum is not None and value >= maximum:
        raise _exceeded(run, limit, maximum, value, unit)


def _exceeded(
    run: "Run", limit: str, maximum: float, value: float, unit: str
) -> BudgetExceeded:
    """
    Say that a limit stops *run*.

    Args:
        unit: What *value* counts: ``tokens were used``.
    """
    spent = (
        amounts.money(value) if limit == "max_cost_usd" else _number(round(value, 6))
    )
    message = (
        f"{limit}={_number(maximum)} {_stops(run)}: {spent} {unit}."
        f" Raise {limit}, or give each request a block of its own."
    )
    return BudgetExceeded(message, limit, value, maximum, run)


def _unpriced(run: "Run", maximum: float, asked: tuple[str, bool]) -> BudgetExceeded:
    """
    Say that a limit of cost cannot be held, as that of what was *asked* is not known.
    """
    name, is_model = asked
    model = safe_repr(name) if is_model else "'model'"
    message = (
        f"max_cost_usd={_number(maximum)} {_stops(run)}: the cost of"
        f" {f'model {model}' if is_model else name} is not known."
        f" Give prices={{{model}: {{'input': 3.0, 'output': 15.0}}}}"
        " in US dollars per million tokens, install genai-prices, or have the call"
        " record its usage or cost_usd."
    )
    return BudgetExceeded(message, "max_cost_usd", None, maximum, run)


def _not_allowed(run: "Run", tools: tuple[str, ...]) -> BudgetExceeded:
    """
    Say that a tool is not among those allowed.
    """
    message = (
        f"tools={safe_repr(list(tools))} {_stops(run)}."
        " Add its name to tools if it may be called."
    )
    return BudgetExceeded(message, "tools", run.name, tools, run)


def _named(run: "Run") -> str:
    """
    Name a run in a message; names are untrusted.
    """
    marks = Marks()
    return f"{marks.name(run.kind)} {marks.name(shown_name(run))}"


def _stops(run: "Run") -> str:
    return f"stops request {run.trace_hex[:ID]} at {_named(run)}"


def _number(value: float) -> str:
    """
    Write a number without an exponent.
    """
    if isinstance(value, int):
        return str(value)
    return f"{value:.9f}".rstrip("0").rstrip(".")
