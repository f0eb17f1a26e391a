"""
Count the instructions of the pairs in `rows`: the same on any machine, to one in a
hundred.

Callgrind runs a process of its own that does everything twice, a few times and more
often; the difference is the price of one. The process marks where a part begins by
`os.getppid`, before which callgrind writes down what it has counted since the last.
"""

import gc
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import Context
from pathlib import Path
from tempfile import TemporaryDirectory

if not __package__:  # run as a script
    sys.path.append(str(Path(__file__).parents[2]))

from tests.benchmarks.measure import Figures, Pair, Side

_SUMMARY = re.compile(r"^summary: (\d+)", re.MULTILINE)
_PARTS = 3
"""Of each side: what is before, a few times, and many."""


def is_possible() -> bool:
    """
    Tell whether valgrind is installed.
    """
    return shutil.which("valgrind") is not None


def counted(names: list[str]) -> dict[str, Figures]:
    """
    Count one unit of each of `ROWS` that is named and is a pair.

    Returns:
        What ours and the floor take, by name; nothing where valgrind is not installed.
    """
    if not names or not is_possible():
        return {}

    with TemporaryDirectory() as folder:
        tool = ["valgrind", "--tool=callgrind", "--dump-before=getppid", "--quiet"]
        out = f"--callgrind-out-file={folder}/out"
        done = subprocess.run(
            [*tool, out, sys.executable, __file__, *names],
            env={**os.environ, "PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        numbers = range(1, 2 * _PARTS * len(names) + 1)
        parts = [_instructions(Path(folder, f"out.{number}")) for number in numbers]
    units = [int(more) for more in done.stdout.split()]
    each = [
        (parts[_PARTS * at + 2] - parts[_PARTS * at + 1]) / more
        for at, more in enumerate(units)
    ]
    pairs = zip(each[::2], each[1::2], strict=True)
    return {name: Figures([pair]) for name, pair in zip(names, pairs, strict=True)}


def main(*names: str) -> None:
    """
    Do what is counted; print by how many units many are more than few.
    """
    from tests.benchmarks.rows import ROWS

    for name in names:
        make = ROWS[name].pair
        assert make is not None, name
        Context().run(_do, make)  # to set a variable costs more beside others


def _do(make: Callable[[], AbstractContextManager[Pair]]) -> None:
    with make() as pair:
        for side in (pair.ours, pair.floor):
            _count(side)


def _count(side: Side) -> None:
    side.work(side.many)
    gc.collect()
    gc.freeze()
    for number in (side.few, side.many):
        os.getppid()
        side.work(number)
    os.getppid()
    print(side.many - side.few)


def _instructions(file: Path) -> int:
    found = _SUMMARY.search(file.read_text("utf-8"))
    assert found is not None, file
    return int(found[1])


if __name__ == "__main__":
    main(*sys.argv[1:])
