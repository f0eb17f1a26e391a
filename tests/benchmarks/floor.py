"""
The least that does what the library does, written by hand: what its costs are held
against, measured in the same process.

It is honest: it tells its handler what the rules demand, inputs by name, containers of
its own, and the run at both ends. It drives a generator that sees its run while the
consumer does not, and mutes the handler meanwhile. It knows one handler and one
function's parameters, catches nothing, and has no tags.
"""

import functools
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from itertools import count
from typing import ParamSpec, TypeVar
from uuid import UUID, SafeUUID

P = ParamSpec("P")
T = TypeVar("T")

LISTENERS: ContextVar[tuple[object, ...]] = ContextVar("listeners")

_UNSAFE = SafeUUID.unknown
_new, _set = object.__new__, object.__setattr__
_fixed = int.from_bytes(os.urandom(8), "big") << 64
_next = count(1).__next__


class Handler:
    """
    Hears the events that are measured, and does nothing.

    It names LangChain's keywords, as handlers do: taking them all as ``**kwargs``
    would cost the floor a dict per event.
    """

    def on_chain_start(
        self,
        serialized: object,
        inputs: object,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, object] | None = None,
        **kwargs: object,
    ) -> None: ...

    def on_chat_model_start(
        self,
        serialized: object,
        messages: object,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, object] | None = None,
        **kwargs: object,
    ) -> None: ...

    def on_chain_end(
        self,
        outputs: object,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: object,
    ) -> None: ...

    def on_llm_end(
        self,
        response: object,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: object,
    ) -> None: ...

    def on_llm_new_token(
        self,
        token: str,
        *,
        chunk: object = None,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        **kwargs: object,
    ) -> None: ...


HANDLER = Handler()
_start, _end = HANDLER.on_chain_start, HANDLER.on_chain_end
_token = HANDLER.on_llm_new_token


class Run:
    """
    What a run needs at the least.
    """

    __slots__ = ("duration_ns", "id", "parent_id", "started_ns")

    id: UUID
    parent_id: UUID | None
    started_ns: int
    duration_ns: int


CURRENT: ContextVar[Run | None] = ContextVar("current", default=None)
"""The run in hand; None where nobody listens."""

MUTED = Run()
"""In hand while the handler works."""


def mint() -> UUID:
    """
    Make an id by counting: 0.26 us, where ``uuid4`` takes 1.6.
    """
    made = _new(UUID)
    _set(made, "int", _fixed | _next())
    _set(made, "is_safe", _UNSAFE)
    return made


def outermost() -> Run:
    """
    Make a run that calls can be in.
    """
    run = Run()
    run.id, run.parent_id = mint(), None
    return run


def empty(function: Callable[P, T]) -> Callable[P, T]:
    """
    Wrap in the cheapest decorator there is: the floor where nobody listens.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        return function(*args, **kwargs)

    return wrapper


def heard(function: Callable[P, T], *, first: int = 0) -> Callable[P, T]:
    """
    Tell `HANDLER` of each call of ``add(x, y)`` that happens inside a run.

    Args:
        first: Where in the arguments ``x`` is: 1 in a method.
    """
    name = function.__qualname__
    second = first + 1

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        parent = CURRENT.get()
        if parent is None:
            return function(*args, **kwargs)
        run = Run()
        run.id = id = mint()
        run.parent_id = parent_id = parent.id
        _start(
            {"name": name},
            {"x": args[first], "y": args[second]},
            run_id=id,
            parent_run_id=parent_id,
            tags=[],
            metadata={},
            name=name,
            run=run,
        )
        token, run.started_ns = CURRENT.set(run), time.perf_counter_ns()
        try:
            result = function(*args, **kwargs)
        finally:
            CURRENT.reset(token)
            run.duration_ns = time.perf_counter_ns() - run.started_ns
        _end(
            result,
            run_id=id,
            parent_run_id=parent_id,
            tags=[],
            metadata={},
            name=name,
            run=run,
        )
        return result

    return wrapper


def aheard(function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """
    Do as `heard` does, for a coroutine function.
    """
    name = function.__qualname__

    @functools.wraps(function)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        parent = CURRENT.get()
        if parent is None:
            return await function(*args, **kwargs)
        run = Run()
        run.id = id = mint()
        run.parent_id = parent_id = parent.id
        _start(
            {"name": name},
            {"x": args[0], "y": args[1]},
            run_id=id,
            parent_run_id=parent_id,
            tags=[],
            metadata={},
            name=name,
            run=run,
        )
        token, run.started_ns = CURRENT.set(run), time.perf_counter_ns()
        try:
            result = await function(*args, **kwargs)
        finally:
            CURRENT.reset(token)
            run.duration_ns = time.perf_counter_ns() - run.started_ns
        _end(
            result,
            run_id=id,
            parent_run_id=parent_id,
            tags=[],
            metadata={},
            name=name,
            run=run,
        )
        return result

    return wrapper


def streamed(function: Callable[P, Iterator[str]]) -> Callable[P, Iterator[str]]:
    """
    Tell `HANDLER` of each text that a generator yields.

    The variable is set three times for each: to the run for the body, to `MUTED` for
    the handler, and back for the consumer.
    """
    set_current = CURRENT.set

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Iterator[str]:
        run = outermost()
        id, parent_id = run.id, run.parent_id
        body = function(*args, **kwargs)
        while True:
            outside = CURRENT.get()
            set_current(run)
            try:
                text = next(body, None)
                if text is None:
                    return
                set_current(MUTED)
                _token(
                    text,
                    chunk=text,
                    run_id=id,
                    parent_run_id=parent_id,
                    tags=[],
                    run=run,
                )
            finally:
                set_current(outside)
            yield text

    return wrapper


def astreamed(
    function: Callable[P, AsyncIterator[str]],
) -> Callable[P, AsyncIterator[str]]:
    """
    Do as `streamed` does, for an async generator.
    """
    set_current = CURRENT.set

    @functools.wraps(function)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[str]:
        run = outermost()
        id, parent_id = run.id, run.parent_id
        step = function(*args, **kwargs).__anext__
        while True:
            outside = CURRENT.get()
            set_current(run)
            try:
                text = await step()
                set_current(MUTED)
                _token(
                    text,
                    chunk=text,
                    run_id=id,
                    parent_run_id=parent_id,
                    tags=[],
                    run=run,
                )
            except StopAsyncIteration:
                return
            finally:
                set_current(outside)
            yield text

    return wrapper


class Scope:
    """
    A block that says who listens: sets the variable, and puts it back.
    """

    __slots__ = ("_token",)

    def __enter__(self) -> None:
        self._token = LISTENERS.set((HANDLER,))

    def __exit__(self, *exc_info: object) -> None:
        LISTENERS.reset(self._token)
