"""
What may be given as a handler, and what is said of what may not.
"""

from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from instrument import BaseCallbackHandler, Event, Run, callbacks, emit, traced
from instrument._listener import EVENTS, as_listener
from instrument.handlers import StdOutCallbackHandler, local
from instrument.testing import Recorder


def work() -> str:
    """
    Be a run.
    """
    return "done"


class Duck:
    """
    Has one method, and no base class.
    """

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
        self.heard.append(outputs)


def test_duck() -> None:
    """
    Any object with one of the methods is a handler; base classes are not asked for.
    """
    duck = Duck()

    with callbacks(duck):
        traced(work)()

    assert duck.heard == ["done"]


def test_namespace() -> None:
    """
    Functions on an instance are methods too, whatever other instances have.
    """
    with pytest.raises(TypeError):
        callbacks(SimpleNamespace())
    heard: list[str] = []
    handler = SimpleNamespace(on_chain_end=lambda outputs: heard.append(outputs))

    with callbacks(handler):
        traced(work)()

    assert heard == ["done"]


def test_kind_is_not_remembered_for_instances() -> None:
    """
    An object that can hear nothing does not spoil the next one of its class.
    """

    class Loose:
        def __init__(self, heard: "list[str] | None" = None) -> None:
            if heard is not None:
                self.on_chain_end = heard.append

    heard: list[str] = []
    with pytest.raises(TypeError):
        callbacks(Loose())
    with callbacks(Loose(heard)):
        traced(work)()

    assert heard == ["done"]


def test_object_that_answers_to_everything() -> None:
    """
    A proxy with ``__getattr__`` is a handler if it answers with a method.
    """

    class Proxy:
        def __init__(self, inner: object) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

    duck = Duck()
    with callbacks(Proxy(duck)):
        traced(work)()

    assert duck.heard == ["done"]
    with pytest.raises(TypeError):
        callbacks(Proxy(object()))


def test_magic_mock() -> None:
    """
    A `MagicMock` hears every event, is not deaf by its flags, and raises nothing.
    """
    mock = MagicMock()

    with callbacks(mock):
        traced.tool(work)()

    assert mock.on_tool_start.call_args.args == ({"name": "work"}, "{}")
    assert mock.on_tool_end.call_args.args == ("done",)
    assert mock.on_event.call_count == 2
    assert mock.flush.call_count == 1


def test_magic_mock_for_one_event() -> None:
    """
    A mock given as a function gets the event's arguments.
    """
    mock = MagicMock()

    with callbacks(on_chain_end=mock):
        traced(work)()

    assert mock.call_args.args == ("done",)
    assert isinstance(mock.call_args.kwargs["run"], Run)


class Foreign:
    """
    Stands for LangChain's base class: its keywords are stored by its subclasses.
    """

    raise_error = False
    run_inline = False
    ignore_chain = False

    def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None: ...
    def on_chain_end(self, outputs: Any, **kwargs: Any) -> None: ...


Foreign.__module__ = "langchain_core.callbacks.base"
Foreign.on_chain_end.__module__ = "langchain_core.callbacks.base"


def test_langchain_handler() -> None:
    """
    A handler of LangChain gets its own keywords, without ``run``.
    """

    class Tracer(Foreign):
        def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None:
            heard.append(set(kwargs))

    heard: list[set[str]] = []
    with callbacks(Tracer()):
        traced(work)()

    assert heard == [{"run_id", "parent_run_id", "tags", "metadata", "name"}]


def test_plain_callable_gets_events() -> None:
    """
    A callable gets every `Event`, and nothing else.
    """
    heard: list[Any] = []

    def hear(*args: Any, **kwargs: Any) -> None:
        heard.append((args, kwargs))

    with callbacks(hear):
        traced(work)()
        emit("told")

    assert [args[0].event for args, _ in heard] == [
        "on_chain_start",
        "on_chain_end",
        "on_custom_event",
    ]
    assert all(isinstance(args[0], Event) and len(args) == 1 for args, _ in heard)
    assert all(kwargs == {} for _, kwargs in heard)


