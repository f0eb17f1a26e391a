"""
`Encoder`: which runs of a stream are open, and what of an event may be told.
"""

from instrument._payloads.event import TOKEN
from instrument._payloads.jsonable import encoded, jsonable
from instrument.handlers._shared.page import told_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any
    from uuid import UUID

    from instrument._payloads.event import Event
    from instrument.handlers._shared.page_handler import Question

    Frame = dict[str, Any]
    Data = dict[str, Any]

MODELS = ("llm", "chat_model")
_MOST_OPEN = 100_000
"""How many runs are known whose end is not told: in a wrapper, ends may be lost."""


class Shown:
    """
    A run of which the stream tells.

    Attributes:
        id: Its id, as text.
        parent: The run above it, if the stream tells of that.
        agent: The nearest agent that it is, or is in, below the stream's first run.
        tool: The nearest tool that it is in.
        channel: Of which channel pieces of it are being told.
        has_text: Whether text of it was told.
        is_refused: Whether the page did not let it run.
    """

    __slots__ = (
        "agent",
        "channel",
        "has_text",
        "id",
        "is_refused",
        "kind",
        "name",
        "parent",
        "tool",
    )

    def __init__(self, event: "Event", parent: "Shown | None") -> None:
        self.id, self.kind, self.name = str(event.run_id), event.kind, event.name
        self.parent = parent
        above = None if parent is None else parent.agent
        self.agent: Shown | None = self if event.kind == "agent" and parent else above
        self.tool: Shown | None = None
        if parent is not None:
            self.tool = parent if parent.kind == "tool" else parent.tool
        self.channel: str | None = None
        self.has_text = self.is_refused = False

    @property
    def is_model(self) -> bool:
        return self.kind in MODELS


