"""
An exported file: the page answers from its own data what a server would.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.viewer.canned_page import Canned
    from tests.viewer.opened_page import Opened

    Show = Callable[..., Opened]

ROWS = ".list .rowx"


def shown(one: "Opened") -> list[str]:
    """
    Give the keys of the rows in sight.
    """
    script = "[...document.querySelectorAll('.list .rowx')].map((row) => row.id)"
    found: list[str] = one.page.evaluate(script)
    return sorted(found)


def test_one_request_is_shown_at_once(show: "Show", canned: "Canned") -> None:
    """
    A file of one request shows it, has no list, asks no server, and compares with nothing.
    """
    row = canned.rows[3]
    canned.pack(row)
    one = show()
    one.wait(f"location.hash === '#/r/{row['trace_id']}'")

    assert one.page.locator(".store").count() == 0
    assert one.page.locator(".mark").get_attribute("href") is None
    assert canned.asked == []


def test_several_requests_are_a_list(show: "Show", canned: "Canned") -> None:
    """
    A file of several requests is a list with sums, a table by name, and side by side.
    """
    canned.pack(*canned.rows[:10])
    one = show()
    one.page.locator(ROWS).first.wait_for()
    assert len(shown(one)) == 10
    assert one.texts(".strip dd")[:2] == ["10", "2 20%"]
    assert one.page.get_by_role("button", name="Running 2").count() == 1

    one.page.get_by_role("link", name="By name").click()
    one.page.locator(".names .rowx").first.wait_for()
    names = one.texts(".names .rowx .name")
    assert "draft" in names
    one.page.goto(
        f"{canned.url}#/vs/{canned.rows[3]['trace_id']}/{canned.rows[5]['hex']}"
    )
    one.page.locator(".two del").first.wait_for()
    assert canned.asked == []


@pytest.mark.parametrize(
    "q,keys",
    [
        ("status:error", [996, 991]),
        ("-status:ok", [1000, 999, 996, 991]),
        ("duration:>9s kind:agent", [992]),
        ("duration:<50ms", [991]),
        ("cost:>0.02", [992]),
        ("tokens:>13800", [992]),
        ("tag:web user:katherine", [998]),
        ('"Can I swap"', [993]),
        ("model:nano", [999, 994]),
        ("fetch_invoice error:validation", [996]),
    ],
)
def test_filter_of_a_file(
    show: "Show", canned: "Canned", q: str, keys: list[int]
) -> None:
    """
    The words of a filter mean in a file what they mean to a store.
    """
    canned.pack(*canned.rows[:10])
    one = show()
    one.page.locator(ROWS).first.wait_for()
    one.page.locator(".search input").fill(q)
    one.wait(f"document.querySelectorAll('.list .rowx').length === {len(keys)}")

    assert shown(one) == sorted(f"row-{key}" for key in keys)


def test_bad_filter_of_a_file(show: "Show", canned: "Canned") -> None:
    """
    A word that a filter does not know is told.
    """
    canned.pack(*canned.rows[:10])
    one = show("#/?q=color%3Ared")
    one.page.locator(".wrong-line").wait_for()

    assert one.texts(".wrong-line")[0].startswith(
        "color: is no word of a filter. There is status, kind,"
    )
