"""
Follow what a function returned that is not done yet.
"""

import weakref
from types import AsyncGeneratorType, CoroutineType, GeneratorType

from instrument._asteps import asteps, followed
from instrument._steps import steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument._session import Session

FOLLOWED = frozenset((GeneratorType, CoroutineType, AsyncGeneratorType))
"""What a plain function may return that is not done yet."""


def follow(inner: "Any", session: "Session") -> "Any":
    """
    Give the same kind of thing as *inner*, driven with *session*.

    If it is dropped before its first step, *session* is told that it was left.
    """
    if type(inner) is GeneratorType:
        driver: Any = steps(inner, session)
    elif type(inner) is AsyncGeneratorType:
        driver = asteps(inner, session)
    else:
        driver = followed(inner, session)
    driver.__name__ = inner.__name__
    driver.__qualname__ = inner.__qualname__
    if session.may_be_stranded(inner):
        _when_dropped(driver, inner, session)
    return driver


def _when_dropped(driver: object, inner: "Any", session: "Session") -> None:
    """
    End *session* if *driver* is collected and cannot do it itself.

    All are held weakly: what the body was called with may lead back to the driver.
    """
    of_session, of_inner = weakref.ref(session), weakref.ref(inner)

    def dropped(_: object) -> None:
        _drivers.pop(key, None)
        held, body = of_session(), of_inner()
        if held is None or not held.is_stranded():
            return
        if body is not None and type(body) is CoroutineType:
            body.close()  # the driver is warned of as never awaited; once is enough
        held.abandon()

    key = id(driver)
    _drivers[key] = weakref.ref(driver, dropped)


_drivers: "dict[int, weakref.ref[Any]]" = {}
