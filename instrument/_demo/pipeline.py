"""
The application that the demo listens to: retrieve, prompt, write.

No function here takes a handler, passes one on, or knows that anybody listens.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from instrument import current_run, traced
from instrument._demo import library, ranking
from instrument._demo.library import Document
from instrument._demo.ngrams import NgramModel

_MODULES = 8
_DOCUMENTS = 12
_LINE_WIDTH = 72

Message = dict[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What the model wrote and what it was shown; no documents, no text.
    """

    text: str = ""
    documents: list[Document] = field(default_factory=list)
    read_words: int = 0
    written_words: int = 0


class Amount:
    """
    How much came out of something, to be told in place of all of it.
    """

    def __init__(self, told: str) -> None:
        self._told = told

    def __repr__(self) -> str:
        return self._told


def _size(answer: Answer) -> Amount:
    return Amount(f"{len(answer.documents)} documents, {answer.written_words} words")


@traced.agent(inputs=lambda question, **_: {"question": question}, outputs=_size)
def answer(question: str, *, pause_s: float = 0.0) -> Answer:
    """
    Answer *question* from the standard library's docstrings, if any mentions it.
    """
    documents = search(question)
    if not documents:
        return Answer()

    model = train(documents, pause_s)
    messages = prompt(question, documents)
    text = "".join(write(messages, model))
    return Answer(text, documents, _words(messages), len(text.split()))


@traced.retriever
def search(question: str) -> list[Document]:
    """
    Find the docstrings that *question* is about: first their modules, then them.
    """
    return rank(question, shortlist(question))


def _sources(documents: list[Document]) -> list[str]:
    return [document.metadata["source"] for document in documents]


def _count(documents: list[Document]) -> Amount:
    return Amount(f"{len(documents)} docstrings")


@traced.tool(inputs=lambda question: {"words": ranking.words(question)}, outputs=_count)
def shortlist(question: str) -> list[Document]:
    """
    Parse the few modules that are worth it.
    """
    modules = library.read_modules()
    chosen = ranking.best(question, modules, _MODULES, text=library.overview)
    return [text for module in chosen for text in library.docstrings(module)]


@traced.tool(
    inputs=lambda _, candidates: {"docstrings": _sources(candidates)}, outputs=_count
)
def rank(question: str, candidates: list[Document]) -> list[Document]:
    """
    Keep the best of *candidates*.
    """
    return ranking.best(question, candidates, _DOCUMENTS)


@traced.tool(
    inputs=lambda documents, _: {"texts": _sources(documents)},
    outputs=lambda model: Amount(f"{model.word_count} words"),
)
def train(documents: list[Document], pause_s: float) -> NgramModel:
    """
    Count the words of *documents*: that is all the training there is.
    """
    return NgramModel([text.page_content for text in documents], pause_s)


@traced.chain(inputs=lambda question, _: {"question": question})
def prompt(question: str, documents: list[Document]) -> list[Message]:
    """
    Write what a real model would be sent.
    """
    excerpts = "\n\n".join(
        f"{document.metadata['source']}:\n{document.page_content}"
        for document in documents
    )
    return [
        {"role": "system", "content": f"Answer from these only.\n\n{excerpts}"},
        {"role": "user", "content": question},
    ]


@traced.chat_model(model="toy-trigrams", provider="instrument")
def write(messages: list[Message], model: NgramModel) -> Iterator[str]:
    """
    Stream the answer; one word is one token.
    """
    written = 0
    for token in _in_lines(model.write(messages[-1]["content"])):
        written += 1
        yield token
    current_run().record_usage(input_tokens=_words(messages), output_tokens=written)


def _words(messages: list[Message]) -> int:
    return sum(len(message["content"].split()) for message in messages)


def _in_lines(words: Iterable[str]) -> Iterator[str]:
    column = 0
    for word in words:
        if column == 0:
            token = word
        elif column + 1 + len(word) > _LINE_WIDTH:
            token = "\n" + word
            column = -1
        else:
            token = " " + word
        column += 1 + len(word)
        yield token
