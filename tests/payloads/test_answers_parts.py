"""
Odd parts of answers: calls whose pieces are told apart badly, calls that the provider runs,
what is no text, what went wrong, several choices.
"""

from typing import Any

import pytest

from instrument import callbacks, current_run, traced
from instrument._payloads.answers import Answer, answer_of, take
from instrument.testing import Recorder


def chunk(**delta: Any) -> dict[str, Any]:
    """
    Make a chunk of OpenAI's chat completions.
    """
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


def piece(arguments: str | None, name: str | None = None, **more: Any) -> Any:
    """
    Make one with a piece of a call.
    """
    call = {"function": {"name": name, "arguments": arguments}, **more}
    return chunk(tool_calls=[call])


def call(name: str | None, arguments: Any, id: str | None = None) -> dict[str, Any]:
    """
    Write a call as it is told.
    """
    return {"id": id, "name": name, "arguments": arguments}


GEMINIS: list[Any] = [
    {"name": "f", "args": None, "partial_args": []},
    {"partial_args": [{"json_path": "$.a", "string_value": "b"}]},
    {"partial_args": [{"json_path": "$.c[9999999]", "number_value": 1}]},
    {"partial_args": [{"json_path": "", "number_value": 1}]},
]
CALLS: dict[str, tuple[list[Any], list[Any]]] = {
    "pieces without an index": (
        [piece("", "f", id="1"), piece('{"a":'), piece("1}")],
        [call("f", {"a": 1}, "1")],
    ),
    "two without an index": (
        [piece('{"a":', "f", id="1"), piece("1}"), piece("{}", "g", id="2")],
        [call("f", {"a": 1}, "1"), call("g", {}, "2")],
    ),
    "two without an index or id": (
        [piece('{"a": 1}', "f"), piece("{}", "f")],
        [call("f", {"a": 1}), call("f", {})],
    ),
    "two of one index": (
        [
            piece('{"a":1}', "f", id="1", index=0),
            piece('{"b":', "g", id="2", index=0),
            piece("2}", index=0),
        ],
        [call("f", {"a": 1}, "1"), call("g", {"b": 2}, "2")],
    ),
    "two of one index by turns": (
        [
            piece('{"a":', "f", id="1", index=0),
            piece('{"b":', "g", id="2", index=0),
            piece("1}", id="1", index=0),
            piece("2}", id="2", index=0),
        ],
        [call("f", {"a": 1}, "1"), call("g", {"b": 2}, "2")],
    ),
    "two of one index without id": (
        [piece("{}", "f", index=0), piece('{"b":', "g", index=0), piece("2}", index=0)],
        [call("f", {}), call("g", {"b": 2})],
    ),
    "the same tool twice at one index": (
        [piece('{"a":1}', "f", index=0), piece('{"a":2}', "f", index=0)],
        [call("f", {"a": 1}), call("f", {"a": 2})],
    ),
    "a name that comes with each piece": (
        [piece('{"a":', "f", id="1", index=0), piece("1}", "f", id="1", index=0)],
        [call("f", {"a": 1}, "1")],
    ),
    "a name with each piece and no id": (
        [piece('{"a":', "f", index=0), piece("1}", "f", index=0)],
        [call("f", {"a": 1})],
    ),
    "a name in pieces": (
        [piece(None, "weat", index=0), piece("{}", "her", index=0)],
        [call("weather", {})],
    ),
    "an id that comes late": (
        [piece("", "f", index=0), piece("{}", id="1", index=0)],
        [call("f", {}, "1")],
    ),
    "an index behind that of another": (
        [
            piece("{}", "f", id="1", index=0),
            piece("{}", "g", id="2", index=0),
            piece("{}", "h", id="3", index=1),
        ],
        [call("f", {}, "1"), call("g", {}, "2"), call("h", {}, "3")],
    ),
    "an index that is no number": (
        [piece("{", "f", index=[0]), piece("}", index=0.5)],
        [call("f", {})],
    ),
    "none of Mistral's ids": (
        [piece("{}", "f", id="null", index=0)],
        [call("f", {})],
    ),
    "no arguments": ([piece("", "f", id="1", index=0)], [call("f", {}, "1")]),
    "arguments that are no JSON": ([piece("{", "f", id="1")], [call("f", "{", "1")]),
    "a call of the old kind": (
        [
            chunk(function_call={"name": "f", "arguments": ""}),
            chunk(function_call={"arguments": '{"a":1}'}),
        ],
        [call("f", {"a": 1})],
    ),
    "a custom tool of which the input looks like JSON": (
        [chunk(tool_calls=[{"index": 0, "custom": {"name": "sql", "input": "1"}}])],
        [call("sql", "1")],
    ),
    "no input of one": (
        [chunk(tool_calls=[{"index": 0, "custom": {"name": "sql", "input": ""}}])],
        [call("sql", "")],
    ),
    "no tool": ([chunk(tool_calls=[{"index": 0}])], []),
    "Gemini's arguments, one by one": (
        [
            {"candidates": [{"content": {"parts": [{"function_call": part}]}}]}
            for part in GEMINIS
        ],
        [call("f", {"a": "b", "c": []})],
    ),
}


