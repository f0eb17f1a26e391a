"""
``python -m instrument show``: the stored requests, and one of them, in the terminal.

The texts are those of the design, but for ids and the day.
"""

import json
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from instrument import callbacks, cli, traced
from instrument._cli import shown as show
from instrument._cli.stored_trees import name_of
from instrument.handlers import StoreHandler
from instrument.handlers._store import rows
from instrument.handlers._store.events_file import store_of
from instrument.handlers._store.reader import Reader

Shown = Callable[..., str]

DOWN = (
    "the service is down: [Errno 111] Connection refused while calling"
    " https://weather.example.com/v1/forecast?city=Rome&units=metric&days=14"
)
ANSWER = (
    "It is sunny in Rome and 2.8 million people enjoy it, in parks and on balconies."
)
USAGE = {"input_tokens": 40, "output_tokens": 12, "cost_usd": 0.000013}
CALLS = [
    {"name": "weather", "arguments": {"city": "Rome"}},
    {"name": "forecast", "arguments": {"city": "Rome", "units": "metric", "days": 14}},
]


def user(text: str) -> dict[str, Any]:
    """
    Ask something.
    """
    return {"inputs": {"messages": [{"role": "user", "content": text}]}}


def tell_some(told: Any) -> None:
    """
    Tell a request that ended well, one that failed, one that was left and one that runs.
    """
    asked = "How is it in Rome, and should I go?"

    def works() -> None:
        at = {"root": 1, "parent": 1}
        model = {"text": ANSWER, "model": "gpt-4o-mini-2024-07-18", "usage": USAGE}
        told.run(
            2, "chat_model", "ChatOpenAI", 2, 1202, **at,
            given={"messages": [], "model": "gpt-4o-mini", "provider": "openai"},
            came=model,
        )  # fmt: skip

    def fails() -> None:
        at = {"root": 3, "parent": 3}
        failed = {"status": "error", "type": "ValueError", "message": DOWN}
        told.run(
            4, "chat_model", "openai.chat", 10_001, 10_494, **at,
            given={"messages": [], "model": "gpt-4o-mini", "provider": "openai"},
            came={"text": "", "tool_calls": CALLS, "usage": USAGE, "model": "gpt-4o-mini"},
        )  # fmt: skip
        told.run(
            5, "tool", "weather", 10_500, 11_301, **at,
            given={"inputs": {"city": "Rome"}}, came={"output": "Rome: sunny, 24 °C"},
        )  # fmt: skip
        told.run(
            6, "tool", "forecast", 10_500, 10_702, **at,
            given={"inputs": {"city": "Rome", "units": "metric", "days": 14}},
            came={**failed, "origin": True},
        )  # fmt: skip

    told.run(
        1, "agent", "travel", 0, 3100,
        given=user(asked), came={"outputs": ANSWER}, inside=works,
    )  # fmt: skip
    told.run(
        3, "agent", "travel", 10_000, 11_300,
        given=user(asked), inside=fails, tags=["v2"], metadata={"user_id": "u1"},
        came={"status": "error", "type": "ValueError", "message": DOWN, "origin": False},
    )  # fmt: skip
    told.run(
        7, "chat_model", "answer", 20_000, 22_100,
        given={"messages": user("How is it in Rome?")["inputs"]["messages"]},
        meanwhile=[
            (20_052, "on_llm_new_token", {"token": "It is ", "channel": "text", "count": 30}),
            (22_000, "on_retry", {"attempt": 2}),
            (22_050, "on_custom_event", {"name": "cache", "data": {"hit": False}}),
            (22_060, "on_custom_event", {"name": "cache", "data": None}),
            (22_070, "on_text", {"text": "stands in no tree"}),
            (22_090, "on_llm_new_token", {"token": "sunny", "channel": "text", "count": 4}),
        ],
        came={"status": "abandoned", "text": "It is sunny", "usage": {"output_tokens": 34}},
    )  # fmt: skip
    told.run(
        8, "agent", "research", 30_000, -1,
        given={"inputs": {"question": "Compare the ten largest cities", "api_key": "k"}},
    )  # fmt: skip


