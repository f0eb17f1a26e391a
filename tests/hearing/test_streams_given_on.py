"""
What becomes of a run whose body gave a stream that is heard to others: they may leave it
at any time, after the run has ended.
"""

import asyncio
import pickle
import weakref
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import Any

import pytest

from instrument import callbacks, current_run, traced
from instrument._hearing.calls import Asked, begin
from instrument._hearing.monitored.streams import keep
from instrument._hearing.wrapped.streams import hear_stream
from instrument._runs.opening import Recipe
from instrument.testing import Recorder


class Payload:
    """
    What must go; it can hold a stream.
    """

    stream: Any = None
    password = ""


class Pieces:
    """
    A stream as SDKs make them.
    """

    def __init__(self) -> None:
        self.left = ["Hel", "lo"]

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self.left:
            raise StopIteration
        return self.left.pop(0)

    def close(self) -> None:
        self.left.clear()


def _asked() -> Any:
    return begin(Asked(Recipe("ask", "chat_model"), dict, {}, "provider"))


def _wrapped() -> Any:
    call = _asked()
    call.go_on(in_pieces=True)
    return hear_stream(call, Pieces())


def _watched() -> Any:
    made = Pieces()
    keep(made, _asked())
    return made


def _generator() -> Any:
    made = Payload()
    made.stream = (piece for piece in ["Hel", "lo"])
    keep(made.stream, _asked(), frame="gi_frame")
    return made


def _in_an_object(made: Any) -> Payload:
    held = Payload()
    held.stream, held.password = made, "hunter2"
    return held


GIVEN: dict[str, Callable[[Any], Any]] = {
    "itself": lambda made: made,
    "in a tuple": lambda made: (made, 1),
    "in a list": lambda made: [made],
    "in an object": _in_an_object,
    "later": lambda made: partial(list, made),
}


def _returned(decorate: Any, hear: Any, give: Any, payload: Payload) -> None:
    def asks(payload: Payload) -> Any:
        return give(hear())

    decorate(asks)(payload)


def _awaited(decorate: Any, hear: Any, give: Any, payload: Payload) -> None:
    async def asks(payload: Payload) -> Any:
        return give(hear())

    asyncio.run(decorate(asks)(payload))


def _from_below(decorate: Any, hear: Any, give: Any, payload: Payload) -> None:
    @traced
    def outer(payload: Payload) -> Any:
        _returned(decorate, hear, give, payload)
        return decorate(inner)(payload)

    def inner(payload: Payload) -> Any:
        return give(hear())

    outer(payload)


def _put_into_an_input(decorate: Any, hear: Any, give: Any, payload: Payload) -> None:
    def asks(payload: Payload) -> None:
        payload.stream = give(hear())

    decorate(asks)(payload)


def _in_a_block(decorate: Any, hear: Any, give: Any, payload: Payload) -> None:
    with decorate("asks", inputs={"payload": payload}) as run:
        run.outputs = give(hear())


WAYS = [_returned, _awaited, _from_below, _put_into_an_input, _in_a_block]


@pytest.mark.rule(21)
@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("decorate", [traced, traced.chat_model])
@pytest.mark.parametrize("hear", [_wrapped, _watched, _generator])
@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("redact", [[], ["password"]])
def test_run_goes_with_the_stream(
    way: Any, decorate: Any, hear: Any, given: str, redact: list[str]
) -> None:
    """
    A function that gives the stream of a provider on holds nothing once that is dropped.
    """
    payload = Payload()
    alive = weakref.ref(payload)

    with callbacks(lambda event: None, redact=redact or None):
        way(decorate, hear, GIVEN[given], payload)
    del payload

    assert alive() is None


@pytest.mark.parametrize("hear", [_wrapped, _watched])
def test_what_is_told_of_it(hear: Any) -> None:
    """
    Handlers are told the stream itself; the run keeps the name of its class, and all else
    as it was.
    """
    told: list[Any] = []

    class Hears:
        def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
            told.append((outputs, kwargs["run"].outputs))

    @traced
    def asks(question: str, at: list[int]) -> Any:
        return hear()

    with callbacks(Hears(), recorder := Recorder()):
        made = asks("why?", [1])

    name = type(made).__name__
    assert told == [(made, made)]
    assert recorder.runs[0].outputs == f"<{name}>"
    assert recorder.runs[0].inputs == {"question": "why?", "at": [1]}
    made.close()


@pytest.mark.parametrize("decorate", [traced, traced.chat_model])
def test_copies_of_it(decorate: Any) -> None:
    """
    What a watched call gave can be copied and pickled as ever, and a copy tells nothing.
    """

    def asks() -> Any:
        return _watched()

    with callbacks(recorder := Recorder()):
        made = decorate(asks)()
    copies = [deepcopy(made), pickle.loads(pickle.dumps(made))]

    assert [list(it) for it in copies] == [["Hel", "lo"]] * 2
    assert recorder.runs[0].status == "ok"


def test_results_beside_a_stream_stay() -> None:
    """
    What leads to no stream is kept as it is, also where one was read to its end.
    """
    result = Payload()

    @traced
    def asks() -> Payload:
        assert "".join(_wrapped()) == "Hello"
        return result

    with callbacks(recorder := Recorder()):
        asks()

    assert recorder.runs[0].outputs is result


def test_inputs_that_a_body_set() -> None:
    """
    Inputs that are no longer by name are kept as they are.
    """

    @traced
    def asks() -> Any:
        current_run().inputs = "question"
        return _wrapped()

    with callbacks(recorder := Recorder()):
        made = asks()

    assert recorder.runs[0].inputs == "question"
    made.close()
