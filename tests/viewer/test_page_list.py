"""
The list of requests: what a row shows, the filter, what happens meanwhile, keys.
"""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.viewer.opened_page import Opened

    Show = Callable[..., Opened]

DATA: Any = import_module("canned_data")
ROWS = ".list .rowx"
FILTERED = "document.querySelector('.strip .facts dd')?.textContent === '{}'"


def row(key: int, **more: Any) -> dict[str, Any]:
    """
    Make a request that began after all others.
    """
    first: dict[str, Any] = DATA.sixty()[5]
    return first | {"key": key, "trace_id": f"01a2{key:04x}", **more}


def test_row_shows_what_is_asked_first(show: "Show") -> None:
    """
    A row tells status, kind, name, question, user, models, tokens, cost, duration, start.
    """
    page = show().page
    cells = page.locator(f"{ROWS} >> nth=3 >> css=[role=gridcell]")
    assert cells.first.locator("[role=img]").get_attribute("aria-label") == "ok"
    texts = [" ".join(text.split()) for text in cells.all_inner_texts()]

    assert texts[1] == "summarise_thread"
    assert texts[2] == DATA.ORDER
    assert texts[3:8] == ["ada", "gpt-5-mini +2", "12.5k → 1,102", "$0.0144", "9.31 s"]
    assert texts[8].endswith("min ago")
    model = cells.nth(4).locator("span").first
    assert model.get_attribute("title") == "gpt-5-mini and 2 other models"


def test_failed_row_shows_its_error(show: "Show") -> None:
    """
    In the place of the question a failed request shows its error, whole on hover.
    """
    page = show().page
    said = page.locator(f"{ROWS} >> nth=4 >> css=.c-said > span")

    kind, message = said.get_attribute("title").split(": ", 1)
    assert said.inner_text() == f"{kind.rsplit('.', 1)[-1]} {message}"
    assert page.locator(f"{ROWS} >> nth=4 >> css=.s-error").count() == 1


def test_cost_without_all_prices_says_so(show: "Show") -> None:
    """
    A cost that some calls are missing from is marked, and the mark is explained.
    """
    cost = show().page.locator(f"{ROWS} >> nth=8 >> css=.c-cost span")

    assert cost.inner_text().endswith("+")
    assert cost.get_attribute("title") == "and 2 calls without a price"


def test_hostile_text_is_text(show: "Show") -> None:
    """
    Markup, ANSI, direction overrides and lone surrogates are shown, on hover too.
    """
    page = show().page
    said = page.locator(f"{ROWS} >> nth=12 >> css=.said")

    seen = "<img src=x onerror=alert(1)> ⟨202E⟩moc.kcitron ␛[31mred␛[0m ⟨D83D⟩ hello 🚲"
    assert said.inner_text() == seen
    assert said.get_attribute("title") == seen
    assert page.locator("img").count() == 0


def test_bars_end_at_the_usual(show: "Show") -> None:
    """
    Bars are as long as durations up to the 90th percentile; longer ones are notched.
    """
    page = show().page
    page.locator(ROWS).first.wait_for()
    shares = page.evaluate(
        "[...document.querySelectorAll('.list .fill')].map((bar) => "
        "[bar.classList.contains('over'), parseFloat(bar.style.width)])"
    )

    assert {share for over, share in shares if over} == {100}
    assert all(3 <= share <= 100 for _, share in shares)


def test_typing_filters_and_stands_in_the_url(show: "Show") -> None:
    """
    What is typed filters once typing pauses, stands in the address, and stays in the field.
    """
    one = show()
    one.page.locator(ROWS).first.wait_for()
    one.press("/")
    one.page.keyboard.type("user:ada kind:agent")
    one.wait("location.hash.includes('agent')")
    one.wait(FILTERED.format(len(DATA.fitting(DATA.sixty(), "user:ada kind:agent"))))

    assert one.hash == "#/?q=user%3Aada%20kind%3Aagent"
    assert one.page.evaluate("document.activeElement.value") == "user:ada kind:agent"


def test_filter_of_the_url_is_shown(show: "Show") -> None:
    """
    A link with a filter shows the same to a colleague.
    """
    one = show("#/?q=status%3Aerror")
    one.page.locator(ROWS).first.wait_for()

    assert one.page.locator(".search input").input_value() == "status:error"
    assert (
        one.page.locator(ROWS).count()
        == one.page.locator(f"{ROWS} .s-error").count()
        == 7
    )
    pressed = one.page.locator(".filters [aria-pressed=true]")
    assert pressed.inner_text().split() == ["Failed", "7"]


