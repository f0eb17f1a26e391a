"""
Interrupts: Ctrl-C, or what any other signal handler raises, at each line of ours.

A trace function stands for the signal: it comes to every line, and it is what
`signal.getsignal` gives. And real signals come wherever Python looks for them: in the
midst of lines, and of what handlers and Python itself do for us.
"""

import asyncio
import gc
import io
import json
import logging
import os
import re
import signal
import sqlite3
import sys
import warnings
from _thread import interrupt_main
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from dis import opmap, opname
from functools import cache, partial
from pathlib import Path
from tempfile import mkdtemp
from threading import Thread, get_ident
from types import CodeType, FrameType, SimpleNamespace, coroutine
from typing import Any
from weakref import ref

import pytest
from loguru import logger

import instrument
from instrument import bind, callbacks, current_run, emit, traced, wrap
from instrument._delivery.loops import Background
from instrument._relay import arrivals
from instrument._report import failures
from instrument._scopes import scope
from instrument._state import MUTED, PROCESS, get_state, set_state
from instrument.handlers import (
    BudgetHandler,
    FileCallbackHandler,
    MonitorHandler,
    OTLPHandler,
    RequestLogger,
    SSEHandler,
    StdOutCallbackHandler,
    StoreHandler,
    TreeHandler,
    UsageHandler,
    WebSocketHandler,
    background,
    filtered,
    tail,
)
from instrument.propagation import attach, carrier
from instrument.testing import Recorder

pytestmark = [
    # an interrupt between the making of a step and its await, as undecorated
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    # one between the making of a block and its entering
    pytest.mark.filterwarnings("ignore:.* was never entered:RuntimeWarning"),
    # one between the making of a socket and what closes it
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

OURS = str(Path(instrument.__file__).parent) + os.sep
WRITTEN = "<instrument"
"""How the names begin of the files of code that is ours, and is written at run time."""
NOP = opmap["NOP"]
"""What stands for a ``try:``: no signal is looked for there."""


LOAD_CONST, SWAP, RESUME = opmap["LOAD_CONST"], opmap["SWAP"], opmap["RESUME"]
EXTENDED_ARG = opmap["EXTENDED_ARG"]
APART = {opmap[name] for name in ("CACHE", "PRECALL") if name in opmap}
RAISED_IN_WITH = bytes([opmap["PUSH_EXC_INFO"], opmap["WITH_EXCEPT_START"]])

known_code: "dict[int, tuple[object, bool]]" = {}
known_places: "dict[tuple[int, int], str]" = {}
known_looks: "dict[int, set[int]]" = {}
"""
What was found out of code, by its id: a line of ours comes some ten million times. What
it was found out of stays, as another may have its id else.
"""


def is_ours(code: object) -> bool:
    """
    Tell whether it is code of ours; what is raised in a call of this from
    `sys.monitoring`, as by a time limit of pytest, has that give anything.
    """
    known = known_code.get(id(code))
    if known is None:
        ours = type(code) is CodeType and code.co_filename.startswith((OURS, WRITTEN))
        known = known_code[id(code)] = (code, ours)
    return known[1]


def place_of(frame: FrameType) -> str:
    """
    Say where a frame of ours is; nothing where no signal is looked for.
    """
    code, at = frame.f_code, frame.f_lasti
    key = (id(code), at)
    if (place := known_places.get(key)) is None:
        place = f"{code.co_filename.removeprefix(OURS)}:{frame.f_lineno}"
        if code.co_code[at] == NOP or leaves_a_with(code, at):
            place = ""
        known_places[key] = place
    return place


def leaves_a_with(code: CodeType, at: int) -> bool:
    """
    Tell whether what comes there is that a ``with`` is left, by ``__exit__(None, None,
    None)`` or with what was raised: no signal is looked for before that is called.
    """
    ops, args = code.co_code[at::2], code.co_code[at + 1 :: 2]
    if ops.startswith(RAISED_IN_WITH):
        return True
    first = int(ops[0] == SWAP)  # below what is returned
    given = zip(ops[first : first + 3], args[first : first + 3], strict=True)
    return all(op == LOAD_CONST and code.co_consts[arg] is None for op, arg in given)


def calls_exit(code: CodeType, at: int) -> bool:
    """
    Tell whether that is the call by which a ``with`` is left.
    """
    ops, args = code.co_code[: at + 2 : 2], code.co_code[1 : at + 2 : 2]
    steps = [it for it in zip(ops, args, strict=True) if it[0] not in APART]
    if opname[steps.pop()[0]] == "WITH_EXCEPT_START":
        return True
    return len(steps) > 2 and all(
        op == LOAD_CONST and code.co_consts[arg] is None for op, arg in steps[-3:]
    )


class Timeout(TimeoutError):  # noqa: N818 - an `OSError`, as those of job queues
    """
    What a job's time limit raises.
    """


class Ears:
    """
    A handler that counts what starts and what ends.
    """

    def __init__(self) -> None:
        self.starts: Counter[object] = Counter()
        self.ends: Counter[object] = Counter()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("on_") and name.endswith("_start"):
            return lambda *_, run_id, **__: self.starts.update([run_id])
        if name.startswith("on_") and name.endswith(("_end", "_error")):
            return lambda *_, run_id, **__: self.ends.update([run_id])
        raise AttributeError(name)


class Alone(Ears):
    """
    The same, beside no handler that fails.
    """


class Records(Ears):
    """
    The same, of whole events.
    """

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def on_event(self, event: Any) -> None:
        if event.event.endswith("_start"):
            self.starts[event.run_id] += 1
        elif event.event.endswith(("_end", "_error")):
            self.ends[event.run_id] += 1
        event.to_json()

    def flush(self) -> None:
        """
        Be flushed.
        """


class AsyncEars(Ears):
    """
    The same in async methods.
    """

    def __getattr__(self, name: str) -> Any:
        hear = super().__getattr__(name)

        async def served() -> None:
            pass

        def called(*args: object, **kwargs: object) -> "Awaitable[None]":
            hear(*args, **kwargs)
            return served()

        return called

    async def aflush(self) -> None:
        """
        Be flushed.
        """


class Fails:
    """
    A handler that fails at all that it hears.
    """

    def on_chain_start(self, *_: object, **__: object) -> None:
        raise ValueError

    on_chain_end = on_chain_start


@traced
def inner(value: int) -> int:
    return value


@traced
def outer(value: int) -> int:
    current_run().emit("told")
    return inner(value)


@traced
def broken() -> None:
    raise LookupError


@traced.llm
def model(prompt: str) -> Iterator[str]:
    yield from ("a", "b")
    current_run().token("c")


@traced.chat_model
def chat(messages: "list[Any]") -> str:
    return "answer"


@traced.tool
async def atool(value: int) -> int:
    return value


@traced
def afollowed(value: int) -> "Awaitable[int]":
    async def follow() -> int:
        raise LookupError

    return follow()


@traced
def sent(told: "dict[str, Any]") -> None:
    with attach(told):
        inner(1)


class Applies:
    """
    An object that is called.
    """

    def __call__(self, value: object) -> object:
        return inner(value)  # type: ignore[arg-type]


@traced
async def aouter(value: int) -> int:
    return await atool(value)


@traced.llm
async def amodel(prompt: str) -> AsyncIterator[str]:
    yield "a"
    yield "b"


@coroutine
def once() -> Iterator[None]:
    """
    Wait once.
    """
    yield


@traced.llm
async def waiting(prompt: str) -> AsyncIterator[str]:
    await once()
    yield "a"


def reported(*ears: Any) -> None:
    with callbacks(Fails(), *ears):
        inner(1)


def block(*ears: Any) -> None:
    with callbacks(*ears):
        pass


def told(*ears: Any) -> None:
    with callbacks(*ears):
        emit("told", {"a": 1})


def function(*ears: Any) -> None:
    with callbacks(*ears):
        outer(1)


def function_that_fails(*ears: Any) -> None:
    with callbacks(*ears), suppress(LookupError):
        broken()


def chat_model(*ears: Any) -> None:
    with callbacks(*ears):
        chat([{"role": "user", "content": "hi"}])


def generator(*ears: Any) -> None:
    with callbacks(*ears):
        for _ in model("p"):
            pass


def stream_left_early(*ears: Any) -> None:
    with callbacks(*ears):
        stream: Any = model("p")
        next(stream)
        stream.close()


def redacted(*ears: Any) -> None:
    with callbacks(*ears, redact=["password"]):
        inner(1)


def decorated(*ears: Any) -> None:
    callbacks(*ears)(outer)(1)


def decorated_generator(*ears: Any) -> None:
    @callbacks(*ears)
    def request() -> Iterator[int]:
        yield outer(1)

    list(request())


def generator_traced_above(*ears: Any) -> None:
    @traced
    @callbacks(*ears)
    def request() -> Iterator[int]:
        yield outer(1)

    with callbacks(*ears):
        list(request())


def traced_block(*ears: Any) -> None:
    with callbacks(*ears), traced("x", inputs={"a": 1}) as run:
        run.outputs = inner(1)


def block_that_nobody_hears(*ears: Any) -> None:
    with traced("x"):
        pass


def bound(*ears: Any) -> None:
    with callbacks(*ears):
        work = bind(inner)
    work(1)


def bound_object(*ears: Any) -> None:
    with callbacks(*ears):
        work = bind(Applies())
    work(object())


def call_given_handlers(*ears: Any) -> None:
    inner(1, callbacks=list(ears))  # type: ignore[call-arg]


async def async_function(*ears: Any) -> None:
    async with callbacks(*ears):
        await aouter(1)


async def async_generator(*ears: Any) -> None:
    async with callbacks(*ears):
        async for _ in amodel("p"):
            pass


async def async_stream_left_early(*ears: Any) -> None:
    async with callbacks(*ears):
        stream = amodel("p")
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]


