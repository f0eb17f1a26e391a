"""
What the end of a run tells: what it returned, or what was raised in it.
"""

import sys
from contextlib import suppress
from gc import get_referents
from operator import is_
from types import BuiltinFunctionType, MemberDescriptorType

from instrument._callables.body import end_unbegun
from instrument._delivery.dispatch import Delivery, keywords, record_of
from instrument._interrupts import UNTOLD
from instrument._payloads.answers import LLMResult
from instrument._payloads.redact import error_of, traceback_text
from instrument._runs.leading import at_work, lead_to_runs, loosen
from instrument._runs.results import (
    CONTAINERS,
    guarded,
    outputs_of,
    read_answer,
    set_by,
)
from instrument._runs.run import Run
from instrument._text import (
    all_raised,
    args_of,
    bases_of,
    cancellations,
    dict_of,
    members_of,
    names_in,
    traceback_of,
    type_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument._audience.audience import Receivers

ALREADY_SET = object()
"""Stands for the outputs that a block has set itself."""
LEFT = "__instrument_left__"
"""The mark on what a server raised as the client had gone."""
_ORIGIN = "__instrument_origin__"
_message_of: "Any" = BaseExceptionGroup.__dict__["message"].__get__
_set_args: "Any" = BaseException.__dict__["args"].__set__
_KEPT = "__instrument_kept__"
_NOTES = "__notes__"
_FRAMES, _FRAMES_OF_ONE = 10_000, 50
_NO_USAGE = Run._usage
_TRACES = 64
"""How many traces one exception object remembers; some are raised for ever."""


def returning(run: Run, outputs: object) -> Delivery | None:  # type: ignore[return]
    """
    Take what *run* returned, and tell it; give what is left to do.

    It ends without ``return None``, at which an interrupt would not be caught.
    """
    kind = run._kind
    if outputs is ALREADY_SET:
        outputs = set_by(run) if run._is_told else run._outputs
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
    receivers = run._voices.end or run._voices.look(run._audience, kind)[1]
    if not receivers.entries:
        return None
    is_made = kind.is_model and not (kind.is_whole and run._audience.shows_all)
    value = guarded(run, kind.ended) if is_made else run._outputs
    if receivers.native:
        return _recorded(run, receivers, value)
    count, result = 0, UNTOLD
    try:
        for method in receivers.methods:
            result = method(
                value,
                run_id=run.id,
                parent_run_id=run.parent_id,
                tags=list(run.tags) if run._tagged else [],
                metadata=run.metadata.copy() if run._described else {},
                name=run.name,
                run=run,
            )
            if result is not None:
                return _ending(run, receivers, value).after(count + 1, result)
            count, result = count + 1, UNTOLD
    except BaseException as exc:
        run._rest = count  # a plain store: there may be no room for a call
        return unbroken(run, _ending(run, receivers, value).broken(count, result, exc))


def _recorded(run: Run, receivers: "Receivers", value: "Any") -> Delivery | None:  # type: ignore[return]
    """
    Tell what *run* returned where somebody takes records.
    """
    kwargs = keywords(run) if receivers.typed else {}
    count, result, record = 0, UNTOLD, None
    try:
        for method, _, _, is_native in receivers.entries:
            if is_native:
                if record is None:
                    record = record_of(run, run._kind.end, _end_data(run))
                result = method(record, run=run)
            else:
                result = method(value, **kwargs)
            if result is not None:
                rest = _ending(run, receivers, value).with_record(record)
                return rest.after(count + 1, result)
            count, result = count + 1, UNTOLD
    except BaseException as exc:
        run._rest = count  # a plain store: there may be no room for a call
        rest = _ending(run, receivers, value).with_record(record)
        return unbroken(run, rest.broken(count, result, exc))


def unbroken(run: Run, rest: Delivery) -> Delivery:
    """
    Give *rest*, which knows itself how far it came.
    """
    run._rest = None
    return rest


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
    if run.error_origin:
        end_unbegun(exc)
    run._take_partial()
    if run._is_told:
        with suppress(RecursionError):  # as of a stream: there may be no room for more
            outputs_of(run, run._outputs)  # its answer is what the body set, too
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
        exc = dict.setdefault(dict_of(exc), _KEPT, cls(*exc.args))
    return exc


def let_go(run: Run, *, is_held: bool = False) -> None:
    """
    Have *run*, whose end has been told, let go of its call, and of an error that leads
    back to it: it keeps one like that, where a frame of the traceback holds a run.

    Args:
        is_held: A frame that is still at work holds it: such a one tells nothing.
    """
    run._call = None
    if run._streams:
        loosen(run)
    exc = run.error
    if exc is None:
        return
    kept = dict.get(dict_of(exc), _KEPT)
    is_held = is_held or run._open_children > 0  # which a frame may have to end
    if (is_held or _holds_runs(exc, run)) if kept is None else not _says(kept, exc):
        kept = guarded(exc, _alike)
    if kept is not None:
        run.error = kept


def _holds_runs(exc: BaseException, run: Run) -> bool:
    """
    Tell whether *exc* itself holds a run, as `BudgetExceeded` does, or a frame of its
    traceback leads to one.

    Of one that came through a run below, the frames above that are looked at; of one that
    came from here, also those of what it was raised from.
    """
    if any(type(it) is Run for it in dict.values(dict_of(exc))):
        return True
    left = _FRAMES if run.error_origin else _FRAMES_OF_ONE
    seen = at_work()
    for error in all_raised(exc) if run.error_origin else (exc,):
        traceback = traceback_of(error)
        while traceback is not None and left:
            frame = traceback.tb_frame
            seen.add(id(frame.f_trace))  # of a debugger, or a watch that hears it now
            if lead_to_runs(get_referents(frame), seen):
                return True
            traceback, left = traceback.tb_next, left - 1
    return False


def _says(kept: BaseException, exc: BaseException) -> bool:
    """
    Tell whether *kept* still says what *exc* does: a level may have changed its text.
    """
    if issubclass(type(exc), BaseExceptionGroup):  # it has members of its own
        is_same = _message_of(kept) is _message_of(exc)
    else:
        is_same = args_of(kept) is args_of(exc)
    notes = dict.get(dict_of(kept), _NOTES)
    is_noted = notes is dict.get(dict_of(exc), _NOTES)
    return is_noted and is_same


def _unframed(exc: BaseException) -> BaseException:
    """
    Give a member of a group itself where no frame is held by it, or by what is in it;
    else one like it.
    """
    members = _unframed_in(exc)
    return (
        exc if members is None and traceback_of(exc) is None else _alike(exc, members)
    )


def _unframed_in(exc: BaseException) -> "list[BaseException] | None":
    """
    Give the members of a group so; None where they are the same.
    """
    if not issubclass(type(exc), BaseExceptionGroup):
        return None
    members = members_of(exc)
    made = [_unframed(it) for it in members]
    return None if all(map(is_, made, members)) else made


def _alike(
    exc: BaseException, members: "list[BaseException] | None" = None
) -> BaseException:
    """
    Make an exception of the same class, with the same attributes but runs, and no frames;
    no code of its own runs.

    Args:
        members: Of a group, where they are others.
    """
    members = members or _unframed_in(exc)
    args = args_of(exc) if members is None else (_message_of(exc), members)
    bases = bases_of(type(exc))
    news = [names_in(base).get("__new__") for base in bases]
    new: Any = next(it for it in news if type(it) is BuiltinFunctionType)
    made: BaseException = new(type(exc), *args)
    for place in (place for base in bases for place in names_in(base).values()):
        if type(place) is MemberDescriptorType:
            value = _held_at(place, exc)
            if value is not UNTOLD and value is not _held_at(place, made):
                with suppress(AttributeError, TypeError):  # it is read only
                    place.__set__(made, value)
    _set_args(made, args)
    for name, value in dict.items(dict_of(exc)):
        dict.__setitem__(dict_of(made), name, None if type(value) is Run else value)
    dict.pop(dict_of(made), _KEPT, None)  # one that says something else
    dict.__setitem__(dict_of(exc), _KEPT, made)
    return made


def _held_at(place: "Any", exc: BaseException) -> object:
    try:
        return place.__get__(exc)
    except AttributeError:  # nothing was put there
        return UNTOLD


def _is_origin(exc: BaseException, run: Run) -> bool:
    """
    Tell whether *exc* is seen in this trace for the first time, and mark it.

    The mark is on the exception: builtin ones refuse weak references, and an id may
    be another's by now.
    """
    trace_id = run.trace_id
    marks = dict_of(exc)
    seen = dict.get(marks, _ORIGIN, ())
    if trace_id in seen:
        return False
    dict.__setitem__(marks, _ORIGIN, (*seen[-_TRACES:], trace_id))
    return True


def status_of(run: Run, exc: BaseException) -> str:
    """
    Give the status that *run* ends with by *exc*.
    """
    kind = type(exc)  # what an exception says that it is may be anything
    if issubclass(kind, (GeneratorExit, *_departures())):
        return "abandoned"
    if issubclass(kind, cancellations()):
        return "abandoned" if _is_deserted(run) else "cancelled"
    return "abandoned" if dict.get(dict_of(exc), LEFT) else "error"


def _is_deserted(run: Run) -> bool:
    """
    Tell whether the client has gone for whom it worked.
    """
    return any(layer.is_deserted for layer in run._audience.layers)


def _departures() -> "list[type[BaseException]]":
    """
    Give the exception types by which is left what has not failed: LangGraph's of a node
    that waits for a human, or hands over to another graph, and Starlette's where a
    client has gone.
    """
    known = ((sys.modules.get(module), name) for module, name in _DEPARTURES)
    return [getattr(module, name) for module, name in known if hasattr(module, name)]


_DEPARTURES = (
    ("langgraph.errors", "GraphBubbleUp"),
    ("starlette.requests", "ClientDisconnect"),
    ("starlette.websockets", "WebSocketDisconnect"),
)


def _end_data(run: Run) -> "dict[str, Any]":
    # plain looks, of which no call's cost is a quarter of the record
    kind = run._kind
    data = {"outputs": run._outputs} if kind.is_plain else kind.end_data(run)
    is_known = run._answer is not None or run._usage is not _NO_USAGE
    data["usage"] = run.usage.to_dict() if is_known else {}
    data["status"] = run.status
    data["duration_s"] = (run._ended_ns - run._started_ns) / 1e9  # type: ignore[operator]
    first = run._first_token_ns
    data["time_to_first_token_s"] = (
        None if first is None else (first - run._started_ns) / 1e9
    )
    return data


def _error_data(run: Run) -> "dict[str, Any]":
    partial = run.outputs is not None or run._answer is not None
    traceback = guarded(run, traceback_text)
    return {
        "type": type_of(run.error),
        "message": error_of(run),
        **({} if traceback is None else {"traceback": traceback}),
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


def rest_of_start(
    run: Run,
    count: int = 0,
    args: "tuple[Any, ...] | None" = None,
    kwargs: "dict[str, Any] | None" = None,
) -> Delivery:
    """
    Give what is left to tell of the start of *run*, behind the first *count*.
    """
    kind = run._kind
    if args is None:
        args, _ = kind.started(run)
    receivers = run._voices.start or run._voices.look(run._audience, kind)[0]
    rest = Delivery(run, kind.start, receivers, args, kind.start_data, kwargs)
    return rest.behind(count)


def rest_of_end(run: Run, count: int) -> Delivery:
    """
    Give what is left to tell of what *run* returned, behind the first *count*.
    """
    kind = run._kind
    is_made = kind.is_model and not (kind.is_whole and run._audience.shows_all)
    value = guarded(run, kind.ended) if is_made else run._outputs
    heard = run._audience
    voices = heard.voices_of.get(kind.start) or heard.voices(kind)
    receivers = voices.end or voices.look(heard, kind)[1]
    return _ending(run, receivers, value).behind(count)
