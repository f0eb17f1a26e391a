"""
The run of a generator: what each chunk tells, and what it adds up to.
"""

from contextlib import suppress

from instrument import _ids, _report
from instrument._callables.body import Body
from instrument._delivery.flush import flush_given, stream_closed, stream_opened
from instrument._interrupts import UNTOLD
from instrument._payloads.answers import Answer, only_text, take
from instrument._payloads.messages import read_arguments, string
from instrument._runs.ending import afail, afinish, discard, fail, finish, owed
from instrument._runs.results import guarded, outputs_of
from instrument._runs.starting import astart, start
from instrument._runs.tokens import atell, atell_after, tell, tell_after
from instrument._state import MUTED, leave, set_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Sequence
    from typing import Any

    from instrument._payloads.answers.answer import Token
    from instrument._runs.run import Run
    from instrument._traced.keywords import Keywords

    Act = Callable[..., Any]
    Teller = Generator[Any, Any, None]

MOST_ITEMS = 1_000
"""How many items of a generator are kept as its outputs."""


class Stream(Body):
    """
    A run that lasts as long as a generator or coroutine.

    Args:
        starts: Whether the run has yet to start, with the first step.
        yields: False for what is awaited: what it yields is none of its items.
    """

    def __init__(
        self, run: "Run", keywords: "Keywords", *, starts: bool, yields: bool = True
    ) -> None:
        self._run = run
        self._starts = starts
        self._yields = yields
        self._is_model = yields and run._kind.is_model
        self._read = keywords.token
        self._keeps = yields and run._audience.capture and keywords.outputs is not False
        self._items: list[Any] = []
        if self._is_model:
            run._yields_tokens = True
            run._answer = answer = Answer()
            if self._read is None:
                self._items = answer.plain
        self._count = 0
        super().__init__(run)

    def start(self) -> None:
        if self._starts:
            self._run._started_ns = _ids.clock_ns()
            self._run.started_at = _ids.wall_ns()
            self._starts = start(self._run) is not None  # type: ignore[func-returns-value]

    def astart(self) -> "Awaitable[None] | None":
        if not self._starts:
            return None
        self._run._started_ns = _ids.clock_ns()
        self._run.started_at = _ids.wall_ns()
        pending, self._starts = astart(self._run), False
        return pending

    def opened(self) -> None:
        stream_opened(self)
        if self._run._around is not None:
            self._run._around.leave()
            self.__class__ = StreamAround

    def is_done(self) -> bool:
        return self._run._ended_ns is not None or self._run in owed

    def dropped(self) -> None:
        if not hasattr(self, "inner"):  # an interrupt came while it was made
            return
        if self.is_stepped or not self._starts:
            try:
                super().dropped()
            except RecursionError as exc:  # pragma: no cover - at one depth alone
                # plain looks: no call may have room
                run = self._run
                if run._ended_ns is None and (
                    run._rest is not None or not self._starts
                ):
                    owed[run] = exc
        elif self._run._layers:  # it never started, but who reads its tokens waits
            flush_given(self._run)

    def tell(self) -> "Callable[[Any], object]":
        return self._way(self._each, tell_after)

    def atell(self) -> "Callable[[Any], Awaitable[None] | None]":
        return self._way(self._aeach, atell_after)

    def _way(self, each: "Act", after: "Act") -> "Act":
        """
        Give what a chunk is told to.

        Args:
            each: Tells the pieces of a chunk.
            after: Tells a piece to those behind a handler that answered, or failed.
        """
        if not self._is_model:
            return self._keep if self._keeps else super().tell()
        audience = self._run._audience
        receivers = audience.pieces("text")
        if self._read is not None or not audience.shows_all or receivers.native:
            return lambda chunk: each(self._tokens_of(chunk), chunk)
        chain: Any = None
        for method in reversed(receivers.methods):
            chain = (method, chain)  # to go along it takes no iterator
        teller = self._teller(chain, each, after)
        next(teller)
        return teller.send

    def _each(self, tokens: "Sequence[Token]", chunk: object) -> None:
        for text, channel in tokens:
            tell(self._run, text, chunk, channel)

    def _aeach(
        self, tokens: "Sequence[Token]", chunk: object
    ) -> "Awaitable[None] | None":
        if len(tokens) == 1:
            return atell(self._run, tokens[0][0], chunk, tokens[0][1])
        return self._atokens(tokens, chunk) if tokens else None

    async def _atokens(self, tokens: "Sequence[Token]", chunk: object) -> None:
        for text, channel in tokens:
            pending = atell(self._run, text, chunk, channel)
            if pending is not None:
                await pending

    def _teller(self, chain: "Any", each: "Act", after: "Act") -> "Teller":
        """
        Be the shortest way from a chunk to handlers that take tokens.

        Each step takes a chunk, and gives what is to be awaited or None. As a function
        it would cost 200 instructions more, for its frame and what it closes over.
        """
        run, items, run_id = self._run, self._items, self._run.id
        parent_id, untold, is_first = run.parent_id, UNTOLD, True
        set_now, muted, pending = set_state, MUTED, None
        while True:
            chunk = yield pending
            pending = None
            if run._ended_ns is not None:
                continue
            if type(chunk) is str and chunk:
                text = chunk
                items.append(text)
            else:
                text, pending = self._sole(chunk, each)
                if text is None:
                    continue
            if is_first:
                is_first = self._note_first()
            if chain is None:
                continue
            set_now(muted)
            count, result, (method, rest) = 0, untold, chain
            try:
                while True:
                    result = method(
                        text,
                        chunk=chunk,
                        run_id=run_id,
                        parent_run_id=parent_id,
                        tags=list(run.tags) if run._tagged else [],
                        run=run,
                    )
                    if result is not None or rest is None:
                        break
                    count, result, (method, rest) = count + 1, untold, rest
            except BaseException as exc:
                pending = after(run, count, result, text, chunk, exc)
            else:
                if result is not None:
                    pending = after(run, count + 1, result, text, chunk)

    def _sole(self, chunk: object, each: "Act") -> "tuple[Any, Any]":
        """
        Give the text of a chunk that is no more than that; else tell what it is, and
        give what is to be awaited.
        """
        tokens = self._tokens_of(chunk)
        if len(tokens) != 1 or tokens[0][1] != "text":  # none, or rarely others
            return None, each(tokens, chunk)
        return tokens[0][0], None

    def _note_first(self) -> bool:
        if self._run._first_token_ns is None:
            self._run._first_token_ns = _ids.clock_ns()
        return False

    def returned(self, value: object) -> None:
        stream_closed(self)
        if self._run._ended_ns is not None:
            leave(self._run)
        else:
            finish(self._run, self._outputs(value))

    def areturned(self, value: object) -> "Awaitable[None] | None":
        stream_closed(self)
        if self._run._ended_ns is not None:
            leave(self._run)
            return None
        return afinish(self._run, self._outputs(value))

    def failed(self, exc: BaseException) -> None:
        stream_closed(self)
        if self._is_untold():  # an interrupt came before that
            discard(self._run)
        if self._run._ended_ns is not None:
            leave(self._run)
            return
        self._take_partial()
        fail(self._run, exc)

    def afailed(self, exc: BaseException) -> "Awaitable[None] | None":
        stream_closed(self)
        if self._run._ended_ns is not None:
            leave(self._run)
            return None
        self._take_partial()
        return afail(self._run, exc)

    def _is_untold(self) -> bool:
        """
        Tell whether nobody has heard of its start.
        """
        return self._starts and self._run._rest is None

    def _take_partial(self) -> None:
        """
        Take what there is of the outputs; nothing where the stack is full.
        """
        with suppress(RecursionError):
            self._run._take_outputs(outputs_of(self._run, self._partial()))

    def _tokens_of(self, chunk: object) -> "Sequence[Token]":
        """
        Read a chunk of a model, and keep what it tells of the answer.
        """
        known = self._run._answer
        short = only_text.get(id(type(chunk)))
        if short is not None and type(known) is Answer and self._read is None:
            text = short(known, chunk)
            if text:  # which is all that there is of it, as of most chunks
                self._items.append(text)
                return ((text, "text"),)
        answer: Any = self._run._read_answer()
        try:
            tokens = take(answer, chunk)
        except BaseException as exc:
            _report.unread(take, "reading a payload", exc)
            tokens = ()
        if self._read is not None:
            tokens = self._read_by_user(chunk, self._read)
            self._items += [text for text, _ in tokens]
        return tokens

    def _read_by_user(
        self, chunk: object, read: "Callable[[Any], Any]"
    ) -> "Sequence[Token]":
        text = string(guarded(chunk, read))
        return () if text is None else ((text, "text"),)

    def _keep(self, value: object) -> None:
        self._count += 1
        if self._count <= MOST_ITEMS:
            self._items.append(value)

    def _outputs(self, value: object) -> "Any":
        return self._partial() if self._yields else value

    def _partial(self) -> "Any":
        if not self._yields:
            return None
        if self._is_model:
            answer: Any = self._run._read_answer()
            if self._read is not None:
                answer.text = "".join(self._items)
            return answer.text
        more, items = self._count - len(self._items), self._items
        if self._run._audience.redactors:
            items = [_without_piece(item) for item in items]
        return [*items, f"… {more} more items"] if more else items


def _without_piece(item: object) -> object:
    """
    Give an item that is redacted: of a chunk with half a tool call, of which no name is
    known, how long that is.
    """
    said = guarded(item, lambda chunk: take(Answer(), chunk)) or ()
    pieces = [text for text, channel in said if channel == "tool_call" and text]
    if all(type(read_arguments(text)) is dict for text in pieces):
        return item
    return f"<piece of a tool call, {sum(map(len, pieces)):,} characters>"


class StreamAround(Stream):
    """
    One with something around each step of its body.
    """

    def opened(self) -> None:
        """
        Know that the body goes on: it has been opened.
        """

    def enter(self) -> "Any":
        self._run._around.enter()
        return super().enter()

    def leave(self, outside: object) -> None:
        super().leave(outside)
        self._run._around.leave()
