"""
``auto.watch``: the runs of functions that stay as they are.
"""

import asyncio
import contextvars
import gc
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from importlib import import_module, invalidate_caches, reload
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from instrument import BaseCallbackHandler, auto, callbacks, current_run, traced
from instrument._hearing.functions import maker
from instrument._hearing.sys_monitoring import LOCK
from instrument._hearing.targets import Targets
from instrument._hearing.watches import HeardCall, Watch
from instrument.testing import Recorder

if sys.version_info < (3, 12):
    pytest.skip("sys.monitoring needs Python 3.12", allow_module_level=True)

pytestmark = pytest.mark.anyio

MODULE = """
import asyncio
from functools import lru_cache, wraps
from typing import Annotated

def add(x, y=2, /, *more, z=3, **named):
    return x + y

def count(n):
    for number in range(n):
        got = yield number
        seen.append(got)
    return "done"

def guarded(n):
    try:
        yield from range(n) if isinstance(n, int) else n
    finally:
        seen.append("closed")

async def wait(x):
    await asyncio.sleep(0)
    return x

async def acount(n):
    for number in range(n):
        await asyncio.sleep(0)
        yield number

def fail(exc):
    raise exc

def fall(n):
    return fall(n - 1) if n else fail(KeyError("deep"))

def caught(exc):
    try:
        fail(exc)
    except type(exc):
        return "caught"

def decorated(function):
    @wraps(function)
    def wrapper(*args):
        return function(*args)
    return wrapper

@decorated
def inner(x):
    return x

class Tool:
    def call(self, query):
        return query.upper()

    @classmethod
    def make(cls, query):
        return cls().call(query)

    @staticmethod
    def plain(query):
        return query

    @property
    def size(self):
        return 1

class Child(Tool):
    pass

class Held:
    def count(self):
        yield 0

    async def wait(self):
        await asyncio.sleep(0)

def outer(x):
    return add(x)

def call(function, *args):
    return function(*args)

seen = []
"""


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Let coverage see callbacks: the interpreter hides what they run from tracers.
    """
    register = sys.monitoring.register_callback

    def register_through(tool: int, event: int, callback: Any) -> Any:
        if callback is None:
            return register(tool, event, None)
        return register(tool, event, lambda *args: sys.call_tracing(callback, args))

    monkeypatch.setattr(sys.monitoring, "register_callback", register_through)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """
    Give a module of somebody else's; nothing is watched afterwards.
    """
    auto.uninstall()  # of what tests of SDKs have imported
    (tmp_path / "others.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    invalidate_caches()
    yield import_module("others")
    for path in list(auto._targets):
        auto.unwatch(path)
    del sys.modules["others"]
    assert sys.monitoring.get_tool(3) is None
    assert sys.monitoring.get_tool(4) is None


@pytest.fixture
def recorder() -> Recorder:
    """
    Give what keeps the runs.
    """
    return Recorder()


def found() -> Any:
    """
    Give what hears in this process.
    """
    from instrument._hearing import sys_monitoring as _monitoring

    return _monitoring._found()


def watched(*names: str, **options: Any) -> None:
    """
    Watch functions of the module.
    """
    for name in names:
        auto.watch(f"others:{name}", **options)


def test_function(module: Any, recorder: Recorder) -> None:
    """
    A call is a run with the arguments by name, and what it returned.
    """
    watched("add", kind="tool")

    with callbacks(recorder):
        module.add(1, 2, 3, z=4, w=5)

    (run,) = recorder.runs
    assert recorder.tree() == "tool add: ok"
    assert run.inputs == {"x": 1, "y": 2, "more": (3,), "z": 4, "named": {"w": 5}}
    assert run.outputs == 3


def test_options(module: Any, recorder: Recorder) -> None:
    """
    The options are those of ``traced``; a second call replaces them.
    """
    watched("add", name="old")
    watched("add", name="sum", tags=["t"], metadata={"k": 1}, outputs=str)

    with callbacks(recorder):
        module.add(1)

    (run,) = recorder.runs
    assert (run.name, run.kind, run.tags) == ("sum", "chain", ("t",))
    assert (run.metadata, run.outputs) == ({"k": 1}, "3")


def test_nobody_listens(module: Any, recorder: Recorder) -> None:
    """
    A call that nobody hears is no run, nor are those of functions not watched.
    """
    watched("add")

    assert module.add(1) == 3
    with callbacks(recorder):
        module.wait(1).close()

    assert recorder.runs == []


def test_run_is_current_in_the_body(module: Any, recorder: Recorder) -> None:
    """
    What a watched function calls is its child; after it the caller's run is in hand.
    """
    watched("outer", "add")

    with callbacks(recorder), traced("mine") as run:
        module.outer(1)
        assert current_run() is run

    assert recorder.tree() == "chain mine: ok\n  chain outer: ok\n    chain add: ok"


def test_generator(module: Any, recorder: Recorder) -> None:
    """
    A generator's run ends with it; its consumer is in a state of its own.
    """
    watched("count", "add")

    with callbacks(recorder):
        items = []
        for item in module.count(2):
            assert not current_run()
            module.add(item)
            items.append(item)

    assert items == [0, 1]
    assert recorder.tree() == "chain count: ok\nchain add: ok\nchain add: ok"
    assert recorder.runs[0].outputs == [0, 1]


@pytest.mark.parametrize(
    "name, leave", [("count", "exhaust"), ("guarded", "exhaust"), ("guarded", "close")]
)
def test_end_of_a_generator_drops_nothing_by_python(
    module: Any, recorder: Recorder, name: str, leave: str
) -> None:
    """
    What is kept of a frame goes without code of ours once that has told its end, as one
    without ``try`` that is closed does not: an interrupt there Python gives to nobody.
    """
    watched(name)
    dropped: list[str] = []

    def see(frame: Any, event: str, arg: object) -> None:
        if event == "call" and frame.f_code.co_name == "__del__":
            dropped.append(frame.f_globals["__name__"])

    with callbacks(recorder):
        numbers = getattr(module, name)(3)
        sys.setprofile(see)
        try:
            next(numbers)
            if leave == "close":
                numbers.close()
            else:
                list(numbers)
            del numbers
        finally:
            sys.setprofile(None)

    assert recorder.runs[0].status == ("abandoned" if leave == "close" else "ok")
    assert dropped == []


def test_generator_is_sent_values(module: Any, recorder: Recorder) -> None:
    """
    ``send``, ``throw`` and the return value are as without.
    """
    watched("count")

    with callbacks(recorder):
        numbers = module.count(2)
        next(numbers)
        numbers.send("x")
        with pytest.raises(StopIteration) as stop:
            next(numbers)
        other = module.count(2)
        next(other)
        with pytest.raises(KeyError):
            other.throw(KeyError("thrown"))

    assert (stop.value.value, module.seen) == ("done", ["x", None])
    assert recorder.tree() == "chain count: ok\nchain count: error KeyError"


@pytest.mark.parametrize("name", ["count", "guarded"])
@pytest.mark.parametrize("leave", ["close", "drop"])
def test_generator_that_is_left(
    module: Any, recorder: Recorder, name: str, leave: str
) -> None:
    """
    A generator that is closed or dropped ends as abandoned, with what it yielded.
    """
    watched(name)

    with callbacks(recorder):
        numbers = getattr(module, name)(3)
        next(numbers)
        if leave == "close":
            numbers.close()
        del numbers
        gc.collect()

        (run,) = recorder.runs
        assert (run.status, run.outputs) == ("abandoned", [0])
        assert not current_run()


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("name", ["Held.count", "Held.wait"])
def test_body_that_its_object_holds(module: Any, name: str) -> None:
    """
    A method's generator or coroutine that its object holds goes with that, as it would
    without us, and its run ends.
    """
    told: list[object] = []
    watched(name)

    with callbacks(on_chain_error=lambda exc, **_: told.append(type(exc))):
        held = module.Held()
        held.body = getattr(held, name.removeprefix("Held."))()
        contextvars.copy_context().run(held.body.send, None)
        gone = weakref.ref(held)
        del held
        gc.collect()

    assert gone() is None
    assert told == [GeneratorExit]


def test_generator_that_is_never_stepped(module: Any, recorder: Recorder) -> None:
    """
    A generator that nobody steps is no run.
    """
    watched("count")

    with callbacks(recorder):
        module.count(3)

    assert recorder.runs == []


def test_generator_that_nobody_hears(module: Any, recorder: Recorder) -> None:
    """
    A generator that nobody hears is no run, beside one that is heard.
    """
    watched("count")
    unheard = module.count(2)
    assert next(unheard) == 0

    with callbacks(recorder):
        heard = module.count(2)
        assert next(heard) == 0
        assert list(unheard) == [1]
        assert list(heard) == [1]

    assert recorder.tree() == "chain count: ok"
    assert recorder.runs[0].outputs == [0, 1]


def test_generator_under_a_debugger(module: Any, recorder: Recorder) -> None:
    """
    A debugger's own trace function in a frame does not end its run.
    """
    watched("count")

    def trace(frame: Any, event: str, arg: Any) -> Any:
        return trace

    before = sys.gettrace()
    with callbacks(recorder):
        sys.settrace(trace)
        try:
            list(module.count(2))
            numbers = module.count(2)
            next(numbers)
            next(numbers)
            list(numbers)
        finally:
            sys.settrace(before)

    assert recorder.tree() == "chain count: ok\nchain count: ok"


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_coroutines_at_once(module: Any, recorder: Recorder) -> None:
    """
    Coroutines that run at the same time have a run each, under their own parents.
    """
    from anyio import create_task_group

    module.asyncio.sleep = _checkpoint
    watched("wait")

    async def one(number: int) -> None:
        async with traced(f"task {number}"):
            await module.wait(number)

    with callbacks(recorder):
        async with create_task_group() as group:
            for number in range(5):
                group.start_soon(one, number)

    assert len(recorder.find("wait")) == 5
    for run in recorder.find("wait"):
        (parent,) = [it for it in recorder.runs if it.id == run.parent_id]
        assert parent.name == f"task {run.outputs}"


async def _checkpoint(delay: float) -> None:
    from anyio.lowlevel import checkpoint

    await checkpoint()


@pytest.fixture(autouse=True)
def sleep() -> Iterator[None]:
    """
    Put back what a test took away.
    """
    real = asyncio.sleep
    yield
    asyncio.sleep = real


async def test_async_generator(module: Any, recorder: Recorder) -> None:
    """
    An async generator's items are what it yields, not what it awaits.
    """
    watched("acount")

    with callbacks(recorder):
        async for _ in module.acount(2):
            assert not current_run()
        left = module.acount(2)
        await anext(left)
        await left.aclose()

    assert [run.outputs for run in recorder.runs] == [[0, 1], [0]]
    assert recorder.tree() == "chain acount: ok\nchain acount: abandoned"


async def test_cancellation(module: Any, recorder: Recorder) -> None:
    """
    A cancelled task's run ends as cancelled.
    """
    watched("wait")

    with callbacks(recorder):
        task = asyncio.create_task(module.wait(1))
        await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    assert recorder.tree() == "chain wait: cancelled"


def test_coroutine_that_is_dropped(module: Any, recorder: Recorder) -> None:
    """
    A coroutine that takes no more step ends as abandoned.
    """
    watched("wait")

    with callbacks(recorder):
        coroutine = module.wait(1)
        coroutine.send(None)
        del coroutine
        gc.collect()

    assert recorder.tree() == "chain wait: abandoned"


def test_exception(module: Any, recorder: Recorder) -> None:
    """
    What is raised reaches the caller as it is, its traceback no longer than before.
    """
    watched("fail")
    error = KeyError("x")

    with callbacks(recorder), pytest.raises(KeyError) as raised:
        module.fail(error)

    assert raised.value is error
    assert [it.name for it in raised.traceback] == [
        "test_exception",
        "fail",
    ]
    assert recorder.tree() == "chain fail: error KeyError"
    assert recorder.runs[0].error is error


def test_exception_through_many_frames(module: Any, recorder: Recorder) -> None:
    """
    Each level of a recursion ends with what crosses it; one is where it came from.
    """
    watched("fall", "fail")

    with callbacks(recorder), pytest.raises(KeyError):
        module.fall(3)

    assert [run.depth for run in recorder.runs] == [0, 1, 2, 3, 4]
    assert [run.status for run in recorder.runs] == ["error"] * 5
    assert sum(run.error_origin for run in recorder.runs) == 1


def test_exception_that_is_caught(module: Any, recorder: Recorder) -> None:
    """
    Who catches in its body what it called returns as usual.
    """
    watched("caught", "fail")

    with callbacks(recorder):
        assert module.caught(KeyError()) == "caught"

    assert recorder.tree() == "chain caught: ok\n  chain fail: error KeyError"


def test_exceptions_elsewhere(module: Any, recorder: Recorder) -> None:
    """
    Unwinding is heard while a call is open, and a thousand times after that.
    """
    watched("add")
    with callbacks(recorder):
        module.add(1)
    for _ in range(1_000):
        with suppress(KeyError):
            module.fail(KeyError())
    heard_after_call = sys.monitoring.get_events(3)

    with suppress(KeyError):
        module.fail(KeyError())

    assert heard_after_call != 0
    assert sys.monitoring.get_events(3) == 0


def test_thread_that_opens_a_call_meanwhile(module: Any, recorder: Recorder) -> None:
    """
    Unwinding that is switched off while another thread's call begins is on again.
    """
    watched("fail", "call")
    monitor = found()

    with callbacks(recorder), suppress(KeyError):
        module.call(lambda: (monitor._rest(), module.fail(KeyError())))

    assert recorder.tree() == "chain call: error KeyError\n  chain fail: error KeyError"


def test_thread_that_switches_unwinding_on_meanwhile(
    module: Any, recorder: Recorder
) -> None:
    """
    Unwinding that two threads switch on, as their calls begin at once, is heard once.
    """
    from instrument._hearing import sys_monitoring as _monitoring

    watched("fail", "call")
    monitor = _monitoring._found()
    assert monitor is not None

    with callbacks(recorder), suppress(KeyError):
        module.call(lambda: (monitor._hear_unwinding(), module.fail(KeyError())))

    assert recorder.tree() == "chain call: error KeyError\n  chain fail: error KeyError"


def test_unwinding_that_is_switched_off_already(
    module: Any, recorder: Recorder
) -> None:
    """
    Nothing is switched for nothing, nor when the tool id has been given back.
    """
    watched("add")
    monitor = found()
    monitor._rest()
    assert sys.monitoring.get_events(3) == 0

    with callbacks(recorder):
        module.add(1)
    auto.unwatch("others:add")
    monitor._rest()

    assert sys.monitoring.get_tool(3) is None


def test_frame_that_is_left_twice(module: Any) -> None:
    """
    A frame is anchored once, and what is not open cannot go.
    """
    from instrument._hearing.frames import Anchor, Armed, Open

    watched("add")
    monitor = found()
    frame = sys._getframe()
    opened = monitor._open[id(frame)] = Open(Armed(frame.f_code))
    opened.frame = frame

    monitor._on_yield(frame.f_code, 0, None)
    anchor = frame.f_trace
    monitor._on_yield(frame.f_code, 0, None)

    assert frame.f_trace is anchor
    assert isinstance(anchor, Anchor)
    del monitor._open[id(frame)]
    frame.f_trace = None
    monitor.dropped(anchor)


def test_anchor_that_is_lost(module: Any) -> None:
    """
    A frame whose anchor a debugger has replaced stays open while it runs; one that has
    gone with its anchor ends.
    """
    from instrument._hearing.frames import Anchor, Armed, Open

    class Told(HeardCall):
        def raised(self, exc: BaseException) -> None:
            told.append(type(exc))

    watched("add")
    monitor = found()
    told: list[object] = []
    frame = sys._getframe()
    opened = Open(Armed(frame.f_code))
    opened.calls = (Told(),)
    for key in (id(frame), 0):
        monitor._open[key] = opened
        monitor.dropped(Anchor(key, opened, None, monitor.dropped))

    assert told == [GeneratorExit]
    assert list(monitor._open) == [id(frame)]
    del monitor._open[id(frame)]


def test_anchor_that_is_interrupted(module: Any) -> None:
    """
    An interrupt in the midst of what ends a frame that has gone leaves nothing open.
    """
    from instrument._hearing.frames import Anchor, Armed, Open

    class Told(HeardCall):
        def raised(self, exc: BaseException) -> None:
            told.append(type(exc))
            if len(told) == 1:
                raise KeyboardInterrupt

    watched("add")
    monitor = found()
    told: list[object] = []
    opened = monitor._open[0] = Open(Armed(sys._getframe().f_code))
    opened.calls = (Told(),)
    anchor = Anchor(0, opened, None, monitor.dropped)

    with pytest.raises(KeyboardInterrupt):
        anchor.__del__()

    assert 0 not in monitor._open
    assert told[0] is GeneratorExit


def test_frame_with_the_id_of_another(module: Any) -> None:
    """
    What was open of a frame is not taken for that of one that has its id by now: a
    call of another thread, with other handlers.
    """
    from instrument._hearing.frames import Anchor, Armed, Open

    watched("add")
    monitor = found()
    frame = sys._getframe()
    code = frame.f_code
    monitor._armed[code.co_qualname] = (Armed(code),)
    opened = monitor._open[id(frame)] = Open(Armed(code))
    opened.calls = (HeardCall(),)

    monitor._on_yield(code, 0, None)
    monitor._on_resume(code, 0)
    monitor._on_return(code, 0, None)

    del monitor._armed[code.co_qualname]
    assert monitor._open.pop(id(frame)) is opened
    assert not isinstance(frame.f_trace, Anchor)


@pytest.mark.parametrize(
    "name, call, shown",
    [
        ("Tool.call", lambda m: m.Tool().call("a"), "Tool.call"),
        ("Child.call", lambda m: m.Child().call("a"), "Tool.call"),
        ("Tool.make", lambda m: m.Tool.make("a"), "Tool.make"),
        ("Tool.plain", lambda m: m.Tool.plain("a"), "Tool.plain"),
        ("Tool.size", lambda m: m.Tool().size, "Tool.size"),
        ("inner", lambda m: m.inner("a"), "inner"),
    ],
)
def test_methods(
    module: Any,
    recorder: Recorder,
    name: str,
    call: Callable[[Any], object],
    shown: str,
) -> None:
    """
    Methods of each sort are heard, under what decorates them; ``self`` is no input.
    """
    watched(name)

    with callbacks(recorder):
        call(module)

    (run,) = recorder.runs
    assert run.name == shown
    assert run.inputs in ({"query": "a"}, {"x": "a"}, {})


def test_no_attribute_changes(module: Any, recorder: Recorder) -> None:
    """
    Nothing of the module is replaced, while it is watched and after.
    """
    before = {name: id(value) for name, value in vars(module).items()}
    methods = dict(vars(module.Tool))

    watched("add", "Tool.call", "Tool.make")
    during = {name: id(value) for name, value in vars(module).items()}
    auto.unwatch("others:add")

    assert during == before
    assert dict(vars(module.Tool)) == methods


def test_unwatch(module: Any, recorder: Recorder) -> None:
    """
    What is watched no more is not heard; the tool id is given back with the last.
    """
    watched("add", "outer")

    auto.unwatch("others:add")
    with callbacks(recorder):
        module.outer(1)
    still_taken = sys.monitoring.get_tool(3)
    auto.unwatch("others:outer")
    auto.unwatch("others:outer")

    assert recorder.tree() == "chain outer: ok"
    assert (still_taken, sys.monitoring.get_tool(3)) == ("instrument", None)


def test_unwatch_while_calls_run(module: Any, recorder: Recorder) -> None:
    """
    A call that has begun is heard to its end, and the tool id given back then.
    """
    watched("count", "call")

    with callbacks(recorder):
        numbers = module.count(2)
        next(numbers)
        module.call(auto.unwatch, "others:call")
        auto.unwatch("others:count")
        meanwhile = sys.monitoring.get_tool(3)
        list(numbers)
        list(module.count(1))

    assert meanwhile == "instrument"
    assert sys.monitoring.get_tool(3) is None
    assert recorder.tree() == "chain count: ok\nchain call: ok"


def test_collected_while_unwatched(
    module: Any, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The collector may end the last call of a function in the midst of `unwatch`.
    """
    watched("count")
    monitor = found()
    ask = monitor._found

    def collected(code: Any) -> Any:
        armed = ask(code)
        if armed is not None and not armed.watches:
            numbers.clear()
        return armed

    with callbacks(recorder):
        numbers = [module.count(3)]
        next(numbers[0])
        monkeypatch.setattr(monitor, "_found", collected)
        auto.unwatch("others:count")

    assert recorder.tree() == "chain count: abandoned"
    assert sys.monitoring.get_tool(3) is None


