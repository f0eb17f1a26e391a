"""
Tokens of a stream: every handler hears each one once, whatever the others do.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from instrument import callbacks, current_run, traced
from instrument._runs.ending import finish
from instrument._traced import stream as reading
from instrument.testing import Recorder

pytestmark = pytest.mark.anyio
both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


@traced.llm
def stream() -> Iterator[str]:
    """
    Stream three tokens, one of them empty.
    """
    yield from ("a", "", "b")


@traced.llm
async def astream() -> AsyncIterator[str]:
    """
    The same in async code.
    """
    for token in ("a", "", "b"):
        yield token


@traced.llm
def by_hand() -> None:
    """
    Tell the same tokens in a plain function.
    """
    for token in ("a", "b"):
        current_run().token(token)


async def consume(how: str) -> None:
    """
    Run one of them to its end.
    """
    if how == "generator":
        list(stream())
    elif how == "async generator":
        _ = [token async for token in astream()]
    else:
        by_hand()


every_way = pytest.mark.parametrize("how", ["sync", "generator", "async generator"])


def fail(token: str) -> None:
    """
    Fail at each token.
    """
    raise ValueError(token)


def leave(token: str) -> None:
    """
    Try to end the program at each token.
    """
    raise SystemExit(token)


def answer(token: str) -> bool:
    """
    Answer something.
    """
    return True


async def wait(token: str) -> None:
    """
    Wait a little.
    """
    await anyio.lowlevel.checkpoint()


async def wait_and_fail(token: str) -> None:
    """
    Wait a little and fail.
    """
    await anyio.lowlevel.checkpoint()
    raise ValueError(token)


def use(token: str) -> None:
    """
    Use something traced.
    """
    list(stream())


ODD: list[Callable[[str], Any]] = [fail, leave, answer, wait, wait_and_fail, use]


@both_backends
@every_way
@pytest.mark.parametrize("odd", ODD, ids=[odd.__name__ for odd in ODD])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.rule(13, "sync", "generator", "async generator")
async def test_every_handler_hears_each_token_once(
    how: str, odd: Callable[[str], Any], place: int
) -> None:
    """
    A handler that fails, answers, waits or calls does not cost another a token.
    """
    heard: list[list[str]] = [[], []]
    handlers = [SimpleNamespace(on_llm_new_token=h.append) for h in heard]
    handlers.insert(place, SimpleNamespace(on_llm_new_token=odd))

    async with callbacks(*handlers):
        await consume(how)

    assert heard == [["a", "b"], ["a", "b"]]


@both_backends
@every_way
@pytest.mark.parametrize("odd", ODD, ids=[odd.__name__ for odd in ODD])
@pytest.mark.rule(13, "sync", "generator", "async generator")
async def test_recorder_beside_an_odd_handler(
    how: str, odd: Callable[[str], Any]
) -> None:
    """
    The same where somebody takes events: tokens, first-token time and text are whole.
    """
    recorder = Recorder()

    async with callbacks(on_llm_new_token=odd), callbacks(recorder):
        await consume(how)

    tokens = [e.data["token"] for e in recorder.events if "token" in e.data]
    assert tokens == ["a", "b"]
    assert len(recorder.runs) == 1
    assert recorder.runs[0].time_to_first_token_s is not None


@every_way
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.rule(13, "sync", "generator", "async generator")
async def test_raise_error_after_all_have_heard(how: str, place: int) -> None:
    """
    A handler that may stop the stream does so when all have heard the token.
    """
    heard: list[str] = []
    handlers = [SimpleNamespace(on_llm_new_token=heard.append)]
    stopper = SimpleNamespace(on_llm_new_token=fail, raise_error=True)
    handlers.insert(place, stopper)

    with callbacks(*handlers), pytest.raises(ValueError, match="a"):
        await consume(how)

    assert heard == ["a"]


@every_way
@pytest.mark.rule(17, "sync", "generator", "async generator")
async def test_body_is_heard_after_a_token(how: str) -> None:
    """
    A token leaves nothing muted, neither in the body nor in the consumer.
    """
    recorder = Recorder()
    tool: Any = traced.tool(lambda: None)

    @traced.llm
    def model() -> Iterator[str]:
        tool()
        yield "a"
        tool()

    @traced.llm
    async def amodel() -> AsyncIterator[str]:
        tool()
        yield "a"
        tool()

    with callbacks(recorder, on_llm_new_token=answer):
        if how == "generator":
            for _ in model():
                tool()
        elif how == "async generator":
            async for _ in amodel():
                tool()
        else:
            with traced("model", kind="llm") as run:
                tool()
                run.token("a")
                tool()
            tool()

    depths = [run.depth for run in recorder.find(kind="tool")]
    assert depths == ([1, 1, 0] if how == "sync" else [1, 0, 1])


@every_way
@pytest.mark.rule(15, "sync", "generator", "async generator")
async def test_token_keywords(how: str) -> None:
    """
    Each token carries the same keywords, however it came.
    """
    heard: list[dict[str, Any]] = []

    def hear(token: str, **kwargs: Any) -> None:
        heard.append(kwargs)

    with callbacks(SimpleNamespace(on_llm_new_token=hear), tags=["t"]):
        await consume(how)

    run = heard[0]["run"]
    assert [set(kwargs) for kwargs in heard] == [
        {"chunk", "run_id", "parent_run_id", "tags", "run"}
    ] * 2
    assert heard[0]["run_id"] == run.id
    assert heard[0]["tags"] == ["t"]
    assert heard[0]["tags"] is not heard[1]["tags"]


@every_way
@pytest.mark.rule(15, "sync", "generator", "async generator")
async def test_token_that_nobody_hears(how: str) -> None:
    """
    A token is timed and collected though no handler takes tokens.
    """
    ended: list[Any] = []

    with callbacks(on_llm_end=lambda response, run: ended.append((response, run))):
        await consume(how)

    response, run = ended[0]
    assert run.time_to_first_token_s is not None
    assert response.generations[0][0].text == ("" if how == "sync" else "ab")


def test_chunks_behind_the_end_of_a_run() -> None:
    """
    What comes behind the end of its run is given on, and told to nobody.
    """
    recorder = Recorder()

    @traced.llm
    def ask() -> Iterator[str]:
        yield "a"
        finish(current_run(), None)
        yield "b"

    tokens: list[str] = []
    with callbacks(on_llm_new_token=tokens.append):
        assert list(ask()) == ["a", "b"]
        with callbacks(recorder):
            assert list(ask()) == ["a", "b"]

    assert tokens == ["a", "a"]
    assert [it.event for it in recorder.events][1:] == [
        "on_llm_new_token",
        "on_llm_end",
    ]


def test_chunk_that_cannot_be_read(
    reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A chunk at which the reader fails is given on, and tells nothing.
    """

    def fail(*_: object) -> None:
        raise LookupError("a shape that nobody knows")

    @traced.chat_model
    def ask() -> Iterator[Any]:
        yield {"choices": [{"delta": {"content": "a"}}]}

    recorder = Recorder()
    monkeypatch.setattr(reading, "take", fail)
    with callbacks(recorder):
        assert len(list(ask())) == 1

    assert [it.event for it in recorder.events] == ["on_chat_model_start", "on_llm_end"]
    assert "a shape that nobody knows" in reports[0]


