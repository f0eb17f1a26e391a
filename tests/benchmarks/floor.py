"""
The least that a traced call with one listening handler can do, written by hand.

One ContextVar, an id without ``uuid4``, two clock readings, two handler calls with
LangChain's keywords; no error handling, no laziness, no tags, no arguments by name.
What the library costs is said as a multiple of this, measured in the same process.
"""

import functools
import os
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from itertools import count
from typing import ParamSpec, TypeVar
from uuid import UUID, SafeUUID

P = ParamSpec("P")
T = TypeVar("T")

CURRENT: ContextVar[UUID | None] = ContextVar("current", default=None)
"""The run in hand; None where nobody listens."""

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

    def on_chain_end(
        self,
        outputs: object,
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


def mint() -> UUID:
    """
    Make an id by counting: 0.26 us, where ``uuid4`` takes 1.6.
    """
    made = _new(UUID)
    _set(made, "int", _fixed | _next())
    _set(made, "is_safe", _UNSAFE)
    return made


def empty(function: Callable[P, T]) -> Callable[P, T]:
    """
    Wrap in the cheapest decorator there is: the floor where nobody listens.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        return function(*args, **kwargs)

    return wrapper


def heard(function: Callable[P, T]) -> Callable[P, T]:
    """
    Tell `HANDLER` of each call that happens inside a run.
    """
    name = function.__qualname__
    serialized = {"name": name}

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        parent = CURRENT.get()
        if parent is None:
            return function(*args, **kwargs)
        id = mint()
        _start(
            serialized,
            args,
            run_id=id,
            parent_run_id=parent,
            tags=None,
            metadata=None,
            name=name,
        )
        token, started_ns = CURRENT.set(id), time.perf_counter_ns()
        try:
            result = function(*args, **kwargs)
        finally:
            CURRENT.reset(token)
            time.perf_counter_ns() - started_ns
        _end(result, run_id=id, parent_run_id=parent)
        return result

    return wrapper


def aheard(function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """
    Do as `heard` does, for a coroutine function.
    """
    name = function.__qualname__
    serialized = {"name": name}

    @functools.wraps(function)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        parent = CURRENT.get()
        if parent is None:
            return await function(*args, **kwargs)
        id = mint()
        _start(
            serialized,
            args,
            run_id=id,
            parent_run_id=parent,
            tags=None,
            metadata=None,
            name=name,
        )
        token, started_ns = CURRENT.set(id), time.perf_counter_ns()
        try:
            result = await function(*args, **kwargs)
        finally:
            CURRENT.reset(token)
            time.perf_counter_ns() - started_ns
        _end(result, run_id=id, parent_run_id=parent)
        return result

    return wrapper


def token(id: UUID, parent_id: UUID, text: str) -> None:
    """
    Tell `HANDLER` of one token.
    """
    _token(text, chunk=None, run_id=id, parent_run_id=parent_id, tags=None)


class Scope:
    """
    A block that says who listens: sets the variable, and puts it back.
    """

    __slots__ = ("_token",)

    def __enter__(self) -> None:
        self._token = LISTENERS.set((HANDLER,))

    def __exit__(self, *exc_info: object) -> None:
        LISTENERS.reset(self._token)
