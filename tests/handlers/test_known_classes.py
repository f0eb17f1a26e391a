"""
What is known of a handler by its class never hides what the handler itself has.
"""

from collections.abc import Callable
from typing import Any

import pytest

from instrument import BaseCallbackHandler, callbacks, traced
from instrument._audience import listener as _listener
from instrument._audience import pairs as _pairs


class Heard(BaseCallbackHandler):
    """
    Notes the events that it hears.
    """

    def __init__(self) -> None:
        self.events: list[str] = []

    def on_chain_start(self, *args: object, **kwargs: object) -> Any:
        self.events.append("start")

    def on_chain_end(self, *args: object, **kwargs: object) -> Any:
        self.events.append("end")


@traced
def call() -> None: ...


def heard(handler: Any) -> list[str]:
    """
    Call twice in a block of its own, and give what the handler notes.
    """
    handler.events.clear()
    with callbacks(handler):
        call()
        call()
    return list(handler.events)


def put_start(handler: Any) -> None:
    handler.on_chain_start = lambda *_, **__: handler.events.append("put")


def put_whole(handler: Any) -> None:
    handler.on_event = lambda event, **_: handler.events.append("whole")


def put_deafness(handler: Any) -> None:
    handler.ignore_chain = True


def take_end(handler: Any) -> None:
    handler.on_chain_end = None


CHANGES: list[tuple[Callable[[Any], None], list[str]]] = [
    (put_start, ["put", "end"]),
    (put_whole, ["start", "whole", "end", "whole"]),
    (put_deafness, []),
    (take_end, ["start"]),
]


@pytest.mark.parametrize(
    "change, told", CHANGES, ids=lambda it: getattr(it, "__name__", "")
)
def test_handler_changes_itself(change: Callable[[Any], None], told: list[str]) -> None:
    """
    What is put into one handler counts from the next block on, and for that one alone.
    """
    first, second = Heard(), Heard()
    assert heard(first) == heard(second) == ["start", "end"] * 2

    change(first)

    assert heard(first) == told * 2
    assert heard(second) == ["start", "end"] * 2


def test_class_changes() -> None:
    """
    What is put into a class counts from the next block on.
    """

    class Own(Heard): ...

    handler = Own()
    assert heard(handler) == ["start", "end"] * 2

    Own.on_chain_start = lambda self, *_, **__: self.events.append("changed")  # type: ignore[method-assign]

    assert heard(handler) == ["changed", "end"] * 2


def test_attribute_that_raises() -> None:
    """
    A handler that comes to raise where it is looked at is deaf to that, and no more.
    """

    class Own(Heard): ...

    def raises(self: object) -> None:
        raise RuntimeError

    handler = Own()
    assert heard(handler) == ["start", "end"] * 2
    Own.on_chain_start = property(raises)  # type: ignore[method-assign,assignment]

    assert heard(handler) == ["end"] * 2


def test_deaf_between_others() -> None:
    """
    Who answers is found among all that hear, also where some hear one event only.
    """

    class Ends(BaseCallbackHandler):
        def on_chain_end(self, *args: object, **kwargs: object) -> object:
            events.append("ends")
            return "answer"

    class Starts(BaseCallbackHandler):
        def on_chain_start(self, *args: object, **kwargs: object) -> object:
            events.append("starts")
            return "answer"

    events: list[str] = []

    with callbacks(Ends(), Starts(), Ends(), Starts()):
        call()
        call()

    assert events == ["starts", "starts", "ends", "ends"] * 2


def test_many_classes() -> None:
    """
    What is known of classes is bounded.
    """
    for number in range(600):
        made = type(f"Made{number}", (Heard,), {})
        assert heard(made()) == ["start", "end"] * 2

    assert len(_pairs._known) <= 500
    assert len(_listener.met) <= 512