def test_module_imported_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorder: Recorder
) -> None:
    """
    A function is heard from its module's import on; ``status`` tells.
    """
    (tmp_path / "later.py").write_text("def f(): ...\ndef g(): ...")
    monkeypatch.syspath_prepend(tmp_path)

    def told() -> list[str]:
        return [repr(it) for it in auto.status() if it.framework.startswith("later")]

    auto.watch("later:f", kind="tool")
    auto.watch("later:gone")
    auto.watch("later:g")
    auto.unwatch("later:g")
    before = told()
    module = import_module("later")
    after = told()
    with callbacks(recorder):
        module.f()
        module.g()
    for name in ("f", "gone"):
        auto.unwatch(f"later:{name}")
    del sys.modules["later"]

    assert before == [
        "<later:f -: nothing: later has not been imported yet>",
        "<later:gone -: nothing: later has not been imported yet>",
    ]
    assert after[0] == "<later:f -: tool>"
    assert "there is no 'later:gone': later has no 'gone'" in after[1]
    assert recorder.tree() == "tool f: ok"


def test_module_that_another_thread_is_importing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorder: Recorder
) -> None:
    """
    Where another thread is at the import of its module, a function is watched when that
    is done, by `auto.watch` and by an adapter alike.
    """
    begun, may_go_on = threading.Event(), threading.Event()
    source = "begun.set()\nassert may_go_on.wait(20)\ndef f(): ...\ndef g(): ..."
    (tmp_path / "slowly.py").write_text(f"from events import *\n{source}")
    monkeypatch.syspath_prepend(tmp_path)
    events = SimpleNamespace(begun=begun, may_go_on=may_go_on)
    monkeypatch.setitem(sys.modules, "events", events)
    adapter = Targets({"slowly:g": maker("slowly:g", {"kind": "tool"})})

    def installed() -> None:
        adapter.load()
        adapter.install()

    with ThreadPoolExecutor(3) as pool:
        importing = pool.submit(import_module, "slowly")
        assert begun.wait(20)
        watching = [pool.submit(auto.watch, "slowly:f"), pool.submit(installed)]
        wait(watching, 0.1)  # it is not done before
        may_go_on.set()
        module, _, _ = importing.result(), *(it.result() for it in watching)
    with callbacks(recorder):
        module.f()
        module.g()
    auto.unwatch("slowly:f")
    adapter.uninstall()
    del sys.modules["slowly"]

    assert recorder.tree() == "chain f: ok\ntool g: ok"


