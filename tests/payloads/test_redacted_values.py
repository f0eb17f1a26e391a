"""
What is told as a value, an enum or a text of a class of its own, while something is
redacted: not where that is hidden in it, as it may be made of that. What a key is called.
"""

import enum
from collections import OrderedDict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, Self

import pytest

from instrument import callbacks, current_run, traced
from instrument.handlers import FileCallbackHandler
from instrument.testing import Recorder

SECRET = "enigma1940"


class Key(enum.Enum):
    """
    Keeps its value under the name as well.
    """

    LIVE = SECRET

    def __init__(self, value: str) -> None:
        self.password = value


class Pair(enum.Enum):
    """
    Keeps a part of its value so.
    """

    LIVE = ("Rome", SECRET)

    def __init__(self, city: str, password: str) -> None:
        self.city, self._password = city, password


class Asked(enum.Enum):
    """
    Gives its value by a property.
    """

    LIVE = SECRET

    @property
    def password(self) -> str:
        """
        Be in no instance.
        """
        return str(self.value)


class Address(str):
    """
    Is a text, of which a property gives a part.
    """

    __slots__ = ()

    @property
    def password(self) -> str:
        """
        Be in no instance.
        """
        return self.partition("@")[0]


class Token(str):  # noqa: SLOT000 - it is to have a dictionary
    """
    Is a text that holds itself under the name.
    """

    password: str

    def __new__(cls) -> Self:
        made = str.__new__(cls, SECRET)
        made.password = SECRET
        return made


class Code(int):
    """
    Is a number of which a property is the same.
    """

    @property
    def password(self) -> int:
        """
        Be in no instance.
        """
        return int(self)


class City(enum.Enum):
    """
    Hides nothing: a member of the name is a field's name, a value another's.
    """

    PASSWORD = "password"
    ROME = "Rome"
    OSLO = "Oslo"

    def __init__(self, value: str) -> None:
        self.country = value


