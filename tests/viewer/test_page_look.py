"""
What can be measured of how the page looks: contrast of every text, nothing cut at the edge of
any width, sizes of what is pressed by a thumb.
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
AA = 4.5
SMALLEST_PX = 11
# every text with its contrast by WCAG 2 against what it stands on, and its size
MEASURED = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => {
    const mixed = [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
    return [...mixed, 1];
  };
  const ground = (element) => {
    if (!element) return [255, 255, 255, 1];
    const own = rgba(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own : over(own, ground(element.parentElement));
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility() || element.closest("noscript")) continue;
    const style = getComputedStyle(element);
    const on = ground(element);
    const [a, b] = [light(over(rgba(style.color), on)), light(on)].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), parseFloat(style.fontSize), node.data.slice(0, 40)]);
  }
  return found;
}"""
WIDER = """() => [...document.querySelectorAll("#app, .page, .top, .filters, .cols, .strip")]
  .filter((box) => box.checkVisibility() && box.scrollWidth > box.clientWidth + 1)
  .map((box) => `${box.className}: ${box.scrollWidth} in ${box.clientWidth}`)"""
ROWS = DATA.sixty()
PAIR = f"#/vs/{ROWS[3]['trace_id']}/{ROWS[5]['trace_id']}"


def opened(show: "Show", canned: "Canned", state: str, **context: Any) -> "Opened":
    """
    Open the page in one of its states.
    """
    if state == "empty":
        canned.rows = []
    if state == "opening":
        canned.held.clear()
    hashes = {"names": "#/names", "pair": PAIR, "nothing": "#/?q=user%3Anobody"}
    one = show(hashes.get(state, "#/"), **context)
    seen = {"empty": "h1", "nothing": "h1", "opening": ".ghosts", "pair": ".two .read"}
    one.page.locator(seen.get(state, ".rowx")).first.wait_for()
    if state in ("list", "picked"):
        one.press(*("jjjjxj" if state == "picked" else "jjj"))
        one.page.locator(".rowx").nth(5).hover()
    if state == "help":
        one.press("?")
    if state == "gone":
        is_there = one.page.locator(".banner").is_visible
        while not is_there():  # the page may just have turned to another stream
            canned.push("gone", {"error": "no such file"})
            one.page.wait_for_timeout(200)
    if state == "wrong":
        one.page.locator(".search input").fill("color:red")
        one.page.locator(".wrong-line").wait_for()
        one.errors.clear()  # the answer 400, which Chromium reports
    return one


STATES = [
    "list",
    "picked",
    "names",
    "pair",
    "empty",
    "nothing",
    "opening",
    "gone",
    "wrong",
    "help",
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", STATES)
def test_contrast(show: "Show", canned: "Canned", state: str, scheme: Any) -> None:
    """
    Every text has the contrast that WCAG AA asks of small text, and none is tiny.
    """
    one = opened(show, canned, state, color_scheme=scheme, reduced_motion="reduce")
    texts = one.page.evaluate(MEASURED)

    assert len(texts) > 4
    assert [text for text in texts if text[0] < AA] == []
    assert [text for text in texts if text[1] < SMALLEST_PX] == []


@pytest.mark.parametrize("width", [1440, 1180, 1024, 900, 768, 700, 390, 320])
@pytest.mark.parametrize("state", ["list", "names", "pair", "gone"])
def test_nothing_sticks_out(
    show: "Show", canned: "Canned", state: str, width: int
) -> None:
    """
    At no width is a row, a bar or the page wider than its place.
    """
    one = opened(show, canned, state, viewport={"width": width, "height": 844})

    assert one.page.evaluate(WIDER) == []


def test_phone_rows_have_two_lines(show: "Show", canned: "Canned") -> None:
    """
    On a phone a row has two lines: name and duration, what was asked and when.
    """
    one = opened(show, canned, "list", viewport={"width": 390, "height": 844})
    row = one.page.locator(".list .rowx").nth(3)

    assert row.bounding_box()["height"] == 64
    name, said = (
        row.locator(".name").bounding_box(),
        row.locator(".c-said").bounding_box(),
    )
    assert said["y"] >= name["y"] + name["height"]
    assert row.locator(".c-model").is_hidden()
    heights = one.page.evaluate(
        "[...document.querySelectorAll('.filters .btn')].map((b) => b.clientHeight)"
    )
    assert min(heights) >= 36


@pytest.mark.parametrize(
    "width,gone", [(1440, []), (1100, ["user", "tok"]), (880, ["user", "tok", "model"])]
)
def test_columns_go_as_they_are_missed_least(
    show: "Show", canned: "Canned", width: int, gone: list[str]
) -> None:
    """
    A narrower list first does without user and tokens, then without the model.
    """
    one = opened(show, canned, "list", viewport={"width": width, "height": 844})
    row = one.page.locator(".list .rowx").nth(3)
    columns = ["user", "model", "tok", "cost", "dur", "when"]

    assert [
        name for name in columns if row.locator(f".c-{name}").is_hidden()
    ] == sorted(gone, key=columns.index)


def test_focus_is_seen(show: "Show", canned: "Canned") -> None:
    """
    What the keyboard is at has a ring of two pixels in the accent's colour.
    """
    one = opened(show, canned, "nothing")
    one.press("Tab")

    ring = "getComputedStyle(document.activeElement).outline"
    assert one.page.evaluate(ring) == "rgb(79, 70, 214) solid 2px"