def test_module_that_is_reloaded(module: Any, recorder: Recorder) -> None:
    """
    A function of a module that is reloaded is heard on; once it is not watched, no more.
    """
    watched("add")

    with callbacks(recorder):
        reload(module).add(1)
        auto.unwatch("others:add")
        reload(module).add(2)

    assert [run.inputs["x"] for run in recorder.runs] == [1]


def test_watch_that_fails_leaves_nothing(module: Any) -> None:
    """
    What cannot be watched is not awaited either.
    """
    before = list(sys.meta_path)

    with pytest.raises(AttributeError, match="others:gone"):
        auto.watch("others:gone")

    assert sys.meta_path == before


def test_package_that_is_not_there(reports: list[str]) -> None:
    """
    What waits for a package that is not installed is told at once.
    """
    auto.watch("nosuch.module:f")
    auto.unwatch("nosuch.module:f")

    (said,) = reports
    assert "auto.watch('nosuch.module:f'): no package 'nosuch' is installed" in said


@pytest.mark.parametrize(
    "path, error, told",
    [
        ("others", ValueError, "not 'others'"),
        ("others:", ValueError, "package.module:function"),
        ("others:a b", ValueError, "'others:a b'"),
        (len, TypeError, "built-in function len"),
        ("others:nothing", AttributeError, "others has no 'nothing'"),
        ("others:Tool.nothing", AttributeError, "Tool has no 'nothing'"),
        ("math:sqrt", TypeError, "Decorate a function of yours that calls it: @traced"),
        ("others:Tool", TypeError, "no function written in Python"),
    ],
)
def test_bad_paths(module: Any, path: Any, error: type[Exception], told: str) -> None:
    """
    What cannot be watched is said at once, with the cure.
    """
    import_module("math")

    with pytest.raises(error, match=told.replace(".", r"\.")):
        auto.watch(path)


