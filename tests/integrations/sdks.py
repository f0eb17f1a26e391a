"""
Every SDK, with the calls that its tests make of the fake provider.

Each is called in the same ways under the same names, so that one test states a fact of
all of them: ``chat``, ``stream``, ``tools``, ``tools stream``, ``think``, ``embed`` ...
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

Call = Callable[[Any], Any]

HELLO: list[Any] = [{"role": "user", "content": "hi"}]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
FUNCTION = {"name": "get_weather", "parameters": PARAMETERS}
TOOLS: list[Any] = [{"type": "function", "function": FUNCTION}]

FULL = {
    "input_tokens": 11,
    "output_tokens": 4,
    "cache_read_tokens": 8,
    "reasoning_tokens": 2,
}
COUNTED_APART = {
    "input_tokens": 11,
    "output_tokens": 4,
    "cache_read_tokens": 8,
    "cache_write_tokens": 2,
}
BARE = {"input_tokens": 11, "output_tokens": 4}


@dataclass(frozen=True)
class Sdk:
    """
    One SDK.

    Attributes:
        provider: What its runs name as provider.
        module: What is imported.
        make, amake: Make a client for a provider at a URL; None where it has none.
        calls: Call a client; what the result holds is read, and given back.
        acalls: The names of those that an async client has as well.
        usage: What is known of a call's usage; None where the SDK tells none.
        reasons: Whether it shows what a model thought.
    """

    provider: str
    distribution: str
    module: str
    make: Callable[[str], Any]
    amake: Callable[[str], Any] | None
    calls: dict[str, Call]
    acalls: dict[str, Call] = field(default_factory=dict)
    usage: dict[str, int] = field(default_factory=lambda: FULL)
    stream_usage: dict[str, int] | None = None
    reasons: bool = True


@contextmanager
def closing(client: Any) -> Iterator[Any]:
    """
    Close a client in the end, in the way that its SDK has for it.
    """
    try:
        yield client
    finally:
        if hasattr(client, "__exit__"):
            client.__exit__(None, None, None)
        else:
            client.close()


def _chat(client: Any, **given: Any) -> Any:
    given = {"model": "m", "messages": HELLO, **given}
    return client.chat.completions.create(**given)


def _stainless(name: str, path: str, *, usage_is_asked_for: bool) -> Sdk:
    told = {"stream_options": {"include_usage": True}} if usage_is_asked_for else {}
    streamed = {"stream": True, **told}
    calls: dict[str, Call] = {
        "chat": _chat,
        "stream": lambda c: _chat(c, **streamed),
        "tools": lambda c: _chat(c, tools=TOOLS),
        "tools stream": lambda c: _chat(c, tools=TOOLS, **streamed),
    }
    if name == "openai":
        calls |= {
            "think": lambda c: _chat(c, model="think"),
            "think stream": lambda c: _chat(c, model="think", **streamed),
        }
    if name != "groq":
        calls["embed"] = lambda c: c.embeddings.create(model="m", input=["a", "b"])

    def make(kind: str) -> Callable[[str], Any]:
        def made(url: str) -> Any:
            client = getattr(import_module(name), kind)
            return client(api_key="k", base_url=url + path, max_retries=2)

        return made

    kind = {"openai": "OpenAI"}.get(name, name.capitalize())
    return Sdk(name, name, name, make(kind), make(f"Async{kind}"), calls, calls)


OPENAI = _stainless("openai", "/v1", usage_is_asked_for=True)
GROQ = _stainless("groq", "/groq", usage_is_asked_for=False)
TOGETHER = _stainless("together", "/together", usage_is_asked_for=False)


def _message(client: Any, **given: Any) -> Any:
    given = {"model": "m", "max_tokens": 9, "messages": HELLO, **given}
    return client.messages.create(**given)


_ANTHROPIC_TOOLS = [{"name": "get_weather", "input_schema": PARAMETERS}]
_ANTHROPIC: dict[str, Call] = {
    "chat": _message,
    "stream": lambda c: _message(c, stream=True),
    "tools": lambda c: _message(c, tools=_ANTHROPIC_TOOLS),
    "tools stream": lambda c: _message(c, tools=_ANTHROPIC_TOOLS, stream=True),
    "think": lambda c: _message(c, model="think"),
    "think stream": lambda c: _message(c, model="think", stream=True),
}


def _anthropic(kind: str) -> Callable[[str], Any]:
    def made(url: str) -> Any:
        client = getattr(import_module("anthropic"), kind)
        return client(api_key="k", base_url=url, max_retries=2)

    return made


ANTHROPIC = Sdk(
    "anthropic",
    "anthropic",
    "anthropic",
    _anthropic("Anthropic"),
    _anthropic("AsyncAnthropic"),
    _ANTHROPIC,
    _ANTHROPIC,
    COUNTED_APART,
)

_GENAI_TOOLS = {"tools": [{"function_declarations": [{"name": "get_weather"}]}]}


def _genai(url: str) -> Any:
    genai = import_module("google.genai")
    return genai.Client(api_key="k", http_options={"base_url": url})


def _generate(client: Any, model: str = "m", **given: Any) -> Any:
    return client.models.generate_content(model=model, contents="hi", **given)


def _generate_stream(client: Any, model: str = "m", **given: Any) -> Any:
    return client.models.generate_content_stream(model=model, contents="hi", **given)


_GENAI: dict[str, Call] = {
    "chat": _generate,
    "stream": _generate_stream,
    "tools": lambda c: _generate(c, config=_GENAI_TOOLS),
    "tools stream": lambda c: _generate_stream(c, config=_GENAI_TOOLS),
    "think": lambda c: _generate(c, "think"),
    "think stream": lambda c: _generate_stream(c, "think"),
    "embed": lambda c: c.models.embed_content(model="m", contents=["a", "b"]),
}
GENAI = Sdk(
    "google_genai",
    "google-genai",
    "google.genai",
    _genai,
    None,
    _GENAI,
)
GENAI_AIO = Sdk(
    "google_genai",
    "google-genai",
    "google.genai",
    _genai,
    lambda url: _genai(url).aio,
    {},
    _GENAI,
)


def _mistral(url: str) -> Any:
    client = import_module("mistralai.client").Mistral
    return client(api_key="k", server_url=url + "/mistral")


def _mistral_calls(after: str) -> dict[str, Call]:
    def whole(client: Any, **given: Any) -> Any:
        complete = getattr(client.chat, "complete" + after)
        return complete(model="m", messages=HELLO, **given)

    def stream(client: Any, **given: Any) -> Any:
        streamed = getattr(client.chat, "stream" + after)
        return streamed(model="m", messages=HELLO, **given)

    return {
        "chat": whole,
        "stream": stream,
        "tools": lambda c: whole(c, tools=TOOLS),
        "tools stream": lambda c: stream(c, tools=TOOLS),
        "embed": lambda c: getattr(c.embeddings, "create" + after)(
            model="m", inputs=["a", "b"]
        ),
    }


MISTRAL = Sdk(
    "mistralai",
    "mistralai",
    "mistralai.client",
    _mistral,
    _mistral,
    _mistral_calls(""),
    _mistral_calls("_async"),
)


def _cohere(kind: str) -> Callable[[str], Any]:
    def made(url: str) -> Any:
        return getattr(import_module("cohere"), kind)(api_key="k", base_url=url)

    return made


_COHERE: dict[str, Call] = {
    "chat": lambda c, **given: c.chat(model="m", messages=HELLO, **given),
    "stream": lambda c: c.chat_stream(model="m", messages=HELLO),
    "tools": lambda c: c.chat(model="m", messages=HELLO, tools=TOOLS),
    "tools stream": lambda c: c.chat_stream(model="m", messages=HELLO, tools=TOOLS),
    "embed": lambda c: c.embed(
        model="m",
        texts=["a", "b"],
        input_type="search_query",
        embedding_types=["float"],
    ),
}
COHERE = Sdk(
    "cohere",
    "cohere",
    "cohere",
    _cohere("ClientV2"),
    _cohere("AsyncClientV2"),
    _COHERE,
    _COHERE,
    {**BARE, "cache_read_tokens": 8},
)


def _ollama(kind: str) -> Callable[[str], Any]:
    return lambda url: getattr(import_module("ollama"), kind)(host=url)


def _ollama_chat(client: Any, **given: Any) -> Any:
    return client.chat(**{"model": "m", "messages": HELLO, **given})


_OLLAMA: dict[str, Call] = {
    "chat": _ollama_chat,
    "stream": lambda c: _ollama_chat(c, stream=True),
    "tools": lambda c: _ollama_chat(c, tools=TOOLS),
    "tools stream": lambda c: _ollama_chat(c, tools=TOOLS, stream=True),
    "think": lambda c: _ollama_chat(c, model="think"),
    "think stream": lambda c: _ollama_chat(c, model="think", stream=True),
    "text": lambda c: c.generate(model="m", prompt="hi"),
    "text stream": lambda c: c.generate(model="m", prompt="hi", stream=True),
    "embed": lambda c: c.embed(model="m", input=["a", "b"]),
}
OLLAMA = Sdk(
    "ollama",
    "ollama",
    "ollama",
    _ollama("Client"),
    _ollama("AsyncClient"),
    _OLLAMA,
    _OLLAMA,
    BARE,
)


def _hugging(kind: str) -> Callable[[str], Any]:
    def made(url: str) -> Any:
        client = getattr(import_module("huggingface_hub"), kind)
        return client(base_url=url + "/v1", api_key="k")

    return made


def _hub_chat(client: Any, **given: Any) -> Any:
    return client.chat_completion(HELLO, model="m", **given)


_HUB: dict[str, Call] = {
    "chat": _hub_chat,
    "stream": lambda c: _hub_chat(
        c, stream=True, stream_options={"include_usage": True}
    ),
    "tools": lambda c: _hub_chat(c, tools=TOOLS),
}
HUGGINGFACE = Sdk(
    "huggingface_hub",
    "huggingface-hub",
    "huggingface_hub",
    _hugging("InferenceClient"),
    _hugging("AsyncInferenceClient"),
    _HUB,
    _HUB,
    BARE,
)


def bedrock(url: str, **config: Any) -> Any:
    """
    Make a client of Amazon's models.
    """
    return import_module("boto3").client(
        "bedrock-runtime",
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        endpoint_url=url,
        config=import_module("botocore.config").Config(**config),
    )


_SPEC = {"name": "get_weather", "inputSchema": {"json": PARAMETERS}}
_CONFIG = {"tools": [{"toolSpec": _SPEC}]}


def _converse(client: Any, model: str = "m", **given: Any) -> Any:
    messages = [{"role": "user", "content": [{"text": "hi"}]}]
    return client.converse(modelId=model, messages=messages, **given)


def _converse_stream(client: Any, model: str = "m", **given: Any) -> Any:
    messages = [{"role": "user", "content": [{"text": "hi"}]}]
    answer = client.converse_stream(modelId=model, messages=messages, **given)
    return answer["stream"]


BEDROCK = Sdk(
    "bedrock",
    "boto3",
    "boto3",
    bedrock,
    None,
    {
        "chat": _converse,
        "stream": _converse_stream,
        "tools": lambda c: _converse(c, toolConfig=_CONFIG),
        "tools stream": lambda c: _converse_stream(c, toolConfig=_CONFIG),
        "think": lambda c: _converse(c, "think"),
        "think stream": lambda c: _converse_stream(c, "think"),
    },
    {},
    COUNTED_APART,
)

SDKS = [
    OPENAI,
    ANTHROPIC,
    GENAI,
    GENAI_AIO,
    MISTRAL,
    GROQ,
    TOGETHER,
    COHERE,
    OLLAMA,
    HUGGINGFACE,
    BEDROCK,
]
