"""
What is known of a frame while its calls are heard.
"""

from typing import Any

from instrument._hearing.frames import Anchor, Armed, Open

CODE = compile("", "nowhere", "exec")


def anchored(traced: Any) -> tuple[Anchor, list[Any]]:
    """
    Put *traced* behind an anchor; give that, and who was told to have gone.
    """
    gone: list[Any] = []
    return Anchor(0, Open(Armed(CODE)), traced, lambda it: gone.append(it.opened)), gone


def test_a_debugger_goes_on() -> None:
    """
    A debugger that stands behind an anchor is called, and replaced by what it returns.
    """
    seen: list[Any] = []

    def first(*args: object) -> Any:
        seen.append(("first", *args))
        return second

    def second(*args: object) -> None:
        seen.append(("second", *args))

    anchor, _ = anchored(first)
    for line in (1, 2, 3):
        anchor(line)

    assert seen == [("first", 1), ("second", 2), ("second", 3)]


def test_nobody_behind_it() -> None:
    """
    Without a debugger an anchor does nothing until its frame goes, and tells that.
    """
    anchor, gone = anchored(None)
    anchor(1)
    assert gone == []

    opened = anchor.opened
    del anchor

    assert gone == [opened]
