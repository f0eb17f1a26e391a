"""
``wrap(client)`` and what only the SDKs of OpenAI's and Anthropic's make have: helpers,
raw responses, copies, retries, timeouts.
"""

import asyncio
import gc
import json
import sys
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from wrapt import ObjectProxy

import instrument
from instrument import auto, callbacks, traced, wrap
from instrument.testing import Recorder

openai = pytest.importorskip("openai")
pydantic = pytest.importorskip("pydantic")

if TYPE_CHECKING:
    from tests.integrations.provider import Provider

PROVIDER: Any = import_module("provider")
facts: Any = import_module("facts")
HELLO: list[Any] = import_module("sdks").HELLO
ASKED: dict[str, Any] = {"model": "m", "messages": HELLO}
USAGE = instrument.Usage(11, 4, 8, None, 2)


class Person(pydantic.BaseModel):  # type: ignore[misc, name-defined]
    """
    What the fake provider answers where an object is asked for.
    """

    name: str
    age: int


def told(recorder: Recorder) -> list[str]:
    """
    Name the events that one run told, tokens left out.
    """
    assert len(recorder.runs) == 1
    return [e.event for e in recorder.events if e.event != "on_llm_new_token"]


def parsed(client: Any) -> Any:
    return client.chat.completions.parse(**ASKED, response_format=Person)


def helper(client: Any) -> Any:
    with client.chat.completions.stream(**ASKED) as stream:
        stream.until_done()
        return stream.get_final_completion()


def response(client: Any) -> Any:
    return client.responses.create(model="m", input="hi")


def response_helper(client: Any) -> Any:
    with client.responses.stream(model="m", input="hi") as stream:
        return stream.get_final_response()


def response_parsed(client: Any) -> Any:
    return client.responses.parse(model="m", input="hi", text_format=Person)


def raw(client: Any) -> Any:
    return client.chat.completions.with_raw_response.create(**ASKED).parse()


def raw_unread(client: Any) -> Any:
    return client.chat.completions.with_raw_response.create(**ASKED)


def raw_stream(client: Any) -> Any:
    given = {**ASKED, "stream": True}
    return list(client.chat.completions.with_raw_response.create(**given).parse())


def streaming_response(client: Any) -> Any:
    create = client.chat.completions.with_streaming_response.create
    with create(**ASKED) as answer:
        return answer.parse()


def streaming_response_json(client: Any) -> Any:
    create = client.chat.completions.with_streaming_response.create
    with create(**ASKED) as answer:
        return answer.json()


def streaming_response_of_a_stream(client: Any) -> Any:
    create = client.chat.completions.with_streaming_response.create
    with create(**ASKED, stream=True) as answer:
        return list(answer.parse())


def streaming_response_lines(client: Any) -> Any:
    create = client.chat.completions.with_streaming_response.create
    with create(**ASKED, stream=True) as answer:
        return list(answer.iter_lines())


def in_a_block(client: Any) -> Any:
    with client.chat.completions.create(**ASKED, stream=True) as stream:
        return list(stream)


def copied(client: Any) -> Any:
    return client.with_options(timeout=9).copy().chat.completions.create(**ASKED)


def completion(client: Any) -> Any:
    return client.completions.create(model="m", prompt="hi")


WAYS = [
    parsed,
    helper,
    response,
    response_helper,
    response_parsed,
    raw,
    raw_unread,
    raw_stream,
    streaming_response,
    streaming_response_json,
    streaming_response_of_a_stream,
    streaming_response_lines,
    in_a_block,
    copied,
    completion,
]


