"""
What a conversation consists of, in the words of each provider, and as one shape.
"""

from typing import Any

ARGS = {"zone": "UTC"}
CALL = {"id": "1", "name": "clock", "arguments": ARGS}
ASKS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
ANSWER = {"role": "tool", "content": "12:00", "tool_call_id": "1"}
FAILED = {**ANSWER, "is_error": True}
HI = {"role": "user", "content": "hi"}
THINKS = {"role": "assistant", "content": "hey", "reasoning": "hm"}
THINKS_ONLY = {"role": "assistant", "content": None, "reasoning": "hm"}
SPEAKS = {"role": "assistant", "content": "hey"}
BRIEF = {"role": "system", "content": "Be brief."}
JSON = '{"zone": "UTC"}'
FUNCTION = {"type": "function", "function": {"name": "clock", "arguments": JSON}}


def text(content: str, kind: str = "text") -> dict[str, Any]:
    """
    Give a block of text.
    """
    return {"type": kind, "text": content}


def block(role: str, *blocks: Any) -> dict[str, Any]:
    """
    Give a message of blocks.
    """
    return {"role": role, "content": [*blocks]}


def kept(role: str, *blocks: Any) -> dict[str, Any]:
    """
    Give a pair of a message of blocks that stay as they are, and its turn.
    """
    return {"given": block(role, *blocks), "turns": [block(role, *blocks)]}


def item(kind: str, **fields: Any) -> dict[str, Any]:
    """
    Give a pair of an item of Responses that its provider has made, and its turn.
    """
    made = {"type": kind, **fields}
    return {"given": made, "turns": [block("assistant", made)]}


def pair(given: Any, *turns: Any) -> dict[str, Any]:
    """
    Give a pair of a message and its turns.
    """
    return {"given": given, "turns": [*turns]}


