"""
`Relay`: the handler of a call in a worker, which tells all to who sent the work.
"""

import json
import os
import sys
import weakref
from json.encoder import encode_basestring_ascii as encode

from instrument import _report
from instrument._audience.listener import as_listener
from instrument._audience.plan import Options
from instrument._delivery.loops import FORKS, in_trio
from instrument._payloads.event import TOKEN
from instrument._payloads.redact import OPENED
from instrument._relay import errors, homes
from instrument._relay.outbox import WAIT_S, idle, opened
from instrument._relay.sockets import SOCKETS
from instrument._relay.transport import Elsewhere, Transport
from instrument._scopes.binding import captured

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import Future
    from typing import Any

    from instrument._audience.audience import Audience
    from instrument._audience.listener import Listener
    from instrument._audience.plan import Layer, Plan
    from instrument._payloads.event import Event
    from instrument._relay.outbox import Outbox
    from instrument._runs.run import Run

TRANSPORTS: "dict[str, Transport]" = {"socket": SOCKETS}
"""By what an address says of itself."""


class Relay:
    """
    Tells of each event as a record, and raises what a handler there has refused.

    Attributes:
        home: How that is found: what a carrier says of it.
    """

    def __init__(
        self, home: "dict[str, Any]", where: str, box: "Outbox", *, asks: bool
    ) -> None:
        self.home = home
        self.raise_error = asks
        self._where = where
        self._box = box
        self._is_left = False
        self._close = weakref.finalize(self, box.close)

    def on_event(self, event: "Event", *, run: "Run") -> None:
        """Tell it; at a start wait for who may stop it, if anybody may."""
        if event.event == TOKEN:
            self._box.put(_token(event), is_token=True)
            return
        is_asked = self.raise_error and event.event.endswith("_start")
        text = f'{{"event":{event.to_json()}{_more(event, run)}}}'
        answered = self._box.put(text, is_asked=is_asked)
        if answered is None:
            return
        try:
            answered.result()
        except OSError as exc:
            message = f"who may stop {run.name!r} cannot be asked any more: {exc}"
            raise errors.lost(message) from None
        stops = self._box.stops
        refused = stops.pop(str(run.id), None) or stops.pop("", None)
        if refused is not None:
            raise errors.remade(refused)

    def flush(self) -> None:
        """Wait until all has been told; what comes later is not."""
        try:
            done = self._left()
        except BaseException:
            self.break_off()
            raise
        if done is not None:
            self._gone(done, is_done=self._box.waited_for(done))

    async def aflush(self) -> None:
        """Do the same in async code."""
        try:
            done = self._left()
        except BaseException:
            self.break_off()
            raise
        if done is None:
            return
        if in_trio():
            from trio import to_thread

            is_done = await to_thread.run_sync(self._box.waited_for, done)
        else:
            import asyncio

            waited = asyncio.to_thread(self._box.waited_for, done)
            is_done = await waited
        self._gone(done, is_done=is_done)

    def break_off(self) -> None:
        """Send nothing more, as an interrupt came: the other side waits for no end."""
        self._close()

    def _left(self) -> "Future[dict[str, Any]] | None":
        if self._is_left:
            return None
        self._is_left = True
        return self._box.finish()

    def _gone(self, done: "Future[dict[str, Any]]", *, is_done: bool) -> None:
        """
        Let the outbox serve the next call, if all has been told.
        """
        exc = done.exception() if is_done else TimeoutError(_SLOW)
        if exc is None:
            self._close.detach()
            idle.put(self._where, self._box)
            return
        self._box.close()
        _report.complain(_UNHEARD.format(exc), None)


def reached(carrier: "dict[str, Any]") -> Relay | None:
    """
    Begin a call to where *carrier* came from; None where nobody there listens any more.
    """
    address: Any = carrier.get("return")
    transport = _by(address) if type(address) is dict else None
    if transport is None:
        _report.failed_apart(reached, "attach", LookupError(_UNKNOWN))
        return None
    home = {"id": carrier.get("id"), "return": address}
    told = {"v": 1, "open": home["id"], "pid": os.getpid(), "job": carrier.get("job")}
    try:
        where, box, answer = opened(transport, address, told)
    except Elsewhere:
        return None
    except Exception as exc:
        _report.failed(reached, "attach", exc)
        return None
    try:
        if answer.get("ok") is not True:
            idle.put(where, box)
            return None
        return Relay(home, where, box, asks=answer.get("asks") is True)
    except BaseException:  # an interrupt
        box.close()
        raise


