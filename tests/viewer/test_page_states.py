"""
What the page says when there is nothing, not yet, or no more; and what it stays.
"""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.viewer.canned_page import Canned
    from tests.viewer.opened_page import Opened

    Show = Callable[..., Opened]

DATA: Any = import_module("canned_data")
ROWS = ".list .rowx"
DOT = ".store"
REFUSED = """Object.defineProperty(window, "localStorage", {
    get() { throw new DOMException("refused", "SecurityError"); } });"""


def test_empty_store(show: "Show", canned: "Canned") -> None:
    """
    An empty store says how to begin, where it looks, and shows the first request as it comes.
    """
    canned.rows = []
    one = show()
    one.page.get_by_role("heading", name="Nothing recorded yet").wait_for()
    assert one.texts(".cmd pre")[0] == "python -m instrument run app.py"
    one.page.get_by_text("Watching /data/instrument/traces.db").wait_for()
    assert one.page.locator(".filters").is_hidden()

    one.server.come(DATA.sixty()[0])
    one.page.locator(ROWS).wait_for()


def test_opening_says_what_it_opens(show: "Show", canned: "Canned") -> None:
    """
    A store that takes its time is told: grey rows, how far, how large; then the rows.
    """
    canned.held.clear()
    one = show()
    one.page.get_by_text("Opening traces.db: 41,203 requests, 1.20\u202fGB").wait_for()
    assert one.page.locator("[role=progressbar]").get_attribute("aria-valuenow") == "33"
    assert "opening" in one.page.locator(DOT).inner_text()
    assert one.page.locator(".ghosts").count() == 14

    canned.held.set()
    one.page.locator(ROWS).first.wait_for()
    one.wait("document.querySelector('.store').textContent.startsWith('live')")


def test_no_match(show: "Show") -> None:
    """
    A filter that nothing fits says so, and how to see all again.
    """
    one = show("#/?q=user%3Anobody")
    one.page.get_by_role("heading", name="No request matches").wait_for()
    said = "60 requests are in the store; none fits “user:nobody”."
    assert one.texts(".calm p") == [said]

    one.page.get_by_role("button", name="Show all").click()
    one.page.locator(ROWS).first.wait_for()
    assert one.page.locator(".search input").input_value() == ""


def test_store_gone(show: "Show", canned: "Canned") -> None:
    """
    A store that cannot be read any more: what one sees stays, until when, and when it tries.
    """
    one = show()
    one.page.locator(ROWS).first.wait_for()
    canned.gone = "no such file"
    canned.push("gone", {"error": "no such file"})
    one.page.locator(".banner").wait_for()
    said = " ".join(one.texts(".banner .says"))
    assert said.startswith("The store cannot be read any more. /data/")
    assert said.endswith("no such file. What you see was read until 14:02:31 UTC.")
    assert "Next try in" in one.page.locator(".banner").inner_text()
    assert "not reachable" in one.page.locator(DOT).inner_text()
    assert one.page.locator(ROWS).count() > 10

    with one.page.expect_response(lambda response: response.status == 503):
        one.page.get_by_role("button", name="Try now").click()
    assert one.page.locator(".banner").count() == 1
    canned.gone = ""
    one.page.get_by_role("button", name="Try now").click()
    one.page.locator(".banner").wait_for(state="detached")
    assert "live" in one.page.locator(DOT).inner_text()
    one.errors.clear()  # the answer 503, which Chromium reports


def test_store_is_back_by_itself(show: "Show", canned: "Canned") -> None:
    """
    When the server reads the store again, the page is live again and up to date.
    """
    one = show()
    one.page.locator(ROWS).first.wait_for()
    canned.push("gone", {"error": "no such file"})
    one.page.locator(".banner").wait_for()
    fresh = canned.rows[0] | {"key": 2000, "name": "meanwhile", "trace_id": "meanwhile"}
    canned.rows = [fresh, *canned.rows]
    canned.push("back", {})

    one.page.get_by_text("meanwhile").wait_for()
    assert one.page.locator(".banner").count() == 0


