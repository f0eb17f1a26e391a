"""
What is told of a worker's error to a function that redacts where its work was sent from.
"""

from typing import Any

from instrument._payloads.redact import OPENED
from instrument._relay.errors import held_by, hidden_in

KEY = "hunter2"


class LoginError(Exception):
    def __init__(self, password: str) -> None:
        super().__init__("refused")
        self.password = password


def hides(value: Any, path: Any) -> Any:
    """
    Hide what stands under a name.
    """
    return "***" if path[-1:] == ("password",) else value


def fails(value: Any, path: Any) -> Any:
    """
    Redact nothing, as it fails.
    """
    raise ValueError


def test_what_an_error_holds() -> None:
    """
    Of an error, and of what it was raised from, what each holds is told, and looked at.
    """
    error = LookupError("no user")
    error.__cause__ = LoginError(KEY)

    held = held_by(error, (OPENED,))

    assert held == [{}, {"password": KEY}]
    assert hidden_in(held, (hides,)) == [False, True]


def test_error_that_holds_nothing() -> None:
    """
    Of one that holds nothing but plain texts nothing is told.
    """
    assert held_by(LookupError("no user"), (OPENED,)) is None


def test_more_errors_than_are_told() -> None:
    """
    Of more errors than are told, and of what could not be looked into, all is hidden.
    """
    group = ExceptionGroup("several", [LoginError(KEY) for _ in range(30)])

    assert held_by(group, (OPENED,)) is True
    assert hidden_in(True, (hides,)) == [True]
    assert hidden_in(held_by(LoginError(KEY), (fails,)), (hides,)) == [True]
