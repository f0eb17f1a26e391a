"""
Hear frameworks and SDKs: ``import instrument.auto`` is enough.

No attribute of anybody's class or module is replaced, and nothing is imported: a
framework is met when the program itself imports it, before or after this.
"""

import sys
from functools import partial
from importlib import import_module

import instrument  # noqa: F401 - whole first, though another thread is importing it
from instrument._hearing.imports import forget, when_imported
from instrument._hearing.sys_monitoring import LOCK, TOO_OLD, Impossible, is_possible
from instrument._hearing.targets import ADAPTERS, Target
from instrument._hearing.targets import installed as _installed
from instrument._runs.merging import Nested
from instrument._state import DISABLED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal

__all__ = ["Status", "install", "status", "uninstall", "unwatch", "watch"]

_on = False
_has_said_why_not = False
_awaited: "dict[str, Callable[[Any], None]]" = {}
"""What is told of the import of a module, by its name."""
_failed: "dict[str, str]" = {}
_warned: "set[str]" = set()
_targets: "dict[str, Target]" = {}
"""What `watch` was asked for, by path."""


class Status:
    """
    How one framework is heard.

    Attributes:
        framework: The name of its adapter, as in ``instrument.integrations``.
        package: What it is installed as; of a function its path.
        version: What is installed, or None.
        tested: The lowest and the highest version that the tests have run with, or None.
        untested: ``newer`` or ``older`` where the version is not within these.
        hook: The framework's own way by which it is heard.
        hears: What becomes runs and events; empty where nothing does.
        why_not: Why nothing is heard, or what is not in this version, or None.
        unheard: What is heard in no version.
    """

    __slots__ = (
        "framework",
        "hears",
        "hook",
        "package",
        "tested",
        "unheard",
        "version",
        "why_not",
    )

    def __init__(
        self,
        framework: str,
        version: str | None,
        hook: str | None,
        hears: tuple[str, ...],
        why_not: str | None,
        *,
        package: str | None = None,
        tested: "tuple[str, str] | None" = None,
        unheard: tuple[str, ...] = (),
    ) -> None:
        self.framework = framework
        self.package = package or framework
        self.tested = tested
        self.unheard = unheard
        self.version = version
        self.hook = hook
        self.hears = hears
        self.why_not = why_not

    def __repr__(self) -> str:
        told = ", ".join(self.hears) if self.hears else f"nothing: {self.why_not}"
        return f"<{self.framework} {self.version or '-'}: {told}>"

    @property
    def untested(self) -> "Literal['newer', 'older'] | None":
        if self.version is None or self.tested is None:
            return None
        lowest, highest = map(_ordered, self.tested)
        version = _ordered(self.version)
        if lowest <= version <= highest:
            return None
        return "newer" if version > highest else "older"


def install(*, nested: "Literal['merge', 'child']" = "merge") -> None:
    """
    Hear every framework that is imported, now or later; a later call replaces options.

    What SDKs do is heard in the midst of their own code: async handlers hear it soon
    after, in order, since nothing can be awaited there; ``async with callbacks(...)``
    waits for them at its end. A client of `wrap` waits for them in place.

    Args:
        nested: What becomes of the call of a model inside a model's run, as when
            LangChain calls OpenAI's SDK: ``merge``, one run for both, or ``child``.

    Raises:
        ValueError: For another word.
    """
    global _on
    if nested not in ("merge", "child"):
        message = f"auto.install(nested=...) is 'merge' or 'child', not {nested!r}."
        raise ValueError(message)
    if DISABLED:
        return
    with LOCK:
        _on = True
        Nested.opens_children = nested == "child"
        for module, adapter in ADAPTERS.items():
            hear = _awaited.setdefault(module, partial(_load_if_on, adapter))
            when_imported(module, hear)
    for module, adapter in ADAPTERS.items():
        if module in sys.modules:
            _load(adapter)


def uninstall() -> None:
    """
    Undo `install`: what it put into frameworks is taken out.

    Calls that have begun are heard to their end. Of a stream that nobody has read from
    yet no more is heard: its run ends when it is dropped, as abandoned.
    """
    global _on
    with LOCK:
        _on = False
        while _awaited:
            forget(*_awaited.popitem())
        while _installed:
            _, adapter = _installed.popitem()
            adapter.uninstall()
        _failed.clear()
        Nested.opens_children = False


