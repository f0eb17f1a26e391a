"""
`SSEHandler`: what happens in a request, as a stream of server-sent events.
"""

from threading import Timer
from typing import TYPE_CHECKING, Literal

from instrument import _report
from instrument._delivery.loops import in_trio, running_loop
from instrument._interrupts import Taking
from instrument._state import DISABLED
from instrument.handlers._shared.checks import checked_seconds, checked_size
from instrument.handlers._shared.page_handler import PageHandler
from instrument.handlers._shared.waiters import ThreadWaiter, task_waiter, woken
from instrument.handlers._sse.mailbox import Mailbox

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Generator, Mapping
    from typing import Any

    from instrument._payloads.event import Event

_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
}
_BEAT = b": still here\n\n"
_resumable: "dict[str, SSEHandler]" = {}


class SSEHandler(PageHandler):
    """
    The body of a streaming response: an iterator and an async iterator of bytes.

    Run the request beside it, in a task or thread of its own, under a block with this
    handler; the stream ends when the block does, with an error frame if that was left
    by an exception. A reader who goes before has the request stopped, as `stop` does.
    One handler serves one request.

    Args:
        protocol: What the page reads: ``ai-sdk`` for ``useChat``, ``ag-ui`` for
            ``HttpAgent``, ``openai`` for any client of chat completions, ``native``
            for an ``EventSource`` of your own.
        payload: ``tokens`` or ``all``, as for `WebSocketHandler`.
        asked: What the client has sent, as JSON: given back are the ``threadId`` and
            ``runId`` of AG-UI, and the ``model`` of a completion.
        maxsize: How many frames wait for a slow reader; then the run waits. Sync code on
            the reader's own loop cannot, and drops what is beyond twice that.
        timeout_s: How long anybody waits for the reader, who is given up then.
        heartbeat_s: After so long without a frame a comment is sent, by which servers
            and proxies find out whether the reader is there.
        resume_s: How long a ``native`` stream whose reader has gone waits for another
            one, who begins with the latest *maxsize* frames, or by `resumed` behind the
            last that it has got. 0 keeps none: then the request is stopped.

    Attributes:
        headers: Those of the response.

    Raises:
        TypeError: For another type.
        ValueError: For another choice, or a number out of range.
    """

    def __init__(
        self,
        *,
        protocol: Literal["ai-sdk", "ag-ui", "openai", "native"] = "ai-sdk",
        payload: Literal["all", "tokens"] = "tokens",
        asked: "Mapping[str, Any] | None" = None,
        maxsize: int = 1_000,
        timeout_s: float = 30.0,
        heartbeat_s: float = 15.0,
        resume_s: float = 0,
    ) -> None:
        super().__init__(protocol, payload)
        if asked is not None:
            self._encoder.take(asked)
        name = "SSEHandler({}=...)".format
        checked_size(name("maxsize"), maxsize)
        self._timeout_s = checked_seconds(name("timeout_s"), timeout_s)
        self._beat_s = checked_seconds(name("heartbeat_s"), heartbeat_s)
        self._resume_s = 0.0
        if resume_s != 0:
            self._resume_s = checked_seconds(name("resume_s"), resume_s)
            if protocol != "native":
                message = f"SSEHandler(resume_s=...) is for native, not {protocol!r}."
                raise ValueError(message)
        self._has_ids = protocol == "native"
        self._box = Mailbox(maxsize, maxsize if self._resume_s else 0)
        self._readers = 0
        self._is_read = self._is_resumed = False
        self._traces: set[str] = set()
        self._has_gone = False
        self.headers = {**_HEADERS, **self._encoder.headers}
        if DISABLED:  # nobody will say when it ends
            self._box.end()

    @property
    def closed(self) -> bool:
        """
        Whether the reader has gone before the end.
        """
        return self._has_gone

    @property
    def dropped(self) -> int:
        """
        How many events found no place.
        """
        return self._box.dropped

    @classmethod
    def resumed(cls, last_event_id: str | None) -> "SSEHandler | None":
        """
        Give the stream to go on reading, behind what a page has got already.

        Args:
            last_event_id: The header ``Last-Event-ID`` that its browser has sent.

        Returns:
            None if there is none that could go on there. Whoever knows the id is let
            read, so ask first whether the request is this user's.
        """
        trace = (last_event_id or "").partition(":")[0]
        stream = _resumable.get(trace)
        if stream is None or last_event_id is None:
            return None
        return stream if stream._goes_back(last_event_id) else None

    def on_event(self, event: "Event", **kwargs: "Any") -> "Awaitable[None] | None":
        taking = Taking()
        self._meet(event)
        box = self._box
        is_token = event.event == "on_llm_new_token"
        if box.is_ended:
            return None
        if not (_is_in_thread() or box.takes(is_expendable=is_token)):
            return None
        if self._resume_s:
            self._remember(str(event.trace_id))
        self._framing.tell(event, taking)
        if box.is_full and not event.event.endswith(("_end", "_error")):
            return self._held_up()
        return None  # a request that is cancelled waits for nobody

    def flush(self) -> None:
        """
        End, when what is here has been read; called when the block is left.
        """
        taking = Taking()
        error = self._end_of_request()
        if self._box.is_ended:
            return
        self._framing.end(error)
        closing = self._encoder.closing(error)
        if closing is not None:
            self._box.put(None, f"{closing}\n\n".encode("ascii"), Taking())
        self._box.end()
        taking.is_taken = True
        if not self._is_read:
            self._wait_for_reader()

    def close(self) -> None:
        """
        Stop reading: what WSGI servers call. Before the end, that stops the request.
        """
        self._readers += 1
        self._left()

    async def aclose(self) -> None:
        """
        The same in async code.
        """
        self.close()

    def __iter__(self) -> "Generator[bytes, None, None]":
        return self._read(self._next_reader())

    def __aiter__(self) -> "AsyncGenerator[bytes, None]":
        return self._aread(self._next_reader())

    def _next_reader(self) -> int:
        self._readers += 1
        self._box.wake()  # one that reads already ends
        if self._resume_s and not self._is_resumed:
            self._box.go_to_start()
        self._is_resumed = False
        return self._readers

    def _read(self, reader: int) -> "Generator[bytes, None, None]":
        self._is_read = True
        try:
            while reader == self._readers:
                frame = self._box.take()
                if frame is not None:
                    yield frame
                elif self._box.is_done:
                    return
                else:
                    waiter = ThreadWaiter()
                    if self._box.sleeps(waiter) and not waiter.wait(self._beat_s):
                        yield _BEAT
        finally:
            if reader == self._readers:
                self._left()

    async def _aread(self, reader: int) -> "AsyncGenerator[bytes, None]":
        self._is_read = True
        try:
            while reader == self._readers:
                frame = self._box.take()
                if frame is not None:
                    yield frame
                elif self._box.is_done:
                    return
                else:
                    waiter = task_waiter()
                    if self._box.sleeps(waiter) and not await woken(
                        waiter, self._beat_s
                    ):
                        yield _BEAT
        finally:
            if reader == self._readers:
                self._left()

    def _put(self, line: str, event: "Event | None", taking: Taking) -> None:
        id = None
        if self._has_ids and event is not None:
            id = f"{event.trace_id}:{event.seq}"
        told = f"id: {id}\n" if id else ""
        self._box.put(id, f"{told}data: {line}\n\n".encode("ascii"), taking)

    @property
    def _can_ask(self) -> bool:
        return self._encoder.can_ask and not self._box.is_ended

    def _held_up(self) -> "Awaitable[None] | None":
        if not _is_in_thread():
            return self._hold()
        place = ThreadWaiter()
        self._box.hold(place)
        if not place.wait(max(self._timeout_s, self._resume_s)):
            self._give_up()
        return None

    async def _hold(self) -> None:
        place = task_waiter()
        self._box.hold(place)
        try:
            if not await woken(place, max(self._timeout_s, self._resume_s)):
                self._give_up()
        finally:
            self._box.let_go(place)

    def _give_up(self) -> None:
        if not self._has_gone:
            took = TimeoutError(f"the reader took too little in {self._timeout_s} s")
            _report.failed(self, "read", took)
            self._go()

    def _left(self) -> None:
        """
        Note that nobody reads any more: at the end, or before it.
        """
        self._is_read = self._is_resumed = False
        if self._resume_s:
            self._wait_for_reader()
        elif not self._box.is_done:
            self._go()

    def _go(self) -> None:
        is_over = self._box.is_ended
        self._has_gone = not self._box.is_done
        self._box.end(discard=True)
        self._forget()
        if not is_over:
            self.stop()

    def _remember(self, trace: str) -> None:
        if trace not in self._traces:
            self._traces.add(trace)
            _resumable[trace] = self

    def _forget(self) -> None:
        for trace in self._traces:
            _resumable.pop(trace, None)

    def _goes_back(self, last_event_id: str) -> bool:
        if not self._box.go_back(last_event_id):
            return False
        self._readers += 1  # whoever reads now has lost its connection
        self._is_read = False
        self._box.wake()
        self._wait_for_reader()
        self._is_resumed = self._box.go_back(last_event_id)  # it may have gone on
        return self._is_resumed

    def _wait_for_reader(self) -> None:
        if self._resume_s:
            timer = Timer(self._resume_s, self._is_late, (self._readers,))
            timer.daemon = True
            try:
                timer.start()
            except RuntimeError:  # no thread is to be had, as at exit
                self._go()

    def _is_late(self, reader: int) -> None:
        if reader == self._readers and not self._is_read:
            self._go()


def _is_in_thread() -> bool:
    """
    Tell whether who is heard here can be held up, and so needs no place to be kept free.
    """
    return running_loop() is None and not in_trio()