def test_bad_options(module: Any) -> None:
    """
    An option that ``traced`` does not have is refused.
    """
    with pytest.raises(TypeError, match="Did you mean 'tags'"):
        auto.watch("others:add", tag=["x"])


def test_code_inside_a_function(module: Any) -> None:
    """
    A function inside another is found by its name; one that is not there is said so.
    """
    from instrument._hearing.targets import Target, code_of, found

    wrapper = found(module, "decorated>wrapper")

    assert code_of(wrapper, "decorated>wrapper", "").co_name == "wrapper"
    with pytest.raises(AttributeError, match="others:decorated>other"):
        Target("others:decorated>other", lambda _: None).switch_on()


class Refusing(BaseCallbackHandler):
    """
    Raises at some events, and means it.
    """

    raise_error = True

    def __init__(self, *events: str) -> None:
        for event in events:
            setattr(self, event, self._refuse)

    def _refuse(self, *args: Any, **kwargs: Any) -> None:
        raise PermissionError("refused")


def test_handler_that_refuses_the_start(module: Any, recorder: Recorder) -> None:
    """
    A handler with ``raise_error`` that fails at the start stops the call.
    """
    watched("count", "call")
    done: list[int] = []

    with callbacks(recorder, Refusing("on_chain_start")):
        with pytest.raises(PermissionError):
            module.call(done.append, 1)
        with pytest.raises(PermissionError):
            list(module.count(2))
        assert not current_run()

    assert done == []
    assert [run.status for run in recorder.runs] == ["error", "error"]


