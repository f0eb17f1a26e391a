"""
How a run comes about: who hears it, and whose child it is; and which one is in hand.
"""

from functools import partial
from types import CodeType, FunctionType, MethodType

from instrument import _report
from instrument._audience.plan import EPOCH, NOBODY, Plan, View, linked, mark
from instrument._payloads.kinds import kind_of
from instrument._payloads.messages import fields_of
from instrument._runs.results import label_of
from instrument._runs.run import Run, begun
from instrument._state import MUTED, Frame, get_state, live_state
from instrument._text import bases_of, names_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol
    from uuid import UUID

    from instrument._audience.plan import Layer
    from instrument._payloads.kinds import Kind

    class Binding(Protocol):
        is_own: bool
        keyed: bool
        quick: dict[object, Callable[..., dict[str, Any]]]

        def bound(
            self, args: tuple[Any, ...], kwargs: dict[str, Any], instance: object
        ) -> dict[str, Any]: ...


_WRAPS = 10

frameworks: "list[Callable[[], Run | None]]" = []
"""What tells the open run that a framework has in hand; empty until one is heard."""

endings: "list[Callable[[Run, BaseException], None]]" = []
"""What ends the open runs below one, when that ends and they were not told to."""


lookouts: "list[Callable[[], object]]" = []
"""What is called when a block opens; empty unless something is looked for."""