class Named:
    """
    Is a key that shows what it is called among other things, as a column does.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"Column({self.name!r}, Text(), table=<users>)"


class Slotted:
    """
    Is one that is called so in a slot.
    """

    __slots__ = ("key",)

    def __init__(self, key: str) -> None:
        self.key = key


@pytest.fixture
def told(tmp_path: Path) -> Callable[[object, Any], str]:
    """
    Give all that is told of a value, wherever it stands, by a recorder and in a file.
    """
    path = tmp_path / "events.jsonl"

    def tell(value: object, redact: Any) -> str:
        path.unlink(missing_ok=True)
        recorder = Recorder()
        with callbacks(recorder, FileCallbackHandler(path), redact=redact):

            @traced(metadata={"given": value})
            def work(given: object) -> object:
                current_run().add_metadata(more=[value])
                return {"made": [given]}

            work(value)
        (run,) = recorder.runs
        return f"{path.read_text()}{run.inputs}{run.outputs}{dict(run.metadata)}"

    return tell


def secrets(value: object, path: tuple[str | int, ...]) -> object:
    """
    Redact as the list of the name does.
    """
    return "***" if path[-1] in ("password", "_password") else value


@pytest.mark.parametrize("redact", [["password"], secrets])
@pytest.mark.parametrize(
    "value", [Key.LIVE, Pair.LIVE, Asked.LIVE, Address(f"{SECRET}@x"), Token()]
)
def test_value_that_hides_something_is_not_told(
    told: Callable[[object, Any], str], value: object, redact: Any
) -> None:
    """
    As a payload and in one, and of names as a key.
    """
    assert SECRET not in told(value, redact)
    if redact is not secrets:
        assert SECRET not in told({value: 1}, redact)
    assert SECRET in told(value, ["country"])


def test_number_that_hides_something_is_not_told(
    told: Callable[[object, Any], str],
) -> None:
    """
    Also one that is no text.
    """
    assert "194041" not in told(Code(194041), ["password"])
    assert "194041" in told(Code(194041), ["country"])


def test_value_is_told_by_name_of_member(told: Callable[[object, Any], str]) -> None:
    """
    Where nothing in it is hidden, members are no names of the class.
    """
    assert '"given":["password","Rome","Oslo"]' in told(list(City), ["password"])
    assert "Rome" not in told(City.ROME, ["country"])


@pytest.mark.parametrize("made", [Named, Slotted])
def test_key_is_named_by_what_it_is_called(
    told: Callable[[object, Any], str], made: Callable[[str], object]
) -> None:
    """
    A column, say, as the key of a value for it.
    """
    assert SECRET not in told({made("password"): SECRET}, ["password"])
    assert SECRET not in told([{made("db_password"): {"x": SECRET}}], ["password"])
    assert SECRET in told({made("city"): SECRET}, ["password"])


class Field(enum.Enum):
    """
    Has names that its values do not tell.
    """

    PASSWORD = "pwd"
    CITY = "city"


def rome(value: object, path: tuple[str | int, ...]) -> object:
    """
    Hide what stands beside it.
    """
    return "***" if value == "Rome" else value


def cities(value: object, path: tuple[str | int, ...]) -> object:
    """
    Hide what the keys are called, also where they stand for something.
    """
    return "***" if path[-1] == "name" else value


def copies(value: object, path: tuple[str | int, ...]) -> object:
    """
    Make each mapping anew.
    """
    return dict(value) if type(value) is dict and path[1:] else value


@pytest.mark.parametrize(
    "key",
    [Named("password"), Slotted("password"), Field.PASSWORD, ("user", "password")],
)
@pytest.mark.parametrize(
    "others",
    [
        [rome],
        [lambda value, path: value],
        [["country"], rome],
        [rome, cities, ["country"], rome],
        [rome, copies, cities],
    ],
)
@pytest.mark.parametrize("kind", [dict, MappingProxyType, OrderedDict])
def test_key_is_known_to_the_next_redactor(
    told: Callable[[object, Any], str], key: object, others: list[Any], kind: Any
) -> None:
    """
    By what it is called, not by the text that it is told as, also where another redactor
    has changed something beside it.
    """
    given = {"x": kind({key: SECRET, Named("city"): "Rome", Field.CITY: 1})}

    with ExitStack() as blocks:
        for redact in others:
            blocks.enter_context(callbacks(redact=redact))
        assert SECRET not in told(given, ["password"])
        assert SECRET in told(given, ["zip"])


class Login:
    """
    Gives what is masked by a property, and shows it in its ``repr``.
    """

    def __init__(self) -> None:
        self.city, self._key = "Rome", SECRET

    @property
    def password(self) -> str:
        """
        Be in no instance.
        """
        return self._key

    def __repr__(self) -> str:
        return f"Login({self.city}, {self._key})"


def test_object_is_known_behind_who_copies_what_is_left_of_it(
    told: Callable[[object, Any], str],
) -> None:
    """
    What a function makes anew of fields that another has left is still of that object.
    """
    with callbacks(redact=rome), callbacks(redact=copies):
        assert SECRET not in told([Login()], ["password"])
        assert SECRET in told([Login()], ["zip"])


class RefusedError(Exception):
    """
    Holds what it says, as errors of providers and of MCP do.
    """

    def __init__(self, said: str, **held: object) -> None:
        super().__init__(said)
        self.held = held


@pytest.mark.parametrize(
    "error",
    [
        RefusedError("no", body={"error": {"message": f"bad password: {SECRET}"}}),
        RefusedError("no", error=SimpleNamespace(message=f"password={SECRET}", code=1)),
        RefusedError("no", errors=[{"detail": [f"password={SECRET}"]}]),
        ExceptionGroup(
            "all", [RefusedError("no", body={"message": f"password={SECRET}"})]
        ),
    ],
)
def test_what_an_error_holds_says_no_more_than_it(
    told: Callable[[object, Any], str], error: Exception
) -> None:
    """
    An error as a payload: its message, and what a dict or an object in it says.
    """
    assert SECRET not in told(error, ["password"])
    assert SECRET in told({"message": f"password={SECRET}"}, ["password"])  # prose
