"""
What is left of a start or an end that a call has told itself, as far as it goes without
anything out of the ordinary: where a handler has answered, or raised.

A call that tells it (`_traced/flat.py`) counts in ``run._rest`` whom it has called.
"""

from instrument._interrupts import UNTOLD
from instrument._runs.ending import complete, end_later, owed
from instrument._runs.outcome import rest_of_end
from instrument._runs.run import Run
from instrument._state import set_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from instrument._delivery.dispatch import Delivery
    from instrument._runs.ending import Pending


def go_on_ending(
    run: Run,
    after: object,
    answer: object = UNTOLD,
    exc: BaseException | None = None,
) -> None:
    """
    Tell the others that *run* has ended.

    Args:
        after: The state to go back to.
        answer: What the last one called has answered; else `UNTOLD`.
        exc: What was raised then.

    Raises:
        Exception: What a handler with ``raise_error`` raised.
        BaseException: *exc* itself, where it is no failure of a handler.
    """
    rest = UNTOLD
    try:
        rest = _left(run, answer, exc)
        run._rest = None
        rest.now()
        set_state(after)
    except BaseException as failure:
        exc = None
        complete(run, rest, after, failure)
        if run not in owed:  # no handler's want of room is the call's
            raise


def ago_on_ending(  # type: ignore[return]
    run: Run,
    after: object,
    answer: object = UNTOLD,
    exc: BaseException | None = None,
) -> "Pending | None":
    """
    The same in async code: what it returns is to be awaited, if it is not None.
    """
    rest = UNTOLD
    try:
        rest = _left(run, answer, exc)
        run._rest = None
        waiting = rest.step()
        if waiting is not None or rest.error is not None:
            run._rest = rest.held(waiting)
            return end_later(run, rest, waiting, after)
        set_state(after)
    except BaseException as failure:
        exc = None
        complete(run, rest, after, failure)
        if run not in owed:
            raise


def _left(run: Run, answer: object, exc: BaseException | None) -> "Delivery":
    count = run._rest
    if exc is None:
        return rest_of_end(run, count).after(count, answer)
    run._rest = index = max(count - 1, 0)  # it hears again where there was no room
    return rest_of_end(run, index).broken(index, answer, exc)
