"""
``python -m instrument export``: one request as records, as text for a model, as a page.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from instrument import Event, callbacks, cli, traced
from instrument._cli.markdown import MOST, Markdown
from instrument.handlers import StoreHandler
from instrument.handlers._store.events_file import store_of
from instrument.handlers._store.reader import Reader

Shown = Callable[..., str]

FAILED = {
    "status": "error",
    "type": "LoginError",
    "message": "no login with password=hunter2",
    "traceback": "Traceback (most recent call last):\nLoginError: password=hunter2",
    "origin": True,
}


def tell(told: Any) -> None:
    """
    Tell a request with a secret in each place.
    """
    secret = {"api_key": "hunter2", "city": "Rome", "customer": "Ada"}

    def inside() -> None:
        at = {"root": 1, "parent": 1}
        told.run(
            2, "chat_model", "ask", 1, 101, **at,
            given={"messages": [{"role": "user", "content": "How is it?\n```\nend"},
                                {"role": "assistant", "content": None, "tool_calls": [
                                    {"name": "weather", "arguments": secret}]}]},
            meanwhile=[(50, "on_llm_new_token", {"token": "Sun", "channel": "text"})],
            came={"text": "Sunny", "usage": {"input_tokens": 3, "output_tokens": 2, "cost_usd": 0.5}},
        )  # fmt: skip
        told.run(
            3, "tool", "login", 110, 120, **at, given={"inputs": secret}, came=FAILED
        )

    told.run(
        1, "agent", "travel", 0, 200, given={"inputs": secret}, inside=inside,
        tags=["v2"], metadata={"cookie": "hunter2"},
        came={**FAILED, "origin": False, "traceback": None},
    )  # fmt: skip


@pytest.fixture
def exported(told: Any, tmp_path: Path, shown: Shown) -> Callable[..., str]:
    """
    Export the request that was told, and give the file's text.
    """

    def export(ending: str, *words: str) -> str:
        path = tmp_path / f"x.{ending}"
        store = "--store", told.path
        said = shown("export", "LAST", "--to", path, *words, *store)
        assert re.fullmatch(rf"Written: {re.escape(str(path))}, [\d.]+ k?B\n", said)
        return path.read_text("utf-8")

    return export


def test_records(told: Any, exported: Callable[..., str], tmp_path: Path) -> None:
    """
    ``.jsonl`` holds the native records, which are read as events and shown as a store;
    what usually is secret is masked once more, and what ``--redact`` names.
    """
    tell(told)

    text = exported("jsonl", "--redact", "customer", "question")

    events = [Event.from_json(line) for line in text.splitlines()]
    assert [it.event for it in events[:4]] == [
        "on_chain_start",
        "on_chat_model_start",
        "on_llm_new_token",
        "on_llm_end",
    ]
    masked = {"api_key": "[redacted]", "city": "Rome", "customer": "[redacted]"}
    assert events[0].data == {"inputs": masked}
    assert events[0].metadata == {"cookie": "[redacted]"}
    assert "hunter2" not in text
    reader = Reader(store_of(tmp_path / "x.jsonl"))
    assert [it["name"] for it in reader.requests()] == ["travel"]
    reader.close()


def test_records_of_many_events(
    told: Any, exported: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    However many records there are, all are written.
    """
    monkeypatch.setattr("instrument._cli.exported._PAGE", 2)
    monkeypatch.setattr("instrument._cli.stored_trees._PAGE", 2)
    tell(told)

    assert len(exported("jsonl").splitlines()) == 7
    assert "3 runs, 1 failed" in exported("md")


