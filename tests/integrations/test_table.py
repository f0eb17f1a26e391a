"""
The guide's table of SDKs says what the SDKs of this environment do.
"""

import sys
from importlib import import_module
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "examples" / "providers" / "README.md"


def test_the_table() -> None:
    """
    Each row is what was heard of its SDK; the version is one that this was seen with.
    """
    if sys.version_info < (3, 12):
        pytest.skip("what is heard automatically needs Python 3.12")
    module = import_module("table")
    lines = GUIDE.read_text("utf-8").splitlines()
    if module.markdown([]).splitlines()[0] not in lines:
        pytest.skip("the guide has no table of SDKs")
    shown = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if line.startswith("|")
    ]

    rows = module.table()

    if not rows:
        pytest.skip("no SDK is installed")
    facts = {row[0]: row[2:] for row in shown}
    assert {row[0]: facts.get(row[0]) for row in rows} == {
        row[0]: row[2:] for row in rows
    }
