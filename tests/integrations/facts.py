"""
What is stated of every SDK, whoever hears it: the calls that a test makes of each, and
what its one run has to tell then.
"""

import inspect
import sys
from importlib import import_module
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from instrument.testing import Recorder

if TYPE_CHECKING:
    from tests.integrations.provider import Provider

SDKS: list[Any] = import_module("sdks").SDKS

WORDS = ["Hel", "lo ", "wor", "ld"]
THOUGHTS = ["Let me ", "think."]
CALL = {"name": "get_weather", "arguments": {"city": "Oslo"}}

SYNC = [(sdk, name) for sdk in SDKS for name in sdk.calls]
ASYNC = [(sdk, name) for sdk in SDKS if sdk.amake for name in sdk.acalls]

every_call = pytest.mark.parametrize(
    "sdk, name", SYNC, ids=[f"{sdk.provider}-{name}" for sdk, name in SYNC]
)
every_async_call = pytest.mark.parametrize(
    "sdk, name", ASYNC, ids=[f"{sdk.provider}-{name}" for sdk, name in ASYNC]
)
CALLED = [it for it in SDKS if it.calls]
every_sdk = pytest.mark.parametrize("sdk", CALLED, ids=lambda it: it.provider)
every_sdk_but_bedrock = pytest.mark.parametrize(
    "sdk", [it for it in CALLED if it.provider != "bedrock"], ids=lambda it: it.provider
)
every_async_sdk = pytest.mark.parametrize(
    "sdk", [it for it in SDKS if it.amake], ids=lambda it: it.provider
)
every_sdk_that_retries = pytest.mark.parametrize(
    "sdk",
    [it for it in SDKS if it.provider in ("openai", "anthropic", "groq", "together")],
    ids=lambda it: it.provider,
)


def check(recorder: Recorder, sdk: Any, name: str) -> None:
    """
    Check the one run of a call by what the fake provider answers.
    """
    (run,) = recorder.runs
    assert run.status == "ok"
    assert run.provider == sdk.provider
    assert run.name.startswith(f"{sdk.provider}.")
    last = recorder.events[-1].data
    if name == "embed":
        assert run.kind == "embedding"
        assert run.inputs == ["a", "b"]
        assert last["vectors"] == {"count": 2, "size": 2}
        return

    assert run.model == last["model"] == ("think" if "think" in name else "m")
    assert run.usage.to_dict() == sdk.usage
    assert last["finish_reason"]
    is_text = name.startswith("text")
    assert run.kind == ("llm" if is_text else "chat_model")
    assert run.inputs == (["hi"] if is_text else [{"role": "user", "content": "hi"}])
    assert last["text"] == ("" if "tools" in name else "Hello world")
    assert last.get("reasoning") == ("Let me think." if "think" in name else None)
    calls = [{k: call[k] for k in CALL} for call in last["tool_calls"]]
    assert calls == ([CALL] if "tools" in name else [])
    tokens = [e.data for e in recorder.events if e.event == "on_llm_new_token"]
    texts = [token["token"] for token in tokens if token["channel"] == "text"]
    thought = [token["token"] for token in tokens if token["channel"] == "reasoning"]
    assert texts == (WORDS if "stream" in name and "tools" not in name else [])
    assert thought == (THOUGHTS if name == "think stream" else [])


def read(result: Any) -> list[Any]:
    """
    Read a result to its end, if it comes in pieces.
    """
    is_stream = hasattr(result, "__next__") or name_of(result) == "EventStream"
    return list(result) if is_stream else [result]


async def aread(result: Any) -> list[Any]:
    """
    The same of what comes from an async client.
    """
    result = await result if inspect.isawaitable(result) else result
    is_stream = hasattr(result, "__aiter__")
    return [item async for item in result] if is_stream else [result]


def name_of(value: object) -> str:
    """
    Name the class of *value*.
    """
    return type(value).__name__


def check_same(provider: "Provider") -> None:
    """
    Check that two requests were the same, byte for byte.
    """
    before, after = provider.requests
    assert after.path == before.path
    assert after.body == before.body
    assert stable(after.headers) == stable(before.headers)


def stable(headers: dict[str, str]) -> dict[str, str]:
    """
    Leave out what differs between any two requests.
    """
    differs = ("idempotency-key", "x-stainless-", "amz-sdk-", "authorization", "x-amz")
    return {k: v for k, v in headers.items() if not k.startswith(differs)}


def retries(recorder: Recorder) -> list[int]:
    """
    Give the attempts that were told to have failed.
    """
    return [e.data["attempt"] for e in recorder.events if e.event == "on_retry"]


def tokens(recorder: Recorder) -> list[str]:
    """
    Give the tokens that were told.
    """
    return [e.data["token"] for e in recorder.events if e.event == "on_llm_new_token"]


def snapshot(module: str) -> dict[tuple[str, ...], object]:
    """
    Give the identity of every attribute, and what functions do.
    """
    package = module.partition(".")[0]
    seen: set[type] = set()  # modules share most of their classes
    found: dict[tuple[str, ...], object] = {}
    for name, held in list(sys.modules.items()):
        if name.partition(".")[0] != package or not isinstance(held, ModuleType):
            continue
        for key, value in list(vars(held).items()):
            found[name, key] = id(value)
            if isinstance(value, type) and value not in seen:
                seen.add(value)
                for attribute, inner in list(vars(value).items()):
                    code = inner.__code__ if isinstance(inner, FunctionType) else None
                    found[name, key, attribute] = (
                        id(inner),
                        code and (id(code), code.co_code),
                    )
    return found
