"""
Tell that a model's call is tried again: by the SDK's own hand, or by tenacity's.
"""

from instrument._hearing.calls import is_wrapped
from instrument._hearing.watches import Watch, let
from instrument._runs.merging import SORTS
from instrument._runs.opening import current_run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

    from instrument._hearing.targets import Watching


class PauseWatch(Watch):
    """
    The pause before a request is sent again, of SDKs that Stainless makes.
    """

    def called(self, frame: "FrameType") -> None:
        given = frame.f_locals
        if not is_wrapped(given["self"]):
            tell(given["retries_taken"] + 1)


class BackoffWatch(Watch):
    """
    What says how long to wait before a request is sent again, where it counts from zero.
    """

    def called(self, frame: "FrameType") -> None:
        tell(frame.f_locals["retries"] + 1)


class TenacityWatch(Watch):
    """
    What tenacity does before it tries again, where a package of this name has it try.
    """

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


def tenacity(package: str) -> "dict[str, Watching]":
    """
    Give what is to be heard of tenacity, by path.
    """
    path = "tenacity:RetryCallState.prepare_for_next_attempt"
    return {path: TenacityWatch(package)}