def divided(payload: object) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("event", ["on_chain_start", "on_chain_end", "on_chain_error"])
@pytest.mark.parametrize(
    "use",
    [
        lambda module, payload: module.call(id, payload),
        lambda module, payload: list(module.guarded([payload])),
        lambda module, payload: module.call(divided, payload),
    ],
    ids=["whole", "generator", "fails"],
)
def test_payload_of_a_refused_call(
    module: Any, event: str, use: Callable[[Any, object], object]
) -> None:
    """
    What a refused call was given goes with what is raised, with the collector off.
    """
    watched("call", "guarded")
    payload = module.Tool()
    alive = weakref.ref(payload)

    gc.disable()
    try:
        with callbacks(Refusing(event)), suppress(PermissionError, ZeroDivisionError):
            use(module, payload)
        del payload
        assert alive() is None
    finally:
        gc.enable()


def test_handler_that_refuses_the_end(module: Any, recorder: Recorder) -> None:
    """
    One that fails at the end discards the result.
    """
    watched("add", "count")

    with callbacks(recorder, Refusing("on_chain_end")):
        with pytest.raises(PermissionError):
            module.add(1)
        with pytest.raises(PermissionError):
            list(module.count(2))
        assert not current_run()

    assert recorder.tree() == "chain add: ok\nchain count: ok"


