"""
Models on Amazon Bedrock through boto3: Converse, whole and as a stream.

botocore has events of its own, but a client takes them from its session when it is
made; this hears clients that were made before, too.
"""

import instrument  # noqa: F401 - whole first, though another thread is importing it
from instrument._hearing.calls import is_wrapped
from instrument._hearing.monitored.methods import MethodCall, begun
from instrument._hearing.monitored.retries import tell
from instrument._hearing.monitored.streams import AtReturn, StreamWatch, closed, keep
from instrument._hearing.operations import Operation
from instrument._hearing.targets import Targets
from instrument._hearing.watches import HeardCall, Watch
from instrument._hearing.wrapped.methods import Rule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

    from instrument._hearing.calls import Asked

DISTRIBUTION = "botocore"
TESTED = ("1.42.0", "1.44.8")
HOOK = "sys.monitoring"
HEARS = ("converse", "tokens", "retries")
OWNS = "nothing"

_CONVERSE = Operation("chat_model", "converse", "messages", "system", "modelId")
_NAMES = ("Converse", "ConverseStream")


class ApiWatch(Watch):
    """
    A call of any service: one of a model, if its operation says so.
    """

    passes_sent = True

    def called(self, frame: "FrameType") -> "ApiCall | None":
        given = frame.f_locals
        if given["operation_name"] not in _NAMES or is_wrapped(given["self"]):
            return None
        call = begun(given["api_params"], _asked)
        return None if call is None else ApiCall(call)


def _asked(fields: "dict[str, Any]") -> "Asked":
    return _CONVERSE.asked("bedrock", fields)


class ApiCall(MethodCall):
    """
    One such call.
    """

    __slots__ = ()

    def returned(self, value: "Any") -> None:
        stream = value.get("stream")
        if stream is None:
            super().returned(value)
        else:
            keep(stream, self._call)


class RetryWatch(Watch):
    """
    The question whether to try again, which is answered after the pause.
    """

    def called(self, frame: "FrameType") -> "Retry | None":
        given = frame.f_locals
        if given["operation_model"].name not in _NAMES:
            return None
        return Retry(given["attempts"])


class Retry(HeardCall):
    """
    One such question.
    """

    __slots__ = ("_attempts",)

    def __init__(self, attempts: int) -> None:
        self._attempts = attempts

    def returned(self, value: object) -> None:
        if value:
            tell(self._attempts)

    def raised(self, exc: BaseException) -> None:
        """
        Tell nothing: it is not tried again.
        """


_targets = Targets(
    {
        "botocore.client:BaseClient._make_api_call": ApiWatch(),
        "botocore.endpoint:Endpoint._needs_retry": RetryWatch(),
        "botocore.eventstream:EventStream.__iter__": StreamWatch(
            lambda frame: frame.f_locals["self"]
        ),
        "botocore.eventstream:EventStream.close": AtReturn(lambda it: it, closed),
    }
)
load, install = _targets.load, _targets.install
uninstall, missing = _targets.uninstall, _targets.missing
is_deaf = _targets.is_deaf

WRAPS = {
    "BedrockRuntime": Rule(
        "bedrock", dict.fromkeys(("converse", "converse_stream"), _CONVERSE)
    )
}
