"""
Make runs of the calls of any function, which stays as it is: ``auto.watch``.
"""

import sys
from importlib.util import find_spec
from inspect import CO_ASYNC_GENERATOR, CO_GENERATOR, CO_VARARGS, CO_VARKEYWORDS

from instrument._hearing.frames import SUSPENDS
from instrument._hearing.watches import NOTHING, HeardCall, Refused, Watch, let
from instrument._interrupts import SETTLED
from instrument._runs.ending import fail, finish
from instrument._runs.merging import SORTS, Inner, belonging
from instrument._runs.starting import start
from instrument._state import get_state, set_state
from instrument._traced import traced
from instrument._traced.spec import Spec
from instrument._traced.stream import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

    from instrument._runs.run import Run
    from instrument._traced.keywords import Keywords


def maker(path: object, options: "dict[str, Any]") -> "Callable[[Any], FunctionWatch]":
    """
    Check what ``auto.watch`` is given.

    Returns:
        What makes the watch, once the function has been found.

    Raises:
        TypeError: For what is no string, an option that `traced` does not have.
        ValueError: For another string than a path.
    """
    if not isinstance(path, str):
        message = f"auto.watch takes {_PATH}, not {path!r}."
        raise TypeError(message)
    module, _, name = path.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
        message = f"auto.watch takes {_PATH}, not {path!r}."
        raise ValueError(message)
    decorator = traced(options.pop("name", None), **{"kind": "chain", **options})
    decorator._warn = SETTLED
    keywords = decorator._keywords
    _warn_of_no_package(path, module.partition(".")[0])
    return lambda function: FunctionWatch(function, keywords)


def _warn_of_no_package(path: str, package: str) -> None:
    if package in sys.modules or find_spec(package) is not None:
        return
    from loguru import logger

    logger.warning(
        "auto.watch({!r}): no package {!r} is installed; it is heard if one is imported.",
        path,
        package,
    )


_PATH = "a path, 'package.module:function' or 'package.module:Class.method'"


class FunctionWatch(Watch):
    """
    What a call of one function means: what it would if it were ``@traced``.
    """

    is_stepped = True

    def __init__(self, function: "Any", keywords: "Keywords") -> None:
        self.kind = keywords.kind
        self._keywords = keywords
        self._spec = Spec(function, keywords)
        self._spec.function = self._spec.wrapper = function

    def called(self, frame: "FrameType") -> "HeardCall | None":
        args, kwargs = arguments(frame)
        outer, belongs = belonging(self._spec.recipe.kind)
        if belongs == "nothing" and self._spec.recipe.kind in SORTS:
            return None
        if outer is not None and belongs == "part":
            inner = Inner(outer, self._keywords.model, self._keywords.provider, dict)
            return PartOfRun(inner)
        run = self._spec.open(args, kwargs)
        if run is None:
            return None
        flags = frame.f_code.co_flags
        if flags & (CO_GENERATOR | CO_ASYNC_GENERATOR):
            call: HeardCall = GeneratorCall(run, self._keywords)
        else:
            call = FunctionCall(run)
        if flags & SUSPENDS and run._call is not None:
            run._take()  # or the call would hold its object, which may hold the body
        return call


def arguments(frame: "FrameType") -> "tuple[tuple[Any, ...], dict[str, Any]]":
    """
    Give what the function was called with; *frame* has just begun.
    """
    code, given = frame.f_code, frame.f_locals
    count = code.co_argcount
    named = count + code.co_kwonlyargcount
    names = code.co_varnames
    args = tuple([given[name] for name in names[:count]])
    kwargs = {name: given[name] for name in names[count:named]}
    if code.co_flags & CO_VARARGS:
        args += given[names[named]]
        named += 1
    if code.co_flags & CO_VARKEYWORDS:
        kwargs.update(given[names[named]])
    return args, kwargs


class FunctionCall(HeardCall):
    """
    A call of a function or coroutine function: its run is current in the body.
    """

    __slots__ = ("_run",)

    def __init__(self, run: "Run") -> None:
        self._run = run
        let(start, run)

    def returned(self, value: object) -> None:
        let(finish, self._run, value)

    def raised(self, exc: BaseException) -> None:
        let(fail, self._run, exc)


class GeneratorCall(HeardCall):
    """
    A generator or async generator: its run is current in the body at each step.
    """

    __slots__ = ("_is_inside", "_outside", "_stream", "_tell")
    takes_items = is_stepped = True

    def __init__(self, run: "Run", keywords: "Keywords") -> None:
        before, self._stream = get_state(), Stream(run, keywords, starts=True)
        try:
            self._stream.is_stepped = True
            outside = self._stream.enter()
            let(self._stream.start)
            self._stream.leave(outside)
            self._stream.opened()
            self.resumed()
            self._tell = self._stream.tell()
        except BaseException as exc:
            self._stream.failed(exc.error if type(exc) is Refused else exc)
            set_state(before)
            raise

    def suspended(self, item: object) -> None:
        if item is not NOTHING:
            state = get_state()
            try:
                let(self._tell, item)
            except BaseException:
                self._tell = self._stream.tell()  # it has ended; the stream may go on
                raise
            finally:
                set_state(state)
        self._stream.leave(self._outside)
        self._is_inside = False

    def resumed(self) -> None:
        self._outside = self._stream.enter()
        self._is_inside = True

    def returned(self, value: object) -> None:
        self._end(self._stream.returned, value)

    def raised(self, exc: BaseException) -> None:
        if not self._is_inside:
            self.resumed()
        self._end(self._stream.failed, exc)

    def _end(self, tell: "Callable[[Any], None]", value: object) -> None:
        try:
            let(tell, value)
        finally:
            self._is_inside = False
            set_state(self._outside)
            self._stream.frame._outer = None


class PartOfRun(HeardCall):
    """
    A call of a model inside a model's run.
    """

    __slots__ = ("_inner",)
    takes_items = True

    def __init__(self, inner: Inner) -> None:
        self._inner = inner

    def suspended(self, item: object) -> None:
        if item is not NOTHING:
            let(self._inner.item, item)

    def returned(self, value: object) -> None:
        self._inner.returned(value)

    def raised(self, exc: BaseException) -> None:
        self._inner.raised(exc)
