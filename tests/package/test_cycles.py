"""
Nothing of ours keeps a payload in a reference cycle: what a run held goes when the run
goes, however that ends, with the collector off.
"""

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import Context, copy_context
from functools import partial
from inspect import iscoroutinefunction
from types import coroutine
from typing import Any, Self

import pytest

from instrument import AsyncCallbackHandler, bind, callbacks, current_run, traced
from instrument._delivery.serving import Serving
from instrument.handlers import background
from instrument.testing import Recorder

Ending = Callable[[Callable[[Any], Any], object], None]


class Payload:
    """
    What must go.
    """


class Hears(AsyncCallbackHandler):
    """
    Hears typed events, in async methods.
    """

    async def on_chain_start(self, *args: object, **kwargs: object) -> None: ...

    async def on_chain_end(self, *args: object, **kwargs: object) -> None: ...

    async def on_chain_error(self, *args: object, **kwargs: object) -> None: ...


class Fails(AsyncCallbackHandler):
    """
    Fails in async methods.
    """

    async def on_chain_start(self, *args: object, **kwargs: object) -> None:
        raise ZeroDivisionError

    on_chain_end = on_chain_error = on_chain_start


class Stops:
    """
    Lets the call fail where it ends, and its frame holds the run.
    """

    raise_error = True

    def on_chain_end(self, *args: object, **kwargs: object) -> None:
        raise ValueError

    on_chain_error = on_llm_new_token = on_llm_end = on_llm_error = on_chain_end


class StopsStart(AsyncCallbackHandler):
    """
    Lets it fail before it begins.
    """

    raise_error = True

    async def on_chain_start(self, *args: object, **kwargs: object) -> None:
        raise ValueError

    on_chat_model_start = on_chain_start


class Around:
    """
    What is around a body, and does nothing.
    """

    def enter(self) -> None: ...

    def leave(self) -> None: ...


class Surrounds:
    """
    Puts that around each step of a body, as the handler of OpenTelemetry does.
    """

    _around = True

    def on_chain_start(self, *args: object, run: Any, **kwargs: object) -> None:
        run._around = Around()

    on_chat_model_start = on_chain_start


HANDLERS: dict[str, Callable[[], Any]] = {
    "typed": lambda: callbacks(
        on_chain_start=lambda **_: None,
        on_chain_end=lambda **_: None,
        on_chain_error=lambda **_: None,
    ),
    "native": lambda: callbacks(lambda event: None),
    "records": lambda: callbacks(lambda event: event.to_json() and None),
    "async": lambda: callbacks(Hears()),
    "async that fails": lambda: callbacks(Fails()),
    "around": lambda: callbacks(Surrounds()),
    "in background, and fails": lambda: callbacks(background(Fails())),
}

DECORATORS: dict[str, Callable[[Any], Any]] = {
    "plain": lambda target: target,
    "traced": traced,
    "model": traced.chat_model,
    "outputs": traced("x", outputs=lambda value: value),
    "callbacks": lambda target: callbacks(lambda event: None)(traced(target)),
    "bind": lambda target: bind(traced(target)),
    "twice": lambda target: traced("outer")(given_back(traced(target))),
}

ERRORS = (ZeroDivisionError, ValueError, GeneratorExit, asyncio.CancelledError)
"""What ends a call here; ValueError is of the handler that stops."""


@coroutine
def once() -> Iterator[None]:
    """
    Suspend, once.
    """
    yield


def function(payload: object, exc: type[BaseException] | None = None) -> object:
    """
    Return what was given, or fail, with the run in hand.
    """
    run = current_run()
    if exc is not None and run is not None:
        raise exc
    return payload


async def acall(payload: object, exc: type[BaseException] | None = None) -> object:
    """
    Do the same, after a while.
    """
    await once()
    return function(payload, exc)


def stream(payload: object, exc: type[BaseException] | None = None) -> Iterator[Any]:
    """
    Yield it twice.
    """
    yield payload
    yield function(payload, exc)


async def astream(
    payload: object, exc: type[BaseException] | None = None
) -> AsyncIterator[Any]:
    """
    Yield it twice, after a while.
    """
    await once()
    yield payload
    yield function(payload, exc)


