"""
How a run starts: what that tells, and who then has it in hand.

`start` works in sync code. Its twin `astart` returns what is to be awaited, or None
where no handler is async.
"""

from types import CoroutineType

from instrument import _report
from instrument._delivery.dispatch import Delivery, keywords, record_of
from instrument._interrupts import UNTOLD
from instrument._payloads.kinds import Kind
from instrument._runs.ending import afail, fail, owed
from instrument._runs.outcome import rest_of_start, unbroken
from instrument._runs.results import guarded
from instrument._runs.run import Run, begun
from instrument._state import MUTED, set_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument._audience.audience import Receivers
    from instrument._runs.ending import Pending

    Told = tuple[int, object, BaseException | None]

CO_COROUTINE = 0x80  # as `inspect` has it, which imports much

OF_RUNS = begun.__globals__
_OF_RECORDS = record_of.__globals__
_OF_KINDS = Kind.__init__.__globals__
"""Those of what reads a run for a handler, before that is called."""


def start(
    run: Run, after: "Any" = None, rest: "Any" = UNTOLD, told: "Told | None" = None
) -> None:
    """
    Tell that *run* starts, and make it current.

    Args:
        after: The state to go back to instead, of a run that will not be current.
        rest: Never given; so that nothing stands before the ``try``.
        told: Where the call has begun to tell it itself, and counts in ``run._rest``
            who has heard: how many it has called, what the last of them answered, and
            what was raised.

    Raises:
        Exception: What a handler with ``raise_error`` raised; the run has ended then.
    """
    try:
        set_state(MUTED)
        if told is None:
            rest = starting(run)
        else:
            rest = _left(run, *told)
            run._rest = None
        if rest is not None:
            rest.now()
        set_state(run if after is None else after)
    except BaseException as exc:
        if told is not None and rest is UNTOLD and type(told[1]) is CoroutineType:
            run._rest = told[0] - 1  # which goes unawaited: it is asked once more
        told = None
        set_state(run if after is None else after)
        if rest is UNTOLD and not run._rest:  # `discard`, where no call has room
            run._ended_ns, run.status, run._call = run._started_ns, "abandoned", None
            set_state(run._outer if after is None else after)
            run._rest = run._outer = None
        else:
            try:
                _stopped(run, rest, exc)
            except RecursionError as full:  # pragma: no cover - at one depth alone
                if run._ended_ns is None:
                    owed[run] = full
                raise
        raise


def astart(  # type: ignore[return]
    run: Run, rest: "Any" = UNTOLD, told: "Told | None" = None
) -> "Pending | None":
    """
    The same in async code.
    """
    try:
        set_state(MUTED)
        if told is None:
            rest = starting(run)
        else:
            rest = _left(run, *told)
            run._rest = None
        waiting = None if rest is None else rest.step()
        if rest is not None and (waiting is not None or rest.error is not None):
            run._rest = rest.held(waiting)
            return _start_later(run, rest, waiting)
        set_state(run)
    except BaseException as exc:
        if told is not None and rest is UNTOLD and type(told[1]) is CoroutineType:
            run._rest = told[0] - 1  # which goes unawaited: it is asked once more
        told = None
        set_state(run)
        if rest is UNTOLD and not run._rest:
            run._ended_ns, run.status, run._call = run._started_ns, "abandoned", None
            set_state(run._outer)
            run._rest = run._outer = None
        else:
            try:
                _stopped(run, rest, exc)
            except RecursionError as full:  # pragma: no cover - at one depth alone
                if run._ended_ns is None:
                    owed[run] = full
                raise
        raise


async def _start_later(run: Run, rest: "Delivery", waiting: "Any") -> None:
    try:
        await rest.later(waiting)
        run._rest = None
        set_state(run)
    except BaseException as exc:
        set_state(run)
        try:
            pending = afail(run, exc)
            if pending is not None:
                await pending
        finally:  # or the traceback would keep the run, and the run the traceback
            del run, rest
        raise


def _stopped(run: Run, rest: "Any", exc: BaseException) -> None:
    """
    End a run whose start a handler has stopped, or something has interrupted.

    Args:
        rest: What is left to do of the start; `UNTOLD` where that broke off, and the
            run knows how many have heard.
    """
    if rest is not UNTOLD:
        run._rest = rest
    fail(run, exc)


def _left(run: Run, count: int, answer: object, exc: BaseException | None) -> Delivery:
    """
    Give what is left to tell of a start.
    """
    if exc is None:
        return rest_of_start(run).after(count, answer)
    return rest_of_start(run).broken(max(count - 1, 0), answer, exc)


def starting(run: Run) -> Delivery | None:  # type: ignore[return]
    """
    Tell that *run* starts; give what is left to do.

    It ends without ``return None``, at which an interrupt would not be caught. Where a
    handler has failed, no call comes before it is noted who has heard: behind one a
    signal may come.
    """
    receivers = run._voices.start or run._voices.look(run._audience, run._kind)[0]
    if not receivers.entries:
        return None
    if receivers.native:
        return _recording(run, receivers)
    if not run._kind.is_plain:
        return _starting(run, receivers)
    if run._call is not None:
        run._take()
    inputs = run._inputs
    count, result = 0, UNTOLD
    try:
        # keywords written out at the call cost 0.3 us a handler, a dict of them 0.7
        for method in receivers.methods:
            result = method(
                {"name": run.name},
                inputs,
                run_id=run.id,
                parent_run_id=run.parent_id,
                tags=list(run.tags) if run._tagged else [],
                metadata=run.metadata.copy() if run._described else {},
                name=run.name,
                run=run,
            )
            if result is not None:
                return rest_of_start(run).after(count + 1, result)
            count, result = count + 1, UNTOLD
    except BaseException as exc:
        run._rest = count + (result is UNTOLD or type(result) is not CoroutineType)
        if result is UNTOLD and type(exc) is RecursionError:  # a call may have no room
            below: Any = exc.__traceback__.tb_next  # type: ignore[union-attr]
            if (
                below is None
                or below.tb_frame.f_globals is OF_RUNS
                or below.tb_frame.f_code.co_flags & CO_COROUTINE  # made, not begun
            ):
                run._rest = count
            below = None  # it leads back to this frame
        return unbroken(run, rest_of_start(run).broken(count, result, exc))


