"""
Runs that LangChain tells as chains, and says of which type they are: decision models.

Ours hear what such a run is. LangChain's handlers hear a chain, as from LangChain.
"""

from copy import copy
from json import dumps

from instrument._audience.listener import Listener, is_langchain
from instrument._payloads.jsonable import jsonable
from instrument._payloads.messages import get

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from instrument._runs.run import Run

_EVENTS = {
    f"on_{kind}_{told}": f"on_chain_{told}"
    for kind in ("llm", "chat_model", "tool", "retriever")
    for told in ("start", "end", "error")
}
_KEYWORDS = ("run_id", "parent_run_id", "tags", "metadata", "name")


def tell_as_chain(run: "Run") -> None:
    """
    Have LangChain's handlers be told of *run* as of a chain.
    """
    heard = run._audience
    if not any(is_langchain(listener.handler) for listener, _ in heard.listeners):
        return
    run._audience = made = copy(heard)
    made._natives, made._receivers, made.voices_of = None, {}, {}
    made.listeners = tuple(
        [(_as_told(listener), layer) for listener, layer in heard.listeners]
    )
    run._voices = made.voices(run._kind)


def _as_told(listener: Listener) -> Listener:
    if not is_langchain(listener.handler):
        return listener
    made = _OfLangChain()
    made.take(listener.handler, listener.event)
    made.local = listener.local
    return made


class _OfLangChain(Listener):
    """
    A handler of LangChain's.
    """

    __slots__ = ()

    def method(self, event: str) -> "Callable[..., Any] | None":
        chain = _EVENTS.get(event)
        method = super().method(chain or event)
        if chain is None or method is None:
            return method

        def call(*args: "Any", run: "Run", **kwargs: "Any") -> "Any":
            told = {name: kwargs[name] for name in _KEYWORDS if name in kwargs}
            if chain == "on_chain_start":
                args = (args[0], run._entry.inputs)
                told["run_type"] = run.kind
            elif chain == "on_chain_end":
                args = (run.outputs,)
            return method(*args, **told)

        return call


def text_of(said: object) -> str:
    """
    Write what went into a model, or came out of it, as text: as JSON if it is none.
    """
    if isinstance(said, str):
        return said
    return dumps(jsonable(said), ensure_ascii=False)


def decided(run: "Run") -> str | None:
    """
    Write what a decision model answered, as far as handlers may see it; None of others.
    """
    answers = get(run.outputs, "answers")
    return None if answers is None else text_of(answers)
