"""
A toy language model: it counts which word followed which two, and writes by rolling dice.

It knows nothing but the text that it was given, and what it writes means nothing.
"""

import random
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence

_ORDER = 3
_EDGE = ""  # stands before the first and after the last word of a sentence
_BACKOFF = 0.3  # how often a shorter context is used on purpose: else it recites
_SENTENCE_WORDS = 4  # the fewest: shorter ones are labels
_ENOUGH_WORDS = 60
_MOST_WORDS = 90

_NOT_PROSE = re.compile(r"^(>>>|\.\.\.|[-=*#+|]{2,}|\w+\()")
_MARKUP = re.compile(r":\w+:(?=`)|[`*_]{1,2}(?=\W|$)|(?<!\w)[`*]{1,2}|[\"\[\](){}<>]")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


class NgramModel:
    """
    Word trigrams with backoff.

    Args:
        texts: What to learn from. Answers open like sentences of the first ones.
        pause_s: How long to wait before each word, to look like a model at work.
    """

    def __init__(self, texts: Sequence[str], pause_s: float = 0.0) -> None:
        self.pause_s = pause_s
        self.word_count = 0
        self._followers: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
        self._openings: list[str] = []
        for text in texts:
            for sentence in _sentences(text):
                self._learn(sentence)

    def __repr__(self) -> str:
        return f"NgramModel(order={_ORDER}, words={self.word_count})"

    def write(self, question: str) -> Iterator[str]:
        """
        Yield words; the same ones for the same question and the same texts.
        """
        dice = random.Random(question)  # noqa: S311 - seeded so that it repeats itself
        written = 0
        for opening in self._openings:
            for word in self._sentence(opening, dice):
                time.sleep(self.pause_s)
                yield word
                written += 1
                if written == _MOST_WORDS:
                    return
            if written >= _ENOUGH_WORDS:
                return

    def _learn(self, sentence: list[str]) -> None:
        self.word_count += len(sentence)
        self._openings.append(sentence[0])
        padded = [_EDGE] * (_ORDER - 1) + sentence + [_EDGE]
        for end in range(_ORDER - 1, len(padded)):
            for start in range(end - _ORDER + 1, end):
                self._followers[tuple(padded[start:end])].append(padded[end])

    def _sentence(self, opening: str, dice: random.Random) -> Iterator[str]:
        context = (_EDGE, opening)
        while context[-1] != _EDGE:
            yield context[-1]
            shorter = dice.random() < _BACKOFF
            followers = self._followers[context[1:] if shorter else context]
            context = (*context[1:], dice.choice(followers))


def _sentences(text: str) -> Iterator[list[str]]:
    for paragraph in re.split(r"\n\s*\n", text):
        lines = [line.strip() for line in paragraph.splitlines()]
        prose = " ".join(line for line in lines if not _NOT_PROSE.match(line))
        for sentence in _SENTENCE_END.split(_MARKUP.sub("", prose)):
            if (
                sentence.endswith((".", "!", "?"))
                and len(sentence.split()) >= _SENTENCE_WORDS
            ):
                yield sentence.split()
