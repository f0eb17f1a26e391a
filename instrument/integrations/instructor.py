"""
instructor: answers in the shape of a class, asked for until one fits.

One run per call, which tells each answer that did not fit as a retry, with tenacity's
state: the number of the attempt and its error. The SDK's call of the first attempt is
part of it, those of later ones are its children. A stream of parts is the SDK's run.
"""

from functools import partial

from instrument._hearing.calls import begin
from instrument._hearing.monitored.methods import MethodCall
from instrument._hearing.monitored.retries import tenacity
from instrument._hearing.operations import of_call
from instrument._hearing.targets import Target, Watched, same
from instrument._hearing.watches import let
from instrument._runs.starting import guarded
from instrument._state import get_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

DISTRIBUTION = "instructor"
TESTED = ("1.15.4", "1.17.0")
HOOK = "sys.monitoring"
HEARS = ("answers", "retries")
OWNS = "nothing"

_PROVIDERS = {"genai": "google_genai", "mistral": "mistralai"}
"""Where they are called otherwise than by their SDKs."""

_MESSAGES = ("contents", "input")
"""What some providers call them."""


class LoopWatch:
    """
    The function that asks, and asks again.
    """

    listens = staticmethod(get_state)
    is_stepped = False

    def called(self, frame: "FrameType") -> "AnswerCall | None":
        given = frame.f_locals
        if given["response_model"] is None or given["kwargs"].get("stream"):
            return None
        request = guarded(given, _request)
        call = None if request is None else let(begin, request)
        return None if call is None else AnswerCall(call)


def _request(given: "dict[str, Any]") -> "Any":
    fields = dict(given["kwargs"])
    for name in _MESSAGES:
        if name in fields:
            fields["messages"] = fields.pop(name)
    request: Any = of_call("instructor", "create", fields)
    provider = getattr(given.get("provider"), "value", None)
    request.provider = _PROVIDERS.get(provider, provider)  # type: ignore[arg-type]
    return request


class AnswerCall(MethodCall):
    """
    One such call.
    """

    __slots__ = ()

    def returned(self, value: "Any") -> None:
        super().returned(getattr(value, "_raw_response", value))


_LOOP = LoopWatch()
_LOOPS = (
    "instructor.v2.core.retry:retry_sync_v2",
    "instructor.v2.core.retry:retry_async_v2",
    "instructor.core.retry:retry_sync",  # what there is before 1.15
    "instructor.core.retry:retry_async",
)
_watched = Watched(
    [
        *(Target(path, partial(same, _LOOP)) for path in _LOOPS),
        tenacity("instructor"),
    ]
)
load, install = _watched.load, _watched.install
uninstall, missing = _watched.uninstall, _watched.missing
