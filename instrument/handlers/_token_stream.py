"""
`TokenStream`: what one task or thread produces, for another one to consume.
"""

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, Literal, TypeVar, overload

from instrument._audience.handler import BaseCallbackHandler
from instrument._delivery.loops import in_trio, running_loop
from instrument._forks import fork_lock
from instrument._interrupts import Taking
from instrument._state import DISABLED
from instrument._text import safe_repr
from instrument.handlers._shared.checks import checked_channels, checked_size
from instrument.handlers._shared.waiters import ThreadWaiter, task_waiter

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Self

    from instrument._payloads.event import Event
    from instrument._runs.run import Run
    from instrument.handlers._shared.waiters import Waiter

Item = TypeVar("Item")
_NOTHING: "Any" = object()
_END: "Any" = object()


class TokenStream(BaseCallbackHandler, Generic[Item]):
    """
    The tokens of one request, in order, as an iterator and as an async iterator.

    It ends when its block ends, or the call that it was given to, well or not, however
    many models spoke; an exception is raised where the request was called, not here.
    Whoever consumes runs beside it, in another task or thread, on any loop; of several
    consumers each gets other tokens. One that stops early holds nobody up: what is not
    fetched waits, up to *maxsize*, for the next one.

    One stream serves one block: a token after that raises, and so is reported. A block
    or coroutine that is never entered never ends, nor does a block in a handler, which
    hears nothing: whoever cancels a task before its first step calls `close`.
    Process-wide, it ends when it is uninstalled.

    Args:
        only: The name of the runs to hear, or one of their tags; or several.
        events: True for every `Event`, instead of the tokens as text.
        channels: Which tokens: ``text``, ``reasoning``, ``tool_call``. Of events there
            are all: `event.data["channel"]` tells which a token's is.
        maxsize: The most items that wait here; more are dropped.

    Attributes:
        dropped: How many items did not fit.

    Raises:
        TypeError: For another type.
        ValueError: If nothing could ever be heard.
    """

    wants_tokens = True

    @overload
    def __init__(
        self: "TokenStream[str]",
        only: "str | Iterable[str] | None" = None,
        *,
        events: Literal[False] = False,
        channels: "Iterable[str]" = ("text",),
        maxsize: int = 100_000,
    ) -> None: ...

    @overload
    def __init__(
        self: "TokenStream[Event]",
        only: "str | Iterable[str] | None" = None,
        *,
        events: Literal[True],
        maxsize: int = 100_000,
    ) -> None: ...

    def __init__(
        self,
        only: "str | Iterable[str] | None" = None,
        *,
        events: bool = False,
        channels: "Iterable[str]" = ("text",),
        maxsize: int = 100_000,
    ) -> None:
        self._channels = checked_channels("TokenStream(channels=...)", channels)
        self._only = _checked_only(only)
        self._maxsize = checked_size("TokenStream(maxsize=...)", maxsize)
        self._items: deque[Item] = deque()
        self._waiters: set[Waiter] = set()
        self._lock = fork_lock()
        self._is_closed = False
        self._is_ended = DISABLED  # nobody will say when
        self.dropped = 0
        if events:  # a method that is None is not called, and costs nothing
            self.on_llm_new_token = None  # type: ignore[assignment]
        else:
            self.on_event = None  # type: ignore[assignment]

    def on_llm_new_token(
        self, token: str, *, channel: str = "text", **kwargs: "Any"
    ) -> None:
        taking = Taking()
        if channel in self._channels:
            self._put(token, kwargs["run"], taking)

    def on_event(self, event: "Event", **kwargs: "Any") -> None:
        taking = Taking()
        self._put(event, kwargs["run"], taking)

    def flush(self) -> None:
        """
        End, when what is here has been fetched; called when the block is left.
        """
        self._is_ended = True
        self._wake()

    def close(self) -> None:
        """
        End at once, for both sides: nothing more is kept. From any thread.
        """
        self._is_closed = True
        self._items.clear()
        self.flush()

    async def aclose(self) -> None:
        """
        The same in async code, for ``contextlib.aclosing``.
        """
        self.close()

    def __iter__(self) -> "Self":
        return self

    def __next__(self) -> Item:
        """
        Wait for the next item.

        Raises:
            RuntimeError: If it would have to wait on a thread where a loop runs.
        """
        while (item := self._take()) is _NOTHING:
            if running_loop() is not None or in_trio():
                raise RuntimeError(_BLOCKS)
            waiter = ThreadWaiter()
            try:
                if self._sleeps(waiter):
                    waiter.wait()
            finally:
                self._waiters.discard(waiter)
        if item is _END:
            raise StopIteration
        return item  # type: ignore[no-any-return]

    def __aiter__(self) -> "Self":
        return self

    async def __anext__(self) -> Item:
        """
        Wait for the next item, in asyncio or trio.
        """
        while (item := self._take()) is _NOTHING:
            waiter = task_waiter()
            try:
                if self._sleeps(waiter):
                    await waiter.wait()
            finally:
                self._waiters.discard(waiter)
        if item is _END:
            raise StopAsyncIteration
        return item  # type: ignore[no-any-return]

    def _put(self, item: "Any", run: "Run", taking: Taking) -> None:
        only = self._only
        if only and run.name not in only and only.isdisjoint(run.tags):
            return
        if self._is_ended:
            if not self._is_closed:
                raise RuntimeError(_LATE)
            return
        if len(self._items) >= self._maxsize:
            with self._lock:
                self.dropped += 1
            return
        taking.is_taken = True
        self._items.append(item)
        if self._is_closed:  # just now, by another thread
            self._items.clear()
        self._wake()

    def _take(self) -> "Any":
        is_ended = self._is_ended  # asked first: what came before the end is given
        try:
            return self._items.popleft()
        except IndexError:
            return _END if is_ended else _NOTHING

    def _sleeps(self, waiter: "Waiter") -> bool:
        """
        Have *waiter* woken; tell whether there is still something to wait for.
        """
        self._waiters.add(waiter)
        return not (self._items or self._is_ended)

    def _wake(self) -> None:
        while self._waiters:
            with suppress(KeyError):  # another thread wakes as well
                self._waiters.pop().wake()


def _checked_only(only: "str | Iterable[str] | None") -> frozenset[str]:
    if only is None:
        return frozenset()
    names = (only,) if isinstance(only, str) else only
    try:
        made = frozenset(names)
    except TypeError:
        made = frozenset((None,))  # type: ignore[arg-type]
    if not all(isinstance(name, str) for name in made):
        message = (
            "TokenStream(only=...) is a name or a tag, or several of them, not"
            f" {safe_repr(only)}."
        )
        raise TypeError(message)
    if not made:
        message = (
            f"TokenStream(only={safe_repr(only)}) would hear nothing: give a name or a"
            " tag, or leave it out."
        )
        raise ValueError(message)
    return made


_LATE = (
    "a token came after the end of this TokenStream, which serves one block: make one"
    " for each request"
)
_BLOCKS = (
    "TokenStream: a plain `for` would wait on a thread where an event loop runs. Use"
    " `async for`, or consume it in another thread."
)
