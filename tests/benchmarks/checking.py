"""
What the probe is made of: an `Adapter` for a decorator, and `Check`, one fact about it.
"""

import asyncio
import inspect
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

T = TypeVar(
    "T",
    bound="Callable[..., Any] | classmethod[Any, Any, Any] | staticmethod[Any, Any]",
)
F = TypeVar("F", bound=Callable[..., object])


class Decorate(Protocol):
    """
    A decorator that gives back the same kind of thing.
    """

    def __call__(self, target: T, /) -> T: ...


@dataclass(frozen=True)
class Adapter:
    """
    A decorator under test.

    Args:
        decorate: The decorator, bare.
        called: The same, made by calling it: what stands after ``@`` in ``@d()``.
        current: Gives the id of the run in hand, None outside of any.
        ended: Gives the number of runs that have ended so far.
    """

    decorate: Decorate
    called: Callable[[], Decorate]
    current: Callable[[], Hashable | None]
    ended: Callable[[], int]

    def runs_of(self, work: Callable[[], object]) -> int:
        """
        Count the runs that end while *work* is done.
        """
        before = self.ended()
        work()
        return self.ended() - before


@dataclass(frozen=True)
class Check:
    """
    One row of the probe.

    Args:
        what: The fact, in words.
        look: Finds out; may be a coroutine function.
        right: What an undecorated function gives; where runs are looked at, what is
            right.
        sees_runs: Whether runs are looked at, so that only a tracer can be right.
    """

    what: str
    look: Callable[[Adapter], object]
    right: object
    sees_runs: bool

    def run(self, adapter: Adapter) -> object:
        """
        Find out how it is with that decorator.
        """
        found = self.look(adapter)
        return asyncio.run(found) if inspect.iscoroutine(found) else found


class Table(list[Check]):
    """
    Checks, in the order written.
    """

    def row(
        self, what: str, right: object, *, sees_runs: bool = False
    ) -> Callable[[F], F]:
        """
        Add the decorated function as a check.
        """

        def add(look: F) -> F:
            self.append(Check(what, look, right, sees_runs))
            return look

        return add
