"""
Tell when a module has been imported, by a finder of ours on `sys.meta_path`.

It is there only while a module is awaited, and finds nothing itself: it asks the finders
behind it, and has the loader that they give say when the module has been executed.
"""

import sys

from instrument._hearing.sys_monitoring import LOCK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    Hear = Callable[[ModuleType], object]

_awaited: "dict[str, tuple[Hear, ...]]" = {}


def when_imported(name: str, hear: "Hear") -> None:
    """
    Have *hear* called with the module *name* each time that it has been executed.

    That is also when it is imported anew or reloaded, and in the thread that does so.
    Of a module that is there already *hear* is not told.
    """
    with LOCK:
        if hear not in _awaited.get(name, ()):
            _awaited[name] = (*_awaited.get(name, ()), hear)
        if all(finder is not _FINDER for finder in sys.meta_path):
            sys.meta_path.insert(0, _FINDER)


def forget(name: str, hear: "Hear") -> None:
    """
    Undo `when_imported`; with the last the finder goes.
    """
    with LOCK:
        left = tuple(it for it in _awaited.pop(name, ()) if it != hear)
        if left:
            _awaited[name] = left
        if not _awaited:
            # a list of its own: a thread that goes through the old one would pass over
            # the finder behind ours, and not find what it imports
            sys.meta_path = [it for it in sys.meta_path if it is not _FINDER]


class _Finder:
    """
    Looks for what is awaited as Python would without it.
    """

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        if name not in _awaited:
            return None
        finders = iter(list(sys.meta_path))
        any(finder is self for finder in finders)  # which leaves those behind it
        for finder in finders:
            find = getattr(finder, "find_spec", None)
            spec = None if find is None else find(name, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader)
                return spec
        return None


class _Loader:
    """
    Stands for another loader, as which it passes, until that has executed its module.
    """

    def __init__(self, loader: "Any") -> None:
        self._loader = loader

    @property  # type: ignore[misc]
    def __class__(self) -> "Any":
        return type(self._loader)

    def __getattr__(self, name: str) -> "Any":
        return getattr(self._loader, name)

    def exec_module(self, module: "Any") -> None:
        spec, before = module.__spec__, type(module)
        for holder, name in ((spec, "loader"), (module, "__loader__")):
            if getattr(holder, name, None) is self:
                setattr(holder, name, self._loader)
        self._loader.exec_module(module)
        if type(module) is not before and type(module) is _lazy():
            spec.loader = _Loader(spec.loader)  # it is executed when it is looked into
            return
        for hear in _awaited.get(spec.name, ()):
            hear(sys.modules.get(spec.name, module))


def _lazy() -> object:
    """
    Give the type of what `importlib.util.LazyLoader` has not executed yet.
    """
    return getattr(sys.modules.get("importlib.util"), "_LazyModule", None)


_FINDER = _Finder()
