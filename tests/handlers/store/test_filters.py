"""
By which words requests are looked for.
"""

from typing import Any

import pytest

from instrument import callbacks, current_run, traced
from instrument.handlers._store.filters import FilterError


@traced.chat_model(provider="nobody")
def model(prompt: str, name: str) -> str:
    """
    Answer, as a model of that name.
    """
    current_run().model = name
    current_run().record_usage(input_tokens=1_000, output_tokens=100, cost_usd=0.02)
    return "It is sunny in Lisbon, 50% of the time."


@traced.agent
def plan(question: str) -> str:
    """
    Ask a large model.
    """
    return model(question, "large-4o_mini")


@traced
def fails(question: str) -> None:
    """
    Fail.
    """
    raise TimeoutError("the model took 30 s")


@traced.chain
def recovers(question: str) -> str:
    """
    Get over a failure.
    """
    try:
        fails(question)
    except TimeoutError:
        return "never mind"
    return ""


@pytest.fixture
def asked(store: Any) -> Any:
    """
    Give a store in which is one request of each, in this order.
    """
    with callbacks(store.handler, tags=["beta"], metadata={"user_id": "ada"}):
        plan("Weather https://lisbon.pt?")
    with callbacks(store.handler, metadata={"user": "Bob"}), pytest.raises(OSError):
        fails("Will it fail?")
    with callbacks(store.handler, tags=["beta", "slow lane"]):
        recovers("What of it?")
    return store.reader


@pytest.mark.parametrize(
    "filter, names",
    [
        ("", "plan fails recovers"),
        ("status:error", "fails"),
        ("-status:error", "plan recovers"),
        ("STATUS:OK", "plan recovers"),
        ("error:below", "recovers"),
        ("error:timeout", "fails"),
        ("-error:timeout", "plan recovers"),
        ("kind:agent", "plan"),
        ("kind:chain", "fails recovers"),
        ("name:fail", "fails recovers"),
        ("name:MODEL", "plan"),
        ("model:4o", "plan"),
        ("model:4o_mini", "plan"),
        ("model:4oxmini", ""),
        ("-model:4o", "fails recovers"),
        ("user:ada", "plan"),
        ("user:bob", "fails"),
        ("tag:beta", "plan recovers"),
        ('tag:"slow lane"', "recovers"),
        ("tag:slow", ""),
        ("cost:>0.01", "plan"),
        ("cost:<$0.01", ""),
        ("tokens:1100", "plan"),
        ("tokens:=1100", "plan"),
        ("tokens:<=0", "fails recovers"),
        ("runs:>1", "plan recovers"),
        ("duration:<1m", "plan fails recovers"),
        ("duration:>500ms", ""),
        ("duration:>=2", ""),
        ("lisbon", "plan"),
        ("LISB", "plan"),
        ("sunny 50%", "plan"),
        ('"sunny in"', "plan"),
        ('"in sunny"', ""),
        ("-sunny", "fails recovers"),
        ("https://lisbon.pt", "plan"),
        ("took", "fails recovers"),
        ("%", "plan"),
        ("beta kind:chain", "recovers"),
        ("ada", "plan"),
        ('"', "plan fails recovers"),
        ('user:""', "plan fails recovers"),
        ("it's", ""),
        ("never AND mind", ""),
        ("(never", "recovers"),
    ],
)
def test_filter(asked: Any, filter: str, names: str) -> None:
    """
    A filter keeps the requests that all of its words fit.
    """
    found = [it["name"] for it in reversed(asked.requests(filter))]

    assert found == names.split()
    assert asked.summary(filter)["requests"] == len(found)
    assert asked.changed(filter, after=0)[0] == asked.requests(filter)


def test_filter_by_id(asked: Any) -> None:
    """
    A request is kept by how its id begins.
    """
    request = asked.requests("name:plan")[0]

    assert asked.requests(f"id:{request['hex'][:6].upper()}") == [request]
    assert asked.requests(f"id:{request['trace_id']}") == [request]
    assert len(asked.names(f"id:{request['hex']}")) == 2


@pytest.mark.parametrize(
    "filter, what, cure",
    [
        ("statsu:error", "'statsu:error' is no key", "status:, kind:, name:"),
        ("status:failed", "'status:failed' is no status", "running, ok, error"),
        ("cost:dear", "'cost:dear' is no number", "cost:>0.01"),
        ("cost:>5s", "'cost:>5s' is no number", "cost:>0.01"),
        ("duration:>5 h", "'duration:>5x'", ""),
        ("duration:>1.2.3s", "'duration:>1.2.3s' is no number", "500ms"),
        ("runs:.", "'runs:.' is no number", "runs:>100"),
        ("status: error", "'status:' is no whole word", "status:VALUE"),
    ],
)
def test_filter_that_cannot_be(asked: Any, filter: str, what: str, cure: str) -> None:
    """
    A word that cannot be is named, with what there is.
    """
    if filter == "duration:>5 h":
        assert asked.requests(filter) == []  # a word of its own
        return
    with pytest.raises(FilterError) as refused:
        asked.requests(filter)

    assert what in refused.value.what
    assert cure in refused.value.cure
    assert str(refused.value) == f"{refused.value.what}. {refused.value.cure}"
