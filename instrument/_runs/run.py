"""
`Run`: one timed call, its facts, and what its body may tell while it runs.
"""

from itertools import count

from instrument import _ids, _report
from instrument._audience.plan import Layer, Options, Plan, View
from instrument._delivery.dispatch import Delivery, keywords, record_of
from instrument._payloads.event import Usage
from instrument._payloads.kinds import failure_of
from instrument._payloads.messages import get, is_dict
from instrument._payloads.redact import Metadata, emitted, redacted, said_of_attempt
from instrument._runs.results import (
    contained,
    label_of,
    not_counted,
    read,
    set_outputs,
    take_inputs,
)
from instrument._runs.tokens import atell, tell
from instrument._state import MUTED, Frame, get_state, mutely
from instrument._text import type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any
    from uuid import UUID

    from instrument._audience.audience import Audience, Voices
    from instrument._payloads.answers import Answer
    from instrument._payloads.jsonable import Memo
    from instrument._payloads.kinds import Kind
    from instrument._payloads.walk import Path
    from instrument._runs.opening import Binding, Recipe
    from instrument._state import Less


class Run(Frame):
    """
    One timed call of something: a chain, a model, a tool.

    Attributes:
        id: A UUIDv7.
        parent_id: The id of the run it was called from, None for a root.
        name: Never empty.
        kind: ``chain``, ``agent``, ``llm``, ``chat_model``, ``tool``, ``retriever``,
            ``embedding`` or any other string.
        depth: How many runs are above it; 0 for a root.
        started_at: Nanoseconds since the epoch.
        status: ``running``, ``ok``, ``error``, ``cancelled`` or ``abandoned``.
        error: The exception it ended with.
        error_origin: True where that exception came from, False where it only
            passed through.
        provider: As far as it is known.
    """

    _is_run = True
    id: "UUID"
    parent_id: "UUID | None"
    depth: int
    status: str
    error: BaseException | None = None
    error_origin = False
    provider: str | None = None

    name: str
    started_at: int

    # What each run sets has no default here: from Python 3.12 on, to set what the class
    # has as well takes 400 instructions, and else 40.
    _kind: "Kind"
    _audience: "Audience"
    _voices: "Voices"
    _recipe: "Recipe"
    _tagged: bool
    _described: bool
    _started_ns: int
    _ended_ns: int | None
    _parent: "Run | None"
    _root: "Run | None"
    _call: "tuple[Binding, tuple[Any, ...], dict[str, Any], object] | None"
    _inputs: "Any"
    _outputs: "Any"
    _streams: "Any"  # whether one began in it, that may go on after it
    _rest: "Any"  # of its start or end, which the full stack broke off

    _seq: "Callable[[], int] | None" = None
    _params: "dict[str, Any] | None" = None
    _is_told = False  # by the body itself, what comes out
    _before: "dict[Path, Any] | None" = None  # of that, by what redacts
    _added: "Any" = ()
    _extra: "tuple[Layer, ...]" = ()
    _metadata: "dict[str, Any] | None" = None
    _inner: "Answer | None" = None
    _yields_tokens = False
    _entry: "Any" = None
    _below: "tuple[Plan, tuple[Layer, ...], Plan] | None" = None
    _open_children = 0  # as far as a framework tells of them
    _first_token_ns: int | None = None
    _model: str | None = None
    _description: str | None = None  # a tool's
    _asked: "Memo | None" = None  # what is in a tool's inputs, for its text as it began
    _said: str | None = None  # what its error says, as it may be seen
    _usage = Usage()
    _answer: "Answer | tuple[Kind, object] | None" = None  # read, or what is to be

    if TYPE_CHECKING:

        def __bool__(self) -> bool: ...

    def __repr__(self) -> str:
        return f"<Run {self.kind} {self.name!r} {self.status} {self.id}>"

    @property
    def kind(self) -> str:
        return self._recipe.kind  # no place of its own in the layout of runs

    @property
    def trace_id(self) -> "UUID":
        """
        The id of the root run.
        """
        return self._root_run().id

    @property
    def trace_hex(self) -> str:
        """
        The trace id that others see: that which came in, else a hash of `trace_id`.
        Six of its digits tell requests apart, whose ids begin alike.
        """
        root = self._root_run()
        return root._audience.trace_hex_of(root.id)

    @property
    def tags(self) -> tuple[str, ...]:
        """
        Its own tags and those it inherits, outer first.
        """
        tags = self._audience.tags
        return tuple(dict.fromkeys((*tags, *self._added))) if self._added else tags

    @property
    def metadata(self) -> "dict[str, Any]":
        """
        Its own metadata over what it inherits; a dict of this run.
        """
        metadata = self._metadata
        if metadata is None:
            metadata, redactors = self._audience.metadata, self._audience.redactors
            metadata = Metadata(metadata, redactors) if redactors else metadata.copy()
            self._metadata = metadata
            self._described = True  # it may be changed from now on
        return metadata

    @property
    def inputs(self) -> "Any":
        """
        What it was called with, as its handlers may see it.

        A dict of the arguments by name; the prompts or messages of a model, the
        query of a retriever, the texts of an embedding.
        """
        if self._call is not None:
            self._take()
        return self._inputs

    @inputs.setter
    def inputs(self, value: object) -> None:
        if self._call is not None:
            self._take()  # what else a model was given stays
        self._inputs = self._cleared(value, "inputs")

    @property
    def params(self) -> "dict[str, Any]":
        """
        A model's other arguments, by name.
        """
        return self._params if self.inputs is not None and self._params else {}

    @property
    def outputs(self) -> "Any":
        """
        What it returned, or its body set, as its handlers may see it; else None.
        """
        return self._outputs

    @outputs.setter
    def outputs(self, value: object) -> None:
        set_outputs(self, value)
        self._is_told = True
        self._voices = self._voices.in_full or self._voices

    def _take_outputs(self, value: object) -> None:
        """
        Take what was returned, as handlers may have it, unless the body has set it.
        """
        if not self._is_told:
            self._outputs = self._cleared(value, "outputs")

    @property
    def duration_s(self) -> float:
        """
        Seconds from start to end, to now while it runs.
        """
        ended = self._ended_ns
        return ((_ids.clock_ns() if ended is None else ended) - self._started_ns) / 1e9

    @property
    def time_to_first_token_s(self) -> float | None:
        """
        Seconds from start to its first token, None before that.
        """
        first = self._first_token_ns
        return None if first is None else (first - self._started_ns) / 1e9

    @property
    def model(self) -> str | None:
        """
        The name of the model, as far as it is known: the one that has answered.
        """
        self._read_answer()
        return self._model

    @model.setter
    def model(self, name: str | None) -> None:
        self._model = label_of(name) if issubclass(type(name), str) else None

    @property
    def usage(self) -> Usage:
        """
        What a model call consumed; its fields are None while not known.
        """
        self._read_answer()
        return self._usage

    @usage.setter
    def usage(self, usage: Usage) -> None:
        self._read_answer()
        if issubclass(type(usage), Usage):
            self._usage = usage
        else:
            slip = f"run.usage of {self.name!r}"
            _report.slipped(slip, lambda: f"{slip} is a Usage, not a {type_of(usage)}.")

    def add_tags(self, *tags: str) -> None:
        """
        Add tags to this run and to those it starts later.
        """
        added = self._added
        if type(added) is not dict:
            added = dict.fromkeys(added, False)
        given = dict.fromkeys(map(label_of, tags), True)  # runs below have it, too
        self._add([tag for tag in given if not added.get(tag)], {})
        added.update(given)
        self._added, self._tagged = added, True

    def add_metadata(self, **metadata: object) -> None:
        """
        Add metadata to this run and to those it starts later.
        """
        self._add([], metadata)
        self.metadata.update(metadata)
        self._described = True

    def record_usage(self, **counts: "int | float | None") -> None:
        """
        Add what a model call consumed: the fields of `Usage` by name.

        What is not a number is reported, not raised: a provider's answer must not
        end the request.
        """
        try:
            self.usage = self.usage + Usage(**counts)  # type: ignore[arg-type]
        except (TypeError, ValueError) as exc:
            not_counted(self, exc, counts)

    def token(self, text: str, chunk: object = None, channel: str = "text") -> None:
        """
        Tell a piece of a model's answer: ``on_llm_new_token``.

        Args:
            text: What it says.
            chunk: The provider's own object.
            channel: ``text``, ``reasoning`` or ``tool_call``; only handlers that name a
                parameter ``channel``, `on_event` and LangChain's hear the last two.
        """
        tell(self, text, chunk, channel)

    def _atoken(
        self, text: str, chunk: object = None, channel: str = "text"
    ) -> "Coroutine[Any, Any, None] | None":
        """
        The same in async code: what it returns is to be awaited, if it is not None.
        """
        return atell(self, text, chunk, channel)

    def text(self, text: str) -> None:
        """
        Say something: ``on_text``.
        """
        shown = self._cleared(text, "text")
        self._tell("on_text", (shown,), {"text": shown})

    def retry(self, state: object) -> None:
        """
        Tell that it tries again: ``on_retry``, with tenacity's state or a number.
        """
        shown = state if type(state) is int else self._cleared(state, "retry")
        attempt = get(state, "attempt_number")
        if type(attempt) is not int:
            attempt = shown if attempt is None else self._cleared(attempt, "retry")
        data = {"attempt": attempt}
        exc = failure_of(state)
        if exc is not None:
            data["type"] = type_of(exc)
            data["message"] = said_of_attempt(exc, self._audience)
        self._tell("on_retry", (shown,), data)

    def emit(
        self, name: str, data: object = None, audience: "Audience | None" = None
    ) -> None:
        """
        Tell an event of the application's own: ``on_custom_event``; to *audience*, or
        else to those who hear the run.
        """
        heard = audience or self._audience
        name, shown = label_of(name), self._cleared(data, "data", heard)
        is_inner = len(heard.redactors) != len(self._audience.redactors)
        shown = emitted(name, shown, heard.redactors, is_inner=is_inner)
        fields = {"name": name, "data": shown}
        self._tell("on_custom_event", (name, shown), fields, audience)

    def _viewed(self, less: "Less") -> View:
        """
        Give what stands over this run so that some layers are not heard below.
        """
        return View(less(self._plan), self, self, stands_on=self)

    @property
    def _owner(self) -> object:  # type: ignore[override]
        # of blocks alone, so that it has no place of its own in the layout of runs
        return self._entry[-1] if type(self._entry) is tuple else None

    @property
    def _is_in_hand(self) -> bool:
        """
        Whether it is current in its body; one that a framework tells of is not.
        """
        return self._entry is None or type(self._entry) is tuple

    @property
    def _entered_from(self) -> "tuple[Any, ...]":  # type: ignore[override]
        return self._entry[1:-1]  # type: ignore[no-any-return]

    def _next_seq(self) -> int:
        """
        Begin to count the events recorded in this trace; of a root run. Another thread
        may have begun just now.
        """
        self.__dict__.setdefault("_seq", count(1).__next__)
        return self._seq()  # type: ignore[misc]

    def _root_run(self) -> "Run":
        return self._root or self

    def _answered(self, answer: "Answer") -> None:
        self._answer = answer
        if answer.usage is not None and not self._usage:
            self._usage = answer.usage
        self._model = answer.model or self._model

    def _read_answer(self) -> "Answer | None":
        answer: Any = self._answer
        if answer.__class__ is tuple:
            answer = read(*answer)
            self._answered(answer)
        return answer  # type: ignore[no-any-return]

    def _take_partial(self) -> None:
        """
        Take what a model had told until it failed, itself or to the call inside it.
        """
        inner = self._inner
        answer = self._read_answer() or inner
        if answer is not None:
            if inner is not None and answer is not inner:
                answer.complete(inner)
            self._answered(answer)

    _take = take_inputs

    def _add(self, tags: "list[str]", metadata: "dict[str, Any]") -> None:
        """
        Add them to what runs below begin with: in one layer, however often it is done.

        It is a new one, as those that have begun go on with the one before.
        """
        extra, plan = self._extra, self._plan
        if extra and plan.layer is extra[-1]:
            held: Any = plan.layer.options
            tags, metadata = [*held.tags, *tags], {**held.metadata, **metadata}
            extra, plan = extra[:-1], plan.outer  # type: ignore[assignment]
        layer = Layer(Options(tags=tags, metadata=metadata), "call")
        self._extra = (*extra, layer)
        self._plan = Plan(plan, layer)

    def _cleared(
        self, value: "Any", name: str, audience: "Audience | None" = None
    ) -> "Any":
        """
        Give a payload as handlers may have it: redacted, and in a container of its own.
        """
        audience = audience or self._audience
        if not audience.capture:
            return None
        if audience.redactors:
            value = redacted(value, audience.redactors, (name,))
        return contained(value)

    def _metadata_for(self, audience: "Audience") -> "dict[str, Any]":
        """
        Give its metadata as *audience* may see it: a block inside it may mask more.
        """
        shown: Any = self.metadata.copy()
        known = self._audience.redactors
        more = tuple([it for it in audience.redactors if it not in known])
        if more:
            shown = redacted(shown, more, ("metadata",))
        return shown if is_dict(shown) else {}

    def _tell(
        self,
        event: str,
        args: "tuple[Any, ...]",
        data: "dict[str, Any]",
        audience: "Audience | None" = None,
    ) -> None:
        receivers = (audience or self._audience).receivers(event)
        is_mute = get_state() is MUTED
        if not receivers.entries or is_mute or self._ended_ns is not None:
            return
        kwargs = keywords(self)
        if event == "on_custom_event":  # its own first argument is called name
            del kwargs["name"]
        delivery = Delivery(self, event, receivers, args, lambda _: data, kwargs)
        if audience not in (None, self._audience):
            if self._described:
                kwargs["metadata"] = self._metadata_for(audience)
            if receivers.native:
                record = record_of(self, event, data, audience)
                record.metadata = kwargs["metadata"].copy()
                delivery.with_record(record)
        mutely(delivery.now)


