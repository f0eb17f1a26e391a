"""
The model run whose body LangChain is in here, so that the SDK's call is part of it.

LangChain sets no variable while it is in a model. But its models are given the run's
manager, by one name, in a function that is on the stack while they call the SDK.
"""

import sys

from instrument.integrations.langchain._open_runs import open_runs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument._runs.run import Run

_NAME = "run_manager"
_DEEPEST = 40
"""How many frames there are at most between LangChain's model and its SDK's call."""


def model_in_hand() -> "Run | None":
    """
    Give the open run of the model that is calling, or None.
    """
    if not open_runs:
        return None
    frame: Any = sys._getframe(1)
    for _ in range(_DEEPEST):
        if _NAME in frame.f_code.co_varnames:
            manager: Any = frame.f_locals.get(_NAME)
            run = open_runs.get(getattr(manager, "run_id", None))  # type: ignore[arg-type]
            if run is not None and run._tells.is_model:
                return run
        frame = frame.f_back
        if frame is None:
            break
    return None
