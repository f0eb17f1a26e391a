"""
LangChain and LangGraph, heard through LangChain's own `register_configure_hook`.

LangChain asks a hook at every run whether a handler is to be added; ours answers with
one bridge per process while anybody listens, and with nothing otherwise.
"""

from langchain_core.tracers.context import _configure_hooks, register_configure_hook

from instrument import _open
from instrument.integrations.langchain._endings import end_below
from instrument.integrations.langchain._given import accept, refuse
from instrument.integrations.langchain._heard import forget, in_hand
from instrument.integrations.langchain._hook import (
    BridgeHook,
    LateHook,
    TokensHook,
)

DISTRIBUTION = "langchain-core"
TESTED = ("0.3.0", "1.8.2")
HOOK = "langchain_core.tracers.context.register_configure_hook"
HEARS = ("chains", "models", "tokens", "tools", "retrievers", "custom events")
OWNS = "three entries of langchain_core.tracers.context's list of hooks"

_HOOKS = {
    BridgeHook(): True,  # handed down, since LangGraph does not ask again for its nodes
    TokensHook(): False,
    LateHook(): False,
}


def install() -> None:
    """
    Have LangChain ask us at every run.
    """
    registered = [hook for hook, *_ in _configure_hooks]
    for hook, is_handed_down in _HOOKS.items():
        if hook not in registered:
            register_configure_hook(hook, is_handed_down)  # type: ignore[arg-type]
    accept()
    if in_hand not in _open.frameworks:
        _open.frameworks.append(in_hand)
        _open.endings.append(end_below)


def uninstall() -> None:
    """
    Take our hooks out of LangChain's list; it has no function for that.
    """
    for entry in [it for it in _configure_hooks if it[0] in _HOOKS]:
        _configure_hooks.remove(entry)
    refuse()
    forget()
    if in_hand in _open.frameworks:
        _open.frameworks.remove(in_hand)
        _open.endings.remove(end_below)
