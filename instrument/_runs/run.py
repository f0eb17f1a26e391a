"""
`Run`: one timed call, its facts, and what its body may tell while it runs.
"""

from itertools import count, islice

from instrument import _ids, _report
from instrument._audience.plan import NOBODY, Layer, Options, Plan, View
from instrument._payloads.event import Usage
from instrument._payloads.redact import redacted
from instrument._runs.facts import Facts
from instrument._runs.recipe import Recipe
from instrument._runs.telling import CONTAINERS, contained

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol
    from uuid import UUID

    from instrument._audience.audience import Audience
    from instrument._payloads.answers import Answer

    class Binding(Protocol):
        is_own: bool
        keyed: bool
        quick: dict[object, Callable[..., dict[str, Any]]]

        def bound(
            self, args: tuple[Any, ...], kwargs: dict[str, Any], instance: object
        ) -> dict[str, Any]: ...


class Run(Facts):
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

    is_run = True
    parent_id: "UUID | None"
    depth = 0
    status = "running"
    error: BaseException | None = None
    error_origin = False
    provider: str | None = None

    _parent: "Run | None"
    _root: "Run | None"
    _seq: "Callable[[], int] | None" = None
    _call: "tuple[Binding, tuple[Any, ...], dict[str, Any], object] | None" = None
    _inputs: "Any" = None
    _params: "dict[str, Any] | None" = None
    _outputs: "Any" = None
    _added: "tuple[str, ...]" = ()
    _extra: "tuple[Layer, ...]" = ()
    _metadata: "dict[str, Any] | None" = None
    _inner: "Answer | None" = None
    _yields_tokens = False
    _entry: "Any" = None
    _below: "tuple[Plan, tuple[Layer, ...], Plan] | None" = None
    _open_children = 0  # as far as a framework tells of them

    def __init__(
        self,
        recipe: "Recipe",
        parent: "Run | None",
        plan: Plan,
        heard: "Audience",
        outer: object,
        id: "UUID | None" = None,
    ) -> None:
        self.name = recipe.name
        self.kind = recipe.kind
        self._tells = tells = recipe.tells
        self._plan = plan
        self._audience = heard
        self._voices = heard.voices_of.get(tells.start) or heard.voices(tells)
        self._outer = outer
        self._spec_outputs = recipe.outputs
        if recipe.facts:
            self.__dict__.update(recipe.facts)
        # what is read on the way of every run is an attribute of its own: that is
        # looked up four times as quickly as a default of the class
        self._tagged = heard.is_tagged
        self._described = heard.is_described
        self._is_gone = False
        self._ended_ns: int | None = None
        self._parent = parent
        if parent is None:
            self.parent_id = self._root = None
        else:
            self._root = parent._root or parent
            self.parent_id = parent.id
            self.depth = parent.depth + 1
        self.started_at = started_at = _ids.wall_ns()
        self.id = _ids.mint(started_at) if id is None else id
        self._started_ns = _ids.clock_ns()

    if TYPE_CHECKING:

        def __bool__(self) -> bool: ...

    def __repr__(self) -> str:
        return f"<Run {self.kind} {self.name!r} {self.status} {self.id}>"

    @property
    def trace_id(self) -> "UUID":
        """
        The id of the root run.
        """
        return self._root_run().id

    @property
    def tags(self) -> tuple[str, ...]:
        """
        Its own tags and those it inherits, outer first.
        """
        tags = self._audience.tags
        return tuple(dict.fromkeys(tags + self._added)) if self._added else tags

    @property
    def metadata(self) -> "dict[str, Any]":
        """
        Its own metadata over what it inherits; a dict of this run.
        """
        metadata = self._metadata
        if metadata is None:
            metadata = self._audience.metadata.copy()
            if self._audience.redactors:
                metadata = redacted(metadata, self._audience.redactors, ("metadata",))
            metadata = self._metadata = metadata if isinstance(metadata, dict) else {}
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

    @property
    def params(self) -> "dict[str, Any]":
        """
        A model's other arguments, by name.
        """
        return self._params if self.inputs is not None and self._params else {}

    @property
    def outputs(self) -> "Any":
        """
        What it returned, as its handlers may see it; None while it runs.
        """
        return self._outputs

    @outputs.setter
    def outputs(self, value: object) -> None:
        if self._audience.shows_all and value.__class__ not in CONTAINERS:
            self._outputs = value
        else:
            self._outputs = self._own(value, "outputs")

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

    def add_tags(self, *tags: str) -> None:
        """
        Add tags to this run and to those it starts later.
        """
        added = tuple(str(tag) for tag in tags)
        self._added += added
        self._tagged = True
        self._add(Options(tags=added))

    def add_metadata(self, **metadata: object) -> None:
        """
        Add metadata to this run and to those it starts later.
        """
        self._add(Options(metadata=metadata))
        redactors = self._audience.redactors
        shown = redacted(metadata, redactors, ("metadata",)) if redactors else metadata
        self._metadata = {**self.metadata, **(shown if isinstance(shown, dict) else {})}
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
            message = f"record_usage of {self.name!r}: {exc}"
            if not counts.keys() <= set(Usage.__slots__):
                message += f". It takes {', '.join(Usage.__slots__)}."
            _report.complain(message, None)

    def viewed_without(self, layers: "tuple[Layer, ...]") -> View:
        """
        Give what stands over this run so that *layers* are not heard below.
        """
        return View(self._plan.without(layers), self, self, stands_on=self)

    @property
    def _owner(self) -> object:  # type: ignore[override]
        # of blocks alone, so that it has no place of its own in the layout of runs
        return self._entry[-1] if self._entry.__class__ is tuple else None

    @property
    def _place(self) -> "tuple[Any, ...]":  # type: ignore[override]
        return self._entry[1:-1]  # type: ignore[no-any-return]

    def next_seq(self) -> int:
        """
        Count the events recorded in this trace; of a root run.
        """
        if self._seq is None:
            self.__dict__.setdefault("_seq", count(1).__next__)
        return self._seq()  # type: ignore[misc]

    def _root_run(self) -> "Run":
        return self._root or self

    def _take(self) -> None:
        """
        Bind the inputs, as handlers may see them.
        """
        (binding, args, kwargs, instance), self._call = self._call, None  # type: ignore[misc]
        if not self._audience.capture:
            self._inputs = self._tells.inputs_of({})
            return
        key = args[0].__class__ if binding.keyed and args else None
        bind = binding.quick.get(key) if instance is None else None
        try:
            inputs = bind(*args, **kwargs)  # type: ignore[misc]
        except TypeError:  # not prepared yet, or a call that does not fit
            inputs = binding.bound(args, kwargs, instance)
        if self._audience.redactors:
            shown: Any = redacted(inputs, self._audience.redactors, ("inputs",))
            inputs = shown if isinstance(shown, dict) else {"inputs": shown}  # dropped
        elif binding.is_own and self.kind == "chat_model" and "messages" in inputs:
            self._inputs, self._params = inputs.pop("messages"), inputs
            return
        for value in inputs.values():
            if value.__class__ in CONTAINERS:
                inputs = {k: contained(v) for k, v in inputs.items()}
                break
        kind = self._tells
        if not kind.is_plain:
            if kind.is_model:
                self._params = dict(islice(inputs.items(), 1, None))
            try:
                inputs = kind.inputs_of(inputs)
            except (Exception, SystemExit) as exc:  # a payload's own code may raise
                _report.failed(binding, f"inputs of {self.name}", exc)
                inputs = None
        self._inputs = inputs

    def _add(self, options: Options) -> None:
        layer = Layer(options, "call")
        self._extra += (layer,)
        self._plan = Plan(self._plan, layer)


def _settle_layout() -> None:
    """
    Show the interpreter which attributes runs have, in one order, before the first.

    It shares a class's layout, 30 names at most, as its first objects grow; a run with
    others, or in another order, costs 300 bytes and a tenth of the time more.
    """
    first = Run(Recipe("first", "chain"), None, NOBODY, NOBODY.settle(), None)
    first.depth = 0
    first._call = first._inputs = first._outputs = first._metadata = None
    first._entry = first._params = first._answer = None
    first.status, first.model, first.provider, first._added = "ok", None, None, ()


_settle_layout()
