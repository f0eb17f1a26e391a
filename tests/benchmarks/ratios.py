"""
What the library costs, as multiples of a floor written by hand: the limits it keeps.

``python tests/benchmarks/ratios.py [WORD]`` prints them as a Markdown table, all or
those with WORD in their name: CPU time, for which it wants a quiet machine for about a
minute, and instructions, where valgrind is installed.
"""

import platform
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

if not __package__:  # run as a script
    sys.path.append(str(Path(__file__).parents[2]))

from instrument import Handler, callbacks, traced
from tests.benchmarks import floor, instructions
from tests.benchmarks.growth import GROWTH
from tests.benchmarks.measure import Pair, Ratio, Work, awaited, statement

IDLE_BAR = 1.5
HEARD_BAR = 3.0
TOKEN_BAR = 6.5
SCOPE_BAR = 8.0
IMPORT_BAR = 30 / 13
"""30 ms, on a machine whose bare interpreter starts and ends within 13 ms of CPU."""

_WARM_UP = 1_000
_IMPORTS = 15


def add(x: int, y: int) -> int:
    return x + y


async def aadd(x: int, y: int) -> int:
    return x + y


class Empty:
    @floor.empty
    def add(self, x: int, y: int) -> int:
        return x + y


class Heard:
    @floor.heard
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


class Native:
    """
    Hears every event as a record, and does nothing.
    """

    def on_event(self, event: object, **kwargs: object) -> None: ...


@traced.llm
def stream(tokens: int) -> Iterator[str]:
    for _ in range(tokens):
        yield "word"


@traced.llm
async def astream(tokens: int) -> Any:
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
    yield Pair(_method(Ours()), _method(Empty()), IDLE_BAR)


@contextmanager
def idle_method_of_traced_class() -> Iterator[Pair]:
    yield Pair(_method(OursWhole()), _method(Empty()), IDLE_BAR)


@contextmanager
def heard_function() -> Iterator[Pair]:
    with listening():
        yield Pair(_call(traced(add)), _call(floor.heard(add)), HEARD_BAR)


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
            yield Pair(_call(function), _call(floor.heard(add)), HEARD_BAR)


@contextmanager
def heard_method() -> Iterator[Pair]:
    with listening():
        yield Pair(_method(Ours()), _method(Heard()), HEARD_BAR)


@contextmanager
def heard_coroutine() -> Iterator[Pair]:
    with listening():
        yield Pair(awaited(traced(aadd)), awaited(floor.aheard(aadd)), HEARD_BAR)


@contextmanager
def heard_records() -> Iterator[Pair]:
    with listening(Native()):
        yield Pair(_call(traced(add)), _call(floor.heard(add)), HEARD_BAR)


@contextmanager
def token() -> Iterator[Pair]:
    def consume(tokens: int) -> None:
        for _ in stream(tokens):
            pass

    with listening():
        yield Pair(consume, _token(), TOKEN_BAR)


@contextmanager
def async_token() -> Iterator[Pair]:
    async def consume(tokens: int) -> None:
        async for _ in astream(tokens):
            pass

    with listening():
        yield Pair(awaited(consume, whole=True), _token(), TOKEN_BAR)


@contextmanager
def scope() -> Iterator[Pair]:
    yield Pair(
        statement("with make(h): pass", make=callbacks, h=floor.Handler()),
        statement("with make(): pass", make=floor.Scope),
        SCOPE_BAR,
    )


@contextmanager
def scope_with_a_call() -> Iterator[Pair]:
    yield Pair(
        statement(
            "with make(h): f(1, 2)", make=callbacks, h=floor.Handler(), f=traced(add)
        ),
        statement("with make(): f(1, 2)", make=floor.Scope, f=floor.heard(add)),
        SCOPE_BAR,
    )


PAIRS: dict[str, Callable[[], AbstractContextManager[Pair]]] = {
    "idle function": idle_function,
    "idle function, a handler was installed before": idle_function_after_install,
    "idle function, called with `callbacks=` before": idle_function_after_callbacks,
    "idle method": idle_method,
    "idle method of a `@traced` class": idle_method_of_traced_class,
    "function, one handler": heard_function,
    "function in a run, one handler": heard_function_in_run,
    "method, one handler": heard_method,
    "async function, one handler": heard_coroutine,
    "function, one handler of `on_event`": heard_records,
    "one token of a generator to one handler": token,
    "one token of an async generator to one handler": async_token,
    "make, enter and leave `with callbacks(h)`": scope,
    "the same with one call inside": scope_with_a_call,
}


def importing(module: str) -> Ratio:
    """
    Compare the CPU that importing *module* adds with that of the bare interpreter.
    """
    _child_cpu_ms(f"import {module}")  # writes the bytecode
    pairs = []
    for _ in range(_IMPORTS):
        bare_ms = _child_cpu_ms("pass")
        pairs.append((_child_cpu_ms(f"import {module}") - bare_ms, bare_ms))
    return Ratio(pairs, IMPORT_BAR, "ms")


RATIOS: dict[str, Callable[[], Ratio]] = {
    **{what: lambda make=make: _cpu(make) for what, make in PAIRS.items()},  # type: ignore[misc]
    "`import instrument`, of the bare interpreter": lambda: importing("instrument"),
    "`import instrument.auto`, of the bare interpreter": lambda: importing(
        "instrument.auto"
    ),
    **GROWTH,
}


@contextmanager
def listening(handler: Handler = floor.HANDLER) -> Iterator[None]:
    """
    Open a scope with a handler that does nothing for ours, and a run for the floor.
    """
    before = floor.CURRENT.set(floor.mint())
    try:
        with callbacks(handler):
            yield
    finally:
        floor.CURRENT.reset(before)


def main(word: str = "") -> None:
    """
    Print the rows whose name has *word* in it.
    """
    chosen = [what for what in RATIOS if word in what]
    counted = instructions.counted([what for what in chosen if what in PAIRS])
    print(f"Python {platform.python_version()}, {platform.machine()}\n")
    print("| what | ours | floor | ratio | bar | | instructions | floor | ratio |")
    print("|---|--:|--:|--:|--:|---|--:|--:|--:|")
    for what in chosen:
        print(_line(what, RATIOS[what](), counted.get(what)), flush=True)


def _line(what: str, row: Ratio, counted: tuple[float, float] | None) -> str:
    verdict = "ok" if row.is_ok else "**over**"
    line = (
        f"| {what} | {row.ours:,.3f} {row.unit} | {row.floor:,.3f} {row.unit}"
        f" | {row.value:.2f} | {row.bar:.2g} | {verdict} |"
    )
    if counted is None:
        return f"{line} | | |"
    ours, least = counted
    return f"{line} {ours:,.0f} | {least:,.0f} | {ours / least:.2f} |"


def _cpu(make: Callable[[], AbstractContextManager[Pair]]) -> Ratio:
    with make() as pair:
        return pair.cpu()


def _idle(function: Callable[[int, int], int]) -> Pair:
    return Pair(_call(function), _call(floor.empty(add)), IDLE_BAR)


def _call(function: Callable[[int, int], int]) -> Work:
    return statement("it(1, 2)", it=function)


def _method(it: object) -> Work:
    """
    Call `add` of *it*; looking it up counts too.
    """
    return statement("it.add(1, 2)", it=it)


def _token() -> Work:
    return statement("token(a, a, 'word')", token=floor.token, a=floor.mint())


def _child_cpu_ms(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-I", "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    user_s = after.ru_utime - before.ru_utime
    return (user_s + after.ru_stime - before.ru_stime) * 1e3


if __name__ == "__main__":
    main(*sys.argv[1:2])
