"""
A request that runs: runs at their start, tokens while they come, figures that run, following.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.viewer.opened_page import Opened
    from tests.viewer.recording import Recorded

    Show = Callable[..., Opened]

DRAFT, NOTE = "live-10", "live-11"
SINCE_START_MS = 6900


@pytest.fixture
def canned() -> "Iterator[Recorded]":
    """
    Serve the page with a request that runs for 6.9 s.
    """
    started_ms = import_module("canned_data").NOW_MS - SINCE_START_MS
    request = import_module("recorded").running_agent(started_ms)
    server: Recorded = import_module("recording").Recorded(request)
    yield server
    server.end()


@pytest.fixture
def opened(show: "Show", canned: "Recorded") -> "Show":
    """
    Open the running request, once the page hears what changes.
    """

    def opened(rest: str = "", **context: Any) -> "Opened":
        one = show(f"#/r/live{rest}", **context)
        one.page.wait_for_selector(".dbody > *", state="attached")
        assert canned.listening.wait(10)
        return one

    return opened


def token(run: str, text: str, cursor: int, channel: str = "text") -> dict[str, Any]:
    """
    Make what the server tells of a token.
    """
    return {"run_id": run, "channel": channel, "text": text, "cursor": cursor}


def changed(canned: "Recorded", run_id: str, **more: Any) -> dict[str, Any]:
    """
    Change a run in the store, and give what the server tells of it.
    """
    request, runs = canned.requests["live"]
    run = next(run for run in runs if run["run_id"] == run_id)
    run |= more
    skeleton = import_module("recording").skeletons([run])
    return {"runs": skeleton, "request": request, "cursor": 20}


def test_running_runs_are_there(opened: "Show") -> None:
    """
    Runs that run are shown so; the page follows what writes.
    """
    one = opened()

    assert one.texts(".sum .fact")[:2] == ["Status running", "Duration 6.90 s"]
    assert one.texts(".sum .fact")[5] == "Cost $0.0011 so far"
    assert one.page.locator(".rowx .bar.running").count() == 4
    assert one.texts('.rowx[aria-selected="true"]') == [
        "draft claude-sonnet-4-5 2.09 s"
    ]
    assert one.texts('.tools [aria-pressed="true"]') == ["Follow"]
    assert one.texts(".rule") == ["Answer, arriving"]


def test_token_is_there_before_the_model_has_ended(
    opened: "Show", canned: "Recorded"
) -> None:
    """
    Tokens are appended as they come, to one text node, while the model still runs.
    """
    one = opened()
    for n, text in enumerate(["esday ", "1 ", "December"]):
        canned.push("token", token(DRAFT, text, 11 + n))
    arriving = one.page.locator(".arriving", has_text="you on Tuesday 1 December")
    arriving.wait_for()

    assert arriving.evaluate("(one) => one.childNodes.length") == 1
    assert one.texts(".dtitle .status") == ["running"]


def test_token_that_was_read_already_is_not_said_twice(
    opened: "Show", canned: "Recorded"
) -> None:
    """
    A token which stood in the run when it was read is not appended again.
    """
    one = opened()
    canned.push("token", token(DRAFT, "TWICE", 10))
    canned.push("token", token(NOTE, "OTHER", 11))
    canned.push("token", token(DRAFT, " once", 12))
    one.page.locator(".arriving", has_text="once").wait_for()

    assert "TWICE" not in one.texts(".arriving")[0]
    assert "OTHER" not in one.texts(".arriving")[0]


def test_reasoning_arrives_on_its_own(opened: "Show", canned: "Recorded") -> None:
    """
    What a model reasons is open while it comes, and apart from its answer.
    """
    one = opened(f"/{NOTE}")

    assert one.texts(".bubble")[-1] == "waiting for the first token"
    canned.push("token", token(NOTE, "Short, factual.", 11, "reasoning"))
    one.page.locator(".think", has_text="Short, factual.").wait_for()
    assert one.texts(".bubble")[-1] == "waiting for the first token"
    canned.push("token", token(NOTE, "Customer asks", 12))
    one.page.locator(".arriving", has_text="Customer asks").wait_for()
    assert one.texts(".bubble")[-1] == "Customer asks"


def test_character_of_two_tokens_is_whole(opened: "Show", canned: "Recorded") -> None:
    """
    A character whose halves come with two tokens is shown whole; half of one never is.
    """
    one = opened()
    canned.push("token", token(DRAFT, " bike \ud83d", 11))
    one.page.locator(".arriving", has_text=" bike").wait_for()
    assert "D83D" not in one.texts(".arriving")[0]
    canned.push("token", token(DRAFT, "\udeb2!", 12))
    one.page.locator(".arriving", has_text="bike \U0001f6b2!").wait_for()


def test_run_shows_at_its_start(opened: "Show", canned: "Recorded") -> None:
    """
    A run appears when it starts, and its row changes when it ends.
    """
    one = opened()
    row = {"run_id": "live-new", "parent_run_id": "live-9", "seq": 12, "kind": "tool"}
    row |= {"name": "send_mail", "status": "running", "start_ms": 6890.0}
    request, _ = canned.requests["live"]
    canned.push("runs", {"runs": [row], "request": request, "cursor": 20})
    one.page.locator(".rowx", has_text="send_mail").wait_for()

    assert one.texts(".foot [role=status]") == ["13 of 13 runs"]
    ended = row | {"status": "error", "duration_ms": 5.0, "error_type": "ValueError"}
    canned.push("runs", {"runs": [ended], "request": request, "cursor": 21})
    one.page.locator(".rowx.leaf", has_text="ValueError").wait_for()
    assert one.texts(".rowx .dcell")[-1] == "5.00 ms"


def test_figures_run(opened: "Show") -> None:
    """
    Figures and bars of what runs go on by themselves; those of what has ended do not.
    """
    one = opened()
    right = "document.querySelector('.bar.running').getBoundingClientRect().right"
    left = "document.querySelectorAll('.bar')[2].getBoundingClientRect().width"
    before = one.page.evaluate(left)
    one.page.clock.set_fixed_time((one.server.now_ms + 3100) / 1000)
    one.page.locator(".sum .fact", has_text="10.0 s").wait_for()

    assert one.texts(".rowx .dcell")[0] == "10.0 s"
    assert one.texts(".rowx .dcell")[2] == "1.60 s"
    assert one.texts(".dhead .fact")[0] == "Duration 5.19 s"
    assert one.page.evaluate(left) < before
    assert one.page.evaluate(right) < 822


def test_follow_goes_on_to_what_runs(opened: "Show", canned: "Recorded") -> None:
    """
    Following selects what still runs when the selected run has ended.
    """
    one = opened()
    over = {"status": "ok", "duration_ms": 2090.0, "finish": "stop"}
    canned.push("runs", changed(canned, DRAFT, **over))

    one.page.locator(".dtitle h2", has_text="note_for_colleague").wait_for()


def test_choosing_a_run_ends_following(opened: "Show", canned: "Recorded") -> None:
    """
    Who chooses a run keeps it; ``f`` follows again.
    """
    one = opened()
    one.page.click(".rowx >> text=find_order")
    pressed = one.page.locator(".tools .btn", has_text="Follow")

    assert pressed.get_attribute("aria-pressed") == "false"
    canned.push("runs", changed(canned, NOTE, first_token_ms=1480.0))
    one.page.wait_for_timeout(50)
    assert one.texts(".dtitle h2") == ["find_order"]
    one.press("f")
    one.page.locator(".dtitle h2", has_text="draft").wait_for()


def test_selected_run_that_ends_is_read_again(
    opened: "Show", canned: "Recorded"
) -> None:
    """
    When the selected model has ended, its whole answer and its figures are there.
    """
    one = opened(f"/{DRAFT}")
    over = {
        "status": "ok",
        "duration_ms": 2200.0,
        "text": "All of it.",
        "output_tokens": 9,
    }
    canned.push("runs", changed(canned, DRAFT, **over))
    one.page.locator(".msg.answer", has_text="All of it.").wait_for()

    assert one.texts(".rule") == ["Answer"]
    assert "Tokens out 9" in one.texts(".dhead .fact")
    assert one.page.locator(".caret").count() == 0


def test_scroll_sticks_to_the_end_only_there(
    opened: "Show", canned: "Recorded"
) -> None:
    """
    Text that comes scrolls along for who is at the end, and moves nobody else.
    """
    one = opened(f"/{DRAFT}", viewport={"width": 1440, "height": 400})
    far = "(body) => body.scrollHeight - body.scrollTop - body.clientHeight"
    body = one.page.locator(".dbody")
    body.evaluate("(body) => { body.scrollTop = body.scrollHeight; }")
    canned.push("token", token(DRAFT, "\nline" * 40, 11))
    one.page.locator(".arriving", has_text="line").wait_for()
    assert body.evaluate(far) < 2

    body.evaluate("(body) => { body.scrollTop = 0; }")
    canned.push("token", token(DRAFT, "\nlast" * 40, 12))
    one.page.locator(".arriving", has_text="last").wait_for()
    assert body.evaluate("(body) => body.scrollTop") == 0


def test_end_of_the_request(opened: "Show", canned: "Recorded") -> None:
    """
    When the request has ended it is read once more, and nobody watches it any longer.
    """
    one = opened()
    ended = import_module("recorded").support_agent("live")
    request, _ = canned.requests["live"]
    ended[0]["started_ms"] = request["started_ms"]
    canned.rows.clear()
    canned.take(ended)
    canned.push("end", {})
    one.page.wait_for_selector(".sum .status.s-ok")

    assert one.texts(".sum .fact")[1] == "Duration 9.31 s"
    assert one.page.locator(".bar.running").count() == 0
    assert not one.page.locator(".tools .btn", has_text="Follow").is_visible()
    assert len(canned.streams) == 1


def test_ended_request_is_not_watched(show: "Show", canned: "Recorded") -> None:
    """
    No stream stays open for a request that has ended.
    """
    canned.take(import_module("recorded").support_agent())
    one = show("#/r/done")
    one.page.wait_for_selector(".dbody > *")

    assert canned.streams == []


def test_running_container_says_so(opened: "Show") -> None:
    """
    A request without an answer yet says where to look.
    """
    one = opened("/live-0")

    assert "No answer yet. What runs now is marked in the tree." in one.texts(
        ".dbody p"
    )


def test_tokens_are_kept_while_another_tab_is_open(
    opened: "Show", canned: "Recorded"
) -> None:
    """
    What comes while one looks at JSON stands in the conversation afterwards.
    """
    one = opened(f"/{DRAFT}")
    one.press("2")
    canned.push("token", token(DRAFT, "esday", 11))
    one.page.wait_for_timeout(50)
    one.press("1")

    one.page.locator(".arriving", has_text="you on Tuesday").wait_for()
