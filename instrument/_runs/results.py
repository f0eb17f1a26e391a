"""
What is recorded of a result: it is read guarded, and kept in a container of its own.
"""

from collections import OrderedDict, defaultdict, deque
from itertools import islice
from operator import methodcaller

from instrument import _report
from instrument._payloads.answers import Answer, answer_of
from instrument._payloads.event import Usage
from instrument._payloads.fields import key_of, name_of
from instrument._payloads.jsonable import Asked
from instrument._payloads.messages import is_dict, is_pydantic
from instrument._payloads.names import MASK
from instrument._payloads.redact import asked_for, redacted, said_by
from instrument._state import muted
from instrument._text import is_callers, safe_repr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from instrument._payloads.kinds import Kind
    from instrument._payloads.walk import Redactor
    from instrument._runs.opening import Binding
    from instrument._runs.run import Run

CONTAINERS = frozenset(
    map(id, (dict, list, set, bytearray, OrderedDict, defaultdict, deque))
)
"""By id, as a metaclass may have a hash of its own."""

_copy = methodcaller("copy")


def outputs_of(run: "Run", outputs: object) -> object:
    """
    Give the outputs to record: what the body set, what ``outputs=`` makes, or all.

    Of a model's, what it told of usage, model and finish is kept.
    """
    if run._kind.is_model:
        read_answer(run, outputs)
    choose = run._recipe.outputs
    if run._is_told:
        chosen = set_by(run)
    elif choose is None:
        return outputs
    else:
        chosen = None if choose is False else _chosen(run, choose, outputs)
    full = run._read_answer()
    if full is not None:
        run._answer = answer = guarded(chosen, answer_of) or Answer()
        answer.usage, answer.model = full.usage, full.model
        answer.finish_reason, answer.response_id = full.finish_reason, full.response_id
    return chosen


def set_outputs(run: "Run", outputs: object) -> None:
    """
    Take the outputs that the body of *run* sets.
    """
    run._before = {}
    run._outputs = contained(outputs) if run._audience.capture else None
    set_by(run)


def set_by(run: "Run") -> object:
    """
    Give the outputs that the body of *run* has set, as handlers may see what it has made
    of them since.
    """
    audience, before = run._audience, run._before
    if before is not None and audience.capture:
        shown = redacted(run._outputs, audience.redactors, ("outputs",), before)
        run._outputs = shown
    return run._outputs


def _chosen(run: "Run", choose: "Callable[[Any], Any]", outputs: object) -> object:
    with muted():
        try:
            return choose(outputs)
        except BaseException as exc:
            tells = run._audience.shows_all
            _report.unread(choose, f"outputs= of {run.name}", exc, tells=tells)
            return None


def read_answer(run: "Run", outputs: object) -> None:
    """
    Read a model's answer: what was collected of its stream, or its whole result.

    Text and pydantic models are read when that is asked for, as to read them takes most
    of what a call costs; other results are changed more often.
    """
    kind = run._kind
    answer = None if run._answer is None else run._read_answer()
    if answer is None:
        as_it_is = run._audience.shows_all and run._recipe.outputs is None
        ends = run._voices.end
        is_recorded = ends is not None and ends.native
        is_asked_for_later = run._inner is None and not is_recorded
        lasts = kind.is_whole or type(outputs) is str or is_pydantic(outputs)
        if as_it_is and is_asked_for_later and lasts:
            run._answer = kind, outputs
            return
        answer = read(kind, outputs)
    if run._inner is not None:
        answer.complete(run._inner)
    run._answered(answer)


def read(kind: "Kind", outputs: object) -> Answer:
    """
    Read a model's whole result; an empty answer where that fails.
    """
    return guarded(outputs, kind.answer_of) or Answer()


def guarded(value: "Any", read: "Callable[[Any], Any]") -> "Any":
    """
    Read a payload, whose own code may raise anything; None then, and a report.
    """
    try:
        return read(value)
    except BaseException as exc:
        _report.unread(read, "reading a payload", exc)
        return None


def contained(value: "Any") -> "Any":
    """
    Give a container of its own, so that who changes it changes nothing for others.
    """
    # guarded, as an ordered dict asks its keys for their hash
    return guarded(value, _copy) if id(type(value)) in CONTAINERS else value


