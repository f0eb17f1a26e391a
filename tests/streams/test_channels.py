"""
Channels: what a piece of an answer is, and who hears which.
"""

import functools
import io
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from unittest.mock import MagicMock

import pytest
from loguru import logger

from instrument import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    callbacks,
    current_run,
    traced,
)
from instrument.exceptions import BudgetExceeded
from instrument.handlers import (
    BudgetHandler,
    StreamingStdOutCallbackHandler,
    TokenStream,
    background,
    filtered,
)
from instrument.testing import Recorder

pytestmark = pytest.mark.anyio

PIECES = [("hm", "reasoning"), ("hey", "text"), ('{"a"', "tool_call"), ("!", "text")]
TEXT = [piece for piece, channel in PIECES if channel == "text"]


def chunk(piece: str, channel: str) -> dict[str, Any]:
    """
    Give what an SDK would say of a piece.
    """
    call = {"index": 0, "id": "1", "function": {"name": "f", "arguments": piece}}
    says = {
        "text": {"content": piece},
        "reasoning": {"reasoning_content": piece},
        "tool_call": {"tool_calls": [call]},
    }
    return {"choices": [{"index": 0, "delta": says[channel]}]}


@traced.chat_model
def generator() -> Iterator[Any]:
    """
    Yield chunks.
    """
    for piece in PIECES:
        yield chunk(*piece)


@traced.chat_model
async def async_generator() -> AsyncIterator[Any]:
    """
    The same in async code.
    """
    for piece in PIECES:
        yield chunk(*piece)


@traced.chat_model
def by_hand() -> None:
    """
    Tell pieces with `run.token`.
    """
    for piece, channel in PIECES:
        current_run().token(piece, channel=channel)


@traced.chat_model
async def async_by_hand() -> None:
    """
    The same in async code.
    """
    for piece, channel in PIECES:
        pending = current_run()._atoken(piece, channel=channel)
        if pending is not None:
            await pending


async def drained(stream: AsyncIterator[Any]) -> None:
    """
    Read it all.
    """
    async for _ in stream:
        pass


ROADS: list[Callable[[], Any]] = [
    lambda: list(generator()),
    lambda: drained(async_generator()),
    by_hand,
    async_by_hand,
]


async def along(road: Callable[[], Any]) -> None:
    """
    Call a model.
    """
    pending = road()
    if hasattr(pending, "__await__"):
        await pending


roads = pytest.mark.parametrize("road", ROADS, ids=["sync", "async", "told", "atold"])


class Asks(BaseCallbackHandler):
    """
    Names the channel, and so hears all.
    """

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def on_llm_new_token(self, token: str, *, channel: str = "", **kwargs: Any) -> None:
        self.heard.append((token, channel))


class Bare(Asks):
    """
    Takes nothing else.
    """

    def on_llm_new_token(self, token: str, channel: str) -> None:  # type: ignore[override]
        self.heard.append((token, channel))


