"""
Take the tool id of `sys.monitoring` when the first function is armed, and give it back.

One id for the process: Python has six, of which it gives two to nobody in particular.
"""

import sys

from instrument._hearing.sys_monitoring import LOCK, MONITORING, Monitor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType

    from instrument._hearing.watches import Watch

_IDS = (3, 4)
_ATTRIBUTE = "instrument_monitor"
TOO_OLD = (
    "sys.monitoring needs Python 3.12, this is"
    f" {sys.version_info.major}.{sys.version_info.minor}"
)


class Impossible(RuntimeError):  # noqa: N818 - it says what is the case
    """
    Nothing can be heard through `sys.monitoring` here.
    """


class _Name(str):
    """
    The name under which the tool id is taken. It carries the monitor, so that another
    copy of this package in the process finds it and shares the id.
    """

    __slots__ = ("instrument_monitor",)
    instrument_monitor: "Monitor"


def is_possible() -> bool:
    """
    Tell whether this Python has `sys.monitoring`.
    """
    return MONITORING is not None


def arm(code: "CodeType", watch: "Watch") -> None:
    """
    Have *watch* hear the calls of *code*; the first takes a tool id.

    Raises:
        Impossible: Saying why that cannot be.
    """
    if not is_possible():
        raise Impossible(TOO_OLD)
    with LOCK:
        (_found() or _taken()).arm(code, watch)


def disarm(code: "CodeType", watch: "Watch") -> None:
    """
    Undo `arm`. Calls that are heard already are heard to their end.
    """
    with LOCK:
        found = _found()
        if found is not None:
            found.disarm(code, watch)


def _found() -> Monitor | None:
    """
    Find the monitor of this process, which may be of another copy of this package.
    """
    names = [MONITORING.get_tool(tool) for tool in _IDS] if is_possible() else ()
    return next(filter(None, (getattr(n, _ATTRIBUTE, None) for n in names)), None)


def _taken() -> Monitor:
    users = []
    for tool in _IDS:
        name = _Name("instrument")
        try:
            MONITORING.use_tool_id(tool, name)
        except ValueError:
            users.append(f"{tool} is {MONITORING.get_tool(tool)!r}")
            continue
        name.instrument_monitor = Monitor(tool)
        return name.instrument_monitor
    message = f"sys.monitoring has no free tool id: {', '.join(users)}"
    raise Impossible(message)