async def async_stream_that_waits(*ears: Any) -> None:
    async with callbacks(*ears):
        async for _ in waiting("p"):
            pass


async def async_decorated(*ears: Any) -> None:
    await callbacks(*ears)(aouter)(1)


async def async_traced_block(*ears: Any) -> None:
    async with callbacks(*ears), traced("x"):
        await atool(1)


async def async_followed(*ears: Any) -> None:
    async with callbacks(*ears):
        with suppress(LookupError):
            await afollowed(1)


def driven(act: "Callable[..., Awaitable[None]]") -> "Callable[..., None]":
    """
    Run a coroutine function without a loop.
    """

    def drive(*ears: Any) -> None:
        for _ in act(*ears).__await__():
            pass

    drive.__name__ = act.__name__
    return drive


SYNC = [
    block,
    told,
    function,
    function_that_fails,
    chat_model,
    generator,
    stream_left_early,
    redacted,
    decorated,
    decorated_generator,
    generator_traced_above,
    traced_block,
    block_that_nobody_hears,
    bound,
    bound_object,
    reported,
    call_given_handlers,
]
ASYNC = [
    driven(async_function),
    driven(async_generator),
    driven(async_stream_left_early),
    driven(async_stream_that_waits),
    driven(async_decorated),
    driven(async_traced_block),
    driven(async_followed),
]
ACTS = [(act, Ears) for act in (*SYNC, *ASYNC)]
ACTS += [(act, Records) for act in (function, generator, bound_object, *ASYNC[:2])]
ACTS += [(act, AsyncEars) for act in ASYNC]
ACTS += [(act, Alone) for act in (function, ASYNC[0])]
each_act = pytest.mark.parametrize(
    "act, ears", ACTS, ids=[f"{act.__name__}-{ears.__name__}" for act, ears in ACTS]
)


@dataclass
class Found:
    """
    At which places an interrupt did what it must not.
    """

    deaf: "list[str]" = field(default_factory=list)
    left_open: "list[str]" = field(default_factory=list)
    swallowed: "list[str]" = field(default_factory=list)
    endless: "list[str]" = field(default_factory=list)
    told_twice: "list[str]" = field(default_factory=list)
    deaf_later: "list[str]" = field(default_factory=list)
    lost: "list[str]" = field(default_factory=list)


def faults(found: Found) -> "dict[str, list[str]]":
    """
    Give what was found that must not be; what something left over loses may be.
    """
    return {key: it for key, it in vars(found).items() if it and key != "lost"}


class At:
    """
    What interrupts at one line of ours: at a place when it first comes, or by number.

    Attributes:
        is_before_exit: Whether Python's own ``with`` had only just called ``__exit__``.
        is_in_ears: Whether it came in the handler that counts, which may not have then.
        is_due: Whether it has come, raised or not yet.
        is_lost: Whether Python itself could give it to nobody: something was collected.
        seen: The lines of ours that came.
    """

    signum = signal.SIGALRM

    def __init__(self, line: "int | str", kind: "type[BaseException]") -> None:
        self.place = ""
        self.is_before_exit = self.is_in_ears = self.is_due = self.is_lost = False
        self.seen: list[str] = []
        self.kind = kind
        self._line = line
        self._entered: FrameType | None = None
        self._thread = get_ident()

    def comes(self, frame: FrameType) -> bool:
        """
        Tell whether the interrupt comes at this line of ours, and note where that is.
        """
        if self.place or not (place := place_of(frame)):
            return False
        self.seen.append(place)
        if self._line not in (place, len(self.seen) - 1):
            self._entered = None
            return False
        names = [it.f_code.co_name for it in ours_above(frame)]
        is_exit = names in (["__exit__"], ["__aexit__"])
        self.is_before_exit = is_exit and self._entered is frame
        self.place = place
        return True

    def lose(self, unraisable: Any) -> None:
        """
        Be the hook for what is raised where nobody is above.
        """
        self.is_lost = self.is_lost or unraisable.exc_type is self.kind


class AtTraced(At):
    """
    The same by `sys.settrace`, which ends with what its function raises.
    """

    def __call__(self, frame: FrameType, event: str, _: object) -> Any:
        if not is_ours(frame.f_code):
            return None
        if event == "call":
            self._entered = frame
        if event == "line" and self.comes(frame):
            raise self.kind
        return self

    @contextmanager
    def on(self) -> "Iterator[None]":
        tracing = sys.gettrace()
        try:
            sys.settrace(self)
            yield
        finally:
            sys.settrace(tracing)


