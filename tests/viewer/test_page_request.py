"""
The view of one request: its tree and lanes, what folds and hides runs, and the keyboard.
"""

import re
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.viewer.opened_page import Opened
    from tests.viewer.recording import Recorded

    Show = Callable[..., Opened]

TIMES = "\N{MULTIPLICATION SIGN}"
WALK = """() => {
  const scroll = document.querySelector(".left .scroll");
  const seen = new Set();
  let most = 0;
  const look = () => {
    scroll.dispatchEvent(new Event("scroll"));
    for (const row of scroll.querySelectorAll("[role=row]")) seen.add(row.id);
    most = Math.max(most, document.querySelectorAll("*").length);
  };
  for (let top = 0; top < scroll.scrollHeight; top += scroll.clientHeight) {
    scroll.scrollTop = top;
    look();
  }
  return [[...seen], most];
}"""


@pytest.fixture
def canned() -> "Iterator[Recorded]":
    """
    Serve the page with the recorded requests.
    """
    made: Any = import_module("recorded")
    requests = [made.support_agent(), made.failed_agent(), made.handbook()]
    server: Recorded = import_module("recording").Recorded(*requests)
    yield server
    server.end()


@pytest.fixture
def opened(show: "Show") -> "Show":
    """
    Open the view of a request, and wait until its runs are there.
    """

    def opened(request: str, rest: str = "", **context: Any) -> "Opened":
        one = show(f"#/r/{request}{rest}", **context)
        one.page.wait_for_selector(".tree .rowx")
        one.page.wait_for_selector(".dbody > *", state="attached")
        return one

    return opened


def foot(one: "Opened") -> str:
    """
    Give what the foot says of the runs.
    """
    return one.texts(".foot [role=status]")[0]


def sum_of(text: str) -> tuple[int, int]:
    """
    Give the number of runs of which the foot speaks, and what its parts add up to.
    """
    numbers = [int(found.replace(",", "")) for found in re.findall(r"[\d,]*\d", text)]
    shown, whole, *hidden = numbers
    return whole, shown + sum(hidden)


def selected(one: "Opened") -> str:
    """
    Give the row on which the cursor is.
    """
    return " ".join(one.texts('.rowx[aria-selected="true"]'))


def test_every_run_has_a_row_and_a_bar(opened: "Show") -> None:
    """
    A request shows every run by its name, with what it took and a bar.
    """
    one = opened("done")

    assert one.page.locator(".tree .rowx").count() == 12
    assert one.page.locator(".tree .rowx .bar").count() == 12
    assert one.texts(".rowx")[7] == "fetch_invoice ConnectTimeout, 1 retry 3.05 s"
    assert one.texts(".rowx")[5] == "search_policies 4 documents 337 ms"
    assert foot(one) == "12 of 12 runs"


def test_bars_stand_where_their_time_is(opened: "Show") -> None:
    """
    Bars of runs that began and ended together begin and end together on the screen.
    """
    one = opened("done")
    boxes = one.page.eval_on_selector_all(
        ".rowx .bar", "(all) => all.map((one) => one.getBoundingClientRect().toJSON())"
    )

    assert boxes[0]["left"] == pytest.approx(boxes[1]["left"], abs=1.0)
    assert boxes[0]["width"] / boxes[9]["width"] == pytest.approx(9310 / 4540, rel=0.02)
    assert boxes[10]["left"] == pytest.approx(boxes[11]["left"], abs=1.0)


def test_header_sums_up(opened: "Show") -> None:
    """
    The header tells status, time, tokens, money, runs, start, and how many errors there are.
    """
    one = opened("done")

    assert one.texts(".sum .fact") == [
        "Status ok",
        "Duration 9.31 s",
        "First token 5.50 s",
        "Tokens in 12.5k 9,216 cached",
        "Tokens out 1,102 510 reasoning",
        "Cost $0.0144",
        "Runs 12",
        "Started 14:01:49 UTC",
    ]
    assert one.texts(".sum .btn") == ["1 error e"]


def test_failed_request_opens_where_the_error_began(opened: "Show") -> None:
    """
    A failed request opens at the run that raised, not at the run through which it passed.
    """
    one = opened("failed")

    assert selected(one).startswith("fetch_invoice ConnectTimeout")
    assert one.texts(".dtitle h2") == ["fetch_invoice"]
    assert one.texts(".rowx")[0] == "answer ConnectTimeout, passed on 4.72 s"


