"""
A function or method is passed what its signature asks for.
"""

from functools import wraps
from typing import Any
from unittest.mock import MagicMock

import pytest

from instrument import Run, callbacks, emit, traced
from instrument._audience import signature
from instrument._audience.listener import EVENTS


def work() -> str:
    """
    Be a run.
    """
    return "done"


def test_magic_mock_for_one_event() -> None:
    """
    A mock given as a function gets the event's arguments.
    """
    mock = MagicMock()

    with callbacks(on_chain_end=mock):
        traced(work)()

    assert mock.call_args.args == ("done",)
    assert isinstance(mock.call_args.kwargs["run"], Run)


SIGNATURES: list[tuple[str, str, Any]] = [
    ("on_chain_end", "lambda: heard.append('called')", "called"),
    ("on_chain_end", "lambda outputs: heard.append(outputs)", "done"),
    ("on_chain_end", "lambda anything: heard.append(anything)", "done"),
    ("on_chain_end", "lambda *args: heard.append(args)", ("done",)),
    ("on_chain_end", "lambda *, outputs: heard.append(outputs)", "done"),
    ("on_chain_end", "lambda **kwargs: heard.append(kwargs['outputs'])", "done"),
    ("on_chain_end", "lambda name: heard.append(name)", "work"),
    (
        "on_chain_end",
        "lambda name, outputs: heard.append((name, outputs))",
        ("work", "done"),
    ),
    (
        "on_chain_end",
        "lambda outputs, name=None: heard.append((outputs, name))",
        ("done", "work"),
    ),
    (
        "on_chain_end",
        "lambda outputs, *, tags: heard.append((outputs, tags))",
        ("done", ["t"]),
    ),
    ("on_chain_end", "lambda run: heard.append(run.outputs)", "done"),
    ("on_chain_end", "lambda o, /, name: heard.append((o, name))", ("done", "work")),
    ("on_chain_end", "lambda o, unknown=3: heard.append((o, unknown))", ("done", 3)),
    (
        "on_chain_end",
        "lambda o, *rest, tags: heard.append((o, rest, tags))",
        ("done", (), ["t"]),
    ),
    ("on_chain_start", "lambda inputs: heard.append(inputs)", {"q": 1}),
    ("on_chain_start", "lambda serialized: heard.append(serialized)", {"name": "work"}),
    (
        "on_chain_start",
        "lambda a, b: heard.append((a, b))",
        ({"name": "work"}, {"q": 1}),
    ),
    (
        "on_chain_start",
        "lambda inputs, name: heard.append((inputs, name))",
        ({"q": 1}, "work"),
    ),
    (
        "on_chain_start",
        "lambda inputs, x: heard.append((inputs, x))",
        ({"q": 1}, {"name": "work"}),
    ),
    (
        "on_chain_end",
        "lambda o, unknown=3, tags=(): heard.append((o, unknown, tags))",
        ("done", 3, ["t"]),
    ),
]


@pytest.mark.parametrize(
    "event, code, expected", SIGNATURES, ids=[code for _, code, _ in SIGNATURES]
)
def test_function_for_one_event(
    event: str, code: str, expected: Any, reports: list[str]
) -> None:
    """
    A function for one event is passed what its signature names.
    """
    heard: list[Any] = []
    function: Any = eval(code, {"heard": heard})

    with callbacks(tags=["t"], **{event: function}):
        traced("work")(lambda q: "done")(1)

    assert heard == [expected]
    assert reports == []


MORE = [
    ("on_chain_end", "lambda *args, **kwargs: heard.append((args, kwargs['name']))"),
    ("on_chain_end", "lambda o, **kwargs: heard.append((o, kwargs['name']))"),
    ("on_chain_end", "lambda o, *, unknown=3, tags: heard.append((o, unknown, tags))"),
    ("on_chain_end", "lambda o, *rest, outputs: heard.append((o, rest, outputs))"),
    ("on_chain_end", "lambda name, **kwargs: heard.append((name, sorted(kwargs)))"),
    ("on_chain_start", "lambda a, *rest, **kw: heard.append((a, rest, kw['name']))"),
    ("on_chain_start", "lambda a, **kw: heard.append((a, kw['name'], kw['inputs']))"),
    ("on_chain_start", "lambda a, *, inputs: heard.append((a, inputs))"),
    ("on_chain_end", "lambda o, chunk=5, tags=(): heard.append((o, chunk, tags))"),
    ("on_chain_end", "lambda o, *, chunk=5: heard.append((o, chunk))"),
]
"""Ways to name more, in which something is not given."""


