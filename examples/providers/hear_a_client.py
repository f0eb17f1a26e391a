"""
How do I hear what an OpenAI client does, without passing anything down?
"""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import openai

from instrument import Event, callbacks, wrap


def stream(body: Any) -> Iterator[bytes]:
    for word in ("Because ", "of the ", "salt."):
        choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
        yield f"data: {json.dumps({'model': body['model'], 'choices': [choice]})}\n\n".encode()
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    last = {"model": body["model"], "choices": [], "usage": usage}
    yield f"data: {json.dumps(last)}\n\ndata: [DONE]\n\n".encode()


def provider(request: Any) -> Any:  # no network: this answers instead
    content = b"".join(stream(json.loads(request.content)))
    kind = {"content-type": "text/event-stream"}
    return httpx2.Response(200, headers=kind, content=content)


transport = openai.DefaultHttpxClient(transport=httpx2.MockTransport(provider))
client = wrap(openai.OpenAI(api_key="none", http_client=transport))


def answer(question: str) -> str:  # it knows nothing of callbacks
    chunks = client.chat.completions.create(
        model="fake-1",
        messages=[{"role": "user", "content": question}],
        stream=True,
        stream_options={"include_usage": True},
    )
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def tell(event: Event) -> None:
    if event.event == "on_chat_model_start":
        print(event.name, event.data["model"], event.data["messages"])
    elif event.event == "on_llm_end":
        print(event.data["text"], event.data["usage"])


with callbacks(tell, on_llm_new_token=lambda token: print(repr(token))):
    answer("Why is the sea salty?")
#> openai.chat.completions fake-1 [{'role': 'user', 'content': 'Why is the sea salty?'}]
#> 'Because '
#> 'of the '
#> 'salt.'
#> Because of the salt. {'input_tokens': 9, 'output_tokens': 3}