def all_contained(inputs: "dict[str, Any]") -> "dict[str, Any]":
    """
    Give *inputs* with each container as one of their own.
    """
    for value in inputs.values():
        kind = type(value)
        if kind is not str and kind is not int and id(kind) in CONTAINERS:
            return {k: contained(v) for k, v in inputs.items()}
    return inputs


def bound_by(
    binding: "Binding",
    args: "tuple[Any, ...]",
    kwargs: "dict[str, Any]",
    instance: object,
) -> "dict[str, Any]":
    """
    Bind a call's inputs by name, by what has been prepared for it if that fits.
    """
    key = type(args[0]) if binding.keyed and args else None
    try:
        bind = binding.quick.get(key) if instance is None else None
        return bind(*args, **kwargs)  # type: ignore[misc]
    except BaseException as exc:  # not prepared yet, or a call that does not fit
        if is_callers(exc):
            raise
    try:
        return binding.bound(args, kwargs, instance)
    except BaseException as failure:  # what it needs cannot be imported
        _report.unread(binding, "binding inputs", failure)
        return {}


def named(inputs: object, name: str) -> "dict[str, Any]":
    """
    Give a dict of its own of what stands for a call's inputs.

    Args:
        name: What they are called where they are no dict.
    """
    if not is_dict(inputs):
        return {name: inputs}
    made = guarded(inputs, _plain_dict)
    return {} if made is None else made


def _plain_dict(value: "Any") -> "dict[str, Any]":
    return dict(dict.items(value))


def not_counted(run: "Run", exc: BaseException, counts: "dict[str, Any]") -> None:
    """
    Report that *counts* are none of tokens.
    """
    slip = f"record_usage of {run.name!r}"

    def message() -> str:
        shows = run._audience.shows()
        is_shown = shows is None or all(shows(it) is it for it in counts.values())
        told = f"{slip}: {said_by(exc, run._audience) if is_shown else _NO_COUNT}"
        if counts.keys() <= set(Usage.__slots__):
            return told
        return f"{told}. It takes {', '.join(Usage.__slots__)}."

    _report.slipped(slip, message)


_NO_COUNT = f"Usage: a count must be a number or None, not {MASK}"


def as_text(value: object, redactors: "tuple[Redactor, ...]" = ()) -> str:
    """
    Give what is to be a text as one: of a string itself, of anything else its ``repr``,
    as it may be seen.
    """
    if issubclass(type(value), str):
        return str.__str__(value)
    if value is None:
        return ""
    with muted():
        text = safe_repr(value)
    memo = asked_for(redactors)
    return memo.shown(text) if type(memo) is Asked else text


def label_of(value: object) -> str:
    """
    Give a name or a tag as a text. Of what can be none its type is told: labels are not
    redacted, and it may hold what is.
    """
    text = "" if value is None else key_of(value)
    return f"<{name_of(value)}>" if text is None else text


def take_inputs(run: "Run") -> None:
    """
    Bind what *run* was called with, as handlers may see it.
    """
    (binding, args, kwargs, instance), run._call = run._call, None  # type: ignore[misc]
    audience, kind = run._audience, run._kind
    if not audience.capture:
        run._inputs = kind.inputs_of({})
        return
    inputs = bound_by(binding, args, kwargs, instance)
    if audience.redactors:
        shown: Any = redacted(inputs, audience.redactors, ("inputs",))
        inputs = shown if is_dict(shown) else {"inputs": shown}  # dropped
    elif binding.is_own and run.kind == "chat_model" and "messages" in inputs:
        run._inputs, run._params = inputs.pop("messages"), inputs
        return
    take_bound(run, inputs)


def take_bound(run: "Run", inputs: "dict[str, Any]") -> None:
    """
    Take the arguments by name, of which nothing is to be hidden.
    """
    kind = run._kind
    if kind.is_model:  # which makes a list of its own of the first
        more = dict(islice(inputs.items(), 1, None)) if len(inputs) > 1 else {}
        run._params = all_contained(more) if more else more
    else:
        inputs = all_contained(inputs)
    run._inputs = inputs if kind.is_plain else guarded(inputs, kind.inputs_of)
