"""
How a run ends, and what that tells: every start has exactly one terminal event.

`finish` and `fail` work in sync code. Their twins `afinish` and `afail` return what is
to be awaited, or None where no handler is async.
"""

import sys

from instrument import _ids
from instrument._delivery.dispatch import Delivery, keywords
from instrument._delivery.flush import aflush_given, flush_given
from instrument._delivery.loops import cancellations, shield
from instrument._payloads.answers import LLMResult
from instrument._payloads.redact import said_by
from instrument._report import UNTOLD, is_of_call
from instrument._runs.opening import endings, open_parent
from instrument._runs.results import CONTAINERS, guarded, outputs_of, read_answer
from instrument._runs.run import Run
from instrument._state import MUTED, chain, get_state, set_state, without
from instrument._text import type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from instrument._audience.audience import Receivers

    Pending = Coroutine[Any, Any, None]


ALREADY_SET = object()
"""Stands for the outputs that a block has set itself."""

_ORIGIN = "__instrument_origin__"
_dict_of: "Callable[[BaseException], dict[str, Any]]" = BaseException.__dict__[
    "__dict__"
].__get__
_KEPT = "__instrument_kept__"
_TRACES = 64
"""How many traces one exception object remembers; some are raised for ever."""


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
            and not run._open_children
            and run._below is None
        ):
            run._ended_ns = _ids.clock_ns()  # `_close`, where nothing is out of order
            run.status = "ok"
            run._outer = None
            set_state(MUTED)
        else:
            after = _close(run, "ok")
        rest = returning(run, outputs)
        if rest is not None:
            rest.now()
        run._call = None
        set_state(after)
    except BaseException as exc:
        if rest is UNTOLD:  # as if it had not begun to end
            run._ended_ns, run._outer = None, outer
            set_state(state)
            _fail(run, exc)
        else:
            _complete(run, rest, after)
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
    if run._ended_ns is not None:
        return
    if before is not None and get_state() is before:
        discard(run)
        return
    try:
        _fail(run, exc)
    except BaseException as interrupt:
        if run._ended_ns is None:  # nobody has been told yet
            _fail(run, interrupt)
        raise
    finally:
        if run._layers:
            flush_given(run)
    if run.parent_id is None and run._audience.waits:
        _wait_for_background(run)


def _fail(run: Run, exc: BaseException) -> None:
    state, outer, rest = get_state(), run._outer, UNTOLD
    after = outer if state is run else state
    try:
        if state is not run and _leaves_others(exc):
            _recover(run, exc)
        after = _close(run, _status(exc), exc)
        rest = failing(run, exc)
        if rest is not None:
            rest.now()
        run._call = None
        set_state(after)
    except BaseException:
        if rest is UNTOLD:
            run._ended_ns, run._outer = None, outer
            set_state(state)
        else:
            _complete(run, rest, after)
        raise


def _complete(run: Run, rest: "Delivery | None", after: object) -> None:
    """
    Let those hear the end who have not, since an interrupt came in the midst of it.

    Where a handler has stopped it, all have heard.
    """
    try:
        if rest is not None:
            set_state(MUTED)
            rest.told()
    finally:
        run._call = None
        set_state(after)


def discard(run: Run) -> None:
    """
    End *run*, of whose start nobody has been told; it may have ended.
    """
    if run._ended_ns is not None:
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
        if run._ended_ns is None:
            fail(run, exc)
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
    return has_ended or any(link is run for link in chain(state))


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
    state, outer, rest = get_state(), run._outer, UNTOLD
    after = outer if state is run else state
    try:
        if state is not run and tell is failing and _leaves_others(value):  # type: ignore[arg-type]
            _recover(run, value)  # type: ignore[arg-type]
        after = _close(run, status, value)
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
        set_state(after)
    except BaseException as exc:
        if rest is UNTOLD:
            run._ended_ns, run._outer = None, outer
            set_state(state)
            _fail(run, exc)
        else:
            _complete(run, rest, after)
        raise
    if rest.error is not None:
        rest.stop()
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
        rest.stop()


