"""
Clients that Stainless makes.

Every resource, helper, raw response and copy of a client posts through its public
``request``: once per logical call, however often that is retried.
"""

import inspect
from functools import partial

from instrument._hearing.calls import body_of, end_closed
from instrument._hearing.operations import posted
from instrument._hearing.passing import end_read, is_events, is_response
from instrument._hearing.wrapped.streams import (
    LATER,
    amake_call,
    hear_closing,
    hear_passing,
    hear_stream,
    heard_as,
    is_stream,
    make_call,
)
from instrument._hearing.wrapped.twins import Twin, twin_of
from instrument._payloads.messages import get
from instrument._runs.merging import SORTS
from instrument._runs.opening import current_run
from instrument._runs.results import guarded
from instrument._state import get_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument._hearing.calls import Asked, Call


class PostRule:
    """
    What is heard of the clients of one package: all that they post.
    """

    def __init__(self, provider: str, mixin: type) -> None:
        self._mixin = type("Heard", (mixin,), {"_instrument_provider": provider})

    def wrapped(self, client: "Any") -> "Any":
        """
        Give a client like this one whose calls are heard.
        """
        return twin_of(client, self._mixin)


def rules(package: str) -> "dict[str, PostRule]":
    """
    Give what is heard of the clients of *package*, by the names of their base classes.
    """
    return {
        "SyncAPIClient": PostRule(package, Client),
        "AsyncAPIClient": PostRule(package, AsyncClient),
    }


class Client(Twin):
    """
    Over the class of a client.
    """

    def request(self, cast_to: "Any", options: "Any", **kwargs: "Any") -> "Any":
        send = partial(super().request, cast_to, options, **kwargs)  # type: ignore[misc]
        return make_call(_asked(self, options), send, _takes(kwargs))

    def _prepare_request(self, request: "Any") -> None:
        super()._prepare_request(request)  # type: ignore[misc]
        _tell_retry(request)


class AsyncClient(Twin):
    """
    Over the class of an async client.
    """

    async def request(self, cast_to: "Any", options: "Any", **kwargs: "Any") -> "Any":
        send = partial(super().request, cast_to, options, **kwargs)  # type: ignore[misc]
        return await amake_call(_asked(self, options), send, _takes(kwargs))

    async def _prepare_request(self, request: "Any") -> None:
        await super()._prepare_request(request)  # type: ignore[misc]
        _tell_retry(request)


def _tell_retry(request: "Any") -> None:
    """
    Tell that a request is sent once more: the SDK counts in a header how often it was.

    Called by what the SDKs call for each HTTP request, for subclasses to override.
    """
    run = current_run()
    if run and run.kind in SORTS:
        count = request.headers.get("x-stainless-retry-count", "")
        if count.isdecimal() and int(count):
            run.retry(int(count))


def _asked(client: "Any", options: "Any") -> "Asked | None":
    if not get_state():
        return None
    given = client._instrument_provider, options
    return guarded(given, _read)  # type: ignore[no-any-return]


def _read(given: "tuple[str, Any]") -> "Asked | None":
    provider, options = given
    extra: Any = getattr(options, "extra_json", None)
    return posted(provider, options.url, options.json_data, extra)


def _takes(kwargs: "dict[str, Any]") -> "partial[tuple[object, Any]]":
    return partial(_taken, in_pieces=bool(kwargs.get("stream")))


def _taken(call: "Call", result: "Any", *, in_pieces: bool) -> "tuple[object, Any]":
    """
    Give the whole answer, or `LATER`, and what the caller gets.
    """
    if is_stream(result):
        call.go_on(in_pieces=True)
        stream = hear_stream(call, result)
        hear_closing(stream)
        return LATER, stream
    http = get(result, "http_response")
    if http is None:
        if not is_response(result):
            return result, result
        http = result
    if http.is_closed:  # a raw response whose body has been read
        return LATER if end_read(call, http) else body_of(http), result
    in_pieces = in_pieces or is_events(http)
    call.go_on(in_pieces=in_pieces)
    if in_pieces:
        hear_passing(call, http)
    is_async = inspect.iscoroutinefunction(result.parse)
    return LATER, heard_as(result, _async_raw_over if is_async else _raw_over, call)


def _parsed(call: "Call", http: "Any", result: "Any") -> "Any":
    if not is_stream(result):
        return result
    hear_passing(None, http)  # the stream reads it
    return hear_stream(call, result)


def _raw_over(cls: "Any") -> type:
    """
    Make a class over that of a raw response whose body is still to be read.
    """

    class Heard(cls):  # type: ignore[misc]
        def parse(self, **kwargs: "Any") -> "Any":
            try:
                result = super().parse(**kwargs)
            except BaseException as exc:
                self._instrument_call.raised(exc)
                raise
            return _parsed(self._instrument_call, self.http_response, result)

        def close(self) -> None:
            was_read = self.http_response.is_closed
            super().close()
            end_closed(self._instrument_call, self.http_response, was_read)

    return Heard


def _async_raw_over(cls: "Any") -> type:
    """
    Make the same of an async client's.
    """

    class Heard(cls):  # type: ignore[misc]
        async def parse(self, **kwargs: "Any") -> "Any":
            try:
                result = await super().parse(**kwargs)
            except BaseException as exc:
                await self._instrument_call.araised(exc)
                raise
            return _parsed(self._instrument_call, self.http_response, result)

        async def close(self) -> None:
            was_read = self.http_response.is_closed
            await super().close()
            end_closed(self._instrument_call, self.http_response, was_read)

    return Heard
