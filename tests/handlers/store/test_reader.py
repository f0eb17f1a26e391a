"""
What is read of a store: requests, their runs, all of one run, records.
"""

import json
from typing import Any
from uuid import uuid4

import pytest

from instrument import Event, Usage, callbacks, traced
from instrument.handlers import filtered
from instrument.testing import Recorder


def test_request_in_the_list(store: Any) -> None:
    """
    A request of the list says what was asked and answered, by whom, and its sums.
    """
    told = store.ask(tags=["beta"], metadata={"user_id": "ada"})

    assert told["key"] == 1
    assert (told["kind"], told["name"], told["status"]) == ("agent", "answer", "ok")
    assert (told["said"], told["answered"]) == ("How is Rome?", "Sunny in Rome.")
    assert (told["user"], told["tags"]) == ("ada", ["beta"])
    assert (told["model"], told["models"], told["model_calls"]) == ("fake-1", 1, 1)
    assert (told["input_tokens"], told["output_tokens"]) == (3, 2)
    assert told["cost_usd"] == 0.25
    assert (told["runs"], told["errors"]) == (3, 1)
    assert told["duration_ms"] > 0
    assert told["first_token_ms"] > 0
    assert "error_type" not in told
    assert None not in told.values()


@pytest.mark.parametrize(
    "given, said",
    [
        ({"question": "Why?", "limit": 3}, "Why?"),
        ({"query": "", "text": "Why?"}, "Why?"),
        ({"city": "Rome", "days": 2}, "city='Rome', days=2"),
        ({"city": "it's", "days": [1]}, 'city="it\'s", days=[1]'),
        ({"n": 2000}, "2000"),
    ],
)
def test_what_was_asked(store: Any, given: dict[str, Any], said: str) -> None:
    """
    A row says what was asked: the question alone, beside whatever else was given.
    """
    with callbacks(store.handler), traced("ask", inputs=given):
        pass

    assert store.newest["said"] == said


def test_runs_of_a_request(store: Any) -> None:
    """
    The runs of a request come in the order of their starts, each below its parent.
    """
    request = store.ask()

    runs, cursor = store.reader.skeleton(request["trace_id"])

    assert [run["name"] for run in runs] == ["answer", "model", "search"]
    assert [run["seq"] for run in runs] == [0, 1, 2]
    assert [run.get("parent_run_id") for run in runs[1:]] == [runs[0]["run_id"]] * 2
    assert "parent_run_id" not in runs[0]
    assert runs[2]["error_type"] == "LookupError"
    assert runs[2]["origin"] is True
    assert cursor == store.reader.cursor()
    assert store.reader.skeleton(request["trace_id"], after=cursor)[0] == []


def test_all_of_a_model_run(store: Any) -> None:
    """
    Of a model's run there is what it was asked, its answer, and its events.
    """
    request = store.ask()
    runs, _ = store.reader.skeleton(request["trace_id"])

    told = store.reader.run(runs[1]["run_id"])

    assert told["messages"] == [{"role": "user", "content": "How is Rome?"}]
    assert told["text"] == "Sunny in Rome."
    events = [it["event"] for it in told["events"]]
    assert events == ["on_chat_model_start", "on_llm_new_token", "on_llm_end"]
    assert told["events"][1]["data"]["count"] == 3


def test_run_whose_place_is_known(store: Any) -> None:
    """
    Of a run whose place is known none before it is counted: all of a request cost so
    much each, however many they are.
    """
    request = store.ask()
    runs, _ = store.reader.skeleton(request["trace_id"])
    asked: list[str] = []
    store.reader._opened()._connection.set_trace_callback(asked.append)

    told = [store.reader.run(it["run_id"], it["seq"]) for it in runs]

    assert not [it for it in asked if "count(" in it]
    assert told == [store.reader.run(it["run_id"]) for it in runs]
    assert [it for it in asked if "count(" in it]


def test_all_of_a_failed_run(store: Any) -> None:
    """
    Of a run that failed there is the error with the traceback where it began.
    """
    request = store.ask()
    runs, _ = store.reader.skeleton(request["trace_id"])

    error = store.reader.run(runs[2]["run_id"])["error"]

    assert error["message"] == "nothing about How is Rome?"
    assert error["traceback"].startswith("Traceback")
    assert error["origin"] is True


def test_error_that_is_passed_on(store: Any) -> None:
    """
    Of a run that passes an error on there is the error, without the traceback, which the
    run has where it began.
    """

    @traced
    def fails() -> None:
        raise ValueError("no")

    @traced
    def passes() -> None:
        fails()

    with callbacks(store.handler), pytest.raises(ValueError, match="no"):
        passes()

    error = store.reader.run(store.newest["run_id"])["error"]
    assert error == {"type": "ValueError", "message": "no", "origin": False}


def test_error_of_a_run_that_is_not_heard(store: Any) -> None:
    """
    A request that failed by a run of which the store does not hear says by what error.
    """

    @traced.tool
    def fails() -> None:
        raise ValueError("no")

    @traced
    def passes() -> None:
        fails()

    with (
        callbacks(filtered(store.handler, kinds=["chain"])),
        pytest.raises(ValueError, match="no"),
    ):
        passes()

    assert (store.newest["status"], store.newest["runs"]) == ("error", 1)
    assert store.newest["error_type"] == "ValueError"


def test_usage_as_an_object(store: Any) -> None:
    """
    What a model consumed is kept also where an event has it as a ``Usage``.
    """
    store.ask()
    record = store.reader.events(store.newest["trace_id"])[3][1]
    event = Event.from_json(json.dumps(record | {"run_id": str(uuid4())}))
    event.data["usage"] = Usage(input_tokens=4)

    store.handler.on_event(event)

    assert event.event == "on_llm_end"
    assert store.newest["input_tokens"] == 3 + 4


