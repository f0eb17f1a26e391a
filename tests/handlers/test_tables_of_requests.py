"""
What is counted by `MonitorHandler` and `UsageHandler`, as tables: on screens of any width,
for Prometheus, by user, and added up from several processes.
"""

import json
import sys
from typing import Any

import pytest

from instrument import callbacks, current_run, traced
from instrument.handlers import MonitorHandler, UsageHandler
from instrument.handlers._monitor.quantiles import Quantiles
from instrument.handlers._monitor.tally import Tally
from instrument.testing import predictable

ROWS = {
    # name: calls, errors, p50, p95, max, total
    "travel": (206, 4, 2.4, 5.8, 9.1, 542),
    "gpt-4o-mini": (412, 3, 1.1, 2.9, 4.8, 461),
    "weather": (388, 1, 0.801, 1.2, 3.0, 311),
    "gazetteer": (201, 0, 0.012, 0.040, 0.092, 2.9),
}
HEAD_140 = (
    "run          calls  errors     p50    p95    max   total  ttft p50  ttft p95"
    "  tok/s         in     out   cost"
)
TABLE_140 = f"""\
{HEAD_140}
travel         206       4   2.4 s  5.8 s  9.1 s  9m 02s
gpt-4o-mini    412       3   1.1 s  2.9 s  4.8 s  7m 41s    213 ms    639 ms     74  1,204,881  96,310  $0.24
weather        388       1  796 ms  1.2 s  3.0 s  5m 11s
gazetteer      201       0   12 ms  40 ms  92 ms   2.9 s"""
TABLE_80 = """\
run          calls  errors     p50    p95   total  ttft p50  tok/s   cost
travel         206       4   2.4 s  5.8 s  9m 02s
gpt-4o-mini    412       3   1.1 s  2.9 s  7m 41s    213 ms     74  $0.24
weather        388       1  796 ms  1.2 s  5m 11s
gazetteer      201       0   12 ms  40 ms   2.9 s
4 more columns: report("max", "ttft p95", "in", "out", ...)"""


USAGE = """\
model              provider    calls         in   cached      out  reasoning      cost
gpt-4o-mini        openai        412  1,204,881  901,120   96,310          0     $0.24
claude-sonnet-4-5  anthropic      31     88,204        0   12,004      8,112     $0.44
toy-trigrams       instrument      1        680                70             no price
total                            444  1,293,765  901,120  108,384      8,112     $0.68
1 call without a price: UsageHandler({'toy-trigrams': {'input': ...}})"""


@traced.chat_model(model="m", provider="p")
def model(*pieces: str, **usage: Any) -> Any:
    """
    Stream what is given, and consume it.
    """
    yield from pieces
    current_run().record_usage(**usage)


@pytest.fixture
def monitor() -> MonitorHandler:
    """
    A monitor of time alone.
    """
    return MonitorHandler(memory=False)


@pytest.fixture
def busy(monitor: MonitorHandler) -> MonitorHandler:
    """
    A monitor of much.
    """
    for name, (calls, errors, p50, p95, longest, total) in ROWS.items():
        tally = monitor._tallies[None, name] = Tally()
        tally.count, tally.errors, tally.total_s = calls, errors, total
        tally.max_s = longest
        for share in range(100):
            tally.quantiles.add(p50 if share < 80 else p95)
    tally = monitor._tallies[None, "gpt-4o-mini"]
    tally.input_tokens, tally.output_tokens, tally.cost_usd = 1_204_881, 96_310, 0.2385
    tally.streamed_tokens, tally.streamed_s = 74_000, 1_000.0
    tally.first_tokens = first = Quantiles()
    for share in range(100):
        first.add(0.212 if share < 80 else 0.641)
    return monitor


