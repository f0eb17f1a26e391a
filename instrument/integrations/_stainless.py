"""
The SDKs that Stainless makes: OpenAI's, Anthropic's, Groq's, Together's.

All their calls go through ``request`` of one base class, whose ``options`` hold what is
sent. A stream is known by its HTTP response, which the raw response and the stream that
is made of it later share.
"""

import weakref
from functools import partial

from instrument._calls import begin
from instrument._current import current_run
from instrument._monitor import NOTHING
from instrument._requests import of_body
from instrument._state import get_state
from instrument._targets import Target
from instrument._tell import guarded
from instrument._watch import let

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

    from instrument._calls import Own
    from instrument._merge import Inner
    from instrument._monitor import Watch


def targets(package: str, more: "dict[str, Any] | None" = None) -> "list[Target]":
    """
    Give what is to be heard of *package*, after which its provider is called.

    Args:
        more: Paths of further functions, and what watches them.
    """
    request = RequestWatch(package)
    watches: dict[str, Watch] = {
        f"{package}._base_client:SyncAPIClient.request": request,
        f"{package}._base_client:AsyncAPIClient.request": request,
        f"{package}._base_client:SyncAPIClient._sleep_for_retry": RETRY,
        f"{package}._base_client:AsyncAPIClient._sleep_for_retry": RETRY,
        f"{package}._response:BaseAPIResponse._parse": PARSED,
        f"{package}._streaming:Stream.__stream__": STREAM,
        f"{package}._streaming:Stream.close": CLOSE,
        f"{package}._streaming:AsyncStream.__stream__": STREAM,
        f"{package}._streaming:AsyncStream.close": CLOSE,
        **(more or {}),
    }
    return [Target(path, partial(_same, watch)) for path, watch in watches.items()]


def _same(watch: "Watch", function: object) -> "Watch":
    return watch


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
        body = options.json_data
        if options.extra_json and isinstance(body, dict):
            body = {**body, **options.extra_json}
        request = of_body(self._provider, options.url, body)
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
        if self._is_stream and response is not None:
            keep(response, self._call, in_pieces=True)
        elif raw is not None and not raw.is_closed:
            keep(response, self._call, in_pieces=False)
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


def _json(response: "Any") -> object:
    return response.json()


class _Kept:
    """
    A call whose answer is still to be read from *response*.
    """

    __slots__ = ("call", "in_pieces", "response")

    def __init__(
        self, response: "Any", call: "Own | Inner", *, in_pieces: bool
    ) -> None:
        key = id(response)
        self.response = weakref.ref(response, lambda _: _kept.pop(key, None))
        self.call = call
        self.in_pieces = in_pieces


_kept: "dict[int, _Kept]" = {}
"""By the id of the HTTP response, of which it is the only thing that all have."""


def keep(response: "Any", call: "Own | Inner", *, in_pieces: bool) -> None:
    """
    Let *call* go on until *response* has been read, was closed, or is dropped.
    """
    call.go_on(in_pieces=in_pieces)
    _kept[id(response)] = _Kept(response, call, in_pieces=in_pieces)


def kept_of(response: object) -> _Kept | None:
    """
    Give the call whose answer *response* holds.
    """
    kept = _kept.get(id(response))
    return kept if kept is not None and kept.response() is response else None


class StreamWatch:
    """
    The generator that makes objects of what comes.
    """

    def called(self, frame: "FrameType") -> "StreamCall | None":
        if not _kept:
            return None
        response = frame.f_locals["self"].response
        kept = kept_of(response)
        return None if kept is None else StreamCall(id(response), kept.call)


class StreamCall:
    """
    One stream, from its first chunk on.
    """

    __slots__ = ("_call", "_key")

    def __init__(self, key: int, call: "Own | Inner") -> None:
        self._key = key
        self._call = call

    def suspended(self, item: object) -> None:
        if item is not NOTHING:
            let(self._call.item, item)

    def resumed(self) -> None:
        """
        Go on; the consumer's state is not changed.
        """

    def returned(self, value: object) -> None:
        _kept.pop(self._key, None)
        let(self._call.returned, None)

    def raised(self, exc: BaseException) -> None:
        _kept.pop(self._key, None)
        let(self._call.raised, exc)


class AtReturn:
    """
    A function that ends what is kept of its object's HTTP response, when it returns.

    Args:
        find: Gives that response.
        end: Takes the call and what was returned.
    """

    def __init__(
        self,
        find: "Callable[[Any], Any]",
        end: "Callable[[_Kept, Any], None]",
    ) -> None:
        self._find = find
        self._end = end

    def called(self, frame: "FrameType") -> "Ending | None":
        if not _kept:
            return None
        kept = kept_of(self._find(frame.f_locals["self"]))
        return None if kept is None else Ending(self._end, kept)


class Ending:
    """
    One call of such a function.
    """

    __slots__ = ("_end", "_kept")

    def __init__(self, end: "Callable[[_Kept, Any], None]", kept: _Kept) -> None:
        self._end = end
        self._kept = kept

    def returned(self, value: object) -> None:
        self._end(self._kept, value)

    def raised(self, exc: BaseException) -> None:
        let(self._kept.call.raised, exc)

    def suspended(self, item: object) -> None:
        """
        Wait.
        """

    def resumed(self) -> None:
        """
        Go on.
        """


def _parsed(kept: _Kept, value: object) -> None:
    if not kept.in_pieces:
        let(kept.call.returned, value)


def closed(kept: _Kept, _: object) -> None:
    """
    End a stream that was left early; nothing happens to one that has ended.
    """
    let(kept.call.raised, GeneratorExit())


class RetryWatch:
    """
    The pause before a request is sent again.
    """

    def called(self, frame: "FrameType") -> None:
        run = current_run()
        if run:
            let(run.retry, frame.f_locals["retries_taken"] + 1)


RETRY = RetryWatch()
STREAM = StreamWatch()
CLOSE = AtReturn(lambda stream: stream.response, closed)
PARSED = AtReturn(lambda raw: raw.http_response, _parsed)
