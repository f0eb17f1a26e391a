"""
The pane of the selected run: what one reads of each kind, JSON, events, errors, and copying.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.viewer.opened_page import Opened
    from tests.viewer.recording import Recorded

    Show = Callable[..., Opened]

TIMES = "\N{MULTIPLICATION SIGN}"
CLIPBOARD = ["clipboard-read", "clipboard-write"]


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
    Open the view of a request at one of its runs, and wait until that has been read.
    """

    def opened(request: str, run: int, tab: str = "", **context: Any) -> "Opened":
        one = show(f"#/r/{request}/{request}-{run}{tab}", **context)
        one.page.wait_for_selector(".dbody > *", state="attached")
        return one

    return opened


@pytest.fixture
def made(show: "Show", canned: "Recorded") -> "Callable[..., Opened]":
    """
    Open a request of one run, made of keywords.
    """

    def made(kind: str = "chain", to: float | None = 100.0, **more: Any) -> "Opened":
        recording = import_module("recording").Recording("made")
        recording.add(None, "chain", "root", 0, to, status=more.pop("root", "ok"))
        recording.add(recording.runs[0], kind, "one", 0, to, **more)
        canned.take(recording.done())
        one = show("#/r/made/made-1", permissions=CLIPBOARD)
        one.page.wait_for_selector(".dbody", state="attached")
        return one

    return made


def copied(one: "Opened") -> str:
    """
    Give what is on the clipboard, once the page has said that it copied.
    """
    one.page.wait_for_selector(".toast")
    return str(one.page.evaluate("navigator.clipboard.readText()"))


@pytest.mark.parametrize(
    "run,tab,headings",
    [
        (0, "In and out", ["Other inputs Copy", "Failed below; the call went on"]),
        (2, "Conversation", ["Asked with"]),
        (4, "Call", ["Called with Copy", "Result Copy"]),
        (5, "Documents", ["Query", "4 documents Copy"]),
        (6, "In and out", ["Texts Copy", "Vectors Copy"]),
        (9, "In and out", ["Inputs Copy", "Outputs Copy", "Models", "Emitted"]),
    ],
)
def test_every_kind_is_read_in_its_form(
    opened: "Show", run: int, tab: str, headings: list[str]
) -> None:
    """
    What one reads of a run has the form of its kind.
    """
    one = opened("done", run)

    assert one.texts(".tab") == [tab, "JSON", "Events"]
    assert one.texts(".dbody h3")[: len(headings)] == headings


def test_conversation_is_in_bubbles(opened: "Show") -> None:
    """
    Messages stand as they were sent, then a rule, then the answer; a bubble takes the
    direction of its own text.
    """
    one = opened("done", 10)
    roles = ["system", "user", "tool find_order", "tool fetch_invoice"]

    assert [text.split(" Show")[0] for text in one.texts(".who")] == [
        *roles,
        "assistant claude-sonnet-4-5",
    ]
    assert one.texts(".rule") == ["Answer"]
    assert one.texts(".msg.answer .bubble")[0].startswith("Hello Ada,")
    assert {
        *one.page.eval_on_selector_all(".bubble", "(all) => all.map((b) => b.dir)")
    } == {"auto"}
    assert one.texts(".dhead .fact") == [
        "Duration 3.05 s",
        "First token 690 ms",
        "Speed 90 tok/s",
        "Tokens in 9,412 8,192 cached",
        "Tokens out 212",
        "Cost $0.0118",
    ]


def test_system_prompt_is_three_lines(opened: "Show") -> None:
    """
    A long system prompt is three lines, and opens.
    """
    one = opened("done", 10)
    bubble = one.page.locator(".msg.system .bubble")
    before = bubble.bounding_box()
    one.page.click("text=Show all 427 B")
    after = bubble.bounding_box()
    assert before
    assert after

    assert before["height"] == pytest.approx(3 * 20 + 14, abs=2)
    assert after["height"] > before["height"]
    assert "Ledger" in bubble.inner_text()


def test_tool_call_links_to_its_run(opened: "Show") -> None:
    """
    A tool call is a signature, and leads to the run that it became.
    """
    one = opened("done", 2)

    assert one.texts(".sig")[0] == 'find_order(order_id="A-1042")'
    assert one.texts(".ran")[2] == "ConnectTimeout after 3.05 s open the run"
    one.page.click(".call:nth-child(3) .ran")
    one.page.wait_for_selector(".dbody .oops")
    assert one.hash == "#/r/done/done-7"


def test_reasoning_is_folded(opened: "Show") -> None:
    """
    What a model reasoned is there, and folded.
    """
    one = opened("done", 2)
    think = one.page.locator(".think")

    assert one.texts("summary") == ["Reasoning, 318 tokens"]
    assert not think.is_visible()
    one.page.click("summary")
    assert think.inner_text().startswith("The customer wants two things")


def test_documents_are_listed(opened: "Show") -> None:
    """
    Documents stand with their source, their score and their text.
    """
    one = opened("done", 5)

    assert one.texts(".dbody .read") == ["return window after delivery"]
    assert one.texts(".doc")[0].startswith(
        "1 returns.md#window 0.912 You may send back"
    )
    assert len(one.texts(".doc")) == 4


