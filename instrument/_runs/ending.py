"""
How a run ends, and what that tells: every start has exactly one terminal event.

`finish` and `fail` work in sync code. Their twins `afinish` and `afail` return what is
to be awaited, or None where no handler is async.
"""

from contextlib import suppress

from instrument import _ids
from instrument._delivery.dispatch import Delivery
from instrument._delivery.flush import aflush_given, flush_given
from instrument._delivery.loops import shield
from instrument._interrupts import UNTOLD, has_room, is_of_call
from instrument._runs.leading import loosen
from instrument._runs.opening import (
    INERT,
    endings,
    framework_run,
    frameworks,
    open_parent,
)
from instrument._runs.outcome import (
    failing,
    let_go,
    rest_of_end,
    rest_of_start,
    returning,
    status_of,
)
from instrument._runs.run import Run
from instrument._state import MUTED, chain, get_state, set_state, without
from instrument._text import cancellations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    Pending = Coroutine[Any, Any, None]

owed: "dict[Run, BaseException | None]" = {}
"""Runs of which the full stack has kept something from those who hear, inner before
outer, and what they end with. To note one takes no call, for which there is no room."""


def finish(run: Run, outputs: object) -> None:
    """
    End *run* with what it returned, and go back to the state before it.

    Raises:
        Exception: What a handler with ``raise_error`` raised.
    """
    if run._ended_ns is not None:
        return
    state, outer, rest = get_state(), run._outer, UNTOLD
    after = outer if state is run else state
    try:
        parent = run._parent
        if (
            (state is run or outer is None)
            and (parent is None or parent._ended_ns is None)
            and not (run._open_children or owed or run._below)
        ):
            run._ended_ns = _ids.clock_ns()  # `_close`, where nothing is out of order
            run.status = "ok"
            run._outer = None
            set_state(MUTED)
        else:
            _postpone(run)
            after = _close(run, "ok")
        rest = returning(run, outputs)
        if rest is not None:
            rest.now()
        run._call = run._streams and loosen(run)
        set_state(after)
    except BaseException as exc:
        if rest is UNTOLD and run._rest is None:  # as if it had not begun to end
            run._ended_ns, run._outer = None, outer
            set_state(state)
            _fail(run, exc)
        else:
            complete(run, rest, after, exc)
            if run in owed:
                return  # no handler's want of room is the call's
        raise
    finally:
        if run._layers:
            flush_given(run)
    if run.parent_id is None and run._audience.waits:
        _wait_for_background(run)


def fail(run: Run, exc: BaseException, before: object = None) -> None:
    """
    End *run* with what was raised in it, and go back to the state before it.

    Args:
        before: That state, where an interrupt may have come even before the start.

    Raises:
        Exception: What a handler with ``raise_error`` raised.
    """
    if run._ended_ns is not None or run in owed:
        if run._rest is not None and type(exc) is RecursionError:
            owe(run, exc)  # there was no room even to begin with the rest
        return
    if before is not None and run._rest is None and get_state() is before:
        discard(run)
        return
    try:
        _fail(run, exc)
    except BaseException as interrupt:
        try:
            if run._ended_ns is None:  # nobody has been told yet
                _fail(run, interrupt)
        except RecursionError as full:
            owed[run] = full  # not even for a call
        if run not in owed:
            raise
    finally:
        if run._layers:
            flush_given(run)
    if run.parent_id is None and run._audience.waits:
        _wait_for_background(run)


def _fail(run: Run, exc: BaseException) -> None:
    if _must_wait(run, exc):
        owe(run, exc)
    else:
        _fail_here(run, exc)


def _fail_here(run: Run, exc: BaseException) -> None:
    state, outer, rest = get_state(), run._outer, UNTOLD
    after = outer if state is run else state
    try:
        if run._rest is not None:
            _tell_rest(run)  # of its start
        if state is not run and _leaves_others(exc):
            _recover(run, exc)
        after = _close(run, status_of(run, exc), exc)
        rest = failing(run, exc)
        if rest is not None:
            rest.now()
        let_go(run)
        set_state(after)
    except BaseException as interrupt:
        if rest is UNTOLD:
            run._ended_ns, run._outer = None, outer
            set_state(state)
        else:
            complete(run, rest, after, interrupt)
        raise


