"""
What a run tells when it starts, returns or fails: a `Delivery`, ready to go.
"""

from instrument import _report
from instrument._dispatch import Delivery
from instrument._payload import CHAIN, KINDS, MODELS
from instrument._run import Run, keywords
from instrument._shapes import Answer, answer_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ORIGIN = "__instrument_origin__"


def starting(run: Run) -> Delivery | None:
    """
    Prepare the start event; None where nobody hears it.
    """
    kind = KINDS.get(run.kind, CHAIN)
    receivers = run._heard.receivers(kind.start)
    if not receivers.entries:
        return None
    kwargs = keywords(run)
    args: tuple[Any, ...] = ()
    if receivers.typed:
        try:
            args, own = kind.started(run)
        except Exception as exc:  # noqa: BLE001 - a payload's own code may raise anything
            _report.failed(run, kind.start, exc)
            args, own = ({"name": run.name}, None), {}
        if own:
            kwargs |= own
    return Delivery(run, kind.start, receivers, args, kwargs, kind.start_data)


def returning(run: Run, outputs: object) -> Delivery | None:
    """
    Take what *run* returned, and prepare the end event.
    """
    kind = KINDS.get(run.kind, CHAIN)
    if run.kind in MODELS:
        _take_answer(run, run._answer or answer_of(outputs))
    run.outputs = _chosen(run, outputs)
    receivers = run._heard.receivers(kind.end)
    if not receivers.entries:
        return None
    args = (kind.ended(run),) if receivers.typed else ()
    return Delivery(run, kind.end, receivers, args, keywords(run), _end_data)


def failing(run: Run, exc: BaseException) -> Delivery | None:
    """
    Take what was raised in *run*, and prepare the error event.
    """
    kind = KINDS.get(run.kind, CHAIN)
    run.error = exc
    run.error_origin = _is_origin(exc, run)
    if run._answer is not None:
        _take_answer(run, run._answer)
    receivers = run._heard.receivers(kind.error)
    if not receivers.entries:
        return None
    kwargs = keywords(run)
    if receivers.typed:
        kwargs |= kind.failed(run)
    return Delivery(run, kind.error, receivers, (exc,), kwargs, _error_data)


def _is_origin(exc: BaseException, run: Run) -> bool:
    """
    Tell whether *exc* is seen in this trace for the first time, and mark it.

    The mark is on the exception: builtin ones refuse weak references, and an id may
    be another's by now.
    """
    trace_id = run.trace_id
    if exc.__dict__.get(_ORIGIN) == trace_id:
        return False
    exc.__dict__[_ORIGIN] = trace_id
    return True


def _chosen(run: Run, outputs: object) -> object:
    """
    Apply the ``outputs=`` of ``@traced``.
    """
    choose = run._spec_outputs
    if choose is None:
        return outputs
    if choose is False:
        return None
    try:
        return choose(outputs)
    except Exception as exc:  # noqa: BLE001 - the user's function; the call goes on
        _report.failed(choose, f"outputs= of {run.name}", exc)
        return None


def _take_answer(run: Run, answer: Answer) -> None:
    run._answer = answer
    if answer.usage is not None and not run.usage:
        run.usage = answer.usage
    run.model = answer.model or run.model


def _end_data(run: Run) -> "dict[str, Any]":
    return {
        **KINDS.get(run.kind, CHAIN).end_data(run),
        **_measures(run),
        "time_to_first_token_s": run.time_to_first_token_s,
    }


def _error_data(run: Run) -> "dict[str, Any]":
    partial = run.outputs is not None or run._answer is not None
    return {
        "type": type(run.error).__qualname__,
        "message": run._own(_message(run.error), "error"),
        "origin": run.error_origin,
        **_measures(run),
        **(KINDS.get(run.kind, CHAIN).end_data(run) if partial else {}),
    }


def _measures(run: Run) -> "dict[str, Any]":
    return {
        "usage": run.usage.to_dict(),
        "status": run.status,
        "duration_s": run.duration_s,
    }


def _message(exc: BaseException | None) -> str:
    try:
        return str(exc)
    except Exception as failure:  # noqa: BLE001 - a broken __str__ is no error of ours
        return f"<no message: str raised {type(failure).__name__}>"
