"""
Functions of other packages by their path, heard from when their module is imported; and
which adapter hears which package.
"""

import sys
from contextlib import suppress
from importlib import import_module
from types import CodeType

from instrument._hearing.imports import forget, when_imported
from instrument._hearing.sys_monitoring import (
    LOCK,
    TOO_OLD,
    Impossible,
    arm,
    disarm,
    is_possible,
)
from instrument._hearing.watches import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    Watching = Watch | Callable[[Any], Watch]
    """A watch, or what makes one of the function that was found."""

ADAPTERS = {
    "langchain_core.tracers.context": "instrument.integrations.langchain",
    "openai": "instrument.integrations.openai",
    "anthropic": "instrument.integrations.anthropic",
    "groq": "instrument.integrations.groq",
    "together": "instrument.integrations.together",
    "google.genai": "instrument.integrations.google_genai",
    "mistralai.client": "instrument.integrations.mistralai",
    "cohere": "instrument.integrations.cohere",
    "ollama": "instrument.integrations.ollama",
    "huggingface_hub": "instrument.integrations.huggingface_hub",
    "botocore": "instrument.integrations.botocore",
    "mcp": "instrument.integrations.mcp",
    "litellm": "instrument.integrations.litellm",
    "instructor": "instrument.integrations.instructor",
    "opentelemetry.sdk.trace": "instrument.integrations.opentelemetry",
}
"""The module whose import tells that a package is in use: the adapter that hears it."""

installed: "dict[str, Any]" = {}
"""The adapters that are at work, by their modules."""


class Target:
    """
    One function: ``package.module:Class.method``, and within it ``>inner``.

    Args:
        watching: What its calls mean, or what makes that of the function.
        is_needed: False for one that is not heard before `need`.

    Attributes:
        why_not: Why it is not heard, or None.
        watch: What its calls mean, once it has been found.
    """

    def __init__(
        self, path: str, watching: "Watching", *, is_needed: bool = True
    ) -> None:
        self.path = path
        self._is_needed = is_needed
        self.watch: Watch | None = None
        self._module, _, self._name = path.partition(":")
        self._watching = watching
        self._is_on = False
        self._code: CodeType | None = None
        self._error: str | None = None

    @property
    def has_gone(self) -> bool:
        """
        Tell whether its module was there, and it was not.
        """
        return self._code is None and self._error is not None

    @property
    def why_not(self) -> str | None:
        if self._code is not None:
            return None
        return self._error or f"{self._module} has not been imported yet"

    def load(self) -> None:
        """
        Wait for its module where another thread is at the import of it: what is not
        there yet cannot be found, and that it came later would not be told.

        Not under `LOCK`, which that thread may need.
        """
        if self._module in sys.modules:
            with suppress(Exception):  # that thread is told why
                import_module(self._module)

    def switch_on(self) -> None:
        """
        Hear it, from now or from its module's import on.

        Raises:
            AttributeError: If its module is here, and it is not there.
            TypeError: If it is not written in Python.
            Impossible: If there is no monitoring.
        """
        self._is_on = True
        when_imported(self._module, self._imported)
        module = sys.modules.get(self._module)
        if module is not None and self._code is None:
            try:
                self._arm(module)
            except BaseException:
                forget(self._module, self._imported)
                raise

    def need(self) -> None:
        """
        Hear it from now on, if it is there and switched on.
        """
        self._is_needed = True
        code = self._code
        if code is not None and self.watch is not None:
            self._hear(code, self.watch)

    def switch_off(self) -> None:
        """
        Undo that.
        """
        self._is_on = False
        forget(self._module, self._imported)
        self._disarm()

    def _disarm(self) -> None:
        if self._code is not None and self.watch is not None:
            disarm(self._code, self.watch)
        self._code = None

    def _imported(self, module: "ModuleType") -> None:
        # `why_not` says it; who imports a module must not hear of it
        with LOCK, suppress(AttributeError, TypeError, Impossible):
            if self._is_on:
                self._disarm()  # it has been reloaded
                self._arm(module)

    def _arm(self, module: "ModuleType") -> None:
        try:
            function = found(module, self._name)
            code = code_of(function, self._name, self.path)
            watching = self._watching
            watch = watching if isinstance(watching, Watch) else watching(function)
            self.watch = watch
            self._code = code
            if self._is_needed:
                self._hear(code, watch)
        except (AttributeError, TypeError, Impossible) as exc:
            self._code, self._error = None, str(exc)
            raise
        self._error = None

    def _hear(self, code: CodeType, watch: "Watch") -> None:
        arm(code, watch)
        if not self._is_on:  # it has been switched off meanwhile
            disarm(code, watch)
            self._code = None


class Targets:
    """
    The functions of one package that are heard while its adapter is installed.

    Args:
        watching: By their paths.
        more: Further ones.
    """

    def __init__(self, watching: "dict[str, Watching]", *more: Target) -> None:
        self._targets = [
            *(Target(path, each) for path, each in watching.items()),
            *more,
        ]

    def load(self) -> None:
        """
        Import nothing, as what is heard is found by its name; wait for what is at it.
        """
        for target in self._targets:
            target.load()

    def install(self) -> None:
        """
        Arm all that there are; one that has gone from the package is passed over.

        Raises:
            Impossible: If there is no monitoring; nothing is armed then.
        """
        if not is_possible():  # also where none of their modules is imported yet
            raise Impossible(TOO_OLD)
        for target in self._targets:
            with suppress(AttributeError, TypeError):  # `missing` says so
                target.switch_on()

    def uninstall(self) -> None:
        """
        Disarm them. Calls that have begun are heard to their end.
        """
        for target in self._targets:
            target.switch_off()

    def missing(self) -> list[str]:
        """
        Name what the package no longer has.
        """
        return [it.path for it in self._targets if it.has_gone]

    def is_deaf(self) -> bool:
        """
        Tell whether it has none of them.
        """
        return all(it.has_gone for it in self._targets)


def found(module: "ModuleType", name: str) -> "Any":
    """
    Find ``Class.method`` in *module*: the function itself, under what is around it.

    Raises:
        AttributeError: If it is not there.
    """
    value: Any = module
    for part in name.partition(">")[0].split("."):
        value = _attribute(value, part, f"{module.__name__}:{name}")
    while True:
        for wrapper in ("__func__", "__wrapped__", "func", "fget"):
            inner = getattr(value, wrapper, None)
            if inner is not None and not isinstance(value, type):
                value = inner
                break
        else:
            return value


def _attribute(holder: "Any", name: str, path: str) -> "Any":
    """
    Look it up as it is, without what a descriptor makes of it.
    """
    for each in getattr(holder, "__mro__", (holder,)):
        if name in vars(each):
            return vars(each)[name]
    message = f"there is no {path!r}: {holder.__name__} has no {name!r}"
    raise AttributeError(message)


def code_of(function: "Any", name: str, path: str) -> CodeType:
    """
    Give the code object of *function*, or of the one inside it that *name* ends with.

    Raises:
        AttributeError: If there is none inside it of that name.
        TypeError: If it is not written in Python.
    """
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        message = (
            f"{path!r} is no function written in Python: {function!r}. Decorate a"
            " function of yours that calls it: @traced."
        )
        raise TypeError(message)
    for inner in name.split(">")[1:]:
        nested = [it for it in code.co_consts if isinstance(it, CodeType)]
        code = next((it for it in nested if it.co_name == inner), None)
        if code is None:
            message = f"there is no {path!r}"
            raise AttributeError(message)
    return code
