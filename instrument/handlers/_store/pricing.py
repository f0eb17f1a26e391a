"""
What a model's run cost, written with its end; later, where the table of prices is still
being read.
"""

from instrument.handlers._shared.prices import shared_prices
from instrument.handlers._store.facts import usage_in
from instrument.handlers._store.told import bounded

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from typing import Any

    from instrument.handlers._store.rows import RunRow


class Pricing:
    """
    Prices the runs of one store.
    """

    def __init__(self) -> None:
        self._prices = shared_prices()
        self._told: list[tuple[int, int, _Asked]] = []
        self._late: list[tuple[int, int, _Asked]] = []

    def __bool__(self) -> bool:
        """
        Whether some are still to be priced.
        """
        return bool(self._late)

    def starts(self, run: "RunRow") -> None:
        """
        Hear that a model's run starts: its price will be asked for.
        """
        self._prices.asked(run)  # type: ignore[arg-type]

    def ends(self, run: "RunRow", data: "dict[str, Any]") -> None:
        """
        Look up what a run cost, if that takes no time.
        """
        asked = _Asked(run, data)
        if self._prices.is_ready or asked.usage.cost_usd is not None:
            run.cost_usd = self._cost_usd(asked)
            run.is_priced = int(run.cost_usd is not None)
        else:
            self._told.append((run.id, run.trace, asked))

    def _cost_usd(self, asked: "_Asked") -> float | None:
        cost_usd = self._prices.cost_usd(asked)  # type: ignore[arg-type]
        return None if cost_usd is None else float(bounded(cost_usd))

    def begins(self) -> None:
        """
        Hear that a batch begins, maybe again.
        """
        self._told = []

    def is_written(self) -> None:
        """
        Hear that the batch has been written.
        """
        self._late += self._told

    def write_late(self, connection: "sqlite3.Connection") -> None:
        """
        Write the cost of those runs that ended before it could be looked up.
        """
        if not (self._late and self._prices.is_ready):
            return
        late, self._late = self._late, []
        connection.execute("BEGIN IMMEDIATE")
        for run, trace, asked in late:
            cost_usd = self._cost_usd(asked)
            is_priced = int(cost_usd is not None)
            connection.execute(
                "UPDATE runs SET cost_usd = ?, is_priced = ? WHERE id = ?",
                (cost_usd, is_priced, run),
            )
            column = "cost_usd" if is_priced else "unpriced"
            connection.execute(
                f"UPDATE traces SET {column} = coalesce({column}, 0) + ?"  # noqa: S608
                " WHERE id = ?",
                (cost_usd if is_priced else 1, trace),
            )
        connection.execute("COMMIT")


class _Asked:
    """
    What `Prices` asks of a run that has ended.
    """

    __slots__ = (
        "kind",
        "model",
        "provider",
        "status",
        "time_to_first_token_s",
        "usage",
    )

    def __init__(self, run: "RunRow", data: "dict[str, Any]") -> None:
        self.usage = usage_in(data)
        self.kind, self.model, self.provider = run.kind, run.model, run.provider
        self.status, self.time_to_first_token_s = run.status, run.first_token_ms
