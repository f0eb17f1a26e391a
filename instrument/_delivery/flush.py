"""
Flush handlers: when their block is left, when the call that was given them ends, and
at the interpreter's exit.

At exit, generators that are still suspended end as abandoned first.
"""

import atexit
import weakref
from contextlib import nullcontext
from functools import partial

from instrument import _report
from instrument._audience.audience import Audience
from instrument._audience.plan import Layer, Options
from instrument._delivery import loops as _loops
from instrument._interrupts import (
    UNTOLD,
    is_heard,
    is_of_call,
    met_cancellations,
    pass_on,
    pass_on_kept,
)
from instrument._state import (
    MUTED,
    PROCESS,
    Frame,
    get_state,
    muted,
    mutely,
    set_state,
)
from instrument._text import cancellations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, Protocol

    from instrument._audience.listener import Listener
    from instrument._runs.run import Run

    Pending = Coroutine[Any, Any, None]
    Show = Callable[[object], object] | None

    class Stream(Protocol):
        def abandon(self) -> None: ...


_streams: "dict[int, weakref.ref[Stream]]" = {}
_constructed: "dict[int, weakref.ref[Listener]]" = {}


def stream_opened(stream: "Stream") -> None:
    """
    Remember what is still open until `stream_closed`; it is abandoned at exit.
    """
    _streams[id(stream)] = weakref.ref(stream)


def stream_closed(stream: "Stream") -> None:
    """
    Forget a stream: it has ended.
    """
    _streams.pop(id(stream), None)


def flush_at_exit(listener: "Listener") -> None:
    """
    Flush a handler at exit too: a constructor's, for which no block is ever left, or
    one that works in background.
    """
    key = id(listener)
    _constructed[key] = weakref.ref(listener, partial(_constructed.pop, key))


def flush(
    layer: "Layer", run: "Run | None" = None, owed: "list[Any] | None" = None
) -> None:
    """
    Serve what is queued in background, then flush the handlers of a block left.

    Args:
        run: Whose call had been given the handlers, if it was one.
        owed: Is empty from where an interrupt keeps none of them from being flushed.
    """
    mutely(_flush_all, layer, get_state(), run, owed)


def _flush_all(
    layer: "Layer", state: object, run: "Run | None", owed: "list[Any] | None"
) -> None:
    left = [*layer.options.listeners]
    show, run = partial(_shown, layer, state), run or _in_hand(state)
    try:
        if owed is not None:
            owed.clear()
        if layer.lanes:
            _wait(layer, run)
        while left:
            _flush(left, layer, show, run)
    finally:
        while left:  # Ctrl-C in one: those behind are flushed all the same
            _flush(left, layer, show, run)


def _in_hand(state: "Any") -> "Run | None":
    """
    Give the run around a block left to *state*: of more, it says nothing.
    """
    if not isinstance(state, Frame):
        return None
    return state if state._is_run else state.run  # type: ignore[return-value]


def _shown(layer: "Layer", state: "Any", text: str) -> object:
    """
    Show the text of a report of *layer*, left to *state*, as it may be seen there.
    """
    frames = [it for it in (state, layer) if isinstance(it, Frame)]
    layers = [each for it in frames for each in it._plan._in_order()] or [*PROCESS]
    show = Audience([*layers, layer], ()).shows()
    return text if show is None else show(text)


def _wait(layer: "Layer", run: "Run | None") -> None:
    """
    Wait for what is queued in background; where it can go nowhere, that is reported.
    """
    try:
        from instrument._delivery import lanes as _lanes

        _lanes.wait([layer])
    except Exception as exc:  # no thread or descriptor is to be had
        pass_on(exc)  # here: those whose lanes have emptied are not reported
        for lane in list((layer.lanes or {}).values()):
            _report.failed(lane.listener.handler, "flush", exc, run=run)


async def aflush(
    layer: "Layer",
    run: "Run | None" = None,
    owed: "list[Any] | None" = None,
    *,
    shielded: bool = False,
) -> None:
    """
    The same in async code: also what is queued on this loop is served.

    Args:
        run, owed: As for `flush`.
        shielded: A task that was cancelled serves behind a shield, at most 30 s.
    """
    state = get_state()
    try:
        show = partial(_shown, layer, state)
        run = run or _in_hand(state)
        await _aflush_all(layer, show, run, owed, shielded=shielded)
    except BaseException:
        set_state(state)  # an interrupt may have come on the way back to it
        raise


async def _aflush_all(
    layer: "Layer",
    show: "Show",
    run: "Run | None",
    owed: "list[Any] | None",
    *,
    shielded: bool,
) -> None:
    left = [*layer.options.listeners]
    with muted():
        try:
            if owed is not None:
                owed.clear()
            with _loops.shield() if shielded else nullcontext():
                if layer.lanes:
                    from instrument._delivery import lanes as _lanes

                    await _lanes.settle([layer])
                while left:
                    await _aflush(left, layer, show, run)
        except cancellations():  # those behind are flushed all the same
            with _loops.shield():
                while left:
                    await _aflush(left, layer, show, run)
            if not shielded:  # else the one before goes on
                raise
        finally:
            while left:  # closed meanwhile: nothing can be awaited
                _flush(left, layer, show, run)


