"""
The open runs that LangChain told of, by its ids: found, and ended if it does not.

LangChain sets no variable while it is in a model. But its models are given the run's
manager, by one name, in a function that is on the stack while they call an SDK.
"""

import sys
from _thread import get_ident
from asyncio import CancelledError, _get_running_loop, current_task
from contextvars import Context, ContextVar
from functools import partial
from inspect import CO_ASYNC_GENERATOR
from uuid import UUID
from weakref import WeakKeyDictionary, ref

from instrument import _ids, _report
from instrument._audience.plan import Layer, Options
from instrument._payloads.answers import Answer, answer_of
from instrument._runs.ending import fail, finish, mend
from instrument._runs.opening import open_parent
from instrument._state import get_state
from instrument.integrations.langchain._given_handlers import (
    ended,
    hear_outside,
    outside,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop as Loop
    from asyncio import Task
    from collections.abc import Callable
    from typing import Any

    from instrument._runs.run import Run

_MOST = 100_000
"""LangChain forgets to end some runs: those whose start another handler refused."""
_MOST_ENDED = 4_000
_MANAGER = "run_manager"
_DEEPEST = 40
"""How many frames there are at most between LangChain's model and its SDK's call."""

open_runs: "dict[int, Run]" = {}
"""By the numbers of their ids: to hash a UUID, or to compare it, calls a function."""

_ended: "dict[int, tuple[UUID | None, Callable[[], Run | None]]]" = {}
"""Whose child an ended run was: a task that it left behind goes on under that."""
_NOWHERE: "tuple[UUID | None, Callable[[], Run | None]]" = None, lambda: None

left_out: "dict[int, tuple[UUID | None, Callable[[], Run | None], bool]]" = {}
"""Whose children those are that are below plumbing: as above, and if that is tagged."""
_TELLING = ("on_", "ahandle_event")
"""How those functions of its managers are named that may be a task of their own."""

_STEPPING = ("get_next_chunk", "anext_impl")
"""Its functions that give one piece of a stream, each in a task of its own."""

_asks: "ContextVar[ref[Any] | None]" = ContextVar("asks", default=None)
_outermost: "WeakKeyDictionary[Task[Any], dict[Run, bool]]" = WeakKeyDictionary()
"""By task, which open runs were the outermost there, and may go on after it."""

_FRAMEWORKS = ("langchain_core.", "langgraph.")
_OWN_TAGS = ("langsmith:",)
_OWN_METADATA = ("langgraph_", "checkpoint_ns")
_config: "Any" = None
"""LangChain's own ContextVar, once there is one."""


class Entry:
    """
    What LangChain alone knows of a run, and where it began.

    Attributes:
        task: The task in which this was made, or the thread where there is none.
        beside: The open runs that were the outermost in that task, as this one was.
        original: What it told of the object and by keyword, for its own handlers.
        inputs: What it told as a chain's, of a run that is none.
        input_str: A tool's input, as it writes it.
        answer: What a model has said so far, if it has said anything.
        told: The id by which LangChain tells its end, of one that may be left.
    """

    task: object
    beside: "dict[Run, bool] | None"
    original: "tuple[Any, dict[str, Any]]"
    inputs: "Any"
    input_str: str
    answer: Answer | None

    told: "ref[UUID] | None"

    __slots__ = ("answer", "beside", "input_str", "inputs", "original", "task", "told")


def task_here(loop: "Loop") -> object:
    """
    Give what stands for the task that runs here, or for the thread.
    """
    task = current_task(loop)
    if task is None:
        return get_ident()
    # of several inputs LangChain tells each start in a task of its own
    if getattr(task.get_coro(), "__name__", "").startswith(_TELLING):
        return _asks.get() or ref(task)
    return ref(task)


def asked_here(loop: "Loop") -> None:
    """
    Note that the task that runs here is about to start a run.
    """
    task = current_task(loop)
    if task is not None and _asks.get() is not (own := ref(task)):
        _asks.set(own)


def entry_of(run: "Run") -> Entry:
    """
    Give what LangChain told of *run*.
    """
    return run._entry  # type: ignore[no-any-return]


def find(id: "UUID | None") -> "Run | None":
    """
    Find the run that LangChain knows by *id*, or what an ended one was called from.
    """
    while id is not None:
        number = id.int
        run = open_runs.get(number)
        if run is not None:
            return run
        id, parent, *_ = left_out.get(number) or _ended.get(number, _NOWHERE)
        run = parent()
        if run is not None:
            return run
    return None


def remember(run: "Run", own: "tuple[Layer, ...]", loop: "Loop | None") -> "Run | None":
    """
    Remember *run* until it ends; where there are too many, the oldest ends.

    Args:
        run: What has been made, and not begun yet.
        own: What it adds, for the runs below it as well.
        loop: The event loop that runs here.

    Returns:
        None where there is one of that id, which the bridge was told of before.
    """
    if open_runs.setdefault(run.id.int, run) is not run:
        return None
    entry = run._entry
    entry.task = get_ident() if loop is None else task_here(loop)
    entry.beside = None
    parent = run._parent
    if _is_outermost(run) and (loop is None or _end_with_task(run)):
        _end_with_id(run)
    if parent is not None:
        parent._open_children += 1
        parent._voices = parent._voices.in_full or parent._voices
        if parent._extra and not own:
            run._extra, run._below = parent._extra, parent._below
        elif own:
            run._extra = own + parent._extra
    elif own:
        run._extra = own
    if run._outer.__class__ is dict:
        hear_outside(run)
    run._outer = None  # it will not be current: LangChain ends it in another Context
    oldest = _oldest(open_runs) if len(open_runs) > _MOST else None
    lost = None if oldest is None else take(oldest)
    if lost is not None:
        fail(lost, GeneratorExit())
    return run


def told_of(id: "UUID") -> "Run | None":
    """
    Give the open run *id*, or what stands for one that is left out.
    """
    return find(id) if id.int in left_out else open_runs.get(id.int)


def leave_out(run: "Run", *, is_tagged: bool) -> None:
    """
    Have what is above *run*, which nobody is to hear, stand for it until it ends.
    """
    above = run._parent
    if above is None:
        left_out[run.id.int] = None, _NOWHERE[1], is_tagged
    else:
        left_out[run.id.int] = above.id, ref(above), is_tagged
    oldest = _oldest(left_out) if len(left_out) > _MOST else None
    if oldest is not None:
        left_out.pop(oldest, None)


def _has_ended(
    number: int, parent_id: "UUID", parent: "Callable[[], Run | None]"
) -> None:
    """
    Have its parent be found as the id of that *number*.
    """
    _ended[number] = parent_id, parent
    oldest = _oldest(_ended) if len(_ended) > _MOST_ENDED else None
    if oldest is not None:
        _ended.pop(oldest, None)


def drop(run: "Run | None") -> None:
    """
    Forget *run*, of which LangChain tells no more.
    """
    number = 0 if run is None else getattr(run.id, "int", 0)
    if run is not None and open_runs.get(number) is run:
        open_runs.pop(number, None)


def take(number: int) -> "Run | None":
    """
    Forget a run that ends now, by the number of its id; its parent stands for it.
    """
    run = open_runs.pop(number, None)
    if run is None:
        above = left_out.get(number)
        if above is not None:
            if above[0] is not None:
                _has_ended(number, above[0], above[1])
            left_out.pop(number, None)
        return None
    if outside:
        ended(run)
    if run._parent is not None:
        run._parent._open_children -= 1
        _has_ended(number, run._parent.id, ref(run._parent))
    if run._entry.beside is not None:
        run._entry.beside.pop(run, None)
    run._entry.told = None  # an interrupt in what this would call as that goes is lost
    return run


def _is_outermost(run: "Run") -> bool:
    """
    Tell whether *run* is not called by LangChain's code that runs in the same task.
    """
    outer = None if run._parent is None else run._parent._entry
    return not isinstance(outer, Entry) or outer.task is not run._entry.task


def _end_with_task(run: "Run") -> bool:
    """
    Have *run* be ended with its task where LangChain does not tell its end, as where that
    is cancelled while others are told; True where it may go on after that.
    """
    own = run._entry.task
    task = own() if isinstance(own, ref) else None
    if task is None:
        return True
    beside = _outermost.get(task)
    if beside is None:
        beside = _outermost[task] = {}
        # in a Context of its own, since this one's would be kept as long as the task
        task.add_done_callback(_end_all, context=Context())
    run._entry.beside = beside
    may_go_on = beside[run] = _may_go_on()
    return may_go_on


def _end_with_id(run: "Run") -> None:
    """
    Have *run* be ended when nobody has the id any more by which its end would be told: of
    a stream with fallbacks that is left at its first piece LangChain tells none.
    """
    told = run.id
    if type(told) is UUID:
        run.id = _ids.copied(told)  # as handlers may keep it
        run._entry.told = ref(told, partial(_end_untold, told.int))


def _end_untold(number: int, told: object) -> None:
    run = open_runs.get(number)
    if run is None or getattr(run._entry, "told", None) is not told:
        return  # pragma: no cover - it was dropped, or its number is another's by now
    own = run._entry.task
    task = own() if isinstance(own, ref) else None
    is_cancelled = task is not None and task.cancelling() > 0
    Context().run(_end_left, run, is_cancelled=is_cancelled)


def _end_all(task: "Task[Any]") -> None:
    """
    End what is left of *task*, which is done.
    """
    is_cancelled = task.cancelled()
    for run, may_go_on in list(_outermost.pop(task).items()):
        if is_cancelled or not may_go_on:
            _end_left(run, is_cancelled=is_cancelled)


def _end_left(run: "Run", *, is_cancelled: bool) -> None:
    if take(run.id.int) is None:
        return  # pragma: no cover - another thread has just ended it
    exc = CancelledError() if is_cancelled else GeneratorExit()
    try:
        end_below(run, exc)
        fail(run, exc)
    except Exception as stopped:  # there is no call any more that it could stop
        what, show = "the end", run._audience.shows()
        _report.failed(fail, what, stopped, show=show, run=run)


def _may_go_on() -> bool:
    """
    Tell whether the run that starts here may be a stream's: each step may have a task.

    The outermost of LangChain's functions on the stack, or what calls that, is an async
    generator then. What LangChain tells in a task of its own may be anything's.
    """
    frame: Any = sys._getframe(1)
    outermost = None
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if module.startswith(_FRAMEWORKS):
            outermost = frame
        elif outermost is not None:
            break
        frame = frame.f_back
    if outermost is None:
        return True
    name = outermost.f_code.co_name
    if name.startswith(_TELLING) or name in _STEPPING:
        return True
    return any(
        it and it.f_code.co_flags & CO_ASYNC_GENERATOR for it in (outermost, frame)
    )


def forget() -> None:
    """
    Forget all that has ended; what is open ends as it would.
    """
    _ended.clear()
    left_out.clear()


def _oldest(kept: "dict[int, Any]") -> int | None:
    try:
        return next(iter(kept), None)
    except RuntimeError:  # another thread was here
        return None


def finish_stream(run: "Run", outputs: "Any") -> None:
    """
    End a stream of sync code; LangChain tells one that was left as a success.
    """
    if not run._open_children:
        finish(run, outputs)
        return
    run._take_outputs(outputs)
    left = GeneratorExit()
    end_below(run, left, left=False)
    fail(run, left)


def end_below(run: "Run", exc: BaseException, *, left: bool = True) -> None:
    """
    End what is still open below *run*, inner before outer.

    LangChain does not tell the end of a tool that is cancelled, nor that of a run
    whose end another handler did not let pass.

    Args:
        exc: What the others end with.
        left: Leave alone what may go on: background tasks, and other threads.
    """
    below = open_below(run, left=left)
    try:
        for each in below:
            take(each.id.int)
            if each._kind.is_model:
                take_partial(each, None)
            fail(each, exc)
    except BaseException as interrupt:  # pragma: no cover - one that comes just here
        for each in below:
            drop(each)
            mend(each, get_state(), interrupt)
        raise


def take_partial(run: "Run", response: "Any") -> None:
    """
    Keep what a model had said until it failed; LangChain may lack the last token.
    """
    told = Answer() if response is None else answer_of(response)
    heard = entry_of(run).answer or Answer()
    run._answer = told if len(told.text) > len(heard.text) else heard
    run._take_outputs(run._answer.text or None)


def open_below(run: "Run", *, left: bool) -> "list[Run]":
    """
    Give the open runs below *run*, the deepest first; where they are *left*, only those
    whose code is known not to go on.
    """
    loop = _get_running_loop()
    here = get_ident() if loop is None else task_here(loop)
    if isinstance(run._entry, Entry):
        here = run._entry.task
    below = [
        it
        for it in list(open_runs.values())
        if _is_below(it, run) and (not left or _is_left(it, here))
    ]
    return sorted(below, key=lambda it: -it.depth)


def _is_below(link: "Run | None", run: "Run") -> bool:
    while link is not None:
        link = link._parent
        if link is run:
            return True
    return False


def _is_left(run: "Run", here: object) -> bool:
    """
    Tell whether the code of *run* goes on no more, where that of *here* is at an end.
    """
    own = entry_of(run).task
    if own == here:
        return True
    task = own() if isinstance(own, ref) else None
    return isinstance(own, ref) and (task is None or task.done())


def in_hand() -> "Run | None":
    """
    Give the run whose body LangChain is in here.

    It says so in a ContextVar of its own: the configuration for what is called next.
    """
    global _config
    if _config is None:
        module = sys.modules.get("langchain_core.runnables.config")
        _config = getattr(module, "var_child_runnable_config", None)
        if _config is None:
            return None
    config = _config.get()
    if not config:
        return None
    manager = config.get("callbacks")
    run = find(getattr(manager, "parent_run_id", None))
    if run is not None and "_is_handing_down" not in run.__dict__:
        run.__dict__["_is_handing_down"] = True
        _hand_down(run, manager)
    return open_parent(run)


def _hand_down(run: "Run", manager: "Any") -> None:
    """
    Have what is called below carry the tags and metadata that LangChain hands down.

    What stands for a run that is left out does not hand down what is that one's own.
    """
    tags = tuple(getattr(manager, "inheritable_tags", None) or ())
    metadata = getattr(manager, "inheritable_metadata", None) or None
    if run.id != manager.parent_run_id:
        tags = tuple([tag for tag in tags if not tag.startswith(_OWN_TAGS)])
        metadata = metadata and {
            key: value
            for key, value in metadata.items()
            if not key.startswith(_OWN_METADATA)
        }
    if tags or metadata:
        run._extra += (Layer(Options(tags=tags, metadata=metadata), "framework"),)


def model_in_hand() -> "Run | None":
    """
    Give the open run of the model that is calling, whose part an SDK's call is, or None.
    """
    if not open_runs:
        return None
    frame: Any = sys._getframe(1)
    for _ in range(_DEEPEST):
        if _MANAGER in frame.f_code.co_varnames:
            manager: Any = frame.f_locals.get(_MANAGER)
            id = getattr(manager, "run_id", None)
            run = None if id is None else open_runs.get(id.int)
            if run is not None and run._kind.is_model:
                return run
        frame = frame.f_back
        if frame is None:
            break
    return None
