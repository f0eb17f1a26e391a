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


@pytest.mark.parametrize(
    "name, cure",
    [
        ("Recorder", r"Here it is: from instrument\.testing import Recorder$"),
        ("callbacks", r"Here it is: from instrument import callbacks$"),
        ("StdOutHandler", r"Did you mean 'StdOutCallbackHandler'\?$"),
        ("ConsoleHandler", r"It has BudgetHandler, .*StdOutCallbackHandler, .*$"),
    ],
)
def test_import_of_what_is_not_here(name: str, cure: str) -> None:
    """
    An import that guesses wrong is told where it is, what is meant, or what there is.
    """
    with pytest.raises(ImportError, match=cure):
        exec(f"from instrument.handlers import {name}")
