"""
Sixty requests of a made-up support agent, and what a store would answer about them.
"""

import json
import random
import re
from typing import Any

NOW_MS = 1_795_874_551_000  # 2026-11-28 14:02:31 UTC
Row = dict[str, Any]

ORDER = "Where is my order A-1042? And could you send me the invoice again?"
ANSWER = """Hello Ada,

your order A-1042 (Gravel 54, blue) left our workshop on Thursday and is with DHL. It should \
reach you on Tuesday 1 December; from then on you have 30 days to send it back.

I could not fetch your invoice just now: our invoice service did not answer. I can try again \
in a few minutes, or send it to the address we have for you as soon as it is there. Which do \
you prefer?"""
OTHER_ANSWER = """Hello Ada,

your order A-1042 (Gravel 54, blue) is with DHL and should reach you on Tuesday 1 December; \
from then on you have 30 days to send it back.

Your invoice R-2026-8841 is attached. Is there anything else I can do for you?"""
HOSTILE = (
    "<img src=x onerror=alert(1)> \u202emoc.kcitron \x1b[31mred\x1b[0m \ud83d hello 🚲"
)
SORTS: list[tuple[str, str, list[str], str | None, float, float | None]] = [
    (
        "answer",
        "agent",
        [
            ORDER,
            "Can I swap the saddle before it ships?",
            "Mein Rahmen hat einen Kratzer. Was nun?",
            "Is the Gravel 54 in stock in Utrecht?",
            "Do you ship to Norway, and what about customs?",
            "Please cancel order A-0991",
        ],
        "claude-sonnet-4-5",
        6500,
        0.013,
    ),
    (
        "summarise_thread",
        "chain",
        ["t-88121: 14 messages", "t-88090: 3 messages", "t-87944: 52 messages"],
        "gpt-5-mini",
        2100,
        0.0016,
    ),
    (
        "classify",
        "chat_model",
        [
            "“the brakes squeal since yesterday”",
            "“invoice missing”",
            "“wann kommt mein Rad?”",
        ],
        "gpt-5-nano",
        480,
        0.00009,
    ),
    (
        "search_catalogue",
        "retriever",
        [
            "gravel bike under 2000 EUR, size 54",
            "dynamo light 80 lux",
            "tubeless 700x40",
        ],
        "text-embedding-3-small",
        190,
        0.000001,
    ),
    ("nightly_report", "chain", ["2026-11-27"], "gpt-5", 48000, 0.41),
    (
        "translate_page",
        "llm",
        ["returns.md → de, fr, nl", "shipping.md → sv"],
        "mistral-large-3",
        5400,
        0.0088,
    ),
    ("price_check", "tool", ["GR-54-BL", "RD-52-BK"], None, 88, None),
]
ERRORS = [
    ("httpx.ConnectTimeout", "ledger.internal:8443 did not answer within 3.0 s"),
    ("openai.RateLimitError", "429: 3,000 requests a minute reached"),
    ("pydantic.ValidationError", "1 field of Order: price_eur: Field required"),
    ("TimeoutError", "no answer within 30 s"),
]
SEQUENCE = [0, 2, 0, 1, 0, 0, 2, 0, 0, 6, 1, 2, 0, 3, 4]
USERS = ["ada", "grace", "linus", "katherine", "edsger", "barbara", None]
STATUSES = {0: "running", 1: "running", 19: "cancelled", 28: "abandoned", 44: "lost"}
FAILED = {4, 9, 16, 23, 24, 37, 50}


def known(**values: Any) -> Row:
    """
    Leave out what is not known, as the store does.
    """
    return {key: value for key, value in values.items() if value is not None}


def sixty() -> list[Row]:
    """
    Make the sixty requests of the list, newest first.
    """
    chance = random.Random(20261128)
    rows, ago = [], 1200.0
    for i in range(60):
        rows.append(summary_row(i, ago, chance))
        ago += 2000 + chance.random() * chance.random() * 170_000
    return rows


