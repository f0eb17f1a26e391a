"""
Statistics as text that Prometheus reads.

Source: https://prometheus.io/docs/instrumenting/exposition_formats
"""

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from instrument.handlers._monitor.tally import RunStats

_COUNTERS = (
    ("runs_total", "count", "Runs that have ended."),
    ("run_errors_total", "errors", "Runs that ended with an error."),
    ("cpu_seconds_total", "cpu_s", "CPU time of the runs' threads."),
    ("input_tokens_total", "input_tokens", "Tokens that models read."),
    ("output_tokens_total", "output_tokens", "Tokens that models wrote."),
    ("cost_usd_total", "cost_usd", "What model calls cost, as far as it is known."),
)
_SHARES = (("0.5", "p50_s"), ("0.95", "p95_s"), ("0.99", "p99_s"))
_FIRST = (("0.5", "first_token_p50_s"), ("0.95", "first_token_p95_s"))
_NO_LABEL = re.compile(r"[^a-zA-Z0-9_]")
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


def exposition(stats: "Iterable[RunStats]", group_by: str | None) -> str:
    """
    Write *stats*, with an end of line.

    Args:
        group_by: The label of their groups, if they have some.
    """
    known = [(_labels(each, group_by), each) for each in stats]
    return "".join(f"{line}\n" for line in _lines(known))


def _lines(known: "list[tuple[str, RunStats]]") -> "Iterator[str]":
    for name, field, told in _COUNTERS:
        values = [(labels, getattr(each, field)) for labels, each in known]
        values = [(labels, value) for labels, value in values if value is not None]
        if values:
            yield from _head(name, "counter", told)
            yield from (f"instrument_{name}{{{la}}} {value}" for la, value in values)
    yield from _head("run_duration_seconds", "summary", "How long runs took.")
    for labels, each in known:
        yield from _quantiles("run_duration_seconds", labels, each, _SHARES)
        yield f"instrument_run_duration_seconds_sum{{{labels}}} {each.total_s}"
        yield f"instrument_run_duration_seconds_count{{{labels}}} {each.count}"
    streamed = [it for it in known if it[1].first_token_p50_s is not None]
    if streamed:
        told = "Until the first piece of an answer came."
        yield from _head("first_token_seconds", "gauge", told)
    for labels, each in streamed:
        yield from _quantiles("first_token_seconds", labels, each, _FIRST)


def _head(name: str, kind: str, told: str) -> "Iterator[str]":
    yield f"# HELP instrument_{name} {told}"
    yield f"# TYPE instrument_{name} {kind}"


def _quantiles(
    name: str, labels: str, each: "RunStats", shares: tuple[tuple[str, str], ...]
) -> "Iterator[str]":
    for share, field in shares:
        value = getattr(each, field)
        yield f'instrument_{name}{{{labels},quantile="{share}"}} {value}'


def _labels(each: "RunStats", group_by: str | None) -> str:
    labels = [f'run="{_escaped(each.name)}"']
    if group_by is not None:
        label = _NO_LABEL.sub("_", group_by)
        label = (
            f"_{label}"
            if label[:1].isdigit() or label in ("run", "quantile")
            else label
        )
        labels.append(f'{label or "_"}="{_escaped(each.group or "")}"')
    return ",".join(labels)


def _escaped(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode().translate(_ESCAPES)
