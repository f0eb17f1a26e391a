"""
The guide of speed, whose tables are printed by commands: each stands between
``<!-- name -->`` and ``<!-- /name -->``.
"""

import re
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "examples" / "speed" / "README.md"


def part(name: str) -> str:
    """
    Give what stands in the part *name*.
    """
    return _found(name, GUIDE.read_text("utf-8"))[2]


def rows(name: str) -> list[list[str]]:
    """
    Give the cells of the table in the part *name*, its head first.
    """
    lines = [line for line in part(name).splitlines() if line.startswith("| ")]
    return [cells(line) for line in lines]


def cells(line: str) -> list[str]:
    """
    Give the cells of a line of a table.
    """
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def write(name: str, text: str) -> None:
    """
    Put *text* in the place of the part *name*.
    """
    whole = GUIDE.read_text("utf-8")
    found = _found(name, whole)
    made = f"{found[1]}\n{text.strip()}\n{found[3]}"
    GUIDE.write_text(whole.replace(found[0], made), "utf-8")


def _found(name: str, text: str) -> re.Match[str]:
    opening, closing = re.escape(f"<!-- {name} -->"), re.escape(f"<!-- /{name} -->")
    found = re.search(f"({opening})(.*?)({closing})", text, re.DOTALL)
    assert found is not None, f"{GUIDE.name} has no part {name!r}"
    return found