def driven(made: Any) -> None:
    """
    Drive a coroutine to its end.
    """
    try:
        while True:
            made.send(None)
    except StopIteration:
        pass
    finally:
        del made  # it keeps what was thrown into it, and that this frame


async def drained(made: Any) -> None:
    """
    Take every item.
    """
    async for _ in made:
        pass


def raised(how: Callable[[], Any]) -> None:
    """
    Have it end with what it ends with.
    """
    with suppress(*ERRORS):
        how()


def given_back(body: Callable[..., object]) -> Callable[..., object]:
    """
    Give a plain function that returns what *body* makes.
    """

    def plain(payload: object, *exc: type[BaseException]) -> object:
        return body(payload, *exc)

    return plain


def _call(decorate: Any, payload: object, *exc: Any) -> None:
    raised(lambda: decorate(function)(payload, *exc))


def _await(decorate: Any, payload: object, *exc: Any) -> None:
    raised(lambda: driven(decorate(acall)(payload, *exc)))


def _followed(decorate: Any, payload: object, *exc: Any) -> None:
    made = decorate(given_back(acall))(payload, *exc)
    raised(lambda: driven(made))


def _drain(decorate: Any, payload: object, *exc: Any) -> None:
    raised(lambda: [None for _ in decorate(stream)(payload, *exc)])


def _returned(decorate: Any, payload: object, *exc: Any) -> None:
    made = decorate(given_back(stream))(payload, *exc)
    raised(lambda: [None for _ in made])


def _adrain(decorate: Any, payload: object, *exc: Any) -> None:
    raised(lambda: driven(drained(decorate(astream)(payload, *exc))))


def _midway(body: Any, leave: Callable[[Any], Any]) -> Ending:
    """
    Step it once, and leave it there.
    """

    def end(decorate: Any, payload: object) -> None:
        made = decorate(body)(payload)
        if hasattr(made, "__anext__"):
            step = anext(made)
            with suppress(StopIteration):
                while True:
                    step.send(None)
        else:
            made.send(None)
        raised(lambda: leave(made))

    return end


def _drop(made: object) -> None:
    """
    Leave it to be collected.
    """


def _elsewhere(made: Any) -> None:
    Context().run(made.close)


def _close(made: Any) -> None:
    made.close()


def _aclose(made: Any) -> None:
    driven(made.aclose())


def _cancel(made: Any) -> None:
    made.throw(asyncio.CancelledError())


def _acancel(made: Any) -> None:
    driven(made.athrow(asyncio.CancelledError()))


def _unstepped(decorate: Any, payload: object) -> None:
    for body in (stream, astream):
        decorate(body)(payload)


def _unstepped_returned(decorate: Any, payload: object) -> None:
    for body in (stream, astream, acall):
        decorate(lambda given, made=body: made(given))(payload)


def _ended_by_hand(decorate: Any, payload: object) -> None:
    def made(given: object) -> None:
        current_run().outputs = [given]
        current_run().add_metadata(given=given)

    raised(lambda: decorate(made)(payload))


def _held_by_its_function(decorate: Any, payload: object) -> None:
    held: list[object] = []

    def made(given: object) -> None:
        held.extend([current_run(), copy_context()])

    async def amade(given: object) -> None:
        made(given)

    def streamed(given: object) -> Iterator[object]:
        made(given)
        yield given

    decorate(made)(payload)
    driven(decorate(amade)(payload))
    for _ in decorate(streamed)(payload):
        pass


def _close_not_heeded(decorate: Any, payload: object) -> None:
    def within(given: object) -> Iterator[object]:
        with suppress(GeneratorExit):
            yield given

    made = decorate(within)(payload)
    next(made)
    made.close()


async def _heeds_nothing(given: object) -> AsyncIterator[object]:
    run = current_run()
    with suppress(GeneratorExit, asyncio.CancelledError):
        await once()
        yield given
    run.add_tags("left")


def _aclose_not_heeded(decorate: Any, payload: object) -> None:
    _midway(_heeds_nothing, _aclose)(decorate, payload)


def _cancel_not_heeded(decorate: Any, payload: object) -> None:
    made = decorate(_heeds_nothing)(payload)
    step = anext(made)
    step.send(None)
    with suppress(StopAsyncIteration):
        step.throw(asyncio.CancelledError())


