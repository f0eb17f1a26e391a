"""
What each kind of run tells: the events it fires, and what they carry.

A payload is made only when somebody who hears that event is there. Containers are
the payload's own: a handler that changes one changes nothing for the call.
"""

import sys

from instrument import _interrupts, _report
from instrument._payloads.answers import (
    Answer,
    Generation,
    LLMResult,
    UnreadResult,
    answer_of,
)
from instrument._payloads.jsonable import text_of
from instrument._payloads.messages import (
    MOST_TOLD,
    document_data,
    fields_of,
    get,
    has,
    is_listed,
    items,
)
from instrument._payloads.names import Names
from instrument._payloads.redact import asked_for, redacted
from instrument._payloads.turns import turns_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from instrument._runs.run import Run

    Args = tuple[tuple[Any, ...], dict[str, Any] | None]

_INPUT_STR = 10_000
_MOST_TEXT = 10_000
_LONGEST_KIND = 100  # characters; no known one is nearly as long
_WRAPS = 8


_SAID = (
    "start",
    "end",
    "error",
    "is_plain",
    "is_model",
    "is_chat",
    "yields_tokens",
    "is_whole",
)


class Kind:
    """
    What runs of one kind tell; this is a chain's, an agent's, and any unknown kind's.
    """

    _said: "dict[str, Any]"

    start = "on_chain_start"
    end = "on_chain_end"
    error = "on_chain_error"
    is_plain = True  # its inputs are told as they are bound
    is_model = False
    is_chat = False  # what is said to it is told as a list of conversations: of one
    yields_tokens = False  # of itself, whatever is called in it
    is_whole = False  # a model's result has the shape of the end event's argument

    def __init_subclass__(cls) -> None:
        """
        Keep what the class says of its events apart, for its objects to have as theirs.

        It is asked for on the way of every run. The interpreter finds what is the
        object's alone in 20 instructions, and what its class has as well in 250.
        """
        cls._said = {name: vars(cls)[name] for name in _SAID if name in vars(cls)}
        for name in cls._said:
            delattr(cls, name)

    def __init__(self) -> None:
        for cls in reversed(type(self).__mro__):
            for name, value in vars(cls).get("_said", {}).items():
                setattr(self, name, value)

    def inputs_of(self, arguments: "dict[str, Any]") -> "Any":
        """
        Give what ``run.inputs`` holds, of the *arguments* by name.
        """
        return arguments

    def started(self, run: "Run") -> "Args":
        """
        Give the start event's positional arguments, and keywords of its own.
        """
        if run._call is not None:
            run._take()
        return ({"name": run.name}, run._inputs), None

    def start_data(self, run: "Run") -> "dict[str, Any]":
        """
        Give the start event's ``data``.
        """
        if run._call is not None:
            run._take()
        return {"inputs": run._inputs}

    if TYPE_CHECKING:  # asked of models only; of all others it is the outputs

        def ended(self, run: "Run") -> Any: ...

        answer_of: Callable[[Any], Answer]

    def end_data(self, run: "Run") -> "dict[str, Any]":
        """
        Give what the end event's ``data`` says of the outputs.
        """
        return {"outputs": run._outputs}

    def failed(self, run: "Run") -> "dict[str, Any]":
        """
        Give the error event's own keywords.
        """
        return {}


Kind.__init_subclass__.__func__(Kind)  # type: ignore[attr-defined]


class Tool(Kind):
    """
    A tool: its input is also told as text.
    """

    start = "on_tool_start"
    end = "on_tool_end"
    error = "on_tool_error"
    is_plain = False

    def started(self, run: "Run") -> "Args":
        inputs = run.inputs
        only = next(iter(inputs.values())) if _single(inputs) else None
        is_text = issubclass(type(only), str)
        asked = asked_for(run._audience.redactors)
        text = only if is_text else text_of(inputs, _INPUT_STR, asked)
        if asked:
            run._asked = asked
        named = {"name": run.name}
        if run._description:
            named["description"] = run._description
        return (named, text), {"inputs": inputs}

    def end_data(self, run: "Run") -> "dict[str, Any]":
        return {"output": run.outputs}


class Retriever(Kind):
    """
    A retriever: its query is the first argument.
    """

    start = "on_retriever_start"
    end = "on_retriever_end"
    error = "on_retriever_error"
    is_plain = False

    def inputs_of(self, arguments: "dict[str, Any]") -> "Any":
        return next(iter(arguments.values()), "")

    def start_data(self, run: "Run") -> "dict[str, Any]":
        return {"query": run.inputs}

    def end_data(self, run: "Run") -> "dict[str, Any]":
        found = run.outputs
        if is_listed(found):
            found = items(found)
            shown = map(document_data, found[:MOST_TOLD])
            found = [*shown, *found[MOST_TOLD:]]
        return {"documents": found}


