"""
What a model call cost: told by its provider, or from a table of prices. Never guessed.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from math import isfinite
from weakref import WeakKeyDictionary

from instrument._interrupts import pass_on
from instrument._payloads.event import Usage
from instrument._text import safe_repr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from threading import Thread
    from typing import Any, TypeAlias

    from instrument._runs.run import Run

    PriceTable: TypeAlias = Mapping[str, Mapping[str, float]]

_KINDS = ("input", "output", "cache_read", "cache_write")
_UNASKED: "Any" = object()
_LONGEST_S = 30.0
_MOST_NAMES = 1_000
_LONGEST_NAME = 200
# LangChain's and LiteLLM's names of providers that genai-prices calls otherwise
_PROVIDERS = {
    "amazon_bedrock": "aws",
    "azure_openai": "azure",
    "bedrock": "aws",
    "gemini": "google",
    "google_genai": "google",
    "google_vertexai": "google",
    "mistralai": "mistral",
    "vertex_ai": "google",
    "xai": "x-ai",
}


class Prices:
    """
    Finds the cost of model calls.

    Args:
        table: US dollars per million tokens by model, ``{"my-model": {"input": 3.0,
            "output": 15.0, "cache_read": 0.3, "cache_write": 3.75}}``. The last two
            may be left out: cached tokens then cost what input does.

    What the provider told comes first, then the table, then the package genai-prices
    where it is installed; that only for a provider that it knows by this very name, as
    it would take ``my-openai`` for OpenAI. At most 1,000 models are looked up in it.

    Raises:
        TypeError, ValueError: For a bad table; names the value and the cure.
    """

    def __init__(self, table: "PriceTable | None" = None) -> None:
        self.table = None if table is None else _checked_table(table)
        self._package = _UNASKED
        self._known: dict[tuple[str | None, str | None], bool] = {}
        self._asked: WeakKeyDictionary[Run, str] = WeakKeyDictionary()

    def asked(self, run: "Run") -> None:
        """
        Hear that a model call starts: the answer may name its model more exactly than
        the table does.
        """
        model = run.model
        if self.table and isinstance(model, str) and model in self.table:
            self._asked[run] = model
        elif _is_name(model) and _is_name(run.provider):
            _Import.begin()

    @property
    def is_ready(self) -> bool:
        """
        Whether nobody who asks for a cost now waits for the package to be imported.
        """
        thread = _Import.thread
        return thread is None or not thread.is_alive()

    def knows(self, run: "Run") -> bool:
        """
        Tell whether there is a price for the model of *run*.
        """
        return self._row(run) is not None or self._is_in_package(run)

    def cost_usd(self, run: "Run") -> float | None:
        """
        Tell what an ended model call cost; None if that is not known.

        A call that failed before it told a token or any usage cost nothing.
        """
        usage = run.usage
        if usage.cost_usd is not None:
            return usage.cost_usd
        if run.status == "error" and not usage and run.time_to_first_token_s is None:
            return 0.0
        if usage.output_tokens is None and run.kind == "embedding":
            usage += Usage(output_tokens=0)
        if usage.input_tokens is None or usage.output_tokens is None:
            return None
        row = self._row(run)
        if row is not None:
            return _priced(row, usage)
        return self._calculated(run, usage) if self._is_in_package(run) else None

    def _row(self, run: "Run") -> "Mapping[str, float] | None":
        if not self.table or not isinstance(run.model, str):
            return None
        row = self.table.get(run.model)
        return self.table.get(self._asked.get(run, "")) if row is None else row

    def _is_in_package(self, run: "Run") -> bool:
        """
        Tell whether genai-prices knows the model under its provider's own name.
        """
        model, provider = run.model, run.provider
        if not (_is_name(model) and _is_name(provider) and self._calculate):
            return False
        key = (provider, model)
        if key not in self._known:
            if len(self._known) >= _MOST_NAMES:
                return False
            self._known[key] = self._calculated(run, Usage(0, 0)) is not None
        return self._known[key]

    @property
    def _calculate(self) -> "Any":
        """
        Give what calculates a cost, or None.

        Imported when the first call of a model with a provider starts, in a thread:
        that takes up to a second, most who make a handler never need it, and the call
        takes as long. What is left of it is waited for here.
        """
        if self._package is _UNASKED:
            _Import.settle()
            try:
                from genai_prices import calc_price
            except ImportError:
                self._package = None
            except Exception as exc:  # no descriptor or memory is to be had, now
                pass_on(exc)
                return None
            else:
                self._package = calc_price
        return self._package

    def _calculated(self, run: "Run", usage: Usage) -> float | None:
        from genai_prices import Usage as Counts

        provider = str(run.provider).lower()
        provider = _PROVIDERS.get(provider, provider)
        counts = Counts(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
        )
        try:
            found = self._calculate(counts, model_ref=run.model, provider_id=provider)
        except Exception as exc:
            pass_on(exc)
            return None  # unknown, or numbers that cannot be: no price in either case
        return float(found.total_price) if found.provider.id == provider else None


class _Import:
    """
    Imports genai-prices beside the first call of a model, once in a process.
    """

    thread: "Thread | None" = None
    has_begun = False

    @classmethod
    def begin(cls) -> None:
        """
        Begin, unless it has begun; where no thread is to be had, who needs it imports it.
        """
        if cls.has_begun:
            return
        cls.has_begun = True
        from threading import Thread

        try:
            thread = Thread(target=_imported, name="instrument prices", daemon=True)
            thread.start()
            cls.thread = thread
        except (RuntimeError, OSError, MemoryError) as exc:
            pass_on(exc)

    @classmethod
    def settle(cls) -> None:
        """
        Wait until it is done; also before a fork, as a child would find it half done.
        """
        thread = cls.thread
        if thread is not None:
            with suppress(RuntimeError):  # this is that thread: it has collected a run
                thread.join(_LONGEST_S)
            cls.thread = None


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(before=_Import.settle)


def _imported() -> None:
    """
    Import it, and have it read its table, which it does at the first look.
    """
    with suppress(Exception):  # who needs it meets it again
        from genai_prices import Usage as Counts
        from genai_prices import calc_price

        counts = Counts(input_tokens=0, output_tokens=0)
        calc_price(counts, model_ref="gpt-4o-mini", provider_id="openai")


_shared: "list[Prices]" = []


def shared_prices() -> Prices:
    """
    Give the prices of handlers for people, which take no table: all ask one, as each
    request makes handlers of its own, and to look a model up takes a while.
    """
    if not _shared:
        _shared.append(Prices())
    return _shared[0]


def _priced(row: "Mapping[str, float]", usage: Usage) -> float:
    read, written = usage.input_tokens or 0, usage.output_tokens or 0
    hit, stored = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0
    millionths = (
        max(read - hit - stored, 0) * row["input"]
        + hit * row.get("cache_read", row["input"])
        + stored * row.get("cache_write", row["input"])
        + written * row["output"]
    )
    return millionths / 1e6


def _is_name(value: object) -> bool:
    return type(value) is str and 0 < len(value) <= _LONGEST_NAME


def _checked_table(table: object) -> "PriceTable":
    if not isinstance(table, Mapping):
        message = (
            "prices is a table {model: {'input': 3.0, 'output': 15.0}} in US dollars per"
            f" million tokens, not {safe_repr(table)}."
        )
        raise TypeError(message)
    return {_checked_model(model): _checked_row(model, table[model]) for model in table}


def _checked_model(model: object) -> str:
    if not isinstance(model, str):
        message = f"prices: a model is named by a str, not {safe_repr(model)}."
        raise TypeError(message)
    return model


def _checked_row(model: str, row: object) -> "Mapping[str, float]":
    where = f"prices[{safe_repr(model)}]"
    if not isinstance(row, Mapping):
        message = (
            f"{where} is {{'input': 3.0, 'output': 15.0}} in US dollars per million"
            f" tokens, not {safe_repr(row)}."
        )
        raise TypeError(message)
    for kind, price in row.items():
        if kind not in _KINDS:
            message = f"{where} has {', '.join(_KINDS)}, not {safe_repr(kind)}."
            raise ValueError(message)
        if isinstance(price, bool) or not isinstance(price, (int, float)):
            message = f"{where}[{kind!r}] must be a number, not {safe_repr(price)}."
            raise TypeError(message)
        if not (price >= 0 and isfinite(price)):
            message = f"{where}[{kind!r}] cannot be {price!r}: give 0 or more."
            raise ValueError(message)
    for kind in ("input", "output"):
        if kind not in row:
            message = f"{where} lacks {kind!r}: add it, 0 where nothing is charged."
            raise ValueError(message)
    return {kind: float(price) for kind, price in row.items()}
