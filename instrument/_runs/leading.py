"""
What a run holds that leads back to it: it goes when those go that hold it, not only when
there is a collection.
"""

import sys
from collections import deque
from contextvars import Context
from gc import get_referents, is_tracked
from itertools import islice
from types import (
    AsyncGeneratorType,
    CoroutineType,
    FunctionType,
    GeneratorType,
    ModuleType,
)

from instrument._delivery.loops import running_loop
from instrument._payloads.fields import name_of
from instrument._payloads.messages import is_dict
from instrument._runs.results import guarded
from instrument._state import Frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from instrument._runs.run import Run

FOLLOWED: set[int] = set()
"""The ids of generators whose runs are kept for them, though they do not hold them."""
_STEPS, _STEPS_TO_CONTEXT, _SMALL = 9, 3, 50
_MOST_OF_A_FRAME, _MOST_SEEN = 100, 2_000
_CONTAINERS: "tuple[Any, ...]" = (dict, list, tuple, set, frozenset, deque)
_RUNNING = {
    id(GeneratorType): "gi_running",
    id(CoroutineType): "cr_running",
    id(AsyncGeneratorType): "ag_running",
}
"""By id, as a metaclass may have a hash of its own."""
_KEEPERS = {"instrument", "asyncio", "_asyncio"}
_module_of: "Callable[[type], object]" = type.__dict__["__module__"].__get__


def note_stream(run: "Run | None") -> None:
    """
    Have *run* and those above it know that a stream began in them, which may go on after
    they end, and holds them.
    """
    while run is not None and not run._streams:
        run._streams = True
        run._voices = run._voices.in_full or run._voices
        run = run._parent


def loosen(run: "Run") -> "Any":
    """
    Have *run*, whose end has been told, hold no stream that holds it: where an input or
    its outputs lead to one, it keeps what that is called. Give None.
    """
    return guarded(run, _loosen)


def _loosen(run: "Run") -> None:
    run._inputs, run._params = _each(run._inputs), _each(run._params)
    run._outputs = _loosened(run._outputs)


def _each(held: "Any") -> "Any":
    if not is_dict(held):
        return _loosened(held)
    return {name: _loosened(item) for name, item in held.items()}


def _loosened(value: "Any") -> "Any":
    return f"<{name_of(value)}>" if lead_to_runs([value], at_work()) else value


def at_work() -> set[int]:
    """
    Give the ids of the loop and the task that this is called in: the one leads to all
    that there is, and the other leaves what it has at hand with the run.
    """
    loop = running_loop()
    if loop is None:
        return set()
    return {id(loop), id(sys.modules["asyncio.tasks"].current_task(loop))}


def lead_to_runs(held: "list[Any]", seen: set[int]) -> bool:
    """
    Tell whether one of *held* is a run or an open block, or leads there in a few steps, by
    whatever it holds but modules, classes, globals and many items. It is looked for in what
    is nearest: not through all that an application may hold, at each error.

    A Context counts where we or asyncio keep it, and that is near. One that a framework
    has at hand does not: an error is what it was raised as wherever it can be.

    Args:
        seen: The ids of what is not looked at again.
    """
    most = min(len(seen) + _MOST_OF_A_FRAME, _MOST_SEEN)
    for step in range(_STEPS):
        near = (it for it in held if is_tracked(it) and id(it) not in seen)
        found = list(islice(near, max(most - len(seen), 0)))
        if not found:
            return False
        if any(issubclass(type(it), Frame) or id(it) in FOLLOWED for it in found):
            return True
        seen.update(map(id, found))
        functions: list[Any] = [it for it in found if type(it) is FunctionType]
        for it in functions:
            seen |= {id(it.__globals__), id(it.__builtins__)}
        opened = [it for it in found if _is_opened(it)]
        if step < _STEPS_TO_CONTEXT:
            kept = get_referents(*filter(_is_keeper, opened))
            if any(type(it) is Context for it in kept):
                return True
        held = get_referents(*opened)
    return False


def _is_opened(held: "Any") -> bool:
    """
    Tell whether it is looked into; not a body at work, which leaves what it has at hand
    with the run.
    """
    cls = type(held)
    for base in _CONTAINERS:
        if issubclass(cls, base):
            return bool(base.__len__(held) < _SMALL)
    running = _RUNNING.get(id(cls))
    if running is not None:
        return not getattr(held, running)
    return not issubclass(cls, (type, ModuleType, Context))


def _is_keeper(held: "Any") -> bool:
    try:
        module = _module_of(type(held))
    except AttributeError:  # it was taken from the class
        return False
    return type(module) is str and module.partition(".")[0] in _KEEPERS
