"""
How do I see a model, the tool that it calls, and the model again, as one request?
"""

import json
from typing import Any

import httpx2
import openai

from instrument import Event, callbacks, traced, wrap


def provider(request: Any) -> Any:  # no network: this answers instead
    body = json.loads(request.content)
    message: dict[str, Any] = {"role": "assistant", "content": "Take a coat."}
    if body["messages"][-1]["role"] == "user":
        function = {"name": "weather", "arguments": '{"city": "Oslo"}'}
        call = {"id": "call_1", "type": "function", "function": function}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return httpx2.Response(200, json={"model": body["model"], "choices": [choice]})


transport = openai.DefaultHttpxClient(transport=httpx2.MockTransport(provider))
client = wrap(openai.OpenAI(api_key="none", http_client=transport))
TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": {}}}


@traced.tool
def weather(city: str) -> str:
    return f"snow in {city}"


@traced.agent
def advise(question: str) -> str:
    messages: list[Any] = [{"role": "user", "content": question}]
    create, said = client.chat.completions.create, None
    while said is None or said.tool_calls:
        said = create(model="m", messages=messages, tools=[TOOL]).choices[0].message
        messages.append(said)
        for call in said.tool_calls or ():
            result = weather(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    return str(said.content)


def tell(event: Event) -> None:
    if event.event.endswith("_end"):
        told = event.data.get("tool_calls") or event.data.get("text") or event.data
        told = [told] if event.kind == "chat_model" else []
        print("  " * event.run.depth + event.name, *told)


with callbacks(tell):
    advise("What shall I wear?")
#>   openai.chat.completions [{'id': 'call_1', 'name': 'weather', 'arguments': {'city': 'Oslo'}}]
#>   weather
#>   openai.chat.completions Take a coat.
#> advise
