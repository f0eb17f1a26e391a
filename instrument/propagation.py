"""
Carry a scope where contextvars do not go by themselves: into threads and, with whatever
pickles it, into worker processes; over HTTP, which trace goes on there, what was drawn
for its samples, and what else the application lets through.

Tasks, ``asyncio.to_thread`` and generators need none of this.
"""

from contextlib import suppress
from weakref import WeakSet

from instrument import _report
from instrument._delivery.loops import FORKS
from instrument._forks import before_fork
from instrument._interrupts import is_of_call
from instrument._payloads.redact import OPENED, masked_all
from instrument._runs.opening import state_in_hand
from instrument._scopes.binding import Bound, bound, bound_iterator
from instrument._scopes.decorator import Scoped
from instrument._scopes.headers import (
    KEY,
    TAG,
    TAGS,
    add_baggage,
    baggage_of,
    checked_names,
    described,
    found_in,
    incoming_in,
    parsed,
    tracestate_of,
)
from instrument._scopes.opened import Scope
from instrument._scopes.scope import callbacks
from instrument._state import get_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, MutableMapping
    from typing import Any, TypeVar

    from instrument._scopes.executor import ContextThreadPoolExecutor

    T = TypeVar("T")

__all__ = [
    "ContextThreadPoolExecutor",
    "attach",
    "bind",
    "carrier",
    "extract",
    "inject",
]


def bind(target: "T") -> "T":
    """
    Have *target* run in the scope of now, wherever and whenever it runs.

    ``threading.Thread(target=bind(work))`` and ``loop.run_in_executor(None,
    bind(work))`` hear what happens in ``work``. Of an iterator or generator each step
    runs in the scope: for a stream that is made here and consumed elsewhere.

    What is called is pickled where *target* can be, for a pool of processes: there each
    call goes on as with `carrier` and `attach`.

    Raises:
        TypeError: For what can neither be called nor iterated.
    """
    given: Any = target
    if callable(given) and not isinstance(given, type):
        return bound(given, Carried(state_in_hand()))  # type: ignore[no-any-return]
    return bound_iterator(given)  # type: ignore[no-any-return]


class Carried(Bound):
    """
    How `bind` wraps a function, which takes a carrier along: pickled, or by a fork.
    """

    def __init__(self, state: object) -> None:
        super().__init__(state)
        self._forks = FORKS.count
        self._carrier: dict[str, Any] = {}
        _carried.add(self)

    def carrier(self, *, reports: bool = True) -> "dict[str, Any]":
        if (carriers := _carriers(reports=reports)) is not None:
            made = Bound.plain(self, carriers.carrier_of)
            self._carrier = made(self._state, reports=reports)
        return self._carrier

    def __reduce__(self) -> "Any":
        return arrived, (self.carrier(),)

    def plain(self, function: "Any") -> "Any":
        here = super().plain(function)

        def bound(*args: "Any", **kwargs: "Any") -> "Any":
            if self._forks == FORKS.count:
                return here(*args, **kwargs)
            return attach(self._carrier)(function)(*args, **kwargs)

        return bound

    def called(
        self, wrapped: "Any", instance: "Any", args: "Any", kwargs: "Any"
    ) -> "Any":
        if self._forks == FORKS.count:
            return super().called(wrapped, instance, args, kwargs)
        return attach(self._carrier)(wrapped)(*args, **kwargs)

    deferred = called


class Arrived(Scoped):
    """
    The same in another process: each call is a block of what has been carried there.
    """

    is_carried = True

    def __init__(self, carrier: "dict[str, Any]") -> None:
        super().__init__(attach(carrier))
        self._carrier = carrier

    def rebuilt(self, target: "Any") -> "Any":
        return bound(target, self)

    def __reduce__(self) -> "Any":
        return arrived, (self._carrier,)


def _before_fork() -> None:
    """
    Have what is bound take along how events come home: it may be what the child does.
    """
    for each in [it for it in list(_carried) if not it._carrier]:
        with suppress(OSError, RuntimeError):  # nothing can listen; logs are locked now
            each.carrier(reports=False)


_carried: "WeakSet[Carried]" = WeakSet()
before_fork(_before_fork)


def arrived(carrier: "dict[str, Any]") -> "Carried | Arrived":
    """
    Unpickle how `bind` wraps a function: where it was bound, in the very scope.
    """
    carriers = _carriers()
    frame = None if carriers is None else carriers.homes.found(carrier.get("id"))
    return Arrived(carrier) if frame is None else Carried(frame)


def carrier() -> "dict[str, Any]":
    """
    Give what is to go along to another process, for `attach` there: JSON can write it.

    Returns:
        ``v``, its version; ``traceparent``, if there is a trace, as `inject` writes it,
        and the ``tracestate`` that came in with it; ``draw``, if one was made: the number
        from 0 to 1 that samples are compared with; of the run in hand ``run``, and in
        ``trace`` the root's id and how deep it is. Where somebody hears, ``return``: how
        events come home to this process, with a key that no stranger may see. Nothing
        where there is none of it.
    """
    carriers = _carriers()
    return {} if carriers is None else carriers.carrier_of(get_state(), is_kept=False)


def attach(carrier: "Mapping[str, Any]") -> callbacks:
    """
    Go on, in a ``with`` or ``async with`` block, with what has come from elsewhere.

    `Run.trace_hex` of the runs below is that of the trace which came in, and samples are
    compared with what was drawn there: with ``draw``, or where only a ``traceparent``
    came, by its flag all or none that hear a share. They have the tags and the metadata
    that `extract` let in. What is not valid is passed over.

    What `carrier` gave also tells the run whose children they are.

    Args:
        carrier: What `carrier` or `extract` gave. One of another version is reported,
            and as if it were empty.
    """
    carriers = _carriers()
    return _Attached({} if carriers is None else carriers.checked(carrier))