def begun(
    run: Run,
    recipe: "Recipe",
    parent: Run | None,
    plan: Plan,
    audience: "Audience",
    outer: object,
    id: "UUID | None" = None,
) -> Run:
    """
    Have *run* begin. No ``__init__``: that the class calls it itself takes 700
    instructions more.
    """
    run.name = recipe.name
    kind = run._kind = recipe._kind
    run._plan = plan
    run._audience = audience
    run._voices = audience.voices_of.get(kind.start) or audience.voices(kind)
    run._outer = outer
    run._recipe = recipe
    # what each run reads on its way: four times as quick as a default of the class
    run._tagged = audience.is_tagged
    run._described = audience.is_described
    run._is_gone = False
    run.status = "running"
    run._ended_ns = run._rest = run._call = run._inputs = run._outputs = None
    run._streams = None
    if recipe.facts:
        run.__dict__.update(recipe.facts)
    run._parent = parent
    if parent is None:
        run.parent_id = run._root = None
        run.depth = 0
    else:
        run._root = parent._root or parent
        run.parent_id = parent.id
        run.depth = parent.depth + 1
    run.started_at = started_at = _ids.wall_ns()
    run.id = _ids.mint(started_at) if id is None else id
    run._started_ns = _ids.clock_ns()
    return run
