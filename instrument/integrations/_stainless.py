"""
The SDKs that Stainless makes: OpenAI's, Anthropic's, Groq's, Together's.

All their calls go through ``request`` of one base class, whose ``options`` hold what is
sent. A stream is known by its HTTP response, which the raw response and the stream that
is made of it later share.
"""

import weakref

from instrument._calls import begin
from instrument._current import current_run
from instrument._state import get_state
from instrument._targets import Target
from instrument._tell import guarded
from instrument._watch import let
from instrument.integrations._asked import asked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

    from instrument._calls import Own
    from instrument._merge import Inner

_streams: "dict[int, tuple[weakref.ref[Any], Own | Inner]]" = {}
"""The calls whose answer is still to be read, by the id of its HTTP response."""


def targets(package: str, provider: str, more: "dict[str, Any] | None" = None) -> "list[Target]":
    """
    Give what is to be heard of *package*.

    Args:
        more: Paths of further functions, and what watches them.
    """
    request = RequestWatch(provider)
    watches = {
        f"{package}._base_client:SyncAPIClient.request": request,
        f"{package}._base_client:AsyncAPIClient.request": request,
        f"{package}._base_client:SyncAPIClient._sleep_for_retry": RETRY,
        f"{package}._base_client:AsyncAPIClient._sleep_for_retry": RETRY,
        f"{package}._base_client:BaseClient._process_response_data": PARSED,
        f"{package}._streaming:Stream.__stream__": STREAM,
        f"{package}._streaming:Stream.close": CLOSE,
        f"{package}._streaming:AsyncStream.__stream__": STREAM,
        f"{package}._streaming:AsyncStream.close": CLOSE,
        **(more or {}),
    }
    return [Target(path, lambda _, it=watch: it) for path, watch in watches.items()]


class RequestWatch:
    """
    A request: a call of a model, if its path says so.
    """

    def __init__(self, provider: str) -> None:
        self._provider = provider

    def called(self, frame: "FrameType") -> "RequestCall | None":
        if not get_state():
            return None
        given = frame.f_locals
        options = given["options"]
        if options.method != "post":
            return None
        request = asked(options.url, options.json_data, self._provider)
        if request is None:
            return None
        call = let(begin, request)
        return None if call is None else RequestCall(call, is_stream=given["stream"])


class RequestCall:
    """
    One request, until its answer has come or begins to come.
    """

    __slots__ = ("_call", "_is_stream")

    def __init__(self, call: "Own | Inner", *, is_stream: bool) -> None:
        self._call = call
        self._is_stream = is_stream

    def returned(self, value: "Any") -> None:
        raw = getattr(value, "http_response", None)
        response = getattr(value, "response", None) if raw is None else raw
        if response is not None and (self._is_stream or not _is_read(response)):
            keep(response, self._call)
        else:
            let(self._call.returned, value if raw is None else guarded(raw, _json))

    def raised(self, exc: BaseException) -> None:
        let(self._call.raised, exc)

    def suspended(self, item: object) -> None:
        """
        Wait; the task that does so is in the same state.
        """

    def resumed(self) -> None:
        """
        Go on in it.
        """


def _is_read(response: "Any") -> bool:
    return bool(getattr(response, "is_stream_consumed", True))


def _json(response: "Any") -> object:
    return response.json()


def keep(response: "Any", call: "Own | Inner") -> None:
    """
    Let *call* go on until what is in *response* has been read, or is dropped.
    """
    key = id(response)
    call.streams()
    _streams[key] = (weakref.ref(response, lambda _: _streams.pop(key, None)), call)


def taken(response: object) -> "Own | Inner | None":
    """
    Give the call whose answer *response* holds; once.
    """
    kept = _streams.get(id(response))
    if kept is None or kept[0]() is not response:
        return None
    del _streams[id(response)]
    return kept[1]
