"""
How runs end that LangChain does not tell as they were: streams that were left early.
"""

from instrument._lifecycle import fail, finish
from instrument._shapes import Answer, answer_of
from instrument.integrations.langchain import _heard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument._run import Run


def finish_stream(run: "Run", outputs: "Any") -> None:
    """
    End a stream of sync code; LangChain tells one that was left as a success.
    """
    left = GeneratorExit()
    if not run.__dict__["_open_children"]:
        finish(run, outputs)
        return
    run.outputs = outputs
    abandon_below(run, left)
    fail(run, left)


def abandon_below(run: "Run", exc: BaseException) -> None:
    """
    End what is still open below *run*, inner before outer.
    """
    for below in _heard.open_below(run):
        if below._tells.is_model:
            take_partial(below, None)
        fail(below, exc)


def take_partial(run: "Run", response: "Any") -> None:
    """
    Keep what a model had said until it failed; LangChain may lack the last token.
    """
    run._answer = Answer() if response is None else answer_of(response)
    text = "".join(run.__dict__["_texts"])
    if len(text) > len(run._answer.text):
        run._answer.text = text
    run.outputs = run._answer.text or None
