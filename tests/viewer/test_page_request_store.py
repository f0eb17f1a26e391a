"""
The view of one request on a real store and a real server, while a program writes.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from instrument import callbacks, traced
from instrument.handlers import StoreHandler

PIECES = ["Hello Ada, ", "it is ", "on its way."]


@traced(kind="tool")
def find_order(order_id: str) -> dict[str, str]:
    """
    Find an order, unless it is lost.
    """
    if order_id == "lost":
        raise LookupError(f"no order {order_id!r}")
    return {"order_id": order_id, "status": "shipped"}


@traced(kind="chat_model", model="toy-1")
def draft(messages: list[dict[str, str]]) -> Iterator[str]:
    """
    Write an answer piece by piece.
    """
    yield from PIECES


@traced(kind="agent")
def answer(question: str, order_id: str = "A-1042") -> Iterator[str]:
    """
    Answer a question with what was found.
    """
    yield from draft([{"role": "user", "content": question}])
    yield str(find_order(order_id))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StoreHandler]:
    """
    Write to a store.
    """
    handler = StoreHandler(tmp_path / "traces.db")
    yield handler
    handler.drain(5)


@pytest.fixture
def link(tmp_path: Path, store: StoreHandler) -> Iterator[str]:
    """
    Serve the page of the store as people do, and give its link.
    """
    command = [sys.executable, "-m", "instrument", "view", "--port", "0"]
    command.append(str(tmp_path / "traces.db"))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.stdout.readline().strip()
        process.terminate()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """
    Open a page on which no error may be left over.
    """
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(30_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text))
    yield page
    page.close()
    assert errors == []


def test_token_is_on_the_page_before_the_model_has_ended(
    store: StoreHandler, link: str, page: Any
) -> None:
    """
    Runs are on the page at their start, and tokens before their model has ended.
    """
    with callbacks(store):
        answering = answer("Where is my order?")
        next(answering)
        store.drain(5)
        page.goto(f"{link}#/r/LAST")
        page.locator(".arriving", has_text=PIECES[0].strip()).wait_for()
        assert page.locator(".bar.running").count() == 2
        assert page.locator(".rowx").count() == 2

        next(answering)
        page.locator(".arriving", has_text="Hello Ada, it is").wait_for()
        assert page.locator(".dtitle .status").inner_text() == "running"

        assert len([*answering]) == 2
        page.wait_for_selector(".sum .s-ok")

    assert page.locator(".rowx", has_text="find_order").count() == 1
    assert page.locator(".bar.running").count() == 0
    page.click(".rowx >> text=draft")
    page.locator(".msg.answer", has_text="Hello Ada, it is on its way.").wait_for()


def test_failed_request_is_told_whole(
    store: StoreHandler, link: str, page: Any
) -> None:
    """
    A request that failed opens at the run where the error began, with its own frames.
    """
    with callbacks(store), pytest.raises(LookupError):
        [*answer("Where is it?", "lost")]
    store.drain(5)
    page.goto(f"{link}#/r/LAST")
    page.wait_for_selector(".tb")

    assert page.locator(".dtitle h2").inner_text() == "find_order"
    assert page.locator(".oops .ms").inner_text() == "no order 'lost'"
    assert "in find_order" in page.locator(".tb .own").last.inner_text()
    page.keyboard.press("3")
    names = page.locator(".evt .nm").all_inner_texts()
    assert names == ["on_tool_start", "on_tool_error"]
