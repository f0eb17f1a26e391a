"""
The flags of a handler, and the base class that hears nothing.
"""

from types import SimpleNamespace
from typing import Any

import pytest

from instrument import BaseCallbackHandler, callbacks, traced
from instrument._audience.listener import EVENTS


def work() -> str:
    """
    Be a run.
    """
    return "done"


@pytest.mark.parametrize(
    "event", [name for name in EVENTS if name.startswith("on_tool")]
)
@pytest.mark.parametrize("flag", [True, 1, "yes"])
def test_ignore_flags(event: str, flag: Any) -> None:
    """
    ``ignore_agent = True`` silences tools; only True itself does.
    """
    heard: list[str] = []

    def fail() -> None:
        raise KeyError

    def hear(*args: Any, **kwargs: Any) -> None:
        heard.append(event)

    handler = SimpleNamespace(ignore_agent=flag, **{event: hear})
    with callbacks(handler), pytest.raises(KeyError):
        traced.tool(work)()
        traced.tool(fail)()

    assert bool(heard) is (flag is not True)


@pytest.mark.parametrize("flag", ["ignore_chat_model", "ignore_llm"])
def test_ignore_flags_of_models(flag: str) -> None:
    """
    ``ignore_chat_model`` hides starts of chat models, ``ignore_llm`` text models.
    """
    heard: list[str] = []
    handler = SimpleNamespace(
        on_llm_start=lambda prompts: heard.append("on_llm_start"),
        on_llm_end=lambda: heard.append("on_llm_end"),
        **{flag: True},
    )

    with callbacks(handler):
        traced.chat_model(work)()

    assert heard == (["on_llm_end"] if flag == "ignore_chat_model" else [])


def test_base_class_hears_nothing() -> None:
    """
    The base class's own methods do nothing, so that no payload is made for them.
    """
    asked: list[str] = []

    with callbacks(BaseCallbackHandler()):
        traced(inputs=lambda: asked.append("inputs"))(work)()

    assert asked == []


def test_base_class_methods_can_be_called() -> None:
    """
    Each method of the base class takes its event's arguments, and gives None.
    """
    base: Any = BaseCallbackHandler()

    for event, (positional, _) in EVENTS.items():
        assert getattr(base, event)(*positional, run_id=None, extra=1) is None
