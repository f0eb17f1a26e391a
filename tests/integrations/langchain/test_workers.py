"""
Handlers written for LangChain hear what worker processes do, in LangChain's own objects.
"""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("langchain_core")
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage
from langchain_core.outputs import LLMResult

from instrument import bind, callbacks

sys.path.append(str(Path(__file__).parents[2] / "relay"))  # workers are told

if TYPE_CHECKING:
    from tests.relay import jobs
else:
    jobs = import_module("jobs")


class Heard(BaseCallbackHandler):
    """
    Keeps what it is told.
    """

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def on_chat_model_start(self, serialized: Any, messages: Any, **_: Any) -> None:
        self.told.append(("messages", messages))

    def on_llm_new_token(self, token: Any, **_: Any) -> None:
        self.told.append(("token", token))

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        self.told.append(("response", response))

    def on_tool_start(self, serialized: Any, input_str: str, **_: Any) -> None:
        self.told.append(("input", input_str))

    def on_tool_end(self, output: Any, **_: Any) -> None:
        self.told.append(("output", output))

    def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        self.told.append((name, data))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_worker_is_heard() -> None:
    """
    What a worker does is told as what is done here.
    """
    heard, context = Heard(), multiprocessing.get_context("fork")

    with callbacks(heard), ProcessPoolExecutor(1, context) as pool:
        pool.submit(bind(jobs.work), 7).result()

    names = [name for name, _ in heard.told]
    told = dict(heard.told)
    assert names == [
        "messages",
        *["token"] * 3,
        "response",
        "input",
        "output",
        "progress",
    ]
    assert told["messages"] == [[HumanMessage("number 7")]]
    assert isinstance(told["response"], LLMResult)
    assert told["response"].generations[0][0].text == "one two three"
    assert (told["input"], told["output"]) == ("query 7", {"found": "query 7"})
    assert told["progress"] == {"number": 7}
