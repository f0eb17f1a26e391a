"""
How `auto` hears that a module has been imported: by a finder that nobody else notices.
"""

import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib import import_module, reload
from importlib.machinery import PathFinder, SourceFileLoader
from importlib.util import LazyLoader, find_spec, module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from instrument._hearing.imports import forget, when_imported

NAME = "awaited_module"


class Heard(list[ModuleType]):
    """
    The modules of whose import was told.
    """

    def names(self) -> list[str]:
        return [module.__name__ for module in self]


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    """
    Wait for a module that is on the path and has not been imported.
    """
    (tmp_path / f"{NAME}.py").write_text("here = __loader__, __spec__.loader")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    told = Heard()
    when_imported(NAME, told.append)
    yield told
    forget(NAME, told.append)
    sys.modules.pop(NAME, None)


def test_import_is_told(heard: Heard) -> None:
    """
    Who waits for a module is told when it has been executed, with the module itself.
    """
    module = import_module(NAME)
    import_module(NAME)

    assert heard == [module]


def test_import_is_told_again(heard: Heard) -> None:
    """
    That is also told when the module is reloaded, and when it is imported anew.
    """
    reload(import_module(NAME))
    del sys.modules[NAME]
    import_module(NAME)

    assert heard.names() == [NAME] * 3


def test_several_wait(heard: Heard) -> None:
    """
    Who waits no more is not told; the others are, and nobody twice.
    """
    more: list[str] = []

    def hear(module: ModuleType) -> None:
        more.append(module.__name__)

    when_imported(NAME, hear)
    when_imported(NAME, hear)
    forget(NAME, heard.append)

    import_module(NAME)
    forget(NAME, hear)

    assert (heard, more) == ([], [NAME])


def test_import_shows_no_loader_of_ours(heard: Heard) -> None:
    """
    A module finds its own loader in its place, while it is executed and after that.
    """
    module: Any = import_module(NAME)

    loaders = [*module.here, module.__loader__, module.__spec__.loader]
    assert [type(loader) for loader in loaders] == [SourceFileLoader] * 4


def test_found_and_not_imported(heard: Heard) -> None:
    """
    Who asks for the spec without an import gets a loader that passes as the file's.
    """
    spec = find_spec(NAME)

    assert spec is not None
    assert isinstance(spec.loader, SourceFileLoader)
    assert spec.loader.get_source(NAME) == "here = __loader__, __spec__.loader"
    assert heard == []


def test_import_that_fails(heard: Heard, tmp_path: Path) -> None:
    """
    A module that fails is not told; once it can be imported, it is.
    """
    file = tmp_path / f"{NAME}.py"
    whole = file.read_text()
    file.write_text("raise KeyError('not ready')")
    with pytest.raises(KeyError, match="not ready"):
        import_module(NAME)
    file.write_text(whole)

    import_module(NAME)

    assert heard.names() == [NAME]


def test_import_of_what_is_not_there(heard: Heard) -> None:
    """
    A module that is awaited and is not there is missed as any other.
    """
    when_imported("no_such_module", heard.append)

    with pytest.raises(ModuleNotFoundError, match="No module named 'no_such_module'"):
        import_module("no_such_module")
    forget("no_such_module", heard.append)


def test_namespace_package(heard: Heard, tmp_path: Path) -> None:
    """
    A namespace package has nothing that is executed: it is imported as ever.
    """
    (tmp_path / "awaited_namespace").mkdir()
    when_imported("awaited_namespace", heard.append)

    module = import_module("awaited_namespace")
    forget("awaited_namespace", heard.append)
    del sys.modules["awaited_namespace"]

    assert [*module.__path__] == [str(tmp_path / "awaited_namespace")]
    assert heard == []


def test_module_that_stands_for_another(heard: Heard, tmp_path: Path) -> None:
    """
    Of a module that puts something else into its place, that is told.
    """
    (tmp_path / f"{NAME}.py").write_text(
        "import sys, types; sys.modules[__name__] = types.ModuleType('other')"
    )

    import_module(NAME)

    assert heard.names() == ["other"]


def test_module_that_is_lazy(heard: Heard) -> None:
    """
    A module that is executed when it is first looked into is told then.
    """
    spec: Any = find_spec(NAME)
    spec.loader = LazyLoader(spec.loader)
    module = sys.modules[NAME] = module_from_spec(spec)
    spec.loader.exec_module(module)
    assert heard == []

    assert module.here

    assert heard == [module]


class Lazily(PathFinder):
    """
    Finds modules as Python does, to be executed when they are looked into.
    """

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> Any:
        spec = super().find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def test_finder_of_lazy_modules(heard: Heard) -> None:
    """
    So is one that another's finder makes lazy; nobody looks into it before.
    """
    sys.meta_path.insert(1, Lazily)
    module: Any = import_module(NAME)
    assert heard == []

    loader, spec_loader = module.here

    assert heard == [module]
    assert type(loader) is SourceFileLoader
    assert type(module.__spec__.loader) is type(spec_loader) is SourceFileLoader


def test_finder_of_another_kind(heard: Heard) -> None:
    """
    What is on `sys.meta_path` and finds nothing is passed over.
    """
    sys.meta_path.insert(1, object())  # type: ignore[arg-type]

    import_module(NAME)

    assert heard.names() == [NAME]


def test_threads_import_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Threads that import, wait and forget at once find all that they import, and each
    import is told once.
    """
    names = [f"awaited_{number}" for number in range(40)]
    for name, other in zip(names, reversed(names), strict=True):
        (tmp_path / f"{name}.py").write_text(f"def f():\n    import {other}")
    monkeypatch.syspath_prepend(tmp_path)
    told = Heard()
    failed: list[BaseException] = []
    done = threading.Event()

    def hear(module: Any) -> None:
        module.f()
        told.append(module)

    def imported() -> None:
        try:
            for name in names:
                import_module(name)
        except BaseException as exc:
            failed.append(exc)

    def switched() -> None:
        while not done.is_set():
            when_imported("awaited_for_a_while", hear)
            forget("awaited_for_a_while", hear)

    for name in names:
        when_imported(name, hear)
    importing = [threading.Thread(target=imported) for _ in range(4)]
    switching = threading.Thread(target=switched)
    for thread in (switching, *importing):
        thread.start()
    for thread in importing:
        thread.join()
    done.set()
    switching.join()
    for name in names:
        forget(name, hear)
        del sys.modules[name]

    assert failed == []
    assert sorted(told.names()) == sorted(names)


def test_uninstall_leaves_the_import_system() -> None:
    """
    `auto.uninstall` leaves the import system as it was, and `auto.unwatch` after it.
    """
    code = """if True:
        import sys
        before = list(sys.meta_path)
        from instrument import auto
        print(len(sys.meta_path) - len(before))
        auto.install()
        print(len(sys.meta_path) - len(before))
        if sys.version_info >= (3, 12):
            auto.watch("json.tool:main")
            auto.uninstall()
            assert sys.meta_path != before
            auto.unwatch("json.tool:main")
        auto.uninstall()
        print(sys.meta_path == before)
    """
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["1", "1", "True"]
