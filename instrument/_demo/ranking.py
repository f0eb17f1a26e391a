"""
Which documents a question is about: BM25, where most search engines start.

Source: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and
Beyond", 2009.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from operator import attrgetter

from instrument._demo.library import Document

_SATURATION = 1.2  # k1: how soon one more mention of a word stops to matter
_LENGTH_PENALTY = 0.75  # b: how much a long document must say more often

_WORD = re.compile(r"[^\W_]+")
_PLURAL = re.compile(r"(?<=\w\w[^aeiou])ies$|(?<=ss)es$|(?<=\w\w[^isu])s$")
_ANY_QUESTION = """
    a about all am an and any are as at be because been but by can could did do does
    for from get had has have he her his how i if in into is it its just like make
    many may me might much must my need not of off on one or our out please should
    so some tell than that the their them then there these they thing this those to
    too up us use using want was way we were what when where which while who why
    will with without would you your
"""
_QUESTION_WORDS = frozenset(_ANY_QUESTION.split())


def words(text: str) -> list[str]:
    """
    Return the words of *text* that carry meaning: lower case, singular.
    """
    return [
        _PLURAL.sub(_singular_ending, word) if word[-1] == "s" else word
        for word in _WORD.findall(text.lower())
        if word not in _QUESTION_WORDS
    ]


def best(
    question: str,
    documents: Sequence[Document],
    limit: int,
    text: Callable[[Document], str] = attrgetter("page_content"),
) -> list[Document]:
    """
    Return the documents that share a word with *question*, the best first.

    Args:
        question: Any text.
        documents: What to choose from.
        limit: The most documents returned.
        text: What to read of a document.
    """
    wanted = set(words(question))
    counted = [Counter(words(f"{_source(each)} {text(each)}")) for each in documents]
    weights = {word: _rarity(word, counted) for word in wanted}
    average_length = sum(counts.total() for counts in counted) / max(1, len(counted))

    def score(counts: Counter[str]) -> float:
        length = counts.total() / average_length
        norm = _SATURATION * (1 - _LENGTH_PENALTY + _LENGTH_PENALTY * length)
        shared = sorted(wanted & counts.keys())  # sums of floats depend on the order
        return sum(weights[w] * counts[w] / (counts[w] + norm) for w in shared)

    scored = [(score(counts), i) for i, counts in enumerate(counted)]
    ranked = sorted(scored, key=lambda pair: (-pair[0], pair[1]))
    return [documents[i] for value, i in ranked[:limit] if value > 0]


def _rarity(word: str, counted: list[Counter[str]]) -> float:
    found_in = sum(word in counts for counts in counted)
    return math.log(1 + (len(counted) - found_in + 0.5) / (found_in + 0.5))


def _source(document: Document) -> str:
    return document.metadata["source"]


def _singular_ending(plural_ending: re.Match[str]) -> str:
    return "y" if plural_ending[0] == "ies" else ""