def test_handler_that_refuses_an_error(module: Any, recorder: Recorder) -> None:
    """
    One that fails at an error replaces it, with the original as context.
    """
    watched("fail")

    with (
        callbacks(recorder, Refusing("on_chain_error")),
        pytest.raises(PermissionError) as raised,
    ):
        module.fail(KeyError("first"))

    assert isinstance(raised.value.__context__, KeyError)


def test_handler_that_refuses_a_token(module: Any, recorder: Recorder) -> None:
    """
    One that fails at a token raises it in the body, which is closed.
    """
    watched("guarded", kind="llm", token=str)

    with (
        callbacks(recorder, Refusing("on_llm_new_token")),
        pytest.raises(PermissionError),
    ):
        list(module.guarded(3))

    assert module.seen == ["closed"]
    assert recorder.tree() == "llm guarded: error PermissionError"


def test_function_that_is_needed_later(module: Any, recorder: Recorder) -> None:
    """
    What is not needed yet is found, but heard from when it is; to ask twice is once.
    """
    from instrument._hearing.functions import maker
    from instrument._hearing.targets import Target

    target = Target("others:add", maker("others:add", {}), is_needed=False)
    target.need()  # it has not been found
    later = Target("others:add", maker("others:add", {}), is_needed=False)
    later.switch_on()
    with callbacks(recorder):
        module.add(1)
        later.need()
        later.switch_on()
        module.add(2)
    later.switch_off()

    assert [run.inputs["x"] for run in recorder.runs] == [2]


@pytest.mark.parametrize("is_needed", [True, False])
def test_switched_off_by_another_thread(
    module: Any, monkeypatch: pytest.MonkeyPatch, *, is_needed: bool
) -> None:
    """
    What is switched off while it is being switched on, or needed, is not heard.
    """
    from instrument._hearing import targets
    from instrument._hearing.functions import maker

    target = targets.Target("others:add", maker("others:add", {}), is_needed=is_needed)
    arm = targets.arm

    def arm_slowly(*what: Any) -> None:
        thread = threading.Thread(target=target.switch_off)
        thread.start()
        thread.join()
        arm(*what)

    monkeypatch.setattr(targets, "arm", arm_slowly)
    target.switch_on()
    target.need()

    assert sys.monitoring.get_tool(3) is None


def test_switched_off_while_it_is_found(module: Any, recorder: Recorder) -> None:
    """
    What is switched off while it is being found is heard once it is switched on again.
    """
    from instrument._hearing.functions import maker
    from instrument._hearing.targets import Target

    make = maker("others:add", {})
    found = []

    def watching(function: Any) -> Any:
        found.append(function)
        if len(found) == 1:
            target.switch_off()
        return make(function)

    target = Target("others:add", watching)
    target.switch_on()
    assert sys.monitoring.get_tool(3) is None

    target.switch_on()
    with callbacks(recorder):
        module.add(1)
    target.switch_off()

    assert recorder.tree() == "chain add: ok"


def test_imported_behind_being_switched_off(module: Any) -> None:
    """
    What is imported just as it has been switched off is not heard.
    """
    from instrument._hearing.targets import Target

    target = Target("others:add", maker("others:add", {}))

    target._imported(module)

    assert sys.monitoring.get_tool(3) is None


def test_stream_that_is_interrupted_at_its_first_step() -> None:
    """
    An interrupt as it is looked for whose stream is read, which is nobody's, goes on.
    """
    from instrument._hearing.monitored.streams import StreamWatch

    asked: list[object] = []

    def key(frame: object) -> object:
        asked.append(frame)
        if len(asked) == 1:
            raise KeyboardInterrupt
        return frame

    with pytest.raises(KeyboardInterrupt):
        StreamWatch(key).called(sys._getframe())

    assert len(asked) == 2


def test_method_that_nobody_hears() -> None:
    """
    A call of a method at which nobody listens by then is no run.
    """
    from instrument._hearing.monitored.methods import MethodWatch
    from instrument._hearing.operations import Operation

    def chat(self: object, model: str = "m") -> None: ...

    watch = MethodWatch("nobody", Operation("chat_model", "chat", "model"), chat)
    heard: Any = SimpleNamespace(f_locals={"self": None, "model": "m"})

    assert watch.called(heard) is None


def test_model_inside_a_model(module: Any, recorder: Recorder) -> None:
    """
    A watched model inside a model's run is part of it, its tokens too; one inside that
    is nothing of its own; a second one is a child.
    """
    watched("outer", "add", "fail", kind="chat_model")
    watched("guarded", kind="llm", token=str)

    @traced.chat_model("mine")
    def mine(call: Any, *args: Any) -> Any:
        return call(*args)

    with callbacks(recorder):
        mine(module.outer, 1)
        mine(lambda: list(module.guarded("ab")))
        with pytest.raises(KeyError):
            mine(module.fail, KeyError())
        mine(lambda: [module.add(1), module.add(2)])

    told = [e.data["token"] for e in recorder.events if e.event == "on_llm_new_token"]
    assert recorder.tree() == (
        "chat_model mine: ok\n"
        "chat_model mine: ok\n"
        "chat_model mine: error KeyError\n"
        "chat_model mine: ok\n"
        "  chat_model add: ok"
    )
    assert told == ["a", "b"]


