"""
Text that wants to be more than text, and whether everything can be read: contrast, sizes.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.viewer.opened_page import Opened
    from tests.viewer.recording import Recorded

    Show = Callable[..., Opened]

LEAST_CONTRAST = 4.5
LEAST_SIZE = 11
TEXTS = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const parts = (colour, below) => {
    canvas.fillStyle = below ? `rgb(${below.join(" ")})` : "#fff";
    canvas.fillRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((n) => n / 255)
      .map((n) => (n <= 0.04045 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    const above = [];
    for (let at = element; at; at = at.parentElement) above.unshift(at);
    return above.reduce((below, at) => parts(getComputedStyle(at).backgroundColor, below), null);
  };
  const out = [];
  for (const element of document.querySelectorAll("#app *")) {
    const own = [...element.childNodes].filter((node) => node.nodeType === 3);
    const text = own.map((node) => node.data).join("").trim();
    if (!text || !element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) {
      continue;
    }
    const style = getComputedStyle(element);
    const below = ground(element);
    const [a, b] = [light(parts(style.color, below)), light(below)].sort((x, y) => y - x);
    out.push([text.slice(0, 40), (a + 0.05) / (b + 0.05), parseFloat(style.fontSize)]);
  }
  return out;
}"""


@pytest.fixture
def canned() -> "Iterator[Recorded]":
    """
    Serve the page with the recorded requests.
    """
    made: Any = import_module("recorded")
    started_ms = import_module("canned_data").NOW_MS - 6900
    requests = [made.support_agent(), made.failed_agent(), made.hostile()]
    requests += [made.running_agent(started_ms), made.handbook()]
    server: Recorded = import_module("recording").Recorded(*requests)
    yield server
    server.end()


def test_hostile_text_is_text(show: "Show", canned: "Recorded") -> None:
    """
    HTML, scripts, escapes, direction overrides, half characters and a megabyte are text,
    wherever a recording can have text.
    """
    one = show("#/r/hostile")
    one.page.wait_for_selector(".dbody > *")
    runs = canned.requests["hostile"][1]
    for run in runs:
        for tab in ("read", "json", "events"):
            one.page.goto(f"{canned.url}#/r/hostile/{run['run_id']}/{tab}")
            one.page.wait_for_selector(f"#tab-{tab}[aria-selected=true]")
            one.page.wait_for_selector(".dbody > *")
            shown = one.page.locator("#app").inner_text()
            assert {*"\x1b\u202e"} & {*shown} == set()
            assert "<script>window.hurt" in shown

    assert one.page.evaluate("window.hurt") is None
    assert one.page.locator("#app :is(script, img, b > b)").count() == 0


def test_a_megabyte_opens(show: "Show") -> None:
    """
    A value of a megabyte is cut for sight, and opens.
    """
    one = show("#/r/hostile/hostile-4")
    one.page.wait_for_selector(".json")

    assert one.page.evaluate("document.querySelectorAll('*').length") < 1500
    one.page.click("text=Show all 1.00 MB >> nth=0")
    assert one.page.locator(".json .v").filter(has_text="x" * 1000).count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_everything_can_be_read(show: "Show", scheme: str, width: int) -> None:
    """
    Every text has the contrast of WCAG AA and at least 11 pixels, on every ground.
    """
    places = ["done", "failed", "live", "handbook", "done/done-2", "done/done-4/json"]
    places += [
        "done/done-5",
        "done/done-7",
        "done/done-9",
        "done/done-10/events",
        "done/done-10",
    ]
    one = show("#/", color_scheme=scheme, viewport={"width": width, "height": 900})
    weak = {}
    seen = 0
    for place in places:
        one.page.goto(f"{one.server.url}#/r/{place}")
        one.page.wait_for_selector(".dbody > *", state="attached")
        texts = one.page.evaluate(TEXTS)
        seen += len(texts)
        for text, contrast, size in texts:
            if contrast < LEAST_CONTRAST or size < LEAST_SIZE:
                weak[place, text] = (round(contrast, 2), size)

    assert weak == {}
    assert seen > 400


def test_name_beside_what_was_said(show: "Show") -> None:
    """
    However much was said, the request's name stands whole beside it.
    """

    def much_said(route: Any) -> None:
        reply = route.fetch()
        told = reply.json()
        told["request"]["said"] = "much " * 200
        route.fulfill(response=reply, json=told)

    one = show("#/")
    one.page.route("**/api/request/done", much_said)
    one.page.evaluate("location.hash = '#/r/done'")
    one.page.locator(".crumb .dim.cut").wait_for()

    name = "document.querySelector('.crumb .strong.cut')"
    assert one.page.evaluate(f"{name}.scrollWidth - {name}.clientWidth") <= 1
    assert "much" in one.page.inner_text(".crumb .dim.cut")


@pytest.mark.parametrize("width", [1440, 1024, 700, 390])
def test_nothing_sticks_out(show: "Show", width: int) -> None:
    """
    No width, and no text, makes the page wider than its window.
    """
    one = show("#/r/hostile", viewport={"width": width, "height": 900})
    one.page.wait_for_selector(".dbody > *", state="attached")

    assert one.page.evaluate("document.documentElement.scrollWidth") == width
    buttons = one.page.locator(".top .btn:is(.square, .back):visible").all()
    sizes = [(box or {})["width"] for box in (it.bounding_box() for it in buttons)]
    assert len(sizes) == (3 if width <= 700 else 2)
    assert min(sizes) >= (30 if width <= 700 else 26)
    body = "document.querySelector('.dbody')"
    assert one.page.evaluate(f"{body}.scrollWidth - {body}.clientWidth") == 0