def complete(
    run: Run, rest: "Delivery | None", after: object, exc: BaseException
) -> None:
    """
    Let those hear the end who have not, since an interrupt came in the midst of it.

    Where a handler has stopped it, all have heard. Where the stack was full, they hear
    when there is room.
    """
    if rest is not UNTOLD:
        run._rest = rest
    try:
        if type(exc) is RecursionError and not has_room():
            owe(run, exc)
        elif run._rest is not None:
            _tell_rest(run)
        let_go(run)
    except RecursionError:  # pragma: no cover - at one depth there is none for a call
        owed[run] = exc
    finally:
        run._call = None
        set_state(after)


def _tell_rest(run: Run) -> None:
    """
    Tell what is left of the start of *run*; once it has ended, of the end.
    """
    state = get_state()
    try:
        set_state(MUTED)
        rest = run._rest
        if type(rest) is int:
            again = rest_of_start if run._ended_ns is None else rest_of_end
            rest = run._rest = again(run, rest)
        rest.told()
        run._rest = None
    finally:
        set_state(state)


def owe(run: Run, exc: BaseException) -> None:
    """
    Have *run* end with *exc* when there is room; what has ended, hear the rest then.
    """
    if run in owed:
        return
    owed[run] = exc
    state = get_state()
    for _ in range(len(owed)):  # those above had no room to go back
        if state is run or type(state) is not Run:
            break
        state = state._outer
    if state is run:
        set_state(run._outer)
    run._outer = None
    if _settled not in frameworks:
        frameworks.append(_settled)


def _must_wait(run: Run, exc: object = None) -> bool:
    """
    Tell whether the end of *run*, by *exc*, is told later: there is no room for it, or
    was none for what is below.
    """
    return bool(type(exc) is RecursionError or owed) and not has_room()


def _postpone(run: Run) -> None:
    """
    Have what *run* has returned be told behind what is owed below it, if anything is.
    """
    if _must_wait(run):
        run._voices = INERT._voices
        run._rest = 0
        owe(run, RecursionError())


def settle(above: Run | None = None) -> None:
    """
    Tell what is owed, of the runs below *above* alone where that is given.

    What there is no room for stays owed.
    """
    if above is None and not has_room():
        return
    with suppress(RecursionError):
        for run in list(owed):
            if above is None or _is_below(run, above):
                _settle(run)
        if not owed and _settled in frameworks:
            frameworks.remove(_settled)


def _settled() -> Run | None:
    """
    Do so before the next run is opened.
    """
    settle()
    return framework_run()  # who asks this one passes over the next


def _is_below(run: Run, above: Run) -> bool:
    while (link := run._parent) is not None and link is not above:
        run = link
    return link is not None


def _settle(run: Run) -> None:
    if (exc := owed.get(run)) is None:
        return  # it is being told
    owed[run] = None  # in its place: others stand behind it
    try:
        if run._ended_ns is None:
            _fail_here(run, exc)
        elif run._rest is not None:
            _tell_rest(run)
    finally:
        if run._ended_ns is None or run._rest is not None:
            owed[run] = exc
        else:
            owed.pop(run, None)
    if run._layers:
        flush_given(run)


def discard(run: Run) -> None:
    """
    End *run*, of whose start nobody has been told; else it has ended, or will.
    """
    if run._ended_ns is not None or run._rest is not None or run in owed:
        return
    state = get_state()
    try:
        after = _close(run, "abandoned")
    finally:
        set_state(state)
    run._call = None
    set_state(after)


def mend(run: Run, before: object, exc: BaseException) -> None:
    """
    End *run* where an interrupt has kept others from it, and go back to the state
    *before* it; whoever has opened it does this last.
    """
    try:
        fail(run, exc)
        if run._rest is not None and run not in owed:
            _tell_rest(run)
    except RecursionError as full:  # pragma: no cover - at one depth alone
        owe(run, full)
    finally:
        now = get_state()
        if now is not before and _is_left_over(now, run, exc):
            set_state(before)