async def test_model_that_waits_inside_a_model(module: Any, recorder: Recorder) -> None:
    """
    A watched coroutine inside a model's run is part of it while it waits, too.
    """
    watched("wait", kind="chat_model")

    with callbacks(recorder):
        async with traced("mine", kind="chat_model"):
            await module.wait(1)

    assert recorder.tree() == "chat_model mine: ok"


def test_block_without_handlers(module: Any, recorder: Recorder) -> None:
    """
    In a block that nobody hears a call is no run.
    """
    watched("add")

    with callbacks(recorder), callbacks(inherit=False):
        module.add(1)

    assert recorder.runs == []


def test_two_watches_of_one_function(module: Any, recorder: Recorder) -> None:
    """
    Two that watch one function both hear it; a refusal ends both runs.
    """
    from instrument._hearing import sys_monitoring as _monitoring
    from instrument._hearing.functions import maker

    watches = [maker("a:b", {"name": name})(module.add) for name in ("one", "two")]
    for watch in (*watches, watches[0]):
        _monitoring.arm(module.add.__code__, watch)
    with callbacks(recorder):
        module.add(1)
    with (
        callbacks(recorder, Refusing("on_chain_start")),
        pytest.raises(PermissionError),
    ):
        module.add(1)
    for watch in (*watches, watches[0]):
        _monitoring.disarm(module.add.__code__, watch)
    _monitoring.disarm(module.add.__code__, watches[0])

    assert recorder.tree() == (
        "chain one: ok\n  chain two: ok\nchain one: error PermissionError"
    )


def test_functions_of_one_name(module: Any, recorder: Recorder) -> None:
    """
    Functions of the same qualified name are told apart, and disarmed one by one.
    """
    from instrument._hearing import sys_monitoring as _monitoring
    from instrument._hearing.functions import maker

    first, second, third = functions = [lambda: 1, lambda: 2, lambda: 1 / 0]
    watches = [maker("a:b", {"name": name})(first) for name in ("one", "two")]
    _monitoring.arm(first.__code__, watches[0])
    _monitoring.arm(second.__code__, watches[1])
    with callbacks(recorder), suppress(ZeroDivisionError):
        for function in functions:
            function()
    _monitoring.disarm(third.__code__, watches[0])
    _monitoring.disarm(first.__code__, watches[0])
    with callbacks(recorder):
        first(), second()
    _monitoring.disarm(second.__code__, watches[1])

    assert [(run.name, run.outputs) for run in recorder.runs] == [
        ("one", 1),
        ("two", 2),
        ("two", 2),
    ]


class Broken(HeardCall, Watch):
    """
    A watch with a bug.
    """

    is_stepped = False
    listens = staticmethod(lambda: True)

    def __init__(self, call: object) -> None:
        self.call = call

    def called(self, frame: object) -> Any:
        if self.call is None:
            raise ZeroDivisionError
        return self.call

    def returned(self, value: object) -> None:
        raise ZeroDivisionError


@pytest.mark.parametrize("call", [None, Broken(None)])
def test_watch_with_a_bug(module: Any, call: object, reports: list[str]) -> None:
    """
    What goes wrong in ours is reported, and the call goes on.
    """
    from instrument._hearing import sys_monitoring as _monitoring

    watch = Broken(call)
    _monitoring.arm(module.add.__code__, watch)

    assert module.add(1) == 3

    _monitoring.disarm(module.add.__code__, watch)
    assert "ZeroDivisionError" in reports[0]


class BrokenSteps(Broken):
    """
    One that is wrong at each step, too.
    """

    takes_items = is_stepped = True

    def suspended(self, item: object) -> None:
        raise ZeroDivisionError

    def resumed(self) -> None:
        raise ZeroDivisionError


def test_steps_with_a_bug(module: Any, reports: list[str]) -> None:
    """
    What goes wrong in ours between two steps of a generator does not reach it.
    """
    from instrument._hearing import sys_monitoring as _monitoring

    watch = BrokenSteps(BrokenSteps(None))
    _monitoring.arm(module.count.__code__, watch)

    assert list(module.count(2)) == [0, 1]

    _monitoring.disarm(module.count.__code__, watch)
    told = ["ZeroDivisionError" in report for report in reports]
    assert told == [True] * 3  # when it yields, goes on and returns


class Interrupted(Broken):
    """
    One in whose midst somebody presses Ctrl-C.
    """

    takes_items = True

    def called(self, frame: object) -> Any:
        return self.call or self.interrupt()

    def interrupt(self, *args: object) -> None:
        raise KeyboardInterrupt

    returned = raised = suspended = interrupt


@pytest.mark.parametrize("call", [None, Interrupted(None)])
@pytest.mark.parametrize("name", ["add", "fall", "count"])
def test_interrupt(module: Any, name: str, call: object) -> None:
    """
    Ctrl-C in the midst of what is ours reaches the caller, and leaves nothing open.
    """
    from instrument._hearing import sys_monitoring as _monitoring

    watch = Interrupted(call)
    code = getattr(module, name).__code__
    _monitoring.arm(code, watch)

    with pytest.raises(KeyboardInterrupt):
        list(getattr(module, name)(0 if name == "fall" else 1))

    gc.collect()
    _monitoring.disarm(code, watch)
    assert _monitoring._found() is None