def test_address_holds_run_and_tab(opened: "Show") -> None:
    """
    Who is sent the address sees the same run and the same tab.
    """
    one = opened("done")
    one.page.click("text=find_order")
    one.press("2")
    other = opened("done", one.hash.removeprefix("#/r/done"))

    assert one.hash == "#/r/done/done-4/json"
    assert selected(other) == "find_order 411 ms"
    assert other.texts('.tab[aria-selected="true"]') == ["JSON"]


def test_unknown_request_says_so(show: "Show") -> None:
    """
    A request that is not in the store is told so in the server's words.
    """
    one = show("#/r/nobody")
    one.page.wait_for_selector("text=No request begins with")
    one.errors.clear()  # the browser reports every 404


def test_ten_thousand_runs_are_few_rows(opened: "Show") -> None:
    """
    In a large request like runs are one row and calm branches are closed; the foot adds up.
    """
    one = opened("handbook")

    assert foot(one) == "9 of 9,961 runs, 528 folded, 9,424 closed"
    assert [text.split(",")[0] for text in one.texts(".rowx")][1:7] == [
        f"ingest_file {TIMES} 17",
        one.texts(".rowx")[2],
        one.texts(".rowx")[3],
        f"embed_chunk {TIMES} 203",
        one.texts(".rowx")[5],
        f"embed_chunk {TIMES} 42",
    ]
    assert one.texts(".rowx")[5].startswith("embed_chunk RateLimitError")


def test_ten_thousand_rows_scroll_in_a_window(opened: "Show") -> None:
    """
    Ten thousand rows are all there when one scrolls, and few of them are elements at a time.
    """
    one = opened("handbook")
    one.page.fill(".tools input", "e")  # every name has one: nothing folds, all is open
    rows, most = one.page.evaluate(WALK)

    assert foot(one) == "9,961 of 9,961 runs"
    assert {*rows} == {f"row-handbook-{n}" for n in range(9961)}
    assert most < 1200


@pytest.mark.parametrize(
    "asked,shown",
    [
        ("kind:tool", 81),
        ("gpt", 81),
        ("-embed", 7),
        ("status:failed", 5),
        ('-name:"embed_chunk" -summarise', 5),
        ("nothing-like-it", 0),
    ],
)
def test_find_keeps_and_hides(opened: "Show", asked: str, shown: int) -> None:
    """
    Find keeps what fits and what it hangs on, or hides it; the foot still adds up.
    """
    one = opened("handbook")
    one.page.fill(".tools input", asked)
    text = foot(one)
    whole, added = sum_of(text)

    assert text.startswith(f"{shown} of 9,961 runs")
    assert "hidden by the filter" in text
    assert whole == added == 9961


def test_share_keeps_what_took_long(opened: "Show") -> None:
    """
    ``> 2 %`` keeps runs over 2 % of the request, those that failed, and what they hang on.
    """
    one = opened("done")
    one.page.click("text=> 2 %")
    names = {text.split()[0] for text in one.texts(".rowx")}

    assert "shipping_eta" not in names
    assert {"answer", "plan", "fetch_invoice", "find_order", "draft"} <= names
    assert sum_of(foot(one)) == (12, 12)
    one.page.click(".foot >> text=Show all")
    assert foot(one) == "12 of 12 runs"


def test_h_hides_runs_of_a_name(opened: "Show") -> None:
    """
    ``h`` hides the runs of the selected run's name; Escape shows them again.
    """
    one = opened("done")
    one.page.click("text=shipping_eta")
    one.press("h")

    assert one.page.input_value(".tools input") == "-name:shipping_eta"
    assert foot(one) == "11 of 12 runs, 1 hidden by the filter"
    one.press("Escape")
    assert foot(one) == "12 of 12 runs"


@pytest.mark.parametrize("runs,rows", [(8, 9), (9, 2)])
def test_like_siblings_fold(
    show: "Show", canned: "Recorded", runs: int, rows: int
) -> None:
    """
    More than eight like siblings are one row, which opens.
    """
    made = import_module("recording").Recording("like")
    root = made.add(None, "chain", "root", 0, 100)
    for n in range(runs):
        made.add(root, "tool", "step", n * 10, n * 10 + 5)
    canned.take(made.done())
    one = show("#/r/like")
    one.page.wait_for_selector(".rowx")

    assert one.page.locator(".rowx").count() == rows
    if rows == 2:
        assert one.texts(".rowx")[1] == f"step {TIMES} 9, median 5.00 ms 85.0 ms"
        one.page.click("text=step")
        assert foot(one) == "10 of 10 runs"
        assert one.texts(".facts.last .fact")[0] == "Added up 45.0 ms"