def test_buttons_put_words_into_the_filter(show: "Show") -> None:
    """
    Buttons for status and kind say how many there are and filter; pressed again, they do not.
    """
    one = show()
    one.page.get_by_role("button", name="Running 2").click()
    one.wait(FILTERED.format(2))
    assert one.hash == "#/?q=status%3Arunning"

    one.page.get_by_role("button", name="Only chat model (12)").click()
    one.wait(FILTERED.format(1))
    assert (
        one.page.locator(".search input").input_value()
        == "status:running kind:chat_model"
    )

    one.page.get_by_role("button", name="Running 2").click()
    one.page.get_by_role("button", name="Only chat model (12)").click()
    one.wait(FILTERED.format(60))
    assert one.hash == "#/"


def test_strip_sums_what_the_filter_shows(show: "Show") -> None:
    """
    Above the list stand the sums of what the filter shows, and when it came.
    """
    one = show("#/?q=status%3Aerror")
    one.page.locator(ROWS).first.wait_for()

    assert one.texts(".strip dt") == ["Requests", "Failed", "Median", "p95", "Cost"]
    assert one.texts(".strip dd")[:2] == ["7", "7 100%"]
    label = one.page.locator(".hist").get_attribute("aria-label")
    assert label.startswith("7 requests since")
    assert one.page.locator(".hist .b i.e").count() > 0
    assert one.page.locator(".hist .b i:not(.e)").count() == 0


def test_bad_filter_keeps_the_rows(show: "Show") -> None:
    """
    A filter that cannot be read says what is wrong; the rows stay, and a good one takes it back.
    """
    one = show()
    one.page.locator(ROWS).first.wait_for()
    one.press("/")
    one.page.keyboard.type("color:red")
    one.page.locator(".wrong-line").wait_for()

    wrong = one.page.locator(".wrong-line")
    assert wrong.inner_text() == "color:red is no word of a filter. There is user:ada."
    assert one.page.locator(ROWS).count() > 10
    one.errors.clear()  # the answer 400, which Chromium reports
    one.page.locator(".search input").fill("ada")
    wrong.wait_for(state="hidden")


def test_new_request_comes_while_it_runs(show: "Show") -> None:
    """
    At the top of the list a new request appears at its start, and ends before one's eyes.
    """
    one = show()
    one.page.locator(ROWS).first.wait_for()
    running = row(
        2000, name="fresh", status="running", started_ms=one.server.now_ms - 1200
    )
    running.pop("duration_ms")
    one.server.come(running)
    one.page.get_by_text("fresh").wait_for()
    first = one.page.locator(ROWS).first
    assert first.locator(".figure").inner_text() == "1.20\u202fs"

    one.page.clock.set_fixed_time(one.server.now_ms / 1000 + 3)
    one.wait("document.querySelector('.list .figure').textContent === '4.20\\u202fs'")

    one.server.come(row(2000, name="fresh", status="ok", duration_ms=5000.0))
    one.wait("document.querySelector('.list .figure').textContent === '5.00\\u202fs'")
    assert one.page.locator(ROWS).first.locator(".s-ok").count() == 1


def test_new_requests_do_not_push_what_is_read(show: "Show") -> None:
    """
    Further down, new requests wait: `3 new` is said above, and takes one to them.
    """
    one = show()
    one.page.locator(ROWS).first.wait_for()
    one.page.evaluate("document.querySelector('.list .scroll').scrollTop = 400")
    one.wait("!document.querySelector('#row-1000')")
    tops = "[...document.querySelectorAll('.list .rowx')].map((r) => r.style.top + r.id).sort()"
    before = one.page.evaluate(tops)
    one.server.come(*(row(2000 + i) for i in range(3)))

    button = one.page.get_by_role("button", name="3 new")
    button.wait_for()
    assert one.page.evaluate(tops) == before

    button.click()
    one.page.locator("#row-2002").wait_for()
    assert one.page.evaluate("document.querySelector('.list .scroll').scrollTop") == 0
    assert button.is_hidden()


def test_filter_by_status_lets_go_of_what_changed(show: "Show") -> None:
    """
    Under `status:running` a request that ended leaves the list.
    """
    one = show("#/?q=status%3Arunning")
    one.page.locator(ROWS).first.wait_for()
    assert one.page.locator(ROWS).count() == 2

    one.server.come(one.server.rows[0] | {"status": "ok", "duration_ms": 10.0})
    one.wait("document.querySelectorAll('.list .rowx').length === 1")


def test_ten_thousand_requests_are_a_few_rows(show: "Show", canned: Any) -> None:
    """
    Rows beyond what is in sight are no elements, older ones are read when one comes near.
    """
    canned.rows = [row(20_000 - i) for i in range(1000)]
    one = show()
    one.page.locator(ROWS).first.wait_for()
    for known in (200, 400, 600, 800, 1000):
        height = known * 34
        script = (
            f"document.querySelector('.list .spacer').style.height === '{height}px'"
        )
        one.wait(script)
        one.page.evaluate("document.querySelector('.list .scroll').scrollTop = 1e9")

    one.page.locator(f"#row-{20_000 - 999}").wait_for()
    assert one.page.locator(ROWS).count() < 60
    assert one.page.evaluate("document.querySelectorAll('*').length") < 1500


