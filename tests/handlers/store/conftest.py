"""
What tests of the store share.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from instrument import callbacks, current_run, traced
from instrument.handlers import StoreHandler
from instrument.handlers._store.reader import Reader


@traced.chat_model(model="fake-1", provider="nobody")
def model(messages: list[dict[str, str]]) -> Iterator[str]:
    """
    Answer in three tokens.
    """
    current_run().record_usage(input_tokens=3, output_tokens=2, cost_usd=0.25)
    yield from ("Sunny ", "in ", "Rome.")


@traced.tool
def search(query: str) -> str:
    """
    Fail.
    """
    message = f"nothing about {query}"
    raise LookupError(message)


@traced.agent
def answer(question: str) -> str:
    """
    Ask the model, and a tool that fails.
    """
    told = "".join(model([{"role": "user", "content": question}]))
    try:
        search(question)
    except LookupError:
        return told
    return ""


class Store:
    """
    A store in a file of its own.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.handler = StoreHandler(path)
        self._reader: Reader | None = None

    @property
    def reader(self) -> Reader:
        """
        Reads what has been told until now.
        """
        assert self.handler.drain(20)
        if self._reader is None:
            self._reader = Reader(self.path)
        return self._reader

    @property
    def newest(self) -> dict[str, Any]:
        """
        The newest request.
        """
        return self.reader.requests()[0]

    def ask(self, question: str = "How is Rome?", **given: Any) -> dict[str, Any]:
        """
        Have a question answered, and give the request.
        """
        with callbacks(self.handler, **given):
            answer(question)
        return self.newest

    def close(self) -> None:
        """
        Close what reads.
        """
        if self._reader is not None:
            self._reader.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """
    Give a store.
    """
    made = Store(tmp_path / "traces.db")
    yield made
    made.close()