def test_failed_sibling_splits_a_group(show: "Show", canned: "Recorded") -> None:
    """
    A failed or a running sibling keeps its row and splits the group.
    """
    made = import_module("recording").Recording("split")
    root = made.add(None, "chain", "root", 0, 100)
    for n in range(19):
        made.add(root, "tool", "step", n, n + 1)
    made.fail(made.runs[10], "ValueError", "no", traceback="")
    canned.take(made.done())
    one = show("#/r/split")
    one.page.wait_for_selector(".rowx")
    first = [" ".join(text.split()[:3]).rstrip(",") for text in one.texts(".rowx")]

    assert first[1:] == [f"step {TIMES} 9", "step ValueError 1.00", f"step {TIMES} 9"]
    assert sum_of(foot(one)) == (20, 20)


def test_e_goes_to_the_next_error(opened: "Show") -> None:
    """
    ``e`` opens the next error, around the end; ``E`` the one before.
    """
    one = opened("handbook")
    places = []
    for key in ("e", "e", "e", "E"):
        one.press(key)
        one.page.wait_for_selector(".dbody .oops")
        places.append(one.hash)

    assert places[0] == places[2]
    assert places[1] == places[3]
    assert {*places} == {"#/r/handbook/handbook-4439", "#/r/handbook/handbook-7734"}
    assert selected(one).startswith("embed_chunk RateLimitError")


def test_e_without_errors_says_so(show: "Show", canned: "Recorded") -> None:
    """
    ``e`` where nothing has failed says so.
    """
    made = import_module("recording").Recording("fine")
    made.add(None, "chain", "root", 0, 100)
    canned.take(made.done())
    one = show("#/r/fine")
    one.page.wait_for_selector(".rowx")
    one.press("e")

    assert one.texts(".toast") == ["Nothing in this request has failed"]


def test_keys_walk_the_tree(opened: "Show") -> None:
    """
    The arrows and j and k walk over rows, close and open branches, and go up and in.
    """
    one = opened("done")
    names = []
    for key in ("j", "ArrowDown", "k", "ArrowLeft", "ArrowLeft", "End", "Home"):
        one.press(key)
        names.append(selected(one).split()[0])
    one.press("j")

    assert names[:5] == ["plan", "choose_tools", "plan", "plan", "answer"]
    assert names[5:] == ["note_for_colleague", "answer"]
    assert selected(one) == "plan 1 below 1.63 s"
    one.press("ArrowRight", "ArrowRight")
    assert selected(one).startswith("choose_tools")
    one.press("Enter")
    assert one.page.evaluate("document.activeElement.id") == "detail-body"
    one.press("Escape")
    assert one.page.evaluate("document.activeElement.role") == "treegrid"
    one.press("Escape")
    one.page.wait_for_selector(".list .rowx")
    assert one.hash == "#/"


def test_keys_walk_over_groups(opened: "Show") -> None:
    """
    A folded row takes the cursor like any other; what it stands for is told beside it.
    """
    one = opened("handbook")
    one.press("j")

    assert selected(one).startswith(f"ingest_file {TIMES} 17")
    assert one.texts(".dtitle .dim") == [f"{TIMES} 17"]
    one.press("ArrowRight", "ArrowRight")
    assert selected(one).startswith("ingest_file 248 below")
    one.press("ArrowLeft", "ArrowLeft")
    assert (
        one.page.get_attribute('.rowx[aria-selected="true"]', "aria-expanded")
        == "false"
    )


def test_rows_are_a_treegrid(opened: "Show") -> None:
    """
    A screen reader hears levels, what is open, and on which row the cursor is.
    """
    one = opened("done")
    one.press("j")
    grid = one.page.locator("[role=treegrid]")
    active = grid.get_attribute("aria-activedescendant")
    row = one.page.locator(f"[id='{active}']")

    assert grid.get_attribute("aria-rowcount") == "12"
    assert row.get_attribute("aria-selected") == "true"
    assert row.get_attribute("aria-level") == "2"
    assert row.get_attribute("aria-expanded") == "true"
    assert row.locator("[role=gridcell]").count() == 3
    assert one.page.locator(".twist.can").count() == 5


def test_collapse_and_expand(opened: "Show") -> None:
    """
    One button closes everything below the first level, and opens it again.
    """
    one = opened("done")
    one.page.click("text=Collapse")

    assert foot(one) == "4 of 12 runs, 8 closed"
    one.page.click("text=Expand")
    assert foot(one) == "12 of 12 runs"


def test_twisty_closes_a_branch(opened: "Show") -> None:
    """
    A click on the twisty closes its branch and selects nothing.
    """
    one = opened("done")
    one.page.click("[id='row-done-3'] .twist")

    assert foot(one) == "7 of 12 runs, 5 closed"
    assert selected(one).startswith("answer")