class Encoder:
    """
    Make frames of events.

    A protocol says what a stream begins and ends with, what the start, each piece, and
    the end of a run are, and what an event of the application's own is.

    Attributes:
        headers: What a response with such a stream has.
        last: What a stream of server-sent events ends with, as a line of its own.
        can_ask: Whether a page can be asked whether a tool may be called.
        is_ordered: Whether what a frame is depends on those before it.
        failure: Type and message of what the request has failed with, as far as told.
    """

    headers: "dict[str, str]" = {}  # noqa: RUF012 - nobody changes it
    last: str | None = None
    can_ask = True
    is_ordered = True

    def __init__(self, *, shows_all: bool) -> None:
        self.shows_all = shows_all
        self._open: dict[UUID, Shown] = {}
        self._first: Shown | None = None
        self._has_begun = False
        self._has_ended = False
        self.failure: tuple[str, str] | None = None

    def take(self, asked: "Mapping[str, Any]") -> None:
        """
        Take what the client has sent: a protocol may give some of it back.
        """

    def lines(self, event: "Event") -> list[str]:
        """
        Give the frames of one event, each a line of JSON.
        """
        return [encoded(frame) for frame in self.frames(event)]

    def closing(self, error: "tuple[str, str] | None") -> str | None:
        """
        Give what a stream of server-sent events has at its end, behind `ended`.
        """
        return self.last and f"data: {self.last}"

    def knows(self, run_id: "UUID") -> bool:
        """
        Tell whether the start of a run was told, and its end was not.
        """
        return run_id in self._open

    def question(self, question: "Question") -> "list[Frame]":
        """
        Give the frames that ask the page about a run, or tell what it answered.
        """
        run = self._open.get(question.run_id)
        return [] if run is None or self._has_ended else self.asked(run, question)

    def frames(self, event: "Event") -> "list[Frame]":
        """
        Give the frames of one event; of many there are none.
        """
        data = told_of(event)
        name = event.event
        if self.shows_all and name != TOKEN:
            data = jsonable(event.data)
        if data is None or self._has_ended:
            return []
        if name == TOKEN:
            run = self._open.get(event.run_id)
            return [] if run is None else self._piece(run, data)
        if name.endswith("_start"):
            return self._start(event, data)
        if name.endswith(("_end", "_error")):
            return self._end(event, data)
        if name == "on_custom_event":
            run = self._open.get(event.run_id)
            return self.emitted(run, str(data.get("name")), jsonable(data.get("data")))
        return []

    def ended(self, error: "tuple[str, str] | None" = None) -> "list[Frame]":
        """
        Give the frames at the end of the stream, once.

        Args:
            error: Type and message of what the request ended with.
        """
        if self._has_ended:
            return []
        frames = [] if self._has_begun else self.begun(None)
        for run in reversed([*self._open.values()]):
            frames += self.left(run)
        frames += self.done(error or self.failure)
        self._open.clear()
        self._has_ended = True  # last, as an interrupt has it asked once more
        return frames

    def _start(self, event: "Event", data: "Data") -> "list[Frame]":
        if event.run_id in self._open:  # the page was asked about it before
            return []
        parent = event.parent_run_id
        run = Shown(event, None if parent is None else self._open.get(parent))
        frames: list[Frame] = []
        if not self._has_begun:
            self._first = run
            frames = self.begun(run)
        if len(self._open) >= _MOST_OPEN:
            self._open.pop(next(iter(self._open)))
        frames += self.started(run, data)
        self._open[event.run_id] = run  # last, as an interrupt has it told once more
        self._has_begun = True
        return frames

    def _piece(self, run: Shown, data: "Data") -> "list[Frame]":
        text, channel = data["token"], data.get("channel", "text")
        if not text or channel == "tool_call":
            return []
        frames = self.piece(run, channel, text)
        if run.channel != channel:
            frames = [*self.closed(run), *self.opened(run, channel), *frames]
        run.channel = channel  # last, as an interrupt has it told once more
        run.has_text = run.has_text or channel == "text"
        return frames

    def _end(self, event: "Event", data: "Data") -> "list[Frame]":
        run = self._open.get(event.run_id)
        if run is None:
            return []
        before = run.channel, run.has_text
        try:
            frames = self._left_by(run, event, data)
            del self._open[event.run_id]
        except BaseException:  # an interrupt has it told once more
            run.channel, run.has_text = before
            raise
        return frames

    def _left_by(self, run: Shown, event: "Event", data: "Data") -> "list[Frame]":
        frames: list[Frame] = []
        text = data.get("text") if run.is_model else None
        if text and not run.has_text:  # a model that does not stream says it at once
            frames += self._piece(run, {"token": text})
        frames += self.closed(run)
        run.channel = None
        if event.event.endswith("_error"):
            status = str(data.get("status", "error"))
            failure = str(data.get("type", "")), str(data.get("message", ""))
            if run is self._first or run.parent is None:
                self.failure = failure if status == "error" else (status, "")
            return frames + self.failed(run, data, status, failure)
        if run.parent is None:
            self.failure = None
        return frames + self.finished(run, data)

    def left(self, run: Shown) -> "list[Frame]":
        """
        Give the frames of a run whose end is not told before the stream's.
        """
        return self.closed(run)

    def closed(self, run: Shown) -> "list[Frame]":
        """
        Give the frames at the end of the pieces of one channel.
        """
        return []

    def opened(self, run: Shown, channel: str) -> "list[Frame]":
        """
        Give the frames before the first piece of a channel.
        """
        return []

    if TYPE_CHECKING:  # what each protocol has

        def begun(self, run: Shown | None) -> list[Frame]: ...

        def started(self, run: Shown, data: Data) -> list[Frame]: ...

        def piece(self, run: Shown, channel: str, text: str) -> list[Frame]: ...

        def finished(self, run: Shown, data: Data) -> list[Frame]: ...

        def failed(
            self, run: Shown, data: Data, status: str, failure: tuple[str, str]
        ) -> list[Frame]: ...

        def emitted(
            self, run: Shown | None, name: str, data: object
        ) -> list[Frame]: ...

        def asked(self, run: Shown, question: Question) -> list[Frame]: ...

        def done(self, error: tuple[str, str] | None) -> list[Frame]: ...


def said(failure: "tuple[str, str]") -> str:
    """
    Write type and message of an error in one line.
    """
    return ": ".join(part for part in failure if part)
