"""
Traced classes: what handlers their objects have, and what becomes of those.
"""

import copy
import inspect
import pickle
from abc import ABC
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from instrument import traced
from instrument.testing import Recorder


@traced
class Chain:
    """
    Stays importable, so that its objects pickle.
    """

    def __init__(self, name: str = "n") -> None:
        self.name = name

    @traced("chain")
    def run(self) -> str:
        return self.name


make: Any = Chain


@pytest.mark.rule(1, "sync")
def test_handlers_of_a_class() -> None:
    """
    Handlers given where a class is decorated hear each object of it, and no other.
    """
    recorder = Recorder()

    @traced(callbacks=[recorder], tags=["t"], metadata={"team": "search"})
    class Traced:
        @traced("run")
        def run(self) -> None: ...

        @classmethod
        @traced("of_class")
        def of_class(cls) -> None: ...

    Traced().run()
    Traced.of_class()
    Chain().run()

    assert [run.name for run in recorder.runs] == ["run", "of_class"]
    assert {(run.tags, run.metadata["team"]) for run in recorder.runs} == {
        (("t",), "search")
    }


@pytest.mark.rule(5, "sync")
def test_class_comes_before_object() -> None:
    """
    A class's options come before its object's, which come before a call's.
    """
    heard: list[str] = []

    def handler(name: str) -> Any:
        return lambda event: heard.append(name)

    @traced(callbacks=[handler("class")], tags=["class"], metadata={"of": "class"})
    class Traced:
        @traced
        def run(self) -> None: ...

    recorder, anything = Recorder(), Traced
    made: Any = anything
    made = made(
        callbacks=[handler("object"), recorder],
        tags=["object"],
        metadata={"of": "object"},
    )
    made.run(callbacks=[handler("call")])

    assert heard == ["class", "object", "call"] * 2
    assert recorder.runs[0].tags == ("class", "object")
    assert recorder.runs[0].metadata == {"of": "object"}


@pytest.mark.rule(1, "sync")
@pytest.mark.parametrize("given_to", ["class", "base object first", "child object"])
def test_own_methods_of_a_subclass(given_to: str) -> None:
    """
    A subclass takes handlers too, for the traced methods that it adds itself.
    """
    recorder = Recorder()
    decorate = traced(callbacks=[recorder]) if given_to == "class" else traced

    @decorate
    class Base:
        pass

    class Child(Base):
        @traced("own")
        def own(self) -> None: ...

    base, child, kwargs = Base, Child, {"callbacks": [recorder]}
    makes: Any = base, child
    if given_to == "base object first":
        makes[0](callbacks=[Recorder()])
    makes[1](**({} if given_to == "class" else kwargs)).own()

    assert [run.name for run in recorder.runs] == ["own"]


@pytest.mark.rule(5, "sync")
def test_class_decorated_twice() -> None:
    """
    A class decorated twice makes one run a call, with both handlers and all tags.
    """
    inner, outer = Recorder(), Recorder()

    @traced(callbacks=[outer], tags=["outer"])
    @traced(callbacks=[inner], tags=["inner"])
    class Twice:
        @traced
        def run(self) -> None: ...

    Twice().run()

    assert [len(each.runs) for each in (inner, outer)] == [1, 1]
    assert inner.runs[0].tags == ("inner", "outer")


@pytest.mark.rule(1, "sync")
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_object(protocol: int) -> None:
    """
    An object goes through pickle without its handlers.
    """
    recorder = Recorder()
    made = make("a", callbacks=[recorder])

    again = pickle.loads(pickle.dumps(made, protocol))

    assert again.run() == "a"
    assert recorder.runs == []


@pytest.mark.rule(1, "sync")
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copied_object(copied: Callable[[Any], Any]) -> None:
    """
    A copy of an object has the same handlers, also a deep one.
    """
    recorder = Recorder()
    made = make("a", callbacks=[recorder])

    again = copied(made)

    assert again is not made
    assert again.run() == "a"
    assert [run.name for run in recorder.runs] == ["chain"]


def test_objects_compare_by_what_is_theirs() -> None:
    """
    Objects that compare or show all they hold are equal whatever their handlers.
    """

    @traced
    class Value:
        def __init__(self, value: int) -> None:
            self.value = value

        def __eq__(self, other: object) -> bool:
            return vars(self) == vars(other)

        def __hash__(self) -> int:
            return hash(tuple(vars(self).items()))

        def __repr__(self) -> str:
            return str(vars(self))

    anything: Any = Value
    first, second = (anything(1, callbacks=[Recorder()]) for _ in "ab")

    assert first == second
    assert hash(first) == hash(second)
    assert repr(first) == repr(second)
    assert first != anything(2, callbacks=[Recorder()])