@pytest.mark.parametrize("name", list(CALLS))
def test_calls(name: str) -> None:
    """
    The pieces of calls are put together, however little tells them apart.
    """
    chunks, calls = CALLS[name]
    answer = Answer()

    for each in chunks:
        take(answer, each)

    assert answer.tool_calls == calls
    assert answer.server_tool_calls == []


def test_ghost_of_a_server_tool() -> None:
    """
    A tool that Anthropic ran itself was a call of no tool, for its caller to run.
    """
    answer = Answer()
    use = {"type": "server_tool_use", "id": "1", "name": "web_search", "input": {}}

    take(answer, {"type": "content_block_start", "index": 0, "content_block": use})
    delta = {"type": "input_json_delta", "partial_json": '{"query": "cats"}'}
    take(answer, {"type": "content_block_delta", "index": 0, "delta": delta})

    assert answer.tool_calls == []
    told = call("web_search", {"query": "cats"}, "1")
    assert answer.server_tool_calls == [{**told, "server": True}]


def event(kind: str, **told: Any) -> dict[str, Any]:
    """
    Make an event of a response.
    """
    return {"type": f"response.{kind}", **told}


def test_whole_that_differs_from_its_pieces() -> None:
    """
    What is told as a whole at the end counts, and is told once.
    """
    answer, tokens = Answer(), list[Any]()
    message = {"type": "message", "content": [{"type": "output_text", "text": "Hullo"}]}
    used = {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"}

    for each in (
        event("output_text.delta", output_index=7, content_index=0, delta="Hello"),
        event("completed", response={"output": [message, used], "status": "completed"}),
    ):
        tokens += take(answer, each)

    assert tokens == [("Hello", "text"), ("Hullo", "text"), ("{}", "tool_call")]
    assert answer.text == "Hullo"
    assert answer.tool_calls == [call("f", {}, "1")]


def test_end_without_output() -> None:
    """
    An end that tells no output takes nothing away of what has come.
    """
    answer = Answer()

    take(answer, event("output_text.delta", output_index=0, delta="Hi"))
    take(answer, event("completed", response={"output": [], "status": "completed"}))

    assert answer.text == "Hi"


URL = "data:image/png;base64,QUJDRA=="
FILES: dict[str, tuple[list[Any], list[Any]]] = {
    "an image in a URL": (
        [chunk(images=[{"type": "image_url", "image_url": {"url": URL}}])],
        [{"kind": "image/png", "size": 4}],
    ),
    "an image elsewhere": (
        [chunk(content=[{"type": "image_url", "image_url": "https://x.test/y.png"}])],
        [{"kind": "image", "size": None}],
    ),
    "a file": (
        [chunk(content=[{"type": "file", "file": {"data": "QUJD"}}])],
        [{"kind": "file", "size": 3}],
    ),
    "sound in pieces": (
        [chunk(audio={"data": "QU"}), chunk(audio={"data": "JD", "transcript": "Hi"})],
        [{"kind": "audio", "size": 3}],
    ),
    "sound of a response": (
        [event("audio.delta", delta="QU"), event("audio.delta", delta="JD")],
        [{"kind": "audio", "size": 3}],
    ),
    "sound of a whole response": (
        [
            {
                "output": [
                    {
                        "type": "message",
                        "content": [
                            {"type": "output_audio", "data": "QUJD", "transcript": "a"}
                        ],
                    }
                ]
            }
        ],
        [{"kind": "audio", "size": 3}],
    ),
    "bytes of Gemini's": (
        [
            {
                "candidates": [
                    {
                        "content": {
                            "parts": [
                                {
                                    "inline_data": {
                                        "mime_type": "image/png",
                                        "data": b"AB",
                                    }
                                },
                                {"file_data": {"file_uri": "gs://x"}},
                            ]
                        }
                    }
                ]
            }
        ],
        [{"kind": "image/png", "size": 2}, {"kind": "file", "size": None}],
    ),
    "an image of Ollama's": (
        [{"done": True, "image": "QUJD", "response": ""}],
        [{"kind": "image", "size": 3}],
    ),
}


@pytest.mark.parametrize("name", list(FILES))
def test_files(name: str) -> None:
    """
    What is no text is told by its kind and size.
    """
    chunks, files = FILES[name]
    answer = Answer()

    for each in chunks:
        take(answer, each)

    assert answer.files == files


ERRORS: dict[str, tuple[Any, str, Any]] = {
    "an event": (
        {"type": "error", "code": "rate_limit", "message": "slow"},
        "error",
        {"code": "rate_limit", "message": "slow"},
    ),
    "an event around it": (
        {"type": "error", "error": {"type": "overloaded_error", "message": "slow"}},
        "error",
        {"code": "overloaded_error", "message": "slow"},
    ),
    "a response that failed": (
        event(
            "failed",
            response={
                "output": [],
                "status": "failed",
                "error": {"code": "server_error", "message": "oh"},
            },
        ),
        "failed",
        {"code": "server_error", "message": "oh"},
    ),
    "a body": (
        {"choices": None, "error": {"code": 502, "message": "bad gateway"}},
        "error",
        {"code": 502, "message": "bad gateway"},
    ),
    "a body of nothing else": (
        {"error": {"code": 502, "message": "bad gateway"}},
        "error",
        {"code": 502, "message": "bad gateway"},
    ),
    "a choice": (
        {
            "choices": [
                {
                    "delta": {"content": ""},
                    "finish_reason": "error",
                    "error": {"code": 502, "message": "x"},
                }
            ]
        },
        "error",
        {"code": 502, "message": "x"},
    ),
    "a prompt that Gemini blocks": (
        {
            "candidates": None,
            "prompt_feedback": {"block_reason": "SAFETY"},
            "usage_metadata": {"prompt_token_count": 1},
        },
        "SAFETY",
        {"code": "SAFETY", "message": None},
    ),
    "an answer that Gemini breaks off": (
        {"candidates": [{"finish_reason": "RECITATION", "finish_message": "no"}]},
        "RECITATION",
        {"code": "RECITATION", "message": "no"},
    ),
    "the end of Cohere's stream": (
        {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "oh"}},
        "ERROR",
        {"code": None, "message": "oh"},
    ),
}


