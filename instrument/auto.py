"""
Hear frameworks and SDKs: ``import instrument.auto`` is enough.

No attribute of anybody's class or module is replaced, and nothing is imported: a
framework is met when the program itself imports it, before or after this.
"""

import sys
from importlib import import_module

from instrument._state import DISABLED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Status", "install", "status", "uninstall"]

# the module whose import tells that a framework is in use: the adapter that hears it
ADAPTERS = {
    "langchain_core.tracers.context": "instrument.integrations.langchain",
}
DISTRIBUTIONS = {"instrument.integrations.langchain": "langchain-core"}

_on = False
_watched: "set[str]" = set()
_installed: "dict[str, Any]" = {}
_failed: "dict[str, str]" = {}


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
            register_post_import_hook(lambda _, it=adapter: _on and _load(it), module)


def uninstall() -> None:
    """
    Undo `install`: what it put into frameworks is taken out.
    """
    global _on
    _on = False
    while _installed:
        _, adapter = _installed.popitem()
        adapter.uninstall()
    _failed.clear()


def status() -> list[Status]:
    """
    Tell what is heard of each framework, and if nothing, why.
    """
    return [_status(module, adapter) for module, adapter in ADAPTERS.items()]


def _load(name: str) -> None:
    """
    Install one adapter; one that fails is reported, and hurts nobody.
    """
    if name in _installed:
        return
    try:
        adapter = import_module(name)
        adapter.install()
    except Exception as exc:
        from instrument import _report

        _failed[name] = f"{type(exc).__name__}: {exc}"
        _report.failed(install, f"hearing {name.rpartition('.')[2]}", exc)
        return
    _installed[name] = adapter
    _warn_of_version(adapter)


def _warn_of_version(adapter: "Any") -> None:
    """
    Say once that a version was never tested.
    """
    version = _version(adapter.DISTRIBUTION)
    lowest, highest = adapter.TESTED
    if version is None or _ordered(lowest) <= _ordered(version) <= _ordered(highest):
        return
    from loguru import logger

    logger.warning(
        "{} {} is not among the versions that instrument was tested with ({} to {});"
        " it is heard all the same.",
        adapter.DISTRIBUTION,
        version,
        lowest,
        highest,
    )


def _status(module: str, name: str) -> Status:
    framework = name.rpartition(".")[2]
    version = _version(DISTRIBUTIONS[name])
    adapter = _installed.get(name)
    if adapter is not None:
        return Status(framework, version, adapter.HOOK, adapter.HEARS, None)
    return Status(framework, version, None, (), _why_not(module, name, version))


def _why_not(module: str, name: str, version: str | None) -> str:
    if DISABLED:
        return "INSTRUMENT_DISABLED is set"
    if name in _failed:
        return _failed[name]
    if version is None:
        return "not installed"
    if not _on:
        return "instrument.auto is not installed: call auto.install()"
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