def test_server_ended(show: "Show", canned: "Canned") -> None:
    """
    A server that has ended: what one sees stays, and the line that starts it again.
    """
    one = show()
    one.page.locator(ROWS).first.wait_for()
    one.wait("document.querySelector('.store').title !== ''")
    canned.end()
    one.page.locator(".banner").wait_for()

    said = " ".join(one.texts(".banner .says"))
    path = "/data/instrument/traces.db"
    assert said == (
        "python -m instrument view has ended. What you see stays. "
        f"Start it again: python -m instrument view {path}"
    )
    assert "ended" in one.page.locator(DOT).inner_text()
    assert one.page.locator(ROWS).count() > 10
    beat = "getComputedStyle(document.querySelector('.beat')).animationName"
    assert one.page.evaluate(beat) == "none"
    one.errors.clear()  # refused connections, which Chromium reports


def test_no_such_request(show: "Show") -> None:
    """
    Side by side with a request that is not there says which, and leads back.
    """
    one = show("#/vs/nothing/nobody")
    one.page.get_by_role("heading", name="Not in this store").wait_for()
    assert "No request begins with" in one.page.locator(".calm p").inner_text()
    one.errors.clear()  # the answer 404, which Chromium reports

    one.page.get_by_role("link", name="All requests", exact=True).click()
    one.page.locator(ROWS).first.wait_for()


def test_help(show: "Show") -> None:
    """
    ? shows keys and legend over the page; while it is open other keys do nothing; Esc closes it.
    """
    one = show()
    one.page.locator(ROWS).first.wait_for()
    one.press("?")
    dialog = one.page.get_by_role("dialog", name="Keys and legend")
    dialog.wait_for()
    assert "pick for side by side" in dialog.inner_text()
    one.press("j")
    assert one.page.locator(f"{ROWS}[aria-selected=true]").count() == 0

    one.press("Escape")
    dialog.wait_for(state="detached")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(show: "Show", scheme: Any) -> None:
    """
    The page follows the system; the switch turns it over, and a reload finds that again.
    """
    one = show(color_scheme=scheme)
    colours = {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 19, 22)"}
    paper = "getComputedStyle(document.body).backgroundColor"
    assert one.page.evaluate(paper) == colours.pop(scheme)

    one.page.get_by_role("button", name="Light or dark").click()
    [other] = colours.values()
    assert one.page.evaluate(paper) == other
    one.page.reload()
    one.page.locator(ROWS).first.wait_for()
    assert one.page.evaluate(paper) == other


def test_light_and_dark_without_storage(show: "Show") -> None:
    """
    Where storage is refused the switch works as long as the page is open.
    """
    one = show(color_scheme="light")
    one.page.add_init_script(REFUSED)
    one.page.reload()
    one.page.locator(ROWS).first.wait_for()
    one.page.get_by_role("button", name="Light or dark").click()

    assert one.page.evaluate("getComputedStyle(document.body).colorScheme") == "dark"


def test_copy(show: "Show", canned: "Canned") -> None:
    """
    A command is copied whole, and that is said.
    """
    canned.rows = []
    one = show(permissions=["clipboard-read", "clipboard-write"])
    one.page.get_by_role("button", name="Copy").first.click()
    one.page.locator(".toast").wait_for()

    assert one.texts(".toast") == ["Copied"]
    copied = one.page.evaluate("navigator.clipboard.readText()")
    assert copied == "python -m instrument run app.py"


def test_copy_without_a_clipboard(show: "Show", canned: "Canned") -> None:
    """
    Where there is no clipboard a selection is copied instead.
    """
    canned.rows = []
    one = show()
    one.page.add_init_script(
        "Object.defineProperty(navigator, 'clipboard', {value: undefined})"
    )
    one.page.reload()
    one.page.get_by_role("button", name="Copy").first.click()
    one.page.locator(".toast").wait_for()

    assert one.texts(".toast") == ["Copied"]
