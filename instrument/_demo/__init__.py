"""
The demo: one real request, listened to from the outside.

``pipeline`` is the application; here is everything that it takes to hear it.
"""

import sys
from importlib.util import find_spec
from typing import TextIO, cast

from instrument import callbacks
from instrument._demo import pipeline
from instrument._demo.sinks import EventsFile, Output
from instrument._state import DISABLED, PROCESS
from instrument._text import printable
from instrument.handlers import (
    StdOutCallbackHandler,
    StreamingStdOutCallbackHandler,
    TreeHandler,
)
from instrument.handlers._shared.amounts import money
from instrument.handlers._shared.style import has_colour, is_terminal

__all__ = ["QUESTION", "EventsFile", "show"]

QUESTION = "How do I wait for several tasks at once?"

_PAUSE_S = 0.01  # a word: so that streaming can be seen
_MODEL = "gpt-4o-mini"
_NEXT = "python -m instrument run your_program.py"


def show(question: str, *files: EventsFile, lines: bool = False) -> None:
    """
    Answer *question* and show the runs, the text and how little it is worth: as a tree
    on a terminal, if rich is installed, else as lines.

    Args:
        question: Any text.
        files: Where to keep the events.
        lines: Whether to show lines in any case.

    Raises:
        OSError: Standard output or a file cannot be written, or there is no source
            to search. The request was served all the same.
    """
    output = Output(sys.stdout)
    is_tree = not lines and is_terminal(sys.stdout) and find_spec("rich") is not None
    screen = sys.stdout if is_tree else cast("TextIO", output)
    text = StreamingStdOutCallbackHandler(screen)
    output.write(f"{_bold(f'Question: {printable(question)}')}\n\n")

    with callbacks(*files):
        if is_tree:  # an empty line parts it from the text
            trees = () if _has_tree() else (TreeHandler(),)
            with callbacks(*trees, text, on_llm_end=lambda: output.write("\n\n")):
                answer = pipeline.answer(question, pause_s=_PAUSE_S)
        else:
            with callbacks(StdOutCallbackHandler(screen), text):
                answer = pipeline.answer(question, pause_s=_pause_s())

    if DISABLED:
        output.write("INSTRUMENT_DISABLED is set: nobody listens, nothing is shown.\n")
    output.write(f"\n{_verdict(answer)}\n\nNow yours:  {_bold(_NEXT)}\n")
    output.flush()
    for error in (output.error, *(file.error for file in files)):
        if error is not None:
            raise error


def _has_tree() -> bool:
    """
    Tell whether the whole process is shown as a tree, as by ``run``.
    """
    listeners = [it for layer in PROCESS for it in layer.options.listeners]
    return any(isinstance(it.handler, TreeHandler) for it in listeners)


def _pause_s() -> float:
    return _PAUSE_S if sys.stdout.isatty() else 0.0


def _bold(text: str) -> str:
    return f"\x1b[1m{text}\x1b[m" if has_colour(sys.stdout) else text


def _verdict(answer: pipeline.Answer) -> str:
    if not answer.documents:
        version = f"Python {sys.version_info.major}.{sys.version_info.minor}"
        return (
            f"Nothing matched: no docstring that was read in {version}'s standard "
            "library shares a\ntelling word with this question. No model was asked."
        )

    source = answer.documents[0].metadata["source"]
    return (
        "The words are a toy's, an n-gram model trained just now on"
        f" {len(answer.documents)} docstrings: do not\ntrust them. The docstrings are"
        f" real: help({source!r}).{_price(answer)}"
    )


def _price(answer: pipeline.Answer) -> str:
    """
    Say what a call of this size costs, if the package of prices is installed.
    """
    try:
        from genai_prices import Usage, calc_price
    except ImportError:
        return ""
    usage = Usage(input_tokens=answer.read_words, output_tokens=answer.written_words)
    price = calc_price(usage, model_ref=_MODEL, provider_id="openai").total_price
    return f"\nA call of this size costs {money(float(price))} with {_MODEL}."
