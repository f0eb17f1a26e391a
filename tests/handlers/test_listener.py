"""
What may be given as a handler, and what is said of what may not.
"""

from functools import partial
from inspect import getdoc
from types import SimpleNamespace
from typing import Any, get_args
from unittest.mock import MagicMock

import pytest

from instrument import Event, callbacks, emit, traced
from instrument._audience.listener import EVENTS, as_listener
from instrument.handlers import StdOutCallbackHandler, background, local
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


class Unhashed(type):
    """
    A metaclass by which classes compare, and have no hash.
    """

    def __eq__(cls, other: object) -> bool:
        return cls is other

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("give", [callbacks, lambda it: callbacks(background(it))])
def test_class_without_a_hash(give: Any) -> None:
    """
    A handler whose class has no hash is one as any other.
    """
    for _ in range(2):
        handler = Unhashed("Odd", (Duck,), {})()
        with give(handler):
            traced(work)()
        assert handler.heard == ["done"]


def test_namespace() -> None:
    """
    Functions on an instance are methods too, whatever other instances have.
    """
    with pytest.raises(TypeError):
        callbacks(SimpleNamespace())
    heard: list[str] = []
    handler = SimpleNamespace(on_chain_end=heard.append)

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

    described = {"name": "work", "description": getdoc(work)}
    assert mock.on_tool_start.call_args.args == (described, "{}")
    assert mock.on_tool_end.call_args.args == ("done",)
    assert mock.on_event.call_count == 2
    assert mock.flush.call_count == 1


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


class Mistyped:
    """
    Means to hear a model, and has no method of an event.
    """

    def on_llm_strat(self, prompts: list[str]) -> None: ...


class MistypedBeside(Duck):
    """
    Hears something, and means to hear more.
    """

    def on_chat_model_end(self, response: Any) -> None: ...

    def on_tool_starts(self, input_str: str) -> None: ...

    def on_shutdown(self) -> None: ...


@pytest.mark.filterwarnings("ignore:.* was never entered:RuntimeWarning")
def test_method_named_nearly_as_an_event(reports: list[str]) -> None:
    """
    A method that hears nothing for a slip in its name is reported, once for its class.
    """
    callbacks(MistypedBeside())
    callbacks(MistypedBeside(), Duck())

    said = "MistypedBeside.{} hears nothing: there is no such event. Did you mean {!r}?"
    assert [line.strip() for line in reports] == [
        said.format("on_chat_model_end", "on_llm_end"),
        said.format("on_tool_starts", "on_tool_start"),
    ]


REFUSED: list[tuple[Any, str]] = [
    (
        StdOutCallbackHandler,
        r"not the class StdOutCallbackHandler\. Make one: callbacks\(",
    ),
    ([print], r"one by one, not a list of them: .*callbacks\(\*handlers\)"),
    ((print,), "not a tuple of them"),
    ({print}, "not a set of them"),
    ({"on_llm_end": print}, r"on_llm_end.* is none"),
    (None, "None is none"),
    (3, "3 is none: it has no on_\\* method and cannot be called"),
    ("stdout", "'stdout' is none"),
    (b"stdout", "is none"),
    (object(), "<object object at .*> is none"),
    (Mistyped(), "is none: there is no event 'on_llm_strat'. Did you mean 'on_llm_st"),
]


@pytest.mark.parametrize("value, said", REFUSED, ids=[str(v)[:20] for v, _ in REFUSED])
def test_what_is_no_handler(value: Any, said: str) -> None:
    """
    What can hear nothing is refused where it is given, with the cure.
    """
    with pytest.raises(TypeError, match=said):
        callbacks(value)


@pytest.mark.parametrize(
    "name, said",
    [
        ("on_llm_new_tokens", "Did you mean 'on_llm_new_token'"),
        ("tag", "Did you mean 'tags'"),
        ("plumming", "Did you mean 'plumbing'"),
        ("on_tool_strat", "Did you mean 'on_tool_start'"),
        ("zzz", "Events: on_llm_start"),
        ("on_llm_stop", "Did you mean 'on_llm_"),
        ("on_chat_model_end", "Did you mean 'on_llm_end'"),
        ("on_token", "Did you mean 'on_llm_new_token'"),
    ],
)
def test_event_that_does_not_exist(name: str, said: str) -> None:
    """
    A keyword that is no event is refused, with the nearest one.
    """
    anything: Any = callbacks
    with pytest.raises(TypeError, match=said) as caught:
        anything(**{name: print})

    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("name", ["callbacks", "handlers", "handler"])
def test_handlers_by_keyword(name: str) -> None:
    """
    Handlers that are given by keyword are refused with the way to give them.
    """
    anything: Any = callbacks
    with pytest.raises(TypeError, match=rf"as they are, without {name}=: callbacks\(h"):
        anything(**{name: [Recorder()]})


@pytest.mark.parametrize("value", [None, 3, "print"])
def test_function_that_is_none(value: Any) -> None:
    """
    What cannot be called is no function for an event.
    """
    with pytest.raises(TypeError, match=r"on_llm_end=\.\.\.\) takes a function, not"):
        callbacks(on_llm_end=value)


def test_what_type_checkers_know() -> None:
    """
    Type checkers know every event, as a function by keyword and as a handler's method.
    """
    from instrument._audience import typed

    accepted = get_args(typed.Handler)[2:]

    assert typed.Functions.__annotations__.keys() == EVENTS.keys()
    assert [it.__name__[5:].lower() for it in accepted] == [
        event[3:].replace("_", "") for event in EVENTS
    ]
    assert [
        name for it in accepted for name in vars(it) if name.startswith("on_")
    ] == list(EVENTS)


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
    from instrument._audience import listener as _listener

    for number in range(600):
        made = type(f"Made{number}", (), {"on_event": lambda self, event, **_: None})
        with callbacks(made()):
            emit("heard")

    assert len(_listener._kinds) <= 512
    assert len(_listener._foreign) <= 512
    assert len(_listener._whole) <= 512
