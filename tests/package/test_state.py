"""
What the package does to the interpreter: nothing when it is imported, and little later.
"""

import gc
import io
import os
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from textwrap import dedent

import pytest

import instrument
from instrument import _state, callbacks, traced
from instrument._scopes.entries import entered_from
from instrument.handlers import TreeHandler, background
from instrument.testing import Recorder

before_3_12 = pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="collections wait for a safe place"
)


def printed(code: str) -> str:
    """
    Run *code* in a process of its own, and give what it prints.
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("module", ["instrument", "instrument.auto"])
def test_import_changes_nothing(module: str) -> None:
    """
    Importing the package changes nothing of signals, collections, hooks, the import
    system or event loops; `instrument.auto` adds nothing but what finds imports.
    """
    code = f"""
        import asyncio, builtins, gc, locale, signal, sys, threading, warnings, wrapt

        def state():
            return {{
                "signals": [signal.getsignal(number) for number in range(1, 32)],
                "collections": (list(gc.callbacks), gc.get_threshold(), gc.isenabled()),
                "hooks": [
                    sys.excepthook, sys.unraisablehook, sys.displayhook,
                    sys.breakpointhook, threading.excepthook, sys.gettrace(),
                    sys.getprofile(), threading.gettrace(), sys.get_asyncgen_hooks(),
                    sys.get_coroutine_origin_tracking_depth(), builtins.__import__,
                    warnings.showwarning, list(warnings.filters),
                ],
                "imports": (list(sys.path_hooks), list(sys.path)),
                "loops": (asyncio.get_event_loop_policy(), asyncio.new_event_loop,
                          asyncio.events._get_running_loop()),
                "interpreter": (sys.getrecursionlimit(), sys.getswitchinterval(),
                                locale.setlocale(locale.LC_ALL), threading.enumerate()),
            }}

        warnings.simplefilter("ignore")
        before, finders = state(), list(sys.meta_path)
        import {module}
        after = state()
        added = [it for it in sys.meta_path if it not in finders]
        assert finders == [it for it in sys.meta_path if it not in added]
        print([name for name in before if before[name] != after[name]], len(added))
    """
    most = 0 if module == "instrument" else 1

    changed, added = printed(code).rsplit(maxsplit=1)

    assert changed == "[]"
    assert int(added) <= most


@before_3_12
def test_no_signal_is_lost() -> None:
    """
    What a signal handler raises during a collection reaches the program, also while
    collections are guarded: what they call runs no line of Python.
    """
    code = """
        import gc, signal
        from instrument import callbacks, traced

        class Node: pass

        with callbacks(lambda event: None):
            pass

        def interrupt(*_): raise KeyboardInterrupt
        signal.signal(signal.SIGALRM, interrupt)
        keep = []
        for _ in range(200_000):
            node = Node(); node.me = node; keep.append(node)
        came = 0
        for _ in range(10):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.01)
                gc.collect()
                while True: pass
            except KeyboardInterrupt: came += 1
        print(came)
    """
    assert printed(code) == "10"


@before_3_12
@pytest.mark.rule(3, "generator")
def test_collection_in_the_middle_of_a_change() -> None:
    """
    A generator of ours that is collected while a variable is set does no harm to the map
    at work there: the interpreter crashed, and handlers went deaf.
    """
    code = """
        import contextvars, gc
        from instrument import callbacks, traced

        variables = [contextvars.ContextVar(f"v{number}") for number in range(60)]

        @traced
        def stream():
            with traced("block"):
                yield 1

        def forgotten():
            made = [stream()]
            next(made[0])
            made.append(made)

        def work():
            for number in range(100):
                for variable in variables:
                    variable.set(number)
                    assert variable.get() == number
                forgotten()

        heard = []
        with callbacks(on_chain_error=lambda: heard.append(1)):
            for threshold in range(1, 60):
                gc.set_threshold(threshold)
                contextvars.copy_context().run(work)
        gc.collect()
        print(len(heard))
    """
    assert printed(code) == str(59 * 100 * 2)


@before_3_12
@pytest.mark.rule(3, "generator")
def test_collection_holds_the_context() -> None:
    """
    Where ``ContextVar.set`` may be interrupted by a collection, the map of variables on
    which it works outlives it, and four more, as one change may be interrupted by some.
    """
    with callbacks(Recorder()) as scope:
        gc.collect()

    (held,) = [each.held for each in gc.callbacks if hasattr(each, "held")]
    assert held[-1][_state.STATE] is scope
    for _ in range(4):
        gc.collect()
    assert all(context.get(_state.STATE) is not scope for context in held)


def test_place_without_a_caller() -> None:
    """
    Where nobody stands that far up the stack, there is no place.
    """
    assert entered_from(100_000) == ()


IMPORTED_MEANWHILE = """if True:
    import sys, threading
    from instrument import callbacks, traced

    begun, may_go_on = threading.Event(), threading.Event()

    class Slow:
        def find_spec(self, name, path=None, target=None):
            if name == "asyncio.exceptions" and not begun.is_set():
                begun.set()
                may_go_on.wait(20)

    sys.meta_path.insert(0, Slow())
    importing = threading.Thread(target=__import__, args=("asyncio",))
    importing.start()
    assert begun.wait(20)
    heard = []
    with callbacks(on_chain_start=lambda run: heard.append(run.name)):
        traced("one")(lambda: None)()
    may_go_on.set()
    importing.join()

    async def two():
        async with callbacks(on_chain_start=lambda run: heard.append(run.name)) as scope:
            traced("two")(lambda: None)()
            return scope.loop is asyncio.get_running_loop()

    import asyncio
    print(asyncio.run(two()), heard)
