"""
One function per shape of signature, with the parameters of what it stands for.

A wrapper of ``(*args, **kwargs)`` packs what it is given, unpacks it, and binds it by
name once more: an eighth of what a heard call costs, and more than half of an idle one.
So the wrapper is written out as text, as dataclasses do it, once for all functions of
the same parameters. Whatever is out of the ordinary goes the way of `Spec.open`.

Instructions on Python 3.11, of a call with two arguments (an empty closure: 1,830)::

    idle                   2,560 by (*args, **kwargs)    1,730 so
    heard by one handler  43,900                        32,600
"""

import os
import re
import sys
from collections import namedtuple
from functools import lru_cache
from types import (
    AsyncGeneratorType,
    CellType,
    CoroutineType,
    FunctionType,
    GeneratorType,
)

from instrument import _ids
from instrument._interrupts import UNTOLD
from instrument._runs.ending import (
    afail,
    afinish,
    discard,
    fail,
    finish,
    mend,
    owed,
)
from instrument._runs.results import CONTAINERS, contained, take_bound
from instrument._runs.resuming import ago_on_ending, go_on_ending
from instrument._runs.starting import CO_COROUTINE, OF_RUNS, astart, start
from instrument._state import MUTED, get_state, set_state

__all__ = [  # what is written asks this module for the rest: a module can be pickled
    "APART",
    "CONTAINERS",
    "CO_COROUTINE",
    "FOLLOWED",
    "MUTED",
    "OF_RUNS",
    "UNTOLD",
    "contained",
    "flat",
    "get_state",
    "owed",
    "set_state",
    "take_bound",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType
    from typing import Any

    from instrument._traced.spec import Spec

FOLLOWED = frozenset(map(id, (AsyncGeneratorType, CoroutineType, GeneratorType)))
APART = CONTAINERS | FOLLOWED
"""Types of results that are told in another way; by id, as `CONTAINERS` are."""

IS_ON = os.environ.get("INSTRUMENT_FLAT", "1") != "0"
"""Switched off by tests: then all functions are wrapped as those that cannot be so."""

_STAR, _DOUBLE_STAR = 0x04, 0x08  # inspect.CO_*
_CALLBACKS = "callbacks"
_MOST_SHAPES = 1_000

_BEGINS = """\
def make(_function, _spec, _alert):
    {async_}def traced({parameters}):
        _state = _ours.get_state()
        if _alert{or_given}:
            _run = None
        elif _state:
            _run = _spec.opened(_state)
        else:
            return {await_}_function({arguments})
        if _run is None:
            _run = _spec.open({call}, fits=True)
            if _run is None:
                return {await_}_function({arguments})
            _methods = None
        else:
            _methods = _run._voices.quick
{inputs}
"""

_TELL = """\
for _method in _methods[{at}]:
    _run._rest = _count = _count + 1
    _answer = _ours.UNTOLD
    _answer = _method(
        {args},
        run_id=_run.id,
        parent_run_id=_run.parent_id,
        tags=_list(_run.tags) if _run._tagged else [],
        metadata=_dict(_run._metadata or _run.metadata) if _run._described else {{}},
        name=_run.name,
        run=_run,
    )
    if _answer is not None:
        {rest}
        break
else:
    _ours.set_state({after})
    _run._rest = None
"""

_START = """\
if _methods is None:
    {start}
else:
    _count, _answer = 0, _ours.UNTOLD
    try:
        {begin}
        _ours.set_state(_ours.MUTED)
        if _methods[0] and _run._call is not None:
            _run._take()
{told}
    except BaseException as _exc:
        if _type(_run._rest) is not _int or _run in _ours.owed:
            raise
        if _count and (
            _type(_answer) is _coroutine
            or _answer is _ours.UNTOLD and _type(_exc) is _RecursionError
            and (
                _exc.__traceback__.tb_next is None
                or _exc.__traceback__.tb_next.tb_frame.f_globals is _ours.OF_RUNS
                or _exc.__traceback__.tb_next.tb_frame.f_code.co_flags & _ours.CO_COROUTINE
            )
        ):
            _run._rest = _count - 1
        {start_broken}
"""

_END = """\
if {may_be_apart} in _ours.APART:{followed}
    _run._voices = _run._voices.in_full or _run._voices
_parent = _run._parent
_methods = _run._voices.quick
if (
    _methods is None
    or _ours.get_state() is not _run
    or _run._ended_ns is not None
    or _ours.owed
    or (_run._audience.waits if _parent is None else _parent._ended_ns is not None)
):
    {finish}
else:
    _after, _count, _answer = _run._outer, 0, _ours.UNTOLD
    try:
        _run._outputs, _run.status, _run._call = _result, "ok", None
        _run._ended_ns, _run._rest, _run._outer = _ids.clock_ns(), 0, None
        _ours.set_state(_ours.MUTED)
{told}
    except BaseException as _exc:
        if _type(_run._rest) is not _int or _run in _ours.owed:
            raise
        {end_broken}
"""

_SYNC = """\
try:
    try:
{start}
        _result = _function({arguments})
{end}
    except BaseException as _exc:
        _fail(_run, _exc, _state)
        raise
except BaseException as _exc:
    _mend(_run, _state, _exc)
    # or the traceback would keep them, and they the traceback
    _run = _state = _parent = _after = _method = _methods = _answer = None
    raise
return _result
"""

_ASYNC = """\
_is_begun, _pending = False, None
try:
    try:
{start}
        if _pending is not None:
            await _pending
        _result = await _function({arguments})
        _pending = None
{end}
        if _pending is not None:
            await _pending
    except BaseException as _exc:
        if not _is_begun:
            _discard(_run)
        _pending = _afail(_run, _exc)
        if _pending is not None:
            await _pending
        raise
except BaseException as _exc:
    _mend(_run, _state, _exc)
    # or the traceback would keep them, and they the traceback
    _run = _state = _parent = _after = _method = _methods = _answer = _pending = None
    raise
return _result
"""

_SYNC_WORDS = {
    "async_": "",
    "await_": "",
    "begin": "_run._rest = 0",
    "start": "_start(_run)",
    "start_rest": "_start(_run, told=(_count, _answer, None))",
    "start_broken": "_start(_run, told=(_count, _answer, _exc))",
    "followed": """
    if _id(_kind) in _ours.FOLLOWED:
        return _spec.streamed(_run, _result)""",
    "finish": "_finish(_run, _result)",
    "end_rest": "_go_on_ending(_run, _after, _answer)",
    "end_broken": "_go_on_ending(_run, _after, _answer, _exc)",
}
_ASYNC_WORDS = {
    "async_": "async ",
    "await_": "await ",
    "begin": "_run._rest, _is_begun = 0, True",
    "start": "_pending, _is_begun = _astart(_run), True",
    "start_rest": "_pending = _astart(_run, told=(_count, _answer, None))",
    "start_broken": "_pending = _astart(_run, told=(_count, _answer, _exc))",
    "followed": "",
    "finish": "_pending = _afinish(_run, _result)",
    "end_rest": "_pending = _ago_on_ending(_run, _after, _answer)",
    "end_broken": "_pending = _ago_on_ending(_run, _after, _answer, _exc)",
}
_TEXTS = (
    _BEGINS,
    _TELL,
    _START,
    _END,
    _SYNC,
    _ASYNC,
    *_SYNC_WORDS.values(),
    *_ASYNC_WORDS.values(),
)
_USED = frozenset(re.findall(r"\b_[a-zA-Z]\w*", " ".join(_TEXTS)))
"""Names that no parameter may have."""


def flat(spec: "Spec", function: "FunctionType") -> "Callable[..., Any] | None":
    """
    Write what stands for *function*; None where it takes what cannot be written so.
    """
    code = function.__code__
    stars = code.co_flags & _STAR, code.co_flags & _DOUBLE_STAR
    count = code.co_argcount + code.co_kwonlyargcount
    names = code.co_varnames[: count + sum(map(bool, stars))]
    says_other = not {"__wrapped__", "__signature__"}.isdisjoint(vars(function))
    chooses = spec.records and spec.keywords.inputs is not None  # from a call as it is
    if not IS_ON or says_other or chooses or not _USED.isdisjoint(names):
        return None
    shape = Shape(
        is_async=bool(code.co_flags & CO_COROUTINE),
        positional=code.co_argcount,
        keyword=code.co_kwonlyargcount,
        star=bool(stars[0]),
        double_star=bool(stars[1]),
        takes_callbacks=spec.takes_callbacks,
        is_method=spec.keyed and code.co_argcount > 0,
        records=spec.records,
        is_plain=spec.recipe._kind.is_plain and spec.keywords.outputs is None,
    )
    written, space = _named(shape, names, code.co_posonlyargcount)
    cells = {"_function": function, "_spec": spec, "_alert": spec.alert}
    made = FunctionType(
        written,
        space,
        "traced",
        function.__defaults__,
        tuple([CellType(cells[name]) for name in written.co_freevars]),
    )
    given = {_CALLBACKS: None} if spec.takes_callbacks else {}
    made.__kwdefaults__ = {**(function.__kwdefaults__ or {}), **given}
    return made


Shape = namedtuple(  # noqa: PYI024 - typing is not imported
    "Shape",
    "is_async positional keyword star double_star takes_callbacks is_method records is_plain",
)
"""
What two functions share that are written alike, but for the names of the parameters.

The compiler takes 2 ms for one, to put in other names 0.03: that is what functions of
the same shape pay.
"""


@lru_cache(maxsize=_MOST_SHAPES)
def _named(
    shape: Shape, names: "tuple[str, ...]", slash: int
) -> "tuple[CodeType, dict[str, Any]]":
    """
    Give the code for parameters of these names, and its globals.
    """
    code, space = _compiled(shape)
    known = dict(zip(_placeholders(shape), names, strict=True))
    consts = [
        tuple([known.get(it, it) for it in const])
        if type(const) is tuple
        else known.get(const, const)
        for const in code.co_consts
    ]
    made = code.replace(
        co_consts=tuple(consts),
        co_filename=f"<instrument> traced({_Writer(shape, names, slash).parameters()})",
        co_posonlyargcount=slash,
        co_varnames=tuple([known.get(it, it) for it in code.co_varnames]),
    )
    return made, {**space, "__loader__": _Loader(shape, names, slash)}


@lru_cache(maxsize=_MOST_SHAPES)
def _compiled(shape: Shape) -> "tuple[CodeType, dict[str, Any]]":
    space: dict[str, Any] = {
        "__name__": __name__,
        "_ours": sys.modules[__name__],
        "_ids": _ids,
        **{f"_{it.__name__}": it for it in (*_NAMED, *_CALLED)},
    }
    source = _Writer(shape, _placeholders(shape), 0).source()
    exec(compile(source, "<instrument>", "exec"), space)  # noqa: S102 - it is ours
    return space.pop("make")(None, None, None).__code__, space


def _placeholders(shape: Shape) -> "tuple[str, ...]":
    count = shape.positional + shape.keyword + shape.star + shape.double_star
    return tuple([f"_{number}" for number in range(count)])


class _Loader:
    """
    Shows the source to tracebacks and debuggers, which ask for it by this.
    """

    def __init__(self, *written: "Any") -> None:
        self._written = written

    def get_source(self, name: str) -> str:
        return _Writer(*self._written).source()


class _Writer:
    """
    Writes the source of a shape, with parameters of given names.
    """

    def __init__(self, shape: Shape, names: "tuple[str, ...]", slash: int) -> None:
        self._shape = shape
        self._positional = names[: shape.positional]
        rest = iter(names[shape.positional :])
        self._keyword = [next(rest) for _ in range(shape.keyword)]
        self._star = [next(rest) for _ in range(shape.star)]
        self._double_star = list(rest)
        self._slash = slash

    def source(self) -> str:
        shape = self._shape
        words = _ASYNC_WORDS if shape.is_async else _SYNC_WORDS
        begins = _BEGINS.format(
            **words,
            parameters=self.parameters(),
            arguments=self._arguments(),
            call=self._call(*([_CALLBACKS] if shape.takes_callbacks else [])),
            or_given=f" or {_CALLBACKS} is not None" if shape.takes_callbacks else "",
            inputs=_indented("\n".join(self._inputs()), 3),
        )
        start, end = words["start"], words["finish"]
        may_be_apart = _may_be("_result")
        if shape.is_plain:
            told = _told(
                0, '{"name": _run.name}, _run._inputs', words["start_rest"], "_run"
            )
            start = _START.format(**words, told=told)
            told = _told(1, "_result", words["end_rest"], "_after")
            end = _END.format(**words, told=told, may_be_apart=may_be_apart)
        elif not shape.is_async:
            asked = f"if {may_be_apart} in _ours.FOLLOWED:"
            end = f"{asked}\n    return _spec.streamed(_run, _result)\n{end}"
        body = (_ASYNC if shape.is_async else _SYNC).format(
            arguments=self._arguments(),
            start=_indented(start, 2),
            end=_indented(end, 2),
        )
        return f"{begins}{_indented(body, 2)}\n    return traced\n"

    def parameters(self) -> str:
        """
        Write them without what they are if not given: that is each function's own.
        """
        made = [*self._positional]
        if self._slash:
            made.insert(self._slash, "/")
        keyword = [
            *self._keyword,
            *([_CALLBACKS] if self._shape.takes_callbacks else []),
        ]
        if self._star:
            made.append(f"*{self._star[0]}")
        elif keyword:
            made.append("*")
        return ", ".join([*made, *keyword, *[f"**{it}" for it in self._double_star]])

    def _arguments(self) -> str:
        keyword = [f"{it}={it}" for it in self._keyword]
        stars = [f"*{it}" for it in self._star]
        double_stars = [f"**{it}" for it in self._double_star]
        return ", ".join([*self._positional, *stars, *keyword, *double_stars])

    def _call(self, *more: str) -> str:
        """
        Write the call as a tuple and a dict.
        """
        args = [*self._positional, *[f"*{it}" for it in self._star]]
        items = [f"{it!r}: {it}" for it in [*self._keyword, *more]]
        items += [f"**{it}" for it in self._double_star]
        return f"({''.join([f'{it}, ' for it in args])}), {{{', '.join(items)}}}"

    def _inputs(self) -> "list[str]":
        """
        Write how a run gets its inputs: by name, or bound later from the whole call.
        """
        shape = self._shape
        later = f"_run._call = _spec, {self._call()}, None"
        if not shape.records:
            return ["pass"]
        condition = "if not _run._voices.hears_start"
        if shape.is_method:
            own = self._positional[0]
            owns = f"_id(_type({own})) in _spec.owners or _spec.owns({own})"
            condition += f" or not ({owns})"
        told = [*self._positional[shape.is_method :], *self._keyword]
        names = [*self._positional[shape.is_method :], *self._star, *self._keyword]
        items = ", ".join([f"{it!r}: {it}" for it in [*names, *self._double_star]])
        lines = [f"{condition}:", f"    {later}", "else:"]
        if not shape.is_plain:
            return [*lines, f"    _ours.take_bound(_run, {{{items}}})"]
        lines += [f"    _run._inputs = {{{items}}}"]
        for it in told:
            lines += [
                f"    if {_may_be(it)} in _ours.CONTAINERS:",
                f"        _run._inputs[{it!r}] = _ours.contained({it})",
            ]
        return lines


def _told(at: int, args: str, rest: str, after: str) -> str:
    return _indented(_TELL.format(at=at, args=args, rest=rest, after=after), 2)


def _may_be(name: str) -> str:
    """
    Write what asks for the id of a type; of those that are met most it is known.
    """
    known = f"(_kind := _type({name})) is not _str and _kind is not _int"
    return f"{known} and {name} is not None and _id(_kind)"


def _indented(text: str, levels: int) -> str:
    lines = text.splitlines(keepends=True)
    return "".join([f"{'    ' * levels}{line}" for line in lines]).rstrip()


_NAMED = (type, id, str, int, list, dict, CoroutineType, RecursionError)
_CALLED = (
    start,
    finish,
    fail,
    mend,
    go_on_ending,
    astart,
    afinish,
    afail,
    discard,
    ago_on_ending,
)
"""What is written calls by name; all are functions of a module, and so pickled."""
