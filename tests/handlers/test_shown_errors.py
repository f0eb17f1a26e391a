"""
Exceptions as a log may have them: what and where, and no values.
"""

import linecache
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

from instrument.handlers._request_logger.shown_errors import shown_error

HIDDEN = "hunter2"


def likeness(exc: BaseException) -> BaseException:
    """
    Make the likeness of *exc*, its texts unchanged.
    """
    return shown_error(exc, str)


def raised(function: Any, *args: object) -> BaseException:
    """
    Call *function* and give what it raises.
    """
    with pytest.raises(BaseException) as caught:
        function(*args)
    return caught.value


def written(exc: BaseException) -> str:
    """
    Write *exc* as the interpreter does.
    """
    return "".join(traceback.format_exception(exc))


def fail(password: str) -> None:
    """
    Raise with a value in hand.
    """
    local = password * 2
    raise LookupError("not found" if local else "")


def frames(exc: BaseException) -> list[Any]:
    """
    List the frames of the traceback of *exc*.
    """
    return [frame for frame, _ in traceback.walk_tb(exc.__traceback__)]


def test_same_text() -> None:
    """
    A likeness is written like the original: files, lines, functions, type and message.
    """
    exc = raised(fail, HIDDEN)

    lines = [it for it in written(exc).splitlines() if set(it) - set(" ^~")]
    assert written(likeness(exc)).splitlines() == lines
    assert f", in {fail.__name__}" in written(exc)


def test_no_values() -> None:
    """
    Its frames have neither local nor global variables, nor a frame to go back to.
    """
    made = likeness(raised(fail, HIDDEN))

    assert frames(made)
    for frame in frames(made):
        assert (frame.f_locals, frame.f_globals, frame.f_back) == ({}, {}, None)


def test_nothing_runs() -> None:
    """
    No line of the user's is run for it, which a debugger would stop at.
    """
    exc = raised(fail, HIDDEN)
    seen: list[str] = []

    def trace(frame: Any, event: str, arg: object) -> Any:
        seen.append(f"{event} {frame.f_code.co_name}")
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        likeness(exc)
    finally:
        sys.settrace(before)

    assert seen
    assert "line fail" not in seen


def test_cause_and_context() -> None:
    """
    Causes and contexts are shown too, and what ``from None`` hides stays hidden.
    """

    def chained() -> None:
        try:
            fail(HIDDEN)
        except LookupError as exc:
            raise OSError("outer") from exc

    def hidden() -> None:
        try:
            fail(HIDDEN)
        except LookupError:
            raise OSError("outer") from None

    exc = raised(chained)
    made = likeness(exc)

    assert "LookupError: not found\n\nThe above exception was" in written(made)
    assert str(made.__cause__) == "not found"
    assert made.__cause__ is made.__context__
    assert "LookupError" not in written(likeness(raised(hidden)))


def test_cycle() -> None:
    """
    A context that leads back to its exception does so in the likeness.
    """
    first, second = raised(fail, HIDDEN), raised(fail, HIDDEN)
    first.__cause__, second.__cause__ = second, first

    made = likeness(first)

    assert made.__cause__ is not None
    assert made.__cause__.__cause__ is made
    assert written(made).count("LookupError: ") == 2


def test_long_chain() -> None:
    """
    Of a chain of causes the first fifty are shown.
    """
    exc = first = ValueError("0")
    for number in range(1, 10_000):
        exc.__cause__ = ValueError(str(number))
        exc = exc.__cause__

    made: BaseException | None = likeness(first)

    texts = []
    while made is not None:
        texts.append(str(made))
        made = made.__cause__
    assert texts == [str(number) for number in range(50)]


def test_group() -> None:
    """
    A group shows its members, at most fifteen, and says how many it leaves out.
    """
    members = [ValueError(str(number)) for number in range(20)]
    members[0] = ExceptionGroup("inner", [KeyError("deep")])  # type: ignore[call-overload]

    text = written(likeness(ExceptionGroup("outer", members)))

    assert "ExceptionGroup: outer (20 sub-exceptions)" in text
    assert "ExceptionGroup: inner (1 sub-exception)" in text
    assert "KeyError: 'deep'" in text
    assert "ValueError: 14" in text
    assert "ValueError: 15" not in text
    assert "5 more of the group are not shown" in text


