"""
How a run starts: what that tells, and who then has it in hand.

`start` works in sync code. Its twin `astart` returns what is to be awaited, or None
where no handler is async.
"""

from instrument import _report
from instrument._delivery.dispatch import Delivery
from instrument._runs.ending import afail, fail
from instrument._runs.run import Run
from instrument._state import MUTED, set_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument._audience.audience import Receivers
    from instrument._runs.ending import Pending


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
        try:
            pending = afail(run, exc)
            if pending is not None:
                await pending
        finally:  # or the traceback would keep the run, and the run the traceback
            del run, rest
        raise
    set_state(run)


def starting(run: Run) -> Delivery | None:
    """
    Tell that *run* starts; give what is left to do.
    """
    receivers = run._voices.start
    if not receivers.entries:
        return None
    if receivers.native or not run._kind.is_plain:
        return _starting(run, receivers)
    if run._call is not None:
        run._take()
    inputs = run._inputs
    count = 0
    try:
        # keywords written out at the call cost 0.3 us a handler, a dict of them 0.7
        for method in receivers.methods:
            count += 1
            result = method(
                {"name": run.name},
                inputs,
                run_id=run.id,
                parent_run_id=run.parent_id,
                tags=list(run.tags) if run._tagged else [],
                metadata=dict(run._metadata or run.metadata) if run._described else {},
                name=run.name,
                run=run,
            )
            if result is not None:
                return _rest_of_start(run, receivers).after(count, result)
    except (Exception, SystemExit) as exc:
        return _rest_of_start(run, receivers).after(count, None, exc)
    return None


def _starting(run: Run, receivers: "Receivers") -> Delivery | None:
    """
    Do the same where a kind has arguments of its own, or somebody takes records.
    """
    kind = run._kind
    args: tuple[Any, ...] = ()
    own = None
    if receivers.typed:
        try:
            args, own = kind.started(run)
        except BaseException as exc:  # as `guarded`, which is a call more
            _report.unread(kind.started, "reading a payload", exc)
            args = {"name": run.name}, None
    kwargs = {  # as `keywords`, which is a call more
        "run_id": run.id,
        "parent_run_id": run.parent_id,
        "tags": list(run.tags) if run._tagged else [],
        "metadata": dict(run._metadata or run.metadata) if run._described else {},
        "name": run.name,
        "run": run,
        **(own or {}),
    }
    if receivers.native:
        return Delivery(run, kind.start, receivers, args, kind.start_data, kwargs)
    count = 0
    try:
        for method in receivers.methods:
            count += 1
            result = method(*args, **kwargs)
            if result is not None:
                return _rest_of_start(run, receivers, args, kwargs).after(count, result)
    except (Exception, SystemExit) as exc:
        return _rest_of_start(run, receivers, args, kwargs).after(count, None, exc)
    return None


def _rest_of_start(
    run: Run,
    receivers: "Receivers",
    args: "tuple[Any, ...] | None" = None,
    kwargs: "dict[str, Any] | None" = None,
) -> Delivery:
    kind = run._kind
    if args is None:
        args, _ = kind.started(run)
    return Delivery(run, kind.start, receivers, args, kind.start_data, kwargs)
