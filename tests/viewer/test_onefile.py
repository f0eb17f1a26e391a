"""
One request as one HTML file, and what a `Recorder` heard as a frame of a notebook: the page
itself, without a server.
"""

import base64
import contextlib
import gzip
import hashlib
import html
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from instrument import callbacks, cli, current_run, emit, traced
from instrument.handlers._tree.page import page_of
from instrument.testing import Recorder
from instrument.viewer import notebook, onefile

EVIL = (
    "</script><img src=x onerror='window.hacked=1'><!-- \x1b[31m\u202e\0 {0} ${1} `"
    "\ud800 <script>window.hacked=2</script>"
)
LONG = "x" * 1_000_000


@traced.tool
def search(query: str, api_key: str) -> str:
    """
    Fail.
    """
    message = f"nothing about {query}, password=enigma"
    raise LookupError(message)


@traced.chat_model(model="fake-1")
def model(messages: list[dict[str, str]]) -> Iterator[str]:
    """
    Answer in two tokens.
    """
    current_run().record_usage(input_tokens=3, output_tokens=2)
    yield "Sunny "
    yield "in Rome."


@traced.agent
def travel(question: str) -> str:
    """
    Ask a model, and a tool that fails.
    """
    told = "".join(model([{"role": "user", "content": question}]))
    with contextlib.suppress(LookupError):
        search(question, api_key="enigma")
    return told


Opens = Callable[..., Any]


@pytest.fixture
def opens(browser: Any) -> Iterator[Opens]:
    """
    Open a file in the browser; nothing may be reported or fetched.
    """
    wrong: list[str] = []
    opened = []

    def hear_request(request: Any) -> None:
        if not request.url.startswith(("file:", "data:", "about:", "blob:")):
            wrong.append(request.url)

    def hear_message(message: Any) -> None:
        if message.type in ("error", "warning"):
            wrong.append(message.text)

    def open_file(path: Path, **options: Any) -> Any:
        context = browser.new_context(**options)
        context.set_default_timeout(30_000)
        opened.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", hear_message)
        page.on("request", hear_request)
        page.goto(path.as_uri())
        return page

    yield open_file
    for context in opened:
        context.close()
    assert wrong == []


@pytest.fixture
def exported(store: Any, tmp_path: Path) -> Callable[[str], Path]:
    """
    Serve a request, and export it.
    """

    def export(question: str) -> Path:
        with callbacks(store.handler, metadata={"user_id": "ada"}):
            travel(question)
        assert store.handler.drain(10)
        path = tmp_path / "x.html"
        words = ["export", "LAST", "--to", str(path), "--store", str(store.path)]
        assert cli.main(words) == 0
        return path

    return export


def parts(text: str) -> tuple[str, str, str, Any]:
    """
    Give a file's policy, style, script and data.
    """
    found = re.fullmatch(
        r'.*Policy" content="(.*?)">.*<style>(.*?)</style>.*'
        r'id="packed">(.*?)</script>\n<script type="module">(.*)</script>\n</body>.*',
        text,
        re.DOTALL,
    )
    assert found is not None
    policy, style, data, script = found.groups()
    held = json.loads(gzip.decompress(base64.b64decode(data)))
    return html.unescape(policy), style, script, held


def test_modules_are_joined() -> None:
    """
    The script holds each module once, behind those that it imports, and none is imported.
    """
    script = onefile.joined()

    modules = re.findall(r"^const (\w+)_js = \(\(\) => \{$", script, re.MULTILINE)
    used = re.findall(r"^const \{[^}]*\} = (\w+)_js;$", script, re.MULTILINE)
    files = {path.stem for path in onefile.PAGE.glob("*.js")}
    assert set(modules) == files
    assert len(modules) == len(files)
    assert set(used) <= files
    assert modules[-1] == "main"
    assert not re.search(r"^(import|export)\b", script, re.MULTILINE)
    assert not re.search("</script|<!--|<script", script, re.IGNORECASE)


def test_policy(exported: Callable[[str], Path]) -> None:
    """
    Nothing may run or be fetched but the script and the style that it was written with.
    """
    text = exported("How is it?").read_text("utf-8")

    policy, style, script, held = parts(text)
    hashes = [
        base64.b64encode(hashlib.sha256(it.encode()).digest()).decode()
        for it in (script, style)
    ]
    assert policy == (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}'; style-src"
        f" 'sha256-{hashes[1]}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    assert held["request"]["name"] == "travel"
    assert [it["name"] for it in held["runs"]] == ["travel", "model", "search"]


def test_secrets(exported: Callable[[str], Path]) -> None:
    """
    What usually is secret is masked, in what went in and in what errors say.
    """
    text = exported("How is it?").read_text("utf-8")

    held = json.dumps(parts(text)[3])
    assert "enigma" not in held + text
    assert "password=[redacted]" in held
    assert '"api_key": "[redacted]"' in held


