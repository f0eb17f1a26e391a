"""
LangChain and LangGraph, heard through LangChain's own `register_configure_hook`.

LangChain asks a hook at every run whether a handler is to be added; ours answers with
one bridge per process while anybody listens, and with nothing otherwise.
"""

DISTRIBUTION = "langchain-core"
TESTED = ("0.3.0", "1.8.3")
HOOK = "langchain_core.tracers.context.register_configure_hook"
HEARS = ("chains", "models", "tokens", "tools", "retrievers", "custom events")
OWNS = "three entries of langchain_core.tracers.context's list of hooks"


def load() -> None:
    """
    Import what listens.
    """
    from instrument.integrations.langchain import _hook  # noqa: F401


def install() -> None:
    """
    Have LangChain ask us at every run.
    """
    from instrument.integrations.langchain import _hook

    _hook.register()


def uninstall() -> None:
    """
    Take our hooks out of LangChain's list; it has no function for that.
    """
    from instrument.integrations.langchain import _hook

    _hook.unregister()
