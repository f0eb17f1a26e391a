"""
What is known of handlers by their class: of no more classes than some, and of none that
has gone.
"""

import gc

from instrument._audience import by_class as known


def test_no_more_than_some() -> None:
    """
    Where there are too many, the others go; one that is there already stays.
    """
    made: dict[int, int] = known.by_class()
    classes = [type(f"C{number}", (), {}) for number in range(known._MOST)]

    for number, cls in enumerate(classes):
        known.keep(made, cls, number)
    known.keep(made, classes[0], -1)
    assert len(made) == known._MOST
    more = type("More", (), {})
    known.keep(made, more, 0)

    assert made == {id(more): 0}
    assert known._known.pop() is made


def test_class_that_has_gone() -> None:
    """
    A reference that is no more that of its class takes nothing away.
    """
    made: dict[int, int] = known.by_class()
    cls = type("C", (), {})
    known.keep(made, cls, 1)

    known._forget(id(cls), lambda: None)  # type: ignore[arg-type]
    assert made == {id(cls): 1}

    key = id(cls)
    del cls
    gc.collect()
    assert key not in made
    assert known._known.pop() is made
