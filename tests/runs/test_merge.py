"""
One run per logical call: rule 12, with models of one's own.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from anyio.lowlevel import checkpoint

from instrument import callbacks, current_run, traced
from instrument._hearing.calls import Asked, Own, abegin, begin
from instrument._runs import merging as _merge
from instrument._runs.merging import Inner, Nested
from instrument._runs.opening import Recipe
from instrument._state import set_state
from instrument.testing import Recorder

pytestmark = pytest.mark.anyio

ANSWER = {
    "id": "r1",
    "model": "m-2026",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "inner"},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2},
}
VECTORS = {
    "data": [{"embedding": [0.1, 0.2]}],
    "usage": {"prompt_tokens": 3, "total_tokens": 3},
}


def chunk(text: str) -> dict[str, Any]:
    """
    Make a piece of a stream.
    """
    return {"choices": [{"index": 0, "delta": {"content": text}}]}


def request(kind: str = "chat_model") -> Asked:
    """
    Make what a provider is asked for.
    """
    given: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}], "n": 1}
    return Asked(Recipe("sdk.chat", kind), dict, given, "sdk", "m")


def call(kind: str = "chat_model", answer: object = ANSWER) -> None:
    """
    Call a provider, as an SDK would.
    """
    heard = begin(request(kind))
    if heard is not None:
        heard.returned(answer)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """
    Hear what a test does.
    """
    recorder = Recorder()
    with callbacks(recorder):
        yield recorder


@pytest.mark.rule(12, "sync")
def test_call_alone(recorder: Recorder) -> None:
    """
    A call under no model is a run of its own; so is one under a tool.
    """
    call()
    with traced("tool", kind="tool"):
        call()

    assert recorder.tree() == (
        "chat_model sdk.chat: ok\ntool tool: ok\n  chat_model sdk.chat: ok"
    )
    run = recorder.runs[0]
    assert (run.model, run.provider, run.params) == ("m-2026", "sdk", {"n": 1})
    assert run.inputs == [{"role": "user", "content": "hi"}]


async def test_nobody_listens() -> None:
    """
    Where nobody listens there is no call to follow.
    """
    assert begin(request()) is None
    assert await abegin(request()) is None


def test_call_that_fails(recorder: Recorder) -> None:
    """
    A call that fails ends its run with what was raised.
    """
    heard = begin(request())
    assert heard is not None
    heard.raised(LookupError())

    assert recorder.tree() == "chat_model sdk.chat: error LookupError"


@pytest.mark.rule(12, "sync")
def test_first_call_inside_a_model(recorder: Recorder) -> None:
    """
    The first call inside a model's run is part of it, and tells what it knows better.
    """

    @traced.chat_model("mine")
    def ask(question: str) -> str:
        call()
        assert current_run().name == "mine"
        return "outer"

    ask("hi")

    (run,) = recorder.runs
    last = recorder.events[-1].data
    assert (run.model, run.provider, run.params) == ("m-2026", "sdk", {"n": 1})
    assert (last["text"], last["finish_reason"]) == ("outer", "stop")
    assert last["response_id"] == "r1"
    assert last["usage"] == {"input_tokens": 3, "output_tokens": 2}


@pytest.mark.rule(12, "sync")
def test_second_call_inside_a_model(recorder: Recorder) -> None:
    """
    A second call, as of a retry, is a child.
    """

    @traced.llm("mine")
    def ask() -> None:
        call()
        call()

    ask()

    assert recorder.tree() == "llm mine: ok\n  chat_model sdk.chat: ok"


def test_what_the_body_tells_itself(recorder: Recorder) -> None:
    """
    Usage and parameters that the body has told are kept.
    """

    @traced.chat_model("mine", model="named")
    def ask(question: str, temperature: float) -> str:
        call()
        current_run().record_usage(input_tokens=7)
        return "outer"

    ask("hi", 0.5)

    (run,) = recorder.runs
    assert run.usage.to_dict() == {"input_tokens": 7}
    assert run.params == {"temperature": 0.5}


def test_model_that_fails(recorder: Recorder) -> None:
    """
    A model that fails after its call has returned tells what that has used.
    """

    @traced.chat_model("mine")
    def ask() -> None:
        call()
        raise LookupError

    with pytest.raises(LookupError):
        ask()

    (run,) = recorder.runs
    assert run.status == "error"
    assert run.usage.input_tokens == 3


def test_call_that_fails_inside(recorder: Recorder) -> None:
    """
    A call inside that fails ends nothing: its model may go on.
    """

    @traced.chat_model("mine")
    def ask() -> str:
        heard = begin(request())
        assert isinstance(heard, Inner)
        heard.raised(LookupError())
        return "all the same"

    ask()

    assert recorder.tree() == "chat_model mine: ok"


async def test_stream_inside_a_model_for_async_handlers() -> None:
    """
    Async handlers have heard a token of the call inside before its consumer goes on.
    """
    heard: list[str] = []

    async def hear(token: str, **kwargs: Any) -> None:
        await checkpoint()
        heard.append(token)

    @traced.chat_model("mine")
    async def ask() -> None:
        called = await abegin(request())
        assert isinstance(called, Inner)
        called.go_on(in_pieces=True)
        for count, text in enumerate("ab", 1):
            await called.aitem(chunk(text))
            assert len(heard) == count
        await called.areturned(None)

    async with callbacks(on_llm_new_token=hear):
        await ask()

    assert heard == ["a", "b"]


def test_usage_of_several_calls_inside(recorder: Recorder) -> None:
    """
    What a second call used is its own run's alone: a handler that adds up counts it once.
    """

    @traced.chat_model("mine")
    def ask() -> dict[str, Any]:
        heard = begin(request())
        assert heard is not None
        heard.raised(LookupError())
        call()
        return ANSWER

    ask()

    assert recorder.tree() == "chat_model mine: ok\n  chat_model sdk.chat: ok"
    assert [run.usage.input_tokens for run in recorder.runs] == [None, 3]


def test_stream_inside_a_model(recorder: Recorder) -> None:
    """
    Tokens of the call inside are the model's, where it yields none of its own.
    """

    @traced.chat_model("mine")
    def ask() -> str:
        heard = begin(request())
        assert heard is not None
        heard.go_on(in_pieces=True)
        for text in ("a", "b"):
            outside = heard.enter()
            heard.leave(outside)
            heard.item(chunk(text))
        heard.returned(None)
        return "ab"

    ask()

    tokens = [e.data["token"] for e in recorder.events if "token" in e.event]
    assert tokens == ["a", "b"]
    assert recorder.tree() == "chat_model mine: ok"


@pytest.mark.rule(12, "generator")
def test_stream_inside_a_generator(recorder: Recorder) -> None:
    """
    A model that yields its own tokens is heard by those alone.
    """

    @traced.chat_model("mine")
    def ask() -> Iterator[str]:
        heard = begin(request())
        assert heard is not None
        heard.go_on(in_pieces=True)
        heard.item(chunk("inner"))
        heard.returned(None)
        yield "outer"

    list(ask())

    tokens = [e.data["token"] for e in recorder.events if "token" in e.event]
    assert tokens == ["outer"]


@pytest.mark.rule(12, "async generator")
async def test_stream_inside_an_async_generator(recorder: Recorder) -> None:
    """
    So is one that yields them in async code.
    """

    @traced.chat_model("mine")
    async def ask() -> AsyncIterator[str]:
        heard = await abegin(request())
        assert heard is not None
        heard.go_on(in_pieces=True)
        await heard.aitem(chunk("inner"))
        await heard.areturned(None)
        yield "outer"

    assert [piece async for piece in ask()] == ["outer"]

    tokens = [e.data["token"] for e in recorder.events if "token" in e.event]
    assert tokens == ["outer"]
    assert recorder.tree() == "chat_model mine: ok"


def test_call_inside_the_part(recorder: Recorder) -> None:
    """
    What the call inside calls itself is part of the same run.
    """

    @traced.chat_model("mine")
    def ask() -> None:
        heard = begin(request())
        assert begin(request()) is None
        assert heard is not None
        heard.returned(ANSWER)

    ask()

    assert recorder.tree() == "chat_model mine: ok"


def test_other_sorts(recorder: Recorder) -> None:
    """
    An embedding inside a chat model is a child; inside an embedding it is part of it.
    """

    @traced.chat_model("mine")
    def ask() -> None:
        call("embedding", VECTORS)

    @traced.embedding("vectors")
    def embed() -> None:
        call("embedding", VECTORS)

    ask()
    embed()

    assert recorder.tree() == (
        "chat_model mine: ok\n  embedding sdk.chat: ok\nembedding vectors: ok"
    )
    assert [run.usage.input_tokens for run in recorder.runs] == [None, 3, 3]


def test_block_in_the_body(recorder: Recorder) -> None:
    """
    Handlers of a block that is opened in the model's body hear the call, as a child.
    """
    inner = Recorder()

    @traced.chat_model("mine")
    def ask() -> None:
        with callbacks(inner):
            call()

    @traced.chat_model("again")
    def ask_again() -> None:
        with callbacks(tags=["t"]):
            call()

    ask()
    ask_again()

    assert inner.tree() == "chat_model sdk.chat: ok"
    assert recorder.tree() == (
        "chat_model mine: ok\n  chat_model sdk.chat: ok\nchat_model again: ok"
    )


def test_children(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where children are asked for, each call is one.
    """
    monkeypatch.setattr(Nested, "opens_children", True)

    @traced.chat_model("mine")
    def ask() -> None:
        call()

    ask()

    assert recorder.tree() == "chat_model mine: ok\n  chat_model sdk.chat: ok"


