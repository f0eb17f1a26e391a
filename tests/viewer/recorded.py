"""
Recorded requests for the tests of the view of one request: a support agent that lost an invoice,
the same broken at its root, one that still runs, ten thousand runs, and hostile text.
"""

import random
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.viewer.recording import Recording, Request, used
else:
    Recording = import_module("recording").Recording
    used = import_module("recording").used
    Request = Any

DATA: Any = import_module("canned_data")
ANSWER, HOSTILE, ORDER = DATA.ANSWER, DATA.HOSTILE, DATA.ORDER
Row = dict[str, Any]

SYSTEM = """You answer customers of Nordlicht Bikes. Use only what the tools return. Give dates \
as "Tuesday 1 December". Never promise a refund; a colleague decides that. If a tool has failed, \
say so plainly and offer to try again. Write in the customer's language, at most 120 words.

Tone: friendly, short sentences, no exclamation marks. Address the customer by first name once. \
Do not mention internal systems (Hermes, Ledger) by name."""
REASONING = """The customer wants two things: where the order is, and the invoice. For the order \
I need the order record and the carrier's estimate. The invoice is a separate service. Return \
window could matter, the policy text says 30 days from delivery, so look that up too. All four \
can run at the same time."""
NOTE = """Customer asks for delivery date and invoice of A-1042. Delivery answered from carrier \
(DHL, ETA 2026-12-01). Invoice NOT delivered: ledger timed out twice, 3 s each."""
FOUND = """{"order_id": "A-1042", "status": "shipped", "shipped": "2026-11-26",
 "items": [{"name": "Gravel 54, blue", "quantity": 1}], "carrier": "DHL"}"""
TIMEOUT = "ledger.internal:8443 did not answer within 3.0 s (attempt 2 of 2)"
TRACEBACK = f"""Traceback (most recent call last):
  File "/srv/shop/agent/answer.py", line 88, in gather
    invoice = await fetch_invoice(order_id)
              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/srv/shop/agent/tools.py", line 41, in fetch_invoice
    return await ledger.get(f"/invoices/{{order_id}}")
  File "/usr/lib/python3.12/site-packages/httpx/_client.py", line 1814, in get
    return await self.request(
  File "/usr/lib/python3.12/site-packages/httpx/_client.py", line 1585, in request
    return await self.send(request, auth=auth)
  File "/usr/lib/python3.12/site-packages/httpx/_client.py", line 1674, in send
    response = await self._send_handling_auth(
  File "/usr/lib/python3.12/site-packages/httpx/_transports/default.py", line 118, in map
    raise mapped_exc(message) from exc
httpx.ConnectTimeout: {TIMEOUT}
"""
DOCUMENTS = {
    "returns.md#window": """You may send back any bike within 30 days of delivery. The day \
the carrier hands it over counts as day one; we pay the return for frames that arrived \
damaged.""",
    "shipping.md#carriers": """Complete bikes go by DHL 2-Man Handling. Once a parcel has \
left the workshop the estimate is the carrier's, not ours.""",
    "invoices.md#copies": """A copy of an invoice can be sent at any time to the address on \
file. It is never sent to another address without a check by a colleague.""",
    "tone.md#apologies": "Say what failed and what happens next. One apology is enough.",
}
SCORES = [0.912, 0.874, 0.803, 0.688]


def support_agent(trace_id: str = "done") -> Request:
    """
    Record the request that answers, though one of its tools failed.
    """
    made = Recording(trace_id)
    asked = {"question": ORDER, "customer_id": "c-20417", "channel": "web"}
    about = {"user_id": "ada", "release": "2026.11.4", "thread_id": "t-88121"}
    root = made.add(
        None,
        "agent",
        "answer",
        0,
        9310,
        inputs=asked,
        outputs=ANSWER,
        tags=["web", "eu"],
    )
    root["metadata"] = about
    plan(made, root)
    gather = made.add(root, "chain", "gather", 1655, 4730, inputs={"calls": 4})
    gather["outputs"] = {"answered": 3, "failed": ["fetch_invoice"]}
    tools(made, gather)
    compose(made, root)
    return made.done(said=ORDER, user="ada", first_token_ms=5500.0, input_tokens=12_490)