def returning(run: Run, outputs: object) -> Delivery | None:  # type: ignore[return]
    """
    Take what *run* returned, and tell it; give what is left to do.

    It ends without ``return None``, at which an interrupt would not be caught.
    """
    kind = run._kind
    if outputs is ALREADY_SET:
        outputs = run._outputs
        if kind.is_model:
            read_answer(run, outputs)
    else:
        if run._recipe.outputs is not None or run._is_told:
            outputs = outputs_of(run, outputs)
        elif kind.is_model:
            read_answer(run, outputs)
        if run._audience.shows_all and id(type(outputs)) not in CONTAINERS:
            run._outputs = outputs
        else:
            run._take_outputs(outputs)
    receivers = run._voices.end
    if not receivers.entries:
        return None
    is_made = kind.is_model and not (kind.is_whole and run._audience.shows_all)
    value = guarded(run, kind.ended) if is_made else run._outputs
    if receivers.native:
        return _ending(run, receivers, value)
    count, result = 0, UNTOLD
    try:
        for method in receivers.methods:
            result = method(
                value,
                run_id=run.id,
                parent_run_id=run.parent_id,
                tags=list(run.tags) if run._tagged else [],
                metadata=dict(run._metadata or run.metadata) if run._described else {},
                name=run.name,
                run=run,
            )
            if result is not None:
                return _ending(run, receivers, value).after(count + 1, result)
            count, result = count + 1, UNTOLD
    except BaseException as exc:
        return _ending(run, receivers, value).broken(count, result, exc)


def _ending(run: Run, receivers: "Receivers", value: "Any") -> Delivery:
    if issubclass(type(value), LLMResult):
        value.read()  # who answers with an awaitable looks at it later
    return Delivery(run, run._kind.end, receivers, (value,), _end_data)


def failing(run: Run, exc: BaseException) -> Delivery | None:
    """
    Take what was raised in *run*, and tell it; give what is left to do.
    """
    kind = run._kind
    run.error = _without_frames(exc)
    run.error_origin = _is_origin(exc, run)
    run._take_partial()
    receivers = run._audience.receivers(kind.error)
    if not receivers.entries:
        return None
    kwargs = keywords(run, guarded(run, kind.failed) if receivers.typed else None)
    return Delivery(run, kind.error, receivers, (exc,), _error_data, kwargs)


def _without_frames(exc: BaseException) -> BaseException:
    """
    Give what a run keeps of *exc*: for one that was left or cancelled, one like it, the
    same for all runs that it crosses.

    The traceback of that tells nothing, but has frames in which a body may hold the run.
    """
    cls = type(exc)
    asyncio = sys.modules.get("asyncio.exceptions")
    if cls is GeneratorExit or cls is getattr(asyncio, "CancelledError", None):
        exc = dict.setdefault(_dict_of(exc), _KEPT, cls(*exc.args))
    return exc


def _is_origin(exc: BaseException, run: Run) -> bool:
    """
    Tell whether *exc* is seen in this trace for the first time, and mark it.

    The mark is on the exception: builtin ones refuse weak references, and an id may
    be another's by now.
    """
    trace_id = run.trace_id
    marks = _dict_of(exc)
    seen = dict.get(marks, _ORIGIN, ())
    if trace_id in seen:
        return False
    dict.__setitem__(marks, _ORIGIN, (*seen[-_TRACES:], trace_id))
    return True


def _end_data(run: Run) -> "dict[str, Any]":
    return {
        **run._kind.end_data(run),
        **_measures(run),
        "time_to_first_token_s": run.time_to_first_token_s,
    }


def _error_data(run: Run) -> "dict[str, Any]":
    partial = run.outputs is not None or run._answer is not None
    return {
        "type": type_of(run.error),
        "message": said_by(run.error, run._audience),  # type: ignore[arg-type]
        "origin": run.error_origin,
        **_measures(run),
        **(run._kind.end_data(run) if partial else {}),
    }


def _measures(run: Run) -> "dict[str, Any]":
    return {
        "usage": run.usage.to_dict(),
        "status": run.status,
        "duration_s": run.duration_s,
    }


def _close(run: Run, status: str, exc: object = None) -> "Any":
    """
    Mark *run* as ended, and mute; what it left open below it ends with it.

    Returns:
        The state to go back to.
    """
    if run._open_children:
        is_raised = issubclass(type(exc), BaseException)
        left: Any = exc if is_raised else GeneratorExit()
        for end_below in endings:
            end_below(run, left)
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


def _status(exc: BaseException) -> str:
    kind = type(exc)  # what an exception says that it is may be anything
    if issubclass(kind, (GeneratorExit, *_departures())):
        return "abandoned"
    return "cancelled" if issubclass(kind, cancellations()) else "error"


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
