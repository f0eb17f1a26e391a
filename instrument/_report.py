"""
Say once what went wrong, in a framed block, and never raise: the request goes on.

A failure is told with its traceback the first time it happens to one handler at one
event, then counted and told again at 10, 100, 1,000 ... No local values are shown:
they may be what a redactor hides.

What only passed through a handler (`_interrupts.py`) is no failure of its own, and is not
told but goes on to the call.
"""

import sys
import weakref
from collections import namedtuple
from functools import partial

from instrument._interrupts import AT_ONCE, OURS, kept_back, module_of, parted
from instrument._text import (
    cut,
    is_callers,
    printable,
    raised_text,
    safe_str,
    traceback_of,
    type_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType
    from typing import Any

    Show = Callable[[object], object]


class Exit:
    """
    Whether the interpreter is on its way out.
    """

    has_begun = False


_MOST = 1_000
_NAME = 40
_LINE = 1_000
_MOST_SAID = 100_000
_TOLD_AGAIN = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
_counts: "dict[int, tuple[Any, dict[str, int]]]" = {}
_slips: "dict[str, int]" = {}


def forgotten(what: object, way: str) -> None:
    """
    Warn that *what* goes and was never used, as of a coroutine that is never awaited.

    Not at interpreter exit, where it may just have stood in a module.
    """
    if Exit.has_begun:
        return
    import warnings

    message = f"{what!r} was never {way}: nothing is heard by it"
    warnings.warn(message, RuntimeWarning, stacklevel=3, source=what)


def failed(
    handler: object,
    event: str,
    exc: BaseException,
    *,
    stops: bool = False,
    tells: bool = True,
    show: "Show | None" = None,
    run: "Any" = None,
    met: int = AT_ONCE,
) -> None:
    """
    Report that *handler* raised *exc* when it was served *event*, of *run* if that is
    known.

    Args:
        stops: Whether that stops the call, as its ``raise_error`` says. Then it is
            raised, and so told: only counted here.
        tells: False where its message may hold what a redactor hides, as it was raised
            from a payload: it is left out then.
        show: Gives the text of the traceback as it may be seen, and of an exception
            its message where something in it may not; else itself.
        met: The cancellations that its task had met before that was awaited; or
            `AT_ONCE`, where nothing was.

    Raises:
        BaseException: What of *exc* is no failure of the handler: an interrupt, or the
            cancellation of the call, also that in whose place it was raised.
    """
    part, failure = parted(exc, met)
    if failure is not None:
        failed_apart(handler, event, exc, stops=stops, tells=tells, show=show, run=run)
    if part is None:
        part = kept_back(met, exc)
    if part is None:
        return
    context = part.__context__ if part is not exc else None
    try:
        raise part
    finally:  # nor may this frame hold what is raised, nor the group that holds it
        if part is not exc:
            part.__context__ = context
        del part, failure, exc, context, run, show


def failed_apart(
    handler: object,
    event: str,
    exc: BaseException,
    *,
    stops: bool = False,
    tells: bool = True,
    show: "Show | None" = None,
    run: "Any" = None,
) -> None:
    """
    Report it where no call is above that *exc* could reach: in a thread of our own.
    """
    counts = _counts_of(handler)
    count = counts[event] = counts.get(event, 0) + 1
    if stops:
        return

    def message() -> str:
        name, by = described(handler), _error_line(exc, tells=tells, show=show)
        if count == 1:
            return (
                f"{name} failed at {event}{_of(run)}: {by}; the call goes on without it"
            )
        return f"{name} has failed {count:,} times at {event}, last by {by}"

    if count == 1:
        if not complain(message, exc, tells=tells, show=show):
            counts[event] = 0  # the next one is told, if there is room again
    elif count in _TOLD_AGAIN:
        complain(message, exc, is_framed=False)


def slipped(slip: str, message: "Callable[[], str]") -> None:
    """
    Report what a body has told wrongly: the first time, then how often.

    Args:
        slip: Which it is, and of what run.
    """
    count = _slips.get(slip, 0) + 1
    if len(_slips) >= _MOST:  # runs may have names without end
        _slips.clear()
    _slips[slip] = count
    if count == 1:
        complain(message, None)
    elif count in _TOLD_AGAIN:
        complain(f"{slip} has been wrong {count:,} times", None)


def unread(
    read: object, event: str, exc: BaseException, *, tells: bool = False
) -> None:
    """
    Report that *read* raised *exc* when it looked at a payload, whose code may raise
    anything.

    Args:
        tells: As for `failed`.

    Raises:
        BaseException: *exc*, where it is for the caller all the same: an interrupt.
    """
    if is_callers(exc):
        raise exc
    failed_apart(read, event, exc, tells=tells)


def warn(message: str, category: type[Warning] = RuntimeWarning) -> None:
    """
    Warn of a slip, where the program has made it: at the nearest line that is not ours.
    """
    import warnings

    frame: FrameType | None = sys._getframe(1)
    level = 2
    while frame is not None and module_of(frame).startswith("instrument."):
        frame = frame.f_back
        level += 1
    warnings.warn(message, category, stacklevel=level)


def failures(handler: object) -> "dict[str, int]":
    """
    Tell how often *handler* failed, by event.
    """
    return dict(_counts_of(handler))


Source = namedtuple("Source", "module function line file")  # noqa: PYI024
"""A place in a program, as log records have it."""


def place(source: Source, record: "Any") -> None:
    """
    Have a record of loguru come from there.
    """
    file = source.file.replace("\\", "/").rpartition("/")[2]
    record.update(
        name=source.module,
        function=source.function,
        line=source.line,
        file=type(record["file"])(file, source.file),
        module=file.removesuffix(".py"),
    )


def complain(
    message: "str | Callable[[], str]",
    exc: BaseException | None,
    *,
    tells: bool = True,
    show: "Show | None" = None,
    is_framed: bool = True,
) -> bool:
    """
    Write *message* to loguru at ERROR, with the traceback of *exc* if there is one: as
    from where that was raised, in code that is not ours.

    Args:
        message: What makes it may fail, as what is written here.
        is_framed: False leaves the traceback out.
        tells: False leaves out what *exc* says.
        show: Gives the text of the traceback as it may be seen.

    Returns:
        Whether it could be written: the stack may be full, or memory.
    """
    try:
        text = printable(message if type(message) is str else message())  # type: ignore[operator]
        frames = None if exc is None else _frames_of_others(exc)
        if exc is not None and is_framed:
            text += _framed(_written(exc, tells=tells, show=show))
        logger = _logger()
        if logger is None:
            print(text, file=sys.stderr)  # noqa: T201 - the one place that is left
        else:
            if frames is None:
                source = _caller()
            else:
                source = _place_of(frames.tb_frame, frames.tb_lineno)
            if source is not None:
                logger = logger.patch(partial(place, source))
            logger.opt(depth=2).error("{}", text)
    except BaseException as failure:  # a log sink that fails must not hurt a call
        if is_callers(failure):
            raise
        return False
    return True


def _written(exc: BaseException, *, tells: bool, show: "Show | None") -> str:
    """
    Write it with its traceback; or why there is none, where what makes one cannot be
    loaded any more: no descriptor is left.
    """
    try:
        return written(exc, tells=tells, show=show)
    except (ImportError, OSError) as failure:
        if is_callers(failure):
            raise  # pragma: no cover - an interrupt alone comes here
        return f"{_UNWRITTEN}: {type_of(failure)}"


_UNWRITTEN = "its traceback cannot be written"


def _logger() -> "Any":
    """
    Give loguru's logger; None at exit, when it may have closed its sinks, and where it
    cannot be imported: no descriptor is left, or the stack is full.
    """
    if Exit.has_begun:
        return None
    try:
        from loguru import logger  # 110 ms, and most processes never need it
    except Exception as failure:
        if is_callers(failure):
            raise
        return None
    return logger


def described(handler: object) -> str:
    """
    Name *handler* for a person: its class, or its function's qualified name.
    """
    name = _attribute(handler, "__qualname__")
    return name if type(name) is str else type_of(handler)


def _attribute(handler: object, name: str) -> object:
    try:
        return getattr(handler, name, None)
    except BaseException as exc:
        if is_callers(exc):
            raise
        return None


def _of(run: "Any") -> str:
    """
    Say of which run and request it was.
    """
    if run is None:
        return ""
    said = f" of {_short(run.kind)} {_short(run.name)}"
    try:
        return f"{said}, request {run.trace_hex[:6]}"
    except Exception as failure:  # no descriptor is left to import what makes it
        if is_callers(failure):
            raise
        return said


def _short(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"


def _error_line(exc: BaseException, *, tells: bool, show: "Show | None") -> str:
    """
    Say in one line what was raised, as it may be seen.
    """
    kind, said = type_of(exc), cut(safe_str(exc), _MOST_SAID) if tells else ""
    line: Any = f"{kind}: {said}" if said else kind
    if show is not None and said:
        shown: Any = show(exc)
        is_text = issubclass(type(shown), str)
        said = f"{kind}: {str.__str__(shown)}" if is_text else kind
        line = show(line) if shown is exc else said
    return cut(line, _LINE) if issubclass(type(line), str) else kind


_WRAPPERS = ("_background", "_filtered", "_shared.wrapper")


def _frames_of_others(exc: BaseException) -> "TracebackType | None":
    """
    Give its traceback from the first frame on that is neither ours nor a wrapper's of
    handlers; None if all are.
    """
    passed = (OURS, *(f"instrument.handlers.{name}" for name in _WRAPPERS))
    frames = traceback_of(exc)
    while frames is not None and module_of(frames.tb_frame).startswith(passed):
        frames = frames.tb_next
    return frames


def _place_of(frame: "FrameType", line: int) -> Source:
    code = frame.f_code
    return Source(module_of(frame), code.co_name, line, code.co_filename)


def _caller() -> Source | None:
    """
    Give the nearest line that is not ours; None where Python itself has called us.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and module_of(frame).startswith("instrument."):
        frame = frame.f_back
    return None if frame is None else _place_of(frame, frame.f_lineno)


def written(
    exc: BaseException,
    *,
    show: "Show | None",
    tells: bool = True,
    said: str | None = None,
) -> str:
    """
    Write *exc* with its traceback, as may be seen; *said* is its message where that is
    known.
    """
    import traceback

    frames = _frames_of_others(exc) or traceback_of(exc)
    text: object = None
    if tells:
        text = raised_text(exc, frames, _MOST_SAID, show, said)
    if show is not None and tells:
        text = show(text)
    if type(text) is str:
        return text
    lines = "".join(traceback.format_tb(frames))
    return f"{lines}{type_of(exc)}: {_UNTOLD}"


_UNTOLD = "(what it says is left out: it may hold what is redacted)"


def _framed(text: str) -> str:
    return "".join(f"\n  | {printable(line)}" for line in text.splitlines())


def _counts_of(handler: object) -> "dict[str, int]":
    """
    Find the counts of *handler*: by identity, forgotten when it is collected.

    What takes no weak reference is held by the entry itself, of which there are at
    most 1,000.
    """
    # a bound method is made anew at each access: its object stands for it
    owner = _attribute(handler, "__self__")
    owner = handler if owner is None else owner
    key = id(owner)
    known = _counts.get(key)
    if known is not None:
        return known[1]
    try:
        anchor: Any = weakref.ref(owner, partial(_counts.pop, key))
    except TypeError:
        anchor = owner
    if len(_counts) >= _MOST:
        # listed: one may go by itself in the midst of it
        _counts.pop(next(iter([*_counts]), None), None)  # type: ignore[arg-type]
    counts: dict[str, int] = {}
    _counts[key] = (anchor, counts)
    return counts
