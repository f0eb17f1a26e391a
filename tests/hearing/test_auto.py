"""
``instrument.auto``: a framework is heard when the program imports it, before or after.
"""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from pkgutil import iter_modules
from textwrap import dedent
from types import ModuleType
from typing import Any

import pytest

from instrument import auto, integrations
from instrument._hearing.targets import ADAPTERS, Targets

ADAPTER = """
    DISTRIBUTION = "{name}"
    TESTED = ("1.0", "1.9")
    HOOK = "{name}.listeners"
    HEARS = ("calls",)

    def load():
        global {name}
        import {name}

    def install():
        {name}.listeners.append("ours")

    def uninstall():
        {name}.listeners.remove("ours")
"""


class Framework:
    """
    A package and its adapter, both in a folder on ``sys.path``.
    """

    def __init__(self, folder: Path) -> None:
        self.name = f"framework_{folder.name.replace('-', '_')}"
        self.adapter = f"{self.name}_adapter"
        self.folder = folder
        self.write(self.name, "listeners = []")
        self.write(self.adapter, ADAPTER.format(name=self.name))

    def write(self, module: str, code: str) -> None:
        """
        Write a module.
        """
        (self.folder / f"{module}.py").write_text(dedent(code))

    def have_version(self, version: str) -> None:
        """
        Make it known to `importlib.metadata`.
        """
        folder = self.folder / f"{self.name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Name: {self.name}\nVersion: {version}\n")

    def imported(self) -> Any:
        """
        Import it, as the program does.
        """
        return import_module(self.name)


