"""
SDKs that Stainless makes.

All their calls go through ``request`` of one base class, whose ``options`` hold what is
sent. A stream is known by its HTTP response, which the raw response and the stream that
is made of it later share.
"""

from functools import partial

from instrument._hearing.calls import body_of, end_closed, is_wrapped
from instrument._hearing.monitored.methods import begun
from instrument._hearing.monitored.retries import PAUSE
from instrument._hearing.monitored.streams import (
    AtReturn,
    Ending,
    PassingWatch,
    StreamWatch,
    closed,
    keep,
    parsed,
)
from instrument._hearing.operations import posted
from instrument._hearing.passing import end_read, is_events, is_response
from instrument._hearing.targets import Target, Targets
from instrument._hearing.watches import HeardCall, Watch, let
from instrument._payloads.messages import fields_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

    from instrument._hearing.calls import Asked, Call
    from instrument._hearing.monitored.streams import Kept
    from instrument._hearing.targets import Watching


def targets(package: str, more: "dict[str, Watching] | None" = None) -> Targets:
    """
    Give what is to be heard of *package*, after which its provider is called.

    Args:
        more: What is heard of further functions, by path.
    """
    # each call of a client goes through that, but few answers are read in parts
    parsed = Target(
        f"{package}._response:BaseAPIResponse._parse", PARSED, is_needed=False
    )
    passing = [
        Target(f"{http}._models:Response.{name}", PASSING, is_needed=False)
        for http in ("httpx", "httpx2")
        for name in ("iter_bytes", "aiter_bytes")
    ]
    request = PostWatch(package, parsed, passing)
    watching: dict[str, Watching] = {
        f"{package}._base_client:SyncAPIClient.request": request,
        f"{package}._base_client:AsyncAPIClient.request": request,
        f"{package}._base_client:SyncAPIClient._sleep_for_retry": PAUSE,
        f"{package}._base_client:AsyncAPIClient._sleep_for_retry": PAUSE,
        f"{package}._response:APIResponse.close": CLOSE_RAW,
        f"{package}._response:AsyncAPIResponse.close": CLOSE_RAW,
        f"{package}._streaming:Stream.__stream__": STREAM,
        f"{package}._streaming:Stream.close": CLOSE,
        f"{package}._streaming:AsyncStream.__stream__": STREAM,
        f"{package}._streaming:AsyncStream.close": CLOSE,
    }
    return Targets({**watching, **(more or {})}, parsed, *passing)


class PostWatch(Watch):
    """
    What is posted: a call of a model, if its path says so.
    """

    passes_sent = True

    def __init__(self, provider: str, parsed: Target, passing: list[Target]) -> None:
        self._provider = provider
        self._later = parsed, passing

    def called(self, frame: "FrameType") -> "PostCall | None":
        given = frame.f_locals
        if is_wrapped(given["self"]):
            return None
        # to ask a pydantic model for a field costs three times what its dict does
        call = begun(given["options"].__dict__, self._asked)
        if call is None:
            return None
        return PostCall(call, *self._later, is_stream=given["stream"])

    def _asked(self, options: "dict[str, Any]") -> "Asked | None":
        if options["method"] != "post":
            return None
        body, extra = options["json_data"], options.get("extra_json")
        return posted(self._provider, options["url"], body, extra)


class PostCall(HeardCall):
    """
    One such call, until its answer has come or begins to come.
    """

    def __init__(
        self, call: "Call", parsed: Target, passing: list[Target], *, is_stream: bool
    ) -> None:
        self._call = call
        self._parsed = parsed
        self._passing = passing
        self._is_stream = is_stream

    def returned(self, value: "Any") -> None:
        # to ask a pydantic model for what it lacks costs 2 us
        fields = fields_of(value)
        raw = fields.get("http_response")
        response = fields.get("response") if raw is None else raw
        if raw is not None and not raw.is_closed:
            in_pieces = self._is_stream or is_events(raw)
            for target in self._passing if in_pieces else (self._parsed,):
                target.need()
            keep(response, self._call, in_pieces=in_pieces)
        elif self._is_stream and response is not None:
            keep(response, self._call)
        elif raw is None and not ("extensions" in fields and is_response(value)):
            # not to ask each class of pydantic's for what it lacks saves 2 us
            let(self._call.returned, value)
        else:
            let(self._end, value if raw is None else raw)

    def _end(self, http: "Any") -> None:
        if not end_read(self._call, http):
            self._call.returned(body_of(http))

    def raised(self, exc: BaseException) -> None:
        let(self._call.raised, exc)


_NO_FIELDS: "dict[str, Any]" = {}


class CloseWatch(AtReturn):
    """
    What closes a raw response: that tells no more whether it was read to its end.
    """

    def __init__(self) -> None:
        super().__init__(lambda raw: raw.http_response, closed)

    def called(self, frame: "FrameType") -> "Ending | None":
        ending = super().called(frame)
        if ending is None:
            return None
        was_read = frame.f_locals["self"].http_response.is_closed
        return Ending(partial(_closed, was_read), ending.kept)


def _closed(was_read: bool, kept: "Kept", _: object) -> None:
    let(end_closed, kept.call, kept.holder, was_read)


STREAM = StreamWatch(lambda frame: frame.f_locals["self"].response)
CLOSE = AtReturn(lambda stream: stream.response, closed)
PARSED = AtReturn(lambda raw: raw.http_response, parsed)
CLOSE_RAW = CloseWatch()
PASSING = PassingWatch()
