"""
What tests of handlers share.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest


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
