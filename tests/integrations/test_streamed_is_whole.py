"""
What is told of a streamed answer is what is told of the whole one, and what the SDK's own
accumulator makes of it: for all that the SDK knows, in any order, cut into any pieces.
"""

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, get_args

import pytest
from hypothesis import HealthCheck, given, reject, settings

from instrument import auto, callbacks, wrap
from instrument.testing import Recorder

if TYPE_CHECKING:
    from tests.integrations.plans import Body, Plan
    from tests.integrations.provider import Provider

sdks = import_module("sdks")
plans, messages, chat, responses, others = (
    import_module(f"plans{name}")
    for name in ("", ".anthropic", ".chat", ".responses", ".others")
)
HELLO: list[Any] = sdks.HELLO

Ask = Callable[[Any], Any]
Check = Callable[..., list[Any]]

many = settings(
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:avoiding tracing"),  # its own id may be taken
    pytest.mark.filterwarnings("ignore:Pydantic serializer"),  # as SDKs copy answers
    pytest.mark.filterwarnings("ignore:The model:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def clients() -> Iterator[Callable[[Any], tuple[Any, "Provider"]]]:
    """
    Give a client of each SDK, and the provider that it asks.
    """
    made: dict[str, Any] = {}
    with import_module("provider").Provider() as provider:

        def client_of(sdk: Any) -> tuple[Any, "Provider"]:
            pytest.importorskip(sdk.module)
            if sdk.provider not in made:
                made[sdk.provider] = sdk.make(provider.url)
            return made[sdk.provider], provider

        yield client_of
        for client in made.values():
            with sdks.closing(client):
                pass


@pytest.fixture(params=["wrapped", "automatic"])
def check(request: pytest.FixtureRequest, clients: Any) -> Iterator[Check]:
    """
    Check that a whole answer and its streams tell what they have to; give what came of
    the streams.
    """
    is_wrapped = request.param == "wrapped"
    if not is_wrapped and sys.version_info < (3, 12):
        pytest.skip("sys.monitoring needs Python 3.12")
    if not is_wrapped:
        auto.install()

    def checked(sdk: Any, plan: "Plan", whole: Ask, *streams: Ask) -> list[Any]:
        client, provider = clients(sdk)
        client = wrap(client) if is_wrapped else client
        provider.requests.clear()
        provider.says((plan.whole, plan.events))
        assert told(client, whole)[0] == plan.told()
        return [_streamed(client, plan, stream) for stream in streams]

    yield checked
    if not is_wrapped:
        auto.uninstall()


def _streamed(client: Any, plan: "Plan", stream: Ask) -> Any:
    data, tokens, result = told(client, stream)
    assert data == plan.told()
    for channel, said in (("text", plan.text), ("reasoning", plan.reasoning)):
        pieces = [piece for piece, each in tokens if each == channel]
        assert sorted("".join(pieces)) == sorted(said)
    return result


def told(client: Any, ask: Ask) -> "tuple[Body, list[tuple[str, str]], Any]":
    """
    Give what the end of a call tells, its tokens, and what came of it.
    """
    recorder = Recorder()
    with callbacks(recorder):
        result = ask(client)
    (run,) = recorder.runs
    assert run.status == "ok"
    tokens = [
        (event.data["token"], event.data["channel"])
        for event in recorder.events
        if event.event == "on_llm_new_token"
    ]
    return plans.heard(recorder.events[-1].data), tokens, result


def read(stream: Any) -> None:
    """
    Read a stream to its end.
    """
    for _ in stream:
        pass


def of(sdk: Any) -> tuple[Ask, Ask]:
    """
    Give how an SDK is asked, whole and in a stream.
    """
    whole, stream = sdk.calls["chat"], sdk.calls["stream"]
    return whole, lambda client: read(stream(client))


def _message(client: Any, **given: Any) -> Any:
    return client.messages.create(model="m", max_tokens=9, messages=HELLO, **given)


def _final_message(client: Any) -> Any:
    ask = {"model": "m", "max_tokens": 9, "messages": HELLO}
    with client.messages.stream(**ask) as stream:
        return stream.get_final_message()


@many
@given(plan=messages.messages())
def test_anthropic(plan: "Plan", check: Check) -> None:
    """
    Messages of Anthropic, and what its helper makes of their events.
    """
    *_, final = check(sdks.ANTHROPIC, plan, *of(sdks.ANTHROPIC), _final_message)

    assert messages.accumulated(final) == {
        "text": plan.text,
        "reasoning": plan.reasoning,
        "calls": [call["arguments"] for call in plan.calls],
        "finish_reason": "end_turn",
        "output_tokens": 7,
    }


@many
@given(plan=messages.messages(messages.BETA_BLOCKS))
def test_anthropic_beta(plan: "Plan", check: Check) -> None:
    """
    Those of its beta: calls that a server of MCP has answered, and others.
    """
    *_, final = check(
        sdks.ANTHROPIC,
        plan,
        lambda client: _message(client.beta),
        lambda client: read(_message(client.beta, stream=True)),
        lambda client: _final_message(client.beta),
    )

    assert messages.accumulated(final)["text"] == plan.text


def _final_completion(client: Any) -> Any:
    with client.chat.completions.stream(model="m", messages=HELLO) as stream:
        return stream.get_final_completion()


@many
@given(plan=chat.chats(chat.OPENAI))
def test_openai_chat(plan: "Plan", check: Check) -> None:
    """
    Chat completions of OpenAI, and what its helper makes of their chunks.
    """
    *_, final = check(sdks.OPENAI, plan, *of(sdks.OPENAI), _final_completion)

    assert chat.accumulated(final) == {
        "text": plan.text,
        "reasoning": plan.reasoning,
        "calls": [call["arguments"] for call in plan.calls],
        "finish_reason": "stop",
        "output_tokens": 4,
    }


@many
@given(plan=chat.chats(chat.PARTS))
def test_openai_alikes(plan: "Plan", check: Check) -> None:
    """
    What others send to OpenAI's SDK, or itself does not accumulate.
    """
    check(sdks.OPENAI, plan, *of(sdks.OPENAI))


def _response(client: Any, **given: Any) -> Any:
    return client.responses.create(model="m", input="hi", **given)


def _final_response(client: Any) -> Any:
    with client.responses.stream(model="m", input="hi") as stream:
        try:
            return stream.get_final_response()
        except RuntimeError as exc:
            frames = [frame for frame, _ in walk_tb(exc.__traceback__)]
            if not frames[-1].f_globals["__name__"].startswith("openai."):
                raise
            reject()  # the SDK itself takes it for no answer: nothing is compared


@many
@given(plan=responses.responses())
def test_openai_responses(plan: "Plan", check: Check) -> None:
    """
    Responses, whose texts and inputs may be told in pieces, when they are done, with
    their item, or at the end; and what the SDK's helper makes of their events.
    """
    _, final = check(
        sdks.OPENAI,
        plan,
        _response,
        lambda client: read(_response(client, stream=True)),
        _final_response,
    )

    assert responses.accumulated(final) == {
        "text": plan.text,
        "finish_reason": "completed",
        "output_tokens": 4,
    }


@many
@given(plan=chat.chats(chat.GROQ, told="groq"))
def test_groq(plan: "Plan", check: Check) -> None:
    """
    Chat completions of Groq, with the tools that it has run.
    """
    check(sdks.GROQ, plan, *of(sdks.GROQ))


@many
@given(plan=chat.chats(chat.TOGETHER, told="together"))
def test_together(plan: "Plan", check: Check) -> None:
    """
    Chat completions of Together.
    """
    check(sdks.TOGETHER, plan, *of(sdks.TOGETHER))


@many
@given(plan=chat.chats(chat.HUGGINGFACE))
def test_huggingface(plan: "Plan", check: Check) -> None:
    """
    Chat completions of the Hugging Face Hub.
    """
    plan.usage = {"input_tokens": 11, "output_tokens": 4}
    check(sdks.HUGGINGFACE, plan, *of(sdks.HUGGINGFACE))


@many
@given(plan=others.mistrals())
def test_mistral(plan: "Plan", check: Check) -> None:
    """
    Chat completions of Mistral, in text and in blocks.
    """
    check(sdks.MISTRAL, plan, *of(sdks.MISTRAL))


@many
@given(plan=others.geminis())
def test_gemini(plan: "Plan", check: Check) -> None:
    """
    Answers of Gemini, with calls whose arguments come one by one.
    """
    check(sdks.GENAI, plan, *of(sdks.GENAI))


@many
@given(plan=others.coheres())
def test_cohere(plan: "Plan", check: Check) -> None:
    """
    Answers of Cohere, with its plan.
    """
    check(sdks.COHERE, plan, *of(sdks.COHERE))


@many
@given(plan=others.ollamas())
def test_ollama(plan: "Plan", check: Check) -> None:
    """
    Answers of Ollama.
    """
    check(sdks.OLLAMA, plan, *of(sdks.OLLAMA))


@many
@given(plan=others.bedrocks())
def test_bedrock(plan: "Plan", check: Check) -> None:
    """
    Answers of Bedrock's Converse.
    """
    check(sdks.BEDROCK, plan, *of(sdks.BEDROCK))


def types_of(module: str, name: str) -> set[str]:
    """
    Give the types that an SDK has of one thing.
    """
    union, *_ = get_args(getattr(pytest.importorskip(module), name))
    fields = [it.model_fields["type"].annotation for it in get_args(union)]
    return {name for each in fields for name in get_args(each)}


@pytest.mark.parametrize(
    "module, name, kinds",
    [
        ("anthropic.types", "ContentBlock", messages.BLOCKS),
        ("anthropic.types", "RawContentBlockDelta", messages.DELTAS),
        ("anthropic.types.beta", "BetaContentBlock", messages.BETA_BLOCKS),
        ("anthropic.types.beta", "BetaRawContentBlockDelta", messages.BETA_DELTAS),
        ("openai.types.responses", "ResponseOutputItem", responses.ITEMS),
    ],
)
def test_every_type(module: str, name: str, kinds: tuple[str, ...]) -> None:
    """
    What is made up has every type of block, delta and item that the SDKs know.
    """
    assert types_of(module, name) <= set(kinds)


@pytest.mark.parametrize(
    "module, name, parts",
    [
        ("openai.types.chat.chat_completion_chunk", "ChoiceDelta", chat.OPENAI),
        ("groq.types.chat.chat_completion_chunk", "ChoiceDelta", chat.GROQ),
    ],
)
def test_every_field(module: str, name: str, parts: tuple[str, ...]) -> None:
    """
    So it has every field of a delta.
    """
    fields = set(getattr(pytest.importorskip(module), name).model_fields)

    assert fields <= {*parts, "role", "annotations"}