def test_model_of_a_framework(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A call in the model that a framework has in hand is part of that, or its child.
    """
    with traced("framework", kind="chat_model") as run:
        asked: list[Any] = [lambda: None, lambda: run]
        monkeypatch.setattr(_merge, "models", asked)
        set_state(run._outer)
        call()
        call()
        set_state(run)

    assert run._inner is not None
    assert [it.parent_id for it in recorder.runs] == [None, run.id]


def test_secrets_of_the_call_inside() -> None:
    """
    Parameters of the call inside are redacted, or left out, as the model's own.
    """
    recorder = Recorder()

    @traced.chat_model("mine")
    def ask() -> None:
        call()

    with callbacks(recorder, redact=["n"]):
        ask()
    with callbacks(recorder, capture=False):
        ask()

    hidden, left_out = (run.params for run in recorder.runs)
    assert hidden["n"] != 1
    assert left_out == {}


def test_result_that_comes_later(recorder: Recorder) -> None:
    """
    A call whose whole result is read later is not current meanwhile.
    """
    heard = begin(request())
    assert isinstance(heard, Own)
    assert heard.enter() is heard.run
    heard.leave(None)
    heard.go_on(in_pieces=False)

    assert not current_run()
    outside = heard.enter()
    assert current_run() is heard.run
    heard.leave(outside)
    heard.returned(ANSWER)

    assert recorder.events[-1].data["text"] == "inner"


@pytest.mark.rule(12, "async")
@pytest.mark.parametrize("fails", [False, True])
async def test_in_async_code(recorder: Recorder, fails: bool) -> None:
    """
    The twins do the same in async code, for a call alone and for one inside.
    """

    async def ask(*, in_pieces: bool) -> None:
        heard = await abegin(request())
        assert heard is not None
        if in_pieces:
            heard.go_on(in_pieces=True)
            await heard.aitem(chunk("a"))
        if fails:
            await heard.araised(LookupError())
        else:
            await heard.areturned(None if in_pieces else ANSWER)

    for in_pieces in (False, True):
        await ask(in_pieces=in_pieces)
        async with traced("mine", kind="chat_model"):
            await ask(in_pieces=in_pieces)

    assert [run.name for run in recorder.runs] == ["sdk.chat", "mine"] * 2
    tokens = [e.data["token"] for e in recorder.events if "token" in e.event]
    assert tokens == ["a", "a"]


def test_stream_that_fails(recorder: Recorder) -> None:
    """
    A stream that fails or is dropped ends with what there was of it.
    """
    for drop in (False, True):
        heard = begin(request())
        assert heard is not None
        heard.go_on(in_pieces=True)
        heard.item(chunk("a"))
        if not drop:
            heard.raised(LookupError())
            heard.returned(None)  # which says nothing more
        del heard

    assert [run.status for run in recorder.runs] == ["error", "abandoned"]
    ends = [e.data["text"] for e in recorder.events if e.event == "on_llm_error"]
    assert ends == ["a", "a"]


def test_piece_after_the_end() -> None:
    """
    A piece that comes when the call has ended is told to nobody.
    """
    tokens: list[str] = []

    def tell(token: str) -> None:
        tokens.append(token)

    with callbacks(on_llm_new_token=tell):
        heard = begin(request())
        assert heard is not None
        heard.go_on(in_pieces=True)
        heard.item(chunk("a"))
        heard.returned(None)
        heard.item(chunk("late"))

    assert tokens == ["a"]


@pytest.mark.rule(13, "sync", "async")
async def test_stream_goes_on_after_a_token_that_was_refused(mode: str) -> None:
    """
    A stream that is read on, after a handler has stopped it at a piece, is told on.
    """
    heard: list[str] = []

    class Stops:
        raise_error = True

        def on_llm_new_token(self, token: str, **_: Any) -> None:
            heard.append(token)
            if token == "a":
                raise LookupError

    async def take(stream: Own, text: str) -> None:
        if mode == "sync":
            stream.item(chunk(text))
        else:
            await stream.aitem(chunk(text))

    with callbacks(Stops()):
        stream = begin(request())
        assert isinstance(stream, Own)
        run = stream.run
        stream.go_on(in_pieces=True)
        with pytest.raises(LookupError):
            await take(stream, "a")
        await take(stream, "b")
        stream.returned(None)

    assert heard == ["a", "b"]
    assert run.outputs == "ab"
