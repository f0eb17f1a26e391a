"""
What costs, and how much it may: each limit of the design is a row.
"""

import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import instrument
from instrument import Event, Run, callbacks, traced
from tests.benchmarks import floor
from tests.benchmarks.cold import cold
from tests.benchmarks.growth import GROWTH
from tests.benchmarks.langchain_cost import LANGCHAIN
from tests.benchmarks.measure import (
    Figures,
    Pair,
    Row,
    Side,
    alone,
    awaited,
    statement,
)
from tests.benchmarks.provider_cost import PROVIDER

IDLE_BAR = 1.0
HEARD_BAR = 1.5
MODEL_BAR = 2.5
NAMED_BAR = 1.7
RECORDS_BAR = 3.0
TOKEN_BAR, TOKEN_FUNCTION_BAR, ASYNC_TOKEN_BAR = 1.25, 1.5, 3.0
BLOCK_BAR, BLOCK_WITH_CALL_BAR = 22_000, 90_000
COLD_BAR = 2.0
IMPORT_MS, IMPORT_AUTO_MS = 30, 45
"""On a machine whose bare interpreter starts and ends within 13 ms of CPU."""

_WARM_UP = 1_000
_IMPORTS = 15
_CHECKOUT = str(Path(instrument.__file__).parents[1])
_MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello"},
]


def add(x: int, y: int) -> int:
    return x + y


async def aadd(x: int, y: int) -> int:
    return x + y


class Empty:
    @floor.empty
    def add(self, x: int, y: int) -> int:
        return x + y


class Heard:
    @partial(floor.heard, first=1)
    def add(self, x: int, y: int) -> int:
        return x + y


class Ours:
    @traced
    def add(self, x: int, y: int) -> int:
        return x + y


@traced
class OursWhole:
    @traced
    def add(self, x: int, y: int) -> int:
        return x + y


class Named:
    """
    Names what it takes, and does nothing.
    """

    def on_chain_start(self, serialized: object, inputs: object) -> None: ...

    def on_chain_end(self, outputs: object, *, run: Run) -> None: ...


class Records:
    """
    Hears every event as a record, and does nothing.
    """

    def on_event(self, event: Event, *, run: Run) -> None: ...


class RecordsAndAll:
    """
    The same, with whatever else there is.
    """

    def on_event(self, event: Event, **kwargs: object) -> None: ...


def hear_token(token: str) -> None: ...


@traced.chat_model
def model(messages: list[dict[str, str]]) -> str:
    return "Hello."


def words(tokens: int) -> Iterator[str]:
    for _ in range(tokens):
        yield "word"


async def awords(tokens: int) -> Any:
    for _ in range(tokens):
        yield "word"


@contextmanager
def idle_function() -> Iterator[Pair]:
    yield _idle(traced(add))


@contextmanager
def idle_function_after_install() -> Iterator[Pair]:
    with callbacks(floor.Handler()).install():
        traced(add)(1, 2)
    yield _idle(traced(add))


@contextmanager
def idle_function_after_callbacks() -> Iterator[Pair]:
    function: Any = traced(add)
    function(1, 2, callbacks=[floor.Handler()])
    yield _idle(function)


@contextmanager
def idle_method() -> Iterator[Pair]:
    yield Pair(_method(Ours()), _method(Empty()))


@contextmanager
def idle_method_of_traced_class() -> Iterator[Pair]:
    yield Pair(_method(OursWhole()), _method(Empty()))


@contextmanager
def heard_function(*handlers: Any) -> Iterator[Pair]:
    with listening(*handlers):
        yield Pair(_call(traced(add)), _call(floor.heard(add)))


@contextmanager
def heard_function_in_run() -> Iterator[Pair]:
    """
    Call it inside a run, in a process that has made root runs first.

    CPython lays objects of a class out after the first few dozen; later ones with other
    attributes get a dict each (where that happened: a tenth slower, 270 B more).
    """
    function = traced(add)
    with listening():
        for _ in range(_WARM_UP):
            function(1, 2)
        with traced("outer"):
            yield Pair(_call(function), _call(floor.heard(add)))


@contextmanager
def heard_method() -> Iterator[Pair]:
    with listening():
        yield Pair(_method(Ours()), _method(Heard()))


@contextmanager
def heard_coroutine() -> Iterator[Pair]:
    with listening():
        yield Pair(awaited(traced(aadd)), awaited(floor.aheard(aadd)))


@contextmanager
def heard_model() -> Iterator[Pair]:
    with listening():
        ask = statement("model(messages)", model=model, messages=_MESSAGES)
        yield Pair(ask, _call(floor.heard(add)))


@contextmanager
def token(**named: Any) -> Iterator[Pair]:
    with listening(**named):
        yield Pair(_consumed(traced.llm(words)), _consumed(floor.streamed(words)))


@contextmanager
def async_token() -> Iterator[Pair]:
    with listening():
        yield Pair(_aconsumed(traced.llm(awords)), _aconsumed(floor.astreamed(awords)))


@contextmanager
def block() -> Iterator[Pair]:
    yield Pair(
        statement("with make(h): pass", make=callbacks, h=floor.Handler()),
        statement("with make(): pass", make=floor.Scope),
    )


