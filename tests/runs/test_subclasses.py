"""
Subclasses of traced classes: their own constructors and hooks work as undecorated.
"""

from typing import Any, Self

import pytest

from instrument import traced
from instrument.testing import Recorder


@pytest.mark.rule(1, "sync")
def test_subclass_with_its_own_new() -> None:
    """
    A subclass with a ``__new__`` of its own takes handlers as well.
    """
    recorder = Recorder()

    @traced
    class Base:
        pass

    class Child(Base):
        def __new__(cls, name: str) -> Self:
            made = super().__new__(cls)
            made.name = name
            return made

        name: str

        @traced("own")
        def own(self) -> str:
            return self.name

    make: Any = Child

    assert make("a", callbacks=[recorder]).own() == "a"
    assert [run.name for run in recorder.runs] == ["own"]


@pytest.mark.rule(1, "sync")
def test_class_with_its_own_subclass_hook() -> None:
    """
    A class's own ``__init_subclass__`` is called, with the keywords of the subclass.
    """
    recorder = Recorder()
    known: dict[str, object] = {}

    @traced(callbacks=[recorder])
    class Base:
        def __init_subclass__(cls, *, key: str) -> None:
            known[key] = cls

    class Child(Base, key="child"):
        @traced("own")
        def own(self) -> None: ...

    Child().own()

    assert known == {"child": Child}
    assert [run.name for run in recorder.runs] == ["own"]


@pytest.mark.parametrize("handlers", [{}, {"callbacks": [Recorder()]}])
@pytest.mark.parametrize("args, kwargs", [((1,), {}), ((), {"number": 1})])
@pytest.mark.rule(8, "sync")
def test_class_that_takes_no_arguments(
    args: tuple[int, ...], kwargs: dict[str, int], handlers: dict[str, Any]
) -> None:
    """
    A class without a constructor refuses arguments in Python's words, also later.
    """

    @traced
    class Plain:
        pass

    make: Any = Plain
    make(callbacks=[Recorder()])

    for _ in range(2):
        with pytest.raises(TypeError, match=r"^Plain\(\) takes no arguments$"):
            make(*args, **kwargs, **handlers)


@pytest.mark.rule(8, "sync")
def test_class_never_given_handlers() -> None:
    """
    A class without a constructor refuses arguments before handlers are ever given.
    """

    @traced
    class Plain:
        pass

    make: Any = Plain
    with pytest.raises(TypeError, match=r"^Plain\(\) takes no arguments$"):
        make(1)
