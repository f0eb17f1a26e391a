"""
`Request`: what is kept of a request until it has ended, and what is known of it;
`Later`: what is to be awaited to tell it.
"""

from collections import deque

from instrument import _ids
from instrument._audience.sampling import drawn
from instrument._payloads.event import TOKEN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from typing import Any

    from instrument._runs.run import Run
    from instrument.handlers._shared.prices import Prices
    from instrument.handlers._tail.rules import Rules

_MODELS = ("llm", "chat_model", "embedding")
_STARTS = "_start"
_TERMINAL = ("_end", "_error")
_TOKENS = (TOKEN, "on_stream_event")


class Call:
    """
    One call of the handler that is still to be made.

    Attributes:
        is_taken: Whether that is seen to: an interrupt does not have it kept once more.
        is_made: Whether it has been made.
        is_again: Whether it is made once more, as an interrupt had kept the handler from
            taking it.
    """

    __slots__ = ("args", "event", "is_again", "is_made", "is_taken", "kwargs", "method")

    def __init__(
        self,
        event: str,
        method: "Callable[..., Any] | None",
        args: "tuple[Any, ...]",
        kwargs: "dict[str, Any]",
    ) -> None:
        self.event = event
        self.method = method
        self.args = args
        self.kwargs = kwargs
        self.is_again = self.is_made = self.is_taken = False

    def __call__(self) -> "Any":
        self.is_made = True  # no interrupt comes between
        return self.method(*self.args, **self.kwargs)  # type: ignore[misc]


class Request:
    """
    A request, of which the handler has not heard yet.

    Args:
        root: The run with whose end it is over; None for a block.

    Attributes:
        is_kept: What was decided; None until it is over.
        is_told: Whether all that was kept has been told.
        runs: Those that the handler hears, where a rule of the application's own looks
            at them.
        lost: How many events were left out, as there were too many.
    """

    def __init__(self, root: "Run | None" = None) -> None:
        self.is_kept: bool | None = None
        self.is_told = False
        self.calls: deque[Call] = deque()
        self.runs: list[Run] = []
        self.lost = 0
        self._number: float | None = None
        self._root_id = None if root is None else root.id
        self._has_failed = False
        self._started_ns: int | None = None
        self._ended_ns = 0
        self._cost_usd = 0.0
        self._is_full = False

    def draw(self, run: "Run | None") -> float:
        """
        Give what its share is compared with: what has come in, or a block around it
        drew, else what its trace draws.

        Args:
            run: The first of it; None where nothing was heard.
        """
        if self._number is None:
            self._number = _fresh() if run is None else _drawn_for(run)
        return self._number

    def note(
        self, run: "Run", event: str, rules: "Rules", prices: "Prices | None"
    ) -> None:
        """
        Note what the rules ask for; of each start and end once.
        """
        if event.endswith(_STARTS):
            if self._started_ns is None:
                self._started_ns = run._started_ns
            if rules.asked:
                self.runs.append(run)
            if prices is not None and run.kind in _MODELS:
                prices.asked(run)
        elif event.endswith(_TERMINAL):
            self._ended_ns = max(self._ended_ns, run._ended_ns or 0)
            self._has_failed = self._has_failed or run.status == "error"
            if prices is not None and run.kind in _MODELS:
                self._cost_usd += prices.cost_usd(run) or 0.0

    def is_over(self, run: "Run", event: str) -> bool:
        """
        Tell whether it is over with *event*, where no block is left for it: with the
        end of its root, or at once where that is no run but an event outside any.
        """
        if run.id != self._root_id:
            return False
        return event.endswith(_TERMINAL) or self._started_ns is None

    def put(self, call: Call, most: int) -> None:
        """
        Keep *call* for later; beyond *most* tokens go first, and starts, ends and errors
        stay.
        """
        if len(self.calls) >= most and not self._is_full:
            self._is_full = True
            kept = [it for it in self.calls if it.event not in _TOKENS]
            self.lost += len(self.calls) - len(kept)
            self.calls = deque(kept)
        is_essential = call.event.endswith((_STARTS, *_TERMINAL))
        is_token = call.event in _TOKENS
        is_beyond = self._is_full and (is_token or len(self.calls) >= most)
        call.is_taken = True
        if is_beyond and not is_essential:
            self.lost += 1
        else:
            self.calls.append(call)

    def is_worth(self, rules: "Rules") -> bool:
        """
        Tell whether it is what the rules ask for.
        """
        if rules.error and self._has_failed:
            return True
        lasted_ns = self._ended_ns - (self._started_ns or self._ended_ns)
        if rules.slow_s is not None and lasted_ns > rules.slow_s * 1e9:
            return True
        return rules.cost_usd is not None and self._cost_usd > rules.cost_usd


class Later:
    """
    What is to be awaited. Closed, as where nobody can await it, it also lets go of what
    it would have awaited, which a coroutine that has not begun cannot.
    """

    def __init__(
        self, inner: "Coroutine[Any, Any, None]", let_go: "Callable[[], object]"
    ) -> None:
        self._inner = inner
        self._let_go = let_go

    def __await__(self) -> "Generator[Any, Any, None]":
        return self._inner.__await__()

    def close(self) -> None:
        self._inner.close()
        self._let_go()


def _drawn_for(run: "Run") -> float:
    audience = run._audience
    if audience.incoming is not None:
        return audience.incoming.number
    by_blocks = (it.number for it in audience.layers if it.number is not None)
    number = next(by_blocks, None)
    return drawn(run.trace_hex) if number is None else number


def _fresh() -> float:
    return drawn(_ids.trace_hex_of(_ids.mint(_ids.wall_ns())))