class AtMonitored(At):
    """
    The same by `sys.monitoring`: what measures coverage sees what follows.
    """

    def __call__(self, code: CodeType, line: int) -> Any:
        if not is_ours(code):
            return MONITORING.DISABLE
        # signals come to the main thread alone
        if get_ident() == self._thread and self.comes(sys._getframe(1)):
            raise self.kind
        return None

    def _start(self, code: CodeType, _: object) -> Any:
        if not is_ours(code):
            return MONITORING.DISABLE
        self._entered = sys._getframe(1)
        return None

    @contextmanager
    def on(self) -> "Iterator[None]":
        tool, events = MONITORING.PROFILER_ID, MONITORING.events
        MONITORING.use_tool_id(tool, "test")
        MONITORING.register_callback(tool, events.LINE, self)
        MONITORING.register_callback(tool, events.PY_START, self._start)
        try:
            MONITORING.set_events(tool, events.LINE | events.PY_START)
            yield
        finally:
            MONITORING.set_events(tool, 0)
            MONITORING.free_tool_id(tool)


class Fuse:
    """
    What has a signal come when it goes.
    """


class AtLook(At):
    """
    The same by a real signal: it has come as something of ours begins that looks for
    one, a call, a jump back or a function, and is raised where Python finds it.
    """

    signum = signal.SIGUSR1

    def __init__(self, line: "int | str", kind: "type[BaseException]") -> None:
        super().__init__(line, kind)
        self._place = ""
        self._burns: object = None

    def __call__(self, _: int, frame: FrameType) -> None:
        """
        Be the signal's handler.
        """
        if self.place or not self._place:
            return
        code, above = frame.f_code, [it.f_code.co_name for it in ours_above(frame)]
        begins = 2 * code.co_code[::2].index(RESUME)
        if above in (["__exit__"], ["__aexit__"]):
            self.is_before_exit = frame.f_lasti <= begins
        else:  # a coroutine that has not begun has no frame yet
            self.is_before_exit = not above and calls_exit(code, frame.f_lasti)
        self.is_in_ears = code.co_qualname.split(".")[0] in EARS
        self.place = f"{self._place}, in {code.co_qualname}:{frame.f_lineno}"
        raise self.kind

    def _look(self, code: CodeType, at: int) -> None:
        """
        Have the signal come if it is to come at this look.

        Python looks for none of itself until who is called here has gone.
        """
        place = f"{code.co_filename.removeprefix(OURS)}:{code.co_qualname}+{at}"
        self.seen.append(place)
        if self._place or self._line not in (place, len(self.seen) - 1):
            return
        self._place, self.is_due = place, True
        self._stop()
        fuse = Fuse()
        self._burns = ref(fuse, partial(next, map(interrupt_main, [self.signum])))

    def _stop(self) -> None:
        raise NotImplementedError


class LookTraced(AtLook):
    """
    The same, by `sys.settrace`.
    """

    def _trace(self, frame: FrameType, _: str, __: object) -> Any:
        code = frame.f_code
        if not is_ours(code):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        looks = looks_of(code)

        def step(frame: FrameType, event: str, _: object) -> None:
            if frame.f_lasti in looks and event == "opcode":
                self._look(code, frame.f_lasti)

        self._look(code, frame.f_lasti)
        return step

    def _stop(self) -> None:
        sys.settrace(None)

    @contextmanager
    def on(self) -> "Iterator[None]":
        tracing = sys.gettrace()
        try:
            sys.settrace(self._trace)
            yield
        finally:
            sys.settrace(tracing)


class LookMonitored(AtLook):
    """
    The same, by `sys.monitoring`.
    """

    def _event(self, code: CodeType, at: int, *_: object) -> Any:
        if not is_ours(code):
            return MONITORING.DISABLE
        if get_ident() == self._thread:
            self._look(code, at)
        return None

    def _hear(self, hear: "Callable[..., Any] | None") -> int:
        names = ("CALL", "JUMP", "PY_START", "PY_RESUME")
        events = [getattr(MONITORING.events, name) for name in names]
        for event in events:
            MONITORING.register_callback(MONITORING.PROFILER_ID, event, hear)
        return sum(events)

    def _stop(self) -> None:
        self._hear(None)

    @contextmanager
    def on(self) -> "Iterator[None]":
        tool = MONITORING.PROFILER_ID
        MONITORING.use_tool_id(tool, "test")
        events = self._hear(self._event)
        try:
            MONITORING.set_events(tool, events)
            yield
        finally:
            MONITORING.set_events(tool, 0)
            MONITORING.free_tool_id(tool)


MONITORING: Any = getattr(sys, "monitoring", None)
Interrupt = AtTraced if MONITORING is None else AtMonitored
Signal = LookTraced if MONITORING is None else LookMonitored
LOOKING = {
    code
    for name, code in opmap.items()
    if name.startswith(("CALL", "JUMP_BACKWARD", "POP_JUMP_BACKWARD"))
}
EARS = {it.__name__ for it in (Ears, Alone, Records, AsyncEars)}


def looks_of(code: CodeType) -> "set[int]":
    """
    Give what looks for signals in code of ours, besides its beginning.
    """
    if (looks := known_looks.get(id(code))) is None:
        looks = known_looks[id(code)] = set()
        begin = 0
        for at, op in enumerate(code.co_code[::2]):
            if op in LOOKING:
                looks.add(begin)  # with what extends its argument
            if op != EXTENDED_ARG:
                begin = 2 * (at + 1)
    return looks


def ours_above(frame: "FrameType | None") -> "Iterator[FrameType]":
    while frame is not None and is_ours(frame.f_code):
        yield frame
        frame = frame.f_back


def interrupt(
    act: "Callable[..., object]", at: Any, ears: "type[Ears]", found: Found
) -> bool:
    """
    Do *act* with an interrupt at one line; False where it has fewer lines.
    """
    kind, heard = at.kind, ears()
    if kind is not MemoryError:  # which no signal raises
        signal.signal(at.signum, at)
    before, has_come = get_state(), False
    hook = sys.unraisablehook
    try:
        sys.unraisablehook = at.lose
        with at.on():
            act(*given(heard))
    except kind:
        has_come = True
    finally:
        sys.unraisablehook = hook
    place, state = at.place, get_state()
    set_state(before)
    if not place:
        assert not at.is_due
        return False
    if not has_come and not at.is_lost and kind is not MemoryError:
        found.swallowed.append(place)
    if at.is_lost:
        found.lost.append(place)
    if state is MUTED:
        found.deaf.append(place)
    elif state is not before and not at.is_before_exit:
        found.left_open.append(place)
    if any(count > 1 for it in (heard.starts, heard.ends) for count in it.values()):
        found.told_twice.append(place)
    is_known = at.is_before_exit or at.is_in_ears or failures(heard)
    if heard.starts.keys() != heard.ends.keys() and not is_known:
        found.endless.append(place)
    return True


def given(heard: Ears) -> "tuple[object, ...]":
    return (heard,) if type(heard) is Alone else (Fails(), heard)


def lines_of(
    act: "Callable[..., object]", ears: "type[Ears]", by: "type[Any]" = Interrupt
) -> "list[str]":
    """
    Give the lines of ours that *act* executes, once all is prepared that is kept.
    """
    at = by(-1, Timeout)
    copy_context().run(act, *given(ears()))
    with at.on():
        copy_context().run(act, *given(ears()))
    return list(at.seen)


