"""
What LangChain asks at every run whether a handler is to be added.

It takes a ContextVar, of which it calls `get` alone. These look at our own, so that
LangChain has no handler more than it would have where nobody can hear.
"""

import sys
from asyncio import _get_running_loop

from langchain_core.callbacks.base import BaseCallbackHandler
from langchain_core.tracers.context import _configure_hooks, register_configure_hook

from instrument._audience import seen_by_langchain as _seen
from instrument._audience.plan import EPOCH, NOBODY, UNSETTLED
from instrument._runs import merging as _merge
from instrument._runs import opening as _open
from instrument._runs.run import Run
from instrument._state import MUTED, get_state, live_state
from instrument.integrations.langchain._bridge import BRIDGE, Inline
from instrument.integrations.langchain._given_handlers import (
    accept,
    been_asked,
    behind,
    forget_asked,
    has_been_asked,
    refuse,
)
from instrument.integrations.langchain._late import LATE, Late
from instrument.integrations.langchain._open_runs import (
    asked_here,
    end_below,
    forget,
    in_hand,
    model_in_hand,
    open_runs,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any
    from uuid import UUID


class Streaming:
    """
    What has LangChain's models stream though they were only invoked.
    """

    def tap_output_iter(self, run_id: "UUID", output: "Any") -> "Any":
        return output

    def tap_output_aiter(self, run_id: "UUID", output: "Any") -> "Any":
        return output


class LateTokens(Streaming, Late):
    """
    It, and what comes last.
    """


class Tokens(Streaming, BaseCallbackHandler):
    """
    It alone; this hears nothing.
    """

    ignore_llm = True
    ignore_retry = True
    ignore_chain = True
    ignore_agent = True
    ignore_retriever = True
    ignore_chat_model = True
    ignore_custom_event = True
    run_inline = Inline()


class BridgeHook:
    """
    Gives the bridge where somebody listens, or LangChain may have been given a handler.
    """

    def __init__(self) -> None:
        self._answered: int | None = None

    def get(self) -> "Any":
        """
        Give the handler to add, or None: asked before each run, so what was noted of
        the last one, and never taken, is forgotten.
        """
        if been_asked and has_been_asked():
            forget_asked()
        if get_state() or open_runs:
            if (loop := _get_running_loop()) is not None:
                asked_here(loop)
            return BRIDGE
        if not _seen.alive:
            return None
        asks = sys._getframe(1)
        if self._answered == id(asks):  # it asks once more at once, for the same
            self._answered = None
            return BRIDGE
        if not _is_given(asks):
            return None
        self._answered = id(asks)
        if (loop := _get_running_loop()) is not None:
            asked_here(loop)
        return BRIDGE


class LateHook:
    """
    Gives `LATE` where a handler may come after the bridge, or may stop the call; what
    makes LangChain stream, where one wants tokens; or what does both.
    """

    def get(self) -> "Any":
        """
        Give the handler to add, or None.
        """
        state = get_state()
        if state is MUTED:
            heard = UNSETTLED
        elif state.__class__ is dict:
            heard = NOBODY.settle()
        elif state._is_gone:
            live_state()
            return self.get()
        else:
            plan = state._plan if state.__class__ is Run else state._mended or state
            heard = plan.audience
            if heard.epoch != EPOCH.now:
                heard = plan.settle()
        late: Any = None
        tokens: Any = TOKENS
        if behind:
            late, tokens = LATE, LATE_TOKENS
        for listener, _ in heard.listeners:
            # as `Listener.raises`, which is a call more for each
            if getattr(listener.handler, "raise_error", None) is True:
                late, tokens = LATE, LATE_TOKENS
        return tokens if heard.wants_tokens else late


def _is_given(asks: "FrameType") -> bool:
    """
    Tell whether the manager being made has a handler of ours.

    LangChain does not say for whom it asks, so its frame is looked at: the bridge where
    it has nothing to do costs a chat model 18 us, this 1.
    """
    manager = asks.f_locals.get("callback_manager")
    handlers = getattr(manager, "handlers", None)
    if handlers is None:
        return True
    for handler in handlers:  # noqa: SIM110 - any() costs thrice as much
        if id(handler) in _seen.alive:
            return True
    return False


TOKENS = Tokens()
LATE_TOKENS = LateTokens()
_HOOKS = {
    BridgeHook(): True,  # handed down, since LangGraph does not ask again for its nodes
    LateHook(): False,
}


def register() -> None:
    """
    Put our hooks into LangChain's list, if they are not there.
    """
    registered = [hook for hook, *_ in _configure_hooks]
    for hook, is_handed_down in _HOOKS.items():
        if hook not in registered:
            register_configure_hook(hook, is_handed_down)  # type: ignore[arg-type]
    accept()
    if in_hand not in _open.frameworks:
        _open.frameworks.append(in_hand)
        _open.endings.append(end_below)
        _merge.models.append(model_in_hand)


def unregister() -> None:
    """
    Undo `register`.
    """
    for entry in [it for it in _configure_hooks if it[0] in _HOOKS]:
        _configure_hooks.remove(entry)
    refuse()
    forget()
    if in_hand in _open.frameworks:
        _open.frameworks.remove(in_hand)
        _open.endings.remove(end_below)
        _merge.models.remove(model_in_hand)
