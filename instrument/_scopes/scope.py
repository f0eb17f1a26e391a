"""
`callbacks`: who listens to what happens below.

A block links a `Scope` into the one ContextVar. Left by the task or thread that
entered it, it is taken out of that Context, and copies made inside hear on. Left from
elsewhere, it is closed in all of them.
"""

from sys import _getframe

from instrument import _report
from instrument._audience.listener import (
    Listener,
    as_listener,
    has_flush,
    may_flush_of,
    quick_listener,
)
from instrument._audience.plan import (
    EPOCH,
    UNSETTLED,
    Layer,
    Options,
    check_flags,
    checked_metadata,
    checked_tags,
)
from instrument._audience.sampling import checked_sample
from instrument._delivery import flush as _serve
from instrument._delivery.loops import FORKS, running_loop
from instrument._interrupts import SETTLED, when_dropped
from instrument._payloads.redact import as_redactor
from instrument._runs.ending import owed, settle
from instrument._runs.opening import lookouts
from instrument._scopes.decorator import Scoped
from instrument._scopes.draw import number_of_request
from instrument._scopes.entries import forget, leaving, note
from instrument._scopes.opened import Scope, close, names_of, opened
from instrument._state import (
    DISABLED,
    MUTED,
    PROCESS,
    find,
    get_state,
    live_state,
    reset_state,
    set_state,
    without,
)
from instrument._text import cancellations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType
    from typing import Any, Self, TypeVar, Unpack

    from instrument._audience.listener import Handler
    from instrument._audience.typed import Functions
    from instrument._payloads.walk import Redactor

    F = TypeVar("F", bound=Callable[..., Any])


