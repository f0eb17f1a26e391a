"""
The run of a generator: what each chunk tells, and what it adds up to.
"""

from instrument import _ids, _report
from instrument._lifecycle import abandon, afail, afinish, astart, fail, finish, start
from instrument._serve import stream_closed, stream_opened
from instrument._shapes import Answer, facts, token_of
from instrument._state import leave
from instrument._steps import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable
    from typing import Any

    from instrument._run import Run
    from instrument._traced._spec import Given

MOST_ITEMS = 1_000
"""How many items of a generator are kept as its outputs."""


class RunSession(Session):
    """
    A run that lasts as long as a generator or coroutine.

    Args:
        starts: Whether the run starts with the first step; else it has started.
        yields: False for a coroutine.
    """

    __slots__ = ("_count", "_items", "_is_model", "_keeps", "_read", "_run", "_starts", "_yields")

    def __init__(
        self, run: "Run", given: "Given", *, starts: bool, yields: bool = True
    ) -> None:
        super().__init__(run)
        self._run = run
        self._starts = starts
        self._yields = yields
        self._is_model = run._tells.is_model
        self._read = given.token
        self._keeps = run._heard.capture and given.outputs is not False
        self._items: list[Any] = []
        self._count = 0

    def start(self) -> None:
        if self._starts:
            self._run._started_ns = _ids.clock_ns()
            self._run.started_at = _ids.wall_ns()
            start(self._run)
        stream_opened(self._run, abandon)

    def astart(self) -> "Awaitable[None] | None":
        stream_opened(self._run, abandon)
        if not self._starts:
            return None
        self._run._started_ns = _ids.clock_ns()
        self._run.started_at = _ids.wall_ns()
        return astart(self._run)

    def item(self, value: object) -> None:
        if self._is_model:
            read = self._text_of(value)
            if read is not None:
                self._run.token(read[0], value, read[1])
        elif self._keeps:
            self._keep(value)

    def aitem(self, value: object) -> "Awaitable[None] | None":
        if self._is_model:
            read = self._text_of(value)
            if read is not None:
                return self._run.atoken(read[0], value, read[1])
        elif self._keeps:
            self._keep(value)
        return None

    def returned(self, value: object) -> None:
        stream_closed(self._run)
        if self._run._ended_ns is not None:
            leave(self._run)
        else:
            finish(self._run, self._outputs(value))

    def areturned(self, value: object) -> "Awaitable[None] | None":
        stream_closed(self._run)
        if self._run._ended_ns is not None:
            leave(self._run)
            return None
        return afinish(self._run, self._outputs(value))

    def failed(self, exc: BaseException) -> None:
        stream_closed(self._run)
        if self._run._ended_ns is not None:
            leave(self._run)
            return
        self._run.outputs = self._partial()
        fail(self._run, exc)

    def afailed(self, exc: BaseException) -> "Awaitable[None] | None":
        stream_closed(self._run)
        if self._run._ended_ns is not None:
            leave(self._run)
            return None
        self._run.outputs = self._partial()
        return afail(self._run, exc)

    def _text_of(self, chunk: object) -> "tuple[str, str] | None":
        """
        Read a chunk of a model, and keep what it tells of the answer.
        """
        answer = self._run._answer
        if answer is None:
            answer = self._run._answer = Answer()
        if type(chunk) is not str:
            facts(answer, chunk)
        read = self._read_by_user(chunk) if self._read is not None else token_of(chunk)
        if read is not None and read[1] == "text":
            self._items.append(read[0])
        return read

    def _read_by_user(self, chunk: object) -> "tuple[str, str] | None":
        try:
            text = self._read(chunk)
        except Exception as exc:  # noqa: BLE001 - the user's function; the call goes on
            _report.failed(self._read, f"token= of {self._run.name}", exc)
            return None
        return (text, "text") if isinstance(text, str) and text else None

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
            answer = self._run._answer = self._run._answer or Answer()
            answer.text = "".join(self._items)
            return answer.text
        more = self._count - len(self._items)
        return [*self._items, f"… {more} more items"] if more else self._items
