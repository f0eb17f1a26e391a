"""
The table by name, and two requests side by side.
"""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.viewer.canned_page import Canned
    from tests.viewer.opened_page import Opened

    Show = Callable[..., Opened]

DATA: Any = import_module("canned_data")
NAMES = ".names .rowx"
PAIRS = ".cmp .rowx"


def columns(one: "Opened", selector: str, index: int) -> list[str]:
    """
    Give one column of a table as texts, from the top.
    """
    script = """([selector, index]) => [...document.querySelectorAll(selector)]
        .sort((a, b) => parseFloat(a.style.top) - parseFloat(b.style.top))
        .map((row) => row.children[index].innerText.replace(/\\s+/g, " ").trim())"""
    found: list[str] = one.page.evaluate(script, [selector, index])
    return found


def test_names_sum_up(show: "Show") -> None:
    """
    By name, runs are counted with median, 95th percentile, first token, tokens and cost.
    """
    one = show("#/names")
    one.page.locator(NAMES).first.wait_for()
    table = {row["name"]: row for row in DATA.by_name(DATA.sixty())}
    assert columns(one, NAMES, 0) == sorted(
        table, key=lambda name: -table[name]["total_ms"]
    )

    index = columns(one, NAMES, 0).index("price_check")
    shown = [columns(one, NAMES, i)[index] for i in range(11)]
    assert shown[1:4] == ["", "4", "2"]
    assert shown[4].endswith(" ms")
    assert shown[6] == shown[8] == shown[9] == shown[10] == "–"  # noqa: RUF001


def test_names_are_sorted_by_a_column(show: "Show") -> None:
    """
    A press on a column's head sorts by it, another one turns the order.
    """
    one = show("#/names")
    one.page.locator(NAMES).first.wait_for()
    one.page.get_by_role("button", name="Runs").click()
    runs = [int(text) for text in columns(one, NAMES, 2)]
    assert runs == sorted(runs, reverse=True)
    one.page.get_by_role("button", name="Runs").click()
    assert [int(text) for text in columns(one, NAMES, 2)] == runs[::-1]
    heading = one.page.get_by_role("columnheader", name="Runs")
    assert heading.get_attribute("aria-sort") == "ascending"

    one.page.get_by_role("button", name="Name", exact=True).click()
    names = columns(one, NAMES, 0)
    assert names == sorted(names)
    one.page.get_by_role("button", name="Cost").click()
    assert columns(one, NAMES, 0)[-1] == "price_check"


def test_names_lead_to_their_requests(show: "Show") -> None:
    """
    A name leads to the list of its requests; the filter stays, and Esc leads back.
    """
    one = show("#/names?q=user%3Aada")
    one.page.locator(NAMES).first.wait_for()
    one.press("j", "j", "k")
    selected = one.page.locator(f"{NAMES}[aria-selected=true]")
    grid = one.page.get_by_role("grid")
    assert grid.get_attribute("aria-activedescendant") == selected.get_attribute("id")
    one.press("Home", "End", "Home", "Enter")

    one.page.locator(".list .rowx").first.wait_for()
    assert one.page.locator(".search input").input_value() == "user:ada name:answer"
    one.page.go_back()
    one.page.locator(NAMES).first.wait_for()
    one.press("Escape")
    one.wait("location.hash === '#/names'")
    one.press("Escape")
    assert one.hash == "#/"


def test_names_of_nothing(show: "Show", canned: "Canned") -> None:
    """
    The table by name says like the list that nothing matches, nothing is there, or what is wrong.
    """
    one = show("#/names?q=user%3Anobody")
    one.page.get_by_role("heading", name="No request matches").wait_for()
    one.page.get_by_role("button", name="Show all").click()
    one.page.locator(NAMES).first.wait_for()
    one.press("/")
    one.page.keyboard.type("color:red")
    one.page.locator(".wrong-line").wait_for()
    one.errors.clear()  # the answer 400, which Chromium reports
    assert one.page.locator(NAMES).count() > 0

    canned.rows = []
    one.page.locator(".search input").fill("")
    one.page.get_by_role("heading", name="Nothing recorded yet").wait_for()


