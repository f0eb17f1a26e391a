"""
Handlers of LangChain's own classes in our wrappers: they work unchanged.
"""

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("langchain_core")
from langchain_core.callbacks import BaseCallbackHandler

from instrument import callbacks, traced
from instrument.handlers import background, filtered, local

pytestmark = pytest.mark.usefixtures("langchain")

WRAPPERS: list[Callable[[Any], Any]] = [
    lambda handler: handler,
    background,
    lambda handler: filtered(handler, kinds="chain"),
    lambda handler: background(filtered(handler, kinds="chain")),
]


class Hearing(BaseCallbackHandler):
    """
    Collects what comes by keyword with a start.
    """

    def __init__(self) -> None:
        self.heard: list[set[str]] = []

    def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None:
        self.heard.append(set(kwargs))


@pytest.mark.parametrize("wrap", WRAPPERS, ids=["bare", "background", "kinds", "both"])
def test_keywords(wrap: Callable[[Any], Any]) -> None:
    """
    A handler of LangChain gets LangChain's keywords, without ``run``.
    """
    handler = Hearing()

    with callbacks(wrap(handler)), traced("work"):
        pass

    assert handler.heard == [{"run_id", "parent_run_id", "tags", "metadata", "name"}]


def test_keywords_of_a_constructor_handler() -> None:
    """
    So does one that is heard by its object's own runs alone.
    """
    handler = Hearing()

    @traced(callbacks=[local(handler)])
    def work() -> None: ...

    work()

    assert handler.heard == [{"run_id", "parent_run_id", "tags", "metadata", "name"}]