@pytest.fixture
def framework(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Framework]:
    """
    Give a framework that is the only one that `auto` knows.
    """
    made = Framework(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(auto, "ADAPTERS", {made.name: made.adapter})
    for name in ("_awaited", "_installed", "_failed"):
        monkeypatch.setattr(auto, name, {})
    monkeypatch.setattr(auto, "_warned", set())
    monkeypatch.setattr(auto, "_on", False)
    monkeypatch.setattr(auto, "DISABLED", False)
    yield made
    auto.uninstall()


def test_framework_imported_before(framework: Framework) -> None:
    """
    A framework that is in use already is heard at once.
    """
    package = framework.imported()

    auto.install()

    assert package.listeners == ["ours"]


def test_framework_imported_after(framework: Framework) -> None:
    """
    A framework that the program imports later is heard from then on.
    """
    auto.install()
    assert framework.name not in sys.modules

    package = framework.imported()

    assert package.listeners == ["ours"]


def test_another_word_for_nested(framework: Framework) -> None:
    """
    What becomes of nested calls is one of two words.
    """
    with pytest.raises(ValueError, match="is 'merge' or 'child', not 'both'"):
        auto.install(nested="both")  # type: ignore[arg-type]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="it can be watched there")
def test_watch_before_3_12() -> None:
    """
    Where functions cannot be watched, that is said with the cure.
    """
    with pytest.raises(RuntimeError, match=r"needs Python 3\.12.*@traced"):
        auto.watch("json:loads")


def test_install_twice(framework: Framework) -> None:
    """
    Installing again changes nothing, whatever the framework's import lies between.
    """
    auto.install()
    auto.install()
    package = framework.imported()
    auto.install()

    assert package.listeners == ["ours"]


def test_uninstall(framework: Framework) -> None:
    """
    Uninstalling takes out what was put in; installing again puts it back.
    """
    package = framework.imported()

    auto.install()
    auto.uninstall()
    auto.uninstall()
    assert package.listeners == []

    auto.install()
    assert package.listeners == ["ours"]


def test_uninstall_before_the_import(framework: Framework) -> None:
    """
    What is uninstalled hears no framework that is imported later.
    """
    auto.install()
    auto.uninstall()

    assert framework.imported().listeners == []


def test_uninstall_while_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What is uninstalled just as a framework has been imported hears none of it.
    """
    loaded: list[str] = []
    monkeypatch.setattr(auto, "_load", loaded.append)

    auto.uninstall()
    auto._load_if_on("framework", None)

    assert loaded == []


def test_install_from_threads(framework: Framework) -> None:
    """
    Threads that install and uninstall at once leave at most one listener behind.
    """
    package = framework.imported()

    def hammer() -> None:
        for _ in range(200):
            auto.install()
            auto.uninstall()

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert package.listeners == []

    auto.install()
    assert package.listeners == ["ours"]


@pytest.mark.parametrize(
    "code", ["import missing_module", "raise SyntaxError('odd')", "install = None"]
)
def test_adapter_that_fails(
    framework: Framework, code: str, reports: list[str]
) -> None:
    """
    An adapter that fails is reported once, is told by `status`, and hurts nobody.
    """
    framework.write(framework.adapter, code)
    framework.have_version("1.5")
    auto.install()

    framework.imported()
    auto.install()

    (report,) = reports
    assert f"install failed at hearing {framework.adapter}" in report
    (status,) = auto.status()
    assert status.hears == ()
    assert status.why_not
    assert status.why_not in report


def test_adapter_that_is_mended(framework: Framework, reports: list[str]) -> None:
    """
    After `uninstall` an old failure is forgotten.
    """
    framework.write(framework.adapter, "raise KeyError")
    framework.imported()
    auto.install()
    auto.uninstall()

    framework.write(framework.adapter, ADAPTER.format(name=framework.name))
    import_module(framework.adapter)  # past the cache of its folder
    auto.install()

    assert len(reports) == 1
    assert framework.imported().listeners == ["ours"]
    assert auto.status()[0].why_not is None


@pytest.mark.parametrize(
    "version, untested",
    [
        ("0.9.7", "older"),
        ("1.0", None),
        ("1.5.3", None),
        ("1.9.1", None),
        ("1.10", "newer"),
        ("2.0rc1", "newer"),
        (None, None),
    ],
)
def test_version(
    framework: Framework,
    version: str | None,
    untested: str | None,
    reports: list[str],
) -> None:
    """
    A version that was never tested is heard; the status says so, and nobody else.
    """
    if version is not None:
        framework.have_version(version)
    package = framework.imported()

    auto.install()

    assert package.listeners == ["ours"]
    assert reports == []
    (status,) = auto.status()
    assert (status.package, status.tested) == (framework.name, ("1.0", "1.9"))
    assert status.untested == untested


@pytest.mark.parametrize("gone", [["m:C.one"], ["m:C.one", "m:two", "m:three"]])
@pytest.mark.parametrize("is_deaf", [False, True])
def test_version_that_lacks_a_hook(
    framework: Framework, gone: list[str], is_deaf: bool, reports: list[str]
) -> None:
    """
    What a version lacks is said once in the log, and in the status; where it has
    nothing of what is heard, nothing is.
    """
    framework.have_version("1.5")
    lacks = f"""
    def missing():
        return {gone}

    def is_deaf():
        return {is_deaf}
"""
    framework.write(framework.adapter, ADAPTER.format(name=framework.name) + lacks)
    framework.imported()

    auto.install()
    auto.uninstall()
    auto.install()

    said = "this version has no C.one" + (" and 2 more" if len(gone) > 1 else "")
    (report,) = reports
    assert report.startswith(
        f"instrument.auto does not hear all of {framework.name} 1.5: {said}. "
    )
    (status,) = auto.status()
    assert status.why_not == said
    assert status.hears == (() if is_deaf else ("calls",))


def test_status(framework: Framework) -> None:
    """
    The status says what is heard, through what, and of which version.
    """
    framework.have_version("1.5")
    framework.imported()
    auto.install()

    (status,) = auto.status()

    assert (status.framework, status.version) == (framework.adapter, "1.5")
    assert (status.hook, status.hears) == (f"{framework.name}.listeners", ("calls",))
    assert status.why_not is None
    assert repr(status) == f"<{framework.adapter} 1.5: calls>"


def test_status_of_silence(
    framework: Framework, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Where nothing is heard, the status says why.
    """
    reasons = [auto.status()[0].why_not]
    framework.have_version("1.5")
    reasons.append(auto.status()[0].why_not)
    auto.install()
    reasons.append(auto.status()[0].why_not)
    monkeypatch.setattr(auto, "DISABLED", True)
    reasons.append(auto.status()[0].why_not)

    assert reasons == [
        "not installed",
        "auto.uninstall() was called",
        f"{framework.name} has not been imported yet",
        "INSTRUMENT_DISABLED is set",
    ]
    why = "nothing: INSTRUMENT_DISABLED is set"
    assert repr(auto.status()[0]) == f"<{framework.adapter} 1.5: {why}>"


def test_status_importing(framework: Framework) -> None:
    """
    Asked to import what is installed, the status tells what is heard then.
    """
    framework.have_version("1.5")
    auto.install()

    (status,) = auto.status(importing=True)

    assert status.hears == ("calls",)


def test_status_of_a_broken_framework(framework: Framework) -> None:
    """
    A framework that is installed and cannot be imported is told with its error.
    """
    framework.have_version("1.5")
    framework.write(framework.name, "raise RuntimeError('no licence')")
    auto.install()

    (status,) = auto.status(importing=True)

    assert status.why_not == "RuntimeError: no licence"


def test_disabled(framework: Framework, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    With INSTRUMENT_DISABLED nothing is put anywhere.
    """
    monkeypatch.setattr(auto, "DISABLED", True)

    auto.install()

    assert framework.imported().listeners == []


def test_import_of_auto_imports_no_framework() -> None:
    """
    ``import instrument.auto`` imports no framework, no adapter, no asyncio and nothing
    of anybody's else.
    """
    code = (
        "import sys; before = {*sys.modules}; import instrument.auto;"
        " print(*{*sys.modules} - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    loaded = done.stdout.split()
    assert not [
        name
        for name in loaded
        if name.startswith(("langchain", "langgraph", "instrument.integrations"))
    ]
    assert not {"asyncio", "inspect", "loguru", "wrapt"} & {*loaded}


def test_table() -> None:
    """
    The table of foreign modules names every adapter in the folder, and nothing else:
    a middleware is put in by hand, and so is what goes on in an engine's workers.
    """
    (folder,) = integrations.__path__
    names = {it.name for it in iter_modules([folder])} - {
        "asgi",
        "celery",
        "dask",
        "ray",
        "wsgi",
    }
    found = {f"{integrations.__name__}.{name}" for name in names}

    assert set(ADAPTERS.values()) == found
    assert len(ADAPTERS) == len(found)


@pytest.fixture(scope="session")
def adapters() -> list[ModuleType]:
    """
    Import the adapters of what is installed here.
    """
    names = [status.framework for status in auto.status() if status.version]
    return [import_module(f"instrument.integrations.{name}") for name in names]


def test_contract(adapters: list[ModuleType]) -> None:
    """
    Every adapter says what the contract asks for.
    """
    said: list[Callable[[ModuleType], bool]] = [
        lambda it: bool(version(it.DISTRIBUTION)),
        lambda it: len(it.TESTED) == 2,
        lambda it: bool(it.HOOK and it.HEARS and it.OWNS),
        lambda it: callable(it.load) and callable(it.install),
        lambda it: callable(it.uninstall),
        lambda it: not (hasattr(it, "missing") and (it.missing() or it.is_deaf())),
    ]

    assert all(check(adapter) for adapter in adapters for check in said)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="there is sys.monitoring")
def test_no_monitoring() -> None:
    """
    Before Python 3.12 nothing can be armed, and the error says why; also where nothing
    is imported yet that could be.
    """
    from instrument._hearing import sys_monitoring as _monitoring

    watch: Any = None
    with pytest.raises(_monitoring.Impossible, match="needs Python"):
        _monitoring.arm(test_no_monitoring.__code__, watch)
    with pytest.raises(_monitoring.Impossible, match="needs Python"):
        Targets({"not_imported:function": watch}).install()
