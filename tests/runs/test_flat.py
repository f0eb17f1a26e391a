"""
The functions that are written for `traced`, with the parameters of what they stand for.
"""

import functools
import inspect
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any

import pytest

from instrument import BaseCallbackHandler, Secret, callbacks, current_run, traced
from instrument.testing import Recorder

pytestmark = pytest.mark.skipif(
    os.environ.get("INSTRUMENT_FLAT") == "0", reason="all are wrapped in the other way"
)


def ask(question: str, /, *more: str, top: int = 3, **rest: object) -> str:
    return question


def add(x: int, y: int = 2, *, times: int = 1) -> int:
    return (x + y) * times


async def aadd(x: int, y: int = 2) -> int:
    return x + y


class Adder:
    @traced
    def add(self, x: int, y: int = 2) -> int:
        return x + y

    @staticmethod
    @traced
    def static(x: list[int]) -> int:
        return len(x)

    @classmethod
    @traced
    def of_class(cls, x: int) -> str:
        return cls.__name__


def passing(function: Callable[..., Any]) -> Callable[..., Any]:
    """
    Give the first argument, as decorators do that inject one.
    """

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function("given", *args, **kwargs)

    return wrapper


def test_parameters_are_its_own() -> None:
    """
    What looks at no `__wrapped__` sees the function's parameters and ``callbacks``.
    """
    spec = inspect.getfullargspec(traced(add))

    assert (spec.args, spec.varargs, spec.varkw) == (["x", "y"], None, None)
    assert spec.defaults == (2,)
    assert spec.kwonlydefaults == {"times": 1, "callbacks": None}
    assert inspect.getcallargs(traced(aadd), 1) == {"x": 1, "y": 2, "callbacks": None}
    assert inspect.signature(traced(add)) == inspect.signature(add)


def test_inputs_of_every_kind_of_parameter() -> None:
    """
    Arguments are told by name, defaults and the rest included, without ``self``; what is
    no container as it is, a container as one of the handler's own.
    """
    recorder, given = Recorder(), [1]

    with callbacks(recorder):
        for _ in range(2):
            traced(ask)("q", "a", "b", top=1, more=None)
            traced(add)(1)
            Adder().add(y=3, x=1)
            Adder.static(given)
            Adder.of_class(1)

    told = [run.inputs for run in recorder.runs]
    assert told[:5] == told[5:]
    assert told[0] == {
        "question": "q",
        "more": ("a", "b"),
        "top": 1,
        "rest": {"more": None},
    }
    assert told[1:3] == [{"x": 1, "y": 2, "times": 1}, {"x": 1, "y": 3}]
    assert told[3:5] == [{"x": [1]}, {"x": 1}]
    assert told[3]["x"] is not given


def test_no_run_of_a_call_that_does_not_fit() -> None:
    """
    A call that does not fit raises Python's own error, and there is no run of it.
    """
    recorder = Recorder()
    whole: Any = traced(add)
    part: Any = traced(functools.partial(add, y=1))
    decorated: Any = traced(functools.wraps(ask)(add))

    with callbacks(recorder):
        with pytest.raises(
            TypeError, match=r"add\(\) got an unexpected keyword"
        ) as own:
            whole(1, z=2)
        for call in (part, decorated):
            with pytest.raises(TypeError, match=r"missing 1 required positional"):
                call()

    assert recorder.events == []
    assert len(traceback.extract_tb(own.tb)) == 1


