"""
OpenAI's SDK, heard beside others that watch: coverage, debuggers.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from loguru import logger

import instrument
from instrument import auto, callbacks
from instrument.testing import Recorder

if TYPE_CHECKING:
    from tests.integrations.provider import Provider

if sys.version_info < (3, 12):
    pytest.skip("sys.monitoring needs Python 3.12", allow_module_level=True)

openai = pytest.importorskip("openai")

PROGRAM = Path(__file__).with_name("beside.py")
TOKENS = {
    "chat": [],
    "stream": ["Hel", "lo ", "wor", "ld"],
    "tools stream": ['{"city":', '"Oslo"}'],
    "embed": [],
}
PIECES = {
    "chat": ["ChatCompletion"],
    "stream": ["ChatCompletionChunk"] * 7,
    "tools stream": ["ChatCompletionChunk"] * 6,
    "embed": ["CreateEmbeddingResponse"],
}


def run(folder: Path, *words: str, **env: str) -> list[dict[str, Any]]:
    """
    Run the program that calls the SDK; give what it heard.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}
    here = str(Path(instrument.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**kept, "PYTHONPATH": here, **env},
    )
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def check(rows: list[dict[str, Any]]) -> None:
    """
    Check that each call was one run, heard once, and gave what the SDK gives.
    """
    assert len(rows) == 3 * 4 * 2
    for row in rows:
        assert row["tree"].endswith(": ok")
        assert "\n" not in row["tree"]
        assert row["tokens"] == TOKENS[row["name"]]
        assert row["pieces"] == PIECES[row["name"]]
        assert row["usage"]["input_tokens"] == (3 if row["name"] == "embed" else 11)
        assert row["spans"] == 1


@pytest.mark.parametrize("core", ["sysmon", "ctrace"])
def test_coverage(core: str, tmp_path: Path) -> None:
    """
    Coverage, by whichever means, sees what it would, and so does who listens here.
    """
    coverage = pytest.importorskip("coverage")
    words = ["-m", "coverage", "run", "--data-file=seen"]

    rows = run(tmp_path, *words, str(PROGRAM), "nobody", "first", COVERAGE_CORE=core)

    check(rows)
    seen = coverage.CoverageData(str(tmp_path / "seen"))
    seen.read()
    (wanted,) = (
        number
        for number, line in enumerate(PROGRAM.read_text("utf-8").splitlines(), 1)
        if "(run,) = recorder.runs" in line
    )
    assert wanted in (seen.lines(str(PROGRAM)) or [])


@pytest.fixture
def client(provider: "Provider") -> Iterator[Any]:
    """
    Make a client of the fake provider, which nothing hears yet.
    """
    auto.uninstall()
    with openai.OpenAI(api_key="k", base_url=f"{provider.url}/v1") as client:
        yield client
    auto.uninstall()


@pytest.mark.parametrize("taken", [[0], [0, 3], [0, 3, 4]])
def test_tool_ids_taken(
    client: Any, taken: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A debugger's tool id takes nothing away; with both that are free taken, it is said.
    """
    monkeypatch.setattr(auto, "_has_said_why_not", False)
    recorder = Recorder()
    said: list[str] = []
    sink = logger.add(lambda message: said.append(message.record["message"]))
    for tool in taken:
        sys.monitoring.use_tool_id(tool, f"other {tool}")

    try:
        auto.install()
        auto.install()
        (status,) = (it for it in auto.status() if it.framework == "openai")
        with callbacks(recorder):
            client.embeddings.create(model="m", input="a")
    finally:
        for tool in taken:
            sys.monitoring.free_tool_id(tool)
        logger.remove(sink)

    if 4 in taken:
        why_not = "sys.monitoring has no free tool id: 3 is 'other 3', 4 is 'other 4'"
        assert recorder.events == []
        assert status.hears == ()
        assert str(status.why_not).startswith(why_not)
        assert len([text for text in said if why_not in text]) == 1
    else:
        assert recorder.tree() == "embedding openai.embeddings: ok"
        assert status.why_not is None
        assert said == []


def test_a_debugger_that_traces(client: Any) -> None:
    """
    Who traces every line of the SDK sees them all, and we the call.
    """
    seen: set[str] = set()
    recorder = Recorder()

    def trace(frame: Any, event: str, arg: object) -> Any:
        seen.add(frame.f_code.co_name)
        return trace

    auto.install()
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with callbacks(recorder):
            list(client.chat.completions.create(model="m", messages=[], stream=True))
    finally:
        sys.settrace(before)

    assert {"request", "__stream__"} <= seen
    assert recorder.tree() == "chat_model openai.chat.completions: ok"
