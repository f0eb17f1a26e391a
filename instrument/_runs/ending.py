"""
How a run begins and ends: every start has exactly one terminal event.

`start`, `finish` and `fail` work in sync code. Their twins `astart`, `afinish` and
`afail` return what is to be awaited, or None where no handler is async.
"""

import sys

from instrument import _ids
from instrument._delivery.flush import aflush_given, flush_given
from instrument._delivery.loops import cancellations, shield
from instrument._runs.opening import endings, open_parent
from instrument._runs.run import Run
from instrument._runs.starting import failing, returning, starting
from instrument._state import MUTED, chain, get_state, set_state, without

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from instrument._delivery.dispatch import Delivery

    Pending = Coroutine[Any, Any, None]


def start(run: Run, after: "Any" = None) -> None:
    """
    Tell that *run* starts, and make it current.

    Args:
        after: The state to go back to instead, of a run that will not be current.

    Raises:
        Exception: What a handler with ``raise_error`` raised; the run has ended then.
    """
    if after is None:
        after = run
    set_state(MUTED)
    try:
        rest = starting(run)
        if rest is not None:
            rest.now()
    except BaseException as exc:
        set_state(after)
        fail(run, exc)
        raise
    set_state(after)


def astart(run: Run) -> "Pending | None":
    """
    The same in async code.
    """
    set_state(MUTED)
    try:
        rest = starting(run)
        waiting = None if rest is None else rest.step()
    except BaseException as exc:
        set_state(run)
        fail(run, exc)
        raise
    if rest is not None and (waiting is not None or rest.error is not None):
        return _start_later(run, rest, waiting)
    set_state(run)
    return None


async def _start_later(run: Run, rest: "Delivery", waiting: "Any") -> None:
    try:
        await rest.later(waiting)
    except BaseException as exc:
        set_state(run)
        pending = afail(run, exc)
        if pending is not None:
            await pending
        raise
    set_state(run)


def finish(run: Run, outputs: object) -> None:
    """
    End *run* with what it returned, and go back to the state before it.

    Raises:
        Exception: What a handler with ``raise_error`` raised.
    """
    if run._ended_ns is not None:
        return
    state = get_state()
    parent = run._parent
    outer = run._outer
    if (
        (state is run or outer is None)
        and (parent is None or parent._ended_ns is None)
        and not run._open_children
    ):
        run._ended_ns = _ids.clock_ns()  # `_close`, where nothing is out of order
        run.status = "ok"
        after = outer if state is run else state
        run._outer = None
        set_state(MUTED)
    else:
        after = _close(run, "ok")
    try:
        rest = returning(run, outputs)
        if rest is not None:
            rest.now()
    finally:
        run._call = None
        set_state(after)
        if run._layers:
            flush_given(run)
    if run.parent_id is None and run._audience.waits:
        _wait_for_background(run)


def fail(run: Run, exc: BaseException) -> None:
    """
    End *run* with what was raised in it, and go back to the state before it.

    Raises:
        Exception: What a handler with ``raise_error`` raised.
    """
    if run._ended_ns is not None:
        return
    if isinstance(exc, RecursionError):
        _recover(run, exc)
    after = _close(run, _status(exc), exc)
    try:
        rest = failing(run, exc)
        if rest is not None:
            rest.now()
    finally:
        run._call = None
        set_state(after)
        if run._layers:
            flush_given(run)
    if run.parent_id is None and run._audience.waits:
        _wait_for_background(run)


def afinish(run: Run, outputs: object) -> "Pending | None":
    """
    The twin of `finish`.
    """
    if run._ended_ns is not None:
        return None
    end = _aend_given if run._layers else _aend
    return end(run, "ok", returning, outputs)


def afail(run: Run, exc: BaseException) -> "Pending | None":
    """
    The twin of `fail`.

    What a cancelled run has to tell is queued, and waited for behind a shield; a
    coroutine that is being closed can wait for nothing.
    """
    if run._ended_ns is not None:
        return None
    end = _aend_given if run._layers else _aend
    return end(run, _status(exc), failing, exc)


def _aend_given(
    run: Run,
    status: str,
    tell: "Callable[[Run, Any], Delivery | None]",
    value: object,
) -> "Pending | None":
    """
    End a run whose constructor or call was given handlers.
    """
    try:
        pending = _aend(run, status, tell, value)
    except BaseException:
        flush_given(run)
        raise
    return aflush_given(run, pending)


def _aend(
    run: Run,
    status: str,
    tell: "Callable[[Run, Any], Delivery | None]",
    value: object,
) -> "Pending | None":
    after = _close(run, status, value)
    try:
        rest = tell(run, value)
        waiting = None if rest is None else rest.step()
        if rest is None or (waiting is None and rest.error is None):
            run._call = None
            set_state(after)
            return None
        if status in ("ok", "error"):
            return _end_later(run, rest, waiting, after)
        while waiting is not None:
            waiting = rest.put_off(waiting)
        if status == "cancelled":
            return _settle_later(run, rest, after)
    except BaseException:
        set_state(after)
        raise
    set_state(after)
    if rest.error is not None:
        raise rest.error
    return None


async def _end_later(run: Run, rest: "Delivery", waiting: "Any", after: object) -> None:
    try:
        await rest.later(waiting)
    finally:
        run._call = None
        set_state(after)


async def _settle_later(run: Run, rest: "Delivery", after: object) -> None:
    from instrument._delivery import lanes as _lanes

    try:
        with shield():
            await _lanes.settle([layer for _, layer in run._audience.listeners])
    except (
        cancellations()
    ):  # cancelled once more; what is queued is served all the same
        pass
    finally:
        set_state(after)
    if rest.error is not None:
        raise rest.error


def _close(run: Run, status: str, exc: object = None) -> "Any":
    """
    Mark *run* as ended, and mute; what it left open below it ends with it.

    Returns:
        The state to go back to.
    """
    if run._open_children:
        left = exc if isinstance(exc, BaseException) else GeneratorExit()
        for end_below in endings:
            end_below(run, left)
    run._ended_ns = _ids.clock_ns()
    run.status = status
    state = get_state()
    if state is run:
        after, run._outer = run._outer, None
    else:
        after = state if run._outer is None else without(state, run)
        if after is state:  # ended from another Context: leave the chain of its own
            run._is_gone = True
        else:
            run._outer = None
    parent = run._parent
    if parent is not None and parent._ended_ns is not None:
        run._parent = open_parent(parent)
    set_state(MUTED)
    return after


def _recover(run: Run, exc: RecursionError) -> None:
    """
    End what is above *run* and could not be ended where the stack was full.
    """
    state = get_state()
    if all(link is not run for link in chain(state)):
        return  # a framework's, which was never current
    while state.__class__ is Run and state is not run and state._ended_ns is None:
        outer = state._outer
        fail(state, exc)
        state = outer
    set_state(run)


def _status(exc: BaseException) -> str:
    if isinstance(exc, (GeneratorExit, *_departures())):
        return "abandoned"
    return "cancelled" if isinstance(exc, cancellations()) else "error"


def _departures() -> "tuple[type[BaseException], ...]":
    """
    Give the exception types by which LangGraph leaves a node that has not failed: it
    waits for a human, or hands over to another graph.
    """
    module = sys.modules.get("langgraph.errors")
    return () if module is None else (module.GraphBubbleUp,)


def _wait_for_background(run: Run) -> None:
    """
    Let the outermost run wait for handlers that no block will wait for.
    """
    layers = [layer for layer in run._audience.waits if layer.lanes]
    if layers:
        from instrument._delivery import lanes as _lanes

        _lanes.wait(layers)