def test_handler_calls_a_watched_function(module: Any, recorder: Recorder) -> None:
    """
    What a handler itself calls is not heard.
    """
    watched("add")

    class Calling(BaseCallbackHandler):
        def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            module.add(1)

    with callbacks(Calling(), recorder):
        module.add(2)

    assert len(recorder.runs) == 1


def test_threads(module: Any, recorder: Recorder) -> None:
    """
    Ten thousand calls on fifty threads are as many runs, each with its own result.
    """
    watched("add")

    def calls(start: int) -> None:
        for number in range(200):
            module.add(start, number)

    with callbacks(recorder), ThreadPoolExecutor(50) as pool:
        for thread in range(50):
            context = contextvars.copy_context()
            pool.submit(context.run, calls, thread * 1_000)

    results = sorted(run.outputs for run in recorder.runs)
    assert results == sorted(t * 1_000 + n for t in range(50) for n in range(200))


async def test_tasks(module: Any, recorder: Recorder) -> None:
    """
    Five hundred tasks at once are as many runs.
    """
    watched("wait")

    with callbacks(recorder):
        await asyncio.gather(*(module.wait(number) for number in range(500)))

    assert [run.outputs for run in recorder.runs] == list(range(500))
    assert {run.status for run in recorder.runs} == {"ok"}


def test_watched_and_unwatched_while_calls_run(module: Any) -> None:
    """
    Threads that watch and unwatch while others call break nothing, and no run is left.
    """
    recorder = Recorder()
    stop = threading.Event()
    errors: list[BaseException] = []

    def toggle() -> None:
        with _kept(errors):
            for _ in range(100):
                watched("add", "count", "fail")
                for name in ("add", "count", "fail"):
                    auto.unwatch(f"others:{name}")
        stop.set()

    def call() -> None:
        with _kept(errors), callbacks(recorder):
            while not stop.is_set():
                module.add(1)
                list(module.count(2))
                with suppress(KeyError):
                    module.fail(KeyError())

    work = [toggle, toggle, call, call]
    threads = [threading.Thread(target=each) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert "running" not in {run.status for run in recorder.runs}


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_fork_while_another_thread_watches(module: Any, recorder: Recorder) -> None:
    """
    A child that is forked while another thread watches something is heard, and ends.
    """
    watched("add")
    is_held, may_go = threading.Event(), threading.Event()

    def hold() -> None:
        with LOCK:
            is_held.set()
            may_go.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    is_held.wait()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(5)  # a deadlock ends it
        with callbacks(recorder):
            module.add(1)
        os._exit([run.status for run in recorder.runs] != ["ok"])
    _, status = os.waitpid(child, 0)
    may_go.set()
    thread.join()

    assert status == 0


def _kept(errors: list[BaseException]) -> Any:
    class Keeping:
        def __enter__(self) -> None: ...
        def __exit__(self, kind: object, exc: BaseException | None, _: object) -> bool:
            if exc is not None:
                errors.append(exc)
            return True

    return Keeping()


@pytest.mark.parametrize("taken", [[3], [3, 4]])
def test_tool_ids_taken(module: Any, recorder: Recorder, taken: list[int]) -> None:
    """
    Where another tool has the one id, the other is taken; with both, it is said.
    """
    for tool in taken:
        sys.monitoring.use_tool_id(tool, f"other {tool}")
    try:
        if len(taken) == 1:
            watched("add")
            assert sys.monitoring.get_tool(4) == "instrument"
            auto.unwatch("others:add")
        else:
            with pytest.raises(RuntimeError, match="no free tool id: 3 is 'other 3'"):
                watched("add")
    finally:
        for tool in taken:
            sys.monitoring.free_tool_id(tool)


def test_another_copy_of_the_package(module: Any, recorder: Recorder) -> None:
    """
    A second copy in the process shares the id.
    """
    from importlib.util import find_spec, module_from_spec

    from instrument._hearing.functions import maker

    spec = find_spec("instrument._hearing.sys_monitoring")
    assert spec is not None
    assert spec.loader is not None
    copy = module_from_spec(spec)
    spec.loader.exec_module(copy)

    watched("add")
    watch = maker("a:b", {})(module.wait)
    copy.arm(module.wait.__code__, watch)
    with callbacks(recorder):
        module.add(1)
        asyncio.run(module.wait(1))
    copy.disarm(module.wait.__code__, watch)

    assert sys.monitoring.get_tool(4) is None
    assert recorder.tree() == "chain add: ok\nchain wait: ok"


def test_beside_a_tracer(module: Any, recorder: Recorder) -> None:
    """
    A trace function sees what it saw, and the runs are heard.
    """
    watched("add")
    lines: list[str] = []

    def trace(frame: Any, event: str, arg: Any) -> Any:
        if frame.f_code.co_name == "add":
            lines.append(event)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with callbacks(recorder):
            module.add(1)
    finally:
        sys.settrace(before)

    assert lines == ["call", "line", "return"]
    assert recorder.tree() == "chain add: ok"


def test_disabled(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    With the kill switch nothing is armed.
    """
    monkeypatch.setattr(auto, "DISABLED", True)

    watched("add")

    assert sys.monitoring.get_tool(3) is None


def test_secrets(module: Any, recorder: Recorder) -> None:
    """
    Redaction holds for what is watched.
    """
    watched("Tool.call")

    with callbacks(recorder, redact=["query"]):
        module.Tool().call("password")

    assert "password" not in str(recorder.events[0].data)