@pytest.mark.parametrize("call", WAYS, ids=lambda call: call.__name__)
def test_each_way_of_asking(call: Any, client: Any, provider: "Provider") -> None:
    """
    However a client is asked, that is one run, and the same bytes are sent.
    """
    recorder = Recorder()

    with callbacks(recorder):
        heard = call(client)
    with openai.OpenAI(api_key="k", base_url=provider.url + "/v1") as other:
        plain = call(other)

    assert told(recorder)[1:] == ["on_llm_end"]
    assert recorder.runs[0].model == "m"
    assert type(heard).__name__ == type(plain).__name__
    assert provider.requests[0].body == provider.requests[1].body
    text = recorder.events[-1].data["text"]
    if "parsed" in call.__name__:
        assert json.loads(text) == {"name": "Ada", "age": 36}
    elif "lines" not in call.__name__:
        assert text == "Hello world"


@pytest.mark.parametrize(
    "call", [raw_stream, streaming_response_of_a_stream, helper, in_a_block]
)
def test_tokens_of_each_way(call: Any, client: Any) -> None:
    """
    However a stream is asked for, its tokens are told once each.
    """
    recorder = Recorder()

    with callbacks(recorder):
        call(client)

    assert facts.tokens(recorder) == ["Hel", "lo ", "wor", "ld"]
    assert recorder.runs[0].usage == instrument.Usage()


def test_what_a_response_tells(client: Any) -> None:
    """
    A response tells its instructions as a system message, and what it was asked with.
    """
    recorder = Recorder()

    with callbacks(recorder):
        client.responses.create(
            model="think", input="hi", instructions="be brief", temperature=0
        )

    start, end = recorder.events
    assert start.data["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi"},
    ]
    assert start.data["params"] == {"temperature": 0}
    assert end.data["reasoning"] == "Let me think."
    assert end.data["response_id"] == "resp_1"
    assert recorder.runs[0].usage == USAGE


BROKEN = [
    (401, ["AuthenticationError"]),
    (429, ["RateLimitError"]),
    (PROVIDER.MALFORMED, ["JSONDecodeError"]),
    (PROVIDER.CUT, ["APIConnectionError", "RemoteProtocolError"]),  # 3, and 2
    (PROVIDER.HANG, ["APITimeoutError"]),
]


@pytest.mark.parametrize("fate, names", BROKEN)
@pytest.mark.parametrize("stream", [False, True])
def test_what_goes_wrong(
    fate: Any, names: list[str], stream: bool, client: Any, provider: "Provider"
) -> None:
    """
    Whatever goes wrong ends the run once, with the object that the caller gets.
    """
    provider.will(fate)
    recorder = Recorder()
    hasty = client.with_options(max_retries=0, timeout=0.3)

    with callbacks(recorder), pytest.raises(Exception) as caught:
        answer = hasty.chat.completions.create(**ASKED, stream=stream)
        list(answer)

    assert type(caught.value).__name__ in names
    assert told(recorder) == ["on_chat_model_start", "on_llm_error"]
    assert recorder.runs[0].error is caught.value


def test_an_answer_that_cannot_be_parsed(client: Any, provider: "Provider") -> None:
    """
    A raw answer that breaks off ends the run with the error of who parses it.
    """
    provider.will(PROVIDER.MALFORMED)
    recorder = Recorder()
    create = client.chat.completions.with_streaming_response.create

    with (
        callbacks(recorder),
        pytest.raises(json.JSONDecodeError) as caught,
        create(**ASKED) as raw,
    ):
        raw.parse()

    assert told(recorder) == ["on_chat_model_start", "on_llm_error"]
    assert recorder.runs[0].error is caught.value


@pytest.mark.anyio
async def test_an_async_answer_that_cannot_be_parsed(
    aclient: Any, provider: "Provider"
) -> None:
    """
    The same of an async client.
    """
    provider.will(PROVIDER.MALFORMED)
    recorder = Recorder()
    create = aclient.chat.completions.with_streaming_response.create

    with callbacks(recorder), pytest.raises(json.JSONDecodeError) as caught:
        async with create(**ASKED) as raw:
            await raw.parse()

    assert recorder.runs[0].error is caught.value


