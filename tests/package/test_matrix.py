"""
The matrix of the rules: each rule in each mode is stated by a test.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MODES = ("sync", "async", "generator", "async generator")
RULES = {
    1: "inside a block its handlers hear every run below, once, in order",
    2: "after the block only outer handlers hear; requests never hear each other",
    3: "state is one ContextVar, restored at home and closed from elsewhere",
    4: "a run keeps its handlers; when the scope is taken",
    5: "tags and metadata",
    6: "nothing is left behind",
    7: "every start has one terminal event",
    8: "exceptions: origin, identity, traceback; cancelled; abandoned",
    9: "generators are as if undecorated",
    10: "threads",
    11: "the parent of a run",
    12: "one event per logical call",
    13: "a handler cannot break or change the call; raise_error",
    14: "sync and async handlers in sync and async code",
    15: "payloads are made for those who hear them",
    16: "secrets and redaction",
    17: "what a handler calls is muted",
}


def stated() -> dict[tuple[int, str], list[str]]:
    """
    Collect the ids of the tests that carry ``@pytest.mark.rule(number, *modes)``.
    """
    folder = Path(__file__).parents[1]
    command = [sys.executable, "-P", "-m", "pytest", "--collect-only", "-q", "-q"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", str(folder)],
        cwd=folder.parent,
        env={**os.environ, "INSTRUMENT_PRINT_RULES": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("RULES ")]
    cells: dict[tuple[int, str], list[str]] = {}
    for number, mode, test in json.loads(lines[0].removeprefix("RULES ")):
        cells.setdefault((number, mode), []).append(test)
    return cells


@pytest.mark.wide
def test_matrix_is_full() -> None:
    """
    Each rule is stated in each mode by a test.
    """
    cells = stated()

    wanted = {(rule, mode) for rule in RULES for mode in MODES}
    for rule, meaning in RULES.items():
        print(f"\nRule {rule}: {meaning}")  # noqa: T201
        for mode in MODES:
            tests = cells.get((rule, mode), ["EMPTY"])
            print(f"  {mode}: {', '.join(tests)}")  # noqa: T201
    assert set(cells) <= wanted, "a test states a rule or mode that is none"
    assert sorted(wanted - set(cells)) == []