@pytest.mark.parametrize("name", list(ERRORS))
def test_errors(name: str) -> None:
    """
    What a provider says went wrong is told, with a finish reason that says so.
    """
    told, reason, error = ERRORS[name]
    answer = answer_of(told)

    assert answer.finish_reason == reason
    assert answer.error == error


def test_error_of_a_run() -> None:
    """
    Such a run is ok, as its caller got no exception; its end tells it, redacted.
    """
    recorder = Recorder()

    @traced.chat_model
    def model() -> Any:
        return ERRORS["a body"][0]

    with callbacks(recorder, redact=["message"]):
        model()

    assert recorder.runs[0].status == "ok"
    assert recorder.events[-1].data["error"] == {"code": 502, "message": "[redacted]"}


def test_every_choice() -> None:
    """
    Every choice is among the generations, in a stream as well; tokens are the first's.
    """
    results: list[Any] = []

    def choice(index: int, text: str) -> Any:
        return {"index": index, "delta": {"content": text}, "finish_reason": None}

    @traced.chat_model
    def model() -> Any:
        for text in ("a", "b"):
            yield {"choices": [choice(1, text.upper()), choice(0, text)]}

    tokens: list[str] = []
    with callbacks(on_llm_end=results.append, on_llm_new_token=tokens.append):
        list(model())

    rows = results[0].generations
    assert [[each.text for each in row] for row in rows] == [["ab", "AB"]]
    assert tokens == ["a", "b"]