def known(text: str) -> str:
    """
    Write ids by the order in which they come, the time of day as it is in the design.
    """
    ids: dict[str, str] = {}
    pattern = r"((?:^[✓✗■>+x~]|request|show|id) )([0-9a-f]{6})\b"
    text = re.sub(
        pattern,
        lambda found: found[1] + ids.setdefault(found[2], f"id{len(ids):04}"),
        text,
        flags=re.MULTILINE,
    )
    text = re.sub(r" --store \S+/events.jsonl", " --store x.jsonl", text)
    return re.sub(r"\d\d:\d\d:\d\d", "14:03:25", text)


LIST_80 = """\
  id      when          took       cost  request
✓ id0000  2025-11-27   3.1 s  $0.000013  agent travel  'How is i… → 'It is sunn…
✗ id0001  2025-11-27   1.3 s  $0.000013  agent travel  ValueError: the service …
■ id0002  2025-11-27   2.1 s             chat_model answer  abandoned  'H… → 'I…
■ id0003  2025-11-27                     agent research  lost  'Compare the ten…
4 of 4 requests, newest last. One of them: show id0001 --store x.jsonl, or show LAST --store x.jsonl
"""
LIST_140 = """\
  id      when          took  runs  out       cost  request
✓ id0000  2025-11-27   3.1 s     2   12  $0.000013  agent travel  'How is it in Rome, and shou… → 'It is sunny in Rome and 2.8 million peop…
✗ id0001  2025-11-27   1.3 s     4   12  $0.000013  agent travel  ValueError: the service is down: [Errno 111] Connection refused while cal…
■ id0002  2025-11-27   2.1 s     1   34             chat_model answer  abandoned  'How is it in Rome?' → 'It is sunny'
■ id0003  2025-11-27             1                  agent research  lost  'Compare the ten largest cities'
4 of 4 requests, newest last. One of them: show id0001 --store x.jsonl, or show LAST --store x.jsonl
"""


@pytest.mark.parametrize("width, screen", [(80, LIST_80), (140, LIST_140)])
def test_list(told: Any, shown: Shown, width: int, screen: str) -> None:
    """
    Requests are listed newest last; from 110 columns on also with runs and tokens out.
    """
    tell_some(told)

    assert known(shown("show", "--store", told.path, width=width)) == screen


TREE_80 = """\
request id0000  2025-11-27 14:03:25, user_id=u1, tags v2
  1.3 s  ✗ agent travel  ValueError from tool forecast
 493 ms  ├─ ✓ chat_model gpt-4o-mini  40 in, 12 out, $0.000013  → weather(city=…
 801 ms  ├─ ✓ tool weather  city='Rome' → 'Rome: sunny, 24 °C'
 202 ms  └─ ✗ tool forecast  city='Rome', units='metric', days=14
              ValueError: the service is down: [Errno 111] Connection refused
              while calling
              https://weather.example.com/v1/forecast?city=Rome&units=metric&days=14
         4 runs, 1 failed, 1 model call, 40 in, 12 out, $0.000013  id id0000
"""
TREE_140 = """\
request id0000  2025-11-27 14:03:25, user_id=u1, tags v2
  1.3 s  ✗ agent travel  ValueError from tool forecast                                                                ━━━━━━━━━━━━━━━━━━━━━━
 493 ms  ├─ ✓ chat_model gpt-4o-mini  40 in, 12 out, $0.000013  → weather(city='Rome'), forecast(city='Rome', units…  ━━━━━━━━
 801 ms  ├─ ✓ tool weather  city='Rome' → 'Rome: sunny, 24 °C'                                                                ━━━━━━━━━━━━━━
 202 ms  └─ ✗ tool forecast  city='Rome', units='metric', days=14                                                             ━━━━
              ValueError: the service is down: [Errno 111] Connection refused while calling
              https://weather.example.com/v1/forecast?city=Rome&units=metric&days=14
         4 runs, 1 failed, 1 model call, 40 in, 12 out, $0.000013  id id0000                                          0                1.3 s
"""
TREE_ASCII = """\
request id0000  2025-11-27 14:03:25, user_id=u1, tags v2
  1.3 s  x agent travel  ValueError from tool forecast
 493 ms  |- + chat_model gpt-4o-mini  40 in, 12 out, $0.000013  -> weather(city='Rome'), forecast(city='Rome', units=...
 801 ms  |- + tool weather  city='Rome' -> 'Rome: sunny, 24 \\xb0C'
 202 ms  `- x tool forecast  city='Rome', units='metric', days=14
              ValueError: the service is down: [Errno 111] Connection refused while calling
              https://weather.example.com/v1/forecast?city=Rome&units=metric&days=14
         4 runs, 1 failed, 1 model call, 40 in, 12 out, $0.000013  id id0000
"""


