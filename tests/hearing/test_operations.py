"""
What a request means, per provider: messages in one shape, the exact parameters.
"""

from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest

from instrument import callbacks
from instrument._hearing import operations
from instrument._hearing.monitored.stainless import PostWatch
from instrument._hearing.operations import _MOST_PATHS, posted
from instrument._hearing.targets import Target
from instrument._hearing.watches import Watch
from instrument._payloads.turns import turns_of
from instrument.integrations import mcp
from instrument.testing import Recorder

HI = {"role": "user", "content": "hi"}
CALL = {"id": "1", "name": "clock", "arguments": {"zone": "UTC"}}
ASKS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
ANSWER = {"role": "tool", "content": "12:00", "tool_call_id": "1"}
BE_BRIEF = {"role": "system", "content": "Be brief."}
PICTURE = {"type": "image_url", "image_url": {"url": "x"}}


def asked(provider: str, where: str, fields: dict[str, Any]) -> Any:
    """
    Read what is posted to a path, or a method is called with.
    """
    if where.startswith("/"):
        return posted(provider, where, fields)
    adapter = import_module(f"instrument.integrations.{provider}")
    rule = next(it for it in adapter.WRAPS.values() if where in it._methods)
    return rule._methods[where].asked(rule._provider, fields)


def messages(provider: str, where: str, **fields: Any) -> Any:
    """
    Read the messages of a call.
    """
    read = asked(provider, where, {"model": "m", **fields})
    assert read.recipe.kind == "chat_model"
    return read.inputs["messages"]


FUNCTION = {"id": "1", "function": {"name": "clock", "arguments": '{"zone": "UTC"}'}}
CHATS = {
    "text": ([HI], [HI]),
    "blocks of text": (
        [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        [HI],
    ),
    "a picture": (
        [{"role": "user", "content": [{"type": "text", "text": "a"}, PICTURE]}],
        [{"role": "user", "content": [{"type": "text", "text": "a"}, PICTURE]}],
    ),
    "a tool": (
        [
            {"role": "system", "content": "Be brief."},
            {"role": "assistant", "content": None, "tool_calls": [FUNCTION]},
            {"role": "tool", "tool_call_id": "1", "content": "12:00"},
        ],
        [BE_BRIEF, ASKS, ANSWER],
    ),
    "a tool of the old kind": (
        [
            {
                "role": "assistant",
                "content": None,
                "function_call": {"name": "clock", "arguments": '{"zone": "UTC"}'},
            },
            {"role": "function", "name": "clock", "content": "12:00"},
        ],
        [
            {**ASKS, "tool_calls": [{**CALL, "id": None}]},
            {"role": "tool", "content": "12:00", "name": "clock"},
        ],
    ),
    "objects": ([SimpleNamespace(role="user", content="hi")], [HI]),
    "nothing": ([], []),
    "no message": (
        [{"anything": 1}],
        [{"role": "unknown", "content": {"anything": 1}}],
    ),
}


@pytest.mark.parametrize("name", list(CHATS))
@pytest.mark.parametrize(
    "provider, where",
    [
        ("openai", "/chat/completions"),
        ("groq", "/openai/v1/chat/completions"),
        ("mistralai", "complete"),
        ("cohere", "chat"),
        ("ollama", "chat"),
        ("huggingface_hub", "chat_completion"),
    ],
)
def test_chats(provider: str, where: str, name: str) -> None:
    """
    Chat messages are ``{role, content, tool_calls?, tool_call_id?}``.
    """
    given, shown = CHATS[name]

    assert messages(provider, where, messages=given) == shown


def test_responses() -> None:
    """
    A response's input is text or items; its instructions come first.
    """
    items = [
        {"type": "message", "role": "user", "content": "hi"},
        {"type": "reasoning", "summary": []},
        {
            "type": "function_call",
            "call_id": "1",
            "name": "clock",
            "arguments": '{"zone": "UTC"}',
        },
        {"type": "function_call_output", "call_id": "1", "output": "12:00"},
    ]

    text = messages("openai", "/responses", input="hi", instructions="Be brief.")
    whole = messages("openai", "/responses", input=items)

    assert text == [BE_BRIEF, HI]
    assert whole == [
        HI,
        {"role": "assistant", "content": [{"type": "reasoning", "summary": []}]},
        ASKS,
        ANSWER,
    ]


def test_custom_tools() -> None:
    """
    The input of a custom tool is a text, whatever it looks like.
    """
    items = [
        {"type": "custom_tool_call", "call_id": "1", "name": "clock", "input": "1"},
        {"type": "custom_tool_call_output", "call_id": "1", "output": "12:00"},
    ]

    shown = messages("openai", "/responses", input=items)

    assert shown == [{**ASKS, "tool_calls": [{**CALL, "arguments": "1"}]}, ANSWER]


@pytest.mark.parametrize(
    "provider, where, result",
    [
        (
            "anthropic",
            "/v1/messages",
            {
                "type": "tool_result",
                "tool_use_id": "1",
                "content": "12:00",
                "is_error": True,
            },
        ),
        (
            "botocore",
            "converse",
            {
                "toolResult": {
                    "toolUseId": "1",
                    "content": [{"text": "12:00"}],
                    "status": "error",
                }
            },
        ),
    ],
)
def test_tool_that_failed(provider: str, where: str, result: Any) -> None:
    """
    The result of a tool keeps that it failed, also in what is recorded.
    """
    given = [{"role": "user", "content": [result]}]

    shown = messages(provider, where, messages=given)

    assert shown == [{**ANSWER, "is_error": True}]
    assert turns_of(shown) == shown


def test_anthropic() -> None:
    """
    Anthropic's calls of tools and their results are blocks of the content.
    """
    use = {"type": "tool_use", "id": "1", "name": "clock", "input": {"zone": "UTC"}}
    result = {"type": "tool_result", "tool_use_id": "1", "content": "12:00"}
    given = [
        HI,
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [result]},
    ]

    shown = messages("anthropic", "/v1/messages", messages=given, system="Be brief.")

    assert shown == [BE_BRIEF, HI, ASKS, ANSWER]