def test_records_are_the_native_ones(store: Any) -> None:
    """
    The records of a request are those that were told, tokens of one run together.
    """
    recorder = Recorder()

    with callbacks(recorder, tags=["beta"], metadata={"n": 1}):
        request = store.ask()

    told = [it.to_dict() for it in recorder.events]
    read = [record for _, record in store.reader.events(request["trace_id"])]
    tokens = [it for it in told if it["event"] == "on_llm_new_token"]
    token = next(it for it in read if it["event"] == "on_llm_new_token")
    assert token["data"]["token"] == "".join(it["data"]["token"] for it in tokens)
    assert [it for it in told if it not in tokens] == [it for it in read if it != token]
    assert Event.from_json(json.dumps(token)).event == "on_llm_new_token"


def test_request_is_there_from_its_start(store: Any) -> None:
    """
    A request that runs is in the store, and so are its tokens.
    """
    seen: list[Any] = []

    @traced.chat_model(model="slow-1")
    def slow(question: str) -> Any:
        yield "first "
        seen.append(store.newest)
        runs, _ = store.reader.skeleton(seen[0]["trace_id"])
        seen.append(store.reader.run(runs[0]["run_id"]))
        yield "second"

    with callbacks(store.handler):
        assert "".join(slow("How?")) == "first second"

    request, run = seen
    assert (request["status"], request["said"]) == ("running", "How?")
    assert "duration_ms" not in request
    assert (run["status"], run["text"]) == ("running", "first ")


@pytest.mark.parametrize("letters", [4, 8, 32])
def test_request_is_found_by_how_its_id_begins(store: Any, letters: int) -> None:
    """
    A request is found by some first letters of its id.
    """
    request = store.ask()

    assert store.reader.find(request["hex"][:letters]) == request["trace_id"]


def test_newest_request_is_found(store: Any) -> None:
    """
    ``LAST`` is the newest request; the id of a run finds its request.
    """
    store.ask()
    request = store.ask()
    runs, _ = store.reader.skeleton(request["trace_id"])

    assert store.reader.find("LAST") == request["trace_id"]
    assert store.reader.find(runs[2]["run_id"]) == request["trace_id"]


def test_request_that_is_not_found(store: Any) -> None:
    """
    A word that finds no request is refused with the newest that there are.
    """
    request = store.ask()

    with pytest.raises(LookupError, match=rf"'beef'.*newest are {request['hex'][:8]}"):
        store.reader.find("beef" if request["hex"][:4] != "beef" else "feed")


def test_several_requests_are_found(store: Any) -> None:
    """
    A word that begins the ids of several requests is refused with these.
    """
    store.ask()
    record = store.reader.events(store.newest["trace_id"])[0][1]
    for last in "12":
        ids = dict.fromkeys(("trace_id", "run_id"), f"{'abcd' * 7}000{last}")
        store.handler.on_event(Event.from_json(json.dumps(record | ids)))

    several = r"'abcdab' begins the ids of several requests: \w{8} \(answer\), \w{8} "
    with pytest.raises(LookupError, match=several):
        store.reader.find("abcdab")


def test_summary(store: Any) -> None:
    """
    The summary tells how many requests match, how long they took, and when they were.
    """
    for _ in range(3):
        store.ask()

    told = store.reader.summary()

    assert (told["requests"], told["total"], told["errors"]) == (3, 3, 0)
    assert told["p95_ms"] >= told["median_ms"] > 0
    assert told["cost_usd"] == 0.75
    assert len(told["histogram"]) == 48
    assert sum(it["requests"] for it in told["histogram"]) == 3
    assert told["by_kind"] == {"agent": 3}
    assert told["by_status"] == {"ok": 3}


def test_names(store: Any) -> None:
    """
    Runs of one kind, name and model are told together.
    """
    for _ in range(2):
        store.ask()

    told = {it["name"]: it for it in store.reader.names()}

    assert told["search"]["errors"] == told["search"]["runs"] == 2
    assert told["model"]["model"] == "fake-1"
    assert told["model"]["cost_usd"] == 0.5
    assert told["answer"]["p95_ms"] >= told["answer"]["p50_ms"] > 0


def test_names_of_what_runs(store: Any) -> None:
    """
    Runs that have not ended are told with no duration.
    """

    @traced
    def running() -> Any:
        return store.reader.names()

    with callbacks(store.handler):
        (told,) = running()

    assert (told["name"], told["runs"], told["total_ms"]) == ("running", 1, 0)
    assert "p50_ms" not in told


def test_pages_of_the_list(store: Any) -> None:
    """
    Requests are given a page at a time: the newest first, and those before or after one.
    """
    for number in range(5):
        store.ask(f"{number}")
    read = store.reader.requests

    first = read(limit=2)

    assert [it["said"] for it in first] == ["4", "3"]
    assert [it["said"] for it in read(limit=2, before=first[-1]["key"])] == ["2", "1"]
    assert [it["said"] for it in read(after=first[-1]["key"])] == ["4"]


def test_what_has_changed(store: Any) -> None:
    """
    What has changed since a cursor is told with the next cursor.
    """
    store.ask("first")
    cursor = store.reader.cursor()
    store.ask("second")

    changed, now = store.reader.changed(after=cursor)

    assert [it["said"] for it in changed] == ["second"]
    assert store.reader.changed(after=now) == ([], now)


def test_about(store: Any) -> None:
    """
    A store tells where it is, how large, and how much is in it.
    """
    store.ask()

    told = store.reader.about()

    assert told["path"] == str(store.path)
    assert (told["requests"], told["runs"], told["events"]) == (1, 3, 7)
    assert told["bytes"] > 0
