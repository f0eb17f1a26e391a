"""
One run per logical call: a model's call inside a model's run is part of that run.

A framework's model calls a provider's SDK, an SDK calls itself: the first call inside
adds what it knows to the run that is there, a second one (a retry, a router) opens a
child.
"""

from instrument._audience.plan import NOBODY, View
from instrument._payloads.answers import Answer, answer_of, take, usage_of
from instrument._payloads.messages import is_dict
from instrument._payloads.redact import redacted
from instrument._runs.leading import note_stream
from instrument._runs.opening import INERT, current_run, nearer, open_parent
from instrument._runs.results import guarded
from instrument._state import Frame, get_state, leave, set_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from instrument._runs.run import Run

SORTS = {"chat_model": "text", "llm": "text", "embedding": "vectors"}


class Nested:
    """
    What becomes of calls inside a model's run; set by ``auto.install(nested=...)``.
    """

    opens_children = False


models: "list[Callable[[], Run | None]]" = []
"""What tells the open model run whose body a framework is in here."""


class Part(View):
    """
    Stands, over what was there, for a call that is part of a run: so are those in it.
    """


def belonging(kind: str) -> "tuple[Run | None, str]":
    """
    Say where a call of a model belongs.

    Returns:
        The open model run of the same sort that it is made in, if there is one, and
        ``run`` if it is one of its own, ``part`` if it is part of that one, ``nothing``
        if it is inside such a part.
    """
    if get_state().__class__ is Part:
        return None, "nothing"
    sort = SORTS.get(kind)
    if sort is None:
        return None, "run"
    run = current_run()
    outer = ambient = None if run is INERT else run
    if models:
        outer = nearer(_of_framework(), ambient)
    if outer is None or SORTS.get(outer.kind) != sort:
        return None, "run"
    if outer._inner is not None:
        outer._inner.is_first = True
        return outer, "run"
    if Nested.opens_children:
        return outer, "run"
    return outer, "run" if outer is ambient and _is_heard_by_more(outer) else "part"


def _of_framework() -> "Run | None":
    found = (open_parent(ask()) for ask in models)
    return next((run for run in found if run is not None), None)


def _is_heard_by_more(outer: "Run") -> bool:
    """
    Tell whether a block was opened in the run's body, whose handlers it would pass by.
    """
    state = get_state()
    if state is outer or not isinstance(state, Frame):
        return False
    return len(state._plan.settle().listeners) > len(outer._audience.listeners)


def nothing() -> None:
    """
    Stand for the call that a copy of an SDK's object, or one that was pickled, would hold.
    """


class Inner:
    """
    A call that is part of *outer*, which ends by itself, and with its own result.

    Tokens are told on *outer*, unless it yields its own.
    """

    __slots__ = ("__weakref__", "_answer", "_has_items", "_outer", "_part")

    def __init__(
        self,
        outer: "Run",
        model: str | None,
        provider: str | None,
        params: "Callable[[], dict[str, Any]]",
    ) -> None:
        self._outer = outer
        self._answer = outer._inner = Answer()
        self._has_items = False
        self._part = Part(outer._plan, outer)
        outer.model = outer.model or model
        outer.provider = outer.provider or provider
        if not outer.params and outer._audience.capture:
            shown = redacted(params(), outer._audience.redactors, ("inputs",))
            outer._params = shown if is_dict(shown) else None
        self.enter()

    def __reduce__(self) -> "Any":
        return nothing, ()

    def enter(self) -> "Any":
        """
        Be in its body; give the state outside it.
        """
        outside: Any = get_state()
        self._part.outer = outside._plan if isinstance(outside, Frame) else NOBODY
        self._part._outer = outside
        set_state(self._part)
        return outside

    def leave(self, outside: object) -> None:
        """
        Go back to that state.
        """
        set_state(outside)

    def go_on(self, *, in_pieces: bool) -> None:
        """
        Leave the body; the result comes later.
        """
        note_stream(self._outer)
        leave(self._part)

    def item(self, chunk: object) -> None:
        """
        Take a piece of a stream.
        """
        for text, channel in self._tokens(chunk):
            self._outer.token(text, chunk, channel)

    async def aitem(self, chunk: object) -> None:
        """
        The same in async code.
        """
        for text, channel in self._tokens(chunk):
            pending = self._outer._atoken(text, chunk, channel)
            if pending is not None:
                await pending

    def _tokens(self, chunk: object) -> "Sequence[tuple[str, str]]":
        """
        Take what a chunk tells; give what is to be told on *outer*.
        """
        self._has_items = True
        tokens = guarded(chunk, lambda piece: take(self._answer, piece))
        outer = self._outer
        is_told = outer._yields_tokens or outer._kind.yields_tokens
        return () if is_told else tokens or ()

    def returned(self, value: object) -> None:
        """
        End with a whole result, or with anything where it came in pieces.
        """
        leave(self._part)
        if not self._has_items:
            self._answer = guarded(value, answer_of) or self._answer
            self._outer._inner = self._answer
        if not self._outer._kind.is_model:  # vectors, which are no answer
            usage = guarded(value, usage_of)
            self._outer.usage = self._outer.usage or usage or self._outer.usage

    def raised(self, exc: BaseException) -> None:
        """
        End with what *outer* sees itself.
        """
        self.returned(None)

    def mend(self, before: object, exc: BaseException) -> None:
        """
        Leave its body where an interrupt has kept others from it.
        """
        leave(self._part)

    async def areturned(self, value: object) -> None:
        """
        The same in async code, where nothing is to be awaited either.
        """
        self.returned(value)

    async def araised(self, exc: BaseException) -> None:
        """
        The same.
        """
        self.returned(None)
