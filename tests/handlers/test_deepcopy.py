"""
A handler in something that is copied deeply stays the one that hears.
"""

import copy
import threading
from functools import partial
from typing import Any

import pytest

from instrument import AsyncCallbackHandler, BaseCallbackHandler, callbacks, traced
from instrument.handlers import RequestLogger, TokenStream, background, filtered, local
from instrument.testing import Recorder


class Locked(BaseCallbackHandler):
    """
    Holds what nobody can copy.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.heard = 0

    def on_chain_start(self, *args: object, **kwargs: object) -> None:
        self.heard += 1


class Copied(Locked):
    """
    Says itself how it is copied.
    """

    def __deepcopy__(self, memo: object) -> "Copied":
        return Copied()


MADE: list[Any] = [
    Locked,
    Recorder,
    RequestLogger,
    TokenStream,
    AsyncCallbackHandler,
    partial(background, Recorder()),
    partial(filtered, Recorder(), kinds=["tool"]),
]


@pytest.mark.parametrize("make", MADE, ids=range(len(MADE)))
def test_deepcopy_gives_itself(make: Any) -> None:
    """
    A deep copy of what holds a handler holds the same one.
    """
    handler = make()

    assert copy.deepcopy([handler])[0] is handler


def test_copy_hears_and_so_does_the_original() -> None:
    """
    It hears what the copy calls, and goes on to hear the original.
    """
    handler = Locked()
    settings = {"callbacks": [handler]}

    for given in (settings, copy.deepcopy(settings)):
        with callbacks(*given["callbacks"]):
            traced("x")(lambda: None)()

    assert handler.heard == 2


def test_own_way_to_be_copied() -> None:
    """
    A handler that says how it is copied is copied so.
    """
    handler = Copied()

    assert copy.deepcopy(handler) is not handler


class Foreign:
    """
    A handler without a base class of ours.
    """

    def __init__(self) -> None:
        self.heard = 0

    def on_chain_start(self, *args: object, **kwargs: object) -> None:
        self.heard += 1


def test_copy_of_local() -> None:
    """
    A deep copy of what makes a handler local has that one hear, of whatever class it is.
    """
    handler = Foreign()
    settings = {"callbacks": [local(handler)]}

    for given in (settings, copy.deepcopy(settings)):
        traced("x", callbacks=given["callbacks"])(lambda: None)()

    assert handler.heard == 2


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copied_callbacks_hear(copied: Any) -> None:
    """
    ``callbacks(...)`` in something that is copied stays what it is, with its handlers.
    """
    heard: list[str] = []

    class Foreign:
        def __init__(self) -> None:
            self.lock = threading.Lock()

        def on_chain_start(self, *args: object, name: str, **kwargs: object) -> None:
            heard.append(name)

    config = {"listen": callbacks(Foreign(), tags=["a"])}

    with copied(config)["listen"]:
        traced("x")(lambda: None)()

    assert heard == ["x"]
