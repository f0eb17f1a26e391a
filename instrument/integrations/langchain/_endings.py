"""
How runs end that LangChain does not tell as they were: streams that were left early.
"""

from instrument._payloads.answers import Answer, answer_of
from instrument._runs.ending import fail, finish
from instrument.integrations.langchain import _open_runs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument._runs.run import Run


def finish_stream(run: "Run", outputs: "Any") -> None:
    """
    End a stream of sync code; LangChain tells one that was left as a success.
    """
    if not run._open_children:
        finish(run, outputs)
        return
    run.outputs = outputs
    left = GeneratorExit()
    end_below(run, left, left=False)
    fail(run, left)


def end_below(run: "Run", exc: BaseException, *, left: bool = True) -> None:
    """
    End what is still open below *run*, inner before outer.

    LangChain does not tell the end of a tool that is cancelled, nor that of a run
    whose end another handler did not let pass.

    Args:
        run: What ends now.
        exc: What the others end with.
        left: Leave alone what may go on: background tasks, and other threads.
    """
    for below in _open_runs.open_below(run, left=left):
        if below._tells.is_model:
            take_partial(below, None)
        fail(below, exc)


def take_partial(run: "Run", response: "Any") -> None:
    """
    Keep what a model had said until it failed; LangChain may lack the last token.
    """
    run._answer = Answer() if response is None else answer_of(response)
    text = "".join(_open_runs.told(run).texts)
    if len(text) > len(run._answer.text):
        run._answer.text = text
    run.outputs = run._answer.text or None
