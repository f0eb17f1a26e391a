"""
The application that the demo listens to: retrieve, prompt, write.

No function here takes a handler, passes one on, or knows that anybody listens.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

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

    text: str
    documents: list[Document]
    trained_on_words: int


@traced.agent(outputs=lambda answer: answer.text)
def answer(question: str, *, pause_s: float = 0.0) -> Answer:
    """
    Answer *question* from the standard library's docstrings, if any mentions it.
    """
    documents = search(question)
    if not documents:
        return Answer("", [], 0)

    model = train(documents, pause_s)
    text = "".join(write(prompt(question, documents), model))
    return Answer(text, documents, model.word_count)


@traced.retriever
def search(question: str) -> list[Document]:
    """
    Find the docstrings that *question* is about: first their modules, then them.
    """
    modules = shortlist(question)
    candidates = [text for module in modules for text in library.docstrings(module)]
    return rank(question, candidates)


def _sources(documents: list[Document]) -> list[str]:
    return [document.metadata["source"] for document in documents]


@traced.tool(outputs=_sources)
def shortlist(question: str) -> list[Document]:
    """
    Choose the few modules worth parsing.
    """
    modules = library.read_modules()
    return ranking.best(question, modules, _MODULES, text=library.overview)


@traced.tool(
    inputs=lambda question, candidates: {
        "question": question,
        "candidates": len(candidates),
    },
    outputs=_sources,
)
def rank(question: str, candidates: list[Document]) -> list[Document]:
    """
    Keep the best of *candidates*.
    """
    return ranking.best(question, candidates, _DOCUMENTS)


@traced.tool(inputs=lambda documents, _: {"documents": len(documents)}, outputs=repr)
def train(documents: list[Document], pause_s: float) -> NgramModel:
    """
    Count the words of *documents*: that is all the training there is.
    """
    return NgramModel([text.page_content for text in documents], pause_s)


@traced.chain
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
    read = sum(len(message["content"].split()) for message in messages)
    written = 0
    for token in _in_lines(model.write(messages[-1]["content"])):
        written += 1
        yield token
    current_run().record_usage(input_tokens=read, output_tokens=written)


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