class Callable:
    """
    An object with a ``__call__``, and an attribute.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)


@pytest.mark.parametrize("count", [1, 2])
def test_callables_of_every_sort(count: int) -> None:
    """
    Objects, bound methods, builtins and partials are callables.
    """
    made, events = Callable(), list[Event]()
    seen: list[Any] = []

    with callbacks(made, events.append, partial(seen.append)):
        for _ in range(count):
            traced(work)()

    assert len(made.events) == len(events) == len(seen) == 2 * count


def test_falsy_handler() -> None:
    """
    A handler that is false, or empty, is a handler.
    """

    class Empty(Recorder):
        def __len__(self) -> int:
            return 0

        def __eq__(self, other: object) -> bool:
            raise ValueError("not comparable")

        __hash__ = None  # type: ignore[assignment]

    empty = Empty()
    with callbacks(empty, empty):
        traced(work)()

    assert len(empty.events) == 2


SIGNATURES: list[tuple[str, str, Any]] = [
    ("on_chain_end", "lambda: heard.append('called')", "called"),
    ("on_chain_end", "lambda outputs: heard.append(outputs)", "done"),
    ("on_chain_end", "lambda anything: heard.append(anything)", "done"),
    ("on_chain_end", "lambda *args: heard.append(args)", ("done",)),
    ("on_chain_end", "lambda *, outputs: heard.append(outputs)", "done"),
    ("on_chain_end", "lambda **kwargs: heard.append(kwargs['outputs'])", "done"),
    ("on_chain_end", "lambda name: heard.append(name)", "work"),
    ("on_chain_end", "lambda name, outputs: heard.append((name, outputs))", ("work", "done")),
    ("on_chain_end", "lambda outputs, name=None: heard.append((outputs, name))", ("done", "work")),
    ("on_chain_end", "lambda outputs, *, tags: heard.append((outputs, tags))", ("done", ["t"])),
    ("on_chain_end", "lambda run: heard.append(run.outputs)", "done"),
    ("on_chain_end", "lambda o, /, name: heard.append((o, name))", ("done", "work")),
    ("on_chain_end", "lambda o, unknown=3: heard.append((o, unknown))", ("done", 3)),
    ("on_chain_end", "lambda o, *rest, tags: heard.append((o, rest, tags))", ("done", (), ["t"])),
    ("on_chain_start", "lambda inputs: heard.append(inputs)", {"q": 1}),
    ("on_chain_start", "lambda serialized: heard.append(serialized)", {"name": "work"}),
    ("on_chain_start", "lambda a, b: heard.append((a, b))", ({"name": "work"}, {"q": 1})),
    ("on_chain_start", "lambda inputs, name: heard.append((inputs, name))", ({"q": 1}, "work")),
    ("on_chain_start", "lambda inputs, x: heard.append((inputs, x))", ({"q": 1}, {"name": "work"})),
]


@pytest.mark.parametrize(
    ("event", "code", "expected"), SIGNATURES, ids=[code for _, code, _ in SIGNATURES]
)
def test_function_for_one_event(
    event: str, code: str, expected: Any, reports: list[str]
) -> None:
    """
    A function for one event is passed what its signature names.
    """
    heard: list[Any] = []
    function: Any = eval(code, {"heard": heard})  # noqa: S307

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
    exec(code, names)  # noqa: S102
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


@pytest.mark.parametrize("event", [name for name in EVENTS if name.startswith("on_tool")])
@pytest.mark.parametrize("flag", [True, 1, "yes"])
def test_ignore_flags(event: str, flag: Any) -> None:
    """
    ``ignore_agent = True`` silences tools; only True itself does.
    """
    heard: list[str] = []

    def fail() -> None:
        raise KeyError

    def hear(*args: Any, **kwargs: Any) -> None:
        heard.append(event)

    handler = SimpleNamespace(ignore_agent=flag, **{event: hear})
    with callbacks(handler), pytest.raises(KeyError):
        traced.tool(work)()
        traced.tool(fail)()

    assert bool(heard) is (flag is not True)


@pytest.mark.parametrize("flag", ["ignore_chat_model", "ignore_llm"])
def test_ignore_flags_of_models(flag: str) -> None:
    """
    ``ignore_chat_model`` hides starts of chat models, ``ignore_llm`` text models.
    """
    heard: list[str] = []
    handler = SimpleNamespace(
        on_llm_start=lambda prompts: heard.append("on_llm_start"),
        on_llm_end=lambda: heard.append("on_llm_end"),
        **{flag: True},
    )

    with callbacks(handler):
        traced.chat_model(work)()

    assert heard == (["on_llm_end"] if flag == "ignore_chat_model" else [])


def test_base_class_hears_nothing() -> None:
    """
    The base class's own methods do nothing, so that no payload is made for them.
    """
    asked: list[str] = []

    with callbacks(BaseCallbackHandler()):
        traced(inputs=lambda: asked.append("inputs"))(work)()

    assert asked == []


def test_base_class_methods_can_be_called() -> None:
    """
    Each method of the base class takes its event's arguments, and gives None.
    """
    base: Any = BaseCallbackHandler()

    for event, (positional, _) in EVENTS.items():
        assert getattr(base, event)(*positional, run_id=None, extra=1) is None


REFUSED: list[tuple[Any, str]] = [
    (StdOutCallbackHandler, r"not the class StdOutCallbackHandler\. Make one: callbacks\("),
    ([print], r"one by one, not a list of them: .*callbacks\(\*handlers\)"),
    ((print,), "not a tuple of them"),
    ({print}, "not a set of them"),
    ({"on_llm_end": print}, r"on_llm_end.* is none"),
    (None, "None is none"),
    (3, "3 is none: it has no on_\\* method and cannot be called"),
    ("stdout", "'stdout' is none"),
    (b"stdout", "is none"),
    (object(), "<object object at .*> is none"),
]


@pytest.mark.parametrize(("value", "said"), REFUSED, ids=[str(v)[:20] for v, _ in REFUSED])
def test_what_is_no_handler(value: Any, said: str) -> None:
    """
    What can hear nothing is refused where it is given, with the cure.
    """
    with pytest.raises(TypeError, match=said):
        callbacks(value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("on_llm_new_tokens", "Did you mean 'on_llm_new_token'"),
        ("tag", "Events: on_llm_start"),
        ("on_llm_stop", "Did you mean 'on_llm_"),
    ],
)
def test_event_that_does_not_exist(name: str, said: str) -> None:
    """
    A keyword that is no event is refused, with the nearest one.
    """
    with pytest.raises(TypeError, match=said) as caught:
        callbacks(**{name: print})

    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("value", [None, 3, "print"])
def test_function_that_is_none(value: Any) -> None:
    """
    What cannot be called is no function for an event.
    """
    with pytest.raises(TypeError, match=r"on_llm_end=\.\.\.\) takes a function, not"):
        callbacks(on_llm_end=value)


def test_local_in_a_block() -> None:
    """
    `local` is for constructors; in a block it is refused with the cure.
    """
    with pytest.raises(TypeError, match=r"In a block give the handler itself"):
        callbacks(local(Recorder()))


def test_listener_is_made_once() -> None:
    """
    What is a listener already stays the same.
    """
    listener = as_listener(Recorder())

    assert as_listener(listener) is listener


def test_many_handler_classes() -> None:
    """
    Any number of classes of handlers may be used; what is known of them is bounded.
    """
    from instrument import _listener

    for number in range(600):
        made = type(f"Made{number}", (), {"on_event": print})
        with callbacks(made()):
            pass

    assert len(_listener._kinds) <= 512
