"""
`callbacks`: who listens to what happens below.

A block links a `Scope` into the one ContextVar. Left by the task or thread that
entered it, it is taken out of that Context, and copies made inside hear on. Left from
elsewhere, it is closed in all of them.
"""

import os
from copy import copy

from instrument import _serve
from instrument._lifecycle import open_parent
from instrument._listener import as_listener
from instrument._loops import cancellations, running_loop
from instrument._plan import NOBODY, Epoch, Layer, Options, Plan
from instrument._redact import as_redactor
from instrument._run import InertRun, Recipe, Run
from instrument._scoped import Scoped
from instrument._state import (
    MUTED,
    PROCESS,
    STATE,
    Frame,
    find,
    get_state,
    live_state,
    set_state,
    without,
)
from instrument._text import safe_repr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextvars import Token
    from types import TracebackType
    from typing import Any, Self, TypeVar

    from instrument._listener import Handler
    from instrument._redact import Redactor

    F = TypeVar("F", bound=Callable[..., Any])

DISABLED = os.environ.get("INSTRUMENT_DISABLED", "") not in ("", "0")
"""The kill switch, read once: blocks and installations do nothing."""

_INERT = InertRun()


class Scope(Frame, Layer, Plan):
    """
    An open block: a frame, the layer it adds, and the plan that results.

    It is all three itself, without a reference to itself, so that it goes at once.

    Attributes:
        run: The run in hand where the block was entered, or None.
    """

    rank = "block"
    run: Run | None
    _original: "Scope | None" = None
    _token: "Token[Any] | None" = None

    def __init__(self, owner: "callbacks", state: "Any") -> None:
        self.options = owner
        self._owner = owner
        self._outer = state
        self._is_gone = False
        self._mended: Plan | None = None
        if isinstance(state, Frame):
            self.run = state if state.is_run else state.run  # type: ignore[assignment, attr-defined]
            self.outer = state._plan
        else:
            self.run = None
            self.outer = NOBODY
        self.loop = running_loop()

    def __repr__(self) -> str:
        return f"<Scope of {', '.join(_names(self.options)) or 'no handler'}>"

    @property
    def layer(self) -> "Scope":  # type: ignore[override]
        return self._original or self

    @property
    def _layers(self) -> "tuple[Layer, ...]":  # type: ignore[override]
        return (self.layer,)

    @property
    def _plan(self) -> "Plan":  # type: ignore[override]
        return self._mended or self

    @_plan.setter
    def _plan(self, plan: "Plan") -> None:
        self._mended = plan

    def cloned(self) -> "Scope":
        made = copy(self)
        made._original = self.layer
        made.__dict__.pop("epoch", None)
        return made