def plan(made: Recording, root: Row) -> None:
    """
    Add the run that chooses what to call.
    """
    run = made.add(
        root, "chain", "plan", 12, 1640, inputs={"question": ORDER, "history": 3}
    )
    run["outputs"] = {
        "tools": ["find_order", "search_policies", "fetch_invoice", "shipping_eta"]
    }
    calls = {
        "find_order": {"order_id": "A-1042"},
        "search_policies": {"query": "return window after delivery"},
        "fetch_invoice": {"order_id": "A-1042"},
        "shipping_eta": {"carrier": "DHL", "parcel": "00340434161094"},
    }
    decide = (
        "Decide which tools answer the question. Call all that are independent at once."
    )
    made.add(
        run,
        "chat_model",
        "choose_tools",
        24,
        1622,
        model="gpt-5-mini",
        provider="openai",
        first_token_ms=1010.0,
        reasoning=REASONING,
        finish="tool_calls",
        messages=[
            {"role": "system", "content": decide},
            {"role": "user", "content": ORDER},
        ],
        tool_calls=[
            {"id": f"call_{i}", "name": name, "arguments": arguments}
            for i, (name, arguments) in enumerate(calls.items())
        ],
        params={
            "temperature": 1,
            "reasoning_effort": "low",
            "parallel_tool_calls": True,
        },
        **used(1284, 1024, 402, 318, 0.00113),
    )


def tools(made: Recording, gather: Row) -> None:
    """
    Add the four tools, of which one fails.
    """
    order = {
        "order_id": "A-1042",
        "status": "shipped",
        "placed": "2026-11-19",
        "shipped": "2026-11-26",
        "items": [{"sku": "GR-54-BL", "name": "Gravel 54, blue", "quantity": 1}],
        "carrier": {"name": "DHL", "parcel": "00340434161094"},
        "customer": {"id": "c-20417", "first_name": "Ada", "email": "[redacted]"},
    }
    found = made.add(
        gather, "tool", "find_order", 1660, 2071, inputs={"order_id": "A-1042"}
    )
    found["outputs"] = order
    found["cut"] = [
        {"path": "items[0].history", "recorded": 64_000, "whole": 1_200_000}
    ]
    query = "return window after delivery"
    search = made.add(gather, "retriever", "search_policies", 1661, 1998, query=query)
    search["documents"] = [
        {"page_content": text, "metadata": {"source": source, "score": score}}
        for (source, text), score in zip(DOCUMENTS.items(), SCORES, strict=True)
    ]
    search["hint"] = "4 documents"
    embed = made.add(search, "embedding", "embed_query", 1664, 1790, texts=[query])
    embed |= {
        "model": "text-embedding-3-small",
        "vectors": {"count": 1, "dimensions": 1536},
    }
    invoice = made.add(gather, "tool", "fetch_invoice", 1662, 4712)
    invoice |= {"inputs": {"order_id": "A-1042", "format": "pdf"}, "retries": 1}
    attempt = {"attempt": 1, "type": "httpx.ConnectTimeout"}
    invoice["marks"] = [{"at_ms": 1510.0, "kind": "retry", "event": attempt}]
    made.fail(invoice, "httpx.ConnectTimeout", TIMEOUT, traceback=TRACEBACK)
    eta = made.add(gather, "tool", "shipping_eta", 1663, 1841)
    eta["inputs"] = {"carrier": "DHL", "parcel": "00340434161094"}
    eta["outputs"] = {"eta": "2026-12-01", "confidence": 0.93, "cache": "hit"}


def compose(made: Recording, root: Row) -> None:
    """
    Add the two models that write.
    """
    masked = {
        "name": "guardrail.pii",
        "data": {"masked": 2, "kinds": ["email", "phone"]},
    }
    run = made.add(
        root,
        "chain",
        "compose",
        4738,
        9278,
        inputs={"facts": 4, "failed": 1},
        marks=[
            {
                "at_ms": 60.0,
                "kind": "custom",
                "name": "guardrail.pii",
                "event": masked,
            }
        ],
        outputs={"answer": "…", "note": "…"},
    )
    messages = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": ORDER},
        {"role": "tool", "name": "find_order", "content": FOUND},
        {
            "role": "tool",
            "name": "fetch_invoice",
            "content": f"ConnectTimeout: {TIMEOUT[:49]}",
        },
    ]
    made.add(
        run,
        "chat_model",
        "draft",
        4810,
        7858,
        model="claude-sonnet-4-5",
        provider="anthropic",
        first_token_ms=690.0,
        finish="stop",
        text=ANSWER,
        messages=messages,
        params={"max_tokens": 600, "temperature": 0.3},
        **used(9412, 8192, 212, 0, 0.01184),
    )
    write = (
        "Write a note for the colleague who takes over. Facts first, then what is open."
    )
    made.add(
        run,
        "chat_model",
        "note_for_colleague",
        4814,
        9258,
        model="gpt-5-mini",
        provider="openai",
        first_token_ms=1480.0,
        finish="stop",
        text=NOTE,
        reasoning="Short, factual; name what failed and what must follow.",
        messages=[
            {"role": "system", "content": write},
            {"role": "user", "content": ORDER},
        ],
        params={"reasoning_effort": "low"},
        **used(1788, 0, 488, 192, 0.00142),
    )


