"""
The page as people have it: the command, its link, a store that a program writes meanwhile.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from instrument import callbacks, traced

if TYPE_CHECKING:
    from tests.viewer.conftest import Store
    from tests.viewer.opened_page import Opened

ROWS = ".list .rowx"
FIRST = "document.querySelector('.list .rowx .{}')"


@traced.agent
def answer(question: str) -> str:
    """
    Be a request.
    """
    return f"an answer to {question}"


@traced.agent
def refund(question: str) -> str:
    """
    Be a request that fails.
    """
    raise TimeoutError("the ledger did not answer")


@pytest.fixture
def opened(show_url: "Callable[[str], Opened]", store: "Store") -> "Iterator[Opened]":
    """
    Open the link that ``python -m instrument view`` prints for a store of three requests.
    """
    with callbacks(store.handler, metadata={"user_id": "ada"}):
        answer("Where is my order?")
        with pytest.raises(TimeoutError):
            refund("And my money?")
    store.ask()
    command = [sys.executable, "-m", "instrument", "view", str(store.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = next(line for line in process.stdout if line.startswith("http"))
            one = show_url(url.strip())
            one.page.locator(ROWS).first.wait_for()
            yield one
            one.page.close()
        finally:
            process.terminate()


def test_link_shows_the_store(opened: "Opened") -> None:
    """
    The link shows what is in the store; its token does not stay in the address.
    """
    assert opened.texts(f"{ROWS} .name") == ["weather", "refund", "answer"]
    assert opened.texts(f"{ROWS} .c-user")[1:] == ["ada", "ada"]
    failed = opened.texts(f"{ROWS} .c-said")[1]
    assert failed == "TimeoutError the ledger did not answer"
    assert "token" not in opened.page.url


@pytest.mark.parametrize(
    "q,names",
    [
        ("kind:agent", ["refund", "answer"]),
        ("status:error", ["refund"]),
        ("name:weather", ["weather"]),
        ("duration:>5s", []),
        ("user:ada -status:error", ["answer"]),
        ("user:ada model:gpt duration:>2s cost:>0.01 -tag:eu", []),
    ],
)
def test_words_of_the_page_are_the_store_s(
    opened: "Opened", q: str, names: list[str]
) -> None:
    """
    The store understands every word that a button or the field's own text proposes.
    """
    opened.page.locator(".search input").fill(q)
    opened.wait(f"document.querySelectorAll('.list .rowx').length === {len(names)}")

    assert opened.texts(f"{ROWS} .name") == names
    assert opened.page.locator(".wrong-line").is_hidden()


def test_request_is_there_while_it_runs(opened: "Opened", store: "Store") -> None:
    """
    A request is on the page while it runs, and ends on it.
    """
    tokens = store.stream("It ", "rains.")
    next(tokens)
    opened.wait(f"{FIRST.format('s-running')} !== null")
    assert opened.texts(f"{ROWS} .name")[0] == "model"

    assert list(tokens) == ["rains."]
    opened.wait(f"{FIRST.format('s-ok')} !== null")
    opened.wait("document.querySelector('.strip dd').textContent === '4'")


def test_store_that_goes_and_comes_back(opened: "Opened", store: "Store") -> None:
    """
    A store that is moved away is missed, and found again.
    """
    assert store.handler.drain(10)
    files = [
        store.path.with_name(store.path.name + end) for end in ("", "-wal", "-shm")
    ]
    there = [path for path in files if path.exists()]
    away = [path.rename(f"{path}.away") for path in there]
    opened.page.locator(".banner").wait_for()
    assert "The store cannot be read any more." in opened.texts(".banner .says")[0]

    # the log first: who opens the file without it makes one, which this would replace
    for path, moved in reversed(list(zip(there, away, strict=True))):
        moved.rename(path)
    opened.page.locator(".banner").wait_for(state="detached")
    opened.errors.clear()  # answers 503 while it was away, which Chromium reports
    assert opened.page.locator(ROWS).count() == 3


def test_names_and_pairs_of_a_store(opened: "Opened") -> None:
    """
    The table by name and two requests side by side are the store's, too.
    """
    opened.press("j", "x", "j", "x")
    opened.page.get_by_role("link", name="Side by side").click()
    opened.page.get_by_text("TimeoutError: the ledger did not answer").wait_for()
    opened.page.get_by_text("only in B").first.wait_for()

    opened.page.get_by_role("link", name="Requests", exact=True).click()
    opened.page.get_by_role("link", name="By name").click()
    opened.page.locator(".names .rowx").first.wait_for()
    names: Any = opened.texts(".names .rowx .c-name")
    assert sorted(names) == ["answer", "refund", "weather"]
