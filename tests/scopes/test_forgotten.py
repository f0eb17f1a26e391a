"""
What was made, and never used, is said: as of a coroutine that nobody awaits.
"""

import copy
import gc
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from instrument import callbacks, traced
from instrument.testing import Recorder


def said(use: Callable[[], object]) -> list[str]:
    """
    Give the warnings that *use*, and what goes with it, leaves.
    """
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        use()
        gc.collect()
    assert all(it.category is RuntimeWarning for it in caught)
    return [str(it.message) for it in caught]


FORGOTTEN: list[tuple[Callable[[], object], str]] = [
    (
        lambda: callbacks(Recorder(), on_text=print),
        (
            "callbacks(Recorder, builtin_function_or_method) was never entered, installed"
            " or called: nothing is heard by it"
        ),
    ),
    (
        lambda: traced("a block"),
        "traced('a block') was never entered or called: nothing is heard by it",
    ),
    (
        lambda: traced.tool("a", callbacks=[Recorder()]),
        (
            "traced('a', callbacks=[Recorder]) was never entered or called: nothing is"
            " heard by it"
        ),
    ),
    (
        lambda: traced(kind="tool"),
        "traced() was never entered or called: nothing is heard by it",
    ),
]


@pytest.mark.parametrize("make, message", FORGOTTEN)
def test_forgotten(make: Callable[[], object], message: str) -> None:
    """
    A warning names it, and its handlers, when it goes.
    """
    assert said(make) == [message]


def _fails(make: Callable[[], object]) -> None:
    with suppress(TypeError, ValueError):
        make()


def _enters(block: Any) -> None:
    with block:
        pass


def _installs() -> None:
    callbacks(Recorder()).install().uninstall()


USED: dict[str, Callable[[], object]] = {
    "no handler": lambda: callbacks(tags=["t"]),
    "entered": lambda: _enters(callbacks(Recorder())),
    "installed": _installs,
    "called": lambda: callbacks(Recorder())(len),
    "refused": lambda: _fails(lambda: callbacks(Recorder(), 1)),  # type: ignore[arg-type]
    "refused late": lambda: _fails(lambda: callbacks(Recorder(), sample=2)),
    "refused in another": lambda: _fails(lambda: callbacks(callbacks(Recorder()))),  # type: ignore[arg-type]
    "block entered": lambda: _enters(traced("x")),
    "block called": lambda: traced("x")(len),
    "block refused": lambda: _fails(lambda: traced("x", tags="t")),
    "block without a name": lambda: _fails(lambda: _enters(traced())),
    "block that decorates nothing": lambda: _fails(lambda: traced("x")(1)),  # type: ignore[type-var]
}


@pytest.mark.parametrize("use", USED.values(), ids=USED)
def test_not_forgotten(use: Callable[[], object]) -> None:
    """
    What was used, or never came about, or has no handler, is not said.
    """
    assert said(use) == []


def in_block() -> Any:
    """
    Make one.
    """
    return callbacks(Recorder())


def in_traced_block() -> Any:
    """
    Make the other.
    """
    return traced("x")


def unpickled(made: object) -> object:
    """
    Give what comes out of its pickle.
    """
    return pickle.loads(pickle.dumps(made))


@pytest.mark.parametrize("make", [in_block, in_traced_block])
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, unpickled])
def test_copies_are_not_forgotten(
    make: Callable[[], Any], copied: Callable[[Any], object]
) -> None:
    """
    Nor are copies and unpickled ones.
    """
    one = make()

    assert said(lambda: copied(one)) == []

    _enters(one)


def test_nothing_is_said_at_exit() -> None:
    """
    Nor what stands in a module when the interpreter ends.
    """
    code = """if True:
        from instrument import callbacks, traced
        in_module, block = callbacks(print), traced("x")
        def function(default=callbacks(print)): pass
        cycle = [callbacks(print)]
        cycle.append(cycle)
    """
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stderr == ""
