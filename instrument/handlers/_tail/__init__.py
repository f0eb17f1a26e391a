"""
`tail`: a handler that is told of whole requests, once it is known which are worth it.
"""

from functools import partial
from weakref import WeakKeyDictionary

from instrument import _report
from instrument._audience.audience import serving
from instrument._audience.sampling import checked_sample
from instrument._delivery.loops import close_unserved, is_awaitable
from instrument._forks import fork_lock
from instrument._interrupts import AT_ONCE, UNTOLD, is_heard, met_cancellations
from instrument.handlers._shared.checks import checked_size
from instrument.handlers._shared.prices import Prices
from instrument.handlers._shared.wrapper import Wrapped, read_now
from instrument.handlers._tail.requests import Call, Later, Request
from instrument.handlers._tail.rules import checked_rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from instrument._audience.plan import Layer
    from instrument._runs.run import Run
    from instrument.handlers._shared.prices import PriceTable
    from instrument.handlers._tail.rules import Given, Rules

_ENDS = ("_start", "_end", "_error")


class Tail(Wrapped):
    """
    What `tail` gives.

    Attributes:
        dropped: How many events were left out of requests that had too many.
    """

    def __init__(
        self,
        handler: object,
        rules: "Rules",
        sample: float,
        max_events: int,
        prices: "Prices | None",
    ) -> None:
        super().__init__(handler, "tail")
        if self._inner.raises or self._inner.needs_its_place:
            why = (
                "whose raise_error is True: what has ended it can stop no more"
                if self._inner.raises
                else "which must hear where and when things happen"
            )
            message = (
                f"tail() cannot take {_report.described(self.handler)}, {why}. Give the"
                " handler itself to callbacks()."
            )
            raise TypeError(message)
        self.dropped = 0
        self._rules = rules
        self._sample = sample
        self._max_events = max_events
        self._prices = prices
        self._lock = fork_lock()
        self._by_run: WeakKeyDictionary[Run, Request] = WeakKeyDictionary()

    @property
    def needs_its_place(self) -> bool:
        return True

    @property
    def raises(self) -> bool:
        return False

    @property
    def flushes(self) -> bool:
        return True

    def attribute(self, name: str) -> "Any":
        """
        Read one of the handler's; whatever that asks for, no model streams for it.
        """
        return None if name == "wants_tokens" else super().attribute(name)

    def method(self, event: str) -> "Callable[..., Any] | None":
        method = serving(self._inner, event)
        if method is None and (not event.endswith(_ENDS)):
            return None

        def hear(*args: "Any", **kwargs: "Any") -> "Any":
            taking = Call(event, method, args, kwargs)
            return self._hear(taking)

        return hear

    def flusher(self, name: str, layer: "Layer | None" = None) -> "Callable[[], Any]":
        other = "flush" if name == "aflush" else "aflush"
        flush = self._inner.flusher(name, layer) or self._inner.flusher(other, layer)

        def leave() -> "Any":
            pending = None
            if layer is not None and layer.rank == "block":
                pending = self._decide(self._of_block(layer))
            if pending is not None:
                return Later(_behind(pending, flush), pending.close)
            return None if flush is None else flush()

        return leave

    def _hear(self, call: Call) -> "Any":
        run: Run = call.kwargs["run"]
        is_native = call.event == "on_event"
        if is_native:
            call.event = call.args[0].event
        request = self._request_of(run)
        is_heard = call.method is not None and request.is_kept is not False
        if is_heard:
            read_now(call.args, run)
        is_over = is_put = False
        with self._lock:
            if request.is_kept is None:
                request.draw(run)
                if not is_native:
                    request.note(run, call.event, self._rules, self._prices)
                is_over = request.is_over(run, call.event)
            is_put = is_heard and not request.is_told
            if is_put:
                request.put(call, self._max_events)
        call.is_taken = True
        if is_over:
            return self._decide(request)
        return call() if is_heard and not is_put and request.is_kept else None

    def _request_of(self, run: "Run") -> Request:
        """
        Find or make what *run* belongs to: the block that gave this handler, else the
        outermost run that it hears.
        """
        for listener, layer in run._audience.listeners:
            if layer.rank == "block" and self._is_in(listener):
                return self._of_block(layer)
        known = self._by_run.get(run)
        link = run._parent
        while known is None and link is not None:
            known, link = self._by_run.get(link), link._parent
        if known is None:
            known = Request(run)
        self._by_run.setdefault(run, known)
        return known

    def _is_in(self, listener: "Any") -> bool:
        while listener is not None and listener.key is not self.key:
            listener = getattr(listener, "_inner", None)
        return listener is not None

    def _of_block(self, layer: "Layer") -> Request:
        with self._lock:
            if layer.requests is None:
                layer.requests = {}
            known: Request | None = layer.requests.get(self.key)
            if known is None:
                known = layer.requests[self.key] = Request()
            return known

    def _decide(self, request: Request) -> Later | None:
        """
        Decide on a request that is over, and tell it where it is kept.
        """
        if request.is_kept is not None:  # given twice, itself and filtered
            return None
        runs = request.runs
        is_kept = request.draw(None) < self._sample or request.is_worth(self._rules)
        is_kept = is_kept or any(self._asked(rule, runs) for rule in self._rules.asked)
        with self._lock:
            request.is_kept = is_kept
            request.runs = []
            if not is_kept:
                request.is_told = True
                request.calls.clear()
                return None
            lost = request.lost
            self.dropped += lost
        if lost and self.dropped == lost:
            message = (
                f"tail({_report.described(self.handler)}) left out {lost} events of a"
                f" request that has more than max_events={self._max_events}, tokens"
                " first; starts, ends and errors are all told. `dropped` counts them"
            )
            _report.complain(message, None)
        return self._tell(request)

    def _asked(self, rule: "Callable[[list[Run]], object]", runs: "list[Run]") -> bool:
        """
        Ask a rule of the application's own; one that fails keeps the request.
        """
        try:
            return bool(rule(list(runs)))
        except BaseException as exc:
            show = runs[0]._audience.shows() if runs else None
            _report.failed(rule, "tail(keep=...)", exc, show=show)
            return True

    def _tell(self, request: Request) -> Later | None:
        """
        Tell what was kept, and what comes meanwhile, in order.

        Returns:
            What is to be awaited, from the first async method on.
        """
        try:
            return self._told(request)
        except BaseException:  # an interrupt between two: the rest is told all the same
            close_unserved(self._told(request))
            raise

    def _told(self, request: Request) -> Later | None:
        left: BaseException | None = None
        try:
            while (call := self._next(request)) is not None:
                try:
                    result = call()
                except BaseException as exc:
                    left = self._broken(call, exc) or left
                    continue
                if is_awaitable(result):
                    rest = self._tell_later(request, call, result, left)
                    return Later(rest, partial(self._give_up, request, result))
            if left is not None:
                raise left
            return None
        finally:
            del left  # its traceback holds this frame

    async def _tell_later(
        self,
        request: Request,
        call: "Call | None",
        result: "Any",
        left: BaseException | None,
    ) -> None:
        try:
            while call is not None:
                met = 0
                try:
                    met = met_cancellations()
                    if is_awaitable(result):
                        await result
                except GeneratorExit:  # it can wait for nothing more
                    self._give_up(request, result)
                    raise
                except BaseException as exc:
                    left = self._failed(call, exc, met) or left
                call, result = self._next(request), None
                try:
                    result = None if call is None else call()
                except BaseException as exc:
                    left = self._broken(call, exc) or left
            if left is not None:
                raise left
        finally:
            del left, result

    def _give_up(self, request: Request, result: "Any") -> None:
        close_unserved(result)
        while (call := self._next(request)) is not None:
            try:
                result = call()
                if is_awaitable(result):
                    close_unserved(result)
            except BaseException as exc:
                self._failed(call, exc)

    def _next(self, request: Request) -> "Call | None":
        with self._lock:
            while request.calls and request.calls[0].is_made:
                request.calls.popleft()
            if request.calls:
                return request.calls[0]
            request.is_told = True
            return None

    def _broken(self, call: "Any", exc: BaseException) -> BaseException | None:
        """
        Do so with what came as *call* was made, which is made once more where an
        interrupt has kept a handler of ours from taking it.
        """
        interrupt = self._failed(call, exc)
        if interrupt is not None and not call.is_again:
            call.is_made, call.is_again = is_heard(exc, UNTOLD), True
        return interrupt

    def _failed(
        self, call: "Any", exc: BaseException, met: int = AT_ONCE
    ) -> BaseException | None:
        """
        Report what the handler raised; give it back where it is for the call.
        """
        run = call.kwargs["run"]
        show = run._audience.shows()
        try:
            _report.failed(self.handler, call.event, exc, show=show, run=run, met=met)
        except BaseException as interrupt:
            return interrupt
        return None