class callbacks(Options):  # noqa: N801 - it reads as a verb: with callbacks(handler)
    """
    Have *handlers* hear every run below, wherever the call stack goes.

    Use it as ``with`` or ``async with`` around a request, as a decorator (a fresh
    scope per call), or process-wide with `install`. One object may be entered many
    times, nested and concurrently.

    Args:
        handlers: Any objects with some of the ``on_*`` methods, handlers of
            LangChain, or callables that take every `Event`.
        tags: Added to every run below.
        metadata: Likewise; inner values win over outer ones.
        inherit: False for a subtree that no outer handler hears.
        sample: The share of root runs, 0 to 1, that these handlers hear, each whole.
        redact: A function ``(value, path) -> value``, or a list of names to mask; for
            every handler below, outer ones included.
        capture: False keeps all payloads from every handler below.
        functions: A function for one event: ``on_llm_new_token=print_token``.

    Raises:
        TypeError: For what is no handler, or an event that does not exist.
        ValueError: For a sample outside 0 to 1.
    """

    __slots__ = ("__weakref__", "_installed", "_mute", "_open")

    def __init__(  # noqa: PLR0913 - each is a word of the public language
        self,
        *handlers: "Handler",
        tags: "Iterable[str]" = (),
        metadata: "Mapping[str, Any] | None" = None,
        inherit: bool = True,
        sample: float = 1.0,
        redact: "Redactor | Iterable[str] | None" = None,
        capture: bool = True,
        **functions: "Callable[..., Any]",
    ) -> None:
        listeners = tuple([as_listener(handler) for handler in handlers])
        if functions:
            listeners += tuple([as_listener(f, name) for name, f in functions.items()])
        for listener in listeners:
            if listener.local:
                raise TypeError(_LOCAL)
        self.listeners = listeners
        self.tags = checked_tags(tags) if tags else ()
        self.metadata = None if metadata is None else checked_metadata(metadata)
        self.inherit = inherit
        self.sample = sample if sample == 1 else _checked_sample(sample)
        self.redactors = () if redact is None else (as_redactor(redact),)
        self.capture = capture
        self._open: dict[int, Scope] = {}
        self._installed: Layer | None = None
        self._mute = 0

    def __repr__(self) -> str:
        return f"callbacks({', '.join(_names(self))})"

    def __enter__(self) -> Scope:
        """
        Open a block. In a handler, and where all is disabled, it hears nothing.
        """
        state = get_state()
        if self._installed is not None or state is MUTED or DISABLED:
            self._mute += 1
            return Scope(self, MUTED)
        if state.__class__ is not list and state._is_gone:
            state = live_state()
        scope = Scope(self, state)
        self._open[id(scope)] = scope
        scope._token = set_state(scope)
        return scope

    def __exit__(
        self,
        exc_type: "type[BaseException] | None",
        exc: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        """
        Leave it; waits for handlers on the background loop, at most 30 s.
        """
        scope = self._leave()
        if scope is not None and (scope.lanes or self._has_flush()):
            _serve.flush(scope)

    async def __aenter__(self) -> Scope:
        """
        Open a block in async code.
        """
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: "type[BaseException] | None",
        exc: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        """
        Leave it when its async handlers have been served and flushed.
        """
        if isinstance(exc, GeneratorExit):  # a coroutine being closed cannot wait
            self.__exit__(exc_type, exc, traceback)
            return
        scope = self._leave()
        if scope is not None and (scope.lanes or self._has_flush()):
            await _serve.aflush(scope, shielded=isinstance(exc, cancellations()))

    def __call__(self, target: "F") -> "F":
        """
        Decorate *target*: each call opens a fresh scope.

        Functions, coroutine functions, generators, async generators, and plain
        functions that return one of these.
        """
        return Scoped(self).wrap(target)  # type: ignore[no-any-return]

    def install(self) -> "Self":
        """
        Have the handlers hear everything in this process, until `uninstall`.

        Returns:
            Itself; as a context manager it uninstalls at the end.
        """
        if self._installed is None and not DISABLED:
            layer = Layer(self, "process")
            layer.loop = running_loop()
            self._installed = layer
            PROCESS.append(layer)
            Epoch.now += 1
        return self

    def uninstall(self) -> None:
        """
        Undo `install`, and flush the handlers.
        """
        layer, self._installed = self._installed, None
        if layer is None:
            return
        PROCESS[:] = [kept for kept in PROCESS if kept is not layer]
        Epoch.now += 1
        _serve.flush(layer)

    def _leave(self) -> "Scope | Layer | None":
        """
        Take the innermost scope of this object out of the Context.

        Returns:
            Its layer, or None if it had been left.
        """
        state = get_state()
        if state is MUTED and self._mute:
            self._mute -= 1
            return None
        frame = state if getattr(state, "_owner", None) is self else find(self)
        if frame is None:
            return self._leave_from_elsewhere()
        scope = frame.layer
        self._open.pop(id(scope), None)
        try:
            STATE.reset(scope._token)
        except (ValueError, RuntimeError):  # entered in another Context
            _close(scope)
        set_state(without(state, frame))
        return scope  # type: ignore[no-any-return]

    def _leave_from_elsewhere(self) -> "Scope | None":
        """
        Close the scope entered last: this Context holds none.
        """
        if self._installed is not None:
            self._mute = 0
            self.uninstall()
            return None
        try:
            _, scope = self._open.popitem()
        except KeyError:  # it has been left
            return None
        _close(scope)
        return scope

    def _has_flush(self) -> bool:
        return any([listener.flushes for listener in self.listeners])


def current_run() -> Run:
    """
    Give the run in hand. Never None: outside any run it is false, and inert.
    """
    state = get_state()
    if state.__class__ is Run and state._ended_ns is None:
        return state  # type: ignore[no-any-return]
    if not isinstance(state, Frame):
        return _INERT
    return open_parent(state if state.is_run else state.run) or _INERT


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
    heard = plan.settle()
    if not heard.listeners:
        return
    run = current_run() or None
    if run is None:
        run = Run(Recipe(str(name), "custom"), None, plan, heard, state)
    run.emit(name, data, heard)


def checked_tags(tags: "Iterable[str]") -> tuple[str, ...]:
    """
    Give *tags* as a tuple.

    Raises:
        TypeError: For a bare string, or anything in it that is no string.
    """
    if isinstance(tags, str):
        message = f"tags is a list of strings, not the string {tags!r}: [{tags!r}]"
        raise TypeError(message)
    made = tuple(tags)
    for tag in made:
        if not isinstance(tag, str):
            message = f"tags is a list of strings; {safe_repr(tag)} is none."
            raise TypeError(message)
    return made


def checked_metadata(metadata: object) -> "dict[str, Any]":
    """
    Give *metadata* as a dict of its own.

    Raises:
        TypeError: For anything but a mapping with string keys.
    """
    try:
        made = dict(metadata)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        made = {None: None}
    if not all(isinstance(key, str) for key in made):
        message = f"metadata is a dict with string keys, not {safe_repr(metadata)}."
        raise TypeError(message)
    return made


def _checked_sample(sample: object) -> float:
    if isinstance(sample, bool) or not isinstance(sample, (int, float)):
        message = f"callbacks(sample=...) is a number from 0 to 1, not {sample!r}."
        raise TypeError(message)
    if not 0 <= sample <= 1:
        message = (
            f"callbacks(sample=...) is a share from 0 to 1, not {sample!r};"
            " one root run in ten is sample=0.1."
        )
        raise ValueError(message)
    return float(sample)


def _close(scope: Scope) -> None:
    scope.closed = scope._is_gone = True
    Epoch.now += 1


def _names(options: Options) -> "list[str]":
    return [type(it.handler).__name__ for it in options.listeners]


_LOCAL = (
    "local() is for a handler given where a thing is made, @traced(callbacks=["
    "local(handler)]). In a block give the handler itself: callbacks(handler)."
)
