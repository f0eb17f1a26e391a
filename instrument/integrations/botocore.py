"""
Models on Amazon Bedrock through boto3: Converse, whole and as a stream.

botocore has events of its own, but a client takes them from its session when it is
made; this hears clients that were made before, too.
"""

from functools import partial

from instrument._hearing.calls import begin, is_wrapped
from instrument._hearing.monitored.methods import MethodCall
from instrument._hearing.monitored.retries import tell
from instrument._hearing.monitored.streams import AtReturn, StreamWatch, closed, keep
from instrument._hearing.operations import of_call
from instrument._hearing.targets import Target, Watched, same
from instrument._hearing.watches import Call, let
from instrument._runs.starting import guarded
from instrument._state import get_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

    from instrument._hearing.calls import Request

DISTRIBUTION = "botocore"
TESTED = ("1.42.0", "1.44.8")
HOOK = "sys.monitoring"
HEARS = ("converse", "tokens", "retries")
OWNS = "nothing"

_METHODS = {"Converse": "converse", "ConverseStream": "converse_stream"}


class ApiWatch:
    """
    A call of any service: one of a model, if its operation says so.
    """

    listens = staticmethod(get_state)
    is_stepped = False

    def called(self, frame: "FrameType") -> "ApiCall | None":
        given = frame.f_locals
        if given["operation_name"] not in _METHODS or is_wrapped(given["self"]):
            return None
        request = guarded(frame, _request)
        call = None if request is None else let(begin, request)
        return None if call is None else ApiCall(call)


def _request(frame: "FrameType") -> "Request | None":
    given = frame.f_locals
    return of_call("bedrock", _METHODS[given["operation_name"]], given["api_params"])


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


class RetryWatch:
    """
    The question whether to try again, which is answered after the pause.
    """

    listens = staticmethod(get_state)
    is_stepped = False

    def called(self, frame: "FrameType") -> "Retry | None":
        given = frame.f_locals
        if given["operation_model"].name not in _METHODS:
            return None
        return Retry(given["attempts"])


class Retry(Call):
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


_watched = Watched(
    [
        Target("botocore.client:BaseClient._make_api_call", partial(same, ApiWatch())),
        Target("botocore.endpoint:Endpoint._needs_retry", partial(same, RetryWatch())),
        Target(
            "botocore.eventstream:EventStream.__iter__",
            partial(same, StreamWatch(lambda frame: frame.f_locals["self"])),
        ),
        Target(
            "botocore.eventstream:EventStream.close",
            partial(same, AtReturn(lambda stream: stream, closed)),
        ),
    ]
)
load, install = _watched.load, _watched.install
uninstall, missing = _watched.uninstall, _watched.missing