@pytest.mark.parametrize(
    "width, encoding, screen",
    [
        (80, "utf-8", TREE_80),
        (140, "utf-8", TREE_140),
        (None, "ascii", TREE_ASCII),
    ],
)
def test_one(
    told: Any, shown: Shown, width: int | None, encoding: str, screen: str
) -> None:
    """
    One request is shown with when and whose it was, as the finished tree: the rows are
    those of `TreeHandler`.
    """
    tell_some(told)
    listed = shown("show", "--errors", "--store", told.path)
    (number,) = re.findall(r"^✗ (\w+)", listed, re.MULTILINE)

    text = shown("show", number, "--store", told.path, width=width, encoding=encoding)

    assert known(text) == screen


def test_other_ends(told: Any, shown: Shown) -> None:
    """
    A run that was left, and one whose process is gone, say so; the first with what it
    tried, told and streamed last.
    """
    tell_some(told)
    store = "--store", told.path
    (left,) = re.findall(r"^■ (\w+).* abandoned", shown("show", *store), re.MULTILINE)

    rows = known(shown("show", left, *store) + shown("show", "last", *store))

    assert rows.splitlines()[1::2] == [
        "  2.1 s  ■ chat_model answer  retry 2  abandoned after 34 tokens  34 out, 16 tok/s  → 'It is sunny'",
        "   0 ns  ■ agent research  lost  question='Compare the ten largest cities', api_key=[redacted]",
    ]


def test_ends_that_say_little(told: Any, shown: Shown) -> None:
    """
    A run that was left before it said anything, and those of which only the end is known,
    are shown with what there is.
    """
    left = {"status": "abandoned", "text": ""}
    told.run(1, "chat_model", "answer", 0, 1_000, given={"messages": []}, came=left)
    ended: dict[str, Any] = {"parent_run_id": None, "kind": "tool", "name": "search"}
    told.event("on_tool_end", 2, 5_000, root=2, data={"output": "x"}, **ended)
    odd = {"output": "y", "duration_s": "long"}
    told.event("on_tool_end", 3, 6_000, root=3, data=odd, **ended)
    store = "--store", told.path

    ids = re.findall(r"^\S (\w{6}) ", shown("show", *store), re.MULTILINE)
    rows = [shown("show", id, *store).splitlines()[1] for id in ids]

    assert rows == [
        "  1.0 s  ■ chat_model answer  abandoned",
        "   0 ns  ✓ tool search  → 'x'",
        "   0 ns  ✓ tool search  → 'y'",
    ]


def test_event_of_no_run(told: Any, shown: Shown) -> None:
    """
    An event that was told outside any run is listed, and shown, as what is over: of a
    store and of a file of events alike.
    """
    fields = {"parent_run_id": None, "kind": "custom", "name": "deployed"}
    data = {"name": "deployed", "data": {"version": 2}}
    told.event("on_custom_event", 1, 0, root=1, data=data, **fields)

    listed = shown("show", "--store", told.path).splitlines()
    row = shown("show", "last", "--store", told.path).splitlines()[1]

    assert re.fullmatch(r"✓ \w{6} .* 1  custom deployed", listed[1])
    assert row == "   0 ns  ✓ custom deployed"


def test_list_on_a_narrow_terminal(told: Any, shown: Shown) -> None:
    """
    Where there is no room for what was said, it is left out, and all rows fit.
    """
    tell_some(told)

    rows = shown("show", "--store", told.path, width=56).splitlines()[1:5]

    assert rows[0].endswith("  $0.000013  agent travel")
    assert "'" not in "".join(rows)
    assert max(map(len, rows)) <= 56