def test_gemini() -> None:
    """
    Gemini's contents are text, parts, or contents with parts; its model is an assistant.
    """
    call = {"function_call": {"id": "1", "name": "clock", "args": {"zone": "UTC"}}}
    result = {"function_response": {"id": "1", "response": {"time": "12:00"}}}
    config = {"system_instruction": {"parts": [{"text": "Be brief."}]}}
    given = [
        "hi",
        {"text": "hi"},
        {"role": "model", "parts": [call]},
        {"role": "user", "parts": [result]},
    ]

    shown = messages("google_genai", "generate_content", contents=given, config=config)

    answer = {**ANSWER, "content": [{"time": "12:00"}]}
    assert shown == [BE_BRIEF, HI, HI, ASKS, answer]


def test_bedrock() -> None:
    """
    Bedrock's blocks have names of their own, and its model is called modelId.
    """
    call = {"toolUse": {"toolUseId": "1", "name": "clock", "input": {"zone": "UTC"}}}
    result = {"toolResult": {"toolUseId": "1", "content": [{"text": "12:00"}]}}
    request = asked(
        "botocore",
        "converse",
        {
            "modelId": "m",
            "system": [{"text": "Be brief."}],
            "messages": [
                {"role": "user", "content": [{"text": "hi"}]},
                {"role": "assistant", "content": [call]},
                {"role": "user", "content": [result]},
            ],
            "inferenceConfig": {"maxTokens": 5},
        },
    )

    assert request is not None
    assert request.model == "m"
    assert request.inputs == {
        "messages": [BE_BRIEF, HI, ASKS, ANSWER],
        "inferenceConfig": {"maxTokens": 5},
    }


def test_parameters() -> None:
    """
    What is no message is a parameter, as it was given; what is None was not given.
    """
    body = {"model": "m", "messages": [HI], "temperature": 0, "stop": None}

    request = posted("openai", "/chat/completions", body)

    assert request is not None
    assert request.recipe.name == "openai.chat.completions"
    assert request.model == "m"
    assert dict(request.inputs) == {"messages": [HI], "temperature": 0}


