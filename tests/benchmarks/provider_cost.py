"""
What hearing OpenAI's SDK adds to a call, against a transport in memory.

It wants the SDK, and Python 3.12: `ratios` leaves its rows out elsewhere.
"""

import gc
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

from instrument import BaseCallbackHandler, callbacks
from tests.benchmarks.measure import (
    Pair,
    Row,
    Side,
    Work,
    collecting_by_itself,
    more,
)

_MESSAGES: Any = [{"role": "user", "content": "hi"}]
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


class NoOp(BaseCallbackHandler):
    """
    Hears a call and its tokens, and does nothing.
    """

    def on_chat_model_start(self, *args: object, **kwargs: object) -> None: ...
    def on_llm_new_token(self, *args: object, **kwargs: object) -> None: ...
    def on_llm_end(self, *args: object, **kwargs: object) -> None: ...


def call(*, is_heard: bool) -> AbstractContextManager[Pair]:
    """
    Set one call against the same without us.
    """
    create = _client().chat.completions.create

    def work(number: int) -> None:
        for _ in range(number):
            create(model="m", messages=_MESSAGES)
            gc.collect(0)  # its own, no more

    return _against_none(work, is_heard=is_heard)


def chunk() -> AbstractContextManager[Pair]:
    """
    The same for a chunk of a stream to one handler.
    """
    create = _client().chat.completions.create

    def work(chunks: int) -> None:
        for _ in create(model=str(chunks), messages=_MESSAGES, stream=True):
            pass

    return _against_none(work, is_heard=True)


def _row(bar: float | None, make: Callable[[], AbstractContextManager[Pair]]) -> Row:
    return Row(bar, "instr.", more, make, needs="openai", since=(3, 12))


PROVIDER: dict[str, Row] = {
    "added to a call of OpenAI's SDK, nobody listens": _row(
        4_000, partial(call, is_heard=False)
    ),
    "added to a call of OpenAI's SDK, one handler": _row(
        100_000, partial(call, is_heard=True)
    ),
    "added to a chunk of OpenAI's stream, one handler": _row(None, chunk),
}


@contextmanager
def _against_none(work: Work, *, is_heard: bool, many: int = 60) -> Iterator[Pair]:
    """
    Set *work*, heard or not, against the same without us.

    So many are timed, not what fits a slice: the first has the interpreter look anew.
    """
    from instrument import auto  # installs itself

    def ours(number: int) -> None:
        auto.install()
        if not is_heard:
            work(number)
            return
        with callbacks(NoOp()):
            work(number)

    def off(number: int) -> None:
        auto.uninstall()
        work(number)

    try:
        with collecting_by_itself():
            yield Pair(
                Side(ours, few=10, many=many, is_one=True),
                Side(off, few=10, many=many, is_one=True),
            )
    finally:
        auto.uninstall()


def _client() -> Any:
    import httpx2
    import openai

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked = json.loads(request.content)
        if not asked.get("stream"):
            return httpx2.Response(200, json=_WHOLE)
        chunk = f"data: {json.dumps(_CHUNK)}\n\n".encode()
        kind = {"content-type": "text/event-stream"}
        body = chunk * int(asked["model"]) + b"data: [DONE]\n\n"
        return httpx2.Response(200, content=body, headers=kind)

    client = httpx2.Client(transport=httpx2.MockTransport(answer))
    return openai.OpenAI(api_key="k", http_client=client, max_retries=0)
