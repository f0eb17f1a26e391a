"""
`approval`: a tool waits until the page has said whether it may be called.
"""

import asyncio
from contextlib import contextmanager
from secrets import token_urlsafe

from instrument._delivery.loops import in_trio, running_loop
from instrument._delivery.serving import Serving
from instrument._forks import fork_lock
from instrument._payloads.messages import get, items
from instrument._text import printable
from instrument.exceptions import ToolRefused
from instrument.handlers._shared.checks import checked_seconds
from instrument.handlers._shared.page_handler import PageHandler, Question
from instrument.handlers._shared.waiters import ThreadWaiter, task_waiter, woken

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from instrument._runs.run import Run


class _Approval:
    """
    Ask the page of a request whether a tool may be called.

    Await it in `on_tool_start` of an async handler with ``raise_error = True``:

        class Careful(AsyncCallbackHandler):
            raise_error = True

            async def on_tool_start(self, serialized, input_str, *, run, **kwargs):
                if run.name == "send_mail":
                    await approval(run, reason="Send the mail?")

    Every `SSEHandler` and `WebSocketHandler` that hears the run asks its page, by what
    its protocol has for that; the application gives what the page says to `answer`,
    `answers_in` or `WebSocketHandler.heard`. The first answer counts.

    A sync tool that runs in a thread is asked about by `wait`, in a sync handler. On the
    thread of a loop sync code can wait for nobody: it is refused at once.
    """

    __name__ = "approval"

    def __init__(self) -> None:
        self._asked: dict[str, _Asked] = {}

    def __repr__(self) -> str:
        return "<approval>"

    async def __call__(
        self, run: "Run", *, timeout_s: float = 300.0, reason: str | None = None
    ) -> None:
        """
        Wait until the page of *run* lets it be called.

        Args:
            timeout_s: How long; then it is refused.
            reason: What the page shows its user. It is told neither the tool's
                arguments nor anything else that it was not given here.

        Raises:
            ToolRefused: If the page does not let it, does not say, or there is none; if
                it is sync, and so waits for no async handler.
            RuntimeError: Where no handler could stop the tool.
        """
        checked_seconds("approval(timeout_s=...)", timeout_s)
        if _is_beside():
            raise _refused(run, _SYNC)
        with self._asking(run, reason, task_waiter()) as asked:
            for page in asked.pages:
                sending = page.asking()
                if sending is not None:
                    await sending
            if asked.pages and not await woken(asked.waiter, timeout_s):
                asked.note = f"nobody has answered in {timeout_s} s"

    def wait(
        self, run: "Run", *, timeout_s: float = 300.0, reason: str | None = None
    ) -> None:
        """
        The same in a sync handler, for a tool that runs in a thread.

        Raises:
            ToolRefused: Also in async code, where its loop would stand still.
        """
        checked_seconds("approval.wait(timeout_s=...)", timeout_s)
        if running_loop() is not None or in_trio():
            raise _refused(run, _ASYNC)
        with self._asking(run, reason, ThreadWaiter()) as asked:
            for page in asked.pages:
                page.asking()
            if asked.pages and not asked.waiter.wait(timeout_s):
                asked.note = f"nobody has answered in {timeout_s} s"

    @contextmanager
    def _asking(
        self, run: "Run", reason: str | None, waiter: "Any"
    ) -> "Iterator[_Asked]":
        """
        Ask all pages, and tell them what was answered meanwhile.
        """
        heard = [listener for listener, _ in run._audience.listeners]
        if not any(listener.raises for listener in heard):
            raise RuntimeError(_IN_VAIN)
        question = Question(token_urlsafe(16), run.id, run.name, reason, None, None)
        asked = self._asked[question.id] = _Asked(waiter)
        pages = [it.handler for it in heard if isinstance(it.handler, PageHandler)]
        try:
            for page in pages:
                page.waiting[question.id] = asked.give_up
            asked.pages = [page for page in pages if page.ask(question, run)]
            yield asked
        finally:
            del self._asked[question.id]
            for page in pages:
                del page.waiting[question.id]
        answered = question._replace(approved=asked.approved, note=asked.note)
        for page in asked.pages:
            page.ask(answered, run)
        if not asked.approved:
            raise _refused(run, asked.note)

    def answer(
        self, approval_id: str, approved: bool, reason: str | None = None
    ) -> bool:
        """
        Say what the page has answered, from any thread.

        Args:
            approval_id: What it was asked with. Nobody can guess it.
            approved: Only True lets the tool be called.

        Returns:
            Whether that was waited for, and had not been answered.
        """
        asked = self._asked.get(approval_id) if type(approval_id) is str else None
        if asked is None:
            return False
        note = reason if type(reason) is str else None
        return asked.settle(note, approved=approved is True)

    def answers_in(self, messages: "Any") -> int:
        """
        Find answers in what a page of the AI SDK has sent: its ``messages``.

        Returns:
            How many were waited for.
        """
        count = 0
        for message in items(messages):
            for part in items(get(message, "parts")):
                said = get(part, "approval")
                if get(part, "state") == "approval-responded":
                    values = (get(said, name) for name in ("id", "approved", "reason"))
                    count += self.answer(*values)
        return count


class _Asked:
    """
    What somebody waits for.
    """

    def __init__(self, waiter: "Any") -> None:
        self.waiter = waiter
        self.pages: list[PageHandler] = []
        self.approved = False
        self.note: str | None = "no page is there to be asked"
        self._lock = fork_lock()
        self._is_settled = False

    def settle(self, note: str | None, *, approved: bool) -> bool:
        """
        Wake whoever waits, once; tell whether it was this that did.
        """
        with self._lock:
            if self._is_settled:
                return False
            self._is_settled = True
        self.approved, self.note = approved, note
        self.waiter.wake()
        return True

    def give_up(self) -> None:
        """
        Refuse, as the request is stopped.
        """
        self.settle("the request was stopped", approved=False)


def _refused(run: "Run", note: str | None) -> ToolRefused:
    told = f": {printable(note)}" if note else ""
    return ToolRefused(f"{run.kind} {run.name!r} was refused{told}", note or "", run)


def _is_beside() -> bool:
    """
    Tell whether this is served beside what it is of, which may not wait for it.
    """
    task = None if running_loop() is None else asyncio.current_task()
    return task is not None and isinstance(task.get_coro(), Serving)


_SYNC = (
    "a sync tool waits for no async handler: await approval() for async tools; for those"
    " in threads call approval.wait() in a sync handler"
)
_ASYNC = "approval.wait() would stop the loop: await approval() in an async handler"
_IN_VAIN = (
    "approval() is awaited in a handler whose raise_error is True: without that nothing"
    " is stopped"
)
approval = _Approval()