def test_what_is_no_call_of_a_model(client: Any, provider: "Provider") -> None:
    """
    Other requests are no runs; that they are tried again is told to nobody.
    """
    provider.will(429, 404)
    recorder = Recorder()

    with callbacks(recorder), traced("mine"):
        with pytest.raises(openai.NotFoundError):
            client.moderations.create(input="hi")
        with pytest.raises(openai.APIStatusError):
            client.with_options(max_retries=0).models.list()

    assert told(recorder) == ["on_chain_start", "on_chain_end"]
    assert len(provider.requests) == 2


def test_what_the_sdk_does_not_know(client: Any) -> None:
    """
    Parameters that are sent beside those of the SDK are told like them.
    """
    recorder = Recorder()

    with callbacks(recorder):
        client.chat.completions.create(**ASKED, seed=1, extra_body={"top_k": 2})

    assert recorder.runs[0].params == {"seed": 1, "top_k": 2}


def left_by_break(stream: Any) -> None:
    for _ in stream:
        break
    stream.close()


def left_by_block(stream: Any) -> None:
    with stream:
        next(stream)


def left_by_error(stream: Any) -> None:
    with pytest.raises(KeyError), stream:
        raise KeyError


def dropped(stream: Any) -> None:
    next(stream)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of the SDK's own socket
@pytest.mark.parametrize(
    "leave", [left_by_break, left_by_block, left_by_error, dropped]
)
def test_ways_to_leave_a_stream(leave: Any, client: Any) -> None:
    """
    A stream that is not read to its end is abandoned, once.
    """
    recorder = Recorder()

    with callbacks(recorder):
        leave(client.chat.completions.create(**ASKED, stream=True))
        gc.collect()

    assert told(recorder) == ["on_chat_model_start", "on_llm_error"]
    assert recorder.runs[0].status == "abandoned"


def test_a_stream_keeps_its_type(client: Any) -> None:
    """
    A stream is the SDK's, with its response, and its own iterator.
    """
    with callbacks(Recorder()):
        stream = client.chat.completions.create(**ASKED, stream=True)
        list(stream)

    assert isinstance(stream, openai.Stream)
    assert type(stream).__name__ == "Stream"
    assert stream.response.status_code == 200


def test_a_stream_read_outside_its_block(client: Any) -> None:
    """
    A stream made inside a block is heard to its end outside of it.
    """
    recorder = Recorder()
    with callbacks(recorder):
        stream = client.chat.completions.create(**ASKED, stream=True)

    list(stream)

    assert facts.tokens(recorder) == ["Hel", "lo ", "wor", "ld"]
    assert told(recorder)[-1] == "on_llm_end"


def test_two_streams_at_once(client: Any) -> None:
    """
    Streams that are read in turns are heard apart, and are current in neither.
    """
    recorder = Recorder()

    with callbacks(recorder):
        made = [client.chat.completions.create(**ASKED, stream=True) for _ in "ab"]
        assert not instrument.current_run()
        for _ in zip(*made, strict=True):
            assert not instrument.current_run()

    assert [run.parent_id for run in recorder.runs] == [None, None]
    assert [run.status for run in recorder.runs] == ["ok", "ok"]


def test_inside_a_traced_model(client: Any) -> None:
    """
    Under ``@traced.chat_model`` the call is part of that run, which gets its usage.
    """
    recorder = Recorder()

    @traced.chat_model
    def model(question: str) -> str:
        answer = client.chat.completions.create(**ASKED)
        return str(answer.choices[0].message.content)

    with callbacks(recorder):
        model("hi")

    (run,) = recorder.runs
    assert run.usage == USAGE
    assert run.model == "m"