def homes_over(transport: "Transport", audience: "Audience") -> "dict[str, Any]":
    """
    Give how the request is found whose work this is, if it came by *transport*; nothing
    where it did not, or where blocks in this work hear too: they hear it only here.
    """
    home: dict[str, Any] = {}
    for listener, layer in audience.listeners:
        relay = listener.handler
        if type(relay) is Relay and _by(relay.home["return"]) is transport:
            home = relay.home
        elif layer.rank == "block" and listener.forwards(layer):
            return {}
    return home


def _by(address: "dict[str, Any]") -> "Transport | None":
    kind = address.get("kind")
    return TRANSPORTS.get(kind) if type(kind) is str else None


def options(
    relay: Relay, given: Options, outer: "Plan", number: float | None, pid: object
) -> "tuple[Options, tuple[Listener, ...]]":
    """
    Give what holds in a call: who sent the work hears, and in a process that it made
    those who hear there and are told of nothing by it.

    Args:
        given: The tags and metadata that came along.
        outer: Who would hear here.
        number: What was drawn for the request.
        pid: Of the process that sent it.

    Returns:
        That, and who of these is installed here.
    """
    is_own = _is_of(pid)
    heard: list[tuple[Listener, Layer]] = []
    if is_own:
        told = _told_by(relay.home["id"])
        known = outer.settle().listeners
        heard = [it for it in known if _hears(*it, told, number)]
    options = Options(
        (*[it for it, _ in heard], as_listener(relay)),
        given.tags,
        given.metadata,
        inherit=not is_own,
        redactors=given.redactors,
        capture=given.capture,
        plumbing=given.plumbing,
    )
    return options, tuple([it for it, layer in heard if layer.has_installed(it)])


def _is_of(pid: object) -> bool:
    """
    Tell whether this is that process, or one that it made: forked, or a worker of its.
    """
    process = sys.modules.get("multiprocessing.process")
    parent = getattr(process, "parent_process", lambda: None)()
    known = [os.getpid(), None if parent is None else parent.pid]
    if FORKS.count:
        known.append(os.getppid())
    return type(pid) is int and pid in known


def _told_by(id: object) -> "set[object] | None":
    """
    Give who is told of what comes home to the frame of that *id*, by their keys; None
    where that is in another process.
    """
    frame = homes.found(id)
    if frame is None:
        return None
    heard = captured(frame).settle().listeners
    return {listener.key for listener, layer in heard if listener.forwards(layer)}


def _hears(
    listener: "Listener",
    layer: "Layer",
    told: "set[object] | None",
    number: float | None,
) -> bool:
    """
    Tell whether it works here: given in this process, and no copy; of those installed
    in a worker, the local ones: the others' like hear where the work was sent from.
    """
    if not listener.hears or type(listener.handler) is Relay:
        return False
    if told is not None:
        is_here = listener.key not in told
    elif layer.has_installed(listener):
        is_here = listener.remote == "local"
    else:
        is_here = layer.rank != "block" or layer.forks == FORKS.count
    is_drawn = number is None or layer.number is not None
    return is_here and (is_drawn or number < layer.options.sample)  # type: ignore[operator]


def _token(event: "Event") -> str:
    """
    Write a piece of an answer in short: there are many.
    """
    data = event.data
    token, channel = encode(data["token"]), encode(data["channel"])
    return f'{{"token":["{event.run_id}",{event.time_ns},{token},{channel}]}}'


def _more(event: "Event", run: "Run") -> str:
    """
    Write what a record does not hold, and its run does.
    """
    what: dict[str, Any] = {}
    if event.event.endswith("_start"):
        what = {"started_at": run.started_at, "description": run._description}
        what["named"] = True if run._recipe.source is not None else None
    elif event.event.endswith(("_end", "_error")):
        what = {"provider": run.provider, "model": run._model}
    if event.event.endswith("_error") and run.error is not None:
        audience = run._audience
        error = errors.written(run.error, is_shown=audience.shows_all)
        if any(it is OPENED for it in audience.redactors):
            held = errors.held_by(run.error, audience.redactors)
            error |= {} if held is None else {"held": held}
        what["error"] = error
    told = {key: value for key, value in what.items() if value is not None}
    return f',"more":{json.dumps(told)}' if told else ""


_SLOW = f"nothing was taken for {WAIT_S:.0f} s"
_UNKNOWN = "a carrier whose return address this release does not know"
_UNHEARD = "Not all of a call was told to who sent the work: {}."