def _in_a_block(decorate: Any, payload: object, *exc: Any) -> None:
    called = decorate(function)

    def within(given: object) -> None:
        with traced("block", inputs={"given": given}) as run:
            run.outputs = [given]
            called(given, *exc)

    raised(lambda: within(payload))


def _told_more_in_a_block(decorate: Any, payload: object) -> None:
    called = decorate(function)

    def within(given: object) -> None:
        with traced("block") as run:
            run.add_metadata(given=given)
            with callbacks(lambda event: None):
                called(given)

    within(payload)


def _in_an_async_block(decorate: Any, payload: object, *exc: Any) -> None:
    called = decorate(acall)

    async def within(given: object) -> None:
        async with traced("block", inputs={"given": given}) as run:
            run.outputs = [given]
            await called(given, *exc)

    raised(lambda: driven(within(payload)))


def _block_left_elsewhere(decorate: Any, payload: object) -> None:
    def within() -> Iterator[None]:
        with callbacks(lambda event: None), traced("block") as run:
            decorate(function)(payload)
            run.outputs = [payload]
            yield

    made: Any = within()
    Context().run(next, made)
    made.close()


def _block_in_a_generator(decorate: Any, payload: object) -> None:
    def within() -> Iterator[None]:
        with traced("block", inputs={"given": payload}) as run:
            run.outputs = [payload]
            yield

    next(decorate(lambda _: within())(payload))


async def _in_a_task(decorate: Any, payload: object) -> None:
    async def waits(given: object) -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(decorate(waits)(payload))
    await asyncio.sleep(0)
    task.cancel()
    try:
        with suppress(*ERRORS):
            await task
    finally:
        del task  # it keeps what it raised, and that this frame


async def _loop_closes(decorate: Any, payload: object) -> None:
    made = decorate(astream)(payload)
    await anext(made)
    del made
    for _ in range(9):  # a task of the loop closes it
        await asyncio.sleep(0)


def _on_a_loop(work: Any) -> Ending:
    return lambda decorate, payload: asyncio.run(work(decorate, payload))


ENDINGS: dict[str, Ending] = {
    "function ok": _call,
    "function error": lambda d, p: _call(d, p, ZeroDivisionError),
    "function cancelled": lambda d, p: _call(d, p, asyncio.CancelledError),
    "coroutine ok": _await,
    "coroutine error": lambda d, p: _await(d, p, ZeroDivisionError),
    "coroutine cancelled": _midway(acall, _cancel),
    "coroutine closed": _midway(acall, _close),
    "coroutine dropped": _midway(acall, _drop),
    "returned coroutine ok": _followed,
    "returned coroutine error": lambda d, p: _followed(d, p, ZeroDivisionError),
    "returned coroutine dropped": _midway(given_back(acall), _drop),
    "task cancelled": _on_a_loop(_in_a_task),
    "generator ok": _drain,
    "generator error": lambda d, p: _drain(d, p, ZeroDivisionError),
    "generator closed": _midway(stream, _close),
    "generator closed elsewhere": _midway(stream, _elsewhere),
    "generator closed, returns": _close_not_heeded,
    "generator cancelled": _midway(stream, _cancel),
    "generator dropped": _midway(stream, _drop),
    "returned generator ok": _returned,
    "returned generator error": lambda d, p: _returned(d, p, ZeroDivisionError),
    "returned generator closed": _midway(given_back(stream), _close),
    "returned generator dropped": _midway(given_back(stream), _drop),
    "async generator ok": _adrain,
    "async generator error": lambda d, p: _adrain(d, p, ZeroDivisionError),
    "async generator closed": _midway(astream, _aclose),
    "async generator closed, returns": _aclose_not_heeded,
    "async generator cancelled in a step, returns": _cancel_not_heeded,
    "async generator cancelled": _midway(astream, _acancel),
    "async generator dropped": _midway(astream, _drop),
    "async generator left to its loop": _on_a_loop(_loop_closes),
    "never stepped": _unstepped,
    "returned, never stepped": _unstepped_returned,
    "told by hand": _ended_by_hand,
    "held by its function": _held_by_its_function,
    "block ok": _in_a_block,
    "block error": lambda d, p: _in_a_block(d, p, ZeroDivisionError),
    "block told more": _told_more_in_a_block,
    "async block ok": _in_an_async_block,
    "async block error": lambda d, p: _in_an_async_block(d, p, ZeroDivisionError),
    "async block cancelled": lambda d, p: _in_an_async_block(
        d, p, asyncio.CancelledError
    ),
    "block left elsewhere": _block_left_elsewhere,
    "block in a generator dropped": _block_in_a_generator,
}