@pytest.mark.parametrize(
    "words, told_last",
    [
        (["name:travel"], "2 of 4 requests, newest last. One of them: show id0001 --store x.jsonl, or show LAST --store x.jsonl"),
        (["-status:error", "name:travel"], "1 of 4 requests, newest last. One of them: show id0000 --store x.jsonl, or show LAST --store x.jsonl"),
        (["nothing"], "none of 4 requests matches: nothing"),
        (["xyz\udc97"], "none of 4 requests matches: xyz?"),
        (["--errors", "travel"], "1 of 4 requests, newest last. One of them: show id0000 --store x.jsonl, or show LAST --store x.jsonl"),
    ],
)  # fmt: skip
def test_filter(told: Any, shown: Shown, words: list[str], told_last: str) -> None:
    """
    Other words list what matches; ``--errors`` what has failed.
    """
    tell_some(told)

    text = known(shown("show", *words, "--store", told.path))

    assert text.splitlines()[-1] == told_last


def test_next_command(told: Any, shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The command that is told next finds the store that was shown: the one that was named,
    or without a word the one that is read without a word.
    """
    tell_some(told)
    monkeypatch.chdir(told.path.parent)
    monkeypatch.setenv("INSTRUMENT_STORE", str(told.path))
    odd = told.path.with_name("my events\x1b[2J.jsonl")
    odd.write_bytes(told.path.read_bytes())

    for words, named in (
        ([], ""),
        (["--store", "events.jsonl"], " --store events.jsonl"),
        (["--store", odd.name], r" --store 'my events\x1b[2J.jsonl'"),
    ):
        last = shown("show", *words).splitlines()[-1]

        assert last.endswith(f"{named}, or show LAST{named}")
        assert last.isprintable()


@pytest.mark.parametrize(
    "words, error",
    [
        (["dead0"], "no request 'dead0' in 'events.jsonl'. The newest are "),
        (["zz:1"], "'zz:1' is no key to look for. There is: status:, "),
        (["--store", "nosuch.db"], "there is no store '"),
        (
            ["--store", "nosuch.jsonl"],
            "the events file 'nosuch.jsonl' cannot be read: ",
        ),
        (["--store", "text.jsonl"], "'text.jsonl' holds no events, nor is it a store."),
        (["--store", "text"], "'{here}/text' is no store. "),
    ],
)
def test_wrong_usage(
    words: list[str],
    error: str,
    told: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """
    What cannot be shown is told in one line with the cure.
    """
    monkeypatch.chdir(told.path.parent)
    tell_some(told)
    Path("text.jsonl").write_text("text\n")
    Path("text").write_text("text\n")

    with pytest.raises(SystemExit) as exit_info:
        cli.main(
            ["show", *(["--store", "events.jsonl"] * ("--store" not in words)), *words]
        )

    assert exit_info.value.code == 2
    told_error = capsys.readouterr().err
    assert told_error.startswith("instrument: error: " + error.format(here=Path.cwd()))
    assert told_error.count("\n") == 1


def test_no_requests(told: Any, shown: Shown) -> None:
    """
    A file without requests is named, and how some are kept.
    """
    told.path.touch()

    text = shown("show", "--store", told.path)

    assert text == (
        f"no requests in {told.path} yet. Keep some: python -m instrument run"
        " your_program.py\n"
    )


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Callable[[], object]]]:
    """
    Give a list of what happens at each look of ``--follow``; then comes Ctrl-C.
    """
    waiting: list[Callable[[], object]] = []

    def next_step(_: float) -> None:
        if not waiting:
            raise KeyboardInterrupt
        waiting.pop(0)()

    monkeypatch.setattr(show, "sleep", next_step)
    yield waiting
    assert waiting == []


def steps_of(
    handler: StoreHandler, step: Callable[..., object], *given: object
) -> None:
    """
    Do something, of which what is told stands in the store then.
    """
    step(*given)
    assert handler.drain()


def test_follow(
    tmp_path: Path, shown: Shown, steps: list[Callable[[], object]]
) -> None:
    """
    ``--follow`` goes on behind the list: a request that comes is told, and again when it
    has ended; Ctrl-C ends it.
    """
    path = tmp_path / "own.db"
    handler = StoreHandler(path)
    with callbacks(handler):
        with traced("first", kind="tool"):
            pass
        handler.drain()
        second = traced("second", kind="tool")
        steps += [
            partial(steps_of, handler, second.__enter__),
            lambda: None,
            partial(steps_of, handler, second.__exit__, None, None, None),
        ]

        text = shown("show", "--follow", "--store", path, code=130)

    names = re.findall(r"^(.) \w{6}  .* tool (\w+)$", text, re.MULTILINE)
    assert names == [("✓", "first"), (">", "second"), ("✓", "second")]
    assert "newest last" not in text


def test_follow_a_store_made_anew(
    tmp_path: Path, shown: Shown, steps: list[Callable[[], object]]
) -> None:
    """
    Where the store is removed, and a program makes another in its place, ``--follow``
    goes on with that; what is no store yet is waited for.
    """
    path = tmp_path / "own.db"

    def told(name: str) -> None:
        handler = StoreHandler(path)
        with callbacks(handler), traced(name, kind="tool"):
            pass
        assert handler.drain()

    def remove() -> None:
        for file in tmp_path.iterdir():
            file.unlink()

    told("first")
    steps += [remove, path.touch, remove, partial(told, "second"), lambda: None]

    text = shown("show", "--follow", "--store", path, code=130)

    assert re.findall(r" tool (\w+)$", text, re.MULTILINE) == ["first", "second"]


def test_follow_one_of_a_store_that_goes(
    tmp_path: Path,
    shown: Shown,
    steps: list[Callable[[], object]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """
    One request is followed no more where its store has been removed, which is said.
    """
    pytest.importorskip("rich")
    path = tmp_path / "own.db"
    handler = StoreHandler(path)
    with callbacks(handler), traced("first", kind="tool"):
        handler.drain()
        steps.append(path.unlink)
        with pytest.raises(SystemExit) as exit_info:
            shown("show", "LAST", "--follow", "--store", path)

    assert exit_info.value.code == 2
    error = f"instrument: error: the store {str(path)!r} is not there any more\n"
    assert capsys.readouterr().err == error


def test_follow_one_that_is_deleted(
    tmp_path: Path,
    shown: Shown,
    steps: list[Callable[[], object]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """
    One request is followed no more where somebody deletes it, which is said in one line.
    """
    pytest.importorskip("rich")
    path = tmp_path / "own.db"
    handler = StoreHandler(path)

    def delete() -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            for table in ("events", "runs", "traces"):
                connection.execute(f"DELETE FROM {table}")

    with callbacks(handler), traced("first", kind="tool") as run:
        handler.drain()
        steps.append(delete)
        with pytest.raises(SystemExit):
            shown("show", "LAST", "--follow", "--store", path)

    error = f"instrument: error: no request '{run.id}' in {str(path)!r}.\n"
    assert capsys.readouterr().err.endswith(error)


def test_follow_a_store_that_goes(
    tmp_path: Path,
    shown: Shown,
    steps: list[Callable[[], object]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """
    A store that cannot be read any more ends it with one line that names the store.
    """
    path = tmp_path / "own.db"
    handler = StoreHandler(path)
    with callbacks(handler), traced("first"):
        pass
    handler.drain()

    def damage() -> None:
        with sqlite3.connect(path) as connection:
            connection.execute("DROP TABLE events")
        connection.close()

    steps.append(damage)
    with pytest.raises(SystemExit) as exit_info:
        shown("show", "--follow", "--store", path)

    assert exit_info.value.code == 2
    assert re.fullmatch(
        r"instrument: error: the store '.*own\.db' cannot be read: no such table: .*\n",
        capsys.readouterr().err,
    )


def test_follow_one(
    tmp_path: Path, shown: Shown, steps: list[Callable[[], object]]
) -> None:
    """
    One request is followed until it has ended; what it came to is told once.
    """
    pytest.importorskip("rich")
    path = tmp_path / "own.db"
    handler = StoreHandler(path)
    with callbacks(handler):
        first = traced("first", kind="tool")
        first.__enter__()
        handler.drain()
        steps += [
            lambda: None,
            partial(steps_of, handler, first.__exit__, None, None, None),
        ]

        text = shown("show", "LAST", "--follow", "--store", path)

    head, row = text.splitlines()
    assert re.fullmatch(r"request \w{6}  [-\d]+ [:\d]+, .+", head)
    assert row.endswith("✓ tool first")


def test_follow_one_without_rich(
    told: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Without rich one request cannot be followed, and that is said.
    """
    tell_some(told)
    monkeypatch.setitem(sys.modules, "rich.console", None)

    with pytest.raises(SystemExit):
        cli.main(["show", "LAST", "--follow", "--store", str(told.path)])

    error = 'to follow one request needs rich: pip install "instrument-callbacks[rich]"'
    assert capsys.readouterr().err == f"instrument: error: {error}\n"


@pytest.mark.parametrize("lines, rows", [(None, 20), (24, 20), (3, 5)])
def test_as_many_as_fit(
    told: Any,
    shown: Shown,
    monkeypatch: pytest.MonkeyPatch,
    lines: int | None,
    rows: int,
) -> None:
    """
    On a terminal as many are listed as fit, else 20; the newest.
    """
    for number in range(1, 31):
        word = {"given": {"inputs": {}}, "came": {"outputs": None}}
        told.run(number, "chain", f"n{number}", number, number + 0.5, **word)
    if lines is not None:
        monkeypatch.setenv("LINES", str(lines))

    text = shown("show", "--store", told.path, width=lines and 80)

    listed = re.findall(r"chain (n\d+)", text)
    assert listed == [f"n{number}" for number in range(31 - rows, 31)]


@pytest.mark.parametrize(
    "kind, name, model, provider, told_name",
    [
        ("tool", "Search", "m-1", None, "Search"),
        ("chat_model", "ChatOpenAI", "m-1", None, "m-1"),
        ("chat_model", "openai.chat", "m-1", "openai", "m-1"),
        ("chat_model", "write", "m-1", "openai", "write"),
        ("chat_model", "ChatOpenAI", None, None, "ChatOpenAI"),
    ],
)
def test_name_of_a_model(
    kind: str, name: str, model: str | None, provider: str | None, told_name: str
) -> None:
    """
    A model is told by its own name where the run's is only a framework's class or
    operation.
    """
    assert name_of(kind, name, model, provider) == told_name


def test_colours(told: Any, shown: Shown) -> None:
    """
    Signs, what costs and types of errors have colours by name; heads and hints are dim.
    """
    tell_some(told)

    text = shown("show", "--store", told.path, width=80, no_color="")
    one = shown("show", "LAST", "--store", told.path, width=80, no_color="")

    lines = re.sub(r"(?<=m)[0-9a-f]{6}(?=  )", "ID", text).splitlines()
    assert lines[:4] == [
        "\x1b[2m  id      when          took       cost  request\x1b[m",
        "\x1b[32m✓ \x1b[mID  2025-11-27   3.1 s  $0.000013  \x1b[2magent \x1b[mtravel\x1b[2m  'How is i… → 'It is sunn…\x1b[m",
        "\x1b[1;31m✗ \x1b[mID  2025-11-27   1.3 s  $0.000013  \x1b[2magent \x1b[mtravel\x1b[1;31m  ValueError\x1b[m: the service …",
        "\x1b[33m■ \x1b[mID  2025-11-27   2.1 s             \x1b[35mchat_model \x1b[manswer\x1b[1m  abandoned\x1b[m\x1b[2m  'H… → 'I…\x1b[m",
    ]
    assert re.match(
        r"\x1b\[1mrequest \w{6}\x1b\[m\x1b\[2m  2025-11-27 [\d:]+\x1b\[m\n", one
    )


def test_secrets(told: Any, shown: Shown) -> None:
    """
    What usually is secret is masked in what was said.
    """
    asked = {"given": {"inputs": {"city": "Rome", "api_key": "enigma"}}}
    told.run(1, "tool", "weather", 0, 1, **asked, came={"output": "fine"})

    text = shown("show", "--store", told.path)

    assert "api_key=[redacted]" in text
    assert "enigma" not in text


@pytest.mark.parametrize(
    "odd",
    [
        {"type": ["x"], "message": {}},
        {"status": ["error"]},
        {"status": {"a": 1}},
        {"usage": {"input_tokens": "many", "output_tokens": -1}},
        {"usage": "none"},
        {"outputs": "x" * 10, "duration_s": [1]},
        {"duration_s": 1e308, "time_to_first_token_s": -1},
        {"origin": [], "type": 5, "message": 7},
        {"origin": True, "traceback": {"a": 1}},
        {"vectors": {"count": 2, "size": "\ud800"}},
    ],
)
def test_fields_of_others(told: Any, shown: Shown, tmp_path: Path, odd: Any) -> None:
    """
    A file of events that others wrote is shown and exported whatever stands in its fields.
    """
    told.run(1, "chain", "whole", 0, 1, given={"inputs": 1}, came={"outputs": 2})
    told.run(
        2, "chat_model", "odd", 2, 3, given={"messages": [], "model": [1]},
        meanwhile=[(2.5, "on_llm_new_token", {"token": [1], "channel": {}, "count": "x"})],
        came={"status": "error", **odd}, tags=["x", 1, None],
    )  # fmt: skip
    store = "--store", told.path

    assert "whole" in shown("show", *store)
    assert "odd" in shown("show", "LAST", *store)
    for ending in ("html", "jsonl", "md"):
        shown("export", "LAST", "--to", tmp_path / f"x.{ending}", *store)


@pytest.mark.parametrize("number", ["1e308", "1e999", "NaN", f"{10**400}", "-1", '"1"'])
def test_numbers_of_others(told: Any, number: str) -> None:
    """
    A duration, or a length, that others wrote and that is none is not known; the page has
    no number that JSON has not.
    """
    told.run(
        1, "llm", "odd", 0, 1, given={"prompts": []},
        meanwhile=[(0.5, "on_llm_new_token", {"token": "", "length": 4711})],
        came={"duration_s": 4711, "time_to_first_token_s": 4711},
    )  # fmt: skip
    told.path.write_text(told.path.read_text("utf-8").replace("4711", number), "utf-8")
    reader = Reader(store_of(told.path))

    [request] = reader.requests()
    runs = reader.skeleton(request["trace_id"])
    rest = reader.names(), reader.events(request["trace_id"])
    reader.close()

    assert "duration_ms" not in request
    json.dumps([request, runs, rest], allow_nan=False)


def test_usage_of_others(told: Any, shown: Shown) -> None:
    """
    Of usage that others wrote what is no count is not known; the rest of it, and that the
    run has ended, are.
    """
    used = {"input_tokens": "many", "output_tokens": 7, "cost_usd": -1}
    told.run(1, "chat_model", "odd", 0, 1, given={"messages": []}, came={"usage": used})

    text = shown("show", "LAST", "--store", told.path)

    assert "✓ chat_model odd" in text
    assert "7 out" in text


def test_request_of_which_nothing_can_be_read(
    told: Any,
    capsys: pytest.CaptureFixture[str],
    reports: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    Where no record of a request can be read, that is told in one line.
    """
    told.event("on_llm_end", 1, 1, root=1, kind="llm", name="odd", data={})
    monkeypatch.delattr(rows, "usage_in")  # no value is known that would have it fail

    with pytest.raises(SystemExit):
        cli.main(["show", "LAST", "--store", str(told.path)])

    assert "there is nothing that can be read" in capsys.readouterr().err
    assert len(reports) == 1


@pytest.mark.parametrize(
    "value",
    [
        *("run_id = 'x'", "kind = x'00ff'", "said = x'00ff'", "tags = '[1]'"),
        *("started_ns = 1e999", "duration_ms = 'x'", "runs = 'x'", "cost_usd = 'x'"),
    ],
)
def test_store_that_is_damaged(
    told: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path, value: str
) -> None:
    """
    Where a store has what no writer puts there, that is told in one line.
    """
    tell_some(told)
    path = tmp_path / "damaged.db"
    whole = closing(sqlite3.connect(store_of(told.path)))
    with whole as connection, closing(sqlite3.connect(path)) as copy:
        connection.backup(copy)
        copy.execute(f"UPDATE traces SET {value}")
        copy.commit()

    codes: list[Any] = []
    to = str(tmp_path / "x.md")
    for command in (["show"], ["show", "LAST"], ["export", "LAST", "--to", to]):
        try:
            codes.append(cli.main([*command, "--store", str(path)]))
        except SystemExit as exc:
            codes.append(exc.code)

    told_errors = capsys.readouterr().err.splitlines()
    assert 2 in codes
    assert codes.count(2) == len([it for it in told_errors if "damaged.db" in it])
