"""
Compare what environments hold with the versions of pyproject.toml's tried-* groups.

    newer.py           print what every environment of tests is to have, as constraints
    newer.py FOLDER    print what the environments in FOLDER have else, each by its name
"""

import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

PROJECT = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
GROUPS = PROJECT["dependency-groups"]
ENVIRONMENTS = PROJECT["tool"]["tox"]["env"]


def tried(group: str) -> Iterator[str]:
    """
    Give the requirements of a group, those of groups in it first.
    """
    for each in GROUPS[group]:
        if isinstance(each, str):
            yield each
        else:
            yield from tried(each["include-group"])


def group_of(environment: str) -> str:
    """
    Give the group that tox installs; what is no environment of tox's has the tests'.
    """
    table = ENVIRONMENTS.get(environment, {})
    if "dependency_groups" in table:
        return str(table["dependency_groups"][0])
    return group_of(table["base"][0]) if "base" in table else "tried-test"


def differences(folder: Path) -> dict[str, list[str]]:
    """
    Find the environments in *folder* by each version that is not the tried one.
    """
    found: dict[str, list[str]] = {}
    packages = "lib/python*/site-packages"
    for path in [*folder.glob(f"*/{packages}"), *folder.glob(f"tox/*/{packages}")]:
        environment = path.parents[2].name
        there = {
            it.name.lower().replace("_", "-"): it.version
            for it in distributions(path=[str(path)])
        }
        for requirement in tried(group_of(environment)):
            name, _, version = requirement.partition("==")
            if there.get(name, version) != version:
                change = f"{name} {version} -> {there[name]}"
                found.setdefault(change, []).append(environment)
    return found


if len(sys.argv) == 1:
    print(*tried("tried-test"), sep="\n")
else:
    changes = differences(Path(sys.argv[1]))
    for change, where in sorted(changes.items()):
        print(f"{change} ({', '.join(where)})")
    print(f"{len(changes)} versions are not those that were tried")
