"""
The helpers of OpenAI's SDK around a stream, which close its response by themselves: the
run ends with them, though somebody still holds the stream.
"""

import gc
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

from instrument import callbacks
from instrument.testing import Recorder

pytest.importorskip("openai")

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of the SDK's own socket
]

HELLO: list[Any] = import_module("sdks").HELLO

every_helper = pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.chat.completions.stream(model="m", messages=HELLO),
        lambda client: client.responses.stream(model="m", input="hi"),
        lambda client: client.chat.completions.with_streaming_response.create(
            model="m", messages=HELLO, stream=True
        ),
    ],
    ids=["chat", "responses", "raw"],
)


def by_leaving(stream: Any) -> None:
    next(iter(stream))


def by_an_error(stream: Any) -> None:
    next(iter(stream))
    raise KeyError


def unread(stream: Any) -> None:
    raise KeyError


ways = pytest.mark.parametrize("leave", [by_leaving, by_an_error, unread])


@ways
@every_helper
def test_left(ask: Any, leave: Callable[[Any], None], client: Any) -> None:
    """
    A helper that is left early ends the run as abandoned when it is left, once.
    """
    recorder = Recorder()
    held = []

    with callbacks(recorder):
        try:
            with ask(client) as helper:
                stream = helper.parse() if hasattr(helper, "parse") else helper
                held.append(stream)
                leave(stream)
        except KeyError:
            assert leave is not by_leaving
        ended = [run.status for run in recorder.runs]

    assert ended == ["abandoned"]
    assert held
    ends = [e.event for e in recorder.events if e.event.endswith(("_end", "_error"))]
    assert ends == ["on_llm_error"]


async def aby_leaving(stream: Any) -> None:
    await anext(aiter(stream))


async def aby_an_error(stream: Any) -> None:
    await anext(aiter(stream))
    raise KeyError


@pytest.mark.parametrize("leave", [aby_leaving, aby_an_error])
@every_helper
async def test_left_in_async_code(ask: Any, leave: Any, aclient: Any) -> None:
    """
    The same of an async client.
    """
    recorder = Recorder()
    held = []

    with callbacks(recorder):
        try:
            async with ask(aclient) as helper:
                is_raw = hasattr(helper, "parse")
                stream = await helper.parse() if is_raw else helper
                held.append(stream)
                await leave(stream)
        except KeyError:
            assert leave is not aby_leaving
        ended = [run.status for run in recorder.runs]

    assert ended == ["abandoned"]
    assert held


@every_helper
def test_read_to_its_end(ask: Any, client: Any) -> None:
    """
    One that is read to its end ends the run well, with all that was told.
    """
    recorder = Recorder()

    with callbacks(recorder), ask(client) as helper:
        stream = helper.parse() if hasattr(helper, "parse") else helper
        list(stream)

    assert [run.status for run in recorder.runs] == ["ok"]
    assert recorder.events[-1].data["text"] == "Hello world"


def test_lines_of_a_raw_response(client: Any) -> None:
    """
    Lines that are read to their end end the run well.
    """
    recorder = Recorder()
    raw = client.chat.completions.with_streaming_response

    with callbacks(recorder), raw.create(model="m", messages=HELLO, stream=True) as it:
        lines = list(it.iter_lines())

    assert lines
    assert [run.status for run in recorder.runs] == ["ok"]


def test_response_that_is_held(client: Any) -> None:
    """
    Who holds the response of a stream does not hold the stream; to close it then is late.
    """
    recorder = Recorder()

    with callbacks(recorder):
        stream = client.chat.completions.create(model="m", messages=HELLO, stream=True)
        next(stream)
        response = stream.response
        del stream
        gc.collect()
        before = [run.status for run in recorder.runs]
        response.close()

    assert before == [run.status for run in recorder.runs] == ["abandoned"]
