"""
litellm: completions, text completions, responses and embeddings of any provider.

It has callbacks of its own, but what they tell of a success comes later, on another
thread: the run would end after the block that heard it. This hears the function that
litellm puts around each of its own, with retries, fallbacks and cache inside it.
"""

import re
import sys
from functools import partial

import instrument  # noqa: F401 - whole first, though another thread is importing it
from instrument._hearing.monitored.methods import MethodCall, begun
from instrument._hearing.monitored.retries import tenacity
from instrument._hearing.monitored.streams import AtReturn, StepWatch, closed, keep
from instrument._hearing.operations import Operation
from instrument._hearing.targets import Targets
from instrument._hearing.watches import Watch
from instrument._text import class_has

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

DISTRIBUTION = "litellm"
TESTED = ("1.100.0", "1.110.2")
HOOK = "sys.monitoring"
UNHEARD = ("threads inside batch_completion",)
HEARS = ("completions", "texts", "responses", "embeddings", "tokens", "retries")
OWNS = "nothing"

_POSITIONAL = {
    "completion": ("model", "messages"),
    "text_completion": ("prompt", "model"),
    "responses": ("input", "model"),
    "embedding": ("model", "input"),
}
_OPERATIONS = {
    "completion": Operation("chat_model", "completion", "messages"),
    "text_completion": Operation("llm", "text_completion", "prompt"),
    "responses": Operation("chat_model", "responses", "input", "instructions"),
    "embedding": Operation("embedding", "embedding", "input"),
}
_NAMES = {f"{a}{name}": name for name in _POSITIONAL for a in ("", "a")}
_INSIDE = ("text_completion", *(f"a{name}" for name in _POSITIONAL))
"""Each marks a call that the function of that name makes of another of litellm's."""

_LEFT_OUT = re.compile(
    r"^(aws|litellm|oci|vertex)_|(^|_)(credentials|headers|key|password|secret|token)$"
    r"|^client$"
)
"""What opens doors, and what litellm tells itself."""


class WrapperWatch(Watch):
    """
    The function that is around one of litellm's own.
    """

    def called(self, frame: "FrameType") -> "WrapperCall | None":
        given = frame.f_locals
        name = _NAMES.get(given["original_function"].__name__)
        if name is None:
            return None
        if any(given["kwargs"].get(name) for name in _INSIDE):
            return None
        fields = dict(zip(_POSITIONAL[name], given["args"], strict=False))
        fields.update(given["kwargs"])
        call = begun(fields, partial(_asked, _OPERATIONS[name]))
        return None if call is None else WrapperCall(call)


def _asked(operation: Operation, fields: "dict[str, Any]") -> "Any":
    provider = fields.pop("custom_llm_provider", None)
    fields = {name: it for name, it in fields.items() if not _LEFT_OUT.search(name)}
    asked: Any = operation.asked("litellm", fields)
    asked.provider = provider or _provider_of(asked.model)
    return asked


def _provider_of(model: str | None) -> str | None:
    """
    Give what a model's name begins with, if that is a provider; else whose litellm's
    own list of models says that it is.
    """
    litellm = sys.modules["litellm"]
    before, slash, _ = (model or "").partition("/")
    if slash and before in litellm.provider_list:
        return before
    listed: dict[str, Any] = litellm.model_cost.get(model, {})
    return listed.get("litellm_provider")


class WrapperCall(MethodCall):
    """
    One call of such a function.
    """

    __slots__ = ()

    def returned(self, value: "Any") -> None:
        kind = type(value)
        if class_has(kind, "__next__") or class_has(kind, "__anext__"):
            keep(value, self._call)
        else:
            super().returned(value)


_FUNCTION = WrapperWatch()
_STEP = StepWatch()
_CLOSE = AtReturn(lambda stream: stream, closed)
_CHUNKS = "litellm.litellm_core_utils.streaming_handler:CustomStreamWrapper"
_TEXTS = "litellm.utils:TextCompletionStreamWrapper"
_EVENTS = "litellm.responses.streaming_iterator:{}ResponsesAPIStreamingIterator"
_STREAMS = {
    _CHUNKS: ("__next__", "__anext__"),
    _TEXTS: ("__next__", "__anext__"),
    _EVENTS.format("Sync"): ("__next__",),
    _EVENTS.format(""): ("__anext__",),
    _EVENTS.format("Mock"): ("__next__", "__anext__"),
    _EVENTS.format("Cached"): ("__next__", "__anext__"),
}

_CLOSES = {
    f"{_CHUNKS}.close": _CLOSE,
    f"{_EVENTS.format('Sync')}.close": _CLOSE,
    f"{_EVENTS.format('')}.aclose": _CLOSE,
}

_targets = Targets(
    {
        "litellm.utils:client>wrapper": _FUNCTION,
        "litellm.utils:client>wrapper_async": _FUNCTION,
        f"{_CHUNKS}.aclose": _CLOSE,
        **_CLOSES,
        **{f"{cls}.{it}": _STEP for cls, steps in _STREAMS.items() for it in steps},
        **tenacity("litellm"),
    }
)
load, install, uninstall = _targets.load, _targets.install, _targets.uninstall
is_deaf = _targets.is_deaf


def missing() -> list[str]:
    """
    Name what the package no longer has; before 1.110 few of its streams can be closed.
    """
    return [path for path in _targets.missing() if path not in _CLOSES]
