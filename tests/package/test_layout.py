"""
The walls of the package: who imports whom, how long things are, what lies around.
"""

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import instrument

PACKAGE = Path(instrument.__file__).parent
CHECKOUT = Path(__file__).parents[2]

# Lowest first. A module imports from the floors below its own; a name stands for a file
# or a room, and the modules inside one room may import each other, without a cycle. The
# command line and its demo stand above the root: they use the public names, as any
# program does.
FLOORS = [
    {"_tasks"},
    {"exceptions", "_forks", "_state", "_text"},
    {"_interrupts"},
    {"_ids", "_report"},  # ids are drawn anew in a forked child
    {"_callables", "_payloads"},
    {"_audience"},
    {"_delivery"},
    {"_runs", "handlers"},
    {"_scopes"},
    {"_relay"},  # below what carries a scope to where its events come from
    {"_traced", "propagation"},
    {"_hearing"},
    {"integrations"},
    {"viewer"},
    {"testing", "auto", "__init__"},
    {"_demo", "_pytest"},
    {"_cli"},
    {"cli"},
    {"__main__"},
]
FLOOR_OF = {name: level for level, names in enumerate(FLOORS) for name in names}

# What lies at the top of the package: a reader's first list of guesses.
ENTRIES = {
    "__init__.py",
    "__main__.py",
    "_audience",
    "_callables",
    "_cli",
    "_delivery",
    "_demo",
    "_forks.py",
    "_hearing",
    "_ids.py",
    "_interrupts.py",
    "_payloads",
    "_pytest.py",
    "_relay",
    "_report.py",
    "_runs",
    "_scopes",
    "_state.py",
    "_tasks.py",
    "_text.py",
    "_traced",
    "auto.py",
    "cli.py",
    "exceptions.py",
    "handlers",
    "integrations",
    "propagation.py",
    "py.typed",
    "testing.py",
    "viewer",
}

# A limit of 330 lines cut concepts into slices: three files for one class.
FILE_LINES_LIMIT = 500
FUNCTION_LINES_LIMIT = 40

NEVER_TRUE = {"TYPE_CHECKING", "typing.TYPE_CHECKING"}
TOP_LEVEL = {
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "examples",
    "instrument",
    "pyproject.toml",
    "tests",
}
MACHINE_PATH = re.compile(r"(?<![\w.:/}])/(?:root|work|home/\w+|Users/\w+)(?=/)")
LEFTOVER = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")

SOURCES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text("utf-8")) for name, path in SOURCES.items()}
every_module = pytest.mark.parametrize("module", list(SOURCES))

# What is imported first, besides the root and `exceptions`, which imports nothing: these
# wait where another thread is still importing the root, and never the root for them.
WHOLE_FIRST = {
    name
    for name in SOURCES
    if re.fullmatch(r"(auto|cli|propagation|testing|(handlers|viewer)\.__init__)", name)
    or re.fullmatch(r"integrations(\.[a-z]\w*)*(\.__init__)?", name)
}


def room_of(module: str) -> str:
    """
    Name the file or folder of the package that *module* is in; all `_traced*` are one.
    """
    room = module.partition(".")[0]
    return "_traced" if room.startswith("_traced") else room


def may_import(room: str, target: str) -> bool:
    """
    Tell whether the file or folder *room* may import from *target*.
    """
    if target == room:
        return True
    if room == "handlers":
        return FLOOR_OF.get(target, 0) <= FLOOR_OF["_delivery"]
    if room == "integrations" and target == "handlers":
        return False
    return FLOOR_OF.get(target, 0) < FLOOR_OF[room]


def imports_of(node: ast.AST, module: str) -> Iterator[str]:
    """
    Yield the modules of the package that *module* imports when it runs, at any depth.
    """
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) in NEVER_TRUE:
            yield from imports_of(ast.Module(child.orelse, []), module)
        elif isinstance(child, ast.Import):
            yield from filter(None, (own_module(alias.name) for alias in child.names))
        elif isinstance(child, ast.ImportFrom):
            yield from imported_from(child, module)
        else:
            yield from imports_of(child, module)


def imported_from(node: ast.ImportFrom, module: str) -> Iterator[str]:
    """
    Yield what a ``from ... import`` loads: submodules where the names are such.
    """
    package = ["instrument", *module.split(".")][: -node.level or None]
    base = ".".join([*(package if node.level else []), *filter(None, [node.module])])
    if own_module(base) is None:
        return

    for alias in node.names:
        found = own_module(f"{base}.{alias.name}", or_none=True) or own_module(base)
        assert found is not None
        yield found


def own_module(name: str, *, or_none: bool = False) -> str | None:
    """
    Find the key in SOURCES of the module called *name*; None for foreign ones.
    """
    parts = name.split(".")
    if parts[0] != "instrument":
        return None

    inner = ".".join(parts[1:])
    for key in (inner, f"{inner}.__init__".lstrip(".")):
        if key in SOURCES:
            return key
    assert or_none, f"{name} is imported and does not exist"
    return None


