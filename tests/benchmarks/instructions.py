"""
Count the instructions of what `ratios` measures: the same on any machine, to one in a
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
from pathlib import Path
from tempfile import TemporaryDirectory

if not __package__:  # run as a script
    sys.path.append(str(Path(__file__).parents[2]))

_WARM_UP = 1_000
_FEW, _MANY = 500, 1_500
_SUMMARY = re.compile(r"^summary: (\d+)", re.MULTILINE)


def counted(names: list[str]) -> dict[str, tuple[float, float]]:
    """
    Count one unit of each of `ratios.PAIRS` that is named.

    Returns:
        What ours and the floor take, by name; nothing where valgrind is not installed.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None or not names:
        return {}

    with TemporaryDirectory() as folder:
        tool = ["--tool=callgrind", "--dump-before=getppid", "--quiet"]
        out = f"--callgrind-out-file={folder}/out"
        subprocess.run(
            [valgrind, *tool, out, sys.executable, __file__, *names],
            env={**os.environ, "PYTHONHASHSEED": "0"},
            capture_output=True,
            check=True,
        )
        parts = [_instructions(Path(folder, f"out.{n}")) for n in _numbers(names)]
    each = [(parts[at + 2] - parts[at + 1]) / (_MANY - _FEW) for at in _starts(parts)]
    return dict(zip(names, zip(each[::2], each[1::2], strict=True), strict=True))


def main(*names: str) -> None:
    """
    Do what is counted.
    """
    from tests.benchmarks.ratios import PAIRS

    gc.collect()
    gc.freeze()
    for name in names:
        with PAIRS[name]() as pair:
            for work in (pair.ours, pair.floor):
                work(_WARM_UP)
                for number in (_FEW, _MANY):
                    os.getppid()
                    work(number)
                os.getppid()


def _numbers(names: list[str]) -> range:
    """
    Number the parts: for each of the two, what is before, a few times, and many.
    """
    return range(1, 6 * len(names) + 1)


def _starts(parts: list[int]) -> range:
    return range(0, len(parts), 3)


def _instructions(file: Path) -> int:
    found = _SUMMARY.search(file.read_text("utf-8"))
    assert found is not None, file
    return int(found[1])


if __name__ == "__main__":
    main(*sys.argv[1:])