PICTURE = {"type": "image_url", "image_url": {"url": "x"}}
SOUND = {"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}}
FILE = {"type": "file", "file": {"file_id": "x"}}
IMAGE = {"type": "image", "source": {"type": "url", "url": "x"}}
DOCUMENT = {"type": "document", "source": {"type": "url", "url": "x"}}
SEARCHED = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
HIDDEN = {"type": "redacted_thinking", "data": "x"}
USE = {"type": "tool_use", "id": "1", "name": "clock", "input": ARGS}
RESULT = {"type": "tool_result", "tool_use_id": "1", "content": "12:00"}
THINKING = {"type": "thinking", "thinking": "hm", "signature": "x"}
THOUGHT_PIECES = {"type": "thinking", "thinking": [text("h"), text("m")]}
TOOL_USE = {"toolUse": {"toolUseId": "1", "name": "clock", "input": ARGS}}
TOOL_RESULT = {"toolUseId": "1", "content": [{"text": "12:00"}]}
REASONING_CONTENT = {"reasoningContent": {"reasoningText": {"text": "hm"}}}
JPEG = {"image": {"format": "jpeg", "source": {"bytes": b"x"}}}
CALLED = {"function_call": {"id": "1", "name": "clock", "args": ARGS}}
RETURNED = {"id": "1", "name": "clock", "response": {"time": "12:00"}}
TIME = {**ANSWER, "name": "clock", "content": [{"time": "12:00"}]}
BLOB = {"inline_data": {"mime_type": "image/png", "data": b"x"}}

VOCABULARY: dict[str, dict[str, Any]] = {
    # chat completions: OpenAI, Groq, Together, Hugging Face, OpenRouter, Ollama ...
    "openai system": pair({"role": "system", "content": "Be brief."}, BRIEF),
    "openai developer": pair(
        block("developer", text("Be brief.")),
        {"role": "developer", "content": "Be brief."},
    ),
    "openai user": pair({"role": "user", "content": "hi", "name": "ada"}, HI),
    "openai parts": kept("user", text("hi"), PICTURE, SOUND, FILE),
    "openai text parts": pair(block("user", text("h"), text("i")), HI),
    "openai assistant": pair({"role": "assistant", "content": "hey"}, SPEAKS),
    "openai refusal": pair(
        {"role": "assistant", "content": None, "refusal": "hey"}, SPEAKS
    ),
    "openai refusal part": pair(
        block("assistant", {"type": "refusal", "refusal": "hey"}), SPEAKS
    ),
    "openai calls": pair(
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", **FUNCTION}]},
        ASKS,
    ),
    "openai custom call": pair(
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "1", "type": "custom", "custom": {"name": "sql", "input": "x"}}
            ],
        },
        {**ASKS, "tool_calls": [{"id": "1", "name": "sql", "arguments": "x"}]},
    ),
    "openai odd call": pair(
        {
            "role": "assistant",
            "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{"}}],
        },
        {**ASKS, "tool_calls": [{"id": "1", "name": "f", "arguments": "{"}]},
    ),
    "openai old call": pair(
        {"role": "assistant", "content": None, "function_call": FUNCTION["function"]},
        {**ASKS, "tool_calls": [{**CALL, "id": None}]},
    ),
    "openai tool": pair(
        {"role": "tool", "tool_call_id": "1", "content": "12:00"}, ANSWER
    ),
    "openai tool parts": pair(
        {"role": "tool", "tool_call_id": "1", "content": [text("12:00")]}, ANSWER
    ),
    "openai old tool": pair(
        {"role": "function", "name": "clock", "content": "12:00"},
        {"role": "tool", "content": "12:00", "name": "clock"},
    ),
    "deepseek": pair(
        {"role": "assistant", "content": "hey", "reasoning_content": "hm"}, THINKS
    ),
    "openrouter": pair(
        {"role": "assistant", "content": "hey", "reasoning": "hm"}, THINKS
    ),
    # Responses
    "responses user": pair({"type": "message", "role": "user", "content": "hi"}, HI),
    "responses parts": pair(block("user", text("hi", "input_text")), HI),
    "responses picture": kept("user", {"type": "input_image", "image_url": "x"}),
    "responses assistant": pair(
        {
            "type": "message",
            "id": "m",
            **block("assistant", text("hey", "output_text")),
        },
        SPEAKS,
    ),
    "responses call": pair(
        {"type": "function_call", "call_id": "1", "name": "clock", "arguments": JSON},
        ASKS,
    ),
    "responses output": pair(
        {"type": "function_call_output", "call_id": "1", "output": "12:00"}, ANSWER
    ),
    "responses output parts": pair(
        {
            "type": "function_call_output",
            "call_id": "1",
            "output": [text("12:00", "input_text")],
        },
        ANSWER,
    ),
    "responses custom call": pair(
        {"type": "custom_tool_call", "call_id": "1", "name": "sql", "input": "1"},
        {**ASKS, "tool_calls": [{"id": "1", "name": "sql", "arguments": "1"}]},
    ),
    "responses custom output": pair(
        {"type": "custom_tool_call_output", "call_id": "1", "output": "12:00"}, ANSWER
    ),
    "responses shell output": pair(
        {"type": "shell_call_output", "call_id": "1", "output": "12:00"}, ANSWER
    ),
    "responses reasoning": pair(
        {"type": "reasoning", "id": "r", "summary": [text("hm", "summary_text")]},
        THINKS_ONLY,
    ),
    "responses whole reasoning": pair(
        {"type": "reasoning", "summary": [], "content": [text("hm", "reasoning_text")]},
        THINKS_ONLY,
    ),
    "responses hidden reasoning": item("reasoning", summary=[], encrypted_content="x"),
    "responses web search": item("web_search_call", id="w", status="completed"),
    "responses code": item("code_interpreter_call", id="c", code="1", outputs=[]),
    "responses mcp": item("mcp_call", id="m", name="f", arguments="{}", output="x"),
    "responses computer": item("computer_call", id="c", call_id="1", action={}),
    "responses reference": pair(
        {"type": "item_reference", "id": "x"},
        {
            "role": "item_reference",
            "content": [{"type": "item_reference", "id": "x"}],
        },
    ),
    # Anthropic
    "anthropic user": pair(block("user", text("hi")), HI),
    "anthropic parts": kept("user", text("hi"), IMAGE, DOCUMENT),
    "anthropic thinking": pair(block("assistant", THINKING, text("hey")), THINKS),
    "anthropic hidden": kept("assistant", HIDDEN, text("hey")),
    "anthropic call": pair(block("assistant", USE), ASKS),
    "anthropic said and called": pair(
        block("assistant", text("hey"), USE), {**ASKS, "content": "hey"}
    ),
    "anthropic searched": kept("assistant", SEARCHED, FOUND, text("hey")),
    "anthropic result": pair(block("user", RESULT), ANSWER),
    "anthropic failure": pair(block("user", {**RESULT, "is_error": True}), FAILED),
    "anthropic success": pair(block("user", {**RESULT, "is_error": False}), ANSWER),
    "anthropic result parts": pair(
        block("user", {**RESULT, "content": [text("12:00")]}), ANSWER
    ),
    "anthropic result and text": pair(block("user", RESULT, text("hi")), ANSWER, HI),
    # Gemini
    "gemini text": pair("hi", HI),
    "gemini part": pair({"text": "hi"}, HI),
    "gemini user": pair({"role": "user", "parts": [{"text": "hi"}]}, HI),
    "gemini picture": pair(
        {"role": "user", "parts": [{"text": "hi"}, BLOB]},
        block("user", {"text": "hi"}, BLOB),
    ),
    "gemini thought": pair(
        {"role": "model", "parts": [{"text": "hm", "thought": True}, {"text": "hey"}]},
        THINKS,
    ),
    "gemini call": pair({"role": "model", "parts": [CALLED]}, ASKS),
    "gemini call in camels": pair(
        {"role": "model", "parts": [{"functionCall": CALLED["function_call"]}]}, ASKS
    ),
    "gemini bare call": pair(CALLED, ASKS),
    "gemini result": pair(
        {"role": "user", "parts": [{"function_response": RETURNED}]}, TIME
    ),
    "gemini bare result": pair({"functionResponse": RETURNED}, TIME),
    # Bedrock
    "bedrock user": pair({"role": "user", "content": [{"text": "hi"}]}, HI),
    "bedrock picture": kept("user", {"text": "hi"}, JPEG),
    "bedrock thinking": pair(
        block("assistant", REASONING_CONTENT, {"text": "hey"}), THINKS
    ),
    "bedrock call": pair(block("assistant", TOOL_USE), ASKS),
    "bedrock result": pair(block("user", {"toolResult": TOOL_RESULT}), ANSWER),
    "bedrock failure": pair(
        block("user", {"toolResult": {**TOOL_RESULT, "status": "error"}}), FAILED
    ),
    # Mistral, Cohere, Ollama
    "mistral thinking": pair(block("assistant", THOUGHT_PIECES, text("hey")), THINKS),
    "mistral call": pair(
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": "1", "function": {"name": "clock", "arguments": ARGS}}
            ],
        },
        {**ASKS, "content": ""},
    ),
    "mistral tool": pair(
        {"role": "tool", "tool_call_id": "1", "name": "clock", "content": "12:00"},
        {**ANSWER, "name": "clock"},
    ),
    "cohere plan": pair(
        {
            "role": "assistant",
            "tool_plan": "hm",
            "tool_calls": [{"id": "1", **FUNCTION}],
        },
        {**ASKS, "reasoning": "hm"},
    ),
    "cohere documents": pair(
        {
            "role": "tool",
            "tool_call_id": "1",
            "content": [{"type": "document", "document": {"data": "12:00"}}],
        },
        {**ANSWER, "content": [{"type": "document", "document": {"data": "12:00"}}]},
    ),
    "ollama thinking": pair(
        {"role": "assistant", "content": "hey", "thinking": "hm"}, THINKS
    ),
    "ollama call": pair(
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": "clock", "arguments": ARGS}}],
        },
        {"role": "assistant", "content": "", "tool_calls": [{**CALL, "id": None}]},
    ),
    "ollama tool": pair(
        {"role": "tool", "content": "12:00", "tool_name": "clock"},
        {"role": "tool", "content": "12:00", "name": "clock"},
    ),
}
"""Of each kind of message: what is given, and its turns."""
