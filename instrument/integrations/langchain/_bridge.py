"""
The one handler that LangChain is given: it makes our runs of what LangChain tells.

The scope that holds at a run's start holds for all that LangChain tells of that run.
Nothing is made current here: LangChain tells ends in other Contexts than starts.
"""

import sys
from asyncio import _get_running_loop

from langchain_core.callbacks.base import BaseCallbackHandler

from instrument import _ids
from instrument._audience import seen_by_langchain as _seen
from instrument._interrupts import UNTOLD
from instrument._payloads.answers import Answer
from instrument._runs.ending import afail, afinish, fail, finish, mend, owed
from instrument._runs.results import CONTAINERS
from instrument._runs.resuming import go_on_ending
from instrument._runs.tokens import atell, atell_all, tell, tell_all
from instrument._state import MUTED, get_state, set_state
from instrument.integrations.langchain import _open_runs
from instrument.integrations.langchain._bridge_methods import (
    DONE,
    EventMethod,
    Method,
    to_wait_for,
    waits,
)
from instrument.integrations.langchain._given_handlers import (
    been_asked,
    found_behind,
    has_been_asked,
    pass_over,
)
from instrument.integrations.langchain._kinds import known_later, said
from instrument.integrations.langchain._open_runs import (
    end_below,
    finish_stream,
    take_partial,
)
from instrument.integrations.langchain._starting import ABSENT, StartMethod, by_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
    from uuid import UUID

    from instrument._runs.run import Run
    from instrument.integrations.langchain._bridge_methods import Act


class ToolStartMethod(StartMethod):
    """
    Makes a run of a tool's start; old versions tell its input as text only.
    """

    def __call__(
        self,
        serialized: "Any" = None,
        input_str: str | None = None,
        *_: object,
        inputs: "dict[str, Any] | None" = None,
        **told: "Any",
    ) -> "Any":
        is_named = issubclass(type(inputs), dict)
        named = inputs if is_named else {"input": input_str}
        return super().__call__(serialized, named, input_str=input_str, **told)


def on_llm_new_token(
    token: "Any", *, chunk: object = None, run_id: "UUID", **told: "Any"
) -> "Act | None":
    """
    Tell the pieces of a chunk; of one without any, LangChain's own handlers alone.
    """
    run = _open_runs.open_runs.get(run_id.int)
    if run is None:
        return None
    entry = _open_runs.entry_of(run)
    if entry.answer is None:
        entry.answer = Answer()
    pieces = said(entry.answer, token, chunk)
    if len(pieces) > 1:
        return tell_all, atell_all, run, pieces, chunk
    text, channel = pieces[0] if pieces else ("", None)
    if channel is None and not run._audience.shows_all:
        return None
    return tell, atell, run, text, chunk, channel


class EndMethod(Method):
    """
    Ends a run of any kind.
    """

    def __call__(
        self,
        outputs: "Any" = ABSENT,
        /,
        *_: object,
        run_id: "Any" = None,
        **told: "Any",
    ) -> "Any":
        run = before = None
        try:
            if outputs is ABSENT:
                _, outputs = by_name(told)
            if been_asked and has_been_asked():
                pass_over()
            is_stream = "inputs" in told  # which are known when it has been read
            before = get_state()
            run = _open_runs.open_runs.get(run_id.int)
            if _open_runs.take(run_id.int) is None or run is None:
                return DONE
            if is_stream:
                run._inputs = known_later(run, told["inputs"])
        except BaseException as exc:  # ours, or of a payload's own code
            end_all_the_same(run, run_id, before, exc)
            return self.unread(exc)
        try:
            if _get_running_loop() is not None and waits():
                return to_wait_for(afinish, run, outputs)
            if is_stream:
                finish_stream(run, outputs)
            else:
                end(run, outputs)
        except BaseException as exc:
            end_all_the_same(run, run_id, before, exc)
            raise
        return DONE


class ErrorMethod(EventMethod):
    """
    Ends a run of any kind with what was raised in it.
    """

    def __call__(self, *args: "Any", run_id: "UUID", **told: "Any") -> "Any":
        run = before = None
        try:
            before = get_state()
            run = _open_runs.open_runs.get(run_id.int)
            return super().__call__(*args, run_id=run_id, **told)
        except BaseException as exc:
            end_all_the_same(run, run_id, before, exc)
            raise


def end_all_the_same(
    run: "Run | None", run_id: "UUID", before: object, exc: BaseException
) -> None:
    """
    End a run where an interrupt may have come as it was to end, of which LangChain tells
    no more, and go back to the state *before*. Of what has ended nothing is told again.
    """
    run = run or _open_runs.open_runs.get(getattr(run_id, "int", 0))
    if run is not None:
        _open_runs.drop(run)
        mend(run, before, exc)


