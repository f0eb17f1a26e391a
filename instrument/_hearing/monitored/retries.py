"""
Tell that a model's call is tried again: by the SDK's own hand, or by tenacity's.
"""

from functools import partial

from instrument._hearing.calls import is_wrapped
from instrument._hearing.targets import Target, same
from instrument._hearing.watches import let
from instrument._runs.current import current_run
from instrument._runs.merging import SORTS
from instrument._state import get_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any


class PauseWatch:
    """
    The pause before a request is sent again, of SDKs that Stainless makes.
    """

    listens = staticmethod(get_state)
    is_stepped = False

    def called(self, frame: "FrameType") -> None:
        given = frame.f_locals
        if not is_wrapped(given["self"]):
            tell(given["retries_taken"] + 1)


class BackoffWatch:
    """
    What says how long to wait before a request is sent again, where it counts from zero.
    """

    listens = staticmethod(get_state)
    is_stepped = False

    def called(self, frame: "FrameType") -> None:
        tell(frame.f_locals["retries"] + 1)


class TenacityWatch:
    """
    What tenacity does before it tries again, where a package of this name has it try.
    """

    listens = staticmethod(get_state)
    is_stepped = False

    def __init__(self, package: str) -> None:
        self._package = package

    def called(self, frame: "FrameType") -> None:
        caller: Any = frame
        while caller is not None and _module(caller).startswith("tenacity."):
            caller = caller.f_back
        if caller is not None and _module(caller).startswith(f"{self._package}."):
            tell(frame.f_locals["self"])


def _module(frame: "FrameType") -> str:
    """
    Name the module that a frame is of, with a dot behind.
    """
    return f"{frame.f_globals.get('__name__')}."


def tell(state: "Any") -> None:
    """
    Tell it on the run in hand, if that is a model's.
    """
    run = current_run()
    if run and run.kind in SORTS:
        let(run.retry, state)


PAUSE = PauseWatch()
BACKOFF = BackoffWatch()


def tenacity(package: str) -> Target:
    """
    Give what is to be heard of tenacity.
    """
    path = "tenacity:RetryCallState.prepare_for_next_attempt"
    return Target(path, partial(same, TenacityWatch(package)))
