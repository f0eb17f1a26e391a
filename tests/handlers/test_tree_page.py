"""
Trees as HTML, in notebooks.
"""

import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from instrument import callbacks, current_run, traced
from instrument.handlers import TreeHandler
from instrument.handlers._tree.page import page_of
from instrument.testing import Recorder


class Outline(HTMLParser):
    """
    Reads HTML: that it is well made, what it says, and what it is made of.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag in ("div", "summary") and not self.text.endswith("\n"):
            self.text += "\n"

    def handle_data(self, data: str) -> None:
        self.text += data


@traced.chat_model(model="fake-1")
def model(question: str) -> Iterator[str]:
    """
    Answer.
    """
    yield "Yes"
    current_run().record_usage(input_tokens=3, output_tokens=1)


@traced.tool
def fail(text: str) -> None:
    """
    Fail.
    """
    raise LookupError(f"no {text}\nat all")


@traced
def answer(text: str) -> str:
    """
    Ask a model, and fail.
    """
    said = "".join(model(text))
    with pytest.raises(LookupError):
        fail(text)
    return said


@pytest.fixture
def heard() -> Recorder:
    """
    A recorder.
    """
    return Recorder()


def test_recorder(heard: Recorder) -> None:
    """
    A recorder is a tree that folds and unfolds: runs, errors, what they come to.
    """
    with callbacks(heard):
        answer("cats")

    seen = Outline(page_of(heard.runs))

    rows = [re.sub(r"^[\d.]+ \w+(?=[✓✗])", "", row) for row in seen.text.splitlines()]
    assert rows[:-1] == [
        "✓ chain answer  text='cats' → 'Yes'",
        "✓ chat_model model  fake-1, 3 in, 1 out  → 'Yes'",
        "✗ tool fail  text='cats'",
        "LookupError: no cats",
        "at all",
    ]
    assert rows[-1].startswith("3 runs, 1 failed, 1 model call, 3 in, 1 out  id ")
    assert {"details", "summary"} < seen.tags <= {"details", "summary", "div", "span"}
    assert seen.attributes <= {"open", "style"}


def test_recorder_of_what_runs(heard: Recorder) -> None:
    """
    What runs is shown as such, in the order in which requests started.
    """
    with callbacks(heard):
        with traced("open"):
            with callbacks(inherit=False), callbacks(heard), traced("inner"):
                pass
            text = Outline(page_of(heard.runs)).text
        traced("second")(lambda: None)()

    assert "> chain open" in text
    whole = Outline(page_of(heard.runs)).text
    assert whole.index("✓ chain open") < whole.index("✓ chain second")


def test_nothing_heard(heard: Recorder) -> None:
    """
    Where nothing was heard that is said, also where there is no HTML.
    """
    told = Outline(heard._repr_html_()).text, repr(heard)
    with callbacks(heard):
        list(model("?"))

    assert told == ("nothing heard yet\n", "<Recorder: nothing heard yet>")
    assert repr(heard) == "<Recorder: 1 run>"


def test_hostile_text(heard: Recorder) -> None:
    """
    Whatever runs are called and say, it is text.
    """
    evil = "<script>alert(1)</script>&amp;\x00\"'"
    with callbacks(heard), traced(evil, kind=evil, inputs=[evil]):
        answer(evil)

    html = page_of(heard.runs)

    assert "<script" not in html
    assert "&amp;amp;" in html
    assert Outline(html).tags <= {"details", "summary", "div", "span"}


def test_secrets(heard: Recorder) -> None:
    """
    What usually is a secret is masked.
    """
    with callbacks(heard), traced("log in", inputs={"password": "enigma"}):
        pass

    assert "password=[redacted]" in Outline(page_of(heard.runs)).text


def test_big_trees(heard: Recorder) -> None:
    """
    A big tree is folded below its top, and of very many runs the first are counted.
    """
    with callbacks(heard), traced("many"):
        for number in range(2_500):
            with traced("one"):
                if number == 2_499:
                    model("?")

    html = page_of(heard.runs)

    assert html.count("<details open>") == 1
    assert "… 501 more: 501 chain, all ok" in Outline(html).text


def test_deep_trees(heard: Recorder) -> None:
    """
    A tree may be deeper than Python goes.
    """
    blocks = [traced(f"run {number}") for number in range(1_200)]
    with callbacks(heard):
        for block in blocks:
            block.__enter__()
        for block in reversed(blocks):
            block.__exit__(None, None, None)

    html = page_of(heard.runs)
    assert html.count("<details") == 1_199
    assert html.count("margin-left") == 16  # there is room for the text


_LOOK = """
<script>
const at = (node) => node.getBoundingClientRect();
const rows = [...document.querySelectorAll("summary, details > div > div")];
const seen = {
  took: rows.filter((row) => row.firstChild.style?.position === "absolute")
    .map((row) => [at(row.firstChild).left, at(row.firstChild).right]),
  signs: [...document.querySelectorAll("span")].filter((it) => /^[✓✗] $/.test(it.innerText))
    .map((it) => Math.round(at(it).left)),
  overflow: document.body.scrollWidth - document.body.clientWidth,
};
document.body.innerHTML = JSON.stringify(seen);
</script>
"""


@pytest.mark.slow
def test_in_a_browser(heard: Recorder, tmp_path: Path) -> None:
    """
    In a browser durations are one column, signs of one level stand below each other
    whether something can be folded there or not, and long text breaks.
    """
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no browser is installed")
    with callbacks(heard), traced("top", kind="agent"):
        answer("x" * 1_000)
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><meta charset=utf-8>{page_of(heard.runs)}{_LOOK}")

    flags = ["--headless", "--no-sandbox", f"--user-data-dir={tmp_path}", "--dump-dom"]
    command = [browser, *flags, page.as_uri()]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    seen = json.loads(re.findall(r"<body[^>]*>(.*)</body>", told, re.DOTALL)[0])
    assert len(seen["took"]) == 4
    assert len({tuple(column) for column in seen["took"]}) == 1
    top, middle, leaf, folded = seen["signs"]
    assert top < middle < leaf == folded
    assert seen["overflow"] == 0


@pytest.mark.parametrize("is_notebook", [True, False])
def test_tree_in_a_notebook(monkeypatch: pytest.MonkeyPatch, is_notebook: bool) -> None:
    """
    In a notebook the finished tree is shown as HTML, and as text where that cannot be.
    """
    pytest.importorskip("rich")

    class OutStream(io.StringIO):
        """
        What is written in a notebook.
        """

    kernel, display = ModuleType("ipykernel.iostream"), ModuleType("IPython.display")
    shown: list[Any] = []
    vars(kernel)["OutStream"] = OutStream
    vars(display)["display"] = lambda data, raw: shown.append(data)
    monkeypatch.setitem(sys.modules, "ipykernel.iostream", kernel)
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    file = OutStream() if is_notebook else io.StringIO()

    with callbacks(TreeHandler(file)):
        answer("cats")

    assert bool(shown) == is_notebook
    assert bool(file.getvalue()) != is_notebook
    if is_notebook:
        (told,) = shown
        assert told["text/html"].startswith("<div")
        assert "✓ chain answer" in told["text/plain"]