def flushed(
    listener: "Listener",
    show: "Show" = None,
    layer: "Layer | None" = None,
    run: "Run | None" = None,
) -> "Any":
    """
    Call what flushes one handler, and give what that gave: maybe an awaitable.
    """
    return _flushed([listener], show, layer, run)


def _flushed(
    left: "list[Listener]", show: "Show", layer: "Layer | None", run: "Run | None"
) -> "Any":
    flusher = left[0].flusher
    method = flusher("flush", layer) or flusher("aflush", layer)
    return _guarded(left, method, show, run)


def flush_given(run: "Run") -> None:
    """
    Flush what the call of *run*, which has ended, was given in ``callbacks=``.
    """
    layer = _given(run)
    if layer is not None:
        flush(layer, run)


def aflush_given(run: "Run", pending: "Pending | None") -> "Pending | None":
    """
    The same in async code, behind what is *pending*; at once where nothing can wait.
    """
    layer = _given(run)
    if layer is None:
        return pending
    if run.status == "abandoned":
        flush(layer, run)
        return pending
    return _flush_later(layer, run, pending)


def _given(run: "Run") -> "Layer | None":
    layer = run._layers[-1]
    flushes = layer.rank == "call" and any(it.flushes for it in layer.options.listeners)
    return layer if flushes else None


async def _flush_later(layer: "Layer", run: "Run", pending: "Pending | None") -> None:
    try:
        if pending is not None:
            await pending
    finally:
        await aflush(layer, run, shielded=run.status == "cancelled")


def _flush(
    left: "list[Listener]", layer: "Layer", show: "Show", run: "Run | None"
) -> None:
    listener = left[0]
    result = _flushed(left, show, layer, run)
    if not _loops.is_awaitable(result):
        return
    try:
        from instrument._delivery import lanes as _lanes

        _lanes.put(result, listener, layer, "flush", show, run)
    except Exception as exc:  # no thread or descriptor is to be had
        _loops.close_unserved(result)
        _report.failed(listener.handler, "flush", exc, run=run)
    else:
        _wait(layer, run)


async def _aflush(
    left: "list[Listener]", layer: "Layer", show: "Show", run: "Run | None"
) -> None:
    listener = left[0]
    method = listener.flusher("aflush", layer) or listener.flusher("flush", layer)
    result = _guarded(left, method, show, run)
    if _loops.is_awaitable(result):
        await _awaited(listener, result, show, run)


async def _awaited(
    listener: "Listener", result: "Any", show: "Show", run: "Run | None" = None
) -> None:
    met = 0
    try:
        met = met_cancellations()
        await result
        try:
            pass_on_kept(met)
        except RecursionError:  # pragma: no cover - at one depth alone
            return  # it has been served: there is no room to look
    except BaseException as exc:
        _report.failed(listener.handler, "flush", exc, show=show, run=run, met=met)


def _guarded(
    left: "list[Listener]",
    method: "Callable[[], Any] | None",
    show: "Show",
    run: "Run | None",
) -> "Any":
    """
    Flush the first of *left*, and take it out; not where an interrupt came before it.
    """
    listener = left[0]
    try:
        del left[0]  # nothing is called in between
        return None if method is None else method()
    except BaseException as exc:
        if is_of_call(exc) and not is_heard(exc, UNTOLD):
            left.insert(0, listener)
            raise
        handler = listener.handler
        _report.failed(handler, "flush", exc, show=show, run=run)
        return None


def abandon_streams() -> None:
    """
    At exit, end the streams that are suspended.
    """
    _report.Exit.has_begun = True
    streams = [stream for ref in list(_streams.values()) if (stream := ref())]
    with_each(streams, lambda stream: stream.abandon())


@atexit.register
def _at_exit() -> None:
    try:
        abandon_streams()
    finally:
        constructed = [it for ref in list(_constructed.values()) if (it := ref())]
        layers = [*PROCESS, *(Layer(Options((it,))) for it in constructed)]
        with_each(layers, _flush_at_exit)


def with_each(left: "list[Any]", act: "Callable[[Any], object]") -> None:
    """
    Do what there is to do with each, also where an interrupt comes in one: Ctrl-C of who
    waits no longer, a second SIGTERM.
    """
    try:
        while left:
            act(left.pop(0))
    finally:
        if left:
            with_each(left, act)


def _flush_at_exit(layer: "Layer") -> None:
    """
    Flush where no thread can be started any more, as at exit from Python 3.12 on.
    """
    if _loops.background.is_running():
        flush(layer)
        return
    show = partial(_shown, layer, get_state())
    set_state(MUTED)
    lanes = list((layer.lanes or {}).values())
    waiting: list[tuple[Listener, Any]] = []

    def serve_one(listener: "Listener") -> None:
        result = flushed(listener, show, layer)
        if _loops.is_awaitable(result):
            waiting.append((listener, result))

    try:
        with_each([*layer.options.listeners], serve_one)
    finally:
        if lanes or waiting:
            _await_at_exit(lanes, waiting, show)


def _await_at_exit(
    lanes: "list[Any]", waiting: "list[tuple[Listener, Any]]", show: "Show"
) -> None:
    import asyncio

    async def serve() -> None:
        for lane in lanes:
            lane.loop = None  # it is gone; what is queued is served here
            await lane.settled()
        for listener, result in waiting:
            await _awaited(listener, result, show)

    asyncio.run(serve())