def code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """
    Count the lines of a function, decorators and its docstring left out.
    """
    assert node.end_lineno is not None
    lines = node.end_lineno - node.lineno + 1
    if ast.get_docstring(node) is None:
        return lines

    docstring = node.body[0]
    assert docstring.end_lineno is not None
    return lines - (docstring.end_lineno - docstring.lineno + 1)


def repository_files() -> list[Path]:
    """
    List what is tracked, or would be, relative to the checkout, but for environments
    that somebody made in it; skip without one.
    """
    git = shutil.which("git")
    if git is None or not (CHECKOUT / ".git").exists():
        pytest.skip("not run from a checkout")

    command = [git, "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=True)
    paths = [Path(name) for name in done.stdout.decode().rstrip("\0").split("\0")]
    environments = {path.parent for path in paths if path.name == "pyvenv.cfg"}
    return [
        path
        for path in paths
        if (CHECKOUT / path).is_file() and environments.isdisjoint(path.parents)
    ]


def text_of(path: Path) -> str:
    """
    Read *path*; a binary file has no text.
    """
    content = path.read_bytes()
    return "" if b"\0" in content else content.decode()


@every_module
def test_imports_point_down(module: str) -> None:
    """
    A module imports only from floors below its own, also inside functions.
    """
    room = room_of(module)
    assert room in FLOOR_OF, f"{module} has no floor: give it one in FLOORS"

    wrong = {
        target
        for target in imports_of(TREES[module], module)
        if not may_import(room, room_of(target))
        and not (target == "__init__" and module in WHOLE_FIRST)
    }

    assert not wrong


@pytest.mark.parametrize("module", sorted(WHOLE_FIRST))
def test_root_is_whole_first(module: str) -> None:
    """
    What users import first asks for the root before anything else of ours. Python has it
    wait for the package that it is in only where it is the first of that to be imported.
    """
    tree = TREES[module]
    imported = [
        ast.unparse(node)
        for node in tree.body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        and "instrument" in ast.unparse(node)
    ]

    assert imported == [] or re.match(
        r"import instrument$|from instrument import ", imported[0]
    )


def test_no_cycle_of_imports() -> None:
    """
    No module imports itself through others, also inside functions, when it runs.
    """
    left = {name: set(imports_of(tree, name)) for name, tree in TREES.items()}

    while leaves := {name for name, targets in left.items() if not targets & set(left)}:
        left = {name: targets for name, targets in left.items() if name not in leaves}

    assert left == {}


def test_entries() -> None:
    """
    The top of the package holds 30 entries, each with a name that says what is in it.
    """
    found = {path.name for path in PACKAGE.iterdir()} - {"__pycache__"}

    assert found == ENTRIES
    assert len(ENTRIES) == 30


@every_module
def test_files_are_short(module: str) -> None:
    """
    A file is at most 500 lines long: one whole concept.
    """
    assert len(SOURCES[module].read_text("utf-8").splitlines()) <= FILE_LINES_LIMIT


ASKS = re.compile(r"hasattr\(type\(|\btype\([\w.]+\) (?:not )?in\b")


@every_module
def test_no_metaclass_is_asked(module: str) -> None:
    """
    Whether a class has something, or is one of several, is told without its metaclass:
    ``hasattr`` and ``in`` run code of that. A handler's payloads are plain by then.
    """
    source = SOURCES[module].read_text("utf-8")

    assert module.startswith("handlers") or not ASKS.search(
        source.replace("id(type(", "id((")
    )


@every_module
def test_functions_are_short(module: str) -> None:
    """
    A function is at most 40 lines long, its docstring not counted.
    """
    long = {
        node.name: code_lines(node)
        for node in ast.walk(TREES[module])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and code_lines(node) > FUNCTION_LINES_LIMIT
    }

    assert not long


@every_module
def test_docstrings(module: str) -> None:
    """
    Modules have a docstring; in public ones public classes and functions have too.
    """
    tree = TREES[module]
    private = re.match("_[^_]", module)
    documented = [tree] + [
        node
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not (private or node.name.startswith("_"))
    ]

    bare = [
        getattr(node, "name", module)
        for node in documented
        if not ast.get_docstring(node)
    ]

    assert not bare


def test_top_level() -> None:
    """
    The top of the repository holds what the design lists, and dotfiles.
    """
    found = {path.parts[0] for path in repository_files()}

    assert {name for name in found if name[0] != "."} - TOP_LEVEL == set()


def test_no_leftovers() -> None:
    """
    No file names a path of somebody's machine or leaves work for later.
    """
    found = [
        f"{path}:{number}: {line.strip()}"
        for path in repository_files()
        for number, line in enumerate(text_of(CHECKOUT / path).splitlines(), 1)
        if MACHINE_PATH.search(line) or LEFTOVER.search(line)
    ]

    assert found == []