def summary_row(i: int, ago: float, chance: random.Random) -> Row:
    """
    Make one row of the list, the *i*-th from the top.
    """
    name, kind, asked, model, base, price = SORTS[SEQUENCE[i % 15]]
    factor = 0.5 + chance.random() * chance.random() * 2.6
    status = STATUSES.get(i, "error" if i in FAILED else "ok")
    error = chance.choice(ERRORS) if i in FAILED else (None, None)
    running = status == "running"
    written = model and kind != "retriever" and i != 1
    row = known(
        key=1000 - i,
        trace_id=f"01a22283-{0xC700 + i:04x}-7b27-9dba-215758e06b{i:02x}",
        hex=f"01a22283{0xC700 + i:04x}7b279dba215758e06b{i:02x}",
        run_id=f"run-{i}",
        kind=kind,
        name=name,
        status=status,
        said=HOSTILE if i == 12 else asked[i % len(asked)],
        error_type=error[0],
        error_message=error[1],
        error_name="fetch_invoice" if error[0] else None,
        user="ada" if i in (0, 3, 4) else chance.choice(USERS),
        model=model,
        models=3 if i in (0, 3, 4) else 1,
        input_tokens=round(base * factor * 1.2 + 60) if model and i != 1 else None,
        output_tokens=round(base * factor * 0.06 + 8) if written else None,
        cost_usd=price * factor if price and i != 1 else None,
        unpriced=2 if i == 8 else None,
        started_ms=NOW_MS - ago,
        duration_ms=None if running else base * factor,
        first_token_ms=base * 0.3 if model else None,
        runs=12,
        errors=1 if status == "error" else 0,
        model_calls=3,
        tags=["web"] if name == "answer" else [],
    )
    if i == 3:
        row |= {
            "said": ORDER,
            "input_tokens": 12490,
            "output_tokens": 1102,
            "errors": 1,
        }
        row |= {"cost_usd": 0.0144, "duration_ms": 9310.0}
    if i == 14:
        row |= {"name": "ingest_handbook", "said": "handbook/: 40 files", "runs": 9961}
        row |= {
            "input_tokens": 2_384_000,
            "model": "gpt-5-mini",
            "duration_ms": 18_300.0,
        }
    return row


def support(request: Row, *, fine: bool) -> list[Row]:
    """
    Make the runs of one request of the support agent; *fine* ones fetch the invoice.
    """
    pace, model = (0.93, "gpt-5") if fine else (1.0, "claude-sonnet-4-5")
    late = 0 if fine else 2100
    runs: list[Row] = []

    def add(
        parent: str | None, name: str, kind: str, at: float, to: float, **more: Any
    ) -> str:
        run_id = f"{request['run_id']}-{name}" if parent else request["run_id"]
        runs.append(
            known(
                run_id=run_id,
                parent_run_id=parent,
                seq=len(runs),
                kind=kind,
                name=name,
                status=more.pop("status", "ok"),
                start_ms=at * pace,
                duration_ms=(to - at) * pace,
                tags=[],
                metadata={},
                events=[],
                started_ms=request["started_ms"] + at * pace,
                **more,
            )
        )
        return run_id

    answer = OTHER_ANSWER if fine else ANSWER
    root = add(
        None,
        "answer",
        "agent",
        0,
        7210 + late,
        inputs={"question": ORDER},
        outputs=answer,
    )
    plan = add(root, "plan", "chain", 12, 1640, outputs={"tools": 4})
    used = {"input_tokens": 1284, "output_tokens": 402, "cost_usd": 0.00113}
    add(
        plan,
        "choose_tools",
        "chat_model",
        24,
        1622,
        model="gpt-5-mini",
        text="",
        **used,
    )
    gather = add(
        root, "gather", "chain", 1655, 2620 + late, outputs={"failed": not fine}
    )
    order = {"order_id": "A-1042", "status": "shipped", "carrier": "DHL"}
    add(gather, "find_order", "tool", 1660, 2071, outputs=order)
    search = add(
        gather,
        "search_policies",
        "retriever",
        1661,
        1998,
        documents=[{"id": "returns"}],
    )
    embedded = {
        "model": "text-embedding-3-small",
        "input_tokens": 6,
        "cost_usd": 1.2e-7,
    }
    add(search, "embed_query", "embedding", 1664, 1790, **embedded)
    if fine:
        invoice = {"invoice": "R-2026-8841", "bytes": 48213}
        add(gather, "fetch_invoice", "tool", 1662, 2604, outputs=invoice)
    else:
        kind, message = ERRORS[0]
        error = {"type": kind, "message": message, "origin": True}
        failed: Row = {"error_type": kind, "error_message": message, "origin": True}
        add(
            gather,
            "fetch_invoice",
            "tool",
            1662,
            4712,
            status="error",
            error=error,
            **failed,
        )
    add(gather, "shipping_eta", "tool", 1663, 1841, outputs={"eta": "2026-12-01"})
    start = 2640 + late
    compose = add(
        root, "compose", "chain", start, start + 4540, outputs={"answer": "…"}
    )
    used = {"input_tokens": 9412, "output_tokens": 174 if fine else 212}
    used["cost_usd"] = 0.0214 if fine else 0.01184
    add(
        compose,
        "draft",
        "chat_model",
        start + 72,
        start + 3120,
        model=model,
        text=answer,
        **used,
    )
    if not fine:
        used = {"input_tokens": 1788, "output_tokens": 488, "cost_usd": 0.00142}
        note = "Customer asks for delivery date and invoice of A-1042."
        end = start + 4520
        add(
            compose,
            "note",
            "chat_model",
            start + 76,
            end,
            model="gpt-5-mini",
            text=note,
            **used,
        )
    return runs


