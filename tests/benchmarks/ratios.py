"""
What the library costs, and what it may: the limits it keeps, as a Markdown table.

``python tests/benchmarks/ratios.py [WORD]`` prints all rows, or those with WORD in
their name: instructions, which are judged, where valgrind is installed; and CPU time
beside them, for which it wants a quiet machine for some minutes.

``--with PYTHON``, which may be given many times, has other interpreters add what this
one cannot measure, an SDK that is not installed, and a column of their own version.
``--write`` puts the table into the guide.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

if not __package__:  # run as a script
    sys.path.append(str(Path(__file__).parents[2]))

from tests.benchmarks import guide, instructions
from tests.benchmarks.measure import Figures, Row
from tests.benchmarks.rows import ROWS

PART = "ratios"


@dataclass
class Measured:
    """
    What was measured on one version of Python, by the names of rows.

    Args:
        judged: Instructions of those that are counted; else what has the bar.
        cpu: Microseconds of CPU time beside the instructions.
    """

    version: str
    judged: dict[str, Figures] = field(default_factory=dict)
    cpu: dict[str, Figures] = field(default_factory=dict)

    @property
    def column(self) -> str:
        return self.version.rpartition(".")[0]

    def add(self, other: "Measured") -> None:
        """
        Take what *other* has and this has not.
        """
        self.judged = {**other.judged, **self.judged}
        self.cpu = {**other.cpu, **self.cpu}


def can_measure(row: Row) -> bool:
    """
    Tell whether *row* can be measured by this interpreter.
    """
    is_there = not row.needs or find_spec(row.needs) is not None
    return is_there and sys.version_info[:2] >= row.since


def measured(names: list[str], *, with_cpu: bool = True) -> Measured:
    """
    Measure those of the named rows that this interpreter can.
    """
    rows = {name: ROWS[name] for name in names if can_measure(ROWS[name])}
    pairs = {name: row.pair for name, row in rows.items() if row.pair is not None}
    found = Measured(platform.python_version(), instructions.counted(list(pairs)))
    for name, make in pairs.items() if with_cpu else ():
        with make() as pair:
            found.cpu[name] = pair.cpu()
    for name, row in rows.items():
        if row.measure is not None:
            found.judged[name] = row.measure()
    return found


def measured_by(python: str, names: list[str], *, with_cpu: bool) -> Measured:
    """
    Have another interpreter measure.
    """
    command = [python, __file__, "--json", json.dumps([names, with_cpu])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    version, *parts = json.loads(done.stdout)
    judged, cpu = ({name: Figures(x) for name, x in part.items()} for part in parts)
    return Measured(version, judged, cpu)


def everywhere(names: list[str], pythons: list[str]) -> list[Measured]:
    """
    Measure here and by *pythons*, each row once on each version.
    """
    found = [measured(names)]
    for python in pythons:
        version = subprocess.run(
            [python, "-c", "import platform; print(platform.python_version())"],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout.strip()
        same = next((each for each in found if each.version == version), None)
        if same is None:
            found.append(same := Measured(version))
        missing = [name for name in names if name not in same.judged]
        same.add(measured_by(python, missing, with_cpu=same is found[0]))
    return found


def table(names: list[str], found: list[Measured]) -> list[str]:
    """
    Write the lines of the table.
    """
    columns = " | ".join(each.column for each in found)
    head = f"| what | bar | {columns} | instructions | floor | CPU us | floor |"
    rule = f"|---|--:|{'--:|' * len(found)}--:|--:|--:|--:|"
    return [head, rule, *(_line(name, found) for name in names)]


def _line(name: str, found: list[Measured]) -> str:
    row = ROWS[name]
    bar = "" if row.bar is None else row.shown(row.bar)
    cells = [_cell(row, each.judged.get(name)) for each in found]
    first = next((each for each in found if name in each.judged), found[0])
    counted = first.judged.get(name) if row.pair else None
    timed = first.cpu.get(name) if row.pair else None
    if not row.pair and row.unit == "x":
        timed = first.judged.get(name)
    figures = [*_figures(counted, 0), *_figures(timed, 2)]
    return f"| {' | '.join([name, bar, *cells, *figures])} |"


def _cell(row: Row, figures: Figures | None) -> str:
    if figures is None:
        return "-"
    value = figures.judged(row.judge)
    if row.bar is None:
        return row.shown(value)
    shown = row.shown(value)
    return f"{shown}, met" if row.is_met(value) else f"**{shown}, missed**"


def _figures(figures: Figures | None, digits: int) -> list[str]:
    if figures is None:
        return ["", ""]
    return [f"{figures.ours:,.{digits}f}", f"{figures.floor:,.{digits}f}"]


def heading(found: list[Measured]) -> str:
    """
    Say when and where it was measured.
    """
    versions = ", ".join(each.version for each in found)
    bars = [
        ROWS[name].is_met(figures.judged(ROWS[name].judge))
        for each in found
        for name, figures in each.judged.items()
        if ROWS[name].bar is not None
    ]
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: Python {versions}, {os.cpu_count()}"
        f" cores, {platform.machine()}. {sum(bars)} of {len(bars)} bars are met."
    )


def main() -> None:
    """
    Print the table, or write it.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("word", nargs="?", default="", help="only rows that have it")
    parser.add_argument("--with", dest="pythons", action="append", default=[])
    parser.add_argument("--write", action="store_true", help="put it into the guide")
    parser.add_argument("--json", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.json is not None:
        names, with_cpu = json.loads(asked.json)
        _tell_parent(measured(names, with_cpu=with_cpu))
        return
    if asked.write and (asked.word or not instructions.is_possible()):
        parser.error("the guide wants all rows, and valgrind")

    names = [name for name in ROWS if asked.word in name]
    found = everywhere(names, asked.pythons)
    text = "\n".join([heading(found), "", *table(names, found)])
    print(text)
    if asked.write:
        guide.write(PART, text)


def _tell_parent(found: Measured) -> None:
    judged = {name: list(figures.pairs) for name, figures in found.judged.items()}
    cpu = {name: list(figures.pairs) for name, figures in found.cpu.items()}
    print(json.dumps([found.version, judged, cpu]))


if __name__ == "__main__":
    main()