def test_a_subclass_of_the_users(provider: "Provider") -> None:
    """
    A client of the user's own class stays one, and calls what that class overrides.
    """
    recorder = Recorder()
    urls: list[str] = []

    class Own(openai.OpenAI):  # type: ignore[misc, name-defined]
        def request(self, cast_to: Any, options: Any, **kwargs: Any) -> Any:
            urls.append(options.url)
            return super().request(cast_to, options, **kwargs)

    with Own(api_key="k", base_url=provider.url + "/v1") as own, callbacks(recorder):
        wrapped = wrap(own)
        wrapped.chat.completions.create(**ASKED)

    assert isinstance(wrapped, Own)
    assert urls == ["/chat/completions"]
    assert recorder.runs[0].provider == "openai"


@pytest.mark.parametrize("call", [in_a_block, raw_stream, response, raw])
def test_results_in_a_proxy(call: Any, provider: "Provider") -> None:
    """
    What a tracer that patches the SDK has put a proxy around is heard behind it.
    """
    recorder = Recorder()

    class Patched(openai.OpenAI):  # type: ignore[misc, name-defined]
        def request(self, *args: Any, **kwargs: Any) -> Any:
            return ObjectProxy(super().request(*args, **kwargs))

    client = Patched(api_key="k", base_url=f"{provider.url}/v1")
    with client, callbacks(recorder):
        call(wrap(client))

    assert told(recorder)[1:] == ["on_llm_end"]
    assert recorder.events[-1].data["text"] == "Hello world"


def test_azure(provider: "Provider") -> None:
    """
    Azure's client keeps what only it has.
    """
    recorder = Recorder()
    azure = openai.AzureOpenAI(
        api_key="k", azure_endpoint=provider.url, api_version="1"
    )

    with azure, callbacks(recorder):
        wrap(azure).chat.completions.create(**ASKED)

    assert provider.requests[0].path.endswith("/chat/completions?api-version=1")
    assert told(recorder) == ["on_chat_model_start", "on_llm_end"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is of 3.12")
def test_beside_auto(client: Any) -> None:
    """
    A wrapped client that is heard automatically as well makes one run, each token once.
    """
    recorder = Recorder()
    auto.install()
    try:
        with callbacks(recorder):
            client.chat.completions.create(**ASKED)
            list(client.chat.completions.create(**ASKED, stream=True))
    finally:
        auto.uninstall()

    assert len(recorder.runs) == 2
    assert facts.tokens(recorder) == ["Hel", "lo ", "wor", "ld"]
    assert recorder.runs[0].usage == USAGE


@pytest.mark.anyio
async def test_async_helper(aclient: Any) -> None:
    """
    The async helper tells each token once.
    """
    recorder = Recorder()

    with callbacks(recorder):
        async with aclient.chat.completions.stream(**ASKED) as stream:
            await stream.until_done()

    assert facts.tokens(recorder) == ["Hel", "lo ", "wor", "ld"]
    assert told(recorder)[-1] == "on_llm_end"


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [False, True])
async def test_async_raw_responses(aclient: Any, stream: bool) -> None:
    """
    Async raw and streaming responses are one run each.
    """
    recorder = Recorder()
    completions = aclient.chat.completions

    with callbacks(recorder):
        got = await completions.with_raw_response.create(**ASKED, stream=stream)
        answer = got.parse()
        if stream:
            assert [chunk async for chunk in answer]
        create = completions.with_streaming_response.create
        async with create(**ASKED, stream=stream) as got:
            answer = await got.parse()
            if stream:
                assert [chunk async for chunk in answer]

    assert [run.status for run in recorder.runs] == ["ok", "ok"]
    texts = [e.data["text"] for e in recorder.events if e.event == "on_llm_end"]
    assert texts == ["Hello world", "Hello world"]


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["json", "iter_lines", "read", "nothing"])
@pytest.mark.parametrize("stream", [False, True])
async def test_async_streaming_responses(aclient: Any, how: str, stream: bool) -> None:
    """
    A response that is read without being parsed ends its run when it is closed; one
    that is not read at all was abandoned.
    """
    recorder = Recorder()
    create = aclient.chat.completions.with_streaming_response.create

    with callbacks(recorder):
        async with create(**ASKED, stream=stream) as answer:
            if how == "iter_lines":
                assert [line async for line in answer.iter_lines()]
            elif how != "nothing":
                with suppress(ValueError):  # the JSON of a stream
                    await getattr(answer, how)()

    (run,) = recorder.runs
    assert run.status == ("abandoned" if how == "nothing" else "ok")
    if how in ("json", "read") and not stream:
        assert run.usage == USAGE


