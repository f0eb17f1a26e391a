"""
``wrap(client)`` of an MCP client: each call of a tool is a run.
"""

import sys
from typing import Any

import pytest

from instrument import callbacks, wrap
from instrument.testing import Recorder

pytest.importorskip("mcp")

from mcp.client.client import Client
from mcp.server.mcpserver import MCPServer


def server() -> MCPServer:
    """
    Make a server with one tool.
    """
    made = MCPServer("sums")

    @made.tool()  # type: ignore[untyped-decorator]
    def add(a: int, b: int) -> int:
        return a + b

    return made


@pytest.mark.anyio
async def test_a_tool() -> None:
    """
    A tool's run has the tool's name, its arguments, and what it gave.
    """
    recorder = Recorder()

    async with wrap(Client(server())) as client:
        with callbacks(recorder):
            result: Any = await client.call_tool("add", {"a": 1, "b": 2})

    (run,) = recorder.runs
    assert (run.kind, run.name, run.provider) == ("tool", "add", "mcp")
    assert run.inputs == {"a": 1, "b": 2}
    assert run.outputs is result
    assert result.content[0].text == "3"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is of 3.12")
@pytest.mark.anyio
async def test_beside_auto() -> None:
    """
    A wrapped client whose session is heard automatically as well makes one run.
    """
    from instrument import auto

    recorder = Recorder()
    auto.install()
    try:
        async with wrap(Client(server())) as client:
            with callbacks(recorder):
                await client.call_tool("add", {"a": 1, "b": 2})
    finally:
        auto.uninstall()

    assert [run.name for run in recorder.runs] == ["add"]


@pytest.mark.anyio
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
