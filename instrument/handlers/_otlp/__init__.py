"""
`OTLPHandler`: every run a span, sent to a receiver of OpenTelemetry's protocol.
"""

from weakref import WeakSet

from instrument._delivery import loops as _loops
from instrument._interrupts import Taking
from instrument._text import safe_repr
from instrument.handlers._otlp.sender import Sender, sender_for
from instrument.handlers._otlp.target import (
    Target,
    checked_resource,
    from_environment,
    is_disabled,
)
from instrument.handlers._shared.checks import (
    checked_choice,
    checked_seconds,
    checked_size,
)
from instrument.handlers._shared.spans.dialects import DIALECTS
from instrument.handlers._shared.spans.happening import Happening
from instrument.handlers._shared.spans.told import Told, checked_limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from typing import Any, Self

    from instrument._runs.run import Run

_MOST_OPEN = 100_000
"""How many runs are known whose end is not told: in a wrapper, ends may be lost."""
_SILENT = (
    "agent",
    "chain",
    "chat_model",
    "custom_event",
    "embedding",
    "llm",
    "retriever",
    "retry",
)


class OTLPHandler(Happening):
    """
    Send every run as a span to a receiver of OTLP over HTTP: Phoenix, MLflow, Langfuse,
    a collector, Jaeger, Honeycomb.

    What happens is taken where it happens, and sent by one thread for each receiver; a
    call never waits for it. Leaving a block hands over and does not wait; the
    interpreter's exit waits at most 5 s. It needs no package of OpenTelemetry's, and no
    provider is set or changed.

    Args:
        endpoint: A URL; without a path it gets ``/v1/traces``.
        service: What the receiver knows this program by.
        headers: What each request has, as ``{"authorization": "Bearer ..."}``.
        dialect: In whose words: ``gen_ai`` (OpenTelemetry's conventions 1.41),
            ``openinference`` (Phoenix), or ``both``.
        payload: How many characters a field of what went in and came out has at most;
            True for 32,000; False for none of it.
        spool: A folder in which spans wait that cannot be sent; also for the next
            process. None keeps them in memory, as many as *maxsize*.
        metrics: Whether to send histograms of durations and tokens as well.
        resource: What else is said of this program, as
            ``{"openinference.project.name": "shop"}``.
        maxsize: How many spans wait; what comes then is dropped, and counted.
        timeout_s: How long the receiver may take.
        wait: Whether leaving a block waits until all was sent, at most 30 s: for
            functions that are frozen when they have answered.

    Raises:
        TypeError, ValueError: For what cannot be; names the value and the cure.
        OSError: If nothing can be written to *spool*.
    """

    remote = "local"  # each process sends its own

    def __new__(cls, *args: "Any", wait: bool = False, **kwargs: "Any") -> "Self":
        made: Any = object.__new__(_Waiting if wait and cls is OTLPHandler else cls)
        return made  # type: ignore[no-any-return]

    def __init__(
        self,
        endpoint: str,
        *,
        service: str | None = None,
        headers: "Mapping[str, str] | None" = None,
        dialect: str = "both",
        payload: bool | int = True,
        spool: "str | os.PathLike[str] | None" = None,
        metrics: bool = False,
        resource: "Mapping[str, Any] | None" = None,
        maxsize: int = 4_096,
        timeout_s: float = 10.0,
        wait: bool = False,
    ) -> None:
        target = Target(endpoint, headers, timeout_s)
        self._limit = checked_limit("OTLPHandler(payload=...)", payload)
        self._sender: Sender = sender_for(
            target,
            checked_resource(resource, service),
            checked_choice("OTLPHandler(dialect=...)", dialect, *DIALECTS),
            has_metrics=_checked_flag("metrics", metrics),
            spool=spool,
            maxsize=checked_size("OTLPHandler(maxsize=...)", maxsize),
        )
        _checked_flag("wait", wait)
        self._open: dict[int, Told] = {}  # one may be collected before its end is told
        self._ended: WeakSet[Run] = WeakSet()

    @classmethod
    def from_env(cls, **options: "Any") -> "Self":
        """
        Make one by OpenTelemetry's own variables: ``OTEL_EXPORTER_OTLP_ENDPOINT``,
        ``_HEADERS`` and ``_TIMEOUT``, their forms with ``_TRACES_``,
        ``OTEL_SERVICE_NAME`` and ``OTEL_RESOURCE_ATTRIBUTES``. With
        ``OTEL_SDK_DISABLED=true`` it hears nothing.

        Args:
            options: Of the constructor; they win.
        """
        made = cls(**(from_environment() | options))
        if is_disabled():
            for name in _SILENT:
                setattr(made, f"ignore_{name}", True)
        return made

    @property
    def sent(self) -> int:
        """
        How many spans the receiver has taken from this process.
        """
        return self._sender.sent

    @property
    def dropped(self) -> int:
        """
        How many spans of this process will never be sent.
        """
        return self._sender.dropped

    @property
    def failures(self) -> int:
        """
        How many attempts to send the receiver has not taken.
        """
        return self._sender.failures

    def drain(self, timeout_s: float = _loops.WAIT_S) -> bool:
        """
        Wait until what waits now has been sent, or was given up.

        Returns:
            Whether that was in time.
        """
        return self._sender.drain(
            checked_seconds("OTLPHandler.drain(timeout_s=...)", timeout_s)
        )

    def run_started(self, run: "Run") -> None:
        above = run._parent
        if above is not None and above.id.int not in self._open:
            above = above if above in self._ended else None
        self._open[run.id.int] = Told(run, self._limit, above)
        if len(self._open) > _MOST_OPEN:
            self._open.pop(next(iter(self._open)), None)
            self._sender.lose(1, f"{_MOST_OPEN:,} runs are open already")

    def run_ended(self, run: "Run") -> None:
        told = self._open.get(run.id.int)
        if told is None:
            return
        taking = Taking()
        try:
            self._ended.add(run)  # others may begin below it
            if self._sender.has_place():
                told.ends(run)
                self._sender.put(told, taking)
        except BaseException as exc:
            taking.fails(exc)
            raise
        else:
            taking.is_taken = True  # or there is no place for it
        finally:
            if taking.is_taken:
                self._open.pop(run.id.int, None)

    def happens(self, run: "Run", name: str, data: "dict[Any, Any]") -> None:
        told = self._open.get(run.id.int)
        if told is not None:
            told.happens(name, data)

    def __repr__(self) -> str:
        return f"<OTLPHandler to {self._sender.target.shown}>"

    def __deepcopy__(self, memo: object) -> "Self":
        return self


class _Waiting(OTLPHandler):
    """
    One whose block is left when all was sent.
    """

    def flush(self) -> None:
        taking = Taking()
        taking.is_taken = True  # what waits for others is not begun once more
        if not self.drain():
            raise TimeoutError(_LATE)

    async def aflush(self) -> None:
        if _loops.in_trio():
            from trio import to_thread

            is_done = await to_thread.run_sync(self.drain, abandon_on_cancel=True)
        else:
            import asyncio

            is_done = await asyncio.get_running_loop().run_in_executor(None, self.drain)
        if not is_done:
            raise TimeoutError(_LATE)


_LATE = f"what waits was not sent in {_loops.WAIT_S:.0f} s"


def _checked_flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        message = f"OTLPHandler({name}=...) is True or False, not {safe_repr(value)}."
        raise TypeError(message)
    return value
