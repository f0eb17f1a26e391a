"""
Write the guide's table of SDKs, from what calls of the fake provider make heard.

``python tests/integrations/table.py`` prints it; test_table.py holds the guide to it.
"""

import sys
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from instrument import auto, callbacks, wrap
from instrument.testing import Recorder

sys.path.append(str(Path(__file__).parent))  # tests/ is no package

HEAD = ["SDK", "version", "automatic", "wrapped", "tokens", "usage"]
SHORT = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_read_tokens": "cached",
    "cache_write_tokens": "written to cache",
    "reasoning_tokens": "reasoning",
}


def table() -> list[list[str]]:
    """
    Give a row for each SDK that is installed.
    """
    sdks = import_module("sdks")
    auto.uninstall()
    rows = {}
    with import_module("provider").Provider() as provider:
        for sdk in sdks.SDKS:
            if sdk.calls and find_spec(sdk.module.partition(".")[0]):
                with sdks.closing(sdk.make(provider.url)) as client:
                    rows[sdk.distribution] = row(sdk, client)
    return [rows[name] for name in sorted(rows)]


def row(sdk: Any, client: Any) -> list[str]:
    """
    Call one SDK whole and in a stream, and say what was heard.
    """
    wrapped = heard(sdk, wrap(client))
    auto.install()
    try:
        automatic = heard(sdk, client)
    finally:
        auto.uninstall()
    best = wrapped or automatic
    tokens = any(event.event == "on_llm_new_token" for event in best)
    usage = [SHORT[name] for name in best[-1].run.usage.to_dict()] if best else []
    told = ["yes" if each else "no" for each in (automatic, wrapped, tokens)]
    number = ".".join(version(sdk.distribution).split(".")[:2])
    return [sdk.distribution, number, *told, ", ".join(usage)]


def heard(sdk: Any, client: Any) -> list[Any]:
    """
    Give the events of two calls.
    """
    recorder = Recorder()
    with callbacks(recorder):
        for name in ("stream", "chat"):
            result = sdk.calls[name](client)
            if "stream" in name:
                list(result)
    return recorder.events


def markdown(rows: list[list[str]]) -> str:
    """
    Write rows as Markdown.
    """
    lines = [HEAD, ["---"] * len(HEAD), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    print(markdown(table()))  # noqa: T201