@pytest.mark.parametrize("name", ["password", "pin"])
@pytest.mark.parametrize("ends", ["html", "jsonl", "md"])
def test_secret_that_is_all_there_is(
    name: str, ends: str, tmp_path: Path, store: Any
) -> None:
    """
    What goes in or comes out alone under a masked name, or in a pair with it, is masked;
    in rows as well, which say it without the name.
    """
    named: Any = {"inputs": lambda it: {name: it}, "outputs": lambda it: {name: it}}

    def work(it: str) -> str:
        emit(name, it)
        emit("a pair", (name, it))
        return it

    path = tmp_path / f"x.{ends}"
    words = ["export", "LAST", "--to", str(path), "--store", str(store.path)]

    with callbacks(store.handler):
        traced("work", **named)(work)("enigma")
    assert store.handler.drain(10)
    assert cli.main([*words, "--redact", "pin"]) == 0

    text = path.read_text("utf-8")
    held = json.dumps(parts(text)[3]) if ends == "html" else ""
    assert "[redacted]" in held + text
    assert "enigma" not in held + text


def test_secret_in_a_row(store: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """
    The list of requests says nothing of what is usually secret.
    """
    with callbacks(store.handler):
        traced("log in")(lambda password: {"session_token": password})("enigma")
    assert store.handler.drain(10)

    assert cli.main(["show", "--store", str(store.path)]) == 0

    told = capsys.readouterr().out
    assert "[redacted]" in told
    assert "enigma" not in told


@pytest.mark.parametrize(
    "told, masked",
    [
        (0.5, 0.5),
        ("x", "x"),
        ([{"password": "x"}], [{"password": "[redacted]"}]),
        (["password", "x"], ["password", "[redacted]"]),
        (["password", "x", "y"], ["password", "x", "y"]),
    ],
)
def test_secrets_of_custom_events(told: Any, masked: Any) -> None:
    """
    What the application tells itself may be any value; in it, too, names mask.
    """
    event = {"event": "on_custom_event", "data": {"name": "note", "data": told}}

    shown = onefile.masked({"events": [event]}, onefile.names_with([]))

    assert shown["events"][0]["data"] == {"name": "note", "data": masked}


def test_opens_from_a_file(exported: Callable[[str], Path], opens: Opens) -> None:
    """
    The file opens without a server, and shows the request, its runs and its error.
    """
    page = opens(exported("How is it in Rome?"))

    page.get_by_text("nothing about How is it in Rome?").first.wait_for()
    shown = page.inner_text("body")
    assert page.title() == "travel - instrument"
    assert "3 of 3 runs" in shown
    assert "LookupError" in shown


def test_hostile_text(exported: Callable[[str], Path], opens: Opens) -> None:
    """
    Whatever was said is text: HTML, scripts, escapes, half characters, a megabyte.
    """
    page = opens(exported(EVIL + LONG))

    page.get_by_text("LookupError").first.wait_for()
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0
    assert "</script><img src=x" in page.inner_text("body")


def test_without_script(exported: Callable[[str], Path], opens: Opens) -> None:
    """
    Where there is no JavaScript the tree is shown as text, from the top.
    """
    page = opens(exported("How is it? <b>"), java_script_enabled=False)

    shown = page.inner_text("noscript")
    assert "✓ agent travel  question='How is it? <b>'" in shown
    assert "LookupError: nothing about How is it? <b>, password=[redacted]" in shown
    box = page.locator("noscript").bounding_box()
    assert box is not None
    assert box["y"] < 20


def heard_twice() -> Recorder:
    """
    Record two requests.
    """
    heard = Recorder()
    with callbacks(heard):
        travel("How is Rome?")
        travel(EVIL)
    return heard


def test_recorder_in_a_notebook(opens: Opens, tmp_path: Path) -> None:
    """
    A recorder is shown as the page in a frame that may run scripts and nothing else; of
    several requests as a list, in which one is opened.
    """
    path = tmp_path / "notebook.html"
    shown = heard_twice()._repr_html_()
    path.write_text(f"<!doctype html><meta charset=utf-8>{shown}", "utf-8")

    page = opens(path)

    frame = page.frame_locator("iframe")
    frame.get_by_text("How is Rome?").first.click()
    frame.get_by_text("3 of 3 runs").wait_for()
    assert page.locator("iframe").get_attribute("sandbox") == "allow-scripts"
    assert page.evaluate("window.hacked") is None
    page.locator("summary").first.click()
    assert "agent travel" in page.inner_text("body")


def test_recorder_of_one_request(opens: Opens, tmp_path: Path) -> None:
    """
    Of one request a recorder shows that, what still runs included.
    """
    path = tmp_path / "notebook.html"
    heard = Recorder()
    with callbacks(heard), traced("outer", kind="agent"):
        travel("How is Rome?")
        shown = heard._repr_html_()
    path.write_text(f"<!doctype html><meta charset=utf-8>{shown}", "utf-8")

    page = opens(path)

    frame = page.frame_locator("iframe")
    frame.get_by_text("4 of 4 runs").wait_for()
    assert "running" in frame.locator("body").inner_text()


def test_recorder_without_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where there are very many runs, or no place for a store, a recorder is its tree.
    """
    heard = heard_twice()
    tree = page_of(heard.runs)

    monkeypatch.setattr(notebook, "TemporaryDirectory", Full)
    without_place = heard._repr_html_()
    heard.runs *= 400

    assert without_place == tree
    assert "<iframe" not in heard._repr_html_()


class Full:
    """
    A disk that is full.
    """

    def __init__(self, prefix: str) -> None:
        raise OSError(28, "No space left on device")
