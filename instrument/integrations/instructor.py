"""
instructor: answers in the shape of a class, asked for until one fits.

One run per call, which tells each answer that did not fit as a retry, with tenacity's
state: the number of the attempt and its error. The SDK's call of the first attempt is
part of it, those of later ones are its children. A stream of parts is the SDK's run.
"""

import instrument  # noqa: F401 - whole first, though another thread is importing it
from instrument._hearing.monitored.methods import MethodCall, begun
from instrument._hearing.monitored.retries import tenacity
from instrument._hearing.operations import Operation
from instrument._hearing.targets import Targets
from instrument._hearing.watches import Watch
from instrument._payloads.messages import get

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

DISTRIBUTION = "instructor"
TESTED = ("1.15.4", "1.17.0")
HOOK = "sys.monitoring"
HEARS = ("answers", "retries")
OWNS = "nothing"

_CREATE = Operation("chat_model", "create", "messages", "system")

_PROVIDERS = {"genai": "google_genai", "mistral": "mistralai"}
"""Where they are called otherwise than by their SDKs."""

_MESSAGES = ("contents", "input")
"""What some providers call them."""


class LoopWatch(Watch):
    """
    The function that asks, and asks again.
    """

    def called(self, frame: "FrameType") -> "AnswerCall | None":
        given = frame.f_locals
        if given["response_model"] is None or given["kwargs"].get("stream"):
            return None
        call = begun(given, _asked)
        return None if call is None else AnswerCall(call)


def _asked(given: "dict[str, Any]") -> "Any":
    fields = dict(given["kwargs"])
    for name in _MESSAGES:
        if name in fields:
            fields["messages"] = fields.pop(name)
    asked: Any = _CREATE.asked("instructor", fields)
    provider = getattr(given.get("provider"), "value", None)
    asked.provider = _PROVIDERS.get(provider, provider)  # type: ignore[arg-type]
    return asked


class AnswerCall(MethodCall):
    """
    One such call.
    """

    __slots__ = ()

    def returned(self, value: "Any") -> None:
        raw = get(value, "_raw_response")
        super().returned(value if raw is None else raw)


_LOOP = LoopWatch()
_LOOPS = (
    "instructor.v2.core.retry:retry_sync_v2",
    "instructor.v2.core.retry:retry_async_v2",
    "instructor.core.retry:retry_sync",  # what there is before 1.15
    "instructor.core.retry:retry_async",
)
_targets = Targets({**dict.fromkeys(_LOOPS, _LOOP), **tenacity("instructor")})
load, install = _targets.load, _targets.install
uninstall, missing = _targets.uninstall, _targets.missing
is_deaf = _targets.is_deaf