class Decorated(Asks):
    """
    Is behind a decorator, which hides its parameters.
    """

    @functools.wraps(Asks.on_llm_new_token)
    def on_llm_new_token(self, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        Asks.on_llm_new_token(self, *args, **kwargs)


class AsyncAsks(AsyncCallbackHandler):
    """
    Is awaited.
    """

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    async def on_llm_new_token(
        self, token: str, *, channel: str = "", **kwargs: Any
    ) -> None:
        self.heard.append((token, channel))


class Silent(BaseCallbackHandler):
    """
    Takes whatever it is given, and asks for nothing.
    """

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        self.heard.append((token, kwargs))


@roads
@pytest.mark.parametrize("handler", [Asks, Bare, Decorated, AsyncAsks])
async def test_who_names_the_channel_hears_all(
    road: Callable[[], Any], handler: Any
) -> None:
    """
    A handler with a parameter called ``channel`` hears every piece, and what it is.
    """
    asks = handler()

    async with callbacks(asks):
        await along(road)

    assert asks.heard == PIECES


@roads
async def test_others_hear_the_text(road: Callable[[], Any]) -> None:
    """
    Others hear the text, and are told no channel: ``**kwargs`` asks for nothing.
    """
    silent, mock = Silent(), MagicMock(raise_error=False)
    texts: list[str] = []

    with callbacks(silent, mock, on_llm_new_token=texts.append):
        await along(road)

    assert [token for token, _ in silent.heard] == TEXT
    assert "channel" not in silent.heard[0][1]
    assert [call.args[0] for call in mock.on_llm_new_token.call_args_list] == TEXT
    assert texts == TEXT


@roads
async def test_events_tell_the_channel(road: Callable[[], Any]) -> None:
    """
    Who takes events hears all.
    """
    recorder = Recorder()

    with callbacks(recorder):
        await along(road)

    told = [it.data for it in recorder.events if it.event == "on_llm_new_token"]
    assert [(data["token"], data["channel"]) for data in told] == PIECES


@pytest.mark.parametrize("wrap", [background, lambda it: filtered(it, names="by_hand")])
def test_wrappers_ask_what_they_wrap(wrap: Callable[[Any], Any]) -> None:
    """
    A wrapped handler hears what it would hear by itself.
    """
    asks, silent = Asks(), Silent()

    with callbacks(wrap(asks), wrap(silent)):
        by_hand()

    assert asks.heard == PIECES
    assert [token for token, _ in silent.heard] == TEXT


def test_functions_and_partials() -> None:
    """
    A function or a partial object that names the channel hears all; ``print`` the text.
    """
    heard: list[Any] = []

    @traced.chat_model
    def thinks() -> None:
        current_run().token("hm", None, "reasoning")

    def hear(into: list[Any], token: str, channel: str) -> None:
        into.append((token, channel))

    with (
        callbacks(on_llm_new_token=functools.partial(hear, heard)),
        callbacks(on_llm_new_token=lambda token, channel: heard.append(channel)),
        callbacks(on_llm_new_token=iter),
    ):
        thinks()

    assert heard == [("hm", "reasoning"), "reasoning"]


def test_unknown_channel() -> None:
    """
    A piece of another channel is told as text, and that is said.
    """
    said: list[Any] = []
    sink = logger.add(said.append, format="{message}")
    asks = Asks()

    with callbacks(asks):
        traced.chat_model(lambda: current_run().token("la", None, "song"))()
    logger.remove(sink)

    assert asks.heard == [("la", "text")]
    assert "channel='song'" in said[0]


@roads
@pytest.mark.parametrize("channel", ["reasoning", "tool_call"])
async def test_any_channel_is_a_first_token(
    road: Callable[[], Any], channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The time to the first token is that to the first piece, also where none hears it.
    """
    monkeypatch.setitem(globals(), "PIECES", [("x", channel)])
    ended: list[Any] = []

    with callbacks(on_llm_end=lambda response, run: ended.append(run)):
        await along(road)

    assert ended[0].time_to_first_token_s is not None


@roads
async def test_budget_counts_every_channel(road: Callable[[], Any]) -> None:
    """
    A budget stops a model that thinks too long.
    """
    with (
        callbacks(BudgetHandler(max_tokens=2)),
        pytest.raises(BudgetExceeded) as caught,
    ):
        await along(road)

    assert caught.value.value == 3


@pytest.mark.parametrize(
    "channels, written",
    [
        (("text",), "hey!"),
        (("reasoning",), "hm"),
        (["text", "tool_call"], 'hey{"a"!'),
        ({"text", "reasoning", "tool_call"}, 'hmhey{"a"!'),
    ],
)
def test_channels_are_chosen(channels: Any, written: str) -> None:
    """
    `StreamingStdOutCallbackHandler` and `TokenStream` give what they are asked for.
    """
    out = io.StringIO()
    stream = TokenStream(channels=channels)

    with callbacks(StreamingStdOutCallbackHandler(out, channels=channels), stream):
        by_hand()

    assert out.getvalue() == "".join(stream) == written


@pytest.mark.parametrize("make", [StreamingStdOutCallbackHandler, TokenStream])
@pytest.mark.parametrize(
    "channels, error",
    [
        ("text", TypeError),
        (None, TypeError),
        ((), ValueError),
        (["song"], ValueError),
        ([["text"]], ValueError),
    ],
)
def test_wrong_channels(
    make: Callable[..., Any], channels: Any, error: type[Exception]
) -> None:
    """
    What is no list of channels is refused, with those that there are.
    """
    with pytest.raises(error, match=r"channels=.*text, reasoning, tool_call"):
        make(channels=channels)


def test_answers_have_text_only() -> None:
    """
    A traced stream's answer is its text; what else it said stands beside that.
    """
    recorder = Recorder()

    with callbacks(recorder):
        list(generator())

    data = recorder.events[-1].data
    assert (data["text"], data["reasoning"]) == ("hey!", "hm")
    assert recorder.runs[0].outputs == "hey!"