def compared(show: "Show", **context: Any) -> "Opened":
    """
    Open the fourth request, in which a tool failed, beside the sixth, in which none did.
    """
    rows = DATA.sixty()
    one = show(f"#/vs/{rows[3]['trace_id']}/{rows[5]['trace_id']}", **context)
    one.page.locator(PAIRS).first.wait_for()
    one.page.locator(".two del").first.wait_for()
    return one


def test_pairs_are_matched_by_their_path(show: "Show") -> None:
    """
    Runs are matched by the path of their names; one that only A has says so.
    """
    one = compared(show)
    names = columns(one, PAIRS, 0)

    assert len(names) == 12
    assert names[0] == "answer"
    assert names[7] == "fetch_invoice failed → ok"
    assert names[10] == "draft claude-sonnet-4-5 → gpt-5"
    assert names[11] == "note only in A"
    unknown = "–"  # noqa: RUF001
    assert columns(one, PAIRS, 2)[11] == columns(one, PAIRS, 3)[11] == unknown


def test_differences_over_a_tenth_are_bold(show: "Show") -> None:
    """
    B - A is told for time, tokens and cost; over a tenth it is bold, and never coloured.
    """
    one = compared(show)

    assert columns(one, PAIRS, 3)[0] == "−2.60 s"  # noqa: RUF001
    assert columns(one, PAIRS, 4)[0] == "−2,314"  # noqa: RUF001
    assert columns(one, PAIRS, 5)[:2] == ["+$0.0081", "same"]
    pair = one.page.locator("#pair-0 .num span.strong")
    assert pair.count() == 3
    assert one.page.locator("#pair-4 .num span.strong").count() == 0
    assert one.page.locator(f"{PAIRS} .num .err").count() == 0


def test_times_that_are_alike(show: "Show") -> None:
    """
    Times that differ by less than can be written are the same.
    """
    first, second = (row["trace_id"] for row in DATA.sixty()[3:5])

    def nearly_first(route: Any) -> None:
        reply = route.fetch(url=route.request.url.replace(second, first))
        told = reply.json()
        for run in told["runs"]:
            run["duration_ms"] += 0.0001
        route.fulfill(response=reply, json=told)

    one = show("#/")
    one.page.route(f"**/api/request/{second}", nearly_first)
    one.page.evaluate(f"location.hash = '#/vs/{first}/{second}'")
    one.page.locator(PAIRS).first.wait_for()

    assert set(columns(one, PAIRS, 3)) == {"same"}


def test_texts_of_both_differ_by_words(show: "Show") -> None:
    """
    Below stand both answers; what only A says is struck, what only B says is underlined.
    """
    one = compared(show)

    assert one.page.locator("[aria-selected=true] .nm").inner_text() == "draft"
    gone, come = one.texts(".two del"), one.texts(".two ins")
    assert gone[0] == "left our workshop on Thursday and is with DHL. It"
    assert come[0] == "is with DHL and"
    assert (
        one.page.locator(".two .read").first.inner_text().split() == DATA.ANSWER.split()
    )


def test_pairs_by_keys(show: "Show") -> None:
    """
    j and k walk, e finds what ended otherwise, Enter opens it, s swaps, Esc leads back.
    """
    one = compared(show)
    selected = one.page.locator(f"{PAIRS}[aria-selected=true]")
    one.press("e")
    assert selected.locator(".nm").inner_text() == "fetch_invoice"
    one.page.get_by_text("httpx.ConnectTimeout: ledger.internal").wait_for()
    one.press("E", "k", "k", "j")
    assert selected.locator(".nm").inner_text() == "embed_query"
    grid = one.page.get_by_role("treegrid")
    assert grid.get_attribute("aria-activedescendant") == selected.get_attribute("id")
    one.page.get_by_text("Nothing was returned.").first.wait_for()
    one.press("j", "j", "j", "j", "j", "j", "j")
    one.page.get_by_text("not in this request").wait_for()

    one.press("s")
    rows = one.server.rows
    assert one.hash == f"#/vs/{rows[5]['trace_id']}/{rows[3]['trace_id']}"
    one.page.get_by_text("only in B").wait_for()
    one.page.locator(PAIRS).first.click()
    one.press("Enter")
    assert one.hash == f"#/r/{rows[5]['trace_id']}/run-5"
    one.page.go_back()
    one.page.locator(PAIRS).first.wait_for()
    one.press("Escape")
    assert one.hash == "#/"