class Recipe:
    """
    A name, a kind, and what goes with them.

    Attributes:
        _kind: What runs of that kind tell.
        facts: Attributes that each run begins with.
        outputs: What makes the recorded outputs of the result; False for nothing.
        source: Where the name is from: the place of the function that the application
            has decorated, else True; None where it is a framework's class or operation.
    """

    __slots__ = ("_kind", "facts", "kind", "name", "outputs")
    source: "Any" = None

    def __init__(
        self,
        name: str,
        kind: str,
        facts: "dict[str, Any] | None" = None,
        outputs: "Any" = None,
        as_kind: "Kind | None" = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self._kind = as_kind or kind_of(kind)
        self.facts = facts
        self.outputs = outputs


class NamedRecipe(Recipe):
    """
    One whose name the application has chosen.
    """

    __slots__ = ()
    source = True


class FunctionRecipe(Recipe):
    """
    One of a function that the application has decorated.
    """

    __slots__ = ("source",)

    def came_from(self, target: object) -> None:
        """
        Note where *target* stands, and not what it is: a run that its variables hold
        would be held by itself.
        """
        self.source = True
        function = _function_of(target)
        if function is not None:
            code: CodeType = function.__code__
            module = str(function.__globals__.get("__name__"))
            line, file = code.co_firstlineno, code.co_filename
            self.source = _report.Source(module, code.co_name, line, file)


def _function_of(target: "Any") -> FunctionType | None:
    """
    Give the function within what was decorated, without asking that for anything.
    """
    for _ in range(_WRAPS):
        target = target.__func__ if type(target) is MethodType else target
        inner = fields_of(target).get("__wrapped__")
        if inner is None:
            break
        target = inner
    kind = type(target)
    if kind is FunctionType:
        return target  # type: ignore[no-any-return]
    if issubclass(kind, partial):
        return _function_of(target.func)
    called = (names_in(base).get("__call__") for base in bases_of(kind))
    return next((it for it in called if type(it) is FunctionType), None)


def open_run(
    recipe: "Recipe",
    layers: "tuple[Layer, ...]" = (),
    call: "Any" = None,
    parent: "Run | None" = None,
    id: "UUID | None" = None,
) -> "Run | None":
    """
    Make a run in the state of now; it is neither started nor current yet.

    Args:
        recipe: Its name, its kind and what it begins with.
        layers: What constructors and the call itself add, outer first.
        call: What its inputs are bound from: the binding, args, kwargs, instance.
        parent: The run it belongs to; else the one in hand.
        id: What a framework knows it by; else a new one.

    Returns:
        The run, or None where nobody listens.
    """
    state = get_state()
    if state.__class__ is dict:
        plan, ambient = NOBODY, None
    elif state is MUTED:
        return None
    else:
        if state._is_gone:
            live_state()
            return open_run(recipe, layers, call, parent, id)
        if state.__class__ is Run:
            plan, ambient = state._plan, state
        else:
            plan, ambient = state._mended or state, state.run
        if ambient is not None and ambient._ended_ns is not None:
            ambient = open_parent(ambient)
    for ask in frameworks:  # as `framework_run`, which is a call more
        parent = parent or ask()
    if parent is not None:
        plan = parent._plan if state.__class__ is dict else plan
        ambient = nearer(open_parent(parent), ambient)
    if ambient is not None and ambient._extra and ambient is not state:
        plan = _below(ambient, plan)
    if layers:
        plan = linked(plan, layers)
    if (audience := plan.audience).epoch != EPOCH.now:
        audience = plan.settle()
    if not audience.listeners:
        return None
    run = begun(Run(), recipe, ambient, plan, audience, state, id)
    run._call = call
    if layers or audience.undecided:
        _refine(run, layers)
    return run


def _below(parent: Run, plan: Plan) -> Plan:
    """
    Put what *parent* adds on *plan*; kept for its next child: to settle takes 30 us.
    """
    known = parent._below
    if known is None or known[0] is not plan or known[1] is not parent._extra:
        made = linked(plan, parent._extra)
        known = parent._below = plan, parent._extra, made
        parent._voices = parent._voices.in_full or parent._voices
    return known[2]


def _refine(run: Run, layers: "tuple[Layer, ...]") -> None:
    """
    Draw the samples of a new trace; keep local handlers from the runs below.
    """
    run._layers = layers
    if run._audience.undecided:
        run._plan = linked(Plan(run._plan, mark(run.trace_hex)), layers)
        run._audience = audience = run._plan.settle()
        run._voices = audience.voices(run._kind)
    if layers:  # there is more to do at its end: they are flushed then
        run._voices = run._voices.in_full or run._voices
    for layer in layers:
        for listener in layer.options.listeners:
            if listener.local:
                run._plan = linked(run._plan, ())
                return


def framework_run() -> Run | None:
    """
    Give the run that a framework has in hand here, if it has not ended.
    """
    for ask in frameworks:
        run = ask()
        if run is not None:
            return run
    return None


def state_in_hand() -> "Any":
    """
    Give the state of now; inside a framework's run, one that has that run in hand.
    """
    state: Any = get_state()
    run = framework_run() if frameworks and state is not MUTED else None
    if run is None:
        return state
    if not isinstance(state, Frame):
        return View(run._plan, run)
    ambient: Any = state if state._is_run else state.run
    near = nearer(run, open_parent(ambient))
    return state if near is ambient else View(state._plan, near)


def nearer(framework: Run | None, ambient: Run | None) -> Run | None:
    """
    Choose a run's parent: the one of two that descends from the other.

    Where neither does, the framework's: it knows what it calls.
    """
    if framework is None:
        return ambient
    link = ambient
    while link is not None:
        if link is framework:
            return ambient
        link = link._parent
    return framework


def open_parent(run: Run | None) -> Run | None:
    """
    Give *run*, or the nearest above it that has not ended.
    """
    while run is not None and run._ended_ns is not None:
        run = run._parent
    return run


def _settle_layout() -> None:
    """
    Show the interpreter which attributes runs have, in one order, before the first.

    It shares a class's layout, 29 names at most, as its first objects grow; a run with
    others, or in another order, costs 300 bytes and a tenth of the time more.
    """
    nothing = Recipe("first", "chain")
    first = begun(Run(), nothing, None, NOBODY, NOBODY.settle(), None)
    first._metadata = first._entry = first._params = first._answer = None
    first.model = first.provider = None


_settle_layout()


class InertRun(Run):
    """
    What `current_run` gives outside any run: false, silent, of the right types.
    """

    def __init__(self) -> None:
        nothing = Recipe("none", "chain")
        begun(self, nothing, None, NOBODY, NOBODY.settle(), None)
        self._ended_ns = self._started_ns
        self.__dict__["_is_sealed"] = True

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "<no run>"

    def __setattr__(self, name: str, value: object) -> None:
        if "_is_sealed" not in self.__dict__:
            super().__setattr__(name, value)


INERT = InertRun()
"""What stands for a run where there is none."""


def current_run() -> Run:
    """
    Give the run in hand. Never None: outside any run it is false, and inert.
    """
    state: Any = get_state()
    if state.__class__ is Run and state._ended_ns is None and not frameworks:
        return state
    if state is MUTED:
        return INERT
    run: Any = None
    if isinstance(state, Frame):
        run = state if state._is_run else state.run
        if run is not None and run._ended_ns is not None:
            run = open_parent(run)
    if frameworks:
        run = nearer(framework_run(), run)
    return run or INERT


def emit(name: str, data: object = None) -> None:
    """
    Tell an event of the application's own: ``on_custom_event``.

    It comes from the current run, and is heard by that run's handlers and by those of
    blocks opened inside it. Outside any run it goes to the scope's handlers, with a
    fresh id.
    """
    state = get_state()
    if state is MUTED:
        return
    is_frame = isinstance(state, Frame)
    plan = state._plan if is_frame else NOBODY
    audience = plan.settle()
    if not audience.listeners and is_frame:
        return
    run = current_run()
    if not audience.listeners:
        run.emit(name, data)  # of a framework, which was given handlers of its own
        return
    if not run:
        recipe = Recipe(label_of(name), "custom")
        run = begun(Run(), recipe, None, plan, audience, state)
        if audience.undecided:
            audience = Plan(plan, mark(run.trace_hex)).settle()
    run.emit(name, data, audience)
