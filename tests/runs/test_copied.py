"""
Copies and pickles of what is decorated: they are decorated in the same way.
"""

import copy
import pickle
from collections.abc import Callable
from contextlib import nullcontext
from contextvars import Context
from functools import partial
from typing import Any

import pytest

from instrument import Event, bind, callbacks, current_run, traced
from instrument.testing import Recorder

each_copy = pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])


def answer(question: str) -> str:
    """
    Make a run.
    """
    return traced("answer")(str.upper)(question)


class Answerer:
    """
    Can be called, and made equal.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, question: str) -> str:
        self.asked.append(question)
        return answer(question)


class Owner:
    """
    Keeps bound methods of its own.
    """

    def __init__(self) -> None:
        self.method = self.run
        self.generator = self.stream

    @traced
    def run(self) -> "Owner":
        return self

    @traced
    def stream(self) -> Any:
        yield self


def pickled(value: Any) -> Any:
    """
    Take it through a pickle.
    """
    return pickle.loads(pickle.dumps(value))


@each_copy
@pytest.mark.parametrize("target", [partial(answer, "a"), partial(Answerer(), "a")])
@pytest.mark.rule(1, "sync")
def test_copy_hears_on(copied: Callable[[Any], Any], target: Any) -> None:
    """
    A copy of a partial opens the block, or goes to the scope, that the partial does.
    """
    recorder = Recorder()

    in_block = copied(callbacks(recorder)(target))
    with callbacks(recorder):
        in_scope = copied(bind(target))

    assert in_block() == Context().run(in_scope) == "A"
    assert [run.name for run in recorder.runs] == ["answer", "answer"]


@pytest.mark.rule(1, "sync")
def test_copied_object_is_one_of_its_own() -> None:
    """
    A deep copy of a callable object has its own state, and is traced like the first.
    """
    recorder = Recorder()
    first: Any = traced("asked")(Answerer())

    second = copy.deepcopy(first)
    with callbacks(recorder):
        second("b")

    assert (first.asked, second.asked) == ([], ["b"])
    assert [run.name for run in recorder.runs] == ["asked", "answer"]


@pytest.mark.parametrize(
    "decorate, names, left",
    [
        (traced("x", tags=["t"]), ["x", "answer"], []),
        (callbacks(Recorder()), ["answer"], []),
        (bind, [], ["answer"]),
    ],
    ids=["traced", "callbacks", "bind"],
)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.rule(1, "sync")
def test_pickled_partial(
    decorate: Any, names: list[str], left: list[str], protocol: int
) -> None:
    """
    A partial goes through pickle decorated, without the handlers that it had; one that is
    bound goes on in the scope that it was bound in.
    """
    recorder, left_behind = Recorder(), Recorder()
    with callbacks(left_behind):
        made = decorate(partial(answer, "a"))

    again = pickle.loads(pickle.dumps(made, protocol))
    with callbacks(recorder):
        assert again() == "A"

    assert [run.name for run in recorder.runs] == names
    assert [run.name for run in left_behind.runs] == left


@each_copy
@pytest.mark.rule(1, "sync", "generator")
def test_bound_methods_of_a_copy(copied: Callable[[Any], Any]) -> None:
    """
    A bound method is copied as undecorated: deep, it goes with the copy of its object.
    """
    owner = Owner()

    again = copied(owner)

    expected = owner if copied is copy.copy else again
    assert again.method() is expected
    assert list(again.generator()) == [expected]


@each_copy
@pytest.mark.rule(1, "sync", "generator")
def test_copied_bound_method(copied: Callable[[Any], Any]) -> None:
    """
    A copy of a bound method is bound to its object, a deep one to a copy of that.
    """
    owner = Owner()

    method, generator = copied(owner.run), copied(owner.stream)

    (owner_of_generator,) = generator()
    for found in (method(), owner_of_generator):
        assert isinstance(found, Owner)
        assert (found is owner) is (copied is copy.copy)


class Heir(Owner):
    """
    Inherits a generator method.
    """


@pytest.mark.parametrize("owner", [Owner, Heir])
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
@pytest.mark.rule(1, "sync")
def test_generator_method_of_a_class(
    copied: Callable[[Any], Any], owner: type[Owner]
) -> None:
    """
    A generator method taken from its class is copied and pickled as a function is.
    """
    recorder = Recorder()
    streamed = owner()

    stream = copied(owner.stream)
    with callbacks(recorder):
        assert list(stream(streamed)) == [streamed]

    assert stream == owner.stream
    assert [run.name for run in recorder.runs] == ["Owner.stream"]


@each_copy
@pytest.mark.parametrize("is_heard", [True, False])
def test_run_copied(copied: Callable[[Any], Any], *, is_heard: bool) -> None:
    """
    Who copies what holds a run has that very run in the copy, whether anybody hears it
    or not; so has who copies an event.
    """
    events: list[Event] = []

    @traced
    def kept() -> tuple[Any, Any]:
        run = current_run()
        return run, copied({"run": run})["run"]

    with callbacks(events.append) if is_heard else nullcontext():
        run, again = kept()
        with traced("block", inputs={"q": 1}) as block:
            assert copied(block) is block

    assert again is run
    assert [copied(it).to_json() for it in events] == [it.to_json() for it in events]