def is_heard() -> bool:
    """
    Tell whether a request is heard, from its start to its end.
    """
    ears = Ears()
    with callbacks(ears):
        inner(1)
    return ears.starts == ears.ends and ears.starts.total() == 1


@pytest.fixture(autouse=True)
def quiet() -> "Iterator[None]":
    """
    Put the signals' handlers back, and show no reports: there are thousands.
    """
    before = {it: signal.getsignal(it) for it in (At.signum, AtLook.signum)}
    logger.disable("instrument")
    yield
    logger.enable("instrument")
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.fixture(autouse=True, scope="module")
def collected() -> "Iterator[None]":
    """
    Collect what was left in mid-step here, not in a later test.
    """
    yield
    with warnings.catch_warnings(action="ignore"):
        for _ in range(6):
            gc.collect()


def interrupted_at(
    lines: "Iterable[int | str]",
    act: "Callable[..., object]",
    ears: "type[Ears]",
    kind: "type[BaseException]",
    by: "type[Any]" = Interrupt,
) -> Found:
    found = Found()
    for line in lines:
        context = copy_context()
        context.run(interrupt, act, by(line, kind), ears, found)
        if not context.run(is_heard):
            found.deaf_later.append(str(line))
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", [KeyboardInterrupt, Timeout, MemoryError])
@each_act
def test_interrupt_at_every_line(
    act: "Callable[..., object]", ears: "type[Ears]", kind: "type[BaseException]"
) -> None:
    """
    An interrupt at any line reaches the caller; nobody is deaf, no block open after it.

    What had started has ended, once; only where Python's own ``with`` had come no
    further than to call ``__exit__`` is a block left open. Where memory is full, it may
    also be reported, or done another way.
    """
    found = interrupted_at(range(len(lines_of(act, ears))), act, ears, kind)

    assert faults(found) == {}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", [KeyboardInterrupt, Timeout])
@each_act
def test_signal_at_every_look(
    act: "Callable[..., object]", ears: "type[Ears]", kind: "type[BaseException]"
) -> None:
    """
    The same of real signals, wherever Python looks for one.
    """
    looks = range(len(lines_of(act, ears, Signal)))
    found = interrupted_at(looks, act, ears, kind, Signal)

    assert faults(found) == {}


@cache
def first_lines(by: "type[Any]") -> "dict[Any, list[str]]":
    """
    Give by act which lines of ours come in it, and in none before.
    """
    apart: dict[Any, set[str]] = {Alone: set()}
    others: set[str] = set()
    first = {}
    for act, ears in ACTS:
        lines, known = dict.fromkeys(lines_of(act, ears, by)), apart.get(ears, others)
        first[act, ears] = [line for line in lines if line not in known]
        known.update(lines)
    return first


@pytest.mark.parametrize(
    "kind", [Timeout, pytest.param(MemoryError, marks=pytest.mark.wide)]
)
@each_act
def test_interrupt_at_each_line_once(
    act: "Callable[..., object]", ears: "type[Ears]", kind: "type[BaseException]"
) -> None:
    """
    The same where a line first comes, whichever act it comes in.
    """
    found = interrupted_at(first_lines(Interrupt)[act, ears], act, ears, kind)

    assert faults(found) == {}


@each_act
def test_signal_at_each_look_once(
    act: "Callable[..., object]", ears: "type[Ears]"
) -> None:
    """
    The same of real signals, where Python first looks for one: never in what is called
    as an object goes, as what is raised there Python gives to nobody.
    """
    looks = first_lines(Signal)[act, ears]
    gc.collect()  # what other tests have left would be told of its end by a collection
    gc.disable()
    try:
        found = interrupted_at(looks, act, ears, Timeout, Signal)
    finally:
        gc.enable()

    assert faults(found) == {}
    assert found.lost == []


def test_interrupt_at_what_was_written() -> None:
    """
    What an interrupt in a function that was written out keeps from who hears its end is
    told at once, also where no block and no run is above it.
    """
    lines = [it for it in lines_of(bound, Ears) if it.startswith(WRITTEN)]

    found = interrupted_at(dict.fromkeys(lines), bound, Ears, Timeout)

    assert faults(found) == {}


def test_signal_where_inputs_are_bound() -> None:
    """
    A signal in what binds a call's inputs by name keeps no handler from its start.
    """
    looks = [it for it in lines_of(generator, Records, Signal) if "bound_by" in it]

    found = interrupted_at(dict.fromkeys(looks), generator, Records, Timeout, Signal)

    assert faults(found) == {}


@pytest.mark.parametrize("ears", [Ears, Records])
def test_signal_where_a_handler_has_failed_at_a_start(ears: "type[Ears]") -> None:
    """
    A signal that comes as a handler has failed at a start keeps nobody who heard it
    from the end.
    """

    class FailsAtStarts:
        def on_chain_start(self, *_: object, **__: object) -> None:
            raise ValueError

        on_tool_start = on_chat_model_start = on_chain_start

    @traced.tool
    def tool(value: int) -> None:
        pass

    def told_first(_: object, heard: Ears) -> None:
        with callbacks(heard, FailsAtStarts(), redact=["password"]):
            inner(1)
            tool(1)
            chat([{"role": "user", "content": "hi"}])

    looks = [it for it in lines_of(told_first, ears, Signal) if "_runs/starting" in it]

    found = interrupted_at(dict.fromkeys(looks), told_first, ears, Timeout, Signal)

    assert faults(found) == {}


def test_signal_while_it_is_asked_who_hears() -> None:
    """
    A signal that comes as `filtered` asks whether its handler hears a run keeps no event
    from that handler.
    """

    def asked(_: object, heard: Ears) -> None:
        with callbacks(filtered(heard, kinds="chain", names="inner")):
            inner(1)

    looks = [it for it in lines_of(asked, Ears, Signal) if "_filtered" in it]

    found = interrupted_at(dict.fromkeys(looks), asked, Ears, Timeout, Signal)

    assert looks
    assert faults(found) == {}


@pytest.mark.parametrize("wrapper", [background, partial(tail, sample=1.0)])
def test_signal_while_an_event_is_kept_for_later(wrapper: "Callable[..., Any]") -> None:
    """
    Nor one that comes as `background` or `tail` keeps what its handler will hear, which
    is told once.
    """

    def kept(_: object, heard: Ears) -> None:
        handler = wrapper(heard)
        try:
            with callbacks(handler):
                inner(1)
        finally:
            if wrapper is background:  # it may have come while its thread is waited for
                handler.flush(20)

    places = ("handlers/_background/", "handlers/_tail/")
    looks = [it for it in lines_of(kept, Ears, Signal) if it.startswith(places)]

    found = interrupted_at(dict.fromkeys(looks), kept, Ears, Timeout, Signal)

    assert looks
    assert faults(found) == {}


class Stored:
    """
    A store, and what says whether it is written.
    """

    def __init__(self, folder: Path) -> None:
        self.handler: Any = StoreHandler(Path(mkdtemp(dir=folder), "traces.db"))

    def is_served(self) -> bool:
        return bool(self.handler.drain(20))


class Queued(Stored):
    """
    A handler with a queue and a thread of its own.
    """

    def __init__(self, folder: Path) -> None:
        self._heard = Ears()
        self.handler = background(self._heard)

    def is_served(self) -> bool:
        return bool(self.handler.flush(20)) and self._heard.ends.total() > 0


