"""
The demo: one real request, listened to from the outside.

``pipeline`` is the application; here is everything that it takes to hear it.
"""

import sys
from typing import TextIO, cast

from instrument import callbacks
from instrument._demo import pipeline
from instrument._demo.sinks import EventsFile, Output
from instrument._state import DISABLED
from instrument._text import printable
from instrument.handlers import (
    MonitorHandler,
    StdOutCallbackHandler,
    StreamingStdOutCallbackHandler,
    UsageHandler,
)

__all__ = ["QUESTION", "EventsFile", "show"]

QUESTION = "How do I wait for several tasks at once?"

_PAUSE_S = 0.01  # a word: so that streaming can be seen
_SHOWN_SOURCES = 3
_COLUMNS = ("count", "total", "cpu", "memory", "input", "output")


def show(question: str, *files: EventsFile) -> None:
    """
    Answer *question* and show the runs, the text and how little it is worth.

    Args:
        question: Any text.
        files: Where to keep the events.

    Raises:
        OSError: Standard output or a file cannot be written, or there is no source
            to search. The request was served all the same.
    """
    output = Output(sys.stdout)
    screen = cast("TextIO", output)
    tree, text = StdOutCallbackHandler(screen), StreamingStdOutCallbackHandler(screen)
    output.write(f"Question: {printable(question)}\n\n")

    monitor, usage = MonitorHandler(), UsageHandler()
    with callbacks(tree, text, monitor, usage, *files):
        answer = pipeline.answer(question, pause_s=_pause_s())

    if DISABLED:
        output.write("INSTRUMENT_DISABLED is set: nobody listens, nothing is shown.\n")
    output.write(f"\n{_verdict(answer)}\n")
    if not DISABLED:
        output.write(f"\n{monitor.report(*_COLUMNS)}\n\n{usage.report()}\n")
    output.flush()
    for error in (output.error, *(file.error for file in files)):
        if error is not None:
            raise error


def _pause_s() -> float:
    return _PAUSE_S if sys.stdout.isatty() else 0.0


def _verdict(answer: pipeline.Answer) -> str:
    version = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    if not answer.documents:
        return (
            f"Nothing matched: no docstring that was read in {version}'s standard "
            "library shares a\ntelling word with this question. No model was asked."
        )

    sources = [text.metadata["source"] for text in answer.documents]
    return (
        f"The text is by a toy: an n-gram model, trained just now on "
        f"{answer.trained_on_words:,} words of\n{len(sources)} docstrings of "
        f"{version}. Do not trust its words. The docstrings are real; try\n"
        + "\n".join(f"  help({name!r})" for name in sources[:_SHOWN_SOURCES])
    )
