"""
A function or method is passed what its signature asks for.
"""

from typing import Any
from unittest.mock import MagicMock

import pytest

from instrument import Run, callbacks, emit, traced


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