def test_drag_looks_closer(opened: "Show") -> None:
    """
    A drag on the ruler looks closer, arrows say where other bars are; ``0`` ends it.
    """
    one = opened("done")
    box = one.page.locator(".ruler").bounding_box()
    assert box is not None
    one.page.mouse.move(box["x"] + 200, box["y"] + 10)
    one.page.mouse.down()
    one.page.mouse.move(box["x"] + 340, box["y"] + 10)
    one.page.mouse.up()

    assert {*one.texts(".beyond")} == {"\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}"}
    assert "Whole time 0" in one.texts(".foot")[0]
    one.press("0")
    assert one.page.locator(".beyond").count() == 0


def test_map_is_drawn_for_many_runs(opened: "Show") -> None:
    """
    A map stands over the lanes of a large request, and only there; a drag on it looks closer.
    """
    few, many = opened("done"), opened("handbook")
    box = many.page.locator(".map").bounding_box()
    ruler = many.page.locator(".ruler").bounding_box()
    inked = """() => {
      const canvas = document.querySelector(".map canvas");
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return data.some((part) => part > 0);
    }"""

    assert not few.page.locator(".map").is_visible()
    assert many.page.evaluate(inked)
    assert box
    assert ruler
    assert (box["x"], box["width"]) == (ruler["x"], ruler["width"])
    many.page.mouse.move(box["x"] + 20, box["y"] + 10)
    many.page.mouse.down()
    many.page.mouse.move(box["x"] + 60, box["y"] + 10)
    many.page.mouse.up()
    assert many.page.locator(".map .win").is_visible()


def test_width_of_the_detail(opened: "Show") -> None:
    """
    The detail is made wider and narrower by mouse and by keys, within limits.
    """
    one = opened("done")
    grip = one.page.locator(".grip")
    width = "document.querySelector('.right').getBoundingClientRect().width"
    before = one.page.evaluate(width)
    grip.focus()
    one.press("ArrowLeft")

    assert one.page.evaluate(width) == pytest.approx(before + 16, abs=1)
    box = grip.bounding_box()
    assert box is not None
    one.page.mouse.move(box["x"] + 3, 400)
    one.page.mouse.down()
    one.page.mouse.move(1430, 400)
    one.page.mouse.up()
    assert one.page.evaluate(width) == 320


def test_phone_shows_the_detail_as_a_page(opened: "Show") -> None:
    """
    On a phone a run opens as a page of its own, which goes back; bars stand under the names.
    """
    one = opened("done", viewport={"width": 390, "height": 780})
    right = one.page.locator(".right")

    assert not right.is_visible()
    one.page.click("text=fetch_invoice")
    assert right.is_visible()
    assert not one.page.locator(".top").is_visible()
    one.page.click(".dtitle .back")
    assert not right.is_visible()
    name, bar = one.page.evaluate(
        """() => [".nm", ".bar"].map((part) =>
          document.querySelector(`#row-done-7 ${part}`).getBoundingClientRect().toJSON())"""
    )
    assert bar["top"] >= name["bottom"] - 1
    assert one.page.evaluate("document.documentElement.scrollWidth") == 390


def test_runs_below_each_other_are_there(show: "Show", canned: "Recorded") -> None:
    """
    Runs that say they are below each other, and one whose clock is behind, all have a row.
    """
    made = import_module("recording").Recording("circle")
    made.add(None, "chain", "root", 0, 100)
    first = made.add(made.runs[0], "tool", "first", -20, 10)
    second = made.add(first, "tool", "second", 10, 20)
    first["parent_run_id"] = second["run_id"]
    canned.take(made.done())
    one = show("#/r/circle")
    one.page.wait_for_selector(".rowx")
    lane = one.page.locator(".ruler").bounding_box()
    bar = one.page.locator(".bar.c-tool").first.bounding_box()

    assert foot(one) == "3 of 3 runs"
    assert lane
    assert bar
    assert bar["x"] == pytest.approx(lane["x"], abs=1)


def test_export_copies_its_command(opened: "Show") -> None:
    """
    The button copies the command that writes this request into a file.
    """
    one = opened("done", permissions=["clipboard-read", "clipboard-write"])
    one.page.click("text=Export")
    one.page.wait_for_selector(".toast")
    copied = one.page.evaluate("navigator.clipboard.readText()")
    store = one.server.about["path"]

    assert copied == (
        f"python -m instrument export done --to answer.html --store '{store}'"
    )
