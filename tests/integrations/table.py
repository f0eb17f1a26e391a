"""
Write the guide's table of SDKs, from what calls of the fake provider make heard.

``python tests/integrations/table.py`` prints it; test_table.py holds the guide to it.
"""

import sys
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from instrument import auto, callbacks, wrap
from instrument.testing import Recorder

sys.path.append(str(Path(__file__).parent))  # tests/ is no package

HEAD = [
    "SDK",
    "version",
    "automatic",
    "wrapped",
    "tokens",
    "usage",
    "cost",
    "reasoning",
    "tool calls",
    "custom and server tools",
]
SHORT = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_read_tokens": "cached",
    "cache_write_tokens": "written to cache",
    "reasoning_tokens": "reasoning",
}
FUNCTION = {"name": "f", "arguments": "{}"}
CALL = {"id": "1", "type": "function", "function": FUNCTION}
CUSTOM = {"id": "2", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}
THINKING = {"type": "thinking", "thinking": "hm"}


def chat(**message: Any) -> dict[str, Any]:
    """
    Make a chat completion.
    """
    said = {"role": "assistant", "content": "Hi", "tool_calls": [CALL], **message}
    choice = {"index": 0, "message": said, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    head = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
    return {**head, "choices": [choice], "usage": usage}


def anthropic() -> dict[str, Any]:
    """
    Make a message of Anthropic's.
    """
    kinds = ("tool_use", "server_tool_use")
    uses = [{"type": kind, "id": "1", "name": "f", "input": {}} for kind in kinds]
    head = {"id": "1", "type": "message", "role": "assistant", "model": "m"}
    content = [{**THINKING, "signature": "s"}, *uses]
    used = {"input_tokens": 1, "output_tokens": 1}
    return {**head, "content": content, "stop_reason": "end_turn", "usage": used}


def gemini() -> dict[str, Any]:
    """
    Make an answer of Gemini's.
    """
    code = {"executableCode": {"code": "1", "language": "PYTHON"}}
    call = {"functionCall": {"name": "f", "args": {}}}
    parts = [{"text": "hm", "thought": True}, call, code]
    return {"candidates": [{"content": {"role": "model", "parts": parts}}]}


def bedrock() -> dict[str, Any]:
    """
    Make an answer of Bedrock's.
    """
    use = {"toolUseId": "1", "name": "f", "input": {}}
    thought = {"reasoningContent": {"reasoningText": {"text": "hm"}}}
    uses = [{"toolUse": use}, {"toolUse": {**use, "type": "server_tool_use"}}]
    message = {"role": "assistant", "content": [thought, *uses]}
    used = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}
    output = {"message": message}
    return {"output": output, "stopReason": "end_turn", "usage": used}


def full(provider: str) -> dict[str, Any]:
    """
    Make an answer with all that there may be in one of a provider's.
    """
    made = {
        "anthropic": anthropic,
        "google_genai": gemini,
        "bedrock": bedrock,
    }.get(provider)
    if made is not None:
        return made()
    if provider == "cohere":
        message = {"role": "assistant", "content": [THINKING], "tool_calls": [CALL]}
        return {"id": "1", "message": message, "finish_reason": "COMPLETE"}
    if provider == "ollama":
        call = {"function": {"name": "f", "arguments": {}}}
        message = {"role": "assistant", "thinking": "hm", "tool_calls": [call]}
        return {"model": "m", "message": message, "done": True}
    if provider == "mistralai":
        part = {"type": "text", "text": "hm"}
        return chat(content=[{"type": "thinking", "thinking": [part]}])
    if provider == "groq":
        tool = {"index": 0, "type": "search", "arguments": "{}"}
        return chat(reasoning="hm", executed_tools=[tool])
    if provider != "openai":
        return chat(reasoning="hm")
    answer = chat(reasoning_content="hm", tool_calls=[CALL, CUSTOM])
    answer["usage"]["cost"] = 0.5
    return answer


SERVED = {
    "id": "1",
    "object": "response",
    "model": "m",
    "status": "completed",
    "output": [{"type": "web_search_call", "id": "1", "status": "completed"}],
}
"""One of Responses, with a tool that OpenAI has run."""


def table() -> list[list[str]]:
    """
    Give a row for each SDK that is installed.
    """
    sdks = import_module("sdks")
    auto.uninstall()
    rows = {}
    with import_module("provider").Provider() as provider:
        for sdk in sdks.SDKS:
            if sdk.calls and is_there(sdk.module):
                with sdks.closing(sdk.make(provider.url)) as client:
                    rows[sdk.distribution] = row(sdk, client, provider)
    return [rows[name] for name in sorted(rows)]


def is_there(module: str) -> bool:
    """
    Tell whether a module can be imported; others may fill the namespace that it is in.
    """
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def row(sdk: Any, client: Any, provider: Any) -> list[str]:
    """
    Call one SDK whole and in a stream, and say what was heard.
    """
    wrapped = heard(sdk, wrap(client))
    auto.install()
    try:
        automatic = heard(sdk, client)
    finally:
        auto.uninstall()
    best = wrapped or automatic
    tokens = any(event.event == "on_llm_new_token" for event in best)
    usage = [SHORT[name] for name in best[-1].run.usage.to_dict()] if best else []
    told = ["yes" if each else "no" for each in (automatic, wrapped, tokens)]
    number = ".".join(version(sdk.distribution).split(".")[:2])
    parts = held(sdk, wrap(client), provider)
    return [sdk.distribution, number, *told, ", ".join(usage), *parts]


def held(sdk: Any, client: Any, provider: Any) -> list[str]:
    """
    Say what is heard of all that may be in its answers.
    """
    recorder = Recorder()
    provider.says((full(sdk.provider), []))
    with callbacks(recorder):
        sdk.calls["chat"](client)
        if sdk.provider == "openai":
            provider.says((SERVED, []))
            client.responses.create(model="m", input="hi")
    provider.says()
    ends = [event.data for event in recorder.events if event.event == "on_llm_end"]
    first, last = ends[0], ends[-1]
    has_custom = any(call["name"] == "sql" for call in first["tool_calls"])
    others = ["custom"] * has_custom + ["server"] * ("server_tool_calls" in last)
    parts = (first["usage"].get("cost_usd"), "reasoning" in first, first["tool_calls"])
    return [*("yes" if each else "no" for each in parts), ", ".join(others) or "no"]


def heard(sdk: Any, client: Any) -> list[Any]:
    """
    Give the events of two calls.
    """
    recorder = Recorder()
    with callbacks(recorder):
        for name in ("stream", "chat"):
            result = sdk.calls[name](client)
            if "stream" in name:
                list(result)
    return recorder.events


def markdown(rows: list[list[str]]) -> str:
    """
    Write rows as Markdown.
    """
    lines = [HEAD, ["---"] * len(HEAD), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    print(markdown(table()))  # noqa: T201
