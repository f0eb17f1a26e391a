"""
What one ``@traced`` says of its function, and how a call of it becomes a run.
"""

from functools import partial
from types import (
    AsyncGeneratorType,
    CoroutineType,
    FunctionType,
    GeneratorType,
    MethodType,
)
from weakref import ref

from instrument import _report, _state
from instrument._audience.plan import EPOCH, NOBODY, Layer
from instrument._callables.coroutines import follow, gives_items, is_followed
from instrument._callables.decorate import (
    decorated,
    is_coroutine_function,
    wrapping_of,
)
from instrument._runs.ending import afail, afinish, discard, fail, finish, mend
from instrument._runs.opening import (
    FunctionRecipe,
    framework_run,
    frameworks,
    open_run,
)
from instrument._runs.results import named
from instrument._runs.run import Run, begun
from instrument._runs.starting import astart, start
from instrument._scopes.opened import Scope
from instrument._state import MUTED, get_state, muted, set_state
from instrument._traced.arguments import KNOWN_TYPES, Binder
from instrument._traced.flat import flat
from instrument._traced.keywords import Keywords, constructed, handlers, layers_of
from instrument._traced.stream import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

CALLBACKS = "callbacks"
_PLAIN = (FunctionType, MethodType)


class Spec:
    """
    One decorated function. It is also how `decorated` wraps it.

    Attributes:
        keyed: Whether `quick` is by the type of the first argument.
        quick: What binds arguments by name, as far as it has been prepared.
        alert: Not empty once a call may be heard though nobody listens around it:
            the function or an object it is a method of has handlers of its own.
        wrapper: What stands in the function's place, while it is there.
    """

    __slots__ = (
        "__weakref__",
        "_binder",
        "_wrapper",
        "alert",
        "function",
        "is_quick",
        "keyed",
        "keywords",
        "layers",
        "name",
        "owners",
        "quick",
        "recipe",
        "records",
        "takes_callbacks",
    )

    is_own = False

    def __init__(self, target: "Any", keywords: Keywords) -> None:
        self.keywords = keywords
        self.name = keywords.name or default_name(target)
        self.layers = keywords.layers()
        self.alert: list[object] = [True] if keywords.callbacks and self.layers else []
        self.function: Any = None
        self._wrapper: Callable[[], Any] = type(None)  # which gives None
        self._binder = Binder(target)
        self.takes_callbacks = not self._binder.has_name(CALLBACKS)
        self.records = keywords.inputs is not False
        self.recipe = FunctionRecipe(
            self.name,
            keywords.kind or "chain",
            keywords.facts(target),
            keywords.outputs,
        )
        self.recipe.came_from(target)
        if not self.records:
            nothing = {"_inputs": self.recipe._kind.inputs_of({})}
            self.recipe.facts = {**(self.recipe.facts or {}), **nothing}
        self.keyed = self._binder.is_in_class
        self.quick = self._binder.by_type if keywords.inputs is None else {}
        self.owners: dict[int, object] = {}
        self.is_quick: bool | None = False if self.layers else None

    def wrap(self, target: "Any") -> "Any":
        """
        Decorate *target*.
        """
        self.function = target
        if isinstance(target, (classmethod, staticmethod)):
            inner = Spec(target.__func__, self.keywords)
            return type(target)(inner.wrap(target.__func__))
        self.wrapper = wrapper = decorated(target, self, "traced")
        return wrapper

    @property
    def wrapper(self) -> "Any":
        return self._wrapper()

    @wrapper.setter
    def wrapper(self, wrapper: "Any") -> None:
        self._wrapper = ref(wrapper)  # it holds this

    def __reduce__(self) -> "Any":
        # handlers stay in their process
        keywords = self.keywords
        facts = (self.name, keywords.kind, keywords.tags, keywords.metadata)
        return _respecified, (self.function, *facts)

    def rebuilt(self, target: "Any") -> "Any":
        """
        Decorate a copy of the function in the same way.
        """
        if type(target) is MethodType:  # a copy of its object has it as it was
            inner = wrapping_of(target.__func__)
            if type(inner) is Spec:
                target = MethodType(inner.function, target.__self__)
        made = Spec(target, self.keywords)
        made.alert += self.alert
        return made.wrap(target)

    def plain(self, function: "Any") -> "Callable[..., Any]":
        return flat(self, function) or self._plain(function)

    def coroutine(self, function: "Any") -> "Callable[..., Any]":
        return flat(self, function) or self._coroutine(function)

    def _plain(self, function: "Any") -> "Callable[..., Any]":
        alert = self.alert

        def traced(*args: "Any", **kwargs: "Any") -> "Any":
            if not ((state := _state.get_state()) or alert or CALLBACKS in kwargs):
                return function(*args, **kwargs)
            run = self.open(args, kwargs)
            if run is None:
                return function(*args, **kwargs)
            try:
                try:
                    start(run)
                    result = function(*args, **kwargs)
                    kind = type(result)  # as `is_followed`, which is a call more
                    if (
                        kind is GeneratorType
                        or kind is CoroutineType
                        or kind is AsyncGeneratorType
                    ):
                        return self.streamed(run, result)
                    finish(run, result)
                except BaseException as exc:
                    fail(run, exc, state)
                    raise
            except BaseException as exc:
                mend(run, state, exc)
                # or the traceback would keep them, and they the traceback
                run = state = None
                raise
            return result

        return traced

    def _coroutine(
        self, function: "Any", instance: object = None
    ) -> "Callable[..., Any]":
        alert = self.alert

        async def traced(*args: "Any", **kwargs: "Any") -> "Any":
            if not ((state := _state.get_state()) or alert or CALLBACKS in kwargs):
                return await function(*args, **kwargs)
            run = self.open(args, kwargs, instance)
            if run is None:
                return await function(*args, **kwargs)
            is_begun = False
            try:
                try:
                    pending, is_begun = astart(run), True
                    if pending is not None:
                        await pending
                    result = await function(*args, **kwargs)
                    pending = afinish(run, result)
                    if pending is not None:
                        await pending
                except BaseException as exc:
                    if not is_begun:
                        discard(run)
                    pending = afail(run, exc)
                    if pending is not None:
                        await pending
                    raise
            except BaseException as exc:
                mend(run, state, exc)
                # or the traceback would keep them, and they the traceback
                run = state = pending = None
                raise
            return result

        return traced

    def deferred(
        self, wrapped: "Any", instance: "Any", args: "Any", kwargs: "Any"
    ) -> "Any":
        run, state = None, get_state()
        if state or self.alert or CALLBACKS in kwargs:
            run = self.open(args, kwargs, instance, fits=True)
        if run is None or issubclass(type(wrapped), _PLAIN):
            inner = wrapped(*args, **kwargs)
        else:
            try:
                try:
                    set_state(run)  # a block opened around the body is in the run
                    inner = wrapped(*args, **kwargs)
                finally:
                    set_state(state)
            except BaseException:
                set_state(state)  # once more: an interrupt comes anywhere
                raise
        if run is None or not is_followed(inner):
            return inner
        run._outer = None
        yields = gives_items(inner)
        return follow(inner, Stream(run, self.keywords, starts=True, yields=yields))

    def called(
        self, wrapped: "Any", instance: "Any", args: "Any", kwargs: "Any"
    ) -> "Any":
        if is_coroutine_function(wrapped):
            return self._coroutine(wrapped, instance)(*args, **kwargs)
        run, state = None, get_state()
        if state or self.alert or CALLBACKS in kwargs:
            run = self.open(args, kwargs, instance)
        if run is None:
            return wrapped(*args, **kwargs)
        try:
            try:
                start(run)
                result = wrapped(*args, **kwargs)
                if is_followed(result):
                    return self.streamed(run, result)
                finish(run, result)
            except BaseException as exc:
                fail(run, exc, state)
                raise
        except BaseException as exc:
            mend(run, state, exc)
            run = state = None
            raise
        return result

    def open(
        self,
        args: "tuple[Any, ...]",
        kwargs: "dict[str, Any]",
        instance: object = None,
        *,
        fits: bool = False,
    ) -> "Run | None":
        """
        Make the run of one call; None where nobody listens, or it does not fit: Python
        will say so.

        A ``callbacks=`` that the function does not take itself is taken out of
        *kwargs*.
        """
        layers = self.layers
        if self.alert or CALLBACKS in kwargs:
            layers = self._layers_of_call(args, kwargs, instance)
        if not fits and instance is None and not self._binder.fits(args, kwargs):
            return None
        call = (self, args, kwargs, instance) if self.records else None
        return open_run(self.recipe, layers, call)

    def bound(
        self, args: "tuple[Any, ...]", kwargs: "dict[str, Any]", instance: object
    ) -> "dict[str, Any]":
        """
        Give a call's arguments by name, as handlers may see them.
        """
        choose = self.keywords.inputs
        if choose is None:
            return self._binder.bind(args, kwargs, self.wrapper, instance is not None)
        with muted():
            try:
                made = choose(*args, **kwargs)
            except BaseException as exc:
                _report.unread(choose, f"inputs= of {self.name}", exc)
                return {}
        return named(made, "inputs")

    def opened(self, state: "Any") -> "Run | None":
        """
        Make the run of a call where nothing is out of the ordinary; else None, and
        `open` tells.
        """
        cls = type(state)
        if cls is Run:
            parent, plan = state, state._plan
        elif cls is Scope:
            parent, plan = state.run, state._mended or state
            if parent is not None and parent._extra:
                return None
        elif cls is dict:
            parent, plan = None, NOBODY
        else:
            return None
        audience = plan.audience
        if audience.epoch != EPOCH.now:
            audience = plan.settle()
        if (
            not audience.is_quick
            or not (self.is_quick or self.looks_quick())
            or (parent is not None and parent._ended_ns is not None)
            or (frameworks and framework_run() is not None)
        ):
            return None
        # its room is what the end needs: with `begun` written out here, which is 500
        # instructions less, a full stack keeps an end from who has heard the start
        return begun(Run(), self.recipe, parent, plan, audience, state)

    def looks_quick(self) -> bool:
        """
        Tell whether its calls are told as they are: nothing is added to who hears them,
        and no argument is a secret.
        """
        if self.is_quick is None:
            self.is_quick = not self._binder.has_secrets()
        return self.is_quick

    def owns(self, owner: object) -> bool:
        """
        Tell whether *owner* is the ``self`` or ``cls`` of this function.
        """
        if not self._binder.is_method_of(owner, self.wrapper):
            return False
        cls = type(owner)
        if not issubclass(cls, type):
            if len(self.owners) >= KNOWN_TYPES:
                self.owners.clear()
            self.owners[id(cls)] = cls
        return True

    def streamed(self, run: "Run", result: "Any") -> "Any":
        """
        Let *run* go on until what the function returned is done.
        """
        outer = run._outer
        yields = gives_items(result)
        try:
            set_state(outer)
            run._outer = None
            stream = Stream(run, self.keywords, starts=False, yields=yields)
            stream.opened()
            return follow(result, stream)
        except BaseException:  # an interrupt: it ends as what was being called
            run._outer = outer
            set_state(run)
            raise

    def _layers_of_call(
        self, args: "tuple[Any, ...]", kwargs: "dict[str, Any]", instance: object
    ) -> "tuple[Layer, ...]":
        layers = self.layers
        owner = instance if instance is not None else args[0] if args else None
        is_owner = instance is not None
        if type(self.function) is MethodType:
            owner, is_owner = self.function.__self__, True
        if (
            self.alert
            and owner is not None
            and (is_owner or self._binder.is_method_of(owner, self.wrapper))
        ):
            layers += layers_of(owner)
        if self.takes_callbacks and CALLBACKS in kwargs:
            options = constructed(handlers(kwargs.pop(CALLBACKS)), None, None)
            if options and get_state() is not MUTED:
                layers += (Layer(options, "call"),)
        return layers


def default_name(target: "Any") -> str:
    """
    Name a run after its function: the qualified name, from the module or the
    enclosing function on.
    """
    while isinstance(target, partial):
        target = target.func
    target = getattr(target, "__func__", target)
    name = getattr(target, "__qualname__", None) or type(target).__qualname__
    return str(name).rpartition("<locals>.")[2]


def _respecified(
    function: "Any",
    name: str,
    kind: str | None,
    tags: "tuple[str, ...] | None",
    metadata: "dict[str, Any] | None",
) -> Spec:
    keywords = Keywords(name=name, kind=kind, tags=tags, metadata=metadata)
    spec = Spec(function, keywords)
    spec.function = function
    return spec