UNITS = {"ms": 1, "s": 1000, "m": 60_000}


def word_fits(row: Row, word: str) -> bool:
    """
    Say whether one word of a filter fits a row.
    """
    if word.startswith("-"):
        return not word_fits(row, word[1:])
    if found := re.fullmatch(r"duration:>([\d.]+)(ms|s|m)", word):
        return float(row.get("duration_ms", 0)) > float(found[1]) * UNITS[found[2]]
    key, colon, value = word.partition(":")
    if not colon:
        return word.lower() in json.dumps(row).lower()
    if key not in ("status", "kind", "name", "user", "model"):
        raise ValueError(word)
    return value.strip('"').lower() in str(row.get(key, "")).lower()


def fitting(rows: list[Row], q: str) -> list[Row]:
    """
    Keep the rows that fit a filter.
    """
    words = re.findall(r'(?:[^\s"]|"[^"]*")+', q)
    return [row for row in rows if all(word_fits(row, word) for word in words)]


def counted(rows: list[Row], key: str) -> dict[str, int]:
    """
    Count rows by the value of a key.
    """
    values = [row[key] for row in rows]
    return {value: values.count(value) for value in values}


def quantile(values: list[float], share: float) -> float | None:
    """
    Give the value below which *share* of the values lie.
    """
    ordered = sorted(values)
    return (
        ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
    )


def sums(rows: list[Row], total: int) -> Row:
    """
    Sum up rows as the store does.
    """
    starts = [row["started_ms"] for row in rows]
    took = [row["duration_ms"] for row in rows if "duration_ms" in row]
    costs = [row["cost_usd"] for row in rows if "cost_usd" in row]
    oldest, newest = min(starts, default=0), max(starts, default=0)
    step = (newest - oldest + 1) / 48
    buckets = [
        {"start_ms": oldest + i * step, "requests": 0, "errors": 0} for i in range(48)
    ]
    for row in rows:
        bucket = buckets[int((row["started_ms"] - oldest) / step)]
        bucket["requests"] += 1
        bucket["errors"] += row["status"] == "error"
    return known(
        requests=len(rows),
        total=total,
        errors=sum(row["status"] == "error" for row in rows),
        running=sum(row["status"] == "running" for row in rows),
        median_ms=quantile(took, 0.5),
        p95_ms=quantile(took, 0.95),
        cost_usd=sum(costs) if costs else None,
        oldest_ms=oldest or None,
        newest_ms=newest or None,
        histogram=buckets if rows else [],
        by_kind=counted(rows, "kind"),
        by_status=counted(rows, "status"),
    )


def by_name(rows: list[Row]) -> list[Row]:
    """
    Sum up rows by kind, name and model.
    """
    groups: dict[tuple[str, str, str | None], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["kind"], row["name"], row.get("model")), []).append(row)
    table = []
    for (kind, name, model), members in groups.items():
        took = [row["duration_ms"] for row in members if "duration_ms" in row]
        first = [row["first_token_ms"] for row in members if "first_token_ms" in row]

        def added(key: str, members: list[Row] = members) -> float | None:
            values = [row[key] for row in members if key in row]
            return sum(values) if values else None

        table.append(
            known(
                kind=kind,
                name=name,
                model=model,
                runs=len(members),
                errors=sum(row["status"] == "error" for row in members),
                p50_ms=quantile(took, 0.5),
                p95_ms=quantile(took, 0.95),
                first_token_p50_ms=quantile(first, 0.5),
                total_ms=sum(took),
                input_tokens=added("input_tokens"),
                output_tokens=added("output_tokens"),
                cost_usd=added("cost_usd"),
            )
        )
    return table