def tail(
    handler: object,
    keep: "Given | Iterable[Given]" = ("error",),
    sample: float = 0.0,
    *,
    max_events: int = 10_000,
    prices: "PriceTable | None" = None,
) -> Tail:
    """
    Tell *handler* of whole requests, and only of those that turn out to be worth it.

    A request is the block that gave the handler; for one that is installed, or given to
    a constructor or a call, the outermost run that it hears. Its events are kept until
    it has ended, and then told in order, or forgotten. What comes after that, from
    streams and tasks that go on, is treated as the request was. No model streams for it
    that was not asked to.

    Args:
        handler: What `callbacks` takes. One whose `raise_error` is True is refused.
        keep: Any of these is enough: ``"error"``, a run of it failed, also where that
            was caught; ``"slow>5s"`` (``ms``, ``s``, ``m``, ``h``), from its first start
            to its last end; ``"cost>0.10"``, US dollars of its models, as far as that
            is known; a function of the list of its runs, as they have ended.
        sample: The share of the others, 0 to 1, that is told all the same.
        max_events: How many events of a request are kept. Beyond that its tokens are
            left out, then what else is no start, end or error; that is reported, and
            counted in ``dropped``.
        prices: US dollars per million tokens by model, as for `UsageHandler`.

    Raises:
        TypeError: For what is no handler or cannot hear later, or is no rule.
        ValueError: For a rule that cannot be read, or a share outside 0 to 1.
    """
    rules = checked_rules(keep)
    share = checked_sample(sample, "tail")
    most = checked_size("tail(max_events=...)", max_events)
    is_priced = prices is not None or rules.cost_usd is not None
    return Tail(handler, rules, share, most, Prices(prices) if is_priced else None)


async def _behind(pending: Later, flush: "Callable[[], Any] | None") -> None:
    await pending
    result: Any = None if flush is None else flush()
    if is_awaitable(result):
        await result
