"""
The demo: one real request, listened to from the outside.

``pipeline`` is the application; here is everything that it takes to hear it.
"""

import sys

from instrument import callbacks
from instrument._demo import pipeline
from instrument._text import printable
from instrument.handlers import (
    FileCallbackHandler,
    StdOutCallbackHandler,
    StreamingStdOutCallbackHandler,
)

QUESTION = "How do I wait for several tasks at once?"

_PAUSE_S = 0.01  # a word: so that streaming can be seen
_SHOWN_SOURCES = 3


def show(question: str, *keepers: FileCallbackHandler) -> None:
    """
    Answer *question* and show the runs, the text and how little it is worth.

    Args:
        question: Any text.
        keepers: Handlers that hear the request too.

    Raises:
        OSError: Standard output or the standard library cannot be reached.
    """
    tree, text = StdOutCallbackHandler(), StreamingStdOutCallbackHandler()
    tree.raise_error = text.raise_error = True  # a demo that nobody sees may stop
    sys.stdout.write(f"Question: {printable(question)}\n\n")

    with callbacks(tree, text, *keepers):
        answer = pipeline.answer(question, pause_s=_pause_s())

    sys.stdout.write(f"\n{_verdict(answer)}\n")


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