def test_own_frames_are_whole_and_library_frames_folded(opened: "Show") -> None:
    """
    A traceback shows the own frames and folds those of libraries; its copy is Python's form.
    """
    one = opened("failed", 7, permissions=CLIPBOARD)

    assert one.texts(".tb .own") == [
        "agent/answer.py:88 in gather invoice = await fetch_invoice(order_id)",
        'agent/tools.py:41 in fetch_invoice return await ledger.get(f"/invoices/{order_id}")',
    ]
    one.page.click("text=4 frames in httpx: show")
    assert len(one.texts(".tb .fr")) == 6
    assert one.texts(".tb .fr")[2].startswith("httpx/_client.py:1814 in get")
    one.page.click("text=Copy traceback")
    assert copied(one) == import_module("recorded").TRACEBACK


def test_error_that_passed_leads_to_where_it_began(opened: "Show") -> None:
    """
    A run through which an error passed names the run where it began.
    """
    one = opened("failed", 0)

    assert one.texts(".go2") == ["Passed through here. It began in fetch_invoice."]
    assert one.page.locator(".tb").count() == 0
    one.page.click(".go2 button")
    one.page.wait_for_selector(".tb")


def test_failed_below_leads_to_the_run(opened: "Show") -> None:
    """
    A request that went on tells what failed below it.
    """
    one = opened("done", 0)
    one.page.click("text=Failed below; the call went on >> xpath=.. >> button")
    one.page.wait_for_selector(".oops")

    assert one.texts(".dtitle h2") == ["fetch_invoice"]
    assert one.texts(".note") == [
        "Retry at 1.51 s, after attempt 1: httpx.ConnectTimeout"
    ]


def test_models_of_one_name_are_one_line(opened: "Show") -> None:
    """
    Models below are a table in which those of one name are one line.
    """
    one = opened("handbook", 0)

    assert one.texts(".mini tbody tr") == [
        f"summarise {TIMES} 40 gpt-5-mini 300 ms 328k 3,840 $0.0840"
    ]


def test_emitted_events_tags_and_metadata(opened: "Show") -> None:
    """
    Events that the program emitted are there with their data, tags and metadata as chips.
    """
    assert "guardrail.pii at 4.80 s" in opened("done", 9).texts(".well")[-1]
    assert opened("done", 0).texts(".chip") == [
        "web",
        "eu",
        "user_id ada",
        "release 2026.11.4",
        "thread_id t-88121",
    ]


def test_what_was_cut_is_said(opened: "Show") -> None:
    """
    What was cut when it was recorded is said in words.
    """
    note = opened("done", 4).texts(".note")

    assert note == [
        "Recorded 64.0 kB of 1.20 MB: field items[0].history was cut when it was stored."
    ]


@pytest.mark.parametrize(
    "status,says",
    [
        ("cancelled", "cancelled: somebody cancelled it."),
        (
            "abandoned",
            "closed early: its stream was closed before its end; what had come is kept.",
        ),
        ("lost", "lost: its process ended before it did; what had come is kept."),
    ],
)
def test_broken_off_is_told(
    made: "Callable[..., Opened]", status: str, says: str
) -> None:
    """
    A run that was broken off says why; its bar is dashed.
    """
    one = made("tool", status=status)
    one.page.wait_for_selector(".note")

    assert one.texts(".note") == [says]
    style = f"getComputedStyle(document.querySelector('.bar.{status}')).borderTopStyle"
    assert one.page.evaluate(style) == "dashed"


def test_lost_run_has_no_duration(made: "Callable[..., Opened]") -> None:
    """
    What nobody knows is a dash: a lost run has no duration.
    """
    one = made("tool", None, status="lost", root="lost")

    assert one.texts(".rowx .dcell")[1] == "\N{EN DASH}"


def test_long_text_opens(made: "Callable[..., Opened]") -> None:
    """
    Long text is cut for sight, opens, and is copied whole.
    """
    text = "ä" * 5000
    one = made(inputs={"a": 1}, outputs=text)
    one.page.wait_for_selector(".read")

    assert len(one.page.locator(".read span").first.inner_text()) == 901
    one.page.click("text=Show all 10.0 kB")
    assert text in one.page.locator(".read").inner_text()
    one.page.locator("h3 button").last.click()
    assert copied(one) == text


def test_json_shows_a_hundred_and_then_more(made: "Callable[..., Opened]") -> None:
    """
    A list shows a hundred items, then those that are left; a value and its path are copied.
    """
    values = [{"n": n} for n in range(1000)]
    one = made("tool", inputs={"x": 1}, outputs={"items": {"deep list": values}})
    one.page.wait_for_selector(".json")
    one.page.click(".ln:has-text('deep list') .tw")

    assert one.texts(".ln .more") == ["Show 900 more"]
    one.page.click("text=Show 900 more")
    line = one.page.locator(".ln").last
    assert line.inner_text().startswith("999:")
    line.hover()
    line.locator("text=Path").click()
    assert copied(one) == 'outputs.items["deep list"][999]'
    one.page.locator(".toast").evaluate("(toast) => toast.remove()")
    line.locator("text=Copy").click()
    assert copied(one) == '{\n  "n": 999\n}'


