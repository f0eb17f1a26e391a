"""
What the README, the guides and the docstrings show is what happens.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

import instrument
from instrument import handlers
from instrument._audience.listener import EVENTS
from instrument.cli import COMMANDS as COMMANDS_OF_OURS
from instrument.cli import main

pytest.importorskip("pytest_examples")
from pytest_examples import CodeExample, EvalExample, find_examples

CHECKOUT = Path(__file__).parents[2]
README = CHECKOUT / "README.md"
GUIDES = sorted(CHECKOUT.glob("examples/*/README.md"))
DOCUMENTS = [README, *GUIDES]
LINKED = [*DOCUMENTS, *sorted(CHECKOUT.glob(".github/*.md")), CHECKOUT / "CHANGELOG.md"]
TEXTS = {path: path.read_text("utf-8") for path in LINKED}
TEXT = TEXTS[README]
PACKAGE = Path(instrument.__file__).parent

COMMANDS = (
    'python -m pip install -e ".[rich]" && python -m instrument demo',
    'python -m pip install -e ".[test]" && python -m pytest',
)
FIRST_CODE_BEFORE_LINE = 25
FIRST_CODE_LINES_LIMIT = 12
README_LINES_LIMIT = 400
CODE_WIDTH = 88
DURATION = re.compile(r"\d+(\.\d+)? (us|ms|s)\b")
PRINTED = re.compile(r"^ *#> ?(.*)$", re.MULTILINE)
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def title(path: Path) -> str:
    """
    Name a document: README, or a guide by its folder.
    """
    return "README" if path == README else path.parent.name


def heading(example: CodeExample) -> str:
    """
    Name the section that *example* stands in, after its document.
    """
    above = TEXTS[example.path].splitlines()[: example.start_line]
    nearest = next(line for line in reversed(above) if re.match("#+ ", line))
    return f"{title(example.path)}: {nearest.strip('# ')}"


def guide(subject: str) -> str:
    """
    Give the text of the guide of *subject*.
    """
    return TEXTS[CHECKOUT / "examples" / subject / "README.md"]


def blocks(path: Path) -> list[tuple[str, str]]:
    """
    List the blocks of a document: what kind each is of, and what it holds.
    """
    return FENCED.findall(TEXTS[path])


def anchors(path: Path) -> set[str]:
    """
    Give the anchors of a document's headings, as GitHub makes them.
    """
    lines = re.sub(r"^```.*?^```$", "", TEXTS[path], flags=FENCED.flags).splitlines()
    titles = [line.strip("# ").lower() for line in lines if line.startswith("#")]
    return {re.sub(r"[^\w-]", "", line.replace(" ", "-")) for line in titles}


def promised(example: CodeExample) -> list[str]:
    """
    List the lines that *example* says it prints: after ``#>``, then in a text block.
    """
    lines = PRINTED.findall(example.source)
    below = "\n".join(TEXTS[example.path].splitlines()[example.end_line :])
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
    name: list(examples)
    for path in DOCUMENTS
    for name, examples in groupby(find_examples(path), heading)
}
every_document = pytest.mark.parametrize("path", DOCUMENTS, ids=title)


@pytest.fixture(autouse=True)
def deaf_as_before() -> Iterator[None]:
    """
    Hear frameworks in the code, where it imports `instrument.auto`, and not behind it.
    """
    if (auto := sys.modules.get("instrument.auto")) is not None:  # as if it were anew
        auto.install()
    yield
    if (auto := sys.modules.get("instrument.auto")) is not None:
        auto.uninstall()


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """
    Take away what a guide's code has loguru write to: it is closed after the test.
    """
    yield
    logger.remove()
    logger.add(sys.stderr)


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


@every_document
def test_every_block_is_known(path: Path) -> None:
    """
    Blocks are code that is run, what it prints, or commands; each is of one kind.
    """
    kinds = {kind for kind, _ in blocks(path)}
    code = "".join(code for kind, code in blocks(path) if kind == "python")
    found = [e for examples in SECTIONS.values() for e in examples if e.path == path]

    assert max(map(len, code.splitlines()), default=0) <= CODE_WIDTH
    assert kinds <= {"python", "text", "console"}
    assert len(found) == TEXTS[path].count("```python\n")
    assert len(blocks(path)) * 2 == len(re.findall("^ *```", TEXTS[path], re.MULTILINE))


def test_code_for_sdks_is_run() -> None:
    """
    Sections that need a provider's SDK are named in the environment that has it.
    """
    settings = (CHECKOUT / "pyproject.toml").read_text("utf-8")
    sdks = [
        name
        for name, examples in SECTIONS.items()
        if any("import openai\n" in example.source for example in examples)
    ]

    assert len(sdks) >= 3
    assert [name for name in sdks if f"test_readme_code[{name}]" not in settings] == []


def test_headings_differ() -> None:
    """
    No two sections of a document have one name: code goes on within a section only.
    """
    names = [
        name for path in DOCUMENTS for name, _ in groupby(find_examples(path), heading)
    ]

    assert len(names) == len(set(names))


def test_first_screen() -> None:
    """
    README has 400 lines at most; its code comes before line 25, is at most 12 lines
    long, and its output follows.
    """
    first = next(iter(SECTIONS.values()))[0]
    code = [line for line in first.source.splitlines() if line.strip()]

    assert len(TEXT.splitlines()) <= README_LINES_LIMIT
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
    Commands of ours in the documents name commands and options that there are.
    """
    consoles = "\n".join(
        code for path in DOCUMENTS for kind, code in blocks(path) if kind == "console"
    )
    ours = re.findall(r"python -m instrument (.*)", consoles)
    used: dict[str, set[str]] = {}
    for line in ours:
        command, *words = line.split(".py")[0].split()  # the rest is a program's own
        used.setdefault(command, set()).update(it for it in words if it[:2] == "--")
    assert set(used) == set(COMMANDS_OF_OURS)
    for command, options in used.items():
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert options <= set(re.findall(r"--\w+", capsys.readouterr().out))