def test_dataclass_compares_by_its_fields() -> None:
    """
    An object of a frozen dataclass equals one without handlers, and hashes like it.
    """

    @traced
    @dataclass(frozen=True)
    class Point:
        x: int

    anything: Any = Point

    made = anything(1, callbacks=[Recorder()])

    assert made == Point(1)
    assert {made: "found"}[Point(1)] == "found"
    assert repr(made).endswith("Point(x=1)")


@pytest.mark.rule(1, "sync")
def test_constructor_that_names_callbacks() -> None:
    """
    A constructor gets those of the keywords that it names, and they are used as well.
    """
    recorder = Recorder()

    @traced
    class Naming:
        def __init__(self, callbacks: Any = None, **others: Any) -> None:
            self.given = (callbacks, others)

        @traced
        def run(self) -> None: ...

    anything: Any = Naming
    made = anything(callbacks=[recorder], tags=["t"], other=1)
    made.run()

    assert made.given == ([recorder], {"other": 1})
    assert recorder.runs[0].tags == ("t",)


@pytest.mark.rule(1, "sync")
def test_class_with_its_own_new() -> None:
    """
    A ``__new__`` of the class's own gets the other arguments, and may give what it has.
    """
    recorder = Recorder()

    @traced
    class Known:
        known: "dict[str, Known]" = {}  # noqa: RUF012

        def __new__(cls, name: str) -> "Known":  # noqa: PYI034 - not always a new one
            return cls.known.setdefault(name, super().__new__(cls))

        @traced("known")
        def run(self) -> None: ...

    anything: Any = Known
    first = anything("a", callbacks=[recorder])
    first.run()

    assert anything("a") is first
    assert anything("b") is not first
    assert [run.name for run in recorder.runs] == ["known"]


@pytest.mark.rule(1, "sync")
def test_init_that_replaces_what_is_held() -> None:
    """
    A constructor that sets ``__dict__`` anew does not lose the object's handlers.
    """
    recorder = Recorder()

    @traced
    class Bunch:
        def __init__(self, **fields: Any) -> None:
            self.__dict__ = fields

        @traced("bunch")
        def run(self) -> None: ...

    anything: Any = Bunch
    made = anything(a=1, callbacks=[recorder])
    made.run()

    assert made.a == 1
    assert [run.name for run in recorder.runs] == ["bunch"]


@pytest.mark.rule(1, "sync")
@pytest.mark.parametrize("base", [object, ABC, Exception, dict, Chain])
@pytest.mark.parametrize("has_init", [False, True])
def test_signature_of_a_class(base: Any, has_init: bool) -> None:
    """
    A class shows the constructor's parameters that it has undecorated; a subclass its
    own.
    """

    def __init__(self: Any, name: str, size: int = 1) -> None: ...  # noqa: N807

    def made() -> Any:
        return type("Made", (base,), {"__init__": __init__} if has_init else {})

    if base in (Exception, dict) and not has_init:
        pytest.skip("Python tells none")
    plain, decorated = made(), traced(made())

    assert inspect.signature(decorated) == inspect.signature(plain)
    below = type("Below", (decorated,), {"__init__": lambda self, other: None})
    assert str(inspect.signature(below)) == "(other)"


def test_init_without_a_signature() -> None:
    """
    A constructor written in C, which shows no signature, gets none of the keywords.
    """
    recorder = Recorder()

    @traced
    class Settings(dict[str, int]):
        __init__ = dict.update

        @traced("settings")
        def run(self) -> None: ...

    anything: Any = Settings
    made = anything(a=1, callbacks=[recorder])
    made.run()

    assert made == {"a": 1}
    assert [run.name for run in recorder.runs] == ["settings"]


@pytest.mark.rule(1, "sync")
def test_properties() -> None:
    """
    Traced getters and class methods use the object's and the class's handlers.
    """
    of_class, of_object = Recorder(), Recorder()

    @traced(callbacks=[of_class])
    class Holder:
        @property
        @traced("getter")
        def getter(self) -> int:
            return 1

        @traced("of_class")
        @classmethod
        def of_class(cls) -> int:
            return 2

    anything: Any = Holder
    made = anything(callbacks=[of_object])

    assert (made.getter, made.of_class()) == (1, 2)
    assert [run.name for run in of_object.runs] == ["getter"]
    assert [run.name for run in of_class.runs] == ["getter", "of_class"]


def test_class_without_a_hash() -> None:
    """
    A method of a class that has no hash is told without its ``self``, and uses what
    its constructor was given.
    """

    class Kind(type):
        __hash__ = None  # type: ignore[assignment]

    @traced
    class Thing(metaclass=Kind):
        @traced
        def work(self, value: int) -> int:
            return value

    recorder = Recorder()

    Thing(callbacks=[recorder]).work(1)  # type: ignore[call-arg]

    assert recorder.events[0].data["inputs"] == {"value": 1}
