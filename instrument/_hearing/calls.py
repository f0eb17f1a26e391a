"""
A call of a provider: a run of its own, or part of the run that it is made in.

Whoever hears it, a watcher or a client's wrapper, says when it begins, what comes, and
how it ends.
"""

from itertools import islice

from instrument._interrupts import SETTLED
from instrument._payloads.answers import usage_of
from instrument._runs.ending import afail, afinish, fail, finish, mend
from instrument._runs.leading import note_stream
from instrument._runs.merging import Inner, belonging, nothing
from instrument._runs.opening import Recipe, current_run, open_run
from instrument._runs.results import guarded
from instrument._runs.starting import astart, start
from instrument._state import get_state, set_state
from instrument._traced.keywords import Keywords
from instrument._traced.stream import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import Any, TypeAlias

    from instrument._runs.run import Run

    Call: TypeAlias = "Own | Inner"


class Asked:
    """
    What a provider is asked for.

    Args:
        read: Makes the `inputs` of *fields*, in containers of their own.
    """

    def __init__(
        self,
        recipe: Recipe,
        read: "Callable[[Any], dict[str, Any]]",
        fields: "Mapping[str, Any]",
        provider: str,
        model: str | None = None,
    ) -> None:
        self.recipe = recipe
        self._read = read
        self._fields = fields
        self.model = model
        self.provider = provider

    @property
    def inputs(self) -> "dict[str, Any]":
        """
        The messages, prompts or texts first, under any name; then the other parameters
        of the request. Read when they are asked for: many handlers never do.
        """
        return _inputs_of(self)

    def params(self) -> "dict[str, Any]":
        """
        Read those other parameters.
        """
        return dict(islice(self.inputs.items(), 1, None))


def _inputs_of(asked: Asked) -> "dict[str, Any]":
    return guarded(asked._fields, asked._read) or {}


def body_of(http: "Any") -> object:
    """
    Give the JSON of an HTTP response that has been read; None where it is none.
    """
    return guarded(http, _json)


def _json(http: "Any") -> object:
    return http.json() if "json" in http.headers.get("content-type", "") else None


def end_closed(call: "Call", http: "Any", was_read: bool) -> None:
    """
    End a call whose HTTP response its caller has closed, with what was read of it.

    Args:
        was_read: Whether it was read to its end, and so closed already.

    Raises:
        Exception: What a handler with ``raise_error`` raised.
    """
    if hasattr(http, "_content"):
        call.returned(body_of(http))
    elif was_read:
        call.returned(None)
    else:
        call.raised(GeneratorExit())


def tell_request(answer: object) -> None:
    """
    Add what one request has used to the call in hand, which may make several.
    """
    run, usage = current_run(), guarded(answer, usage_of)
    if run and usage is not None and run.kind == "chat_model":
        run.record_usage(**usage.to_dict())


def is_wrapped(client: object) -> bool:
    """
    Tell whether ``wrap()`` made this object, which hears its calls itself.
    """
    return getattr(type(client), "_instrument_hears", False)


def begin(asked: Asked) -> "Call | None":
    """
    Start a run of *asked*, or join the one in hand; None where nobody listens.

    Raises:
        Exception: What a handler with ``raise_error`` raised; nothing has begun then.
    """
    before, call = get_state(), None
    try:
        call = _opened(asked)
        if type(call) is Own:
            start(call.run)
    except BaseException:
        set_state(before)
        before = call = None  # this frame goes with what was raised
        raise
    return call


async def abegin(asked: Asked) -> "Call | None":
    """
    The same in async code.
    """
    before, call = get_state(), None
    try:
        call = _opened(asked)
        if isinstance(call, Own):
            await _done(astart(call.run))
    except BaseException as exc:
        if isinstance(call, Own):
            fail(call.run, exc, before)
            call.mend(before, exc)
        else:
            set_state(before)
        call = before = None
        raise
    return call


def _opened(asked: Asked) -> "Call | None":
    recipe = asked.recipe
    outer, belongs = belonging(recipe.kind)
    if belongs == "nothing":
        return None
    if outer is not None and belongs == "part":
        return Inner(outer, asked.model, asked.provider, asked.params)
    run = open_run(recipe, (), (_NAMED, (asked,), _NO_KEYWORDS, None), outer)
    if run is None:
        return None
    run._model, run.provider = asked.model, asked.provider
    return Own(run)