def test_chunk_with_code_of_its_own(reports: list[str]) -> None:
    """
    A chunk is read as the dict that it is: what its class does is not asked.
    """

    class Broken(dict[str, Any]):
        def get(self, *args: Any) -> Any:
            raise LookupError("nothing to see")

    @traced.chat_model
    def ask() -> Iterator[Any]:
        yield Broken(choices=[{"delta": {"content": "a"}}])

    recorder = Recorder()
    with callbacks(recorder):
        assert len(list(ask())) == 1

    tokens = [e.data["token"] for e in recorder.events if "token" in e.event]
    assert tokens == ["a"]
    assert not reports


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("is_record", [True, False])
@pytest.mark.rule(8, "generator", "async generator")
async def test_chunk_of_several_pieces(is_record: bool) -> None:
    """
    Each piece of a chunk is told on its channel, and its text is all in the answer.
    """
    parts = [{"text": "hm", "thought": True}, {"text": "a"}, {"text": "b"}]
    chunk = {"candidates": [{"content": {"parts": parts}}]}
    heard: list[str] = []
    ended: list[Any] = []
    recorder = Recorder()

    async def hear(token: str) -> None:
        heard.append(token)

    @traced.chat_model
    def ask() -> Iterator[Any]:
        yield chunk

    @traced.chat_model
    async def aask() -> AsyncIterator[Any]:
        yield chunk

    with (
        callbacks(on_llm_end=ended.append),
        callbacks(on_llm_new_token=heard.append),
        callbacks(*[recorder] * is_record),
    ):
        list(ask())
        _ = [item async for item in aask()]
        async with callbacks(on_llm_new_token=hear):
            _ = [item async for item in aask()]

    assert heard == ["a", "b"] * 2 + ["a", "a", "b", "b"]
    assert [each.generations[0][0].text for each in ended] == ["ab"] * 3
    told = [e.data for e in recorder.events if e.event == "on_llm_new_token"]
    channels = [data["channel"] for data in told]
    assert channels == ["reasoning", "text", "text"] * (3 * is_record)