@contextmanager
def block_with_a_call() -> Iterator[Pair]:
    function = traced(add)
    code = "with make(h): f(1, 2)"
    with in_a_run():
        yield Pair(
            statement(code, make=callbacks, h=floor.Handler(), f=function),
            statement("with make(): f(1, 2)", make=floor.Scope, f=floor.heard(add)),
        )


def cold_function() -> Figures:
    function, least = traced(add), floor.heard(add)
    with listening():
        for _ in range(_WARM_UP):
            function(1, 2)
            least(1, 2)
        return cold(function, least, add)


def importing(code: str) -> Figures:
    """
    Tell the CPU that *code* adds to the bare interpreter's, in milliseconds.
    """
    _child_cpu_ms(code)  # writes the bytecode
    pairs = []
    for _ in range(_IMPORTS):
        bare_ms = _child_cpu_ms("pass")
        pairs.append((_child_cpu_ms(code) - bare_ms, bare_ms))
    return Figures(pairs)


def _import(code: str, bar_ms: float) -> Row:
    return Row(bar_ms, "ms", alone, measure=partial(importing, code))


ROWS: dict[str, Row] = {
    "idle function": Row(IDLE_BAR, pair=idle_function),
    "idle function, a handler was installed before": Row(
        IDLE_BAR, pair=idle_function_after_install
    ),
    "idle function, called with `callbacks=` before": Row(
        IDLE_BAR, pair=idle_function_after_callbacks
    ),
    "idle method": Row(IDLE_BAR, pair=idle_method),
    "idle method of a `@traced` class": Row(IDLE_BAR, pair=idle_method_of_traced_class),
    "function, one handler": Row(HEARD_BAR, pair=heard_function),
    "function in a run, one handler": Row(HEARD_BAR, pair=heard_function_in_run),
    "method, one handler": Row(HEARD_BAR, pair=heard_method),
    "async function, one handler": Row(HEARD_BAR, pair=heard_coroutine),
    "chat model with messages, one handler": Row(MODEL_BAR, pair=heard_model),
    "function, a handler that names what it takes": Row(
        NAMED_BAR, pair=partial(heard_function, Named())
    ),
    "function, a handler of `on_event(event, *, run)`": Row(
        RECORDS_BAR, pair=partial(heard_function, Records())
    ),
    "function, a handler of `on_event(event, **kwargs)`": Row(
        RECORDS_BAR, pair=partial(heard_function, RecordsAndAll())
    ),
    "token of a generator, one handler": Row(TOKEN_BAR, pair=token),
    "token of a generator, `on_llm_new_token=function`": Row(
        TOKEN_FUNCTION_BAR, pair=partial(token, on_llm_new_token=hear_token)
    ),
    "token of an async generator, one handler": Row(ASYNC_TOKEN_BAR, pair=async_token),
    "a block: make, enter and leave `with callbacks(h)`": Row(
        BLOCK_BAR, "instr.", alone, pair=block
    ),
    "a block with one call inside": Row(
        BLOCK_WITH_CALL_BAR, "instr.", alone, pair=block_with_a_call
    ),
    **PROVIDER,
    **LANGCHAIN,
    "cold: function, one handler, other code between calls": Row(
        COLD_BAR, measure=cold_function
    ),
    "`import instrument`": _import("import instrument", IMPORT_MS),
    "`import instrument.auto`": _import("import instrument.auto", IMPORT_AUTO_MS),
    **GROWTH,
}


@contextmanager
def in_a_run() -> Iterator[None]:
    """
    Have the floor's calls be inside a run, or it tells nobody of them.
    """
    before = floor.CURRENT.set(floor.outermost())
    try:
        yield
    finally:
        floor.CURRENT.reset(before)


@contextmanager
def listening(*handlers: Any, **named: Any) -> Iterator[None]:
    """
    Open a scope of ours, with a handler that does nothing if none are given, and a run
    for the floor.
    """
    if not handlers and not named:
        handlers = (floor.HANDLER,)
    with in_a_run(), callbacks(*handlers, **named):
        yield


def _idle(function: Callable[[int, int], int]) -> Pair:
    return Pair(_call(function), _call(floor.empty(add)))


def _call(function: Callable[[int, int], int]) -> Side:
    return statement("it(1, 2)", it=function)


def _method(it: object) -> Side:
    """
    Call `add` of *it*; looking it up counts too.
    """
    return statement("it.add(1, 2)", it=it)


def _consumed(stream: Callable[[int], Iterator[str]]) -> Side:
    def consume(tokens: int) -> None:
        for _ in stream(tokens):
            pass

    return Side(consume)


def _aconsumed(stream: Callable[[int], Any]) -> Side:
    async def consume(tokens: int) -> None:
        async for _ in stream(tokens):
            pass

    return awaited(consume, whole=True)


def _child_cpu_ms(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    path = f"import sys; sys.path.insert(0, {_CHECKOUT!r})"  # -I knows no PYTHONPATH
    subprocess.run([sys.executable, "-I", "-c", f"{path}; {code}"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    user_s = after.ru_utime - before.ru_utime
    return (user_s + after.ru_stime - before.ru_stime) * 1e3
