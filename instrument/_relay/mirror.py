"""
A worker's runs, told here: each with its own id, parent and times, to the handlers of the
request that sent the work, as any run of this process.
"""

from concurrent.futures import Future

from instrument import _report
from instrument._payloads.answers import Answer
from instrument._payloads.event import VERSION, Event, Usage
from instrument._payloads.kinds import KINDS, Embedding, kind_of
from instrument._payloads.names import MASK
from instrument._relay import errors
from instrument._runs.ending import fail, finish
from instrument._runs.opening import NamedRecipe, Recipe, _refine
from instrument._runs.outcome import ALREADY_SET
from instrument._runs.run import Run, begun
from instrument._runs.starting import start
from instrument._runs.tokens import tell
from instrument._state import get_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any
    from uuid import UUID

    from instrument._audience.audience import Audience
    from instrument._audience.plan import View

MOST_OPEN = 100_000
"""How many runs of one worker's call may be open at once; more are passed over."""
_ELSEWHERE = object()
"""Stands in a run for where its body is."""


class Mirror(Run):
    """
    A run whose body is in another process.

    Attributes:
        lasted_ns: How long it took there, once that is known.
    """

    lasted_ns: int | None = None

    @property
    def _ended_ns(self) -> int | None:
        return self.__dict__.get("ended_ns")

    @_ended_ns.setter
    def _ended_ns(self, value: int | None) -> None:
        if value is not None and self.lasted_ns is not None:
            value = self._started_ns + self.lasted_ns
        self.__dict__["ended_ns"] = value


class Measured(Embedding):
    """
    An embedding, of whose vectors only count and size have come.
    """

    def end_data(self, run: "Run") -> "dict[str, Any]":
        return {"vectors": run.outputs}


_MEASURED = Measured()


class RetryState:
    """
    What tells of a retry there, as tenacity's does.
    """

    def __init__(self, attempt: int, exc: BaseException) -> None:
        self.attempt_number = attempt
        self.outcome: Future[None] = Future()
        self.outcome.set_exception(exc)


