"""
Follow what a function returned that is not done yet.
"""

from types import AsyncGeneratorType, CoroutineType, GeneratorType

from instrument._callables.coroutines import asteps, followed
from instrument._callables.generators import steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument._callables.body import Body

FOLLOWED = frozenset((GeneratorType, CoroutineType, AsyncGeneratorType))
"""What a plain function may return that is not done yet."""


def follow(inner: "Any", body: "Body") -> "Any":
    """
    Give the same kind of thing as *inner*, driven with *body*.

    The driver alone holds *body*, which is told when it is dropped.
    """
    if type(inner) is GeneratorType:
        driver: Any = steps(inner, body, is_begun=inner.gi_suspended)
        if inner.gi_suspended:
            # from Python 3.12 on, close() passes over what was not stepped
            next(driver)
    elif type(inner) is AsyncGeneratorType:
        driver = asteps(inner, body)
    else:
        driver = followed(inner, body)
    driver.__name__ = inner.__name__
    driver.__qualname__ = inner.__qualname__
    body.inner = inner
    return driver
