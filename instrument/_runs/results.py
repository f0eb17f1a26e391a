"""
What is recorded of a result: it is read guarded, and kept in a container of its own.
"""

from collections import OrderedDict, defaultdict, deque

from instrument import _report
from instrument._payloads.answers import Answer, Unread, answer_of
from instrument._payloads.messages import is_pydantic
from instrument._state import muted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from instrument._payloads.kinds import Kind
    from instrument._runs.run import Run

CONTAINERS: "frozenset[Any]" = frozenset(
    (dict, list, set, bytearray, OrderedDict, defaultdict, deque)
)

_FACTS = ("_calls", "_reasoning", "finish_reason", "model", "response_id")


def outputs_of(run: "Run", outputs: object) -> object:
    """
    Give the outputs to record: as they are, or what ``outputs=`` makes of them.

    Of a model's, what it told of usage, model and finish is kept.
    """
    if run._kind.is_model:
        read_answer(run, outputs)
    choose = run._spec_outputs
    if choose is None:
        return outputs
    chosen = None if choose is False else _chosen(run, choose, outputs)
    full = run._read_answer()
    if full is not None:
        run._answer = answer = guarded(chosen, answer_of) or Answer()
        answer.usage, answer.model = full.usage, full.model
        answer.finish_reason, answer.response_id = full.finish_reason, full.response_id
    return chosen


def _chosen(run: "Run", choose: "Callable[[Any], Any]", outputs: object) -> object:
    with muted():
        try:
            return choose(outputs)
        except (Exception, SystemExit) as exc:
            tells = run._audience.shows_all
            _report.failed(choose, f"outputs= of {run.name}", exc, tells=tells)
            return None


def read_answer(run: "Run", outputs: object) -> None:
    """
    Read a model's answer: what was collected of its stream, or its whole result.

    A pydantic model is read when that is asked for, as to read it takes most of what a
    call costs; other results are changed more often.
    """
    kind = run._kind
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
        _report.failed(read, "reading a payload", exc, tells=False)
        return None


def contained(value: "Any") -> "Any":
    """
    Give a container of its own, so that who changes it changes nothing for others.
    """
    return value.copy() if value.__class__ in CONTAINERS else value


def failure_of(state: object) -> BaseException | None:
    """
    Give what the last attempt raised, where that is told.
    """
    outcome = getattr(state, "outcome", None)
    if outcome is None:
        return None
    from concurrent.futures import Future

    is_done = isinstance(outcome, Future) and outcome.done() and not outcome.cancelled()
    return outcome.exception() if is_done else None