class Embedding(Kind):
    """
    An embedding: texts in, vectors out, of which only count and size are recorded.
    """

    start = "on_embedding_start"
    end = "on_embedding_end"
    error = "on_embedding_error"
    is_plain = False

    def inputs_of(self, arguments: "dict[str, Any]") -> "Any":
        return _listed(next(iter(arguments.values()), ()))

    def start_data(self, run: "Run") -> "dict[str, Any]":
        return {"texts": run.inputs}

    def end_data(self, run: "Run") -> "dict[str, Any]":
        from instrument._payloads.answers.vectors import vectors_of

        return {"vectors": _measured(vectors_of(run.outputs))}


class Llm(Kind):
    """
    A text completion model.
    """

    start = "on_llm_start"
    end = "on_llm_end"
    error = "on_llm_error"
    is_plain = False
    is_model = True
    answer_of: "Callable[[Any], Answer]" = staticmethod(answer_of)

    def inputs_of(self, arguments: "dict[str, Any]") -> "Any":
        return _listed(next(iter(arguments.values()), ()))

    def started(self, run: "Run") -> "Args":
        if run._call is not None:
            run._take()
        params = run._params or {}
        if run._model:  # it has answered nothing yet
            params = {**params, "model": run._model}
        said = [run._inputs] if self.is_chat else run._inputs
        return ({"name": run.name}, said), {"invocation_params": params}

    def start_data(self, run: "Run") -> "dict[str, Any]":
        return {"prompts": run.inputs, **_model_data(run)}

    def ended(self, run: "Run") -> "Any":
        """
        Give the end event's argument.
        """
        outputs = run._outputs
        if run._answer.__class__ is tuple:  # of text or a pydantic model
            if type(outputs) is not str and "generations" in fields_of(outputs):
                return outputs
            return UnreadResult(_result, run)
        if run._audience.shows_all and has(outputs, "generations"):
            return outputs
        return _result(run)

    def end_data(self, run: "Run") -> "dict[str, Any]":
        answer = run._read_answer() or Answer()
        data = {
            "text": _shown_text(run, answer, "text"),
            "tool_calls": _shown_dicts(run, answer.tool_calls, "tool_calls") or [],
            "model": answer.model or run.model,
            "finish_reason": answer.finish_reason,
        }
        if answer.reasoning:
            data["reasoning"] = _shown_text(run, answer, "reasoning")
        if answer.response_id:
            data["response_id"] = answer.response_id
        for name in ("server_tool_calls", "files"):
            told = getattr(answer, name)
            if told:
                data[name] = _shown_dicts(run, told, name)
        if answer.error:
            data["error"] = _shown_error(run, answer.error)
        return data

    def failed(self, run: "Run") -> "dict[str, Any]":
        return {"response": _result(run)}


class ChatModel(Llm):
    """
    A chat model.
    """

    start = "on_chat_model_start"
    is_chat = True

    def inputs_of(self, arguments: "dict[str, Any]") -> "Any":
        given = next(iter(arguments.values()), ())
        if type(given) is list and len(given) > 1:  # as most are
            return [it.copy() if type(it) is dict else it for it in given]
        for _ in range(_WRAPS):  # a list that holds itself could be unwrapped for ever
            inside = items(given)
            if len(inside) != 1 or not issubclass(type(inside[0]), list):
                break  # [[message, ...]] is unwrapped
            given = inside[0]
        said = items(given) if is_listed(given) else [given]
        return [it.copy() if type(it) is dict else it for it in said]

    def start_data(self, run: "Run") -> "dict[str, Any]":
        messages = run.inputs
        if type(messages) is list:
            messages = turns_of(messages)
        return {"messages": messages, **_model_data(run)}


CHAIN = Kind()


def kind_of(name: str) -> Kind:
    """
    Give what runs of that kind tell; unknown kinds tell what chains tell.
    """
    return KINDS.get(name, CHAIN)


def check_kind(name: str, where: str) -> None:
    """
    Warn of a kind that is nearly a known one: it would be one of its own.

    Args:
        where: How it was given, for a person.
    """
    near = None if name in KINDS else nearest_kind(name)
    if near is not None:
        where = where.format(name)
        _report.warn(f"{where} names a kind of its own. Did you mean {near!r}?")


def nearest_kind(name: str, cutoff: float = 0.85) -> str | None:
    """
    Give the known kind that *name* is nearly, however it is written.
    """
    if len(name) > _LONGEST_KIND:
        return None
    try:
        from difflib import get_close_matches
    except Exception as exc:  # no descriptor or memory is to be had
        _interrupts.pass_on(exc)
        return None
    plain = name.casefold().replace("-", "_").replace(" ", "_")
    return next(iter(get_close_matches(plain, KINDS, n=1, cutoff=cutoff)), None)