def kept(end: Callable[[object], None]) -> bool:
    """
    Tell whether a payload is still there when *end* is done with it.
    """
    payload = Payload()
    alive = weakref.ref(payload)
    end(payload)
    del payload
    return alive() is not None


@pytest.mark.rule(8)
def test_all_keep_one_like_it() -> None:
    """
    The runs that were cancelled together keep one exception, without a traceback.
    """
    heard: list[Any] = []
    body = traced("outer")(given_back(traced("inner")(acall)))

    with callbacks(on_chain_error=lambda run: heard.append(run.error)):
        _midway(body, _cancel)(lambda target: target, Payload())

    inner, outer = heard
    assert inner is outer
    assert (type(inner), inner.__traceback__) == (asyncio.CancelledError, None)


class TakesTwoError(Exception):
    """
    An exception that is made of other things than it holds.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


class SlotsError(OSError):
    """
    An exception with a slot, and another that nothing was put in.
    """

    __slots__ = ("code", "empty")
    code: int


class NewError(Exception):
    """
    An exception that cannot be made without code of its own.
    """

    made = 0

    def __new__(cls, *args: object) -> Self:
        cls.made += 1
        return super().__new__(cls, *args)


def slotted() -> SlotsError:
    """
    Make one.
    """
    made = SlotsError(2, "no such file", "a.txt")
    made.code = 7
    return made


def noted() -> Exception:
    """
    Make one with a note.
    """
    made = ValueError("bad")
    made.add_note("here")
    return made


@pytest.mark.parametrize(
    "error",
    [
        noted(),
        KeyError("x"),
        TakesTwoError(4, "lost"),
        slotted(),
        NewError("new"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        ExceptionGroup("several", [ValueError("one")]),
        StopIteration(3),
        SystemExit(4),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_failed_block_keeps_one_like_its_error(error: Any) -> None:
    """
    A block that has failed keeps an exception of the same class that says the same, made
    by no code of that class, without a traceback; its handlers and the caller have the
    one that was raised.
    """
    heard: list[Any] = []
    made = NewError.made

    with (
        callbacks(on_chain_error=lambda run: heard.append(run.error)),
        pytest.raises(type(error)) as caught,
        traced("x") as run,
    ):
        raise error

    kept: Any = run.error
    assert heard == [caught.value] == [error]
    assert kept is not error
    assert (type(kept), kept.__traceback__) == (type(error), None)
    assert (str(kept), repr(kept), kept.args) == (str(error), repr(error), error.args)
    names = ("code", "errno", "filename", "value", "object", "exceptions", "__notes__")
    assert [getattr(kept, it, None) for it in names] == [
        getattr(error, it, None) for it in names
    ]
    assert NewError.made == made


def test_what_cannot_be_made_is_kept() -> None:
    """
    Of a group whose arguments are others by now there is none like it: the run keeps it.
    """
    error = ExceptionGroup("several", [ValueError("one")])
    error.args = ()

    with (
        callbacks(lambda event: None),
        pytest.raises(ExceptionGroup),
        traced("x") as run,
    ):
        raise error

    assert run.error is error


def test_a_function_that_does_not_hold_its_run_keeps_its_error() -> None:
    """
    Where no frame of the traceback holds the run, it keeps the exception itself.
    """
    heard: list[Any] = []

    with (
        callbacks(on_chain_error=lambda run: heard.append(run.error)),
        suppress(ZeroDivisionError),
    ):
        traced(lambda: 1 / 0)()

    assert heard[0].__traceback__ is not None


SILENT = ("dropped", "never stepped", "left to its loop")


@pytest.mark.rule(21)
@pytest.mark.parametrize("decorator", DECORATORS)
@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.usefixtures("uncollected")
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_payload_goes_with_its_run(decorator: str, handler: str) -> None:
    """
    However a call ends, its arguments and results go at once, as undecorated ones do.
    """

    def ended(ending: str) -> Callable[[object], None]:
        def end(payload: object) -> None:
            with HANDLERS[handler]():
                ENDINGS[ending](DECORATORS[decorator], payload)

        return end

    assert [ending for ending in ENDINGS if kept(ended(ending))] == []


STOPPED = [it for it in ENDINGS if not it.endswith(SILENT)]
"""Endings that raise where somebody sees it: what nobody sees Python shows, and keeps."""


@pytest.mark.rule(21)
@pytest.mark.parametrize("decorator", DECORATORS)
@pytest.mark.parametrize("handler", [Stops, StopsStart])
@pytest.mark.usefixtures("uncollected")
def test_payload_goes_though_a_handler_stops(decorator: str, handler: Any) -> None:
    """
    Nor is it kept where a handler stops the call, though its frame holds the run.
    """

    def ended(ending: str) -> Callable[[object], None]:
        def end(payload: object) -> None:
            with callbacks(handler()), suppress(ValueError):
                ENDINGS[ending](DECORATORS[decorator], payload)

        return end

    assert [ending for ending in STOPPED if kept(ended(ending))] == []


@pytest.mark.rule(21)
@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("is_async", [False, True])
def test_payload_goes_though_a_handler_stops_a_block_that_fails(
    is_async: bool,
) -> None:
    """
    Nor where it stops a block that fails, which has its run at hand.
    """

    async def ablock(payload: object) -> None:
        async with traced("x") as run:
            run.outputs = payload
            raise LookupError

    def block(payload: object) -> None:
        with traced("x") as run:
            run.outputs = payload
            raise LookupError

    def end(payload: object) -> None:
        with callbacks(Stops()), suppress(ValueError):
            if is_async:
                ablock(payload).send(None)
            else:
                block(payload)

    assert not kept(end)


@pytest.mark.rule(21)
@pytest.mark.usefixtures("uncollected")
def test_payload_goes_though_a_handler_stops_at_a_token() -> None:
    """
    Nor where it stops a model in the midst of what that says.
    """

    @traced.chat_model
    def says(_: object) -> Iterator[str]:
        yield "a"

    def end(payload: object) -> None:
        with callbacks(Stops()), suppress(ValueError):
            list(says([{"role": "user", "content": payload}]))

    assert not kept(end)


@pytest.mark.rule(21)
@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("is_grouped", [False, True])
@pytest.mark.parametrize("event", ["on_chat_model_start", "on_llm_end"])
def test_payload_goes_with_what_was_raised_from_a_stop(
    event: str, is_grouped: bool
) -> None:
    """
    Nor where the call around raises an error of its own from that of the handler, or a
    group with that.
    """
    model: Any = traced.chat_model(function)

    class StopsModel:
        raise_error = True

    setattr(StopsModel, event, Stops.on_chain_end)

    @traced
    def translates(payload: object) -> None:
        try:
            model([{"role": "user", "content": payload}])
        except ValueError as exc:
            if is_grouped:
                raise ExceptionGroup("a", [ExceptionGroup("b", [exc])]) from None
            raise ZeroDivisionError from exc

    stops: Any = StopsModel()

    def end(payload: object) -> None:
        with callbacks(stops), suppress(ZeroDivisionError, ExceptionGroup):
            translates(payload)

    assert not kept(end)


def test_group_that_is_kept() -> None:
    """
    What a run keeps in place of a group says what that says, and so for all that it
    crosses.
    """
    recorder = Recorder()

    @traced
    def fails() -> None:
        raise ExceptionGroup(
            "outer", [ValueError("a"), ExceptionGroup("b", [KeyError(1)])]
        )

    @traced
    def holds() -> None:
        with traced("block") as run:
            run.outputs = 1
            fails()

    with callbacks(recorder), pytest.raises(ExceptionGroup):
        holds()

    kept_ones = [run.error for run in recorder.runs]
    assert {repr(it) for it in kept_ones} == {
        "ExceptionGroup('outer', [ValueError('a'), ExceptionGroup('b', [KeyError(1)])])"
    }
    assert kept_ones[0] is kept_ones[1]
    assert isinstance(kept_ones[0], ExceptionGroup)
    assert kept_ones[0].subgroup(KeyError) is not None


@pytest.mark.rule(21)
@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("decorate", [traced, traced.chat_model])
@pytest.mark.parametrize("handler", ["typed", "native"])
def test_payload_goes_though_the_stack_was_full(decorate: Any, handler: str) -> None:
    """
    Nor where the stack ends in a handler, or in what is read for it, wherever that is.
    """

    def end(above: int, payload: object) -> None:
        def body(given: object) -> None:
            called(given)

        called: Any = decorate(body)
        if above:
            end(above - 1, payload)
            return
        with HANDLERS[handler](), suppress(RecursionError):
            called(payload)

    assert [it for it in range(9) if kept(partial(end, it))] == []


@pytest.mark.rule(21)
@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("decorate", [traced, callbacks(print), bind])
@pytest.mark.parametrize("body", [function, acall, stream, astream])
def test_decorated_function_goes_with_its_last_name(decorate: Any, body: Any) -> None:
    """
    A function that is decorated in a call, and what it closes over, goes with that call.
    """

    def end(payload: object) -> None:
        decorate(lambda: body(payload))

    assert not kept(end)


@pytest.mark.rule(21)
@pytest.mark.usefixtures("uncollected")
def test_what_serves_a_queue_lets_go_of_its_cancellation() -> None:
    """
    A task that serves a handler and goes on though it is cancelled keeps nothing of
    those who call it.
    """

    async def goes_on() -> None:
        with suppress(asyncio.CancelledError):
            await once()

    def end(payload: object) -> None:
        serving = Serving(goes_on())
        serving.send(None)
        with suppress(StopIteration):
            serving.throw(asyncio.CancelledError())

    assert not kept(end)


@pytest.mark.rule(21)
@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("waits_at", ["on_chain_start", "on_chain_end", "aflush"])
def test_cancelled_while_handlers_are_served(waits_at: str) -> None:
    """
    A request that is cancelled as it leaves its block, while that waits for what is
    queued for a handler, or has it flushed, keeps nothing.
    """

    async def wait(*args: object, **kwargs: object) -> None:
        served.set()
        for _ in range(5):
            await asyncio.sleep(0)

    async def request(payload: object) -> None:
        handler: Any = type("Waits", (AsyncCallbackHandler,), {waits_at: wait})()
        async with callbacks(handler):
            traced(function)(payload)

    async def cancelled(payload: object) -> None:
        task = asyncio.create_task(request(payload))
        del payload
        await served.wait()
        task.cancel()
        await asyncio.wait([task])

    def end(payload: object) -> None:
        asyncio.run(cancelled(payload))

    served = asyncio.Event()

    assert not kept(end)


def _fails(_: object) -> None:
    raise ZeroDivisionError


def _bound(payload: object) -> None:
    bind(_fails)(payload)


def _bound_in_a_pool(payload: object) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(bind(_fails), payload).result()


def _bound_before(payload: object) -> None:
    given = bind(function)
    given(payload)
    raise ZeroDivisionError


def _stream_bound(payload: object) -> None:
    given = bind(iter([payload]))
    next(given)
    raise ZeroDivisionError


def _scope_open(payload: object) -> None:
    with callbacks(print) as scope:
        raise ZeroDivisionError(scope is None)


def _scope_left(payload: object) -> None:
    with callbacks(print) as scope:
        pass
    raise ZeroDivisionError(scope is None)


def _stream_open(payload: object) -> None:
    made = traced(stream)(payload)
    next(made)
    raise ZeroDivisionError


def _in_a_list(payload: object) -> None:
    runs = [current_run()]
    raise ZeroDivisionError(len(runs))


def _closed_over(payload: object) -> None:
    run = current_run()
    raise ZeroDivisionError((lambda: run) is None)


def _bound_method(payload: object) -> None:
    tell = current_run().text
    raise ZeroDivisionError(tell is None)


def _partial(payload: object) -> None:
    tell = partial(print, current_run())
    raise ZeroDivisionError(tell is None)


def _of_an_object(payload: object) -> None:
    made = Around()
    made.__dict__["kept"] = {"of": [deque([current_run()])]}
    raise ZeroDivisionError(made is None)


def _block_of_an_object(payload: object) -> None:
    @contextmanager
    def opened() -> Iterator[None]:
        with traced("block", inputs={"given": payload}):
            yield

    made = opened()
    with made:
        raise ZeroDivisionError


def _stream_closed_over(payload: object) -> None:
    made = traced(stream)(payload)

    def read() -> None:
        next(made)

    read()
    raise ZeroDivisionError


async def _task_made(payload: object) -> None:
    task = asyncio.create_task(drained(astream(payload)))
    await task
    raise ZeroDivisionError


async def _group_made(payload: object) -> None:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(drained(astream(payload)))
    raise ZeroDivisionError(task.done())


def _of_no_module(payload: object) -> None:
    scope: dict[str, Any] = {"type": type}
    exec("Bare = type('Bare', (), {})", scope)
    bare, runs = scope["Bare"](), [current_run()]
    raise ZeroDivisionError(bare is None, len(runs))


async def _call_planned(payload: object) -> None:
    handle = asyncio.get_running_loop().call_soon(function, payload)
    await asyncio.sleep(0)
    raise ZeroDivisionError(handle.cancelled())


async def _caught(called: Callable[[object], Any], payload: object) -> None:
    with suppress(ZeroDivisionError):
        await called(payload)


@pytest.mark.rule(21)
@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize(
    "body",
    [
        _bound,
        _bound_in_a_pool,
        _bound_before,
        _stream_bound,
        _scope_open,
        _scope_left,
        _stream_open,
        _in_a_list,
        _closed_over,
        _bound_method,
        _partial,
        _of_an_object,
        _block_of_an_object,
        _stream_closed_over,
        _task_made,
        _group_made,
        _call_planned,
        _of_no_module,
    ],
)
def test_payload_goes_though_a_body_that_fails_knows_its_run(
    body: Callable[[object], Any],
) -> None:
    """
    A body that fails may have in its hands what leads to its run: a scope, what it has
    bound, a Context, a task, a function or an object that holds it. The error that the
    run keeps does not lead back there.
    """

    def end(payload: object) -> None:
        with callbacks(lambda event: None):
            if iscoroutinefunction(body):
                asyncio.run(_caught(traced(body), payload))
            else:
                raised(lambda: traced(body)(payload))

    assert not kept(end)


async def _waited_for_too_long() -> None:
    loop = asyncio.get_running_loop()
    planned = loop.call_later(60, function, 0)
    tasks = [asyncio.current_task()]
    planned.cancel()
    del planned
    raise TimeoutError(loop, len(tasks))


@pytest.mark.rule(21)
@pytest.mark.usefixtures("uncollected")
@pytest.mark.anyio
async def test_error_that_knows_its_own_task_is_kept_as_it_was_raised() -> None:
    """
    What waits has its own task at hand, and the loop: those lead to no run any more.
    """
    recorder = Recorder()
    with callbacks(recorder), pytest.raises(TimeoutError) as caught:
        await traced(_waited_for_too_long)()

    assert recorder.runs[0].error is caught.value


@pytest.mark.rule(21)
@pytest.mark.usefixtures("uncollected")
def test_error_with_much_around_it_is_kept_as_it_was_raised() -> None:
    """
    Of all that an application has at hand, what is nearest is looked through, and what
    has many items is not.
    """
    service = [[[it, [it]] for it in range(49)] for _ in range(49)]
    many, recorder = deque([service] * 50), Recorder()

    def fail(*given: object) -> None:
        raise ZeroDivisionError

    with callbacks(recorder), pytest.raises(ZeroDivisionError) as caught:
        traced(fail)(service, many)

    assert recorder.runs[0].error is caught.value


async def _asked(payload: object) -> None:
    with suppress(TimeoutError), callbacks(lambda event: None):
        await traced(_held)(payload)


async def _held(payload: object) -> None:
    await _waited_for_too_long()


@pytest.mark.rule(21)
@pytest.mark.usefixtures("uncollected")
def test_payload_goes_though_an_error_knows_its_own_task() -> None:
    """
    Nor does that keep what the run was given.
    """
    assert not kept(lambda payload: asyncio.run(_asked(payload)))