@pytest.mark.anyio
async def test_cancelled(aclient: Any, provider: "Provider") -> None:
    """
    A cancelled call ends its run as cancelled.
    """
    provider.will(PROVIDER.HANG)
    recorder = Recorder()

    with callbacks(recorder):
        call = asyncio.ensure_future(aclient.chat.completions.create(**ASKED))
        assert await asyncio.to_thread(provider.arrived.wait, 5)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    assert told(recorder) == ["on_chat_model_start", "on_llm_error"]
    assert recorder.runs[0].status == "cancelled"


@pytest.mark.anyio
async def test_async_stream_closed_early(aclient: Any) -> None:
    """
    An async stream that is left in its block is abandoned.
    """
    recorder = Recorder()

    with callbacks(recorder):
        async with await aclient.chat.completions.create(**ASKED, stream=True) as it:
            async for _ in it:
                break

    assert told(recorder) == ["on_chat_model_start", "on_llm_error"]
    assert recorder.runs[0].status == "abandoned"


@pytest.mark.anyio
async def test_async_handlers_are_awaited_in_place(provider: "Provider") -> None:
    """
    An async handler has heard a wrapped client's token before the consumer has its chunk.

    What is heard automatically it hears soon after: nothing can be awaited there.
    """
    heard: list[str] = []

    async def hear(token: str, **kwargs: Any) -> None:
        await asyncio.sleep(0)
        heard.append(token)

    url = f"{provider.url}/v1"
    client = openai.AsyncOpenAI(api_key="k", base_url=url)
    async with client, callbacks(on_llm_new_token=hear):
        stream = await wrap(client).chat.completions.create(**ASKED, stream=True)
        async for chunk in stream:
            text = chunk.choices[0].delta.content
            assert not text or heard[-1] == text

    assert heard == ["Hel", "lo ", "wor", "ld"]


@pytest.mark.anyio
async def test_many_at_once(aclient: Any) -> None:
    """
    A hundred calls at once make a hundred runs, each with its own answer.
    """
    recorder = Recorder()

    with callbacks(recorder):
        await asyncio.gather(
            *(
                aclient.chat.completions.create(**{**ASKED, "model": f"m{n}"})
                for n in range(100)
            )
        )

    assert sorted(run.model or "" for run in recorder.runs) == sorted(
        f"m{n}" for n in range(100)
    )
    assert all(run.status == "ok" for run in recorder.runs)


class Refusing(instrument.BaseCallbackHandler):
    """
    Takes no token.
    """

    raise_error = True

    def on_llm_new_token(self, *args: Any, **kwargs: Any) -> None:
        raise PermissionError


def test_a_token_that_is_refused(client: Any) -> None:
    """
    A handler with ``raise_error`` that refuses a token has the stream closed.
    """
    with callbacks(Refusing()):
        stream = client.chat.completions.create(**ASKED, stream=True)
        with pytest.raises(PermissionError):
            list(stream)

    assert stream.response.is_closed


@pytest.mark.anyio
async def test_a_token_that_is_refused_in_async_code(aclient: Any) -> None:
    """
    The same of an async client.
    """
    with callbacks(Refusing()):
        stream = await aclient.chat.completions.create(**ASKED, stream=True)
        with pytest.raises(PermissionError):
            async for _ in stream:
                pass

    assert stream.response.is_closed
