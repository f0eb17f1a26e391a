"""
How LangChain's runs start, and how handlers join one that has started already.
"""

from copy import copy

from instrument._layer import Layer, Options
from instrument._lifecycle import astart, start
from instrument._plan import Audience, linked
from instrument.integrations.langchain import _heard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from instrument._lifecycle import Pending
    from instrument._listener import Listener
    from instrument._run import Run
    from instrument.integrations.langchain._event_method import Act


def joined(run: "Run", handlers: "tuple[Listener, ...]") -> "Act | None":
    """
    Have a run that has started be heard by handlers that were asked since.
    """
    known = {listener.key for listener, _ in run._heard.listeners}
    late = tuple(it for it in handlers if it.key not in known)
    if not late:
        return None
    layer = Layer(Options(late), "call")
    run._extra = (layer, *run._extra)
    run._plan = linked(run._plan, (layer,))
    run._heard = run._plan.settle()
    run._voices = copy(run._heard.voices(run._tells))
    run._voices.start = Audience([layer], ()).receivers(run._tells.start)
    return begin, abegin, run


def begin(run: "Run") -> None:
    """
    Start *run*, and forget it where a handler has stopped it.
    """
    try:
        start(run)
    except BaseException:
        _heard.take(run.id)
        raise


def abegin(run: "Run") -> "Pending | None":
    """
    The twin of `begin`.
    """
    try:
        pending = astart(run)
    except BaseException:
        _heard.take(run.id)
        raise
    return None if pending is None else _begin_later(run, pending)


async def _begin_later(run: "Run", pending: "Pending") -> None:
    try:
        await pending
    except BaseException:
        _heard.take(run.id)
        raise