@pytest.mark.parametrize("ending", ["md", "html", "jsonl"])
def test_request_that_ends_meanwhile(
    shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """
    All of a file tells one state of the request, though it ends while that is read.
    """
    path = tmp_path / f"x.{ending}"
    export = "export", "LAST", "--to", path, "--store", tmp_path / "own.db"
    handler = StoreHandler(tmp_path / "own.db")
    whole = Reader.request
    with callbacks(handler):
        run = traced("weather", kind="tool")
        run.__enter__()
        assert handler.drain()

        def ended(self: Reader, trace_id: str) -> dict[str, Any]:
            told = whole(self, trace_id)
            run.__exit__(ValueError, ValueError("it rains"), None)
            assert handler.drain()
            return told

        with monkeypatch.context() as patched:
            patched.setattr(Reader, "request", ended)
            shown(*export)
    before = path.read_text("utf-8")
    shown(*export)

    assert "it rains" not in before
    assert "it rains" in path.read_text("utf-8")


TEXT = """\
# Request ID: agent travel

started 2025-11-27 12:00:00, error, took 200 ms, 3 runs, 3 in, 2 out, $0.50. Runs are numbered as they started.

```
 200 ms  ✗ agent travel  LoginError from tool login
 100 ms  ├─ ✓ chat_model ask  3 in, 2 out, $0.50  → 'Sunny'
  10 ms  └─ ✗ tool login  api_key=[redacted], city='Rome', customer='Ada'
              LoginError: no login with password=[redacted]
         3 runs, 1 failed, 1 model call, 3 in, 2 out, $0.50  id ID
```

## 3. tool login (error, 10 ms)

Error:

```
Traceback (most recent call last):
LoginError: password=[redacted]
```

In, inputs:

```
{
 "api_key": "[redacted]",
 "city": "Rome",
 "customer": "Ada"
}
```

## 1. agent travel (error, 200 ms)

Passed on: LoginError: no login with password=[redacted]

In, inputs:

```
{
 "api_key": "[redacted]",
 "city": "Rome",
 "customer": "Ada"
}
```

## 2. chat_model ask (ok, 100 ms, 3 in, 2 out, $0.50)

In, messages:

````
user: How is it?
```
end
assistant: null [{"name": "weather", "arguments": {"api_key": "[redacted]", "city": "Rome", "customer": "Ada"}}]
````

Out, text:

```
Sunny
```
"""


def test_text(told: Any, exported: Callable[..., str]) -> None:
    """
    ``.md`` holds the tree, then each run with what went in and what came out, those first
    in which an error began; no text of a run ends its block.
    """
    tell(told)

    text = exported("md")

    text = re.sub(r"(?<=Request )\w{6}|(?<=id )\w{6}", "ID", text)
    assert re.sub(r"\d\d:\d\d:\d\d", "12:00:00", text) == TEXT


def test_text_is_bounded() -> None:
    """
    The text has an upper limit; runs and values that find no place are told.
    """
    request = {
        "name": "many", "kind": "chain", "status": "ok", "hex": "7c02d4", "runs": 200,
        "started_ms": 1.0,
    }  # fmt: skip
    run = {
        "kind": "tool", "name": "search", "status": "ok", "outputs": "x" * 9_000,
        "cut": [{"path": "outputs", "recorded": 9_000, "whole": 90_000}],
    }  # fmt: skip

    text = Markdown(request, [run] * 200).text("tree " * 10_000)
    less = Markdown(request, [run] * 12).text("tree")

    assert len(text) < MOST
    assert "… [38000 more characters]" in text
    assert "… [5000 more characters]" in text
    assert "Of outputs 9,000 of 90,000 characters were kept." in text
    last = text.splitlines()[-1]
    assert re.fullmatch(
        r"Left out, as this text has at most 60,000 characters: \d+ runs \(numbers"
        r" [\d, ]+ and \d+ more\)\.",
        last,
    )
    assert "Left out" not in less


@pytest.mark.parametrize(
    "words, error",
    [
        (["LAST"], "the following arguments are required: --to"),
        (["LAST", "--to", "x.pdf"], "--to 'x.pdf': the file's name says its form: x.html, x.jsonl, x.md"),
        (["LAST", "--to", "x.md", "--redact", "--"], "argument --redact: expected at least one argument"),
        (["LAST", "--to", "x.md", "--redact", "!"], "--redact !: a name has letters or digits"),
        (["LAST", "--to", "no/x.md", "--store", "events.jsonl"], "cannot write 'no/x.md': No such file or directory"),
    ],
)  # fmt: skip
def test_wrong_usage(
    words: list[str],
    error: str,
    told: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """
    What cannot be exported is told in one line with the cure.
    """
    tell(told)
    monkeypatch.chdir(told.path.parent)

    with pytest.raises(SystemExit) as exit_info:
        cli.main(["export", *words])

    assert exit_info.value.code == 2
    assert capsys.readouterr().err == f"instrument: error: {error}\n"


def test_request_that_is_not_there(
    told: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    A request that is not there is told with those that are.
    """
    tell(told)
    words = ["export", "dead0", "--to", "x.md", "--store", str(told.path)]

    with pytest.raises(SystemExit):
        cli.main(words)

    assert "no request 'dead0' in " in capsys.readouterr().err


def test_surrogates(told: Any, exported: Callable[..., str]) -> None:
    """
    Text that no file can hold is written as escapes.
    """
    told.run(1, "chain", "odd", 0, 1, given={"inputs": "\ud800"}, came={"outputs": 1})

    assert "\\ud800" in exported("md")
    assert json.loads(exported("jsonl").splitlines()[0])["data"]


FULL = """if True:
    import atexit, resource, sys
    no_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    atexit.register(resource.setrlimit, resource.RLIMIT_FSIZE, no_limit)  # at the end
    from instrument import cli
    from instrument._cli import exported
    save = exported.save
    def save_without_room(*given):
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, resource.RLIM_INFINITY))
        save(*given)
    exported.save = save_without_room
    sys.argv[1:1] = ["export", "LAST", "--to"]
    cli.main()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system limits no files")
@pytest.mark.parametrize("before", [None, b"older"])
def test_full_disk(told: Any, tmp_path: Path, before: bytes | None) -> None:
    """
    Where there is no room nothing is left, and a file that was there is as it was.
    """
    tell(told)
    (tmp_path / "x").mkdir()
    path = tmp_path / "x" / "x.jsonl"
    if before is not None:
        path.write_bytes(before)

    done = subprocess.run(
        [sys.executable, "-B", "-c", FULL, str(path), "--store", str(told.path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    error = f"instrument: error: cannot write {str(path)!r}: File too large\n"
    assert (done.returncode, done.stderr) == (2, error)
    left = {it.name: it.read_bytes() for it in path.parent.iterdir()}
    assert left == ({} if before is None else {"x.jsonl": before})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no such modes")
def test_file_that_is_there(told: Any, shown: Shown, tmp_path: Path) -> None:
    """
    A file that is written anew keeps its mode, and a link to it stays a link; a device
    or a pipe is written to as it is.
    """
    tell(told)
    path, link = tmp_path / "own.md", tmp_path / "x.md"
    path.touch(0o600)
    link.symlink_to(path)

    shown("export", "LAST", "--to", link, "--store", told.path)

    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o600
    assert "travel" in path.read_text("utf-8")
    link.unlink()
    link.symlink_to(os.devnull)
    shown("export", "LAST", "--to", link, "--store", told.path)
    assert link.is_symlink()
    assert sorted(it.suffix for it in tmp_path.iterdir() if "own" in it.name) == [".md"]