def inject(
    headers: "MutableMapping[str, Any]",
    *,
    metadata: "Iterable[str]" = (),
    tags: "Iterable[str]" = (),
) -> "MutableMapping[str, Any]":
    """
    Write the trace of here into *headers* as W3C trace context; leave them where there
    is none.

    Args:
        headers: Those of a request, or MCP's ``_meta``.
        metadata: The keys whose values go along in ``baggage``, for everybody on the way
            to read: text, numbers and truths that are set here. None by default.
        tags: The tags that go along, where they are set here.

    Returns:
        *headers*, with a ``traceparent``, whose flag tells whether the handlers that
        hear a share hear this request, and the ``tracestate`` that came in with it.

    Raises:
        TypeError: For names that are no strings.
        ValueError: For a key that has other characters than letters, digits and
            ``!#$%&'*+-.^_`|~``, or a tag with a comma.

    Source: https://www.w3.org/TR/trace-context/, https://www.w3.org/TR/baggage/
    """
    keys = checked_names("inject(metadata=...)", metadata, KEY)
    allowed = checked_names("inject(tags=...)", tags, TAG)
    carriers = _carriers()
    carried = {} if carriers is None else carriers.trace_context()
    for name in ("traceparent", "tracestate"):
        if name in carried:
            headers[name] = carried[name]
    if keys or allowed:
        add_baggage(headers, keys, allowed)
    return headers


def extract(
    headers: "Any", *, metadata: "Iterable[str]" = (), tags: "Iterable[str]" = ()
) -> "dict[str, Any]":
    """
    Read W3C trace context, for `attach`; what is not valid is as if it were not there.

    Args:
        headers: A mapping, or pairs of names and values, of text or bytes: those of a
            request, or MCP's ``_meta``.
        metadata: The keys that may come in with ``baggage``, as metadata: whoever calls
            can write there what they like. None by default.
        tags: The tags that may come in.

    Raises:
        TypeError: For names that are no strings.
        ValueError: As for `inject`.
    """
    keys = checked_names("extract(metadata=...)", metadata, KEY)
    allowed = checked_names("extract(tags=...)", tags, TAG)
    found = found_in(headers)
    made: dict[str, Any] = {}
    parents = found["traceparent"]
    if len(parents) == 1 and parsed(parents[0]) is not None:
        made["traceparent"] = parents[0]
        state = tracestate_of(",".join(found["tracestate"]))
        if state:
            made["tracestate"] = state
    if keys or allowed:
        baggage = baggage_of(",".join(found["baggage"]))
        told = {key: baggage[key] for key in keys if key in baggage}
        came = baggage.get(TAGS, "").split(",")
        known = [tag for tag in allowed if tag in came]
        made |= {"metadata": told} if told else {}
        made |= {"tags": known} if known else {}
    return made


def _carriers(*, reports: bool = True) -> "Any":
    """
    Give what makes carriers; None where it cannot be imported, as no descriptor is left.
    """
    try:
        from instrument._relay import carriers
    except Exception as exc:
        if reports:
            _report.failed(carrier, "import", exc)
        return None
    return carriers


class _Attached(callbacks):
    """
    A block that goes on with what has come in.
    """

    __slots__ = ("_carrier", "_incoming")

    def __init__(self, carrier: "dict[str, Any]") -> None:
        metadata, tags = described(carrier)
        capture, plumbing = (
            carrier.get(name) is not False for name in ("capture", "plumbing")
        )
        names: Any = carrier.get("redact", [])
        is_list = type(names) is list and all(type(it) is str and it for it in names)
        super().__init__(
            metadata=metadata,
            tags=tags,
            redact=names if is_list and names else None,
            capture=capture and is_list,
            plumbing=plumbing,
        )
        if not is_list:
            self.redactors = (masked_all,)
        elif carrier.get("opened") is True:
            self.redactors += (OPENED,)
        self._carrier = carrier
        self._incoming = incoming_in(carrier)

    def __enter__(self, depth: int = 1) -> Scope:
        scope = super().__enter__(depth + 1)
        if scope._token is None:  # nobody hears here
            return scope
        try:
            self._arrive(scope)
        except BaseException as exc:
            if is_of_call(exc):
                self.undo(scope)
                raise
            _report.failed(attach, "attach", exc)
        return scope

    def _arrive(self, scope: Scope) -> None:
        """
        Have *scope* go on with what has come in.
        """
        came, address = self._incoming, self._carrier.get("return")
        if came is not None:
            scope.incoming, scope.number = came, came.number
        if "v" not in self._carrier:
            return
        from instrument._relay import above, exits, relay

        pid = address.get("pid") if type(address) is dict else None
        outer: Any = scope.outer
        if pid is None or relay._is_of(pid):  # no request of this process, but a copy
            from instrument._scopes.inherited import own

            outer = scope.outer = own(outer)
        scope.run = above.run_above(self._carrier, came)
        exits.drain_at_exit(outer)
        reached = None if address is None else relay.reached(self._carrier)
        if reached is not None:
            number = None if came is None else came.number
            try:
                made = relay.options(reached, self, outer, number, pid)
                scope.options, scope.installed = made
            except BaseException:
                reached.break_off()
                raise


def __getattr__(name: str) -> "Any":
    if name == "ContextThreadPoolExecutor":
        from instrument._scopes.executor import ContextThreadPoolExecutor

        return ContextThreadPoolExecutor
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