def test_call_of_which_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where what tells whether a call fits cannot be imported, it is made and heard.
    """
    recorder = Recorder()
    decorated: Any = traced(functools.wraps(ask)(add))

    with callbacks(recorder), monkeypatch.context() as patched:
        patched.setitem(sys.modules, "inspect", None)
        with pytest.raises(TypeError, match="missing 1 required positional"):
            decorated(1, 2)
            decorated()

    assert [run.status for run in recorder.runs] == ["ok", "error"]


def test_what_a_wrapper_gives_itself_fits() -> None:
    """
    A call that leaves out what the wrapper within gives is heard.
    """
    recorder = Recorder()

    with callbacks(recorder):
        assert traced(passing(lambda given, x: (given, x)))(1) == ("given", 1)

    assert [run.status for run in recorder.runs] == ["ok"]


def test_names_that_the_code_uses() -> None:
    """
    A function with a parameter of a name that the code uses itself is heard as any.
    """
    recorder = Recorder()

    with callbacks(recorder):
        assert traced(lambda _run, _state: _run)(1, _state=2) == 1

    assert recorder.runs[0].inputs == {"_run": 1, "_state": 2}


def test_secret_arguments() -> None:
    """
    Arguments that are marked as secrets are masked, also at the second call.
    """
    recorder = Recorder()

    @traced
    def login(user: str, key: Annotated[str, Secret]) -> None: ...

    with callbacks(recorder):
        login("ada", "k")
        login("ada", "k")

    assert [run.inputs["key"] for run in recorder.runs] == ["[redacted]"] * 2


@pytest.mark.anyio
async def test_async_handlers_are_awaited_in_place_again() -> None:
    """
    An async handler has heard the start when the body runs, at every call in a block.
    """
    heard: list[str] = []

    class Hears:
        async def on_chain_start(self, *_: object, **__: object) -> None:
            heard.append("start")

        async def on_chain_end(self, *_: object, **__: object) -> None:
            heard.append("end")

    @traced
    async def body() -> None:
        heard.append("body")

    async with callbacks(BaseCallbackHandler(), Hears(), BaseCallbackHandler()):
        await body()
        await body()
        seen = heard.copy()

    assert seen == ["start", "body", "end"] * 2


def test_source_in_tracebacks() -> None:
    """
    A traceback has one frame of ours, which says what it is and shows its source.
    """

    @traced
    def divide(x: int) -> float:
        return x / 0

    with callbacks(Recorder()), pytest.raises(ZeroDivisionError) as raised:
        divide(1)

    ours = traceback.extract_tb(raised.tb)[1]
    assert len(raised.traceback) == 3
    assert ours.filename == "<instrument> traced(x, *, callbacks)"
    assert ours.line == "_result = _function(x)"


def test_what_the_body_sets_wins() -> None:
    """
    Outputs that the body sets win over what it returns, also at the second call.
    """
    recorder = Recorder()

    @traced
    def body() -> int:
        current_run().outputs = "set"
        return 1

    class Typed:
        def on_chain_end(self, outputs: object, **_: object) -> None:
            told.append(outputs)

    told: list[object] = []
    with callbacks(recorder):
        body()
    with callbacks(Typed()):
        body()

    assert recorder.runs[0].outputs == "set"
    assert told == ["set"]


@pytest.mark.anyio
async def test_inputs_that_are_chosen() -> None:
    """
    What ``inputs=`` gives is what a handler is given, of functions and of methods, which
    another object than theirs may call.
    """

    class Owner:
        @traced(inputs=lambda _, x: {"own": x})
        def chosen(self, x: int) -> None: ...

        @traced
        def bound(self, x: int) -> None: ...

    @traced(inputs=lambda x: {"x": x})
    def plain(x: int) -> None: ...

    @traced(inputs=lambda x: {"x": x})
    async def awaited(x: int) -> None: ...

    told: list[object] = []

    def hear(inputs: object) -> None:
        told.append(inputs)

    with callbacks(on_chain_start=hear):
        for _ in range(2):
            plain(1)
            await awaited(2)
            Owner().chosen(3)
            Owner.bound("other", 4)  # type: ignore[arg-type]

    assert told[:3] == [{"x": 1}, {"x": 2}, {"own": 3}]
    assert told[3] == {"self": "other", "x": 4}
    assert told[4:] == told[:4]


@pytest.mark.anyio
async def test_inputs_that_are_chosen_of_a_call_as_it_is() -> None:
    """
    A function for ``inputs=`` gets what the call passes, by position or name as it
    does, and no defaults.
    """
    told: list[object] = []

    def chosen(*args: object, **kwargs: object) -> dict[str, object]:
        return {"args": args, "kwargs": kwargs}

    def hear(inputs: object) -> None:
        told.append(inputs)

    with callbacks(on_chain_start=hear):
        for _ in range(2):
            traced(inputs=chosen)(add)(1)
            await traced(inputs=chosen)(aadd)(x=1)

    assert told[:2] == [{"args": (1,), "kwargs": {}}, {"args": (), "kwargs": {"x": 1}}]
    assert told[2:] == told[:2]


@pytest.mark.parametrize(
    "shown, options",
    [
        ("[redacted]", {"redact": lambda _, path: "[redacted]"}),
        (None, {"capture": False}),
    ],
)
@pytest.mark.anyio
async def test_what_is_not_to_be_seen(shown: object, options: Any) -> None:
    """
    What a block masks or does not capture no handler is given, at either end.
    """

    class Odd:
        def __repr__(self) -> str:
            return "secret"

    @traced
    def plain(x: object) -> object:
        return x

    @traced
    async def awaited(x: object) -> object:
        return x

    told: list[object] = []

    def hear(inputs: object) -> None:
        told.append(inputs)

    with callbacks(on_chain_start=hear, on_chain_end=told.append, **options):
        for value in ("secret", Odd(), 3, ["secret"]):
            plain(value)
            await awaited(value)

    assert len(told) == 16
    assert "secret" not in str(told)
    assert told[1] == shown


def test_switched_off() -> None:
    """
    With ``INSTRUMENT_FLAT=0`` functions are wrapped as those that cannot be written.
    """
    code = (
        "from instrument import traced\nprint(traced(lambda x: x).__code__.co_filename)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "INSTRUMENT_FLAT": "0"},
    )

    assert done.stdout.strip().endswith("spec.py")
