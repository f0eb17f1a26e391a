"""
What the decorators of other libraries cost, as multiples of ours.

``python tests/benchmarks/peers.py [NAME ...]`` makes an environment for each in a
temporary folder (some do not go together), measures there, and prints a Markdown table;
``--write`` puts it and its picture into the guide. It needs a package index, 300 MB and
some five minutes; what it measures sends nothing.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import venv
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

if not __package__:  # run as a script
    sys.path.append(str(Path(__file__).parents[2]))

from tests.benchmarks import guide, picture

PART = "peers"
PICTURE = guide.GUIDE.with_name("peers.svg")

_CHECKOUT = Path(__file__).parents[2]
_MEASURING = Path(__file__).with_name("peer.py")
_IMPORTS = 9
_NOT_THEIRS = {"pip", "setuptools"}


@dataclass(frozen=True)
class Library:
    """
    What is installed, and imported, of a library.
    """

    requirement: str
    code: str

    @property
    def version(self) -> str:
        return self.requirement.partition("==")[2]


OURS = "instrument"
LIBRARIES = {
    OURS: Library(str(_CHECKOUT), "from instrument import traced"),
    "opentelemetry-sdk": Library(
        "opentelemetry-sdk==1.45.2", "import opentelemetry.sdk.trace"
    ),
    "sentry-sdk": Library("sentry-sdk==2.75.0", "from sentry_sdk import trace"),
    "ddtrace": Library("ddtrace==4.16.0", "from ddtrace.trace import tracer"),
    "langsmith": Library("langsmith==0.15.1", "from langsmith import traceable"),
    "llama-index-instrumentation": Library(
        "llama-index-instrumentation==0.6.0",
        "from llama_index_instrumentation import get_dispatcher",
    ),
    "logfire": Library("logfire==5.4.0", "from logfire import instrument"),
    "langfuse": Library("langfuse==5.0.4", "from langfuse import observe"),
}
"""Pinned: figures of the guide are of these."""


@dataclass(frozen=True)
class Measured:
    """
    What one library costs, in yardsticks: calls of an empty wrapper in its process.

    Args:
        token: The next item of a traced generator; None where none is followed.
        import_ms: CPU over the bare interpreter.
        packages: How many are installed with it, itself too.
        size_mb: What all these take, without compiled bytecode.
        yardstick_us: One yardstick.
    """

    off: float
    on: float
    token: float | None
    import_ms: float
    packages: int
    size_mb: float
    yardstick_us: float


def measured(name: str, folder: Path) -> Measured:
    """
    Make an environment for a library in *folder*, and measure there.
    """
    library = LIBRARIES[name]
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    _run(python, "-m", "pip", "install", "--quiet", library.requirement)
    off = json.loads(_last_line(_run(python, "-I", str(_MEASURING), name, "off")))
    on = json.loads(_last_line(_run(python, "-I", str(_MEASURING), name, "on")))
    assert (off["heard"], on["heard"]) == (0, 10), (
        f"{name} was not switched: {off}, {on}"
    )
    packages, size_mb = _installed(python)
    return Measured(
        off["call"],
        on["call"],
        on["token"],
        _import_ms(python, library.code),
        packages,
        size_mb,
        on["yardstick_us"],
    )


def table(found: dict[str, Measured]) -> list[str]:
    """
    Write the lines of the table; ours is the first.
    """
    ours = found[OURS]
    off_us, on_us, token_us = (
        yardsticks * ours.yardstick_us
        for yardsticks in (ours.off, ours.on, ours.token or 0)
    )
    first = (
        f"| {OURS} | {off_us:.2f} us | {on_us:.1f} us | {token_us:.2f} us"
        f" | {ours.import_ms:.0f} ms | {ours.packages} | {ours.size_mb:.1f} MB |"
    )
    lines = [
        "| | off | on | a token | import | packages | size |",
        "|---|--:|--:|--:|--:|--:|--:|",
        first,
    ]
    for name, each in found.items():
        if name == OURS:
            continue
        token = _times(each.token, ours.token) if each.token and ours.token else "-"
        lines.append(
            f"| {name} {LIBRARIES[name].version} | {_times(each.off, ours.off)}"
            f" | {_times(each.on, ours.on)} | {token}"
            f" | {_times(each.import_ms, ours.import_ms)} | {each.packages}"
            f" | {each.size_mb:.1f} MB |"
        )
    return lines


def main() -> None:
    """
    Print the table, or write it and draw the picture.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("names", nargs="*", help="only these, and ours")
    parser.add_argument("--write", action="store_true", help="put it into the guide")
    asked = parser.parse_args()
    if asked.write and asked.names:
        parser.error("the guide wants all of them")

    names = [OURS, *asked.names] if asked.names else list(LIBRARIES)
    with TemporaryDirectory() as folder:
        found = {}
        for name in names:
            found[name] = measured(name, Path(folder, name))
            print(name, found[name], file=sys.stderr, flush=True)
    heading = (
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: Python {platform.python_version()},"
        f" {os.cpu_count()} cores, {platform.machine()}."
    )
    text = "\n".join([heading, "", *table(found)])
    print(text)
    if asked.write:
        guide.write(PART, text)
        PICTURE.write_text(picture.drawn(guide.rows(PART)), "utf-8")


def _times(theirs: float, ours: float) -> str:
    value = theirs / ours
    digits = 0 if value >= 9.5 else 1 if value >= 0.95 else 2
    return f"{value:.{digits}f} x"


def _run(*command: str) -> str:
    ours = ("PYTHON", "PIP_CONSTRAINT")  # what constrains our environments, not theirs
    env = {key: it for key, it in os.environ.items() if not key.startswith(ours)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
    return done.stdout


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]


def _import_ms(python: str, code: str) -> float:
    _run(python, "-I", "-c", code)  # writes the bytecode
    each = []
    for _ in range(_IMPORTS):
        bare_ms = _cpu_ms(python, "pass")
        each.append(_cpu_ms(python, code) - bare_ms)
    return median(each)


def _cpu_ms(python: str, code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _run(python, "-I", "-c", code)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    user_s = after.ru_utime - before.ru_utime
    return (user_s + after.ru_stime - before.ru_stime) * 1e3


def _installed(python: str) -> tuple[int, float]:
    """
    Count what is installed, and weigh it in megabytes.
    """
    listed = json.loads(_run(python, "-I", "-c", _LIST))
    theirs = {name: size for name, size in listed.items() if name not in _NOT_THEIRS}
    return len(theirs), sum(theirs.values()) / 1e6


_LIST = """
import importlib.metadata, json
sizes = {}
for each in importlib.metadata.distributions():
    files = [file.locate() for file in each.files or () if file.suffix != ".pyc"]
    sizes[each.name] = sum(file.stat().st_size for file in files if file.is_file())
print(json.dumps(sizes))
"""


if __name__ == "__main__":
    main()