"""


@pytest.mark.parametrize("module", ["asyncio.exceptions", "asyncio.events"])
def test_asyncio_that_another_thread_imports(module: str) -> None:
    """
    A block is opened, and heard, while another thread is in the midst of its import.
    """
    code = IMPORTED_MEANWHILE.replace('"asyncio.exceptions"', repr(module))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.stderr) == ("True ['one', 'two']\n", "")


def looked_for() -> list[str]:
    """
    Name the modules that our own look for among those that the program has imported.
    """
    found: set[str] = set()
    for source in Path(instrument.__file__).parent.rglob("*.py"):
        text = source.read_text("utf-8")
        found |= set(re.findall(r'sys\.modules(?:\.get\(|\[)"([\w.]+)"', text))
    of_a_framework = {"litellm", "langchain_core.runnables.config"}
    return sorted(found - of_a_framework - {"_signal", "asyncio.tasks"})


@pytest.mark.parametrize("name", looked_for())
def test_module_that_another_thread_is_importing(
    name: str, monkeypatch: pytest.MonkeyPatch, reports: list[str]
) -> None:
    """
    Calls go on, and are heard, while a module is there of which nothing is made yet.
    """

    class LeftError(BaseException):
        pass

    def stream(prompt: str) -> Iterator[str]:
        yield "a"
        yield "b"

    def raises(error: BaseException) -> None:
        raise error

    heard = Recorder()
    shown: list[str] = []
    worker = background(lambda event: shown.append(event.to_json()))
    tree = TreeHandler(file=io.StringIO())
    monkeypatch.setitem(sys.modules, name, types.ModuleType(name))

    with callbacks(heard, tree, worker, redact=["password"]):
        traced(lambda password: [password, date(2026, 1, 2), (1,)])("x")
        next(traced.llm(stream)("p"))
        for error in (LookupError(), LeftError(), GeneratorExit()):
            with pytest.raises(type(error)):
                traced(raises)(error)
    monkeypatch.undo()

    statuses = ["ok", "abandoned", "error", "error", "abandoned"]
    assert [run.status for run in heard.runs] == statuses
    assert heard.runs[0].inputs == {"password": "[redacted]"}
    assert len(shown) == len(heard.events)
    assert reports == []


def test_handler_that_is_imported_beside_typing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    A handler comes whole while another thread is in the midst of the import of `typing`,
    of which `dataclasses` takes what it finds.
    """
    code = """
        import sys, threading
        import instrument.handlers

        begun, is_done = threading.Event(), threading.Event()

        def slowly(event, args):
            if event == "import" and args[0] == "_typing":
                begun.set()
                is_done.wait(0.5)

        assert "typing" not in sys.modules
        sys.addaudithook(slowly)
        importing = threading.Thread(target=__import__, args=("typing",))
        importing.start()
        assert begun.wait(20)
        from instrument.handlers import tail
        is_done.set()
        importing.join()
        print(tail.__name__)
    """
    for name in [it for it in os.environ if "COVERAGE" in it]:
        monkeypatch.delenv(name)  # what measures it has loaded `typing`

    assert printed(code) == "tail"
