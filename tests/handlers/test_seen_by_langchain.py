"""
What a handler of ours is to who does not know it: flags, class, copies, with no LangChain.
"""

import copy
import gc
import pickle
import sys
from typing import Any

import pytest

from instrument import BaseCallbackHandler
from instrument._audience import seen_by_langchain as _seen

LANGCHAIN = "langchain_core.callbacks.base"


class Quiet(BaseCallbackHandler):
    """
    Says by its class what it does not want.
    """

    ignore_llm = True
    ignore_chain = False
    run_inline = False

    def __init__(self, *, silent: bool = False) -> None:
        self.ignore_retry = silent

    @property
    def ignore_agent(self) -> bool:  # type: ignore[override]
        return bool(self.ignore_retry)


class Bare(BaseCallbackHandler):
    """
    Has no constructor of its own.
    """


@pytest.fixture(autouse=True)
def no_langchain(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Have LangChain be unknown in this process.
    """
    monkeypatch.delitem(sys.modules, LANGCHAIN, raising=False)
    monkeypatch.setattr(_seen, "_has_complained", False)


class TheirHandler:
    """
    Stands for LangChain's base class.
    """


@pytest.fixture
def langchain(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Have a LangChain be imported.
    """
    module: Any = type(sys)(LANGCHAIN)
    module.BaseCallbackHandler = TheirHandler
    monkeypatch.setitem(sys.modules, LANGCHAIN, module)


def test_flags() -> None:
    """
    Flags are what a class, an instance or a property says, and false otherwise.
    """
    handler = Quiet(silent=True)

    assert handler.ignore_llm is True
    assert handler.ignore_retry is True
    assert handler.ignore_agent is True
    assert not handler.ignore_chain
    assert not Quiet().ignore_agent
    assert (repr(handler.ignore_chain), repr(handler.run_inline)) == ("False", "True")
    assert (Quiet.ignore_chain, Quiet.run_inline) == (False, True)


@pytest.mark.usefixtures("langchain")
def test_asked_unheard(monkeypatch: pytest.MonkeyPatch, reports: list[str]) -> None:
    """
    Asked by a LangChain that is not heard, a handler is skipped, which is said once.
    """
    monkeypatch.setattr(_seen, "asked", None)

    assert Bare().ignore_chain
    assert Bare().run_inline

    (report,) = reports
    assert report.startswith("Bare was given to LangChain, and hears nothing: ")


@pytest.mark.usefixtures("langchain")
def test_asked_disabled(monkeypatch: pytest.MonkeyPatch, reports: list[str]) -> None:
    """
    With INSTRUMENT_DISABLED it is skipped without a word.
    """
    monkeypatch.setattr(_seen, "asked", None)
    monkeypatch.setattr(_seen, "DISABLED", True)

    assert Bare().ignore_chain

    assert reports == []


@pytest.mark.usefixtures("langchain")
def test_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Who hears LangChain is told of each that it asks.
    """
    told: list[object] = []
    monkeypatch.setattr(_seen, "asked", told.append)
    handler = Quiet()

    assert handler.ignore_chain
    assert handler.ignore_llm
    assert handler.run_inline

    assert told == [handler, handler]


def test_class() -> None:
    """
    Without LangChain a handler is of its own class and no other.
    """
    assert Bare().__class__ is Bare


@pytest.mark.usefixtures("langchain")
def test_class_for_langchain() -> None:
    """
    With LangChain it is of LangChain's class too, to who asks ``isinstance``.
    """
    handler = Bare()

    assert isinstance(handler, TheirHandler)
    assert isinstance(handler, Bare)
    assert type(handler) is Bare
    assert handler.__class__ is Bare().__class__
    assert handler.__class__.__name__ == "Bare"


@pytest.mark.usefixtures("langchain")
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles(protocol: int) -> None:
    """
    A pickle gives a handler of the same class with the same state.
    """
    made = pickle.loads(pickle.dumps(Quiet(silent=True), protocol))

    assert type(made) is Quiet
    assert made.ignore_retry is True


@pytest.mark.usefixtures("langchain")
def test_copies() -> None:
    """
    So do copies, and its class, called as ``self.__class__(...)``.
    """
    handler = Quiet(silent=True)

    copies = [
        copy.copy(handler),
        copy.deepcopy(handler),
        handler.__class__(silent=True),
    ]

    assert copies[1] is handler
    assert [type(each) for each in copies] == [Quiet] * 3
    assert all(each.ignore_retry is True for each in copies)


def test_own_way_to_pickle() -> None:
    """
    A handler that says how it is pickled is pickled so.
    """
    assert pickle.loads(pickle.dumps(_ONE)) is _ONE


class One(BaseCallbackHandler):
    """
    There is one.
    """

    def __reduce__(self) -> str:
        return "_ONE"


_ONE = One()


def test_arguments() -> None:
    """
    A handler without a constructor takes no arguments.
    """
    with pytest.raises(TypeError, match=r"Bare\(\) takes no arguments"):
        Bare(1)  # type: ignore[call-arg]


def test_alive() -> None:
    """
    Handlers are known while there are any, and kept by nobody.
    """
    gc.collect()
    before = len(_seen.alive)
    handler: object = Bare()
    assert len(_seen.alive) == before + 1

    handler = None

    assert handler is None
    assert len(_seen.alive) == before
