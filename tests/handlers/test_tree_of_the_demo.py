"""
``python -m instrument demo`` on a terminal.
"""

import sys
from typing import Any

import pytest

from instrument import cli

QUESTION = "How does a task wait for a queue?"

pytest.importorskip("rich")


@pytest.mark.parametrize("options, is_tree", [([], True), (["--lines"], False)])
def test_demo_on_a_terminal(
    screen: Any, monkeypatch: pytest.MonkeyPatch, options: list[str], is_tree: bool
) -> None:
    """
    On a terminal the runs are a tree below the text, unless lines are asked for.
    """
    monkeypatch.setattr(sys, "stdout", screen.file)

    cli.main(["demo", QUESTION, *options])

    rows = [row.rstrip() for row in screen.rows()]
    agent = next(row for row in rows if "agent answer" in row)
    assert rows[0] == f"Question: {QUESTION}"
    assert agent.startswith("> agent") != is_tree
    if is_tree:
        assert rows[rows.index(agent) - 1] == ""
        assert "└─ ✓ chat_model write  toy-trigrams, " in "".join(rows)
    assert b"\x1b[1mpython -m instrument run your_program.py\x1b[m" in screen.read()


def test_demo_without_rich(screen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where rich is not installed the runs are lines.
    """
    monkeypatch.setattr(sys, "stdout", screen.file)
    monkeypatch.setattr("instrument._demo.find_spec", lambda name: None)

    cli.main(["demo", QUESTION])

    assert "> agent answer" in screen.text()
