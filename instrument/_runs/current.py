"""
The run in hand: `current_run` and `emit`.
"""

from instrument._audience.plan import NOBODY, Plan, mark
from instrument._runs.opening import framework_run, frameworks, nearer, open_parent
from instrument._runs.recipe import Recipe
from instrument._runs.run import Run
from instrument._state import MUTED, Frame, get_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class InertRun(Run):
    """
    What `current_run` gives outside any run: false, silent, of the right types.
    """

    def __init__(self) -> None:
        nothing = Recipe("none", "chain")
        super().__init__(nothing, None, NOBODY, NOBODY.settle(), None)
        self._ended_ns = self._started_ns
        self.__dict__["_is_sealed"] = True

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "<no run>"

    def __setattr__(self, name: str, value: object) -> None:
        if "_is_sealed" not in self.__dict__:
            super().__setattr__(name, value)


INERT = InertRun()
"""What stands for a run where there is none."""


def current_run() -> Run:
    """
    Give the run in hand. Never None: outside any run it is false, and inert.
    """
    state: Any = get_state()
    if state.__class__ is Run and state._ended_ns is None and not frameworks:
        return state
    if state is MUTED:
        return INERT
    run: Any = None
    if isinstance(state, Frame):
        run = state if state.is_run else state.run
        if run is not None and run._ended_ns is not None:
            run = open_parent(run)
    if frameworks:
        run = nearer(framework_run(), run)
    return run or INERT


def emit(name: str, data: object = None) -> None:
    """
    Tell an event of the application's own: ``on_custom_event``.

    It comes from the current run, and is heard by that run's handlers and by those of
    blocks opened inside it. Outside any run it goes to the scope's handlers, with a
    fresh id.
    """
    state = get_state()
    if state is MUTED:
        return
    is_frame = isinstance(state, Frame)
    plan = state._plan if is_frame else NOBODY
    heard = plan.settle()
    if not heard.listeners and is_frame:
        return
    run = current_run()
    if not heard.listeners:
        run.emit(name, data)  # of a framework, which was given handlers of its own
        return
    if not run:
        run = Run(Recipe(str(name), "custom"), None, plan, heard, state)
        if heard.undecided:
            heard = Plan(plan, mark(run.id)).settle()
    run.emit(name, data, heard)
