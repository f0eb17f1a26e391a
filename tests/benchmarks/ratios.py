"""
What the library costs, as multiples of a floor written by hand: the limits it keeps.

``python tests/benchmarks/ratios.py [WORD]`` prints them as a Markdown table, all or
those with WORD in their name; it wants a quiet machine for about a minute.
"""

import platform
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

if not __package__:  # run as a script
    sys.path.append(str(Path(__file__).parents[2]))

from instrument import callbacks, traced
from tests.benchmarks import floor
from tests.benchmarks.growth import GROWTH
from tests.benchmarks.measure import Ratio, awaited, cpu_us, in_turn, statement

IDLE_BAR = 1.5
HEARD_BAR = 3.0
TOKEN_BAR = 6.5
SCOPE_BAR = 8.0
IMPORT_BAR = 30 / 13
"""30 ms, on a machine whose bare interpreter starts and ends within 13 ms of CPU."""

_TOKENS = 5_000
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


@traced.llm
def stream(tokens: int) -> Iterator[str]:
    for _ in range(tokens):
        yield "word"


def idle_function() -> Ratio:
    return _idle(traced(add))


def idle_function_after_install() -> Ratio:
    with callbacks(floor.Handler()).install():
        traced(add)(1, 2)
    return _idle(traced(add))


def idle_function_after_callbacks() -> Ratio:
    function: Any = traced(add)
    function(1, 2, callbacks=[floor.Handler()])
    return _idle(function)


def idle_method() -> Ratio:
    return _call(Ours().add, Empty().add, IDLE_BAR, method=True)


def idle_method_of_traced_class() -> Ratio:
    return _call(OursWhole().add, Empty().add, IDLE_BAR, method=True)


def heard_function() -> Ratio:
    with listening():
        return _call(traced(add), floor.heard(add), HEARD_BAR)


def heard_function_in_run() -> Ratio:
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
            return _call(function, floor.heard(add), HEARD_BAR)


def heard_method() -> Ratio:
    with listening():
        return _call(Ours().add, Heard().add, HEARD_BAR, method=True)


def heard_coroutine() -> Ratio:
    with listening():
        return in_turn(
            awaited(traced(aadd)), awaited(floor.aheard(aadd)), bar=HEARD_BAR
        )


def token() -> Ratio:
    def consume() -> None:
        for _ in stream(_TOKENS):
            pass

    with listening():
        return in_turn(
            lambda: cpu_us(consume, _TOKENS),
            statement("token(a, a, 'word')", token=floor.token, a=floor.mint()),
            bar=TOKEN_BAR,
        )


def scope() -> Ratio:
    return in_turn(
        statement("with make(h): pass", make=callbacks, h=floor.Handler()),
        statement("with make(): pass", make=floor.Scope),
        bar=SCOPE_BAR,
    )


def importing() -> Ratio:
    """
    Compare the CPU that `import instrument` adds with that of the bare interpreter.
    """
    _child_cpu_ms("import instrument")  # writes the bytecode
    pairs = []
    for _ in range(_IMPORTS):
        bare_ms = _child_cpu_ms("pass")
        pairs.append((_child_cpu_ms("import instrument") - bare_ms, bare_ms))
    return Ratio(pairs, IMPORT_BAR, "ms")


RATIOS: dict[str, Callable[[], Ratio]] = {
    "idle function": idle_function,
    "idle function, a handler was installed before": idle_function_after_install,
    "idle function, called with `callbacks=` before": idle_function_after_callbacks,
    "idle method": idle_method,
    "idle method of a `@traced` class": idle_method_of_traced_class,
    "function, one handler": heard_function,
    "function in a run, one handler": heard_function_in_run,
    "method, one handler": heard_method,
    "async function, one handler": heard_coroutine,
    "one token of a generator to one handler": token,
    "make, enter and leave `with callbacks(h)`": scope,
    "`import instrument`, of the bare interpreter": importing,
    **GROWTH,
}


@contextmanager
def listening() -> Iterator[None]:
    """
    Open a scope with a no-op handler for ours, and a run for the floor.
    """
    before = floor.CURRENT.set(floor.mint())
    try:
        with callbacks(floor.Handler()):
            yield
    finally:
        floor.CURRENT.reset(before)


def main(word: str = "") -> None:
    """
    Print the rows whose name has *word* in it.
    """
    print(f"Python {platform.python_version()}, {platform.machine()}\n")
    print("| what | ours | floor | ratio | bar | |")
    print("|---|--:|--:|--:|--:|---|")
    for what, measured in RATIOS.items():
        if word in what:
            print(_line(what, measured()), flush=True)


def _line(what: str, row: Ratio) -> str:
    verdict = "ok" if row.is_ok else "**over**"
    return (
        f"| {what} | {row.ours:,.3f} {row.unit} | {row.floor:,.3f} {row.unit}"
        f" | {row.value:.2f} | {row.bar:.2g} | {verdict} |"
    )


def _idle(function: Callable[[int, int], int]) -> Ratio:
    return _call(function, floor.empty(add), IDLE_BAR)


def _call(
    ours: Callable[[int, int], int],
    least: Callable[[int, int], int],
    bar: float,
    *,
    method: bool = False,
) -> Ratio:
    """
    Compare two calls; of methods looking them up on their object counts too.
    """
    code = "it.add(1, 2)" if method else "it(1, 2)"
    pick: Callable[[Any], object] = lambda it: it.__self__ if method else it  # noqa: E731
    return in_turn(
        statement(code, it=pick(ours)), statement(code, it=pick(least)), bar=bar
    )


def _child_cpu_ms(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-I", "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    user_s = after.ru_utime - before.ru_utime
    return (user_s + after.ru_stime - before.ru_stime) * 1e3


if __name__ == "__main__":
    main(*sys.argv[1:2])
