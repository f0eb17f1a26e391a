"""
What the package gives away: its public names, and what importing it costs.
"""

import ast
import inspect
import json
import pkgutil
import subprocess
import sys
import traceback
from importlib import import_module
from pathlib import Path

import pytest

import instrument

PACKAGE = Path(instrument.__file__).parent
SOURCES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

PUBLIC = {
    "AsyncCallbackHandler",
    "BaseCallbackHandler",
    "Event",
    "Handler",
    "Handlers",
    "Run",
    "Secret",
    "Usage",
    "__version__",
    "bind",
    "callbacks",
    "current_run",
    "emit",
    "traced",
    "wrap",
}

# What `import instrument` must not load. Milliseconds of CPU, cold: loguru 111, wrapt
# 100, asyncio 54, inspect (which dataclasses import) 12.
HEAVY = {
    "asyncio",
    "dataclasses",
    "inspect",
    "logging",
    "loguru",
    "psutil",
    "typing_extensions",
    "wrapt",
    "instrument.handlers",
    "instrument.integrations",
}
MODULES_LIMIT = 115


def literal_all(module: str) -> list[str] | None:
    """
    Read ``__all__`` from the source of *module*; None if it has none.
    """
    tree = ast.parse(SOURCES[module].read_text("utf-8"))
    found = None
    for node in ast.walk(tree):
        if "__all__" in (
            ast.unparse(target) for target in getattr(node, "targets", [])
        ):
            assert found is None, "__all__ is assigned twice"
            assert isinstance(node, ast.Assign)
            assert node in tree.body, "__all__ is assigned in a branch"
            found = list(ast.literal_eval(node.value))
        elif isinstance(node, ast.AugAssign):
            assert ast.unparse(node.target) != "__all__", "__all__ is extended"
    return found


def test_public_names() -> None:
    """
    The root exports exactly the designed names.
    """
    assert set(instrument.__all__) == PUBLIC


def test_public_names_are_not_modules() -> None:
    """
    No public name hides a module of the package.
    """
    modules = {found.name for found in pkgutil.iter_modules(instrument.__path__)}

    assert not modules.intersection(instrument.__all__)


@pytest.mark.parametrize("module", list(SOURCES))
def test_exports_resolve(module: str) -> None:
    """
    ``__all__`` is one literal without repetitions, and every name in it resolves.
    """
    exported = literal_all(module)
    if exported is None:
        assert module not in {"instrument.__init__", "instrument.handlers.__init__"}, (
            "__all__ is missing"
        )
        return

    imported = import_module(module.removesuffix(".__init__"))

    assert len(exported) == len(set(exported))
    assert exported == list(imported.__all__)
    assert [name for name in exported if not hasattr(imported, name)] == []


def test_import_loads_little() -> None:
    """
    ``import instrument`` needs the standard library alone, and little of that.
    """
    code = f"""if True:
        import sys
        sys.path.insert(0, {str(PACKAGE.parent)!r})
        before = set(sys.modules)
        import instrument
        print(__import__("json").dumps(sorted(set(sys.modules) - before)))
    """
    command = [sys.executable, "-I", "-S", "-c", code]
    done = subprocess.run(command, capture_output=True, check=True)
    loaded = json.loads(done.stdout)

    assert HEAVY.intersection(loaded) == set()
    assert len(loaded) <= MODULES_LIMIT, loaded


@pytest.mark.parametrize(
    "name", sorted(PUBLIC - {"__version__", "Handler", "Handlers"})
)
def test_public_names_have_docstrings(name: str) -> None:
    """
    What the root exports says what it is for.
    """
    assert inspect.getdoc(getattr(instrument, name))


def test_version_where_nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    On the path but not installed, the package says that its version is not known.
    """
    from importlib import metadata

    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.version("instrument-callbacks")

    assert instrument.__version__ == "0+unknown"


@pytest.mark.parametrize(
    "name, cure",
    [
        ("StdOutCallbackHandler", "from instrument.handlers import StdOutCallback"),
        ("Recorder", "from instrument.testing import Recorder"),
        ("ContextThreadPoolExecutor", "from instrument.propagation import Context"),
        ("trace", "Did you mean 'traced'?"),
        ("zzz", "no attribute 'zzz'. It has AsyncCallbackHandler, Base.*, wrap$"),
        ("_zzz", "no attribute '_zzz'$"),
    ],
)
def test_import_of_what_is_elsewhere(name: str, cure: str) -> None:
    """
    What is not in the root is refused with the line that imports it, if there is one.
    """
    with pytest.raises(ImportError, match=cure):
        exec(f"from instrument import {name}")
    with pytest.raises(AttributeError, match=cure) as refused:
        getattr(instrument, name)
    said = "".join(traceback.format_exception(refused.value))
    assert said.count("Did you mean") == cure.count("Did you mean")

    assert not hasattr(instrument, name)


IMPORTED_TOGETHER = """
import sys
from importlib import import_module
from threading import Barrier, Thread

def load(name):
    together.wait()
    loaded.append(import_module(name).__name__)

names, loaded = sys.argv[1:], []
together = Barrier(len(names))
sys.setswitchinterval(1e-5)
for thread in (threads := [Thread(target=load, args=[name]) for name in names]):
    thread.start()
for thread in threads:
    thread.join()
print(*sorted(loaded))
"""


USED = ["", ".auto", ".exceptions", ".handlers", ".integrations", ".propagation"]
USED = [f"instrument{name}" for name in [*USED, ".testing", ".viewer"]]
STORES = ["instrument.handlers._store", "instrument.viewer"]


@pytest.mark.parametrize("names", [USED, [STORES[0], *STORES, STORES[1]]])
def test_imports_in_several_threads_at_once(names: list[str]) -> None:
    """
    Whichever public modules several threads import first, at once, each has its own.

    What they race for is Python's locks of modules: of these ten, some meet. So the root
    imports none of them.
    """
    command = [sys.executable, "-c", IMPORTED_TOGETHER, *names]

    for _ in range(10):
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False
        )

        assert ended.stdout.split() == names, ended.stderr


def test_module_that_is_not_imported() -> None:
    """
    What is not imported with the package is refused with the line that imports it.
    """
    said = "no attribute 'handlers' until it is imported: import instrument.handlers"
    code = "import instrument; instrument.handlers.UsageHandler"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )

    assert said in result.stderr
