"""
What is recorded of a retriever's documents.
"""

from dataclasses import dataclass, field
from typing import Any

import pytest

from instrument import callbacks, traced
from instrument.testing import Recorder


@dataclass
class Document:
    """
    A document of LangChain's shape.
    """

    page_content: str
    metadata: dict[str, Any] = field(default_factory=dict)


@pytest.mark.parametrize(
    "found, recorded",
    [
        ([Document("a", {"id": 1})], [{"page_content": "a", "metadata": {"id": 1}}]),
        (({"page_content": "b"}, "c"), [{"page_content": "b"}, "c"]),
        ("d", "d"),
        (None, None),
    ],
)
def test_documents_are_recorded(found: object, recorded: object) -> None:
    """
    Documents stand in an event as dicts of content and metadata, all else as it is.
    """
    recorder = Recorder()

    with callbacks(recorder):
        traced.retriever("search")(lambda query: found)("q")

    assert recorder.events[-1].data["documents"] == recorded