def failed_agent() -> Request:
    """
    Record the request that failed at its root, as a tool failed.
    """
    _, runs = support_agent("failed")
    made = Recording("failed", 190_000)
    made.runs = [run for run in runs if run["start_ms"] < 4738]
    for run in made.runs:
        if run["name"] in ("answer", "gather"):
            run["duration_ms"] = 4720 - run["start_ms"]
            made.fail(run, "httpx.ConnectTimeout", TIMEOUT)
    tool = next(run["run_id"] for run in made.runs if run["name"] == "fetch_invoice")
    return made.done(said=ORDER, traceback_of=tool)


def running_agent(started_ms: float) -> Request:
    """
    Record the request while its two models still write.
    """
    _, runs = support_agent("live")
    made = Recording("live")
    made.started_ms = started_ms
    made.runs = runs
    over = ("duration_ms", "outputs", "text", "finish", "output_tokens", "input_tokens")
    for run in runs:
        run["started_ms"] = started_ms + run["start_ms"]
        if run["name"] not in ("answer", "compose", "draft", "note_for_colleague"):
            continue
        run["status"] = "running"
        for key in (
            *over,
            "cost_usd",
            "cached_tokens",
            "reasoning_tokens",
            "reasoning",
        ):
            run.pop(key, None)
        if run["name"] == "draft":
            run |= {"text": ANSWER[:120], "cursor": 10}
    return made.done(said=ORDER, first_token_ms=5500.0)


def handbook() -> Request:
    """
    Record ten thousand runs: forty batches of a loader, many embeddings, one summary each.
    """
    chance = random.Random(20261128)
    made = Recording("handbook", 3_600_000)
    root = made.add(
        None, "chain", "ingest_handbook", 0, 1, inputs={"path": "handbook/"}
    )
    root["outputs"] = {"chunks": 9872}
    at = 40.0
    for i in range(40):
        batch = made.add(
            root, "chain", "ingest_file", at, at, inputs={"file": f"{i:02}.md"}
        )
        made.add(batch, "tool", "read_file", at + 1, at + 6 + chance.random() * 20)
        to = embed_chunks(made, batch, i, at + 28, chance)
        end = to + 400 + chance.random() * 900
        spent = used(8200, 0, 96, 0, 0.0021)
        summary = {
            "model": "gpt-5-mini",
            "first_token_ms": 300.0,
            "text": "A summary.",
            **spent,
        }
        summary["messages"] = [{"role": "user", "content": "Summarise."}]
        made.add(batch, "chat_model", "summarise", to + 40, end, **summary)
        batch["duration_ms"] = end + 4 - at
        at += 420
    root["duration_ms"] = (
        max(run["start_ms"] + run["duration_ms"] for run in made.runs) + 12
    )
    return made.done(said="handbook/: 40 files", first_token_ms=1240.0)


def embed_chunks(
    made: Recording, batch: Row, i: int, at: float, chance: random.Random
) -> float:
    """
    Add the embeddings of one file; two of all files fail.
    """
    for j in range(246):
        took = 6 + chance.random() * chance.random() * 60
        run = made.add(
            batch, "embedding", "embed_chunk", at, at + took, texts=[f"chunk {j}"]
        )
        run |= {"model": "text-embedding-3-small", "input_tokens": 180 + j % 60}
        if (i, j) in ((17, 203), (31, 12)):
            message = "429: 3,000 requests a minute reached; retry after 212 ms"
            made.fail(run, "openai.RateLimitError", message, traceback="")
        at += 3.4
    return at


def hostile() -> Request:
    """
    Record text that wants to be more than text, wherever a recording can have text.
    """
    made = Recording("hostile")
    script = f"<script>window.hurt = 1</script><b>{HOSTILE}</b>"
    root = made.add(
        None, "chain", script, 0, 100, inputs={script: script}, outputs=script
    )
    root |= {"tags": [script], "metadata": {script: script}}
    tool = made.add(root, "tool", script, 1, 50, inputs={"x": script}, retries=2)
    tool["marks"] = [{"at_ms": 9.0, "kind": "custom", "name": script}]
    made.fail(tool, script, script, traceback="")
    tool["error"]["traceback"] = (
        f'  File "{script}", line 1, in {script}\n    {script}\n{script}'
    )
    search = made.add(root, "retriever", "search", 51, 60, query=script, hint=script)
    search["documents"] = [
        {"page_content": script, "metadata": {"source": script, "x": script}}
    ]
    model = made.add(root, "chat_model", "model", 61, 99, model=script, text=script)
    calls = [{"id": "1", "name": script, "arguments": {script: script}}]
    model["messages"] = [
        {"role": role, "name": script, "content": script, "tool_calls": calls}
        for role in ("system", "user", "tool", script)
    ]
    model |= {"reasoning": script, "tool_calls": calls, "params": {script: script}}
    model["finish"] = script
    huge = made.add(root, "tool", "huge", 99, 100, inputs={"text": "x" * 1_000_000})
    huge["outputs"] = {"list": list(range(1000)), "text": "é" * 500_000}
    return made.done(said=script)
