"""
What Python imports first in a program that ``run`` has started, and in the Python
processes that start from there: have them heard.

This folder is first in their ``PYTHONPATH``. Another ``sitecustomize``, which it hides,
is imported all the same, and stands in its place. The program is heard at once; other
processes, which may be any tool, when they import something of which there is to hear.
"""

import atexit
import os
import sys
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

OURS = "instrument"
HEARD = frozenset(
    (
        *("langchain_core.tracers.context", "openai", "anthropic", "groq", "together"),
        *("google.genai", "mistralai.client", "cohere", "ollama", "huggingface_hub"),
        *("botocore", "mcp", "litellm", "instructor", "opentelemetry.sdk.trace"),
    )
)
"""The modules that `instrument.auto` waits for."""


def _begin() -> None:
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [it for it in sys.path if it != here]
    try:
        _import_hidden()
    finally:
        if "INSTRUMENT_RUN_STORE" in os.environ or OURS in sys.modules:
            _hear()
        else:
            sys.meta_path.insert(0, _Waiting())


def _import_hidden() -> None:
    spec = PathFinder.find_spec(__name__)
    if spec is not None and spec.loader is not None:
        from importlib.util import module_from_spec

        module = sys.modules[__name__] = module_from_spec(spec)
        spec.loader.exec_module(module)


def _hear() -> None:
    # a list of its own: another thread may go through the old one
    sys.meta_path = [it for it in sys.meta_path if type(it) is not _Waiting]
    last: list[Callable[[], object]] = []
    atexit.register(lambda: [tell() for tell in last])  # behind all that comes
    try:
        from instrument._cli import hearing
    except ImportError:  # another Python, which has no such package, or another one
        return
    last.append(hearing.begin())


class _Waiting:
    """
    Begins to hear at the first import of something that is heard.
    """

    def find_spec(
        self, name: str, path: "Any" = None, target: "Any" = None
    ) -> ModuleSpec | None:
        if name != OURS and name not in HEARD:
            return None
        if name != OURS:
            _hear()
        # who only looks it up may import it later, and is asked again then
        others = (it for it in sys.meta_path if it is not self)
        finders = (it for it in others if hasattr(it, "find_spec"))
        spec = next(filter(None, (it.find_spec(name, path) for it in finders)), None)
        if name == OURS and spec is not None:
            loader = spec.loader
            if type(loader) is SourceFileLoader:
                spec.loader = _Loader(loader.name, loader.path)
        return spec


class _Loader(SourceFileLoader):
    """
    Loads our own package, and begins to hear when that is there.
    """

    def exec_module(self, module: "ModuleType") -> None:
        super().exec_module(module)
        _hear()


if __name__ == "sitecustomize":
    _begin()