@pytest.mark.parametrize(
    "prompts, rows",
    [
        (["x", "y"], [["0", "1"], ["2", "3"]]),
        (["x", "y", "z"], [["0", "1", "2", "3"]]),
        ([], [["0", "1", "2", "3"]]),
        (["x"], [["0", "1", "2", "3"]]),
        (list("abcdef"), [["0", "1", "2", "3"]]),
    ],
)
def test_several_prompts(prompts: Any, rows: list[list[str]]) -> None:
    """
    The choices of a text model belong to its prompts, where that can be told.
    """
    results: list[Any] = []

    @traced.llm
    def model(prompts: list[str]) -> Any:
        return {"choices": [{"index": n, "text": str(n)} for n in range(4)]}

    with callbacks(on_llm_end=results.append):
        model(prompts)

    told = [[each.text for each in row] for row in results[0].generations]
    assert told == rows


def test_choices_without_numbers() -> None:
    """
    Whole choices without an index are counted as they stand.
    """
    messages = [{"message": {"content": text}} for text in "ab"]

    answer = answer_of({"choices": messages})

    assert (answer.text, answer.others[1].text) == ("a", "b")


def test_calls_within_models() -> None:
    """
    What the call inside a run knows is added once to what the run itself has told.
    """
    inner = Answer()
    for kind in ("server_tool_use", "tool_use"):
        use: Any = {"type": kind, "id": kind, "name": "f", "input": {}}
        block = {
            "type": "content_block_start",
            "index": len(kind),
            "content_block": use,
        }
        take(inner, block)
    take(inner, {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}})
    outer = answer_of({"choices": [], "usage": {"prompt_tokens": 9, "cost": 0.5}})

    outer.complete(inner)
    outer.complete(inner)

    assert [it["id"] for it in outer.tool_calls] == ["tool_use"]
    assert [it["id"] for it in outer.server_tool_calls] == ["server_tool_use"]
    assert outer.usage is not None
    assert (outer.usage.input_tokens, outer.usage.cost_usd) == (3, 0.5)


def test_reasoning_of_a_run_itself() -> None:
    """
    What the run itself has told of its reasoning stands, whatever the call inside knows.
    """
    inner, outer = Answer(), Answer()
    inner.said("inside", "reasoning")
    outer.said("outside", "reasoning")

    outer.complete(inner)

    assert outer.reasoning == "outside"


def test_requests_of_one_call() -> None:
    """
    A stream of Gemini's that runs functions and asks again tells the sum of both, and no
    call that the SDK has answered.
    """
    call = {"function_call": {"name": "f", "args": {}}}

    def told(part: Any, count: int, **more: Any) -> Any:
        candidate = {"content": {"parts": [part]}, "finish_reason": "STOP"}
        used = {"prompt_token_count": count, "candidates_token_count": 1}
        return {"candidates": [candidate], "usage_metadata": used, **more}

    for ids in ({}, {"response_id": "a"}):
        answer = Answer()
        take(answer, told(call, 100, **ids))
        take(answer, told({"text": "Hi"}, 130, **dict.fromkeys(ids, "b")))
        assert answer.usage is not None
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (230, 2)
        assert answer.tool_calls == []
        assert answer.text == "Hi"


def test_request_behind_one_that_has_not_ended() -> None:
    """
    Where the request before has told no end, the calls of both are kept.
    """
    answer = Answer()
    for id in "ab":
        call = {"function_call": {"name": id, "args": {}}}
        take(
            answer, {"candidates": [{"content": {"parts": [call]}}], "response_id": id}
        )

    assert [call["name"] for call in answer.tool_calls] == ["a", "b"]


def test_usage_told_before_a_run_fails() -> None:
    """
    What the call inside a run was told is the run's, though it fails.
    """
    recorder = Recorder()

    @traced.chat_model
    def inner() -> Any:
        yield {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}
        raise KeyError

    with callbacks(recorder), pytest.raises(KeyError):
        list(inner())

    assert recorder.runs[0].usage.input_tokens == 3
    assert not current_run()


def test_depth_of_models_in_arguments() -> None:
    """
    Arguments that a provider's objects hold are opened, to a depth.
    """
    deep: Any = {"a": 1}
    for _ in range(30):
        deep = [deep]
    answer = Answer()

    answer.called("1", "f", deep)

    assert answer.tool_calls == [call("f", deep, "1")]
