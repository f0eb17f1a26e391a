"""
Streams whose own class closes them, at their end or when they fail.

To close a stream is what a reader does who has had enough; a library that starts to do so
itself, in a new release, means something else by it.
"""

import asyncio
import gc
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module, invalidate_caches
from pathlib import Path
from typing import Any

import pytest

from instrument import BaseCallbackHandler, callbacks, traced
from instrument._hearing.calls import Asked, begin
from instrument._hearing.monitored.streams import (
    AtReturn,
    StepWatch,
    StreamWatch,
    closed,
    keep,
)
from instrument._hearing.targets import Targets
from instrument._hearing.wrapped.streams import hear_stream
from instrument._runs.opening import Recipe
from instrument.testing import Recorder

MODULE = """
class Stream:
    def __init__(self, *pieces):
        self.left = list(pieces)
        self.pieces = iter(self.left)

    def give(self):
        piece = next(self.pieces)
        if isinstance(piece, Exception):
            raise piece
        return piece

    def read(self):
        try:
            for piece in self.pieces:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            self.close()

    def close(self):
        self.left.clear()

class Rows(Stream):
    def __iter__(self):
        return self.read()

class Steps(Stream):
    def __iter__(self):
        return self

    def __next__(self):
        try:
            return self.give()
        except BaseException:
            self.close()
            raise

class Pieces(Steps):
    def __init__(self, *pieces):
        super().__init__(*pieces)
        self.given = self.read()

    def __next__(self):
        return next(self.given)

class AsyncSteps(Stream):
    def __aiter__(self):
        return self

    async def __anext__(self):
        try:
            piece = self.give()
            return piece if isinstance(piece, str) else await piece
        except StopIteration:
            await self.close()
            raise StopAsyncIteration from None
        except BaseException:
            await self.close()
            raise

    async def close(self):
        self.left.clear()

class AsyncPieces(AsyncSteps):
    def __init__(self, *pieces):
        super().__init__(*pieces)
        self.given = self.read()

    async def __anext__(self):
        return await anext(self.given)

    async def read(self):
        try:
            for piece in self.pieces:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            await self.close()
"""
STEP, STREAM = StepWatch(), StreamWatch(lambda frame: frame.f_locals["self"])
CLOSE = AtReturn(lambda stream: stream, closed)
WATCHES: dict[str, Any] = {
    "Stream.read": STREAM,
    "Stream.close": CLOSE,
    "Steps.__next__": STEP,
    "AsyncSteps.__anext__": STEP,
    "AsyncSteps.close": CLOSE,
    "AsyncPieces.read": STREAM,
}
needs_monitoring = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="sys.monitoring needs Python 3.12"
)
every_stream = pytest.mark.parametrize(
    "name", ["Steps", "Pieces", "Rows", "AsyncSteps", "AsyncPieces"]
)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """
    Give a module of somebody else's.
    """
    (tmp_path / "closing_streams.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    invalidate_caches()
    yield import_module("closing_streams")
    del sys.modules["closing_streams"]


@pytest.fixture(params=[pytest.param("heard", marks=needs_monitoring), "wrapped"])
def hear(request: Any, module: Any) -> Iterator[Callable[[Any], Any]]:
    """
    Give what makes the stream of a call that has been begun, on either road.
    """

    def begun(stream: Any) -> Any:
        call: Any = begin(Asked(Recipe("ask", "chat_model"), dict, {}, "provider"))
        if request.param == "heard":
            keep(stream, call)
            return stream
        call.go_on(in_pieces=True)
        return hear_stream(call, stream)

    watched = Targets(
        {f"closing_streams:{path}": watch for path, watch in WATCHES.items()}
    )
    if request.param == "heard":
        watched.install()
        assert watched.missing() == []
    yield begun
    watched.uninstall()


async def _read(stream: Any) -> list[Any]:
    if hasattr(stream, "__aiter__"):
        return [piece async for piece in stream]
    return list(stream)


async def _close(stream: Any) -> None:
    pending = stream.close()
    if pending is not None:
        await pending


async def _first(stream: Any) -> Any:
    if hasattr(stream, "__aiter__"):
        return await anext(aiter(stream))
    return next(iter(stream))


@every_stream
@pytest.mark.anyio
async def test_at_its_end(module: Any, hear: Any, name: str) -> None:
    """
    A stream that was read to its end is ok, though it was closed before that was seen.
    """
    recorder = Recorder()

    with callbacks(recorder):
        stream = hear(getattr(module, name)("Hel", "lo"))
        await _read(stream)
        await _close(stream)

    assert recorder.tree() == "chat_model ask: ok"
    assert recorder.runs[0].outputs == "Hello"


@every_stream
@pytest.mark.anyio
async def test_at_a_failure(module: Any, hear: Any, name: str) -> None:
    """
    A stream that fails has its error, though it was closed before that was raised.
    """
    recorder = Recorder()
    error = ConnectionError("cut")

    with callbacks(recorder), pytest.raises(ConnectionError):
        await _read(hear(getattr(module, name)("Hel", error)))

    assert recorder.runs[0].status == "error"
    assert recorder.runs[0].error is error
    assert recorder.events[-1].data["text"] == "Hel"


@every_stream
@pytest.mark.anyio
async def test_by_its_reader(module: Any, hear: Any, name: str) -> None:
    """
    A stream that its reader closes is abandoned at once.
    """
    recorder = Recorder()

    with callbacks(recorder):
        stream = hear(getattr(module, name)("Hel", "lo"))
        given = stream if name != "Rows" else iter(stream)
        assert await _first(given) == "Hel"
        await _close(stream)
        told = recorder.runs[0].status

    assert told == "abandoned"
    assert recorder.events[-1].data["text"] == "Hel"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
async def test_by_another_task(module: Any, hear: Any) -> None:
    """
    So is one that another task closes while its reader waits for the next piece.
    """
    recorder = Recorder()
    piece: asyncio.Future[str] = asyncio.Future()

    with callbacks(recorder):
        stream = hear(module.AsyncSteps("Hel", piece))
        reading = asyncio.create_task(_read(stream))
        while not recorder.events[1:]:  # noqa: ASYNC110 - of the first piece
            await asyncio.sleep(0)
        await _close(stream)
        told = recorder.runs[0].status
        piece.set_result("lo")
        await reading

    assert told == "abandoned"


@pytest.mark.parametrize("hear", ["wrapped"], indirect=True)
@pytest.mark.parametrize("name", ["Rows", "Steps", "AsyncSteps"])
@pytest.mark.anyio
async def test_by_a_handler(module: Any, hear: Any, name: str) -> None:
    """
    A stream that a handler closes when a piece has come is abandoned as well.
    """
    recorder = Recorder()
    streams: list[Any] = []

    class Closes(BaseCallbackHandler):
        def on_llm_new_token(self, token: str, **kwargs: Any) -> Any:
            return streams[0].close()

    with callbacks(recorder, Closes()):
        streams.append(hear(getattr(module, name)("Hel", "lo")))
        given = await _read(streams[0])

    assert given == ["Hel"]
    assert recorder.runs[0].status == "abandoned"


class Payload:
    """
    What must go.
    """


def _returns(stream: Any) -> Any:
    return stream


def _fails(stream: Any) -> None:
    raise ZeroDivisionError


@every_stream
@pytest.mark.rule(21)
@pytest.mark.anyio
@pytest.mark.parametrize("then", [_returns, _fails])
async def test_left_by_who_had_it_at_hand(
    module: Any, hear: Any, name: str, then: Any
) -> None:
    """
    A stream that is left early goes, and its run with it, though the function that asked
    for it returned it, or failed with it at hand: that run leads to the stream.
    """
    statuses: list[str] = []

    @traced
    async def asks(payload: Payload) -> Any:
        stream = hear(getattr(module, name)("Hel", "lo"))
        await _first(stream)
        return then(stream)

    async def ask(payload: Payload) -> None:
        told = callbacks(on_llm_error=lambda run: statuses.append(run.status))
        with told, suppress(ZeroDivisionError):
            await asks(payload)

    payload = Payload()
    alive = weakref.ref(payload)

    await ask(payload)
    del payload
    gc.collect()
    for _ in range(9):  # the loop closes what is dropped
        await asyncio.sleep(0)
    for _ in range(5):  # `guard_collections` keeps the Contexts of the last four
        gc.collect()

    assert alive() is None
    assert statuses == ["abandoned"]


@pytest.mark.rule(21)
@pytest.mark.usefixtures("uncollected")
def test_generator_at_hand_of_who_fails() -> None:
    """
    So goes a generator, which has no room for its call.
    """

    def pieces() -> Iterator[str]:
        yield "Hel"

    @traced
    def asks(payload: Payload) -> None:
        made = pieces()
        call: Any = begin(Asked(Recipe("ask", "chat_model"), dict, {}, "provider"))
        keep(made, call, frame="gi_frame")
        next(made)
        del call
        raise ZeroDivisionError

    payload = Payload()
    alive = weakref.ref(payload)

    with callbacks(lambda event: None), suppress(ZeroDivisionError):
        asks(payload)
    del payload

    assert alive() is None
