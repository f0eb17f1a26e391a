"""
What all tests share: async tests run on asyncio unless they ask for more, and a test of
a rule runs in each mode that its marker names.
"""

import ast
import asyncio
import gc
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.util import find_spec
from shutil import which
from typing import Any

import pytest

from instrument.testing import Recorder


class Everything(Recorder):
    """
    Keeps all that any event carries, as text.
    """

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("on_") or name == "on_event":
            return super().__getattribute__(name)

        def hear(*args: Any, **kwargs: Any) -> None:
            for value in (*args, *kwargs.values()):
                self.text += f" {getattr(value, 'generations', value)!r}"
                self.text += f" {getattr(value, '__dict__', '')!r}"

        return hear

    def on_event(self, event: Any, **kwargs: Any) -> None:
        super().on_event(event)
        self.text += event.to_json()
        self.text += repr([event.run.inputs, event.run.outputs, event.run.params])


@pytest.fixture(autouse=True, scope="session")
def interrupts() -> None:
    """
    Have the processes that tests start hear Ctrl-C: what a shell starts in the background
    ignores it, and so does all that it starts.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def own_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """
    Leave the store of whoever runs the tests alone: here the default one is another.
    """
    before = os.environ.get("INSTRUMENT_STORE")
    os.environ["INSTRUMENT_STORE"] = str(tmp_path_factory.mktemp("own") / "traces.db")
    yield
    if before is None:
        del os.environ["INSTRUMENT_STORE"]
    else:
        os.environ["INSTRUMENT_STORE"] = before


@pytest.fixture(autouse=True, scope="module")
def spared() -> None:
    """
    Spare collections what earlier files have imported and left: each would take 0.3 s.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def anyio_backend() -> str:
    """
    Run tests marked ``anyio`` on asyncio.

    A test of scope or runs takes both: ``parametrize("anyio_backend", ["asyncio", "trio"])``.
    """
    return "asyncio"


@pytest.fixture
def reports() -> Iterator[list[str]]:
    """
    Collect what goes to loguru.
    """
    from loguru import logger

    written: list[str] = []
    sink = logger.add(
        lambda message: written.append(str(message)), level=0, format="{message}"
    )
    yield written
    logger.remove(sink)


@pytest.fixture
def everything() -> Everything:
    """
    Give a handler that keeps all it is told as `text`.
    """
    return Everything()


@pytest.fixture
def installed() -> Callable[[str], None]:
    """
    Give a function that skips the test where its code needs what is not installed.
    """
    return _skip_without_packages


