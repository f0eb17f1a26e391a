"""
Hear frameworks and SDKs: ``import instrument.auto`` is enough.

No attribute of anybody's class or module is replaced, and nothing is imported: a
framework is met when the program itself imports it, before or after this.
"""

import sys
from importlib import import_module
from threading import RLock

from instrument._state import DISABLED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Status", "install", "status", "uninstall"]

# The module whose import tells that a framework is in use: the adapter that hears it.
ADAPTERS = {
    "langchain_core.tracers.context": "instrument.integrations.langchain",
}
DISTRIBUTIONS = {"instrument.integrations.langchain": "langchain-core"}

_on = False
_lock = RLock()  # never held while something is imported
_watched: "set[str]" = set()
_installed: "dict[str, Any]" = {}
_failed: "dict[str, str]" = {}
_warned: "set[str]" = set()


class Status:
    """
    How one framework is heard.

    Attributes:
        framework: The name of its adapter, as in ``instrument.integrations``.
        version: What is installed, or None.
        hook: The framework's own way by which it is heard.
        hears: What becomes runs and events; empty where nothing does.
        why_not: Why nothing is heard, or None.
    """

    __slots__ = ("framework", "hears", "hook", "version", "why_not")

    def __init__(
        self,
        framework: str,
        version: str | None,
        hook: str | None,
        hears: tuple[str, ...],
        why_not: str | None,
    ) -> None:
        self.framework = framework
        self.version = version
        self.hook = hook
        self.hears = hears
        self.why_not = why_not

    def __repr__(self) -> str:
        told = ", ".join(self.hears) if self.hears else f"nothing: {self.why_not}"
        return f"<{self.framework} {self.version or '-'}: {told}>"


def install() -> None:
    """
    Hear every framework that is imported, now or later; idempotent.
    """
    global _on
    if DISABLED:
        return
    _on = True
    for module, adapter in ADAPTERS.items():
        if module in sys.modules:
            _load(adapter)
        elif module not in _watched:
            from wrapt import register_post_import_hook

            _watched.add(module)
            register_post_import_hook(_loader(adapter), module)


def uninstall() -> None:
    """
    Undo `install`: what it put into frameworks is taken out.
    """
    global _on
    with _lock:
        _on = False
        while _installed:
            _, adapter = _installed.popitem()
            adapter.uninstall()
        _failed.clear()


def status(*, importing: bool = False) -> list[Status]:
    """
    Tell what is heard of each framework, and if nothing, why.

    Args:
        importing: Import those that are installed first, to see how that goes.
    """
    return [
        _status(module, adapter, _import_error(module) if importing else None)
        for module, adapter in ADAPTERS.items()
    ]


def _loader(adapter: str) -> "Callable[[object], None]":
    def load(module: object) -> None:
        if _on:
            _load(adapter)

    return load


def _load(name: str) -> None:
    """
    Install one adapter; one that fails is reported, and hurts nobody.
    """
    try:
        adapter = import_module(name)
        adapter.load()
        with _lock:
            if not _on or name in _installed:
                return
            adapter.install()
            _installed[name] = adapter
        _warn_of_version(adapter)
    except Exception as exc:
        from instrument import _report

        _failed[name] = f"{type(exc).__name__}: {exc}"
        _report.failed(install, f"hearing {name.rpartition('.')[2]}", exc)


def _warn_of_version(adapter: "Any") -> None:
    """
    Say once that a version was never tested.
    """
    distribution = adapter.DISTRIBUTION
    version = _version(distribution)
    lowest, highest = adapter.TESTED
    if version is None or distribution in _warned:
        return
    if _ordered(lowest) <= _ordered(version) <= _ordered(highest):
        return
    from loguru import logger

    _warned.add(distribution)
    logger.warning(
        "{} {} is not among the versions that instrument was tested with ({} to {});"
        " it is heard all the same.",
        distribution,
        version,
        lowest,
        highest,
    )


def _import_error(module: str) -> str | None:
    try:
        import_module(module)
    except Exception as exc:
        return f"{type(exc).__name__}: {exc}"
    return None


def _status(module: str, name: str, error: str | None) -> Status:
    framework = name.rpartition(".")[2]
    version = _version(DISTRIBUTIONS[name])
    adapter = _installed.get(name)
    if adapter is not None:
        return Status(framework, version, adapter.HOOK, adapter.HEARS, None)
    if version is not None and error is not None:
        return Status(framework, version, None, (), error)
    return Status(framework, version, None, (), _why_not(module, name, version))


def _why_not(module: str, name: str, version: str | None) -> str:
    if DISABLED:
        return "INSTRUMENT_DISABLED is set"
    if name in _failed:
        return _failed[name]
    if version is None:
        return "not installed"
    if not _on:
        return "auto.uninstall() was called"
    return f"{module} has not been imported yet"


def _version(distribution: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _ordered(version: str) -> tuple[int, ...]:
    """
    Give the numbers of a version, which sort as they should.
    """
    import re

    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


install()