class Drawn(Stored):
    """
    A tree that is drawn on a terminal.
    """

    def __init__(self, folder: Path) -> None:
        self._read_from, terminal = os.openpty()
        self._file = os.fdopen(terminal, "w", encoding="utf-8")
        self.handler = TreeHandler(self._file)

    def is_served(self) -> bool:
        shown = b""
        while b"inner" not in shown and (read := os.read(self._read_from, 65_536)):
            shown += read
        self._file.close()
        os.close(self._read_from)
        return True


@pytest.mark.parametrize("kind", [Stored, Queued, Drawn])
def test_signal_as_a_thread_begins(
    kind: "type[Stored]", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A signal as the thread of a handler begins, or is waited for, keeps no other thread
    from its work, and the handler from nothing that comes later.
    """
    monkeypatch.setenv("TERM", "xterm")

    def request(handler: Any) -> None:
        with callbacks(handler), suppress(Timeout):
            inner(1)

    def served(line: "int | str") -> "Iterable[str]":
        heard = kind(tmp_path)
        at: Any = Signal(line, Timeout)
        signal.signal(at.signum, at)
        with suppress(Timeout), at.on():
            copy_context().run(request, heard.handler)
        other = Thread(target=request, args=(heard.handler,), daemon=True)
        other.start()
        other.join(20)
        assert not other.is_alive(), at.place
        assert heard.is_served(), at.place
        return list(at.seen)

    served(-1)
    waits = ("_start", "threads.py", "event_queue.py", "display.py")
    looks = [it for it in served(-1) if any(part in it for part in waits)]

    for look in dict.fromkeys(looks):
        served(look)
    assert looks


def test_interrupt_as_the_background_loop_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    An interrupt as the thread of the background loop is waited for is what is raised,
    and that loop serves what comes later.
    """
    background, start = Background(), Thread.start

    def interrupted(thread: Thread) -> None:
        start(thread)
        raise Timeout

    with monkeypatch.context() as patched, pytest.raises(Timeout):
        patched.setattr(Thread, "start", interrupted)
        background.loop()

    served = asyncio.run_coroutine_threadsafe(asyncio.sleep(0, 1), background.loop())
    assert served.result(20) == 1


@traced
def items() -> Iterator[str]:
    return (it for it in "ab")


@traced
def stream() -> AsyncIterator[str]:
    async def pieces() -> AsyncIterator[str]:
        yield "a"

    return pieces()


@traced
def answer() -> "Awaitable[None]":
    async def wait() -> None:
        await once()

    return wait()


@traced
def reads() -> None:
    list(items())


@traced
async def areads() -> None:
    async for _ in stream():
        pass
    await answer()
    await traced(once)()


def returned_and_read(*ears: Any) -> None:
    with callbacks(*ears):
        reads()


async def returned_and_awaited(*ears: Any) -> None:
    async with callbacks(*ears):
        await areads()


@pytest.mark.parametrize("act", [returned_and_read, driven(returned_and_awaited)])
def test_signal_as_what_a_function_has_returned_begins(
    act: "Callable[..., object]",
) -> None:
    """
    A signal at the very entry of a body that a function has returned ends its run with
    that of who reads it, also while somebody holds what was raised.
    """
    held = []

    def holding(*ears: Any) -> None:
        try:
            act(*ears)
        except Timeout as exc:
            held.append(exc)
            raise

    looks = [it for it in lines_of(act, Ears, Signal) if it.startswith("_callables/")]

    found = interrupted_at(dict.fromkeys(looks), holding, Ears, Timeout, Signal)

    assert held
    assert faults(found) == {}


class SyncAPIClient:
    """
    What clients of SDKs inherit from.
    """

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def request(self, cast_to: object, options: object) -> object:
        return self.answer


class AsyncAPIClient(SyncAPIClient):
    """
    The same for async code.
    """

    async def request(self, cast_to: object, options: object) -> object:
        return self.answer


SyncAPIClient.__module__ = AsyncAPIClient.__module__ = "openai._base_client"
ASKED = SimpleNamespace(
    url="/chat/completions", json_data={"model": "m", "messages": []}, extra_json=None
)


def wrapped_call(*ears: Any) -> None:
    with callbacks(*ears):
        wrap(SyncAPIClient({})).request(dict, ASKED)


def wrapped_call_in_a_model(*ears: Any) -> None:
    @traced.chat_model
    def asking(messages: "list[Any]") -> Any:
        return wrap(SyncAPIClient({})).request(dict, ASKED)

    with callbacks(*ears):
        asking([])


def wrapped_stream(*ears: Any) -> None:
    with callbacks(*ears):
        for _ in wrap(SyncAPIClient(it for it in "ab")).request(dict, ASKED):  # type: ignore[attr-defined]
            pass


async def async_wrapped_call(*ears: Any) -> None:
    async with callbacks(*ears):
        await wrap(AsyncAPIClient({})).request(dict, ASKED)


@pytest.mark.parametrize("ears", [Ears, AsyncEars])
@pytest.mark.parametrize(
    "act",
    [
        wrapped_call,
        wrapped_call_in_a_model,
        wrapped_stream,
        driven(async_wrapped_call),
    ],
)
def test_signal_in_the_call_of_a_wrapped_client(
    act: "Callable[..., object]", ears: "type[Ears]"
) -> None:
    """
    A signal in the call of a client of `wrap` leaves nobody deaf, and no run open.
    """
    looks = [it for it in lines_of(act, ears, Signal) if it.startswith("_hearing/")]

    found = interrupted_at(dict.fromkeys(looks), act, ears, Timeout, Signal)

    assert looks
    assert faults(found) == {}


class Client:
    """
    One of an SDK whose methods are the calls.
    """

    def chat(self, *, model: str, messages: "list[Any]") -> object:
        if model == "bad":
            raise LookupError
        return {} if model == "whole" else pieces()

    def each(self, *, model: str, messages: "list[Any]") -> Iterator[str]:
        yield from ("a", "b")


def pieces() -> Iterator[str]:
    yield from ("a", "b")


def added(value: int) -> int:
    return value


def failing(value: int) -> None:
    raise LookupError


def counted(most: int) -> Iterator[int]:
    yield from range(most)


def asked(messages: "list[Any]") -> str:
    return "answer"


async def awaited(value: int) -> int:
    return value


async def acounted(most: int) -> AsyncIterator[int]:
    for value in range(most):
        yield value


def watched_function(*ears: Any) -> None:
    with callbacks(*ears):
        added(1)


def watched_function_that_fails(*ears: Any) -> None:
    with callbacks(*ears), suppress(LookupError):
        failing(1)


def watched_generator(*ears: Any) -> None:
    with callbacks(*ears):
        list(counted(2))


def watched_generator_left_early(*ears: Any) -> None:
    with callbacks(*ears):
        stream: Any = counted(2)
        next(stream)
        stream.close()


def watched_generator_dropped(*ears: Any) -> None:
    with callbacks(*ears):
        next(counted(2))


def watched_part_of_a_model(*ears: Any) -> None:
    with callbacks(*ears):
        traced.chat_model(asked)([])


async def watched_coroutine(*ears: Any) -> None:
    async with callbacks(*ears):
        await awaited(1)


async def watched_async_generator(*ears: Any) -> None:
    async with callbacks(*ears):
        async for _ in acounted(2):
            pass


def heard_call(*ears: Any) -> None:
    with callbacks(*ears):
        Client().chat(model="whole", messages=[])


def heard_call_that_fails(*ears: Any) -> None:
    with callbacks(*ears), suppress(LookupError):
        Client().chat(model="bad", messages=[])


def heard_stream(*ears: Any) -> None:
    with callbacks(*ears):
        list(Client().chat(model="stream", messages=[]))  # type: ignore[call-overload]


def heard_generator(*ears: Any) -> None:
    with callbacks(*ears):
        list(Client().each(model="m", messages=[]))


def heard_generator_left_early(*ears: Any) -> None:
    with callbacks(*ears):
        stream: Any = Client().each(model="m", messages=[])
        next(stream)
        stream.close()


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> "Iterator[None]":
    """
    Hear these as `auto` does; signals come in what Python calls for it, too.
    """
    from instrument import auto
    from instrument._hearing.monitored.methods import GENERATOR, MethodWatch
    from instrument._hearing.operations import CHAT
    from instrument._hearing.sys_monitoring import arm, disarm

    register = MONITORING.register_callback

    def register_through(tool: int, event: int, hear: Any) -> Any:
        if hear is None or tool == MONITORING.PROFILER_ID:
            return register(tool, event, hear)
        return register(tool, event, lambda *args: sys.call_tracing(hear, args))

    monkeypatch.setattr(MONITORING, "register_callback", register_through)
    functions = (added, failing, counted, awaited, acounted, asked)
    others = SimpleNamespace(**{it.__name__: it for it in functions}, __name__="others")
    monkeypatch.setitem(sys.modules, "others", others)
    for function in functions:
        kind = "chat_model" if function is asked else "chain"
        auto.watch(f"others:{function.__name__}", kind=kind)
    armed: list[Any] = [
        (function.__code__, MethodWatch("provider", CHAT, function))
        for function in (Client.chat, Client.each)
    ]
    armed.append((pieces.__code__, GENERATOR))
    for code, watch in armed:
        arm(code, watch)
    yield
    for code, watch in armed:
        disarm(code, watch)
    for function in functions:
        auto.unwatch(f"others:{function.__name__}")


@pytest.mark.skipif(MONITORING is None, reason="sys.monitoring needs Python 3.12")
@pytest.mark.parametrize("ears", [Ears, AsyncEars])
@pytest.mark.parametrize(
    "act",
    [
        watched_function,
        watched_function_that_fails,
        watched_generator,
        watched_generator_left_early,
        watched_generator_dropped,
        watched_part_of_a_model,
        driven(watched_coroutine),
        driven(watched_async_generator),
        heard_call,
        heard_call_that_fails,
        heard_stream,
        heard_generator,
        heard_generator_left_early,
    ],
)
def test_signal_in_a_call_that_is_heard(
    heard: None, act: "Callable[..., object]", ears: "type[Ears]"
) -> None:
    """
    A signal in what Python calls as an SDK's or a watched function begins, goes on or
    ends leaves nobody deaf, and no run open.
    """
    rooms = ("_hearing/", "_traced/stream", "_callables/", "_runs/merging")
    looks = [it for it in lines_of(act, ears, Signal) if it.startswith(rooms)]

    found = interrupted_at(dict.fromkeys(looks), act, ears, Timeout, Signal)

    assert looks
    assert faults(found) == {}


def test_interrupt_while_installed_or_uninstalled() -> None:
    """
    An object that was interrupted in its `install` or `uninstall` is installed, or it
    is not: none is taken for installed and hears nothing, as a block neither.
    """
    made: list[callbacks] = []

    def switched(*ears: Any) -> None:
        made.append(callbacks(*ears))
        made[-1].install()
        made[-1].uninstall()

    for look in dict.fromkeys(lines_of(switched, Alone, Signal)):
        context = copy_context()
        context.run(interrupt, switched, Signal(look, Timeout), Alone, Found())
        assert (id(made[-1]) in scope._installed) is bool(PROCESS), look
        made[-1].uninstall()
        assert not PROCESS


def missed_in(place: str, act: "Callable[..., object]") -> "dict[str, list[str]]":
    """
    Give where a signal that comes once at each look in files of ours is lost.
    """
    looks = [it for it in lines_of(act, Alone, Signal) if it.startswith(place)]
    assert looks

    found = interrupted_at(dict.fromkeys(looks), act, Alone, Timeout, Signal)
    return {key: it for key, it in faults(found).items() if key != "endless"}


def test_signal_while_a_file_is_written(tmp_path: Path) -> None:
    """
    A `TimeoutError` of a signal is not taken for one of the file, though both are an
    `OSError`.
    """
    path = tmp_path / "events.jsonl"

    def writes(*ears: Any) -> None:
        with callbacks(FileCallbackHandler(path), *ears):
            inner(1)

    assert missed_in("handlers/_file/", writes) == {}


def test_signal_on_the_way_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Nor, where events go home to another process, for one of the socket.
    """
    monkeypatch.setattr(arrivals, "QUIET_S", 0.1)  # for an end that is not told

    def carried(*ears: Any) -> None:
        with callbacks(*ears):
            sent(carrier())

    assert missed_in("_relay/", carried) == {}


@dataclass
class Output:
    """
    A handler of ours, and what its output tells of runs, by name.
    """

    handler: Any
    told: "Callable[[], list[tuple[str, str]]]"


def file_output(folder: Path) -> Output:
    path = Path(mkdtemp(dir=folder), "events.jsonl")
    handler = FileCallbackHandler(path)

    def told() -> "list[tuple[str, str]]":
        handler.close()
        records = map(json.loads, path.read_text(encoding="ascii").splitlines())
        return [(it["event"], it["run_id"]) for it in records]

    return Output(handler, told)


def tail_output(folder: Path) -> Output:
    output = file_output(folder)
    return Output(tail(output.handler, sample=1.0), output.told)


def recorder_output(_: Path) -> Output:
    recorder = Recorder()

    def told() -> "list[tuple[str, str]]":
        starts = [it.run for it in recorder.events if it.event.endswith("_start")]
        assert recorder.runs == starts
        return [(it.event, str(it.run_id)) for it in recorder.events]

    return Output(recorder, told)


def store_output(folder: Path) -> Output:
    path = Path(mkdtemp(dir=folder), "traces.db")
    handler = StoreHandler(path)

    def told() -> "list[tuple[str, str]]":
        assert handler.drain(20)
        assert handler._writer._waiting == handler._writer._held == 0
        if not path.exists():
            return []
        with closing(sqlite3.connect(path)) as connection:
            rows = connection.execute("select id, status from runs").fetchall()
        starts = [("on_start", str(id)) for id, _ in rows]
        return starts + [("on_end", str(id)) for id, it in rows if it != "running"]

    return Output(handler, told)


def stream_output(protocol: str) -> "Callable[[Path], Output]":
    def output(_: Path) -> Output:
        handler = SSEHandler(protocol=protocol, payload="all")  # type: ignore[arg-type]

        def told() -> "list[tuple[str, str]]":
            pairs = []
            for _, frame in handler._box._frames:
                line = frame.partition(b"data: ")[2].strip()
                if line.startswith(b"{") and b"event: end" not in frame:
                    pairs.append(_frame_of(json.loads(line)))
            return pairs

        return Output(handler, told)

    output.__name__ = f"{protocol}_output"
    return output


def _frame_of(frame: "dict[str, Any]") -> "tuple[str, str]":
    if "event" in frame:
        return frame["event"], frame["run_id"]
    kind = frame["type"]
    if kind == "data-run":
        is_start = frame["data"]["status"] == "running"
        return "on_start" if is_start else "on_end", frame["id"]
    if kind in ("STEP_STARTED", "STEP_FINISHED"):
        kind = "on_start" if kind == "STEP_STARTED" else "on_end"
        return kind, frame["stepName"]
    ends = {"RUN_STARTED": "on_start", "RUN_FINISHED": "on_end", "RUN_ERROR": "on_end"}
    return ends.get(kind, kind), "stream"


def lines_output(_: Path) -> Output:
    file = io.StringIO()

    def told() -> "list[tuple[str, str]]":
        words = [it.split() for it in file.getvalue().splitlines()]
        events = {"*": "told", ">": "on_start"}
        return [(events.get(it[0], "on_end"), it[2]) for it in words]

    return Output(StdOutCallbackHandler(file), told)


def log_output(_: Path) -> Output:
    records: list[Any] = []
    to = logging.getLogger(f"interrupted.{id(records)}")
    to.setLevel("INFO")
    to.propagate = False
    sink = logging.Handler()
    sink.emit = records.append  # type: ignore[assignment,method-assign]
    to.addHandler(sink)

    def told() -> "list[tuple[str, str]]":
        ends = {True: "on_start", False: "on_end"}
        return [(ends[it.status == "running"], it.run_id) for it in records]

    return Output(RequestLogger(to), told)


def socket_output(_: Path) -> Output:
    sent: list[str] = []
    socket = SimpleNamespace(send=sent.append)

    def told() -> "list[tuple[str, str]]":
        frames = map(json.loads, sent)
        return [(it["event"], it["run_id"]) for it in frames]

    return Output(WebSocketHandler(socket, payload="all"), told)


def span_output(_: Path) -> Output:
    handler = OTLPHandler("http://127.0.0.1:1")
    spans: list[Any] = []
    handler._sender._serve_batch = lambda batch, **_: spans.extend(batch)  # type: ignore[method-assign]

    def told() -> "list[tuple[str, str]]":
        assert handler.drain(20)
        assert not handler._open
        ids = [it.run_id for it in spans]
        return [(event, it) for it in ids for event in ("on_start", "on_end")]

    return Output(handler, told)


def count_output(_: Path) -> Output:
    monitor = MonitorHandler()

    def told() -> "list[tuple[str, str]]":
        for tally in monitor._tallies.values():
            assert sum(tally.quantiles.counts.values()) == tally.count
        counted = [
            f"{it.name} {number}"
            for it in monitor.stats.values()
            for number in range(it.count)
        ]
        return [(event, it) for it in counted for event in ("on_start", "on_end")]

    return Output(monitor, told)


def tree_output(_: Path) -> Output:
    file = io.StringIO()
    handler = TreeHandler(file)

    def told() -> "list[tuple[str, str]]":
        assert not handler._display.trees.running
        assert not handler._forest._nodes
        row = r"(?<!from )(?:chain|llm) (?:outer|inner|model)\b"
        rows = re.findall(row, file.getvalue())
        return [(event, it) for it in rows for event in ("on_start", "on_end")]

    return Output(handler, told)


OUTPUTS = [
    file_output,
    tail_output,
    recorder_output,
    store_output,
    stream_output("native"),
    stream_output("ag-ui"),
    stream_output("ai-sdk"),
    lines_output,
    log_output,
    socket_output,
    span_output,
    count_output,
    tree_output,
]


def half_told(output: Output, kind: "type[BaseException]", look: "int | str") -> bool:
    """
    Tell whether *output* has a run without an end, an end without a start, or one twice,
    or other runs than somebody else has heard.
    """
    heard = Alone()

    def act(*_: object) -> None:
        with callbacks(output.handler, heard):
            outer(1)
            list(model("p"))

    at: Any = Signal(look, kind)
    signal.signal(at.signum, at)
    hook = sys.unraisablehook
    try:
        sys.unraisablehook = at.lose
        with suppress(kind), at.on():
            copy_context().run(act)
    finally:
        sys.unraisablehook = hook
    told = output.told()
    if at.is_before_exit or at.is_in_ears or ", in Logger.handle" in at.place:
        return False  # it is not flushed, or what is not ours was at work
    starts = [id for event, id in told if event.endswith("_start")]
    ends = [id for event, id in told if event.endswith(("_end", "_error"))]
    return sorted(starts) != sorted(set(ends)) or len(ends) != len(set(ends))


def looks_in(make: "Callable[[Path], Output]", folder: Path) -> "list[str]":
    for _ in range(2):
        handler = make(folder).handler
        at = Signal(-1, Timeout)
        with at.on(), callbacks(handler, Alone()):
            outer(1)
            list(model("p"))
    return list(at.seen)


@pytest.mark.parametrize("make", OUTPUTS)
def test_signal_while_a_handler_of_ours_is_told(
    make: "Callable[[Path], Output]", tmp_path: Path
) -> None:
    """
    A signal that comes before a handler of ours has taken an event has it told once more:
    what it writes has each run's start and end, once.
    """
    places = ("handlers/", "testing.py", "_audience/", "_delivery/flush", "_scopes/")
    looks = [it for it in looks_in(make, tmp_path) if it.startswith(places)]

    found = [
        it
        for it in dict.fromkeys(looks)
        if half_told(make(tmp_path), KeyboardInterrupt, it)
    ]

    assert looks
    assert found == []


def installed(*ears: Any) -> None:
    for_the_process.append(callbacks(*ears))
    with for_the_process[-1].install():
        inner(1)


for_the_process: list[callbacks] = []
"""What a ``with`` may have been kept from leaving, as at the very entry of its exit."""


async def closed_async_block(*ears: Any) -> None:
    async with callbacks(*ears):
        raise GeneratorExit


@pytest.mark.parametrize(
    "act", [block, driven(async_function), driven(closed_async_block), installed]
)
def test_signal_as_a_block_is_left(act: "Callable[..., None]") -> None:
    """
    Its handlers are flushed all the same, once: an async one where it can be waited for.
    """

    class Flushed(Records):
        count = 0

        def flush(self) -> None:
            self.count += 1

    def flushed_at(look: "int | str") -> Any:
        handlers = SSEHandler(), Flushed()
        at: Any = Signal(look, KeyboardInterrupt)
        signal.signal(at.signum, at)
        with suppress(KeyboardInterrupt, GeneratorExit), at.on():
            copy_context().run(act, *handlers)
        is_known = at.is_before_exit or "Flushed" in at.place
        is_flushed = handlers[0]._box.is_ended, handlers[1].count
        if at.place and not is_known and is_flushed != (True, 1):
            found.append(at.place)
        while for_the_process:
            for_the_process.pop().uninstall()
        return at

    places = tuple(
        f"_scopes/scope.py:callbacks.{it}"
        for it in ("__exit__", "__aexit__", "_leave", "_flush", "uninstall")
    )
    places += ("_audience/listener.py:has_flush", "_delivery/flush", "_state.py:mut")
    found: list[str] = []
    flushed_at(-1)
    looks = flushed_at(-1).seen
    left = [it for it in looks[len(looks) // 2 :] if it.startswith(places)]
    for look in dict.fromkeys(left):
        flushed_at(look)

    assert left
    assert found == []


class Interrupts:
    """
    Raises a signal that nobody stops, where that is asked for the first time.
    """

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1
        if self.count == 1:
            signal.raise_signal(signal.SIGINT)

    def __repr__(self) -> str:
        self()
        return "asked"


@pytest.mark.parametrize("name", ["run_started", "happens", "run_ended"])
def test_signal_in_a_method_that_a_subclass_of_a_handler_of_ours_has(name: str) -> None:
    """
    What is the application's is never called twice, also where a handler of ours does.
    """
    comes = Interrupts()

    def hear(self: object, *args: Any) -> None:
        comes()
        getattr(super(Told, self), name)(*args)

    Told = type("Told", (OTLPHandler,), {name: hear})  # noqa: N806 - it is a class
    handler = Told("http://127.0.0.1:1")

    with (
        pytest.raises(KeyboardInterrupt),
        callbacks(handler),
        traced("heard") as run,
    ):
        run.emit("told")

    assert comes.count == 1


@pytest.mark.parametrize("make", [Records, Recorder])
def test_signal_in_the_making_of_a_record(make: "Callable[[], Any]") -> None:
    """
    Who is to be given a record has not been called while that is made, which asks what
    is in it: all hear of it.
    """
    ears = [make(), make()]

    with callbacks(*ears, redact=["password"]), pytest.raises(KeyboardInterrupt):
        inner(Interrupts())  # type: ignore[arg-type]

    for it in ears:
        if make is Recorder:
            told = [event.event for event in it.events]
            assert told == ["on_chain_start", "on_chain_error"]
        else:
            assert it.starts == it.ends
            assert it.starts.total() == 1


def test_signal_while_a_call_is_counted() -> None:
    """
    Nor does a handler of ours that counts calls leave one out, or count it twice.
    """

    def counted_at(look: "int | str") -> Any:
        usage, budget, heard = UsageHandler(), BudgetHandler(max_calls=9), Alone()

        def act() -> None:
            with callbacks(usage, budget, heard) as block:
                try:
                    chat([])
                finally:
                    spent.append(budget.spent(block).calls)

        at: Any = Signal(look, KeyboardInterrupt)
        signal.signal(at.signum, at)
        spent: list[int] = []
        with suppress(KeyboardInterrupt), at.on():
            copy_context().run(act)
        if spent and not at.is_in_ears:
            assert usage.total.calls == spent[-1] == len(heard.ends), look
        return at

    counted_at(-1)
    looks = [it for it in counted_at(-1).seen if it.startswith("handlers/")]

    for look in dict.fromkeys(looks):
        counted_at(look)
    assert looks


class Rings(Ears):
    """
    An async handler, and a socket, to which a signal comes as it first works.
    """

    def __init__(self) -> None:
        super().__init__()
        self._signals = iter([AtLook.signum])
        self.sent: list[str] = []

    async def on_chain_start(self, *_: object, run_id: object, **__: object) -> None:
        self.starts[run_id] += 1
        for signum in self._signals:
            signal.raise_signal(signum)

    async def on_chain_end(self, *_: object, run_id: object, **__: object) -> None:
        self.ends[run_id] += 1

    on_chain_error = on_chain_end

    async def send(self, text: str) -> None:
        self.sent.append(text)
        for signum in self._signals:
            signal.raise_signal(signum)


async def called_twice() -> None:
    for value in range(2):
        inner(value)
        for _ in range(9):  # the loop serves who is to hear it
            await asyncio.sleep(0)


async def called_in_an_async_block(*ears: Any) -> None:
    async with callbacks(*ears):
        await called_twice()


async def left_at_once(*ears: Any) -> None:
    async with callbacks(*ears):
        inner(1)


async def next_sync_call(*ears: Any) -> None:
    with callbacks(*ears):
        await called_twice()


async def next_async_call(*ears: Any) -> None:
    async with callbacks(*ears):
        inner(1)
        await asyncio.sleep(0)
        await atool(1)


async def next_call_of_a_socket(*ears: Any) -> None:
    async with callbacks(*map(WebSocketHandler, ears)):
        await called_twice()


async def block_of_a_socket(*ears: Any) -> None:
    async with callbacks(*map(WebSocketHandler, ears)):
        inner(1)


def block_around_a_loop(*ears: Any) -> None:
    async def call() -> None:
        inner(1)

    with callbacks(*ears):
        asyncio.run(call())


def installed_around_a_loop(*ears: Any) -> None:
    with callbacks(*ears).install():
        asyncio.run(called_twice())


def on_a_loop(act: "Callable[..., Any]") -> "Callable[..., None]":
    def run(*ears: Any) -> None:
        asyncio.run(act(*ears))

    run.__name__ = act.__name__
    return run


@pytest.mark.parametrize(
    "act",
    [
        on_a_loop(left_at_once),
        on_a_loop(next_sync_call),
        on_a_loop(next_async_call),
        on_a_loop(next_call_of_a_socket),
        on_a_loop(block_of_a_socket),
        block_around_a_loop,
        installed_around_a_loop,
    ],
)
def test_signal_as_a_loop_serves_what_sync_code_tells(
    act: "Callable[..., None]",
) -> None:
    """
    A signal in an async handler, or in what is sent to a page, that sync code has queued
    for its loop comes in a task that nobody awaits: it reaches what is next heard, or the
    block as that is left, and the job does not run on.
    """

    def ring(*_: object) -> None:
        raise Timeout

    signal.signal(AtLook.signum, ring)
    rings = Rings()

    with pytest.raises(Timeout):
        act(rings)

    assert rings.starts == rings.ends
    assert rings.sent or rings.starts


def test_signal_as_a_task_of_ours_begins_and_ends() -> None:
    """
    The same wherever Python looks for one in what serves such a handler, and nobody waits
    for ever for what is queued. Where asyncio has only just called us it logs that.
    """
    act = on_a_loop(called_in_an_async_block)
    rooms = ("_delivery/lanes", "_delivery/serving")
    looks = [it for it in lines_of(act, AsyncEars, Signal) if it.startswith(rooms)]
    looks = [it for it in looks if not it.endswith(("_kick+0", "_stop+0"))]
    logging.disable(logging.ERROR)  # asyncio's

    try:
        found = interrupted_at(dict.fromkeys(looks), act, AsyncEars, Timeout, Signal)
    finally:
        logging.disable(logging.NOTSET)

    assert looks
    assert faults(found) == {}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", [KeyboardInterrupt, Timeout])
@pytest.mark.parametrize("make", OUTPUTS)
def test_signal_at_every_look_of_a_handler_of_ours(
    make: "Callable[[Path], Output]", kind: "type[BaseException]", tmp_path: Path
) -> None:
    """
    The same wherever Python looks for one.
    """
    seen = looks_in(make, tmp_path)

    found = [it for at, it in enumerate(seen) if half_told(make(tmp_path), kind, at)]

    assert found == []