@pytest.fixture
def wide(screen: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """
    Give what makes standard output a terminal of some width.
    """

    def resize(columns: int) -> None:
        screen.resize(columns, 24)
        monkeypatch.setattr(sys, "stdout", screen.file)

    return resize


@pytest.mark.parametrize("columns, table", [(80, TABLE_80), (140, TABLE_140)])
def test_columns_by_width(
    busy: MonitorHandler, wide: Any, columns: int, table: str
) -> None:
    """
    As many columns as there is room for are shown, and how to see the others.
    """
    wide(columns)

    assert busy.report() == table


def test_table_where_there_is_no_terminal(busy: MonitorHandler) -> None:
    """
    Where nothing tells a width it is 140.
    """
    assert busy.report().split("\n")[0] == HEAD_140


def test_narrow_terminal(busy: MonitorHandler, wide: Any) -> None:
    """
    However narrow, one column of numbers is there.
    """
    wide(10)

    assert busy.report().split("\n")[0] == "run          calls"


def test_first_tokens_and_cost() -> None:
    """
    Of models the time to the first token, tokens a second and cost are known.
    """
    monitor = MonitorHandler(memory=False, prices={"m": {"input": 1.0, "output": 2.0}})

    with callbacks(monitor), predictable():
        list(model("a", "b", input_tokens=1_000_000, output_tokens=3))

    stats = monitor.stats["model"]
    assert stats.first_token_p50_s == pytest.approx(0.002, rel=0.02)
    assert stats.tokens_per_s == pytest.approx(2 / (stats.total_s - 0.002), rel=0.02)
    assert stats.cost_usd == pytest.approx(1.000006)


def test_what_is_not_streamed(monitor: MonitorHandler) -> None:
    """
    Of what is not streamed no rate is known, of tools nothing of this.
    """
    with callbacks(monitor):
        list(model(output_tokens=3))
        with traced("tool", kind="tool"):
            pass

    for stats in monitor.stats.values():
        known = stats.first_token_p50_s, stats.tokens_per_s, stats.cost_usd
        assert known == (None, None, None)


@pytest.mark.parametrize("through_json", [False, True])
def test_merged_monitors(through_json: bool) -> None:
    """
    Tables of several workers add up exactly, quantiles too.
    """
    monitors = [MonitorHandler(memory=False) for _ in range(3)]
    whole = monitors.pop()
    for count, monitor in enumerate(monitors, 1):
        with predictable(), callbacks(monitor, whole):
            for _ in range(count):
                list(model("a", "b", output_tokens=3, cost_usd=0.5))
                with traced(f"only {count}"):
                    pass
    monitors[0]._tallies[None, "model"].memory_bytes_max = 7
    whole._tallies[None, "model"].memory_bytes_max = 7
    added = MonitorHandler(memory=False)

    for monitor in monitors:
        told = json.loads(json.dumps(monitor.to_dicts()))
        added.merge(told if through_json else monitor)

    def shown(monitor: MonitorHandler) -> Any:
        rows = sorted(monitor.to_dicts(), key=lambda row: row["name"])
        numbers = [{**row, "cpu_s": 0, "mean_s": 0, "total_s": 0} for row in rows]
        return [{**row, "streamed_s": 0, "tokens_per_s": 0} for row in numbers]

    assert shown(added) == shown(whole)
    assert added.stats["model"].total_s == pytest.approx(whole.stats["model"].total_s)
    assert added.stats["model"].count == 3


BAD = [3, {"name": "x"}, [3], [{}], [{"name": "x"}], "no"]


@pytest.mark.parametrize("told", BAD)
def test_monitor_merges_tables_alone(monitor: MonitorHandler, told: Any) -> None:
    """
    What is no table of a monitor is refused, whole.
    """
    with callbacks(monitor), traced("run"):
        pass
    rows = monitor.to_dicts()

    with pytest.raises(TypeError, match=r"merge\(\)"):
        monitor.merge([*rows, *told] if isinstance(told, list) else told)
    with pytest.raises(TypeError, match="no row"):
        monitor.merge([{**rows[0], "name": 3}])

    assert monitor.stats["run"].count == 1


def test_monitor_by_user() -> None:
    """
    What users did is counted apart.
    """
    monitor = MonitorHandler(memory=False, group_by="user_id")

    for user in ("u1", "u2", "u1", None):
        with callbacks(monitor, metadata={"user_id": user}), traced("run"):
            pass

    counts = {key: stats.count for key, stats in monitor.stats.items()}
    assert counts == {("u1", "run"): 2, ("u2", "run"): 1, ("-", "run"): 1}
    assert monitor.report("calls").split("\n")[0] == "user_id  run  calls"
    assert monitor.report().startswith("user_id  run  calls  errors")
    assert 'run="run",user_id="u2"} 1' in monitor.to_prometheus()


def test_many_users() -> None:
    """
    After 1,000 rows further ones are one.
    """
    monitor = MonitorHandler(memory=False, group_by="user_id")
    usage = UsageHandler(group_by="user_id")

    for user in range(1_005):
        with callbacks(monitor, usage, metadata={"user_id": user}):
            list(model("a"))

    assert monitor.stats["(other)", "(other)"].count == 5
    assert usage.by_group["(other)"].calls == 5
    assert len(usage.by_group) == 1_001


@pytest.mark.parametrize("handler", [MonitorHandler, UsageHandler])
def test_what_is_no_key(handler: Any) -> None:
    """
    What is no key of metadata is refused.
    """
    with pytest.raises(TypeError, match="group_by is a key of metadata, not 3"):
        handler(group_by=3)


def test_prometheus(monitor: MonitorHandler) -> None:
    """
    The text for Prometheus has what is known, each metric with its type.
    """
    with callbacks(monitor), predictable():
        list(model("a", "b", output_tokens=3))
        with traced("tool", kind="tool"):
            pass

    text = monitor.to_prometheus()

    assert text.endswith("\n")
    lines = text.splitlines()
    assert 'instrument_runs_total{run="tool"} 1' in lines
    assert 'instrument_run_errors_total{run="tool"} 0' in lines
    assert 'instrument_output_tokens_total{run="model"} 3' in lines
    assert 'instrument_run_duration_seconds_sum{run="tool"} 0.001' in lines
    assert 'instrument_run_duration_seconds_count{run="tool"} 1' in lines
    assert any(
        it.startswith(
            'instrument_first_token_seconds{run="model",quantile="0.5"} 0.002'
        )
        for it in lines
    )
    assert "input_tokens" not in text
    typed = [it.split()[2] for it in lines if it.startswith("# TYPE")]
    assert len(typed) == len(set(typed)) == 6


def test_prometheus_of_nothing(monitor: MonitorHandler) -> None:
    """
    Where nothing was heard no value is told.
    """
    lines = monitor.to_prometheus().splitlines()

    assert all(line.startswith("#") for line in lines)


@pytest.mark.parametrize(
    "key, label", [("user-id", "user_id"), ("1st", "_1st"), ("run", "_run"), ("", "_")]
)
def test_prometheus_is_escaped(key: str, label: str) -> None:
    """
    No name breaks out of its label, and a key is made one.
    """
    monitor = MonitorHandler(memory=False, group_by=key)
    name = 'a"b\\c\nd\ud800'

    with callbacks(monitor, metadata={key: name}), traced(name):
        pass

    escaped = r'"a\"b\\c\nd\\ud800"'
    line = f"instrument_runs_total{{run={escaped},{label}={escaped}}} 1"
    assert line in monitor.to_prometheus().splitlines()


def filled() -> UsageHandler:
    """
    Give a handler that has counted much.
    """
    usage = UsageHandler(group_by=None)
    told: list[Any] = [
        ("openai", "gpt-4o-mini", (412, 0, 1_204_881, 96_310, 901_120, 0, 0.2385)),
        ("anthropic", "claude-sonnet-4-5", (31, 0, 88_204, 12_004, 0, 8_112, 0.4447)),
        ("instrument", "toy-trigrams", (1, 1, 680, 70, None, None, None)),
    ]
    names = ["calls", "unpriced_calls", "input_tokens", "output_tokens"]
    names += ["cache_read_tokens", "reasoning_tokens", "cost_usd"]
    for provider, name, counts in told:
        known = dict(zip(names, counts, strict=True))
        row = {**dict.fromkeys(names), "cache_write_tokens": None, **known}
        usage.merge([{"provider": provider, "model": name, **row}])
    return usage


def test_usage_at_140(wide: Any) -> None:
    """
    The table of models has the busiest first, what is known, and the cure for what is not.
    """
    wide(140)

    assert filled().report() == USAGE


def test_usage_at_80(wide: Any) -> None:
    """
    Where there is less room reasoning goes.
    """
    wide(80)

    head = filled().report().split("\n")[0]
    assert "reasoning" not in head
    assert head.split()[-1] == "cost"


def test_usage_by_user() -> None:
    """
    What users consumed is counted apart, and told as such.
    """
    usage = UsageHandler(group_by="user_id")

    for user in ("u1", "u2", "u1"):
        with callbacks(usage, metadata={"user_id": user}):
            list(model("a", input_tokens=1, output_tokens=1, cost_usd=0.5))

    assert {user: it.cost_usd for user, it in usage.by_group.items()} == {
        "u1": 1.0,
        "u2": 0.5,
    }
    assert usage.by_model["p", "m"].calls == 3
    assert [row["group"] for row in usage.to_dicts()] == ["u1", "u2"]
    assert usage.report().split("\n") == [
        "user_id  model  provider  calls  in  out   cost",
        "u1       m      p             2   2    2  $1.00",
        "u2       m      p             1   1    1  $0.50",
        "total                         3   3    3  $1.50",
    ]


def test_merged_usage() -> None:
    """
    What workers counted adds up, also through JSON.
    """
    usages = [UsageHandler(), UsageHandler()]
    for count, usage in enumerate(usages, 1):
        with callbacks(usage):
            for _ in range(count):
                list(model("a", input_tokens=1, output_tokens=1, cost_usd=0.5))
    added = UsageHandler()

    added.merge(usages[0])
    added.merge(json.loads(json.dumps(usages[1].to_dicts())))

    assert (added.total.calls, added.total.cost_usd) == (3, 1.5)
    assert added.total.reasoning_tokens is None


@pytest.mark.parametrize("told", [*BAD, [{"provider": 3}]])
def test_usage_merges_tables_alone(told: Any) -> None:
    """
    What is no table of usage is refused, whole.
    """
    usage = UsageHandler()
    with callbacks(usage):
        list(model("a"))
    rows = usage.to_dicts()

    with pytest.raises(TypeError, match=r"merge\(\)"):
        usage.merge([*rows, *told] if isinstance(told, list) else told)
    with pytest.raises(TypeError, match="no row"):
        usage.merge([{**rows[0], "calls": "many"}])

    assert usage.total.calls == 1
