"""
The examples answer a question each, and print what they say they print.
"""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"
EXAMPLES = sorted(FOLDER.glob("*/*.py"))
LINES_LIMIT = 60
Installed = Callable[[str], None]
PRINTED = re.compile(r"^ *#> ?(.*)$", re.MULTILINE)

every_example = pytest.mark.parametrize(
    "example", EXAMPLES, ids=[f"{p.parent.name}/{p.stem}" for p in EXAMPLES]
)


Ran = Callable[[Path], "tuple[subprocess.CompletedProcess[str], list[str]]"]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """
    Run each example once, for all that look at it; gives the names of what it left too.
    """

    @cache
    def once(example: Path) -> "tuple[subprocess.CompletedProcess[str], list[str]]":
        folder = tmp_path_factory.mktemp(example.stem)
        return run(example, folder), [it.name for it in folder.iterdir()]

    return once


def run(example: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """
    Run *example* as a script of its own, every warning an error.
    """
    shaping = ("FORCE_COLOR", "INSTRUMENT_DISABLED")
    inherited = {name: v for name, v in os.environ.items() if name not in shaping}
    return subprocess.run(
        [sys.executable, "-X", "utf8", "-W", "error", str(example)],
        cwd=folder,
        env=inherited,
        capture_output=True,
        encoding="utf-8",
        timeout=50,
        check=False,
    )


def test_there_are_examples() -> None:
    """
    The folders are found, and hold one file for each question.
    """
    assert len(EXAMPLES) == 33


@every_example
def test_example_prints(example: Path, ran: Ran, installed: Installed) -> None:
    """
    In a fresh interpreter an example prints the lines that stand behind ``#>``, and leaves
    nothing where it was started but what it names.
    """
    code = example.read_text("utf-8")
    installed(code)
    promised = PRINTED.findall(code)

    done, left = ran(example)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == promised
    assert [name for name in left if name not in code] == []


def test_examples_of_sdks_are_run() -> None:
    """
    Examples that need a provider's SDK are named in the environment that has it.
    """
    settings = (FOLDER.parent / "pyproject.toml").read_text("utf-8")
    sdks = [
        f"test_example_prints[{path.parent.name}/{path.stem}]"
        for path in EXAMPLES
        if "import openai\n" in path.read_text("utf-8")
    ]

    assert len(sdks) >= 3
    assert [name for name in sdks if name not in settings] == []


def test_picture_is_drawn(tmp_path: Path, installed: Installed) -> None:
    """
    The picture in the README is what its script draws, but for durations.
    """
    example = FOLDER / "handlers" / "draw_the_tree.py"
    installed(example.read_text("utf-8"))

    run(example, tmp_path)

    number = re.compile(r"[\d,.]+ (ms|s|tokens/s)\b")
    drawn = (tmp_path / "tree.svg").read_text("utf-8")
    kept = example.with_name("tree.svg").read_text("utf-8")
    assert number.sub("...", drawn) == number.sub("...", kept)


@every_example
def test_example_is_silent_on_stderr(
    example: Path, ran: Ran, installed: Installed
) -> None:
    """
    An example reports nothing, but for the one that shows a handler that fails.
    """
    installed(example.read_text("utf-8"))
    done, _ = ran(example)

    clumsy = example.stem == "write_a_handler"
    assert ("Clumsy failed at on_llm_end" in done.stderr) == clumsy
    assert clumsy or done.stderr == ""


@every_example
def test_example_is_short(example: Path) -> None:
    """
    An example is at most 60 lines long.
    """
    assert len(example.read_text("utf-8").splitlines()) <= LINES_LIMIT


@every_example
def test_example_asks_a_question(example: Path) -> None:
    """
    An example's docstring is one question.
    """
    docstring = ast.get_docstring(ast.parse(example.read_text("utf-8")))

    assert docstring is not None
    assert docstring.endswith("?")
    assert docstring.count("?") + docstring.count("\n") == 1
