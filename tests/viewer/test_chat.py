"""
The chat of ``examples/web/chat`` in Chromium: it shows all that its server tells.
"""

import asyncio
import contextlib
import importlib.util
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("starlette")

APP = Path(__file__).parents[2] / "examples" / "web" / "chat" / "app.py"
HOSTILE = "How are tasks awaited? <img src=x onerror=alert(1)><script>x()</script>"


class Line:
    """
    A line between a browser and a server that can be cut.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._ends: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """
        Lose every connection; new ones are taken.
        """
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """
        Take no more.
        """
        self._listening.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._port))
                self._ends += [near, far]
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=_pump, args=ends, daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def chat() -> Iterator[int]:
    """
    Serve the example; give its port.
    """
    spec = importlib.util.spec_from_file_location("chat_app", APP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(module.app, log_level="critical", lifespan="off")
    config.timeout_graceful_shutdown = 1
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None
    thread = threading.Thread(
        target=asyncio.run, args=(server.serve(sockets=[listening]),)
    )
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join()
    listening.close()


@pytest.fixture
def line(chat: int) -> Iterator[Line]:
    """
    Give a line to the server that can be cut.
    """
    made = Line(chat)
    yield made
    made.end()


@pytest.fixture
def opened(show_url: Callable[..., Any], line: Line) -> Any:
    """
    Open the page.
    """
    return show_url(line.url)


def ask(opened: Any, question: str | None = None) -> None:
    """
    Type a question and send it; the page is then asked about a tool.
    """
    if question is not None:
        opened.page.fill("#input", question)
    opened.page.press("#input", "Enter")
    opened.page.wait_for_selector(".approval")


def wait_for_text(opened: Any) -> str:
    """
    Wait until some words of the answer are here.
    """
    opened.wait("document.getElementById('answer').textContent.length > 40")
    return str(opened.page.inner_text("#answer"))


def outcome(opened: Any) -> str:
    """
    Wait for the end, and give what it was.
    """
    opened.page.wait_for_selector("#outcome:not([hidden])")
    return str(opened.page.inner_text("#outcome"))


def names(opened: Any) -> list[str]:
    """
    Give the names of the calls in the tree.
    """
    return list(opened.texts("#tree .name"))


def test_question_is_answered(opened: Any) -> None:
    """
    Words are there before the end, the tree grows, the tool waits until it is allowed.
    """
    ask(opened)
    before = names(opened)
    waits = opened.texts("#tree .waits > .row .name")
    opened.page.click(".approval .yes")
    wait_for_text(opened)
    is_running = opened.page.is_hidden("#outcome")

    assert outcome(opened) == "Done."
    assert is_running
    assert waits == ["train"]
    assert before == ["answer", "search", "shortlist", "rank", "train"]
    assert names(opened) == [*before, "prompt", "write"]
    assert "tokens" in opened.texts("#tree .end")[-1]
    assert opened.page.is_visible("#ask")


def test_tool_is_refused(opened: Any) -> None:
    """
    A tool that is refused does not run, and the request says why it ended.
    """
    ask(opened)
    opened.page.click(".approval .no")

    assert "ToolRefused: tool 'train' was refused" in outcome(opened)
    assert opened.texts("#tree .error > .row .name")[-1] == "train"


def test_stop(opened: Any) -> None:
    """
    Escape stops the request while it writes.
    """
    ask(opened)
    opened.page.click(".approval .yes")
    wait_for_text(opened)
    opened.press("Escape")

    assert outcome(opened) == "Stopped."
    assert len(opened.texts("#tree .running")) == 0


@pytest.mark.parametrize("when", ["asked", "writing", "ended"])
def test_reload(opened: Any, when: str) -> None:
    """
    A page that is loaded anew shows its request whole, and goes on.
    """
    ask(opened, "How are tasks awaited?")
    if when != "asked":
        opened.page.click(".approval .yes")
        wait_for_text(opened)
    if when == "ended":
        outcome(opened)
    opened.page.reload()
    if when == "asked":
        opened.page.click(".approval .yes")

    assert outcome(opened) == "Done."
    assert opened.page.inner_text("#question") == "How are tasks awaited?"
    assert len(names(opened)) == len(set(names(opened))) == 7
    words = len(opened.page.inner_text("#answer").split())
    assert opened.texts("#tree .end")[-1].startswith(f"{words} tokens")


def test_dropped_connection(opened: Any, line: Line) -> None:
    """
    A lost connection is said and comes back; no word is lost, and none comes twice.
    """
    ask(opened)
    line.cut()
    opened.page.wait_for_selector("#link.lost")
    opened.wait("document.getElementById('link').textContent === 'live'")
    opened.page.click(".approval .yes")

    assert outcome(opened) == "Done."
    words = len(opened.page.inner_text("#answer").split())
    assert opened.texts("#tree .end")[-1].startswith(f"{words} tokens")
    assert len(names(opened)) == 7
    opened.errors[:] = [it for it in opened.errors if "net::ERR" not in it]


def test_gone(opened: Any) -> None:
    """
    A request that the server keeps no more is said to be gone.
    """
    opened.page.evaluate(
        "sessionStorage.setItem('current', JSON.stringify({id: 'x', question: 'Old?'}))"
    )
    opened.page.reload()

    assert outcome(opened) == "This request is kept no more."


def test_hostile_question(opened: Any) -> None:
    """
    What looks like HTML is shown as text.
    """
    ask(opened, HOSTILE)
    opened.page.click("#stop")

    assert outcome(opened) == "Stopped."
    assert opened.page.inner_text("#question") == HOSTILE
    assert opened.page.locator("img").count() == 0


def test_behind_use_chat(chat: int) -> None:
    """
    The same server answers as ``useChat`` of the AI SDK wants it, and takes its answer.
    """
    httpx = pytest.importorskip("httpx")
    url = f"http://127.0.0.1:{chat}"
    part = {"type": "text", "text": "How do I wait for several tasks at once?"}
    asked = {"messages": [{"role": "user", "parts": [part]}]}
    kinds = []

    with httpx.stream("POST", f"{url}/api/chat", json=asked, timeout=30) as response:
        for line in response.iter_lines():
            if line.startswith("data: {"):
                frame = json.loads(line[6:])
                kinds.append(frame["type"])
                if kinds[-1] == "tool-approval-request":
                    said = {"approval_id": frame["approvalId"], "approved": True}
                    taken = httpx.post(f"{url}/answer", json=said).json()

    assert taken == {"was_awaited": True}
    assert kinds[-1] == "finish"
    assert kinds.count("text-delta") > 10


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_look(show_url: Any, line: Line, scheme: str, width: int) -> None:
    """
    Nothing is wider than the page, and text stands out, in both colour schemes.
    """
    opened = show_url(
        line.url, viewport={"width": width, "height": 760}, color_scheme=scheme
    )
    ask(opened)

    sizes = "[document.documentElement.scrollWidth, innerWidth]"
    inner, outer = opened.page.evaluate(sizes)
    ground = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert inner <= outer
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 19, 22)"}[scheme]
    opened.page.click("#stop")
    assert outcome(opened) == "Stopped."
