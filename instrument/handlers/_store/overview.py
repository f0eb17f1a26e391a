"""
What many requests are together: how many, how long, how dear, and when.
"""

from collections import Counter
from math import isfinite

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from typing import Any

    from instrument.handlers._store.filters import Condition

_BUCKETS = 48


def summary(
    connection: "sqlite3.Connection", asked: "Condition", status: str
) -> "dict[str, Any]":
    """
    Tell of the requests that are asked for.

    Args:
        status: SQL for the status of a request.
    """
    rows = connection.execute(
        f"SELECT kind, {status}, started_ns, duration_ms, cost_usd, input_tokens,"  # noqa: S608
        f" output_tokens FROM traces WHERE {asked.sql}",
        asked.values,
    ).fetchall()
    (total,) = connection.execute("SELECT count(*) FROM traces").fetchone()
    by_status = Counter([row[1] for row in rows])
    made: dict[str, Any] = {"requests": len(rows), "total": total}
    made |= {"errors": by_status["error"], "running": by_status["running"]}
    durations = sorted([row[3] for row in rows if row[3] is not None])
    if durations:
        made["median_ms"] = percentile(durations, 0.5)
        made["p95_ms"] = percentile(durations, 0.95)
    for index, name in ((4, "cost_usd"), (5, "input_tokens"), (6, "output_tokens")):
        known = [row[index] for row in rows if row[index] is not None]
        if known:
            made[name] = sum(known)
    made["histogram"] = []
    if rows:
        starts = [row[2] for row in rows]
        oldest, newest = min(starts), max(starts)
        made |= {"oldest_ms": oldest / 1e6, "newest_ms": newest / 1e6}
        made["histogram"] = _histogram(rows, oldest, newest)
    made["by_kind"] = dict(Counter([row[0] or "chain" for row in rows]))
    return made | {"by_status": dict(by_status)}


def names(
    connection: "sqlite3.Connection", asked: "Condition"
) -> "list[dict[str, Any]]":
    """
    Tell of the runs of those requests by kind, name and model, the longest first.
    """
    rows = connection.execute(
        "SELECT kind, name, model, status = 'error', duration_ms, first_token_ms,"  # noqa: S608
        " input_tokens, output_tokens, cost_usd FROM runs WHERE trace IN"
        f" (SELECT traces.id FROM traces WHERE {asked.sql})",
        asked.values,
    )
    groups: dict[tuple[str, str, str | None], list[Any]] = {}
    for row in rows:
        groups.setdefault(row[:3], []).append(row[3:])
    made = [_named(key, told) for key, told in groups.items()]
    return sorted(made, key=lambda it: it["total_ms"], reverse=True)


def program(connection: "sqlite3.Connection", name: str) -> "dict[str, Any]":
    """
    Tell what the requests of one program came to, which may be several processes.
    """
    whose = "process IN (SELECT id FROM processes WHERE program = ?)"
    names = [
        "requests",
        "errors",
        "model_calls",
        "input_tokens",
        "output_tokens",
        "cost_usd",
    ]
    sums = connection.execute(
        "SELECT count(*), coalesce(sum(status = 'error'), 0),"  # noqa: S608
        " coalesce(sum(model_calls), 0), sum(input_tokens), sum(output_tokens),"
        f" sum(cost_usd) FROM traces WHERE {whose}",
        (name,),
    ).fetchone()
    made = {it: told for it, told in zip(names, sums, strict=True) if told is not None}
    failed = connection.execute(
        "SELECT trace_hex FROM traces"  # noqa: S608
        f" WHERE status = 'error' AND {whose} ORDER BY id DESC LIMIT 1",
        (name,),
    ).fetchone()
    return made if failed is None else made | {"failed": failed[0]}


def percentile(ordered: "list[float]", share: float) -> float:
    """
    Give the value below which that share lies, of values in order.
    """
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def _named(key: "tuple[str, str, str | None]", rows: "list[Any]") -> "dict[str, Any]":
    errors, *columns = zip(*rows, strict=True)
    durations, firsts, *sums = (
        [value for value in column if value is not None] for column in columns
    )
    kind, name, model = key
    made: dict[str, Any] = {"kind": kind, "name": name}
    if model is not None:
        made["model"] = model
    made |= {"runs": len(rows), "errors": sum(filter(None, errors))}
    made["total_ms"] = sum(durations)
    if durations:
        durations.sort()
        made["p50_ms"] = percentile(durations, 0.5)
        made["p95_ms"] = percentile(durations, 0.95)
    if firsts:
        made["first_token_p50_ms"] = percentile(sorted(firsts), 0.5)
    for name, known in zip(
        ("input_tokens", "output_tokens", "cost_usd"), sums, strict=True
    ):
        if known:
            made[name] = sum(known)
    return made


def _histogram(
    rows: "list[Any]", oldest: int, newest: int
) -> "list[dict[str, float | int]]":
    if not isfinite(newest - oldest):  # of a store that is damaged
        raise TypeError("a time without end")
    width = max(newest - oldest, 1) / _BUCKETS
    counts, errors = [0] * _BUCKETS, [0] * _BUCKETS
    for row in rows:
        at = min(int((row[2] - oldest) / width), _BUCKETS - 1)
        counts[at] += 1
        errors[at] += row[1] == "error"
    return [
        {
            "start_ms": (oldest + index * width) / 1e6,
            "requests": counts[index],
            "errors": errors[index],
        }
        for index in range(_BUCKETS)
    ]