class Mirrors:
    """
    The runs of one call in a worker.

    Args:
        view: Where that was sent from.

    Attributes:
        stops: What handlers refused since it was last taken, by the run whose start that
            was; of all else, by nothing.
        ended_with: What the last run that is over and is no other's child there was
            ended with, if with an error.
    """

    def __init__(self, view: "View") -> None:
        self._view = view
        self._open: dict[UUID, Mirror] = {}
        self._by_text: dict[str, Mirror] = {}  # the same
        self._errors: dict[UUID, BaseException] = {}
        self._known: tuple[Audience, Audience] | None = None
        self.stops: dict[str, BaseException] = {}
        self.ended_with: BaseException | None = None

    @property
    def audience(self) -> "Audience":
        """
        Who hears what is outside every run.
        """
        return self._heard(self._view.settle())

    def tell(self, told: "Any") -> None:
        """
        Tell one event, which may be anything.
        """
        try:
            if "token" in told:
                self._tell_token(*told["token"])
                return
            record, more = _read(told["event"]), told.get("more", {})
            told_by = _TELLS.get(record.event) or _tell_by_end(record.event)
            told_by(self, record, more)
        except Exception as exc:
            _report.failed_apart(self, "an event of a worker", exc)

    def end_all(self, exc: BaseException) -> None:
        """
        End what is open, inner before outer: no more will come.
        """
        if self._open and not isinstance(exc, GeneratorExit):
            self.ended_with = exc
        for id, run in sorted(self._open.items(), key=lambda it: -it[1].depth):
            del self._open[id]
            self._stoppable("", fail, run, exc)
        self._by_text.clear()

    def start(self, record: Event, more: "dict[str, Any]") -> None:
        """
        Begin a run.
        """
        if record.run_id in self._open or len(self._open) >= MOST_OPEN:
            return
        run = self._made(record, NamedRecipe if more.get("named") is True else Recipe)
        _describe(run, record)
        _take_inputs(run, record.data)
        run.started_at = _whole(more.get("started_at")) or record.time_ns
        run._description = _text(more.get("description"))
        id = str(run.id)
        self._open[run.id] = self._by_text[id] = run
        if not self._stoppable(id, start, run, get_state()):
            del self._open[run.id], self._by_text[id]

    def end(self, record: Event, more: "dict[str, Any]") -> None:
        """
        End one with what it returned.
        """
        run = self._taken(record, more)
        if run is not None:
            self._stoppable("", finish, run, _take_outputs(run, record.data))
            self._note_end(run, None)

    def fail(self, record: Event, more: "dict[str, Any]") -> None:
        """
        End one with what was raised in it.
        """
        below = self._errors.get(record.run_id)
        run = self._taken(record, more)
        if run is None:
            return
        exc = self._error(run, record.data, more.get("error", {}), below)
        if any(name in record.data for name in _OUTPUTS):
            value = _take_outputs(run, record.data)
            if value is not ALREADY_SET:
                run._take_outputs(value)
        self._stoppable("", fail, run, exc)
        self._note_end(run, exc)
        self._note_below(record.parent_run_id, exc)

    def _note_below(self, id: "UUID | None", exc: BaseException) -> None:
        """
        Have the run *id* that may fail with what has failed below it know that.
        """
        if id in self._open:
            self._errors[id] = exc

    def _note_end(self, run: Mirror, exc: BaseException | None) -> None:
        if type(run._parent) is not Mirror:
            self.ended_with = exc

    def _tell_token(self, id: str, time_ns: int, text: str, channel: str) -> None:
        run = self._by_text.get(id)
        if run is None:
            return
        if run._first_token_ns is None:
            since = max(time_ns - run.started_at, 0)
            run._first_token_ns = run._started_ns + since
        self._stoppable("", tell, run, text, None, channel)

    def text(self, record: Event, more: "dict[str, Any]") -> None:
        """
        Tell what a run says.
        """
        run = self._found(record)
        if run is not None:
            self._stoppable("", run.text, record.data["text"])

    def retry(self, record: Event, more: "dict[str, Any]") -> None:
        """
        Tell that it tries again.
        """
        run, data = self._found(record), record.data
        if run is None:
            return
        state: Any = data["attempt"]
        if "type" in data:
            told = {"type": data["type"], "own": True}
            state = RetryState(state, errors.remade(told, data["message"]))
        self._stoppable("", run.retry, state)

    def retried(self, attempts: int, exc: BaseException | None) -> None:
        """
        Tell the run that sent the work that it is done once more.

        Args:
            attempts: How many there have been before.
            exc: What the last of them ended with.
        """
        sender = self._view.run
        if sender is not None and sender._ended_ns is None:
            state = attempts if exc is None else RetryState(attempts, exc)
            self._stoppable("", sender.retry, state)

    def custom(self, record: Event, more: "dict[str, Any]") -> None:
        """
        Tell an event of the application's own: of a run, of the one that sent the work,
        or of none.
        """
        run: Run | None = self._found(record)
        sender, audience = self._view.run, None
        if run is None and sender is not None and sender.id == record.run_id:
            run, audience = sender, self.audience
        if run is None:
            run = self._made(record)
            _describe(run, record)
        name, data = record.data["name"], record.data["data"]
        self._stoppable("", run.emit, name, data, audience)

    def _stoppable(self, id: str, act: "Callable[..., object]", *args: "Any") -> bool:
        """
        Do what handlers hear; note what one of them refused.

        Args:
            id: Of the run that starts, if one does.
        """
        try:
            act(*args)
        except BaseException as exc:
            self.stops[id] = exc
            if act is start:
                self._note_below(args[0].parent_id, exc)
            return False
        return True

    def _heard(self, audience: "Audience") -> "Audience":
        if self._known is None or self._known[0] is not audience:
            self._known = audience, audience.forwarded()
        return self._known[1]

    def _made(self, record: Event, named: "type[Recipe]" = Recipe) -> Mirror:
        """
        Make the run of a record, below the run above it there.

        Args:
            named: Whether the application has chosen its name.
        """
        above, sender = record.parent_run_id, self._view.run
        parent: Run | None = None if above is None else self._open.get(above)
        if parent is None and sender is not None and sender.id == above:
            parent = sender
        plan: Any = parent._plan if type(parent) is Mirror else self._view
        kind = record.kind if record.event != "on_custom_event" else "custom"
        known = _MEASURED if kind == "embedding" else kind_of(kind)
        recipe = named(record.name or "unnamed", kind, as_kind=known)
        audience = plan.settle()
        run = Mirror()
        begun(run, recipe, parent, plan, self._heard(audience), None, record.run_id)
        if above is not None and parent is None:
            run.parent_id = above  # it has ended, or nobody heard of it
            if sender is not None:
                run._root = sender._root or sender
        if run._audience.undecided:
            _refine(run, ())
            run._audience = run._audience.forwarded()
            run._voices = run._audience.voices(run._kind)
        run._entry = _ELSEWHERE
        return run

    def _found(self, record: Event) -> Mirror | None:
        """
        Find an open run, with the tags and metadata that it has by now.
        """
        run = self._open.get(record.run_id)
        if run is not None:
            _describe(run, record)
        return run

    def _taken(self, record: Event, more: "dict[str, Any]") -> Mirror | None:
        """
        Take a run that ends from the open ones, with what is told of any end.
        """
        self._errors.pop(record.run_id, None)
        run = self._open.pop(record.run_id, None)
        if run is None:
            return None
        del self._by_text[str(run.id)]
        data = record.data
        run.lasted_ns = round(data["duration_s"] * 1e9)
        first_s = data.get("time_to_first_token_s")
        if first_s is not None:
            run._first_token_ns = run._started_ns + round(first_s * 1e9)
        if data.get("usage"):
            run._usage = Usage(**data["usage"])
        run.provider = _text(more.get("provider")) or run.provider
        run.model = _text(more.get("model")) or run._model
        _describe(run, record)
        return run

    def _error(
        self,
        run: Mirror,
        data: "dict[str, Any]",
        told: "dict[str, Any]",
        below: BaseException | None,
    ) -> BaseException:
        """
        Make what was raised: once for all runs that it came through.

        Args:
            below: What the last run below it that failed ended with.
        """
        if data["status"] == "abandoned":
            return GeneratorExit()
        if data["status"] == "cancelled":
            from asyncio import CancelledError

            return CancelledError()
        named = {"own": True, **told, "type": data["type"]}
        message, traceback = data["message"], data.get("traceback")
        if "held" in told:
            hidden = errors.hidden_in(told["held"], run._audience.redactors)
            message = MASK if hidden[0] else message
            traceback = None if any(hidden) else traceback
        exc = errors.remade(named, message, traceback)
        if data["origin"] is not False:
            return exc
        if type(below) is type(exc) and str(below) == str(exc):
            return below
        exc.__dict__["__instrument_origin__"] = (run.trace_id,)
        return exc