def test_json_tab_is_everything(opened: "Show") -> None:
    """
    The second tab is the whole record; all of it is copied.
    """
    one = opened("done", 4, "/json", permissions=CLIPBOARD)
    one.page.click("text=Copy all")
    text = copied(one)

    assert '"email": "[redacted]"' in text
    assert '"events"' not in text
    assert one.texts(".ln")[3].startswith('kind: "tool"')


def test_events_are_as_they_came(opened: "Show") -> None:
    """
    The third tab is the records by their names, with times from the request's start.
    """
    one = opened("done", 10, "/events")

    assert one.texts(".evt .nm") == [
        "on_chat_model_start",
        f"on_llm_new_token {TIMES} 91",
        "on_chat_model_end",
    ]
    assert one.texts(".evt .tm") == ["4.81 s", "5.50 s", "7.86 s"]
    one.page.click(".evt >> nth=1")
    assert one.texts(".evt-data .ln .k") == ["token:", "channel:", "count:"]


def test_keys_choose_tabs(opened: "Show") -> None:
    """
    ``1 2 3`` choose the tabs, and the address says which.
    """
    one = opened("done", 4)
    seen = []
    for key in "321":
        one.press(key)
        seen.append((one.texts('.tab[aria-selected="true"]')[0], one.hash))

    assert seen == [
        ("Events", "#/r/done/done-4/events"),
        ("JSON", "#/r/done/done-4/json"),
        ("Call", "#/r/done/done-4"),
    ]


@pytest.mark.parametrize(
    "outputs,shown",
    [
        ("It is here.", ["user Where?", "assistant It is here."]),
        ({"answer": "It is here.", "n": 1}, ["user Where?", "assistant It is here."]),
        ({"n": 1}, []),
    ],
)
def test_question_and_answer_are_bubbles(
    made: "Callable[..., Opened]", outputs: Any, shown: list[str]
) -> None:
    """
    What was asked and answered among other fields stands in bubbles; else both are trees.
    """
    one = made(inputs={"question": "Where?", "shop": 7}, outputs=outputs)
    one.page.wait_for_selector(".json")

    assert one.texts(".msg") == shown
    assert "shop: 7" in " ".join(one.texts(".ln"))


def test_messages_of_parts(made: "Callable[..., Opened]") -> None:
    """
    The text of a message of parts is its bubble; a part that is no text is a tree.
    """
    parts = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ]
    calls = [{"id": "1", "name": "look", "arguments": '{"at": "it"}'}]
    one = made(
        "chat_model",
        messages=[
            {"role": "user", "content": parts},
            {"role": "assistant", "content": None, "tool_calls": calls},
        ],
        text="A bike.",
    )
    one.page.wait_for_selector(".bubble")

    assert one.texts(".bubble") == ["What is it?", "A bike."]
    assert "image_url" in one.texts(".msg .well")[0]
    assert one.texts(".msg .sig") == ['look(at="it")']
    assert one.page.locator("img").count() == 0


def test_run_that_cannot_be_read_says_so(opened: "Show", canned: "Recorded") -> None:
    """
    A run that the server does not know is told in its words, and others can be read.
    """
    one = opened("done", 0)
    del canned.runs["done-4"]
    one.page.click(".rowx >> text=find_order")
    one.page.wait_for_selector(".dbody [role=alert]")
    one.errors.clear()  # the browser reports every 404
    one.page.click(".rowx >> text=shipping_eta")

    one.page.wait_for_selector(".dbody .sig")


CHAINED = """Traceback (most recent call last):
  File "/app/own.py", line 1, in inner
    1 / 0
    ~~^~~
ZeroDivisionError: division by zero

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/app/own.py", line 5, in outer
    raise ValueError("no") from exc
ValueError: no
"""
GROUP = """  + Exception Group Traceback (most recent call last):
  |   File "/app/own.py", line 1, in inner
  |     raise ExceptionGroup("two", errors)
  | ExceptionGroup: two (1 sub-exception)
  +-+---------------- 1 ----------------
    | ValueError: one
    +------------------------------------
"""


@pytest.mark.parametrize(
    "traceback,between",
    [
        (
            CHAINED,
            [
                "ZeroDivisionError: division by zero",
                "The above exception was the direct cause of the following exception:",
            ],
        ),
        (GROUP, [" ".join(GROUP.split())]),
    ],
    ids=["chain", "group"],
)
def test_traceback_of_more_than_one_error(
    made: "Callable[..., Opened]", traceback: str, between: list[str]
) -> None:
    """
    What stands between the frames of a chain is kept, and so is the tree of a group.
    """
    error = {"type": "ValueError", "message": "no", "traceback": traceback}
    one = made("tool", status="error", error=error, origin=True)
    one.page.wait_for_selector(".tb")

    assert one.texts(".tb .between") == between