_ALL = 1.0
"""What hears every request; itself it need not be checked."""
_installed: "dict[int, Layer]" = {}
"""The layer of each object that is installed, by the id of that, which it holds."""


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
        sample: The share of requests, 0 to 1, that these handlers hear, each whole.
            A block is one request; process-wide, each root run is.
        redact: A function ``(value, path) -> value``, or a list of names to mask; for
            every handler below, outer ones included.
        capture: False keeps all payloads from every handler below.
        plumbing: False leaves out the runs that a framework makes of its own inner
            steps, for every handler below; what they call hangs on the run above.
        functions: A function for one event: ``on_llm_new_token=print_token``.

    Raises:
        TypeError: For what is no handler, no event, or neither True nor False.
        ValueError: For a sample outside 0 to 1.
    """

    __del__ = when_dropped("_warn")

    def __init__(
        self,
        *handlers: "Handler",
        tags: "Iterable[str]" = (),
        metadata: "Mapping[str, Any] | None" = None,
        inherit: bool = True,
        sample: float = _ALL,
        redact: "Redactor | Iterable[str] | None" = None,
        capture: bool = True,
        plumbing: bool = True,
        **functions: "Unpack[Functions]",
    ) -> None:
        listeners, may_flush = [], bool(functions)
        for handler in handlers:
            flushes = may_flush_of(id(type(handler)))
            if flushes is None:  # few: its class is met for the first time
                listeners.append(_listener_of(handler))
                may_flush = True
            else:
                listeners.append(quick_listener(handler))
                may_flush = flushes or may_flush
        if functions:
            plumbing = _take(functions, plumbing, listeners)
        self.listeners, self._may_flush = tuple(listeners), may_flush
        self.tags = checked_tags(tags) if tags else ()
        self.metadata = None if metadata is None else checked_metadata(metadata)
        if not (inherit is capture is plumbing is True):
            check_flags(inherit=inherit, capture=capture, plumbing=plumbing)
        self.inherit, self.capture = inherit, capture
        if sample is not _ALL:
            sample = checked_sample(sample)
        self.sample = sample
        self.redactors = () if redact is None else (as_redactor(redact),)
        self.plumbing = plumbing
        self._open: dict[Scope, Scope] = {}
        self._places: dict[Any, dict[int, Any]] | None = None
        if not listeners:
            self._warn = SETTLED
        self._mute = 0

    def _forgotten(self) -> None:
        """
        Warn of handlers that nobody has given anything to hear.
        """
        if hasattr(self, "_mute"):  # else it could not be made
            _report.forgotten(self, "entered, installed or called")

    _warn: "Any" = _forgotten
    """What is called when it is dropped."""

    def __repr__(self) -> str:
        return f"callbacks({', '.join(names_of(self))})"

    def __reduce__(self) -> "Any":
        return callbacks, ()  # handlers stay in their process

    def __copy__(self) -> "Self":
        return self  # it may be entered many times

    def __deepcopy__(self, memo: "dict[int, Any]") -> "Self":
        return self

    def __enter__(self, depth: int = 1) -> Scope:
        """
        Open a block. In a handler, and where all is disabled, it hears nothing.

        Args:
            depth: How far up the stack it is entered; for `__aenter__`.
        """
        self._warn = SETTLED
        state = get_state()
        if (_installed and id(self) in _installed) or state is MUTED or DISABLED:
            self._mute += 1
            return opened(self, MUTED)
        if state.__class__ is not dict and state._is_gone:
            state = live_state()
        if lookouts:
            _look_out()
        scope = opened(self, state)
        if self.sample != 1.0:
            scope.number = number_of_request(scope)
        try:
            try:  # as `entered_from`, which is a call more
                frame = _getframe(depth)
                scope._entered_from = id(frame), frame.f_code
            except ValueError:
                pass  # called by the interpreter itself
            self._open[scope] = scope
            if self._places is not None:
                note(self, scope)
            scope._token = set_state(scope)
            return scope  # noqa: TRY300 - here, as an interrupt comes anywhere
        except BaseException:
            self.undo(scope)
            raise

    def __exit__(
        self,
        exc_type: "type[BaseException] | None",
        exc: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        """
        Leave it; waits for handlers on the background loop, at most 30 s.
        """
        left: list[Any]
        left, scope = [], None
        try:
            scope = self._leave(left)
            if scope is not None and (
                scope.lanes
                or (
                    (self._may_flush or scope.options is not self)
                    and has_flush(scope.options.listeners)
                )
            ):
                _serve.flush(scope, owed=left)
        except BaseException:  # an interrupt: it is left and flushed all the same
            self._flush_after_all(scope, left)
            raise

    async def __aenter__(self) -> Scope:
        """
        Open a block in async code.
        """
        scope = None
        try:
            scope = self.__enter__(2)
            return scope  # noqa: RET504, TRY300 - an interrupt comes anywhere
        except BaseException:
            if scope is not None:
                self.undo(scope)
            raise

    async def __aexit__(
        self,
        exc_type: "type[BaseException] | None",
        exc: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        """
        Leave it when its async handlers have been served and flushed.
        """
        left: list[Any]
        left, scope = [], None
        try:
            scope = self._leave(left)
            if scope is None or not (
                scope.lanes
                or (
                    (self._may_flush or scope.options is not self)
                    and has_flush(scope.options.listeners)
                )
            ):
                return
            if issubclass(type(exc), GeneratorExit):  # what is closed cannot wait
                _serve.flush(scope, owed=left)
            else:
                shielded = issubclass(type(exc), cancellations())
                await _serve.aflush(scope, shielded=shielded, owed=left)
        except BaseException:  # an interrupt: it is left and flushed all the same
            self._flush_after_all(scope, left)
            raise

    def __call__(self, target: "F" = None) -> "F":  # type: ignore[assignment]
        """
        Decorate *target*: each call opens a fresh scope.

        Functions, coroutine functions, generators, async generators, and plain
        functions that return one of these.
        """
        self._warn = SETTLED
        return Scoped(self).wrap(target)  # type: ignore[no-any-return]

    def install(self) -> "Self":
        """
        Have the handlers hear everything in this process, until `uninstall`.

        Returns:
            Itself; as a context manager it uninstalls at the end.
        """
        self._warn = SETTLED
        if DISABLED:
            return self
        _look_out()
        fresh = Layer(self, "process")
        fresh.loop, fresh.forks = running_loop(), FORKS.count
        # no lock, and whole at every line: other threads do the same, or undo it
        layer = fresh
        try:
            layer = _installed.setdefault(id(self), fresh)
        finally:
            try:
                PROCESS.setdefault(layer)
            finally:
                if _installed.get(id(self)) is not layer:
                    _take_out(layer)
                EPOCH.end()
        return self

    def uninstall(self) -> None:
        """
        Undo `install`, and flush the handlers.
        """
        layer = _installed.get(id(self))
        if layer is None:
            return
        owed: list[Any] = [layer]
        try:
            _take_out(layer)
            layer = _installed.pop(id(self), None)
            if layer is not None:  # may have been put in once more, or another for it
                _take_out(layer)
                _serve.flush(layer, owed=owed)
        except BaseException:  # an interrupt: it is taken out and flushed all the same
            layer = _installed.pop(id(self), layer)
            _take_out(layer)
            if layer is not None and owed:
                _serve.flush(layer)
            raise

    def undo(self, scope: Scope) -> None:
        """
        Take *scope* out wherever it is still in: an interrupt came in its way.
        """
        self._forget(scope)
        scope.unsettle()
        set_state(without(get_state(), scope))

    def _flush_after_all(
        self, scope: "Scope | Layer | None", left: "list[Any]"
    ) -> None:
        """
        Leave and flush what was to be when an interrupt came.

        Args:
            scope: What has been left, if it came so far.
            left: The frame that `_leave` has chosen, until its flush has begun.
        """
        if scope is None:
            scope = self._leave_after_all(left)
        elif not left:
            return
        if scope is not None:
            _serve.flush(scope)

    def _leave_after_all(self, left: "list[Any]") -> "Scope | Layer | None":
        """
        Take out what was to be left when an interrupt came.

        Args:
            left: The frame that `_leave` has chosen, if it came so far.

        Returns:
            Its layer, or None if it had been left.
        """
        if not left:
            return self._leave(left)
        frame = left[0]
        self._forget(frame.layer)
        set_state(without(get_state(), frame))
        return frame._original or frame  # type: ignore[no-any-return]

    def _leave(self, left: "list[Any]") -> "Scope | Layer | None":
        """
        Take the innermost scope of this object out of the Context.

        Args:
            left: Is given the frame that is taken out.

        Returns:
            Its layer, or None if it had been left.
        """
        if owed:
            settle()
        state = get_state()
        if state is MUTED and self._mute:
            self._mute -= 1
            return None
        frame: Any = state
        if len(self._open) > 1:
            frame = leaving(self)
        elif state.__class__ is not Scope or state._owner is not self:
            frame = find(self)
        if frame is None:
            return self._leave_from_elsewhere()
        left.append(frame)
        scope = frame._original or frame
        self._open.pop(scope, None)
        if self._places is not None:
            forget(self, scope)
        scope.audience = UNSETTLED
        try:
            reset_state(scope._token)
        except (LookupError, RuntimeError, TypeError, ValueError):
            close(scope)  # entered in another Context, or left already
        else:
            if frame is state and frame is scope:
                return scope  # type: ignore[no-any-return]
        set_state(without(state, frame))
        return scope  # type: ignore[no-any-return]

    def _leave_from_elsewhere(self) -> "Scope | None":
        """
        Close the scope entered last: this Context holds none.
        """
        if id(self) in _installed:
            self._mute = 0
            self.uninstall()
            return None
        self._warn = SETTLED
        try:
            _, scope = self._open.popitem()
        except KeyError:  # it has been left
            return None
        self._forget(scope)
        close(scope)
        return scope

    def _forget(self, scope: Scope) -> None:
        self._open.pop(scope, None)
        if self._places is not None:
            forget(self, scope)


def _listener_of(handler: object) -> Listener:
    """
    Make that of a handler given to a block.

    Raises:
        TypeError: If it can hear nothing there.
    """
    if type(handler) is callbacks:
        handler._warn = SETTLED  # what is said is enough
        raise TypeError(_NESTED)
    listener = as_listener(handler)
    if listener.local:
        raise _is_local()
    return listener


def _look_out() -> None:
    """
    Call what looks for something whenever a block opens.
    """
    for look in [*lookouts]:
        look()


def _take_out(layer: Layer | None) -> None:
    """
    Have *layer*, if there is one, hear no more.
    """
    PROCESS.pop(layer, None)  # type: ignore[arg-type]
    EPOCH.end()


def _take(functions: "Any", plumbing: bool, listeners: "list[Listener]") -> "Any":
    """
    Take what was given by name; give ``plumbing``, as ``hidden`` is called now.
    """
    if "hidden" in functions:
        from instrument._audience.slips import as_it_was_called

        plumbing = as_it_was_called(functions)
    listeners += [as_listener(f, name) for name, f in functions.items()]
    return plumbing


def _is_local() -> TypeError:
    from instrument._audience.slips import LOCAL

    return TypeError(LOCAL)


_NESTED = "callbacks() takes handlers, not another callbacks(): with outer, inner: ..."
