"""
Several that redact at once: what one leaves of an object, the next knows as well as if it
were asked alone.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from instrument import callbacks, current_run, traced
from instrument.handlers import FileCallbackHandler
from instrument.testing import Recorder

SECRET = "enigma1940"


class Login:
    """
    Shows under no name what it holds under one.
    """

    __slots__ = ("city", "password")

    def __init__(self) -> None:
        self.city, self.password = "Rome", SECRET

    def __repr__(self) -> str:
        return f"Login({self.city}, {self.password})"


class Account:
    """
    Has a property of the name, in a field of another.
    """

    def __init__(self) -> None:
        self.city, self._held = "Rome", SECRET

    @property
    def password(self) -> str:
        """
        Be in no instance.
        """
        return self._held

    def __repr__(self) -> str:
        return f"Account({self.city}, {self._held})"


@dataclass
class Entry:
    """
    Declares what a property gives.
    """

    _held: str = SECRET
    city: str = "Rome"

    @property
    def password(self) -> str:
        """
        Be in no instance.
        """
        return self._held

    def __repr__(self) -> str:
        return f"Entry({self.city}, {self._held})"


class Form(BaseModel):
    """
    Has the name as an alias.
    """

    city: str = "Rome"
    held: str = Field(default=SECRET, serialization_alias="password")


class LoginError(Exception):
    """
    Keeps what it was made of under no name.
    """

    def __init__(self) -> None:
        super().__init__(SECRET)
        self.city, self.password = "Rome", SECRET


def nothing(value: object, path: object) -> object:
    """
    Redact nothing.
    """
    return value


def cities(value: object, path: tuple[str | int, ...]) -> object:
    """
    Redact another field.
    """
    return "***" if path[-1] == "city" else value


def secrets(value: object, path: tuple[str | int, ...]) -> object:
    """
    Redact as the list of the name does.
    """
    return "***" if path[-1] == "password" else value


OTHERS: list[Any] = [["country"], ["city"], nothing]
MADE: list[Callable[[], object]] = [Login, Account, Entry, Form, LoginError]


@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize(
    "redact",
    [
        *[
            pair
            for other in OTHERS
            for pair in ([other, ["password"]], [["password"], other])
        ],
        [["password"], cities],
        [["country"], secrets],
        [cities, ["password"]],
        [["city"], secrets],
        [cities, secrets],
        [secrets, cities, ["country"]],
        [cities, nothing, ["country"], nothing, ["password"]],
        [nothing, ["city"], ["country"], ["password"], cities, nothing],
    ],
)
def test_each_of_several_masks_as_it_does_alone(
    tmp_path: Path, redact: list[Any], made: Callable[[], object]
) -> None:
    """
    An object in which another masks something, or of which that is told what it says, as
    metadata is, is masked by what its class has and by the aliases of its fields.
    """
    recorder = Recorder()
    path = tmp_path / "events.jsonl"
    with ExitStack() as stack:
        stack.enter_context(callbacks(recorder, FileCallbackHandler(path)))
        for each in redact:
            stack.enter_context(callbacks(redact=each))

        @traced(metadata={"given": made()})
        def work(given: object) -> object:
            current_run().add_metadata(more=[made()])
            return {"made": given}

        work(made())
    (run,) = recorder.runs
    assert SECRET not in path.read_text()
    assert SECRET not in repr([run.inputs, run.outputs, dict(run.metadata)])
    is_other_masked = any(
        "city" in it if type(it) is list else it is cities for it in redact
    )
    assert ("Rome" in path.read_text()) is not is_other_masked


def test_function_is_asked_before_names_of_blocks_in_its_own() -> None:
    """
    One that hides objects by what they are meets them whole.
    """
    recorder = Recorder()

    def hides(value: object, path: object) -> object:
        return "hidden" if type(value) is Account else value

    with callbacks(recorder, redact=hides), callbacks(redact=["password"]):
        traced(lambda given: [given])(Account())

    assert recorder.runs[0].inputs == {"given": "hidden"}
    assert recorder.runs[0].outputs == ["hidden"]