def _is_left_over(state: "Any", run: Run, exc: BaseException) -> bool:
    """
    Tell whether *state* is one in which *run*, which has ended, has kept this Context.
    """
    if state is MUTED:  # a coroutine is closed from anywhere, also by a handler
        return not issubclass(type(exc), GeneratorExit)
    has_ended = state.__class__ is Run and state._ended_ns is not None
    # plain looks first: there may be no room for more
    return state is run or has_ended or any(link is run for link in chain(state))


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
    if run._ended_ns is not None or run in owed:
        return None
    if _must_wait(run, exc):
        owe(run, exc)
        return None
    if run._rest is not None:
        _tell_rest(run)  # of its start
    end = _aend_given if run._layers else _aend
    return end(run, status_of(run, exc), failing, exc)


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
    state, outer, rest = get_state(), run._outer, UNTOLD
    after = outer if state is run else state
    try:
        if state is not run and tell is failing and _leaves_others(value):  # type: ignore[arg-type]
            _recover(run, value)  # type: ignore[arg-type]
        if owed and tell is returning:
            _postpone(run)
        after = _close(run, status, value)
        rest = tell(run, value)
        waiting = None if rest is None else rest.step()
        if rest is None or (waiting is None and rest.error is None):
            let_go(run)
            set_state(after)
            return None
        if status in ("ok", "error"):
            run._rest = rest.held(waiting)
            return end_later(run, rest, waiting, after)
        while waiting is not None:
            waiting = rest.put_off(waiting)
        if status == "cancelled":
            return _settle_later(run, rest, after)
        set_state(after)
    except BaseException as exc:
        if rest is UNTOLD and run._rest is None:
            run._ended_ns, run._outer = None, outer
            set_state(state)
            _fail(run, exc)
        else:
            complete(run, rest, after, exc)
            if run in owed:
                return None
        raise
    return None if rest.error is None else rest.stop()


async def end_later(run: Run, rest: "Delivery", waiting: "Any", after: object) -> None:
    try:
        await rest.later(waiting)
        run._rest = None
        let_go(run)
        set_state(after)
    except BaseException as exc:
        complete(run, rest, after, exc)
        if run not in owed:
            raise


async def _settle_later(run: Run, rest: "Delivery", after: object) -> None:
    from instrument._delivery import lanes as _lanes

    try:  # cancelled once more, what is queued is served all the same
        with suppress(*cancellations()), shield():
            await _lanes.settle([layer for _, layer in run._audience.listeners])
    finally:
        set_state(after)
    if rest.error is not None:
        rest.stop()


def _close(run: Run, status: str, exc: object = None) -> "Any":
    """
    Mark *run* as ended, and mute; what it left open below it ends with it. Give the
    state to go back to.
    """
    if run._open_children:
        is_raised = issubclass(type(exc), BaseException)
        left: Any = exc if is_raised else GeneratorExit()
        for end_below in endings:
            end_below(run, left)
    if owed and run not in owed:
        settle(run)
    run._ended_ns = _ids.clock_ns()
    run.status = status
    if run._below is not None:
        run._below = None  # it may hold a block that holds this run
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


def _leaves_others(exc: BaseException) -> bool:
    """
    Tell whether *exc* may have kept those below from their end.
    """
    if issubclass(type(exc), (GeneratorExit, *cancellations())):
        return False
    return issubclass(type(exc), RecursionError) or is_of_call(exc)


def _recover(run: Run, exc: BaseException) -> None:
    """
    End what is above *run* and could not be ended where the stack was full, or an
    interrupt came.
    """
    state = get_state()
    if all(link is not run for link in chain(state)):
        return  # a framework's, which was never current
    while type(state) is Run and state is not run and state._ended_ns is None:
        outer = state._outer
        fail(state, exc)
        state = outer
    set_state(run if issubclass(type(exc), RecursionError) else state)


def _wait_for_background(run: Run) -> None:
    """
    Let the outermost run wait for handlers that no block will wait for.
    """
    if layers := [layer for layer in run._audience.waits if layer.lanes]:
        from instrument._delivery import lanes as _lanes

        _lanes.wait(layers)