@pytest.mark.parametrize(
    "path", LINKED, ids=[str(path.relative_to(CHECKOUT)) for path in LINKED]
)
def test_links(path: Path) -> None:
    """
    Links lead to files and headings that exist, also in other documents.
    """
    targets = re.findall(r"\]\(([^)]+)\)", TEXTS[path])

    broken = []
    for target in (t for t in targets if "://" not in t):
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        headings = anchors(file) if anchor and file in TEXTS else {anchor}
        if not file.exists() or anchor not in headings:
            broken.append(target)
    assert broken == []


def test_guides() -> None:
    """
    README leads to each guide, and a guide to each script beside it.
    """
    unnamed = [
        path
        for path in sorted(CHECKOUT.glob("examples/*/*.py"))
        if f"]({path.name})" not in TEXTS[path.parent / "README.md"]
    ]

    assert len(GUIDES) == 17
    assert unnamed == []
    assert [p for p in GUIDES if f"](examples/{title(p)}/README.md" not in TEXT] == []


def test_names_of_events() -> None:
    """
    Every event that is named exists, and each that there is has its data described.
    """
    texts = "".join(TEXTS[path] for path in DOCUMENTS)
    named = set(re.findall(r"`(on_[a-z_]+)`", texts))
    described = set(re.findall(r"`(on_[a-z_]+)`", guide("records")))
    starts_and_ends = {event for event in EVENTS if event.endswith(("_start", "_end"))}

    assert named - set(EVENTS) - {"on_interrupt", "on_resume"} == set()
    assert starts_and_ends - described == set()


def test_names_of_handlers() -> None:
    """
    Every handler that comes with the package is in the README's table.
    """
    rows = "".join(line for line in TEXT.splitlines() if line.startswith("| "))

    assert [name for name in handlers.__all__ if name not in rows] == []


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
