"""
LangChain and LangGraph, heard through LangChain's own `register_configure_hook`.

LangChain asks a hook at every run whether a handler is to be added; ours answers with
one bridge per process while anybody listens, and with nothing otherwise.
"""

from contextvars import ContextVar

from langchain_core.tracers.context import _configure_hooks, register_configure_hook

from instrument import _merge, _open
from instrument.integrations.langchain._bridge import BRIDGE, TOKENS
from instrument.integrations.langchain._given import accept, refuse
from instrument.integrations.langchain._heard import in_hand
from instrument.integrations.langchain._hook import TokensHook
from instrument.integrations.langchain._models import model_in_hand

DISTRIBUTION = "langchain-core"
TESTED = ("0.3.0", "1.8.2")
HOOK = "langchain_core.tracers.context.register_configure_hook"
HEARS = ("chains", "models", "tokens", "tools", "retrievers", "custom events")
OWNS = "two entries of langchain_core.tracers.context's list of hooks"

_HOOKS = (ContextVar("instrument_langchain", default=BRIDGE), TokensHook(TOKENS))


def install() -> None:
    """
    Have LangChain ask us at every run.
    """
    registered = [hook for hook, *_ in _configure_hooks]
    for hook in _HOOKS:
        if hook not in registered:
            # not handed down, but asked for anew, so that ours come last
            register_configure_hook(hook, inheritable=False)  # type: ignore[arg-type]
    accept()
    if in_hand not in _open.frameworks:
        _open.frameworks.append(in_hand)
        _merge.models.append(model_in_hand)


def uninstall() -> None:
    """
    Take our hooks out of LangChain's list; it has no function for that.
    """
    _configure_hooks[:] = [it for it in _configure_hooks if it[0] not in _HOOKS]
    refuse()
    if in_hand in _open.frameworks:
        _open.frameworks.remove(in_hand)
        _merge.models.remove(model_in_hand)
