"""
A client of the Model Context Protocol, heard by hand or automatically: each call of a
tool is a run, over whatever its server is reached.
"""

import asyncio
import gc
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from instrument import auto, callbacks, wrap
from instrument.testing import Recorder

pytest.importorskip("mcp")

from mcp import Implementation, StdioServerParameters
from mcp.client.client import Client
from mcp.client.session import ClientSession
from mcp.client.stdio import stdio_client
from mcp.server.mcpserver import MCPServer

pytestmark = [
    pytest.mark.anyio,
    # of the package's own server, and of uvicorn's
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]

SERVER = """
import logging
from mcp.server.mcpserver import MCPServer

server = MCPServer("sums", log_level="CRITICAL")

@server.tool()
def add(a: int, b: int) -> int:
    return a + b

@server.tool()
def fail() -> None:
    raise ValueError("no")

@server.tool()
async def wait() -> None:
    import asyncio
    await asyncio.sleep(20)

@server.tool()
def leave() -> None:
    import os
    os._exit(1)
"""


def server() -> MCPServer:
    """
    Make the server.
    """
    made: dict[str, Any] = {}
    exec(SERVER, made)
    return made["server"]


@asynccontextmanager
async def in_process(folder: Path) -> AsyncIterator[Any]:
    """
    Give a server in this process.
    """
    yield server()


@asynccontextmanager
async def stdio(folder: Path) -> AsyncIterator[Any]:
    """
    Give one in a process of its own.
    """
    script = folder / "server.py"
    script.write_text(f"{SERVER}\nserver.run()\n", "utf-8")
    yield StdioServerParameters(command=sys.executable, args=[str(script)])


@asynccontextmanager
async def own_session(folder: Path) -> AsyncIterator[ClientSession]:
    """
    Give a session with it that was made by hand.
    """
    async with (
        stdio(folder) as reached,
        stdio_client(reached) as streams,
        ClientSession(*streams) as session,
    ):
        await session.initialize()
        yield session


@asynccontextmanager
async def http(folder: Path) -> AsyncIterator[Any]:
    """
    Give one that streams over HTTP.
    """
    uvicorn = pytest.importorskip("uvicorn")
    config = uvicorn.Config(server().streamable_http_app(), log_level="critical")
    serving = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serving.run, args=([listening],))
        thread.start()
        while not serving.started:
            time.sleep(0.01)  # noqa: ASYNC251 - it starts in milliseconds
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
        finally:
            serving.should_exit = True
            thread.join()


@pytest.mark.parametrize("transport", [in_process, stdio, http])
async def test_a_tool(transport: Any, hear: Any, tmp_path: Path) -> None:
    """
    A tool's run has the tool's name, its arguments, and what it gave.
    """
    recorder = Recorder()

    async with transport(tmp_path) as reached, hear(Client(reached)) as client:
        with callbacks(recorder):
            result: Any = await client.call_tool("add", {"a": 1, "b": 2})

    (run,) = recorder.runs
    assert (run.kind, run.name, run.provider) == ("tool", "add", "mcp")
    assert run.inputs == {"a": 1, "b": 2}
    assert run.outputs is result
    assert result.content[0].text == "3"


async def test_a_tool_that_fails(hear: Any) -> None:
    """
    A tool that fails at the server gives its caller a result that says so, and raises
    nothing: nor does the run.
    """
    recorder = Recorder()

    async with hear(Client(server())) as client:
        with callbacks(recorder):
            result: Any = await client.call_tool("fail")

    (run,) = recorder.runs
    assert (run.status, run.error) == ("ok", None)
    assert run.outputs is result
    assert run.outputs.is_error


async def test_a_call_that_fails(hear: Any) -> None:
    """
    A call that is not answered in time ends its run with the exception that it raises.
    """
    recorder = Recorder()

    async with hear(Client(server(), mode="legacy")) as client:
        with callbacks(recorder), pytest.raises(Exception) as caught:
            await client.call_tool("add", {"a": 1, "b": 2}, read_timeout_seconds=0)

    (run,) = recorder.runs
    assert run.status == "error"
    assert run.error is caught.value


@pytest.mark.parametrize("way", ["auto", "legacy"])
async def test_a_cancelled_call(way: Any, hear: Any) -> None:
    """
    A task that is cancelled while it waits for a tool ends the run as cancelled.
    """
    recorder = Recorder()

    async with hear(Client(server(), mode=way)) as client:
        with callbacks(recorder):
            task = asyncio.create_task(client.call_tool("wait"))
            while not recorder.runs:  # noqa: ASYNC110 - it is told before it is sent
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await task

    (run,) = recorder.runs
    assert run.status == "cancelled"
    assert type(run.error) is type(caught.value)
    assert [e.event for e in recorder.events] == ["on_tool_start", "on_tool_error"]


async def test_a_server_that_goes(hear: Any, tmp_path: Path) -> None:
    """
    A server that ends in the midst of a call ends the run with what the caller gets.
    """
    recorder = Recorder()

    async with own_session(tmp_path) as session:
        with callbacks(recorder), pytest.raises(Exception) as caught:
            await hear(session).call_tool("leave")

    (run,) = recorder.runs
    assert run.status == "error"
    assert run.error is caught.value


async def test_a_session_of_ones_own(hear: Any, tmp_path: Path) -> None:
    """
    A session that was made by hand is heard, too.
    """
    recorder = Recorder()

    async with own_session(tmp_path) as session:
        with callbacks(recorder):
            await hear(session).call_tool("add", {"a": 1, "b": 2})

    assert recorder.tree() == "tool add: ok"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is of 3.12")
async def test_no_attribute_changes() -> None:
    """
    No attribute of the package's modules, classes or functions is another's.
    """
    snapshot = import_module("facts").snapshot
    auto.uninstall()

    async with Client(server()) as client:
        for _ in range(2):  # what is made when it is first used has been made
            await client.call_tool("add", {"a": 1, "b": 2})
        before = snapshot("mcp")
        auto.install()
        with callbacks(Recorder()):
            await client.call_tool("add", {"a": 1, "b": 2})
        during = snapshot("mcp")
    auto.uninstall()

    assert {k: v for k, v in during.items() if before.get(k) != v} == {}


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is of 3.12")
async def test_beside_auto() -> None:
    """
    A wrapped client whose session is heard automatically as well makes one run.
    """
    recorder = Recorder()
    auto.install()
    try:
        async with wrap(Client(server())) as client:
            with callbacks(recorder):
                await client.call_tool("add", {"a": 1, "b": 2})
    finally:
        auto.uninstall()

    assert [run.name for run in recorder.runs] == ["add"]


async def test_a_client_made_for_the_call() -> None:
    """
    A wrapped client keeps its state when nobody else holds the one that was wrapped.
    """
    client = wrap(Client(server(), client_info=Implementation(name="n", version="1")))
    gc.collect()

    async with client as entered:
        assert entered.client_info.version == "1"


async def test_a_session() -> None:
    """
    The session inside a client can be wrapped alone, while it is in use.
    """
    recorder = Recorder()

    async with Client(server()) as client:
        with callbacks(recorder):
            await wrap(client.session).call_tool("add", {"a": 1, "b": 2})
            await client.call_tool("add", {"a": 3, "b": 4})

    (run,) = recorder.runs
    assert run.inputs == {"a": 1, "b": 2}