KINDS: "dict[str, Kind]" = {
    "chain": CHAIN,
    "agent": CHAIN,
    "llm": Llm(),
    "chat_model": ChatModel(),
    "tool": Tool(),
    "retriever": Retriever(),
    "embedding": Embedding(),
}


def _result(run: "Run") -> LLMResult:
    answer = run._read_answer() or Answer()
    output: dict[str, Any] = {}
    model = answer.model or run.model
    if model:
        output["model_name"] = model
    if run.usage:
        output["token_usage"] = run.usage.to_dict()
    told = [answer, *(answer.others[number] for number in sorted(answer.others))]
    made = [_generation(run, each) for each in told]
    prompts = 1 if run._kind.is_chat else len(items(run.inputs)) or 1
    each, rest = divmod(len(made), prompts)
    size = each if each and not rest else len(made)
    return LLMResult([made[at : at + size] for at in range(0, len(made), size)], output)


def _generation(run: "Run", answer: Answer) -> Generation:
    info = {"finish_reason": answer.finish_reason} if answer.finish_reason else None
    text = _shown_text(run, answer, "text")
    message = answer.message if run._audience.shows_all else None
    return Generation("" if text is None else text, message, info)


def _shown(run: "Run", value: object, name: str) -> "Any":
    audience = run._audience
    is_left_out = run._recipe.outputs is False and not run._is_told
    if is_left_out or not audience.capture:
        return None
    return redacted(value, audience.redactors, ("outputs", name))


def _shown_text(run: "Run", answer: Answer, name: str) -> str | None:
    """
    Give a text as one, whatever a redactor makes of it: names are looked for in each of
    its parts, as one that is JSON is no more to be found behind another.
    """
    parts: list[Any] = answer.parts(name)
    if run._audience.redactors and len(parts) > 1:
        names = tuple(it for it in run._audience.redactors if type(it) is Names)
        parts = [redacted(it, names, ("outputs", name)) for it in parts]
    shown = _shown(run, "".join(parts), name)
    return None if shown is None else _as_text(shown, run)


def _shown_dicts(run: "Run", told: object, name: str) -> "Any":
    """
    Give calls or files as a list of dicts: what a redactor puts in place of one is all
    that is known of it.
    """
    shown = _shown(run, told, name)
    if shown is None or shown is told:
        return shown
    listed = shown if type(shown) is list else [shown]
    return [it if type(it) is dict else {"name": _as_text(it, run)} for it in listed]


def _as_text(shown: object, run: "Run") -> str:
    if type(shown) is str:
        return shown
    return text_of(shown, _MOST_TEXT, asked_for(run._audience.redactors))


def _shown_error(run: "Run", error: "dict[str, Any]") -> "Any":
    """
    Give what the provider says went wrong; its message as that of any other error.
    """
    shown = _shown(run, error, "error")
    redactors = run._audience.redactors
    if redactors and type(shown) is dict:
        message = redacted(shown.get("message"), redactors, ("error",))
        shown = {**shown, "message": message}
    return shown


def _model_data(run: "Run") -> "dict[str, Any]":
    return {"model": run.model, "provider": run.provider, "params": run.params}


def _single(inputs: object) -> bool:
    return type(inputs) is dict and len(inputs) == 1


def _listed(given: object) -> "list[Any]":
    return [*items(given)] if is_listed(given) else [given]


def _measured(vectors: object) -> "dict[str, Any] | None":
    """
    Tell how many vectors there are and how long, not what they hold.
    """
    shape = _shape(vectors)
    if not shape:
        return None
    count, *sizes = shape
    if count and not sizes:
        sizes = _shape(items(vectors)[0]) if is_listed(vectors) else []
        if not sizes:
            return None
    return {"count": count, "size": sizes[0] if count else 0}


def _shape(value: object) -> "list[int]":
    """
    Tell how long a list or an array of numpy is, in each of the dimensions it has.
    """
    if is_listed(value):
        return [len(items(value))]
    numpy = sys.modules.get("numpy")
    array = getattr(numpy, "ndarray", None)
    if array is None or not issubclass(type(value), array):
        return []
    return list(array.shape.__get__(value))


def failure_of(state: object) -> BaseException | None:
    """
    Give what the last attempt raised, where that is told.
    """
    outcome = get(state, "outcome")
    if outcome is None:
        return None
    from concurrent.futures import Future

    if not issubclass(type(outcome), Future):
        return None
    is_done = Future.done(outcome) and not Future.cancelled(outcome)
    return Future.exception(outcome) if is_done else None