def watch(path: str, **options: "Any") -> None:
    """
    Hear the calls of any function of any package, as if it were ``@traced``.

    It is heard from when its module is imported; nothing is replaced. Needs Python
    3.12, and a function that is written in Python. A second call replaces options.

    Args:
        path: ``package.module:function`` or ``package.module:Class.method``.
        options: Those of `traced`: ``kind="tool"``, ``name=``, ``tags=``, ...

    Raises:
        AttributeError: If its module has been imported, and it is not there.
        RuntimeError: Before Python 3.12, or if other tools have taken all tool ids.
        TypeError: For a function written in C, an option that does not exist.
        ValueError: For what is no such path.
    """
    from instrument._hearing.functions import maker

    make = maker(path, options)
    if not is_possible():
        message = f"auto.watch: {TOO_OLD}. Decorate it: @traced."
        raise RuntimeError(message)
    if DISABLED:
        return
    target = Target(path, make)
    try:
        _switch_on(target)
    except AttributeError:  # as long as another thread is at the import of its module
        target.load()
        _switch_on(target)


def _switch_on(target: "Target") -> None:
    with LOCK:
        unwatch(target.path)
        target.switch_on()
        _targets[target.path] = target


def unwatch(path: str) -> None:
    """
    Undo `watch`; what is not watched stays so. Calls that have begun are heard on.
    """
    with LOCK:
        target = _targets.pop(path, None)
        if target is not None:
            target.switch_off()


def status(*, importing: bool = False) -> list[Status]:
    """
    Tell what is heard of each framework and each function, and if nothing, why.

    Args:
        importing: Import those that are installed first, to see how that goes.
    """
    heard = [
        _status(module, adapter, _import_error(module) if importing else None)
        for module, adapter in ADAPTERS.items()
    ]
    return heard + [_status_of(target) for target in list(_targets.values())]


def _load_if_on(name: str, _: object) -> None:
    """
    Load an adapter when what it hears has been imported.
    """
    if _on:
        _load(name)


def _load(name: str) -> None:
    """
    Install one adapter; one that fails is reported, and hurts nobody.
    """
    try:
        # not under the lock: another thread may be importing what this one needs
        adapter = import_module(name)
        adapter.load()
        with LOCK:
            if name in _installed or not _on:
                return
            adapter.install()
            _installed[name] = adapter
        _warn_of_missing(name, adapter)
    except Impossible as exc:
        _failed[name] = f"{exc}; wrap(client) works everywhere"
        _say_why_not(str(exc))
    except Exception as exc:
        from instrument import _report

        _failed[name] = f"{type(exc).__name__}: {exc}"
        _report.failed(install, f"hearing {name.rpartition('.')[2]}", exc)


def _say_why_not(reason: str) -> None:
    """
    Say once that SDKs are not heard.
    """
    global _has_said_why_not
    if _has_said_why_not:
        return
    _has_said_why_not = True
    from loguru import logger

    logger.warning(
        "instrument.auto does not hear the providers' SDKs: {}."
        " wrap(client) works everywhere.",
        reason,
    )


def _warn_of_missing(name: str, adapter: "Any") -> None:
    """
    Say once that a version lacks what is to be heard; other versions are no news.
    """
    gone = _missing(adapter)
    if not gone or name in _warned:
        return
    _warned.add(name)
    from loguru import logger

    logger.warning(
        "instrument.auto does not hear all of {} {}: {}."
        " `python -m instrument status` says what it hears.",
        adapter.DISTRIBUTION,
        _version(adapter.DISTRIBUTION),
        _lacking(gone),
    )


def _missing(adapter: "Any") -> list[str]:
    return adapter.missing() if hasattr(adapter, "missing") else []


def _lacking(gone: list[str]) -> str:
    first, *rest = [path.rpartition(":")[2] for path in gone]
    more = f" and {len(rest)} more" if rest else ""
    return f"this version has no {first}{more}"


def _import_error(module: str) -> str | None:
    try:
        import_module(module)
    except Exception as exc:
        return f"{type(exc).__name__}: {exc}"
    return None


def _status(module: str, name: str, error: str | None) -> Status:
    framework = name.rpartition(".")[2]
    broken = _import_error(name)
    said = None if broken else sys.modules[name]
    package = getattr(said, "DISTRIBUTION", framework)
    version = _version(package)
    tell = partial(
        Status,
        framework,
        version,
        package=package,
        tested=getattr(said, "TESTED", None),
        unheard=getattr(said, "UNHEARD", ()),
    )
    adapter = _installed.get(name)
    if adapter is not None:
        gone = _missing(adapter)
        is_deaf = hasattr(adapter, "is_deaf") and adapter.is_deaf()
        hears = () if is_deaf else adapter.HEARS
        return tell(adapter.HOOK, hears, _lacking(gone) if gone else None)
    if version is not None and error is not None:
        return tell(None, (), error)
    return tell(None, (), _why_not(module, name, version))


def _status_of(target: "Target") -> Status:
    why_not = target.why_not
    hears = () if why_not else (target.watch.kind,)  # type: ignore[union-attr]
    return Status(target.path, None, "sys.monitoring", hears, why_not)


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
    Give the first two numbers of a version; releases that mend one differ in the third.
    """
    import re

    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


install()