def test_group_in_its_own_member() -> None:
    """
    A member that leads back to its group ends there.
    """
    member = ValueError("member")
    group = ExceptionGroup("group", [member])
    member.__context__ = group

    assert written(likeness(group)).count("ValueError: member") == 1


def test_group_held_more_than_once() -> None:
    """
    A member that was shown is named once more, and not shown whole: tracebacks print a
    group as often as it is in there.
    """
    exc: BaseException = ValueError("member")
    for level in range(28):
        held = exc
        exc = BaseExceptionGroup(f"group {level}", [held, held])
        exc.__cause__ = exc.__context__ = held

    text = written(likeness(exc))

    assert 28 <= text.count("ExceptionGroup: ") < 5 * 28  # not 2 ** 28


def test_group_beyond_the_limit() -> None:
    """
    A group for whose members there is no room left is shown without them.
    """
    exc = first = ValueError("0")
    for _ in range(48):
        exc.__cause__ = ValueError()
        exc = exc.__cause__
    exc.__cause__ = ExceptionGroup("group", [KeyError("member")])

    text = written(likeness(first))

    assert "ExceptionGroup: group (1 sub-exception)" in text
    assert "member'" not in text


def test_hostile_texts() -> None:
    """
    No message, note or name can write a line or drive a terminal.
    """
    evil = "\x1b[2J\r\nFAKE \ud800\u202e"
    cls: Any = type("Evil\nFAKE", (Exception,), {"__module__": "m\nFAKE"})
    exc = cls(evil)
    exc.add_note(evil)
    scope: dict[str, Any] = {"exc": exc}
    code = compile("def f(): raise exc", "file\nFAKE.py", "exec")
    exec(code, scope)

    text = written(likeness(raised(scope["f"])))

    assert [line for line in text.splitlines() if line.startswith("FAKE")] == []
    assert "m\\nFAKE.Evil\\nFAKE: \\x1b[2J\\r\\nFAKE \\ud800\\u202e" in text
    assert 'File "file\\nFAKE.py", line 1, in f' in text
    assert text.replace("\n", "").isprintable()


def test_hostile_source(tmp_path: Path) -> None:
    """
    A line of source that would drive the terminal is not shown.
    """
    path = tmp_path / "evil.py"
    path.write_text("def f():\n\traise ValueError # \x1b[2J\n", "utf-8")
    scope: dict[str, Any] = {}
    exec(compile(path.read_text("utf-8"), str(path), "exec"), scope)

    text = written(likeness(raised(scope["f"])))

    assert linecache.getline(str(path), 2)
    assert "evil.py, a line that cannot be shown>" in text
    assert "\x1b" not in text


class Angry(Exception):  # noqa: N818
    """
    Has no text, and notes that are none.
    """

    def __str__(self) -> str:
        raise RuntimeError


def test_odd_exceptions() -> None:
    """
    An exception whose text raises, with odd notes, is shown all the same.
    """
    odd, listed = Angry(), ValueError()
    vars(odd)["__notes__"] = 7
    vars(listed)["__notes__"] = [7, "x"] + ["more"] * 100
    nameless: Any = type("Nameless", (Exception,), {"__module__": 7})

    assert str(likeness(odd)) == "<no message: str raised RuntimeError>"
    assert written(likeness(listed)).count("\n") == 21
    assert likeness(nameless()).__class__.__module__ == "?"


def test_deep_recursion() -> None:
    """
    Of very many frames the outermost and innermost fifty are shown.
    """

    def deep(left: int) -> None:
        if left == 0:
            raise RecursionError("deep")
        deep(left - 1)

    made = likeness(raised(deep, 500))

    names = [frame.f_code.co_filename for frame in frames(made)]
    assert len(names) == 101
    assert names[50] == "<402 frames left out>"


def test_texts_are_shown_as_told() -> None:
    """
    Every text, notes and causes included, is given to who decides how it may be seen.
    """
    exc = ValueError("a")
    exc.add_note("b")
    exc.__cause__ = KeyError("c")

    made = shown_error(exc, lambda text: f"[{text}]")

    assert str(made) == "[a]"
    assert made.__notes__ == ["[b]"]
    assert str(made.__cause__) == "['c']"