def end(run: "Run", outputs: "Any") -> None:
    """
    Do what `finish` does; where nothing is out of the ordinary, in one function.
    """
    kind, parent, methods = run._kind, run._parent, None if owed else run._voices.quick
    if (
        methods is None
        or run._ended_ns is not None
        or id(type(outputs)) in CONTAINERS
        or (kind.is_model and not (kind.is_whole and run._answer is run._inner is None))
        or (run._audience.waits if parent is None else parent._ended_ns is not None)
    ):
        finish(run, outputs)
        return
    state, answer = get_state(), UNTOLD
    try:
        if kind.is_model:
            run._answer = kind, outputs
        run._outputs, run.status = outputs, "ok"
        run._ended_ns, run._rest = _ids.clock_ns(), 0
        set_state(MUTED)
        for method in methods[1]:
            run._rest, answer = run._rest + 1, UNTOLD
            answer = method(
                outputs,
                run_id=run.id,
                parent_run_id=run.parent_id,
                tags=list(run.tags) if run._tagged else [],
                metadata=run.metadata.copy() if run._described else {},
                name=run.name,
                run=run,
            )
            if answer is not None:
                go_on_ending(run, state, answer)
                break
        else:
            set_state(state)
            run._rest = None
    except BaseException as exc:
        if run._rest is None or run in owed:  # pragma: no cover - interrupted here
            fail(run, exc)
            raise
        go_on_ending(run, state, answer, exc)


def on_error(
    error: BaseException, *, run_id: "UUID", response: "Any" = None, **told: "Any"
) -> "Act | None":
    """
    End a run of any kind with what was raised in it.
    """
    run = _open_runs.take(run_id.int)
    if run is None:
        return None
    if issubclass(type(error), GeneratorExit) and run._open_children:
        # of an async stream, told after its outer one
        end_below(run, error, left=False)
    if run._kind.is_model:
        take_partial(run, response)
    return fail, afail, run, error


def on_text(text: str, *, run_id: "UUID", **told: "Any") -> "Act | None":
    """
    Tell what a chain says.
    """
    run = _open_runs.open_runs.get(run_id.int)
    return None if run is None else (run.text, None, text)


def on_retry(retry_state: object, *, run_id: "UUID", **told: "Any") -> "Act | None":
    """
    Tell that a model tries again.
    """
    run = _open_runs.open_runs.get(run_id.int)
    return None if run is None else (run.retry, None, retry_state)


def on_custom_event(
    name: str, data: object, *, run_id: "UUID", **told: "Any"
) -> "Act | None":
    """
    Tell what the application dispatched.
    """
    run = _open_runs.told_of(run_id)
    return None if run is None else (run.emit, None, name, data)


class Inline(_seen.InlineFlag):
    """
    The flag of what LangChain is given by us.
    """

    def __get__(self, bridge: object, owner: type) -> bool:
        manager = _seen.starting_models(sys._getframe(1))
        return manager is None or not _seen.deafens(manager)


class Bridge(BaseCallbackHandler):
    """
    What LangChain calls; sync where it calls, awaited where it awaits.
    """

    run_inline = Inline()
    raise_error = True  # what gets as far as LangChain is meant to stop the call
    # as LangChain's own, which are properties, and so a call of a function each
    ignore_llm = ignore_chain = ignore_retriever = ignore_chat_model = False

    on_chain_start: "Any" = StartMethod("chain")
    on_chain_end: "Any" = EndMethod()
    on_chain_error = ErrorMethod(on_error)
    on_llm_start: "Any" = StartMethod("llm")
    on_chat_model_start: "Any" = StartMethod("chat_model")
    on_llm_new_token = EventMethod(on_llm_new_token)
    on_llm_end: "Any" = EndMethod()
    on_llm_error = ErrorMethod(on_error)
    on_tool_start: "Any" = ToolStartMethod("tool")
    on_tool_end: "Any" = EndMethod()
    on_tool_error = ErrorMethod(on_error)
    on_retriever_start: "Any" = StartMethod("retriever")
    on_retriever_end: "Any" = EndMethod()
    on_retriever_error = ErrorMethod(on_error)
    on_text = EventMethod(on_text)
    on_retry = EventMethod(on_retry)
    on_custom_event = EventMethod(on_custom_event)

    def __eq__(self, other: object) -> bool:
        """
        Meet *other*: LangChain compares what it adds with each handler before it.
        """
        if id(other) in _seen.alive:
            added = sys._getframe(1).f_locals.get("handler")
            if added is not self:  # which is compared with what it is put behind
                found_behind(other)
        return self is other

    __hash__ = BaseCallbackHandler.__hash__

    def __copy__(self) -> "Bridge":
        return self

    def __deepcopy__(self, memo: object) -> "Bridge":
        return self


BRIDGE = Bridge()
