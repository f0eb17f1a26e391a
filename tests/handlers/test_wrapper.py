"""
What `background`, `filtered` and `tail` share: they take any handler, and it stays itself.
"""

import gc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from instrument import AsyncCallbackHandler, BaseCallbackHandler, callbacks, traced
from instrument._audience.plan import Layer, Options
from instrument._delivery import flush as _serve
from instrument._report import failures
from instrument.handlers import background, filtered, local, tail
from instrument.testing import Recorder

KINDS = ("chain", "tool", "chat_model")


def all_kinds(handler: object) -> Any:
    """
    Filter nothing out.
    """
    return filtered(handler, kinds=KINDS)


def nested(handler: object) -> Any:
    """
    Put one in the other.
    """
    return background(all_kinds(handler))


def turned(handler: object) -> Any:
    """
    Put the other in the one.
    """
    return all_kinds(background(handler))


def whole(handler: object) -> Any:
    """
    Tell all, when it has ended.
    """
    return tail(handler, sample=1)


def whole_in_background(handler: object) -> Any:
    """
    Put one in the other in the third.
    """
    return all_kinds(tail(background(handler), sample=1))


every_wrapper = pytest.mark.parametrize(
    "wrap", [background, all_kinds, nested, turned, whole, whole_in_background]
)


@traced
def work(value: object = None) -> object:
    """
    Be a run.
    """
    return value


@every_wrapper
def test_object_with_methods(wrap: Callable[[object], Any]) -> None:
    """
    A handler in a wrapper hears what it would hear outside, in the same order.
    """
    inside, outside = Recorder(), Recorder()

    with callbacks(outside, wrap(inside)):
        traced(lambda: work(1))()

    assert inside.events == outside.events
    assert [event.seq for event in inside.events] == [1, 2, 3, 4]


@every_wrapper
def test_callable(wrap: Callable[[object], Any]) -> None:
    """
    A function that takes every event may be wrapped.
    """
    heard: list[Any] = []

    with callbacks(wrap(heard.append)):
        work()

    assert [event.event for event in heard] == ["on_chain_start", "on_chain_end"]


@every_wrapper
def test_method_with_few_arguments(wrap: Callable[[object], Any]) -> None:
    """
    A method without ``**kwargs`` gets the arguments that it names.
    """
    heard: list[Any] = []
    handler = SimpleNamespace(on_chain_end=lambda outputs, run: heard.append(run.name))

    with callbacks(wrap(handler)):
        work()

    assert heard == ["work"]


@every_wrapper
def test_async_handler(wrap: Callable[[object], Any]) -> None:
    """
    Coroutines are awaited, in order, before the block is left.
    """

    class Async(AsyncCallbackHandler):
        heard: list[str] = []  # noqa: RUF012 - one instance

        async def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            self.heard.append("start")

        async def on_chain_end(self, *args: Any, **kwargs: Any) -> None:
            self.heard.append("end")

        async def aflush(self) -> None:
            self.heard.append("flush")

    with callbacks(wrap(Async())):
        work()

    assert Async.heard == ["start", "end", "flush"]


@every_wrapper
def test_chat_model_as_text(wrap: Callable[[object], Any]) -> None:
    """
    A handler that knows only text models hears chat models as text, unless it ignores
    them.
    """
    heard: list[Any] = []

    class Text:
        ignore_chat_model = False

        def on_llm_start(self, serialized: Any, prompts: Any, **kwargs: Any) -> None:
            heard.append(prompts)

    deaf = Text()
    deaf.ignore_chat_model = True

    with callbacks(wrap(Text()), wrap(deaf)):
        traced.chat_model(lambda messages: "")("hello")

    assert heard == [["User: hello"]]


@every_wrapper
def test_flags_hold(wrap: Callable[[object], Any]) -> None:
    """
    What a handler ignores it ignores in a wrapper too.
    """

    class Deaf(BaseCallbackHandler):
        ignore_chain = True

        def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
            raise AssertionError

    handler = Deaf()

    with callbacks(wrap(handler)):
        work()

    assert failures(handler) == {}


@every_wrapper
def test_handler_that_hears_nothing(wrap: Callable[[object], Any]) -> None:
    """
    A handler without a method of its own may be wrapped, as it may be given.
    """
    with callbacks(wrap(BaseCallbackHandler())):
        assert work(1) == 1


