"""
The page in Chromium, on canned answers: every error that it reports fails its test.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.viewer.canned_page import Canned

WAIT_S = 15
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


class Opened:
    """
    One open page: the browser's page, the server behind it, and the errors that were reported.
    """

    def __init__(self, page: Any, server: "Canned | None" = None) -> None:
        self.page = page
        self._server = server
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._heard)
        if server is not None:
            page.clock.set_fixed_time(server.now_ms / 1000)

    @property
    def server(self) -> "Canned":
        """
        The server of canned answers.
        """
        assert self._server is not None
        return self._server

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def texts(self, selector: str) -> list[str]:
        """
        Give the texts of all elements that a selector finds.
        """
        found: list[str] = self.page.locator(selector).all_inner_texts()
        return [" ".join(text.split()) for text in found]

    def press(self, *keys: str) -> None:
        """
        Press keys, one after the other.
        """
        for key in keys:
            self.page.keyboard.press(key)

    def wait(self, condition: str) -> None:
        """
        Wait until a JavaScript expression is true (playwright's own waiting needs eval).
        """
        until = time.monotonic() + WAIT_S
        while not self.page.evaluate(condition):
            assert time.monotonic() < until, condition
            self.page.wait_for_timeout(20)

    @property
    def hash(self) -> str:
        """
        What stands after ``#`` in the address.
        """
        return str(self.page.evaluate("location.hash"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """
    Run Chromium for the tests of one file.

    Playwright keeps a loop running in its thread, so it ends before other files need one.
    """
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed"
    )
    executable = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if executable is None:
        pytest.skip("Chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture
def canned() -> "Iterator[Canned]":
    """
    Serve the page with the answers of sixty requests.
    """
    server: Canned = import_module("canned_page").Canned()
    yield server
    server.end()


@pytest.fixture
def show(canned: "Canned", show_url: Callable[..., Opened]) -> Callable[..., Opened]:
    """
    Open the page on canned answers at a hash; keywords are the browser context's.

    The server is asked for first, so that it outlives the page.
    """

    def show(hash: str = "#/", **context: Any) -> Opened:
        return show_url(canned.url + hash, canned, **context)

    return show


@pytest.fixture
def show_url(browser: Any) -> Iterator[Callable[..., Opened]]:
    """
    Open the page at a URL. No error that it reports may be left over.
    """
    opened: list[Opened] = []

    def show_url(url: str, server: "Canned | None" = None, **context: Any) -> Opened:
        made = browser.new_context(
            **{"viewport": {"width": 1440, "height": 900}, **context}
        )
        made.set_default_timeout(30_000)  # a machine may have much else to do
        one = Opened(made.new_page(), server)
        opened.append(one)
        one.page.goto(url)
        return one

    yield show_url
    for one in opened:
        one.page.context.close()
    left = [error for one in opened for error in one.errors]
    assert left == [], left
