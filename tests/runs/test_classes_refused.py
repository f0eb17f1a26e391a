"""
What ``@traced`` on a class refuses, and what it says then.
"""

from typing import Any

import pytest

from instrument import traced
from instrument.testing import Recorder


@pytest.mark.parametrize(
    "keyword, value",
    [
        ("inputs", False),
        ("outputs", False),
        ("token", str),
        ("model", "m"),
        ("provider", "p"),
    ],
)
def test_useless_keyword(keyword: str, value: Any) -> None:
    """
    What says something of one function only is refused on a class, with the cure.
    """

    class Chain:
        pass

    keywords: Any = {keyword: value}
    with pytest.raises(TypeError, match=f"'Chain' has no use for {keyword}=.*methods"):
        traced(**keywords)(Chain)


def test_name_of_a_class() -> None:
    """
    A name is refused on a class: its methods are what is named.
    """

    class Chain:
        pass

    with pytest.raises(TypeError, match=r"has no use for name=.*callbacks, tags"):
        traced("chain")(Chain)


@pytest.mark.parametrize("slots", ["_instrument_layer", ("a", "_instrument_layer")])
@pytest.mark.rule(1, "sync")
def test_slot_for_handlers(slots: Any) -> None:
    """
    A class with closed slots takes handlers once it names the slot that they go to.
    """
    recorder = Recorder()

    class Slotted:
        __slots__ = slots

        @traced("run")
        def run(self) -> None: ...

    decorated: Any = traced(Slotted)
    decorated(callbacks=[recorder]).run()
    decorated().run()

    assert [run.name for run in recorder.runs] == ["run"]