class Own:
    """
    A call that is a run; current in its body, but not while it streams.

    Each method raises what a handler with ``raise_error`` raised.
    """

    _stream: Stream | None = None
    _tell: "Callable[[Any], object]"
    _atell: "Any" = None

    def __init__(self, run: "Run") -> None:
        self.run: Any = run
        self._outside = get_state()

    def __reduce__(self) -> "Any":
        return nothing, ()

    def go_on(self, *, in_pieces: bool) -> None:
        """
        Leave the body; the result comes later, whole or as a stream.

        One that is dropped ends when this object goes.
        """
        try:
            stream = Stream(self.run, _PLAIN, starts=False, yields=in_pieces)
            self._stream = stream
            note_stream(self.run._parent)
            stream.leave(self._outside)
            stream.opened()
            self._tell = stream.tell()
        except BaseException:
            set_state(self._outside)
            raise

    def enter(self) -> "Any":
        """
        Be in the body of a stream for a step; give the state outside it.
        """
        return self._stream.enter() if self._stream is not None else get_state()

    def leave(self, outside: object) -> None:
        """
        Go back to that state.
        """
        if self._stream is not None:
            self._stream.leave(outside)

    def item(self, chunk: object) -> None:
        """
        Take a piece of a stream.
        """
        state = get_state()
        stream: Any = self._stream
        try:
            self._tell(chunk)
        except BaseException:
            self._tell = stream.tell()  # it has ended; the stream may go on
            raise
        finally:
            set_state(state)

    def returned(self, value: object) -> None:
        """
        End with a whole result, or with None where it came in pieces.
        """
        stream: Any = self._stream
        run = self.run
        if run is None:
            return
        try:
            self._learn(value)
            self._let_go()
            if stream is not None:
                stream.returned(value)
                stream.dropped = SETTLED
            else:
                finish(run, value)
        except BaseException as interrupt:
            if stream is not None:  # what has ended is told no more
                stream.failed(interrupt)
            raise
        finally:  # or the traceback would keep the run, and the run the traceback
            del stream, run

    def raised(self, exc: BaseException) -> None:
        """
        End with what was raised; with GeneratorExit where a stream was left.
        """
        stream: Any = self._stream
        run = self.run
        try:
            self._let_go()
            if stream is not None:
                stream.failed(exc)
                stream.dropped = SETTLED
            elif run is not None:
                fail(run, exc)
        except BaseException as interrupt:
            if stream is not None:
                stream.failed(interrupt)
            raise
        finally:
            del stream, run

    def mend(self, before: object, exc: BaseException) -> None:
        """
        End where an interrupt has kept others from it, and go back to the state *before*.
        """
        if self.run is not None:
            mend(self.run, before, exc)

    def _let_go(self) -> None:
        """
        Hold the run no more, which holds what was raised, whose frames hold this.
        """
        if self._stream is not None:
            self._stream, self._tell, self._atell = None, _nobody, _nobody
            self.run = self._outside = None

    async def aitem(self, chunk: object) -> None:
        """
        The twin of `item`.
        """
        state = get_state()
        stream: Any = self._stream
        try:
            if self._atell is None:
                self._atell = stream.atell()
            await _done(self._atell(chunk))
        except BaseException:
            self._atell = None  # it has ended; the stream may go on
            raise
        finally:
            set_state(state)

    async def areturned(self, value: object) -> None:
        """
        The twin of `returned`.
        """
        stream, run, before = self._stream, self.run, get_state()
        if run is None:
            return
        try:
            self._learn(value)
            self._let_go()
            await _done(stream.areturned(value) if stream else afinish(run, value))
        except BaseException as exc:
            if stream is not None:
                mend(run, before, exc)
            raise
        finally:
            del stream, run, before

    async def araised(self, exc: BaseException) -> None:
        """
        The twin of `raised`.
        """
        stream: Any = self._stream
        run = self.run
        try:
            self._let_go()
            if stream is not None:
                await _done(stream.afailed(exc))
            elif run is not None:
                await _done(afail(run, exc))
        except BaseException as interrupt:
            if stream is not None:
                stream.failed(interrupt)
            raise
        finally:
            del stream, run

    def _learn(self, value: object) -> None:
        if self.run.kind == "embedding" and not self.run.usage:
            self.run.usage = guarded(value, usage_of) or self.run.usage


def _nobody(chunk: object) -> None: ...


async def _done(pending: "Awaitable[None] | None") -> None:
    if pending is not None:
        await pending


class _Named:
    """
    Binds what has its names already, and is in containers of its own.
    """

    is_own = True
    keyed = False
    quick: "dict[object, Callable[..., dict[str, Any]]]" = {None: _inputs_of}  # noqa: RUF012

    if TYPE_CHECKING:  # what is quick never fails

        def bound(
            self, args: tuple[Any, ...], kwargs: dict[str, Any], instance: object
        ) -> dict[str, Any]: ...


_NAMED = _Named()
_NO_KEYWORDS: "dict[str, Any]" = {}
_PLAIN = Keywords()
