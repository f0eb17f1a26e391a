"""
What a run tells when it starts, returns or fails: a `Delivery`, ready to go.
"""

from instrument import _report
from instrument._delivery.dispatch import Delivery, keywords
from instrument._payloads.answers import Answer, LLMResult, Unread, answer_of
from instrument._payloads.messages import is_pydantic
from instrument._runs.run import Run
from instrument._runs.telling import CONTAINERS
from instrument._state import muted
from instrument._text import safe_str

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from instrument._audience.audience import Receivers
    from instrument._payloads.kinds import Kind

KEPT = object()
"""Stands for the outputs that a block has set itself."""

_FACTS = ("_calls", "_reasoning", "finish_reason", "model", "response_id")
_ORIGIN = "__instrument_origin__"
_TRACES = 64
"""How many traces one exception object remembers; some are raised for ever."""


def starting(run: Run) -> Delivery | None:
    """
    Tell that *run* starts; give what is left to do.
    """
    receivers = run._voices.start
    if not receivers.entries:
        return None
    if receivers.native or not run._tells.is_plain:
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
    kind = run._tells
    args: tuple[Any, ...] = ()
    own = None
    if receivers.typed:
        try:
            args, own = kind.started(run)
        except (Exception, SystemExit) as exc:  # as `guarded`, which is a call more
            _report.failed(kind.started, "reading a payload", exc)
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
    kind = run._tells
    if args is None:
        args, _ = kind.started(run)
    return Delivery(run, kind.start, receivers, args, kind.start_data, kwargs)


def returning(run: Run, outputs: object) -> Delivery | None:
    """
    Take what *run* returned, and tell it; give what is left to do.
    """
    kind = run._tells
    if outputs is KEPT:
        outputs = run._outputs
        if kind.is_model:
            _answer(run, outputs)
    else:
        if run._spec_outputs is not None:
            outputs = recorded(run, outputs)
        elif kind.is_model:
            _answer(run, outputs)
        if run._audience.shows_all and outputs.__class__ not in CONTAINERS:
            run._outputs = outputs
        else:
            run.outputs = outputs
    receivers = run._voices.end
    if not receivers.entries:
        return None
    is_made = kind.is_model and not (kind.is_whole and run._audience.shows_all)
    value = guarded(run, kind.ended) if is_made else run._outputs
    if receivers.native:
        return _ending(run, receivers, value)
    count = 0
    try:
        for method in receivers.methods:
            count += 1
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
                return _ending(run, receivers, value).after(count, result)
    except (Exception, SystemExit) as exc:
        return _ending(run, receivers, value).after(count, None, exc)
    return None


def _ending(run: Run, receivers: "Receivers", value: "Any") -> Delivery:
    if isinstance(value, LLMResult):
        value.read()  # who answers with an awaitable looks at it later
    return Delivery(run, run._tells.end, receivers, (value,), _end_data)


def failing(run: Run, exc: BaseException) -> Delivery | None:
    """
    Take what was raised in *run*, and tell it; give what is left to do.
    """
    kind = run._tells
    run.error = exc
    run.error_origin = _is_origin(exc, run)
    if run._inner is not None and run._answer is None:
        run._answer = run._inner
        run.usage = run.usage or run._inner.usage or run.usage
    receivers = run._audience.receivers(kind.error)
    if not receivers.entries:
        return None
    own = guarded(run, kind.failed) if receivers.typed else None
    kwargs = keywords(run, own)
    return Delivery(run, kind.error, receivers, (exc,), _error_data, kwargs)


def _is_origin(exc: BaseException, run: Run) -> bool:
    """
    Tell whether *exc* is seen in this trace for the first time, and mark it.

    The mark is on the exception: builtin ones refuse weak references, and an id may
    be another's by now.
    """
    trace_id = run.trace_id
    seen = exc.__dict__.get(_ORIGIN, ())
    if trace_id in seen:
        return False
    exc.__dict__[_ORIGIN] = (*seen[-_TRACES:], trace_id)
    return True


def recorded(run: Run, outputs: object) -> object:
    """
    Give the outputs to record: as they are, or what ``outputs=`` makes of them.

    Of a model's, what it told of usage, model and finish is kept.
    """
    if run._tells.is_model:
        _answer(run, outputs)
    choose = run._spec_outputs
    if choose is None:
        return outputs
    chosen = None if choose is False else _chosen(run, choose, outputs)
    told = run._read_answer()
    if told is not None:
        run._answer = answer = guarded(chosen, answer_of) or Answer()
        answer.usage, answer.model = told.usage, told.model
        answer.finish_reason, answer.response_id = told.finish_reason, told.response_id
    return chosen


def _chosen(run: Run, choose: "Callable[[Any], Any]", outputs: object) -> object:
    with muted():
        try:
            return choose(outputs)
        except (Exception, SystemExit) as exc:
            _report.failed(choose, f"outputs= of {run.name}", exc)
            return None


def _answer(run: Run, outputs: object) -> None:
    """
    Read a model's answer: what was collected of its stream, or its whole result.

    A pydantic model is read when that is asked for, as to read it takes most of what a
    call costs; other results are changed more often.
    """
    kind = run._tells
    answer = None if run._answer is None else run._read_answer()
    if answer is None:
        as_it_is = run._audience.shows_all and run._spec_outputs is None
        is_asked_for_later = run._inner is None and not run._voices.end.native
        if as_it_is and is_asked_for_later and (kind.is_whole or is_pydantic(outputs)):
            run._answer = Unread(_read, kind, outputs)
            return
        answer = _read(kind, outputs)
    if run._inner is not None:
        _complete(answer, run._inner)
    run._answered(answer)


def _read(kind: "Kind", outputs: object) -> Answer:
    return guarded(outputs, kind.answer_of) or Answer()


def _complete(answer: Answer, inner: Answer) -> None:
    """
    Add what the call that was made inside the run knows, of its usage better.

    Of several, the others are children, which tell what they used: with what the run's
    own result tells, it would be counted twice.
    """
    answer.usage = inner.usage or (None if inner.is_first else answer.usage)
    for name in _FACTS:
        if not getattr(answer, name):
            setattr(answer, name, getattr(inner, name))


def guarded(value: "Any", read: "Callable[[Any], Any]") -> "Any":
    """
    Read a payload, whose own code may raise anything; None then, and a report.
    """
    try:
        return read(value)
    except (Exception, SystemExit) as exc:
        _report.failed(read, "reading a payload", exc)
        return None


def _end_data(run: Run) -> "dict[str, Any]":
    return {
        **run._tells.end_data(run),
        **_measures(run),
        "time_to_first_token_s": run.time_to_first_token_s,
    }


def _error_data(run: Run) -> "dict[str, Any]":
    partial = run.outputs is not None or run._answer is not None
    return {
        "type": type(run.error).__qualname__,
        "message": run._own(safe_str(run.error), "error"),
        "origin": run.error_origin,
        **_measures(run),
        **(run._tells.end_data(run) if partial else {}),
    }


def _measures(run: Run) -> "dict[str, Any]":
    return {
        "usage": run.usage.to_dict(),
        "status": run.status,
        "duration_s": run.duration_s,
    }
