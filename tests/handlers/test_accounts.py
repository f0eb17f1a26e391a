"""
`Accounts`: one account per request, which goes with it.
"""

import contextvars
import gc
import threading
from typing import Any
from weakref import ref

import pytest

from instrument import BaseCallbackHandler, callbacks, current_run, traced
from instrument.handlers._shared.accounts import Accounts


class Account:
    """
    Something that can be told apart.
    """


class Keeper(BaseCallbackHandler):
    """
    Has an account per request, and knows whose each run was.
    """

    def __init__(self) -> None:
        self.accounts = Accounts(Account)
        self.met: list[Account] = []

    def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
        self.met.append(self.accounts.of(kwargs["run"], self))

    def shown(self, place: object = None) -> Account:
        """
        Look an account up as users do.
        """
        return self.accounts.look_up(place, self)


@traced
def nested() -> None:
    """
    Run a run in a run.
    """
    inner()


@traced
def inner() -> None:
    """
    Do nothing.
    """


def test_block_is_a_request() -> None:
    """
    All runs of a block share an account, and the scope names it, also afterwards.
    """
    keeper = Keeper()
    with callbacks(keeper) as one:
        nested()
        inner()
        in_hand = keeper.shown()
    with callbacks(keeper) as other:
        nested()

    assert len(set(keeper.met)) == 2
    assert keeper.met[:3] == [in_hand] * 3 == [keeper.shown(one)] * 3
    assert keeper.shown(other) is keeper.met[-1]


def test_outermost_block_is_the_request() -> None:
    """
    Of two blocks that give the same handler, the outer one is the request.
    """
    keeper = Keeper()

    with callbacks(keeper) as outer:
        nested()
        with callbacks(keeper) as within:
            nested()
            assert keeper.shown() is keeper.shown(within) is keeper.shown(outer)

    assert len(set(keeper.met)) == 1


def test_root_run_is_a_request() -> None:
    """
    Where no block gave the handler, each root run has an account.
    """
    keeper, runs = Keeper(), []

    with callbacks(keeper).install():
        for _ in range(2):
            with traced("root") as run:
                inner()
                runs.append(run)
                assert keeper.shown() is keeper.shown(run) is keeper.met[-1]
                with callbacks(tags=["a block without handlers"]) as scope:
                    assert keeper.shown(scope) is keeper.met[-1]

    assert len(set(keeper.met)) == 2
    assert [keeper.shown(run) for run in runs] == keeper.met[::2]


def test_nothing_in_hand() -> None:
    """
    Outside any request there is an account that is not kept.
    """
    keeper = Keeper()

    with callbacks(tags=["no handler"]) as scope:
        pass

    assert keeper.shown() is not keeper.shown()
    assert keeper.shown(scope) is not keeper.shown(scope)
    assert keeper.shown(current_run()) is not keeper.shown()


def test_wrapped_handler() -> None:
    """
    A handler in a wrapper is found by ``__wrapped__``; a stranger whose attributes
    raise is only asked when nothing else is left.
    """

    class Wrapper(BaseCallbackHandler):
        def __init__(self, handler: Any) -> None:
            self.__wrapped__ = handler

        def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            self.__wrapped__.on_chain_start(*args, **kwargs)

    class Stranger(BaseCallbackHandler):
        @property
        def __wrapped__(self) -> object:
            raise RuntimeError

    wrapped, plain = Keeper(), Keeper()
    with callbacks(Keeper(), Wrapper(wrapped)) as scope:
        nested()
    with callbacks(Stranger(), plain):
        nested()

    assert wrapped.met == [wrapped.shown(scope)] * 2
    assert plain.met[0] is plain.met[1]


def test_scope_left_elsewhere() -> None:
    """
    A scope that was left from another Context still names its request.
    """
    keeper = Keeper()
    block = callbacks(keeper)

    def enter() -> Any:
        scope = block.__enter__()
        nested()
        return scope

    scope = contextvars.Context().run(enter)
    block.__exit__(None, None, None)

    assert keeper.shown(scope) is keeper.met[0]


@pytest.mark.usefixtures("uncollected")
def test_accounts_go_with_their_requests() -> None:
    """
    When a block is gone its account is gone.
    """
    keeper = Keeper()
    with callbacks(keeper):
        nested()
    gone = ref(keeper.met[0])

    keeper.met.clear()
    gc.collect()

    assert gone() is None


def test_threads_share_the_account() -> None:
    """
    Threads that meet a request at the same time get one account.
    """

    class Place:
        """
        Stands for a block.
        """

    place, waiting = Place(), threading.Semaphore(0)
    accounts = Accounts(Account)
    got: list[Account] = []
    accounts._lock = lock = Announced(waiting)
    threads = [
        threading.Thread(target=lambda: got.append(accounts.at(place)))
        for _ in range(8)
    ]

    with lock.lock:
        for thread in threads:
            thread.start()
            waiting.acquire()
    for thread in threads:
        thread.join()

    assert len(got) == 8
    assert len(set(got)) == 1


class Announced:
    """
    A lock that tells that somebody comes to it.
    """

    def __init__(self, coming: threading.Semaphore) -> None:
        self.lock = threading.RLock()
        self._coming = coming

    def __enter__(self) -> None:
        self._coming.release()
        self.lock.acquire()

    def __exit__(self, *exc: object) -> None:
        self.lock.release()


@pytest.mark.parametrize("place", ["request", 3, callbacks()])
def test_what_names_no_request(place: object) -> None:
    """
    What is neither a run nor a scope is refused.
    """
    with pytest.raises(TypeError, match="named by its block"):
        Keeper().shown(place)