def _skip_without_packages(code: str) -> None:
    modules = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            modules.append(node.module or "")
        elif isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
    missing = sorted({it.partition(".")[0] for it in modules if _is_missing(it)})
    missing += [it for it in _PROGRAMS if f'"{it}"' in code and which(it) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    if '"redis-server"' in code and shutil.which("redis-server") is None:
        pytest.skip("needs redis-server")


_PROGRAMS = ["redis-server"]


def _is_missing(module: str) -> bool:
    try:
        return find_spec(module) is None
    except ModuleNotFoundError:  # nor what it is in
        return True


@pytest.fixture
def uncollected() -> Iterator[None]:
    """
    Run a test with the collector off: before Python 3.12 a collection of its own keeps the
    Context that it met, and so what is open there, until some more have come.
    """
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    gc.collect()


@pytest.fixture
def nothing_kept() -> Iterator[None]:
    """
    Check that no map of the package holds more after the test than before.
    """
    gc.collect()
    before = _kept()
    yield
    for _ in range(6):  # before Python 3.12 some keep the Context that they met
        gc.collect()
    after = _kept()
    assert {
        name: size for name, size in after.items() if size > before.get(name, size)
    } == {}


_BY_TYPE = tuple(
    f"instrument.{name}"
    for name in (
        "_audience.by_class",
        "_audience.listener",
        "_audience.pairs",
        "_payloads.fields",
        "_payloads.messages",
        "_text",
    )
)


def _kept() -> dict[str, int]:
    return {
        f"{module}.{name}": len(value)
        for module in list(sys.modules)
        # what it keeps is known by type, and bounded
        if module.startswith("instrument.") and module not in _BY_TYPE
        for name, value in vars(sys.modules[module]).items()
        if isinstance(value, (dict, list, set)) and not name.startswith("__")
    }


@pytest.fixture
def serve_asgi() -> Callable[[Any], AbstractAsyncContextManager[int]]:
    """
    Serve an ASGI application by uvicorn on a free port of loopback, which is given.
    """
    uvicorn = pytest.importorskip("uvicorn")

    class Server(uvicorn.Server):  # type: ignore[misc, name-defined]
        """
        Tells when it listens.
        """

        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            self.listens.set()

    @asynccontextmanager
    async def serve(app: object) -> AsyncIterator[int]:
        options = {"host": "127.0.0.1", "port": 0, "lifespan": "off"}
        options |= {"ws": "websockets-sansio", "log_level": "critical"}
        server = Server(uvicorn.Config(app, **options))
        server.listens = asyncio.Event()
        serving = asyncio.create_task(server.serve())
        listening = asyncio.create_task(server.listens.wait())
        await asyncio.wait({serving, listening}, return_when=asyncio.FIRST_COMPLETED)
        assert listening.done(), await serving
        try:
            yield server.servers[0].sockets[0].getsockname()[1]
        finally:
            server.should_exit = True
            await serving

    return serve


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """
    Run a test that takes ``mode`` once in each mode of its ``rule`` markers.
    """
    if "mode" in metafunc.fixturenames:
        rules = metafunc.definition.iter_markers("rule")
        metafunc.parametrize(
            "mode", sorted({m for rule in rules for m in rule.args[1:]})
        )


@pytest.fixture
def called(mode: str) -> Callable[..., Awaitable[Any]]:
    """
    Decorate a function of this mode, call it and exhaust it.

    ``await called(decorate, body, *args)``: *body* is what the function does with the
    arguments; a generator yields what that returns. A list of what was yielded
    comes back, or the result.
    """

    def nothing(*_: object) -> None: ...

    async def call(
        decorate: Callable[[Any], Any],
        body: Callable[..., object] = nothing,
        *args: object,
        **kwargs: object,
    ) -> object:
        made = decorate(_of_mode(mode, body))(*args, **kwargs)
        if mode == "async":
            return await made
        if mode == "generator":
            return list(made)
        if mode == "async generator":
            return [item async for item in made]
        return made

    return call


def _of_mode(mode: str, body: Callable[..., object]) -> Any:
    def function(*args: object) -> object:
        return body(*args)

    async def coroutine(*args: object) -> object:
        return body(*args)

    def generator(*args: object) -> Any:
        yield body(*args)

    async def async_generator(*args: object) -> Any:
        yield body(*args)

    return {
        "sync": function,
        "async": coroutine,
        "generator": generator,
        "async generator": async_generator,
    }[mode]


def pytest_collection_finish(session: pytest.Session) -> None:
    """
    Print which rules the tests state, for the test of the matrix.

    What is there before any test is spared by those that collect garbage: each would
    take 0.1 s.
    """
    gc.collect()
    gc.freeze()
    if "INSTRUMENT_PRINT_RULES" not in os.environ:
        return
    rules = {
        (mark.args[0], mode, item.nodeid.partition("[")[0])
        for item in session.items
        for mark in item.iter_markers("rule")
        for mode in mark.args[1:]
    }
    print(f"\nRULES {json.dumps(sorted(rules))}")  # noqa: T201


def pytest_sessionfinish(session: pytest.Session) -> None:
    """
    Where ``INSTRUMENT_SKIP_NOTHING`` is set, a test that is skipped is a failure.

    Before Python 3.12 something always is.
    """
    gc.unfreeze()  # plugins look for what refers to what
    reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", ())
    allowed = sys.version_info < (3, 12) or "INSTRUMENT_SKIP_NOTHING" not in os.environ
    if skipped and not allowed:
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
