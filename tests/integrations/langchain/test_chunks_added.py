"""
Chunks of LangChain's messages add up, read one by one, to what their sum tells.
"""

import json
from functools import reduce
from operator import add
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("langchain_core")

from langchain_core.messages import AIMessageChunk

from instrument._payloads.answers import Answer, take

WORD = st.text("ab {}", min_size=1, max_size=3)
USED: Any = {"input_tokens": 2, "output_tokens": 1, "total_tokens": 3}


def text_block(word: str) -> dict[str, Any]:
    return {"type": "text", "text": word, "index": 0}


def thinking_block(word: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": word, "index": 1}


def reasoning_block(word: str) -> dict[str, Any]:
    return {"type": "reasoning", "reasoning": word, "index": "lc_rs_0"}


def summary_block(word: str) -> dict[str, Any]:
    part = {"type": "summary_text", "text": word, "index": 0}
    return {"type": "reasoning", "summary": [part], "index": 2}


BLOCKS = (text_block, thinking_block, reasoning_block, summary_block)


@st.composite
def chunks(draw: Any) -> list[AIMessageChunk]:
    """
    Make the chunks of a message: text or blocks, calls in pieces, what each has used.
    """
    made: list[Any] = []
    if draw(st.booleans()):
        made = [AIMessageChunk(content=word) for word in draw(st.lists(WORD))]
    else:
        for _ in range(draw(st.integers(0, 6))):
            block = draw(st.sampled_from(BLOCKS))(draw(WORD))
            made.append(AIMessageChunk(content=[block]))
    for index in range(draw(st.integers(0, 2))):
        text = json.dumps(draw(st.dictionaries(WORD, st.integers(0, 9), max_size=2)))
        at = draw(st.integers(0, len(text)))
        named: Any = {
            "id": f"call_{index}",
            "name": "f",
            "args": text[:at],
            "index": index,
        }
        later: Any = {"id": None, "name": None, "args": text[at:], "index": index}
        made += [
            AIMessageChunk(content="", tool_call_chunks=[each])
            for each in (named, later)
        ]
    told = {"finish_reason": "stop", "model_name": "m"}
    made.append(AIMessageChunk(content="", usage_metadata=USED, response_metadata=told))
    if draw(st.booleans()):
        made.append(AIMessageChunk(content="", usage_metadata=USED))
    return made


def told(*messages: Any) -> dict[str, Any]:
    """
    Give what messages tell, one behind the other.
    """
    answer = Answer()
    for message in messages:
        take(answer, message)
    names = ("text", "reasoning", "tool_calls", "usage", "model", "finish_reason")
    return {name: getattr(answer, name) for name in names}


@given(parts=chunks())
def test_chunks(parts: list[AIMessageChunk]) -> None:
    """
    What is told of them is what LangChain's own sum of them tells.
    """
    assert told(*parts) == told(reduce(add, parts))


def test_reasoning_beside_the_content() -> None:
    """
    Some integrations put what a model thought beside the content.
    """
    message = AIMessageChunk(
        content="Hi", additional_kwargs={"reasoning_content": "hm"}
    )

    assert told(message)["reasoning"] == "hm"