@pytest.mark.parametrize(
    "provider, where, fields, kind, first",
    [
        ("openai", "/completions", {"prompt": "hi"}, "llm", {"prompts": "hi"}),
        ("openai", "/embeddings", {"input": ["a"]}, "embedding", {"texts": ["a"]}),
        ("ollama", "generate", {"prompt": "hi"}, "llm", {"prompts": "hi"}),
        ("cohere", "embed", {"texts": ["a"]}, "embedding", {"texts": ["a"]}),
        ("mcp", "call_tool", {"name": "t", "arguments": {"a": 1}}, "tool", {"a": 1}),
        ("mcp", "call_tool", {"name": "t"}, "tool", {}),
    ],
)
def test_other_kinds(
    provider: str, where: str, fields: Any, kind: str, first: Any
) -> None:
    """
    Completions, embeddings and tools are runs of their own kinds.
    """
    request = asked(provider, where, fields)

    assert request.recipe.kind == kind
    assert request.inputs == first


@pytest.mark.parametrize(
    "path, body",
    [
        ("/files", {"model": "m"}),
        ("/v1/messages/count_tokens", {"model": "m"}),
        ("/chat/completions", None),
        ("/responses/resp_1/cancel", {}),
    ],
)
def test_what_is_no_call_of_a_model(path: str, body: Any) -> None:
    """
    Files, counts and cancellations are no runs.
    """
    assert posted("openai", path, body) is None


def test_hostile_messages() -> None:
    """
    Whatever stands where messages should is shown as it is.
    """
    endless: list[Any] = []
    endless.append(endless)

    class Hostile:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError

    hostile = Hostile()
    shown = messages("openai", "/chat/completions", messages=[3, hostile, endless])

    assert [message["role"] for message in shown] == ["unknown"] * 3
    assert shown[1]["content"] is hostile


class Own(BaseException):
    """
    What an application's own code may raise.
    """


class Unwilling(dict[str, Any]):
    """
    A dict whose every method is its own, and raises.
    """

    def refuse(self, *_: object) -> Any:
        raise Own

    __getitem__ = __iter__ = __len__ = __contains__ = refuse
    get = keys = values = items = copy = refuse


@pytest.mark.parametrize("extra", [None, Unwilling(temperature=1)])
def test_body_of_a_class_of_its_own(extra: object) -> None:
    """
    What is posted is read as the dict that it is, and asked nothing.
    """
    body = Unwilling(model="m", messages=[HI])

    asked = posted("openai", "/chat/completions", body, extra)

    assert asked is not None
    assert asked.model == "m"
    assert asked.inputs["messages"] == [HI]
    assert asked.params() == ({} if extra is None else {"temperature": 1})


class Path(str):
    """
    A path that will not be compared, or looked for in a table.
    """

    __slots__ = ()

    def refuse(self, *_: object) -> Any:
        raise Own

    __hash__ = __eq__ = partition = refuse


def test_request_that_cannot_be_read() -> None:
    """
    A request that raises when it is looked at is not heard, and is sent all the same.
    """
    options = {"method": "post", "url": Path("/completions"), "json_data": {}}
    given = {"self": 1, "options": SimpleNamespace(**options), "stream": False}
    frame: Any = SimpleNamespace(f_locals=given)

    with callbacks(Recorder()):
        assert PostWatch("openai", Target("a:b", Watch()), []).called(frame) is None


def test_content_in_strings() -> None:
    """
    Content may be a list of plain strings.
    """
    given = [{"role": "user", "content": ["h", "i"]}]

    assert messages("openai", "/chat/completions", messages=given) == [HI]


def test_many_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Wherever it is posted to a request is read; so many paths are remembered.
    """
    known: dict[str, Any] = {}
    monkeypatch.setattr(operations, "_posted", known)

    for number in range(_MOST_PATHS + 1):
        assert posted("openai", f"/{number}/chat/completions?x=1", {}) is not None

    assert len(known) == _MOST_PATHS


def test_many_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Calls of one tool share what their runs begin with; so many tools are remembered.
    """
    known: dict[str, Any] = {}
    monkeypatch.setattr(mcp, "_tools", known)

    made: list[Any] = [
        asked("mcp", "call_tool", {"name": str(name)})
        for name in (
            "n" * 201,
            *range(mcp._MOST_TOOLS + 1),
            "n" * 201,
            0,
            mcp._MOST_TOOLS,
        )
    ]

    assert len(known) == mcp._MOST_TOOLS
    assert made[1].recipe is made[-2].recipe
    assert made[0].recipe is not made[-3].recipe
    assert made[-1].recipe.name == str(mcp._MOST_TOOLS)