@every_wrapper
def test_failure_is_the_handlers(
    wrap: Callable[[object], Any], reports: list[str]
) -> None:
    """
    A failure is reported once, under the name of the handler and not of its wrapper.
    """

    class Broken:
        def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
            raise OSError("disk full")

    handler = Broken()

    with callbacks(wrap(handler)):
        assert work("result") == "result"
        work()

    assert failures(handler) == {"on_chain_end": 2}
    assert len(reports) == 1
    assert "Broken failed at on_chain_end" in reports[0]
    assert "disk full" in reports[0]


@every_wrapper
def test_flush_is_passed_on(wrap: Callable[[object], Any]) -> None:
    """
    Leaving the block flushes the handler, when it has heard all of it.
    """
    log: list[str] = []
    handler = SimpleNamespace(
        on_chain_end=lambda outputs: log.append("end"),
        flush=lambda: log.append("flush"),
    )

    with callbacks(wrap(handler)):
        work()

    assert log == ["end", "flush"]


@every_wrapper
def test_wrapper_given_twice(wrap: Callable[[object], Any]) -> None:
    """
    One wrapper given twice hears once; the handler beside it hears for itself.
    """
    recorder = Recorder()
    wrapper = wrap(recorder)

    with callbacks(wrapper, recorder), callbacks(wrapper):
        work()

    assert len(recorder.events) == 4


@every_wrapper
def test_local(wrap: Callable[[object], Any]) -> None:
    """
    `local` of a wrapper hears that object's own runs, though nobody else holds it.
    """
    recorder, other = Recorder(), Recorder()
    wrapped = local(wrap(recorder))

    @traced("outer", callbacks=[wrapped])
    def outer() -> None:
        work()

    gc.collect()
    with callbacks(*[wrap(other) for _ in range(10)]):  # at the address of the first
        outer()
        outer()
    _serve.flush(Layer(Options((wrapped,))))

    assert [run.name for run in recorder.runs] == ["outer", "outer"]
    assert len(other.events) == 10 * 8


@every_wrapper
def test_the_handler_within(wrap: Callable[[object], Any]) -> None:
    """
    ``__wrapped__`` is the handler, and the wrapper is described by its name.
    """
    recorder = Recorder()

    assert wrap(recorder).__wrapped__ is recorder
    assert wrap(recorder).handler is recorder
    assert repr(wrap(recorder)).endswith(" of Recorder>")


@every_wrapper
@pytest.mark.parametrize(
    "given, cure",
    [
        (Recorder, r"Make one: callbacks\(Recorder\(\)\)"),
        ([Recorder()], "Unpack it"),
        (object(), "is none"),
        (callbacks(), r"not callbacks\(\)"),
        (local(print), "the other way round"),
    ],
    ids=["class", "list", "object", "callbacks", "local"],
)
def test_no_handler(wrap: Callable[[object], Any], given: object, cure: str) -> None:
    """
    What is no handler is refused at once, with the cure.
    """
    with pytest.raises(TypeError, match=cure):
        wrap(given)


class Unknown:
    """
    A handler that will not say of what class it is.
    """

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise LookupError

    def __call__(self, *args: object, **kwargs: object) -> None: ...


@pytest.mark.parametrize(
    "given",
    [
        callbacks,
        lambda odd: callbacks(on_chain_start=odd),
        lambda odd: callbacks(background(odd)),
        lambda odd: callbacks(all_kinds(odd)),
        lambda odd: callbacks(whole(odd)),
    ],
    ids=["block", "keyword", "background", "filtered", "tail"],
)
def test_handler_that_tells_no_class(given: Callable[[object], Any]) -> None:
    """
    A handler may be given in whatever way, also where it raises when it is asked for its
    class: the call and the other handlers are told nothing of it.
    """
    odd, heard = Unknown(), Recorder()

    with callbacks(heard), given(odd):
        assert traced(lambda: 1)() == 1

    assert heard.tree().endswith(": ok")


def test_what_a_wrapped_handler_may_stop() -> None:
    """
    A wrapper says of itself what its handler says: whether it may stop a call.
    """

    class Stops(BaseCallbackHandler):
        raise_error = True

    for handler in (BaseCallbackHandler(), Stops()):
        wrapped: Any = filtered(handler, kinds="tool")
        assert wrapped.raise_error is handler.raise_error
