"""
A piece of a model's answer, on its way to those who hear its channel.
"""

from instrument import _ids, _report
from instrument._audience.audience import CHANNELS
from instrument._delivery.dispatch import Delivery
from instrument._runs.results import as_text, label_of
from instrument._state import MUTED, get_state, set_state
from instrument._text import safe_repr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from typing import Any

    from instrument._audience.audience import Receivers
    from instrument._payloads.answers.answer import Token
    from instrument._runs.run import Run


def tell(
    run: "Run",
    text: str,
    chunk: object,
    channel: str | None,
    *,
    is_more: bool = False,
) -> None:
    """
    Tell a piece.

    Args:
        run: A model's run, in the body or not.
        text: What it says.
        chunk: The provider's own object.
        channel: One of `CHANNELS`; None for a chunk of LangChain's without a piece.
        is_more: Whether LangChain's handlers have been told of that chunk.
    """
    state = get_state()
    try:
        rest = _delivery(run, text, chunk, channel, is_more=is_more)
        if rest is not None:
            rest.now()
        set_state(state)
    except BaseException:
        set_state(state)
        raise


def atell(
    run: "Run",
    text: str,
    chunk: object,
    channel: str | None,
    *,
    is_more: bool = False,
) -> "Coroutine[Any, Any, None] | None":
    """
    The same in async code: what it returns is to be awaited, if it is not None.
    """
    state = get_state()
    pending = None
    try:
        rest = _delivery(run, text, chunk, channel, is_more=is_more)
        waiting = None if rest is None else rest.step()
        if rest is not None and waiting is not None:
            pending = rest.later_from(state, waiting)
        elif rest is not None:
            rest.now()
        set_state(state)
    except BaseException:
        set_state(state)
        raise
    return pending


def tell_all(run: "Run", pieces: "Sequence[Token]", chunk: object) -> None:
    """
    Tell all *pieces* of a chunk of LangChain's, of which its handlers hear once.
    """
    for index, (text, channel) in enumerate(pieces):
        tell(run, text, chunk, channel, is_more=index > 0)


async def atell_all(run: "Run", pieces: "Sequence[Token]", chunk: object) -> None:
    """
    The same in async code.
    """
    for index, (text, channel) in enumerate(pieces):
        pending = atell(run, text, chunk, channel, is_more=index > 0)
        if pending is not None:
            await pending


def tell_after(
    run: "Run",
    count: int,
    answer: object,
    text: str,
    chunk: object,
    exc: BaseException | None = None,
) -> None:
    """
    Go on with a piece of text behind the first *count* handlers, who have heard it; the
    last of them returned *answer*, or at the next one, of whom that is, came *exc*.
    """
    rest = _behind(run, count, answer, text, chunk, exc)
    exc = None  # its traceback will hold this frame
    rest.now()


def atell_after(
    run: "Run",
    count: int,
    answer: object,
    text: str,
    chunk: object,
    exc: BaseException | None = None,
) -> "Coroutine[Any, Any, None] | None":
    """
    The same in async code, where what it returns is to be awaited; it leaves any state.
    """
    rest = _behind(run, count, answer, text, chunk, exc)
    exc = None  # its traceback will hold this frame
    waiting = rest.step()
    if waiting is not None:
        return rest.later(waiting)
    rest.now()
    return None


def _behind(
    run: "Run",
    count: int,
    answer: object,
    text: str,
    chunk: object,
    exc: BaseException | None,
) -> Delivery:
    made = _made(run, run._audience.pieces("text"), text, chunk, "text")
    if exc is None:
        return made.after(count, answer)
    return made.broken(count, answer, exc)


def _delivery(
    run: "Run", text: str, chunk: object, channel: str | None, *, is_more: bool
) -> Delivery | None:
    if run._ended_ns is not None:
        return None
    if type(text) is not str:
        told = text if run._audience.shows_all else run._cleared(text, "token")
        text = as_text(told, run._audience.redactors)
    if channel is not None:
        if type(channel) is not str or channel not in CHANNELS:
            _no_channel(run, channel)
            channel = "text"
        if run._first_token_ns is None:
            run._first_token_ns = _ids.clock_ns()
    audience = run._audience
    # of what is redacted LangChain's handlers are not told by the chunk
    receivers = audience.pieces(channel, is_more=is_more and audience.shows_all)
    if not receivers.entries or get_state() is MUTED:
        return None
    more: dict[str, int] = {}
    if not audience.shows_all:
        if channel == "tool_call":  # half of a JSON text, of which no name is known
            more, text = {"length": len(text)}, ""
        text, chunk = as_text(run._cleared(text, "token"), audience.redactors), None
    return _made(run, receivers, text, chunk, channel, **more)


def _made(
    run: "Run",
    receivers: "Receivers",
    text: str,
    chunk: object,
    channel: str | None,
    **more: int,
) -> Delivery:
    kwargs = {
        "chunk": chunk,
        "run_id": run.id,
        "parent_run_id": run.parent_id,
        "tags": list(run.tags) if run._audience.tags or run._added else [],
        "run": run,
    }
    data = {"token": text, "channel": channel, **more}
    set_state(MUTED)
    return Delivery(run, "on_llm_new_token", receivers, (text,), lambda _: data, kwargs)


def _no_channel(run: "Run", channel: object) -> None:
    def message() -> str:
        return (
            f"run.token(channel={safe_repr(label_of(channel))}) of {run.name!r}: a piece"
            " of an answer is text, reasoning or tool_call; it is told as text."
        )

    _report.slipped(f"run.token(channel=) of {run.name!r}", message)
