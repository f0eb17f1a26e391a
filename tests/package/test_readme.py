"""
What the README and the docstrings show is what happens.
"""

import ast
import re
import sys
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

import instrument
from instrument._audience.listener import EVENTS
from instrument.cli import COMMANDS as COMMANDS_OF_OURS
from instrument.cli import main

pytest.importorskip("pytest_examples")
from pytest_examples import CodeExample, EvalExample, find_examples

CHECKOUT = Path(__file__).parents[2]
README = CHECKOUT / "README.md"
TEXT = README.read_text("utf-8")
LINES = TEXT.splitlines()
PACKAGE = Path(instrument.__file__).parent

COMMANDS = (
    "python -m pip install -e . && python -m instrument demo",
    'python -m pip install -e ".[test]" && python -m pytest',
)
FIRST_CODE_BEFORE_LINE = 25
FIRST_CODE_LINES_LIMIT = 12
CODE_WIDTH = 88
DURATION = re.compile(r"\d+(\.\d+)? (us|ms|s)\b")
PRINTED = re.compile(r"^ *#> ?(.*)$", re.MULTILINE)
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def heading(example: CodeExample) -> str:
    """
    Name the section of the README that *example* stands in.
    """
    above = LINES[: example.start_line]
    return next(line for line in reversed(above) if re.match("#+ ", line)).strip("# ")


def section(name: str) -> str:
    """
    Give the text of a section of the README.
    """
    return TEXT.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def promised(example: CodeExample) -> list[str]:
    """
    List the lines that *example* says it prints: after ``#>``, then in a text block.
    """
    lines = PRINTED.findall(example.source)
    below = "\n".join(LINES[example.end_line :])
    follows = re.match(r"\s*```text\n(.*?)^```$", below, re.MULTILINE | re.DOTALL)
    return lines + (follows[1].splitlines() if follows else [])


def timeless(lines: list[str]) -> list[str]:
    """
    Leave durations out, and spaces at the ends: neither can be held to.
    """
    return [DURATION.sub("...", line).rstrip() for line in lines]


def ran(
    example: CodeExample, evaluator: EvalExample, known: dict[str, Any]
) -> dict[str, Any]:
    """
    Run *example* with the names *known* from above it; give those that it leaves.
    """
    try:
        return evaluator.run(example, module_globals=known)
    except Exception as exc:  # its traceback has been edited, and pytest chokes on it
        failure = f"{example}: {type(exc).__name__}: {exc}"
    pytest.fail(failure, pytrace=False)


SECTIONS = {
    name: list(examples) for name, examples in groupby(find_examples(README), heading)
}


@pytest.mark.parametrize("name", list(SECTIONS))
def test_readme_code(
    name: str,
    eval_example: EvalExample,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    installed: Callable[[str], None],
) -> None:
    """
    The code of a section runs from top to bottom and prints what it says it prints.
    """
    code = "\n".join(example.source for example in SECTIONS[name])
    installed(code)
    if "# Python 3.12\n" in code and sys.version_info < (3, 12):
        pytest.skip("needs Python 3.12")
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.chdir(tmp_path)
    for variable in ("FORCE_COLOR", "INSTRUMENT_DISABLED"):
        monkeypatch.delenv(variable, raising=False)
    known: dict[str, Any] = {}

    for example in SECTIONS[name]:
        known |= ran(example, eval_example, known)

        printed = capsys.readouterr()
        assert timeless(printed.out.splitlines()) == timeless(promised(example))
        assert printed.err == ""

    for test in [known[name] for name in known if name.startswith("test_")]:
        test(request.getfixturevalue("recorder"))


def test_every_block_is_known() -> None:
    """
    Blocks are code that is run, what it prints, or commands; each is of one kind.
    """
    kinds = {kind for kind, _ in FENCED.findall(TEXT)}
    code = "".join(code for kind, code in FENCED.findall(TEXT) if kind == "python")

    assert max(map(len, code.splitlines())) <= CODE_WIDTH
    assert kinds <= {"python", "text", "console"}
    assert sum(map(len, SECTIONS.values())) == TEXT.count("```python\n")


def test_first_screen() -> None:
    """
    Code comes before line 25, is at most 12 lines long, and its output follows.
    """
    first = next(iter(SECTIONS.values()))[0]
    code = [line for line in first.source.splitlines() if line.strip()]

    assert first.start_line < FIRST_CODE_BEFORE_LINE
    assert len(code) <= FIRST_CODE_LINES_LIMIT
    assert promised(first)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(command: str) -> None:
    """
    The two commands stand there word for word, each alone in its block.
    """
    assert f"```console\n{command}\n```" in TEXT


def test_console_options(capsys: pytest.CaptureFixture[str]) -> None:
    """
    Commands of ours in the README name commands and options that there are.
    """
    with pytest.raises(SystemExit):
        main(["demo", "--help"])
    offered = set(re.findall(r"--\w+", capsys.readouterr().out))

    consoles = "\n".join(
        code for kind, code in FENCED.findall(TEXT) if kind == "console"
    )
    ours = re.findall(r"python -m instrument (.*)", consoles)
    used = {option for line in ours for option in re.findall(r"--\w+", line)}

    assert len(ours) >= 4
    assert "demo" in {line.split()[0] for line in ours} <= set(COMMANDS_OF_OURS)
    assert used == {"--events", "--tree"}
    assert used <= offered


def test_readme_links() -> None:
    """
    Links lead to files and headings that exist.
    """
    targets = re.findall(r"\]\(([^)]+)\)", TEXT)
    anchors = {
        "#" + re.sub(r"[^\w-]", "", line.strip("# ").lower().replace(" ", "-"))
        for line in LINES
        if line.startswith("#")
    }

    local = [target for target in targets if "://" not in target]
    assert [t for t in local if t not in anchors and not (CHECKOUT / t).exists()] == []


def test_names_of_events() -> None:
    """
    Every event that is named exists, and each that there is has its data described.
    """
    named = set(re.findall(r"`(on_[a-z_]+)`", TEXT))
    described = set(re.findall(r"`(on_[a-z_]+)`", section("One native record")))
    starts_and_ends = {event for event in EVENTS if event.endswith(("_start", "_end"))}

    assert named - set(EVENTS) == set()
    assert starts_and_ends - described == set()


def test_speed_table() -> None:
    """
    What is over its bar is listed below the table.
    """
    text = section("Speed")
    rows = re.findall(r"^\| (.+?) \|.*\| (ok|\*\*over\*\*) \|$", text, re.MULTILINE)
    listed = re.findall(r"^- (.+): [\d.]+ times the floor", text, re.MULTILINE)

    assert len(rows) >= 12
    assert listed == [what for what, verdict in rows if verdict != "ok"]


def test_docstring_code(eval_example: EvalExample) -> None:
    """
    Code in docstrings runs; there is none in doctest's form, which nothing here runs.
    """
    for example in find_examples(PACKAGE):
        ran(example, eval_example, {})

    docstrings = [
        ast.get_docstring(node) or ""
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
    ]
    assert not any(
        line.strip().startswith(">>>") for d in docstrings for line in d.split("\n")
    )