def _starting(run: Run, receivers: "Receivers") -> Delivery | None:  # type: ignore[return]
    """
    Do the same where a kind has arguments of its own.
    """
    kind = run._kind
    args: tuple[Any, ...]
    try:
        args, own = kind.started(run)
    except BaseException as exc:  # as `guarded`, which is a call more
        _report.unread(kind.started, "reading a payload", exc)
        args, own = ({"name": run.name}, None), None
    if kind.is_model and own is not None and len(own) == 1:
        return _asking(run, receivers, args, own)
    kwargs = {  # as `keywords`, which is a call more
        "run_id": run.id,
        "parent_run_id": run.parent_id,
        "tags": list(run.tags) if run._tagged else [],
        "metadata": run.metadata.copy() if run._described else {},
        "name": run.name,
        "run": run,
        **(own or {}),
    }
    count, result = 0, UNTOLD
    try:
        for method in receivers.methods:
            result = method(*args, **kwargs)
            if result is not None:
                rest = rest_of_start(run, 0, args, kwargs)
                return rest.after(count + 1, result)
            count, result = count + 1, UNTOLD
    except BaseException as exc:
        run._rest = count + (result is UNTOLD or type(result) is not CoroutineType)
        if result is UNTOLD and type(exc) is RecursionError:  # a call may have no room
            below: Any = exc.__traceback__.tb_next  # type: ignore[union-attr]
            if (
                below is None
                or below.tb_frame.f_globals is OF_RUNS
                or below.tb_frame.f_code.co_flags & CO_COROUTINE  # made, not begun
            ):
                run._rest = count
            below = None  # it leads back to this frame
        rest = rest_of_start(run, 0, args, kwargs)
        return unbroken(run, rest.broken(count, result, exc))


def _asking(  # type: ignore[return]
    run: Run, receivers: "Receivers", args: "tuple[Any, ...]", own: "dict[str, Any]"
) -> Delivery | None:
    """
    Do the same for a model that tells what ours do: with keywords written out, which
    takes half as long.
    """
    (serialized, said), params = args, own["invocation_params"]
    count, result = 0, UNTOLD
    try:
        for method in receivers.methods:
            result = method(
                serialized,
                said,
                run_id=run.id,
                parent_run_id=run.parent_id,
                tags=list(run.tags) if run._tagged else [],
                metadata=run.metadata.copy() if run._described else {},
                name=run.name,
                run=run,
                invocation_params=params,
            )
            if result is not None:
                rest = rest_of_start(run, 0, args, keywords(run, own))
                return rest.after(count + 1, result)
            count, result = count + 1, UNTOLD
    except BaseException as exc:
        run._rest = count + (result is UNTOLD or type(result) is not CoroutineType)
        if result is UNTOLD and type(exc) is RecursionError:  # a call may have no room
            below: Any = exc.__traceback__.tb_next  # type: ignore[union-attr]
            if (
                below is None
                or below.tb_frame.f_globals is OF_RUNS
                or below.tb_frame.f_code.co_flags & CO_COROUTINE  # made, not begun
            ):
                run._rest = count
            below = None  # it leads back to this frame
        rest = rest_of_start(run, 0, args, keywords(run, own))
        return unbroken(run, rest.broken(count, result, exc))


def _recording(run: Run, receivers: "Receivers") -> Delivery | None:  # type: ignore[return]
    """
    Do the same where somebody takes records; others beside them get arguments.
    """
    kind = run._kind
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    if receivers.typed:
        nothing = ({"name": run.name}, None), None
        args, own = guarded(run, kind.started) or nothing
        kwargs = keywords(run, own)
    count, result, record = 0, UNTOLD, None
    try:
        for method, _, _, is_native in receivers.entries:
            if is_native:
                if record is None:
                    record = record_of(run, kind.start, kind.start_data(run))
                result = method(record, run=run)
            else:
                result = method(*args, **kwargs)
            if result is not None:
                rest = rest_of_start(run, 0, args, kwargs).with_record(record)
                return rest.after(count + 1, result)
            count, result = count + 1, UNTOLD
    except BaseException as exc:
        run._rest = count + (result is UNTOLD or type(result) is not CoroutineType)
        if result is UNTOLD and type(exc) is RecursionError:
            below: Any = exc.__traceback__.tb_next  # type: ignore[union-attr]
            if (
                below is None
                or below.tb_frame.f_globals is _OF_RECORDS
                or below.tb_frame.f_globals is _OF_KINDS
                or below.tb_frame.f_code.co_flags & CO_COROUTINE  # made, not begun
            ):
                run._rest = count
            below = None  # it leads back to this frame
        rest = rest_of_start(run, 0, args, kwargs).with_record(record)
        return unbroken(run, rest.broken(count, result, exc))
