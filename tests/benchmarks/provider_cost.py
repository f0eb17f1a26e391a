"""
What hearing OpenAI's SDK adds to a call, against a transport in memory.

Run it in the environment ``providers``: ``python -m tests.benchmarks.provider_cost``.
CPU time, medians of interleaved rounds in one process.
"""

import gc
import json
import statistics
import time
from collections.abc import Callable, Iterator

import httpx2
import openai

from instrument import BaseCallbackHandler, auto, callbacks

ROUNDS = 41
CALLS = 25
CHUNKS = 200
UNHEARD_US, HEARD_US, CHUNK_US = 3.0, 25.0, 5.0

MESSAGES: list[openai.types.chat.ChatCompletionUserMessageParam] = [
    {"role": "user", "content": "hi"}
]
_CHUNK = {
    "id": "c",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}],
}
_WHOLE = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "hello"},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
STREAM = f"data: {json.dumps(_CHUNK)}\n\n".encode() * CHUNKS + b"data: [DONE]\n\n"


class NoOp(BaseCallbackHandler):
    """
    Hears a call and its tokens, and does nothing.
    """

    def on_chat_model_start(self, *args: object, **kwargs: object) -> None: ...
    def on_llm_new_token(self, *args: object, **kwargs: object) -> None: ...
    def on_llm_end(self, *args: object, **kwargs: object) -> None: ...


def answer(request: httpx2.Request) -> httpx2.Response:
    """
    Answer a request from memory.
    """
    if json.loads(request.content).get("stream"):
        kind = {"content-type": "text/event-stream"}
        return httpx2.Response(200, content=STREAM, headers=kind)
    return httpx2.Response(200, json=_WHOLE)


def measured(act: Callable[[], object], times: int) -> float:
    """
    Give the CPU time of one *act*, in microseconds.
    """
    act()  # what was switched on or off has the interpreter look at each function anew
    started = time.process_time_ns()
    for _ in range(times):
        act()
    return (time.process_time_ns() - started) / times / 1e3


def states() -> Iterator[tuple[str, Callable[[Callable[[], object], int], float]]]:
    """
    Give the ways in which a call may be heard, or not.
    """

    def off(act: Callable[[], object], times: int) -> float:
        auto.uninstall()
        return measured(act, times)

    def unheard(act: Callable[[], object], times: int) -> float:
        auto.install()
        return measured(act, times)

    def heard(act: Callable[[], object], times: int) -> float:
        auto.install()
        with callbacks(NoOp()):
            return measured(act, times)

    yield from (("off", off), ("unheard", unheard), ("heard", heard))


def medians(act: Callable[[], object], times: int) -> dict[str, float]:
    """
    Give the median of each way, in microseconds an act.
    """
    taken: dict[str, list[float]] = {name: [] for name, _ in states()}
    for _ in range(ROUNDS):
        for name, way in states():
            taken[name].append(way(act, times))
    return {name: statistics.median(values) for name, values in taken.items()}


def main() -> None:
    """
    Print the table.
    """
    transport = httpx2.MockTransport(answer)
    client = openai.OpenAI(
        api_key="k", http_client=httpx2.Client(transport=transport), max_retries=0
    )
    create = client.chat.completions.create

    def whole() -> None:
        create(model="m", messages=MESSAGES)

    def stream() -> None:
        for _ in create(model="m", messages=MESSAGES, stream=True):
            pass

    measured(whole, CALLS)
    gc.freeze()
    calls, streams = medians(whole, CALLS), medians(stream, 2)
    rows = (
        ("a call, unheard", calls["unheard"] - calls["off"], UNHEARD_US),
        ("a call, heard", calls["heard"] - calls["off"], HEARD_US),
        ("a chunk, unheard", (streams["unheard"] - streams["off"]) / CHUNKS, CHUNK_US),
        ("a chunk, heard", (streams["heard"] - streams["off"]) / CHUNKS, CHUNK_US),
    )
    print(f"a call by itself: {calls['off']:.0f} us")
    for name, added_us, most_us in rows:
        print(f"{name:18} adds {added_us:6.2f} us, at most {most_us:4.1f}")


if __name__ == "__main__":
    main()
