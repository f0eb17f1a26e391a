"""
An open block: what stands in the one ContextVar while it is.
"""

import sys

from instrument._audience.plan import EPOCH, NOBODY, UNSETTLED, Layer, Options, Plan
from instrument._audience.sampling import ARRIVED
from instrument._delivery.loops import FORKS, running_loop
from instrument._state import MUTED, Frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable
    from contextvars import Token
    from typing import Any

    from instrument._audience.audience import Audience
    from instrument._runs.run import Run
    from instrument._state import Less


_loop_of_now: "Callable[[], AbstractEventLoop | None] | None" = None


class Scope(Frame, Layer, Plan):
    """
    An open block: a frame, the layer it adds, and the plan that results.

    It is all three itself, without a reference to itself, so that it goes at once.

    Attributes:
        run: The run in hand where the block was entered, or None.
    """

    __init__ = object.__init__  # none of its own takes 700 instructions less
    rank = "block"
    run: "Run | None"
    _token: "Token[Any] | None"
    _mended: "Plan | None"
    _original: "Scope | None"

    def __repr__(self) -> str:
        return f"<Scope of {', '.join(names_of(self.options)) or 'no handler'}>"

    @property
    def layer(self) -> "Scope":  # type: ignore[override]
        return self._original or self

    @property
    def _layers(self) -> "tuple[Layer, ...]":  # type: ignore[override]
        return (self.layer,)

    @property
    def _plan(self) -> "Plan":  # type: ignore[override]
        return self._mended or self

    def _joined(self, epoch: int) -> "Audience | None":
        """
        Give who hears where that is known but for the handlers of this block, which
        gives nothing else.
        """
        options, outer = self.options, self.outer
        if (
            self.closed
            or self._original is not None
            or outer.own  # type: ignore[union-attr]
            or ARRIVED
            or options.sample != 1.0
            or not (options.inherit and options.capture and options.plumbing)
            or (options.tags or options.metadata or options.redactors)
        ):
            return None
        known = outer.audience  # type: ignore[union-attr]
        if known.epoch != epoch:
            if outer is not NOBODY:  # blocks in blocks would take a stack as deep
                return None
            known = outer.settle()
        made = known.joined(self)
        made.epoch = epoch  # whatever has changed since then has changed it too
        return made

    def cloned(self, outer: object, less: "Less") -> "Scope":
        made: Scope = Scope()
        vars(made).update(vars(self))
        made._original = self.layer
        made._outer = outer
        made._mended = less(self._plan)
        return made


def opened(owner: "Options", state: "Any") -> Scope:
    """
    Make the scope of a block that *owner* opens in that state.
    """
    scope: Scope = Scope()
    scope.options = scope._owner = owner
    scope._outer, scope._is_gone = state, False
    scope._mended = scope._original = scope._token = scope.lanes = None
    scope._entered_from = scope.own = ()
    scope.closed = False
    scope.audience = UNSETTLED
    if state.__class__ is dict or state is MUTED:
        scope.run, scope.outer = None, NOBODY
    else:
        scope.run = state if state._is_run else state.run
        scope.outer = state._plan
    # as `running_loop`, which is a call more; and where asyncio has been met, no look
    scope.loop = _loop_of_now() if _loop_of_now is not None else _look_for_loop()
    if FORKS.count:
        scope.forks = FORKS.count
    return scope


def _look_for_loop() -> "AbstractEventLoop | None":
    """
    Give the loop that runs here, and remember how to ask once there are any.
    """
    global _loop_of_now
    events = sys.modules.get("asyncio.events")
    if events is not None and not getattr(events.__spec__, "_initializing", False):
        _loop_of_now = events._get_running_loop  # whole: no thread is importing it
    return running_loop()


def close(scope: Scope) -> None:
    """
    Have *scope*, left from another Context than its own, be heard in no copy of that.
    """
    scope.closed = scope._is_gone = True
    scope._token = None  # it holds the Context, and that this
    EPOCH.end()
    scope.unsettle()


def names_of(options: Options) -> "list[str]":
    """
    Give the names of the classes of its handlers.
    """
    return [type(it.handler).__name__ for it in options.listeners]
