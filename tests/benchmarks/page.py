"""
What a large request costs the page in Chromium: to open, in elements, and to jump in.

``python tests/benchmarks/page.py`` prints a Markdown table, the bar beside each figure. It
needs ``playwright`` and Chromium.
"""

import shutil
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

if not __package__:  # run as a script
    sys.path.append(str(Path(__file__).parents[2]))
sys.path.append(str(Path(__file__).parents[1] / "viewer"))

_FRAME_MS = 1000 / 60
_JUMPS = """async () => {
  const scroll = document.querySelector(".left .scroll");
  const frame = () => new Promise(requestAnimationFrame);
  const took = [];
  for (let i = 0; i < 120; i++) {
    const before = await frame();
    scroll.scrollTop = Math.random() * scroll.scrollHeight;
    took.push((await frame()) - before);
  }
  return took;
}"""


def large(batches: int) -> Any:
    """
    Record a request of 250 runs a batch, in names that alternate so that nothing folds.
    """
    made = import_module("recording").Recording(f"{batches} batches")
    root = made.add(None, "chain", "ingest", 0, batches * 10)
    for i in range(batches):
        batch = made.add(root, "chain", "batch", i * 10, i * 10 + 9)
        for j in range(249):
            at = i * 10 + j * 0.03
            kind = "tool" if j % 7 else "chat_model"
            made.add(batch, kind, f"step_{j % 5}", at, at + 1, model="toy")
    made.fail(made.runs[-1], "ValueError", "the last", traceback="")
    return made.done()


def figures() -> Iterator[tuple[str, str, str]]:
    """
    Yield what was measured, the figure, and its bar.
    """
    sync_api = import_module("playwright.sync_api")
    server = import_module("recording").Recorded(large(40), large(400))
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        for batches, bar_s in ((40, 1), (400, 3)):
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(server.url + "page/dom.js")  # what the browser loads once is warm
            began = perf_counter()
            page.goto(f"{server.url}#/r/{batches} batches")
            page.wait_for_selector(".tree .rowx", timeout=60_000)
            took = perf_counter() - began
            runs = f"{batches * 250 + 1:,} runs"
            yield f"{runs}: until its rows are there", f"{took:.2f} s", f"{bar_s} s"
            page.fill(".tools input", "e")  # all of them, each a row
            jumps = page.evaluate(_JUMPS)
            elements = page.evaluate("document.querySelectorAll('*').length")
            yield f"{runs}, each a row: elements", f"{elements:,}", "1,200"
            frames = f"{median(jumps):.1f} ms, at most {max(jumps):.1f} ms"
            yield f"{runs}: a jump to anywhere", frames, f"{_FRAME_MS:.1f} ms"
            page.close()
        browser.close()
    server.end()


def main() -> None:
    """
    Print the table.
    """
    lines = ["| what | measured | bar |", "|---|---|---|"]
    lines += [f"| {what} | {figure} | {bar} |" for what, figure, bar in figures()]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
