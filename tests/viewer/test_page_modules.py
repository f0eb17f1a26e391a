"""
How the page is written: no framework and no build, so that its modules can be joined into
one file, and text that never becomes HTML.
"""

import re
from collections import Counter
from pathlib import Path

import pytest

import instrument

PAGE = Path(instrument.__file__).parent / "viewer" / "page"
MODULES = sorted(PAGE.glob("*.js"))
LINES_LIMIT = 500
COLUMNS_LIMIT = 100
IMPORT = re.compile(r'^import \{[\w\s,]+\} from "\./(\w+\.js)";$', re.MULTILINE)
TOP_LEVEL = re.compile(
    r"^(?:export )?(?:async )?(?:function\*?|class|const|let) (\w+)|^(?:export )?const \{(.+)\} =",
    re.MULTILINE,
)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.name))
def test_module_is_short(module: Path) -> None:
    """
    A module of the page is one concept that can be read.
    """
    lines = module.read_text("utf-8").splitlines()

    assert len(lines) <= LINES_LIMIT
    assert [line for line in lines if len(line) > COLUMNS_LIMIT] == []


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.name))
def test_module_can_be_joined(module: Path) -> None:
    """
    Imports and exports are of the one form that joining the modules strips.
    """
    text = module.read_text("utf-8")
    imported = re.findall(r"^import\b", text, re.MULTILINE)

    assert len(imported) == len(IMPORT.findall(text))
    assert not re.search(r"\bimport\(|^export (default|\{|\*)", text, re.MULTILINE)
    assert {*IMPORT.findall(text)} <= {path.name for path in MODULES}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.name))
def test_text_stays_text(module: Path) -> None:
    """
    Nothing parses HTML or code, and no style stands in an attribute.
    """
    text = module.read_text("utf-8")
    parsing = "innerHTML|outerHTML|insertAdjacentHTML|DOMParser|document.write|eval\\(|Function\\("

    assert not re.search(parsing, text)
    assert 'setAttribute("style"' not in text
    assert "https://" not in text


def test_names_are_of_one_module() -> None:
    """
    No name is used on the top level of two modules: joined, they are one.
    """
    names = Counter(
        name
        for module in MODULES
        for found in TOP_LEVEL.findall(module.read_text("utf-8"))
        for name in (found[0], *re.findall(r"\w+", found[1]))
        if name
    )

    assert [name for name, times in names.items() if times > 1] == []


def test_modules_do_not_import_in_a_circle() -> None:
    """
    Modules can be put in an order in which each comes after what it imports.
    """
    needs = {
        path.name: set(IMPORT.findall(path.read_text("utf-8"))) for path in MODULES
    }
    placed: set[str] = set()
    while (
        ready := {name for name, needed in needs.items() if needed <= placed} - placed
    ):
        placed |= ready

    assert set(needs) - placed == set()
