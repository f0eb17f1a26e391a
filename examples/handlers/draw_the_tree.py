"""
How do I make a picture of the tree that TreeHandler leaves in a terminal?
"""

import io
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from xml.sax.saxutils import escape

from rich.console import Console
from rich.text import Text

from instrument import callbacks, current_run, traced
from instrument.handlers import TreeHandler
from instrument.testing import predictable


@traced.retriever
def find(question: str) -> str:
    return "Cats sleep 14 hours a day."


@traced.tool
def ask_the_cat(question: str) -> str:
    raise TimeoutError("asleep")


@traced.chat_model(model="fake-vet-1")
def model(question: str, facts: str) -> Iterator[str]:
    yield from ("14 ", "hours.")
    current_run().record_usage(input_tokens=21, output_tokens=4, cost_usd=0.0002)


@traced.agent
def answer(question: str) -> str:
    with suppress(TimeoutError):
        ask_the_cat(question)
    return "".join(model(question, find(question)))


os.environ |= {"FORCE_COLOR": "1", "COLUMNS": "92"}
with predictable(), callbacks(TreeHandler(written := io.StringIO())):
    answer("How long do cats sleep?")
FILLS = {1: "#ff7b72", 2: "#3fb950", 5: "#d2a8ff"}  # red, green, magenta
PLAIN = ("#e6edf3", "#8b949e")
rows = Text.from_ansi(written.getvalue()).split("\n")
size = f'width="800" height="{16 + 22 * len(rows)}"'
svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n<rect {size} rx="8" fill="#0d1117"/>\n'
svg += '<g font-family="monospace" font-size="14" xml:space="preserve">\n'
for number, row in enumerate(rows, 1):
    svg += f'<text x="16" y="{6 + 22 * number}">'
    for text, style, _ in row.render(Console()):
        fill = FILLS[style.color.number] if style.color else PLAIN[bool(style.dim)]
        svg += f'<tspan fill="{fill}">{escape(text)}</tspan>'
    svg += "</text>\n"
Path("tree.svg").write_text(f"{svg}</g></svg>\n", "utf-8")
print("tree.svg:", svg.count("</text>"), "rows")
#> tree.svg: 6 rows