@pytest.mark.parametrize(
    "event, code", [*MORE, *[it[:2] for it in SIGNATURES]], ids=str
)
def test_what_is_generated(event: str, code: str) -> None:
    """
    What is generated for a signature passes what is found by looking at each call, also
    at the second, and of what an event lacks the default.
    """
    heard: list[Any] = []
    function: Any = eval(code, {"heard": heard})
    positional = EVENTS[event][0]
    parameters = signature._parameters(function)
    args = ({"name": "work"}, {"q": 1}) if len(positional) > 1 else ("done",)
    kwargs = {"tags": ["t"], "name": "work", "run": Run, "run_id": 1, "more": 2}

    adapter = signature.adapted(function, event, positional, whole=False)
    adapter(*args, **kwargs)
    adapter(*args, **kwargs)
    signature.Shape(positional, event, *parameters).called(function, args, kwargs)

    assert heard[0] == heard[1] == heard[2]


def test_shapes_that_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A shape is looked at once, for however many functions, and only some are kept.
    """
    monkeypatch.setattr(signature, "_shapes", {})
    for number in range(600):
        function = eval(f"lambda outputs, x{number}=0: None")
        signature.adapted(function, "on_chain_end", ("outputs",), whole=False)
    kept = len(signature._shapes)
    for _ in range(10):
        signature.adapted(
            lambda outputs: None, "on_chain_end", ("outputs",), whole=False
        )

    assert len(signature._shapes) == kept + 1 <= 512


def test_function_that_names_a_channel_behind_a_wrapper() -> None:
    """
    A function that stands for another is passed what that one names.
    """
    heard: list[Any] = []

    def shown(token: str, channel: str = "text") -> None:
        heard.append((channel, token))

    @wraps(shown)
    def wrapper(*args: Any) -> None:
        shown(*args)

    with callbacks(on_llm_new_token=wrapper), traced("model", kind="llm") as run:
        run.token("hm", channel="reasoning")

    assert heard == [("reasoning", "hm")]


METHODS = [
    "def hear(self, token, **kwargs): heard.append(token)",
    "def hear(self, token): heard.append(token)",
    "def hear(self, *, token, **kwargs): heard.append(token)",
    "def hear(self, *, token): heard.append(token)",
    "def hear(self, **kwargs): heard.append(kwargs['token'])",
    "def hear(self, *args, **kwargs): heard.append(args[0])",
    "def hear(self, text, chunk=None, run_id=None): heard.append(text)",
    "@staticmethod\ndef hear(token, **kwargs): heard.append(token)",
    "@classmethod\ndef hear(cls, token, **kwargs): heard.append(token)",
]


@pytest.mark.parametrize("code", METHODS)
def test_method_with_any_signature(code: str, reports: list[str]) -> None:
    """
    A method is passed the token under whatever name, by position or by keyword.
    """
    heard: list[str] = []
    names: dict[str, Any] = {"heard": heard}
    exec(code, names)
    handler = type("Made", (), {"on_llm_new_token": names["hear"]})()

    with callbacks(handler), traced("model", kind="llm") as run:
        run.token("Hi")

    assert heard == ["Hi"]
    assert reports == []


def test_print(capsys: pytest.CaptureFixture[str]) -> None:
    """
    ``print`` serves any event: it names none of the keywords.
    """
    with callbacks(on_llm_new_token=print, on_custom_event=print):
        with traced("model", kind="llm") as run:
            run.token("Hi")
        emit("progress", 3)

    assert capsys.readouterr().out == "Hi\nprogress 3\n"


def test_function_without_a_signature() -> None:
    """
    A builtin that tells no signature gets the positional arguments.
    """
    made: list[Any] = []

    class Silent:
        @property
        def __signature__(self) -> Any:
            raise ValueError

        def __call__(self, *args: Any) -> None:
            made.append(args)

    with callbacks(on_chain_end=Silent()):
        traced(work)()

    assert made == [("done",)]
