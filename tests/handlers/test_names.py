"""
``instrument.handlers``: every handler is imported when it is asked for.
"""

import pytest

import instrument.handlers


@pytest.mark.parametrize("name", instrument.handlers.__all__)
def test_every_name_resolves(name: str) -> None:
    """
    Each name that is promised is there, and listed.
    """
    assert getattr(instrument.handlers, name).__name__ == name
    assert name in dir(instrument.handlers)


def test_unknown_name() -> None:
    """
    Another name raises AttributeError, which names it.
    """
    with pytest.raises(AttributeError, match="has no attribute 'Missing'"):
        instrument.handlers.Missing  # type: ignore[attr-defined]