def test_keys_walk_and_open(show: "Show") -> None:
    """
    j and k walk, e finds the next failed one, Enter opens; a screen reader hears which.
    """
    one = show()
    one.page.locator(ROWS).first.wait_for()
    one.press("j", "j", "k")
    selected = one.page.locator(f"{ROWS}[aria-selected=true]")
    assert selected.get_attribute("aria-rowindex") == "1"
    one.press("e")
    assert selected.get_attribute("aria-rowindex") == "5"
    one.press("e", "E")
    assert selected.get_attribute("aria-rowindex") == "5"
    grid = one.page.get_by_role("grid")
    assert grid.get_attribute("aria-activedescendant") == selected.get_attribute("id")
    assert grid.get_attribute("aria-rowcount") == "60"
    one.press("End")
    assert selected.get_attribute("aria-rowindex") == "60"
    one.press("Home", "Enter")

    assert one.hash == f"#/r/{one.server.rows[0]['trace_id']}"
    one.page.go_back()
    one.page.locator(f"{ROWS}[aria-selected=true]").wait_for()


def test_nothing_has_failed(show: "Show") -> None:
    """
    Where nothing has failed, e says so.
    """
    one = show("#/?q=status%3Arunning")
    one.page.locator(ROWS).first.wait_for()
    one.press("e")
    assert one.texts(".toast") == ["Nothing here has failed"]

    one.server.rows = [row(20_000 - i) for i in range(1000)]
    one.press("Escape")
    one.wait(FILTERED.format("1,000"))
    one.press("e")
    assert one.texts(".toast") == ["None of the newest 200 has failed"]


def test_escape_is_one_step_back(show: "Show") -> None:
    """
    Esc leaves the field with what stands in it, then takes the filter away.
    """
    one = show("#/?q=user%3Aada")
    one.page.locator(ROWS).first.wait_for()
    one.press("/", "Escape")
    assert one.page.locator(".search input").input_value() == "user:ada"
    assert one.page.evaluate("document.activeElement.tagName") != "INPUT"
    one.press("Escape")
    one.wait(FILTERED.format(60))

    assert one.hash == "#/"


@pytest.mark.parametrize("way", ["keys", "mouse"])
def test_two_are_picked_for_side_by_side(show: "Show", way: str) -> None:
    """
    x, or a click on the kind, picks; two picked ones are shown side by side.
    """
    one = show()
    one.page.locator(ROWS).first.wait_for()
    if way == "keys":
        one.press("j", "j", "j", "j", "x", "j", "j", "x")
    else:
        one.page.locator(f"{ROWS} >> nth=3 >> css=.pick").click()
        assert one.texts(".tray") == ["One picked. Press x on another."]
        one.page.locator("#row-995 .pick").click()
    assert one.texts(f"{ROWS} .ab") == ["A", "B"]
    one.page.get_by_role("link", name="Side by side").click()

    rows = one.server.rows
    assert one.hash == f"#/vs/{rows[3]['trace_id']}/{rows[5]['trace_id']}"


def test_picks_are_put_back(show: "Show") -> None:
    """
    What was picked can be put back.
    """
    one = show()
    one.page.locator(ROWS).first.wait_for()
    one.press("x")
    one.page.get_by_role("button", name="Put back").click()
    assert one.texts(f"{ROWS} .ab") == []
    one.press("x", "x")
    assert one.texts(".tray") == []


def test_filter_comes_back_from_a_request(show: "Show") -> None:
    """
    Going back to the list finds the filter and the selected row again.
    """
    one = show("#/?q=user%3Aada")
    one.page.locator(ROWS).first.wait_for()
    one.press("j", "j", "Enter")
    one.wait("location.hash.startsWith('#/r/')")
    one.page.go_back()
    one.page.locator(ROWS).first.wait_for()

    assert one.page.locator(".search input").input_value() == "user:ada"
    selected = one.page.locator(f"{ROWS}[aria-selected=true]")
    assert selected.get_attribute("aria-rowindex") == "2"


def test_what_was_typed_last_does_not_follow(show: "Show") -> None:
    """
    A request opened right after typing stays open.
    """
    one = show()
    one.page.locator(ROWS).first.wait_for()
    one.press("/", "a", "Enter", "j", "Enter")
    one.wait("location.hash.startsWith('#/r/')")
    one.page.evaluate(
        "new Promise((then) => setTimeout(then, 200))"
    )  # after the field's own

    assert one.hash.startswith("#/r/")
