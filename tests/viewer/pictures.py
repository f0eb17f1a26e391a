"""
Make the pictures of the page that the guide shows: ``python tests/viewer/pictures.py``.

It needs playwright and Chromium, and looks best with the fonts that are named first in
``style.css``. The data is that of the tests.
"""

import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))  # tests/ is no package
FOLDER = Path(__file__).parents[2] / "examples" / "viewer"
SIZE = {"width": 1200, "height": 720}


def main() -> None:
    """
    Look at the list and at one request, and keep what is seen.
    """
    from playwright.sync_api import sync_playwright

    made: Any = import_module("recorded")
    recording: Any = import_module("recording")
    canned: Any = import_module("canned_page")
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox"]
        )
        request = recording.Recorded(made.support_agent())
        keep(browser, canned.Canned(), "#/", "list.png", "light")
        keep(browser, request, "#/r/done", "request.png", "dark")
        browser.close()


def keep(browser: Any, server: Any, hash: str, name: str, scheme: str) -> None:
    """
    Write what is seen at *hash* into the folder of the guide.
    """
    context = browser.new_context(viewport=SIZE, color_scheme=scheme)
    page = context.new_page()
    page.clock.set_fixed_time(server.now_ms / 1000)
    page.goto(server.url + hash)
    page.wait_for_selector(".rowx")
    page.wait_for_timeout(500)
    page.screenshot(path=FOLDER / name)
    context.close()
    server.end()


if __name__ == "__main__":
    main()