def _read(fields: "dict[str, Any]") -> Event:
    if fields["v"] != VERSION:
        message = f"an event of version {fields['v']!r}, not {VERSION}"
        raise ValueError(message)
    return Event._from_fields(fields)


def _describe(run: Run, record: Event) -> None:
    """
    Add the tags and metadata that it has there to those that it has from here.
    """
    known = run._audience.tags
    run._added = tuple([str(tag) for tag in record.tags if tag not in known])
    run._tagged = bool(known or run._added)
    if record.metadata:
        run.metadata.update(record.metadata)
        run._described = True


def _take_inputs(run: Run, data: "dict[str, Any]") -> None:
    kind, name = run._kind, next((it for it in _INPUTS if it in data), None)
    if not run._audience.capture or name is None:
        run._inputs = kind.inputs_of({})
        return
    run._inputs = run._cleared(data[name], "inputs")
    if kind.is_model:
        run._params = run._cleared(data.get("params"), "inputs")
        run._model, run.provider = _text(data.get("model")), _text(data.get("provider"))


def _take_outputs(run: Run, data: "dict[str, Any]") -> "Any":
    """
    Give what came out; a model's answer is the run's then.
    """
    if not run._kind.is_model:
        return next((data[it] for it in _OUTPUTS if it in data), None)
    answer = Answer(_text(data.get("text")) or "")
    answer.part(data.get("reasoning"), "reasoning")
    for name in ("tool_calls", "server_tool_calls"):
        for call in _dicts(data, name):
            given = call.get("arguments")
            answer.called(
                call.get("id"),
                call.get("name"),
                given,
                is_whole=True,
                is_text=type(given) is str,
                is_server=name == "server_tool_calls",
            )
    for file in _dicts(data, "files"):
        answer.has(_text(file.get("kind")) or "file", None)
        [*answer._files.values()][-1]._size = file.get("size")
    answer.model = _text(data.get("model"))
    answer.finish_reason = _text(data.get("finish_reason"))
    answer.response_id = _text(data.get("response_id"))
    answer.error = data.get("error")
    usage = run._usage
    run._answered(answer)
    run._usage = usage
    run._outputs = run._cleared(answer.text, "outputs")
    return ALREADY_SET


def _dicts(data: "dict[str, Any]", name: str) -> "list[dict[str, Any]]":
    """
    Give the dicts in a list, which may have been masked there, or not told.
    """
    told = data.get(name)
    return [it for it in told if type(it) is dict] if type(told) is list else []


def _text(value: object) -> str | None:
    return value if type(value) is str else None


def _whole(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None


def _tell_by_end(event: str) -> "Callable[[Mirrors, Event, dict[str, Any]], None]":
    """
    Find what tells an event of a kind of run.
    """
    if event in _EVENTS:
        _, _, what = event.rpartition("_")
        return {"start": Mirrors.start, "end": Mirrors.end, "error": Mirrors.fail}[what]
    message = f"{event!r} is told by no worker"
    raise ValueError(message)


_EVENTS = {
    event for kind in KINDS.values() for event in (kind.start, kind.end, kind.error)
}
_INPUTS = ("inputs", "prompts", "messages", "query", "texts")
_OUTPUTS = ("outputs", "output", "documents", "vectors", "text")
_TELLS: "dict[str, Callable[[Mirrors, Event, dict[str, Any]], None]]" = {
    "on_text": Mirrors.text,
    "on_retry": Mirrors.retry,
    "on_custom_event": Mirrors.custom,
}
