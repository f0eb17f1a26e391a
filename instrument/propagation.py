"""
Carry a scope where contextvars do not go by themselves: into threads; and to other
processes which trace goes on there, and what was drawn for its samples.

Tasks, ``asyncio.to_thread`` and generators need none of this.
"""

import re

from instrument import _ids
from instrument._audience.plan import NOBODY
from instrument._audience.sampling import Incoming, drawn, incoming_of
from instrument._callables.decorate import decorated
from instrument._runs.opening import current_run, state_in_hand
from instrument._scopes.binding import Bound, bound_iterator
from instrument._scopes.scope import Scope, callbacks
from instrument._state import Frame, get_state
from instrument._text import safe_str

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping
    from typing import Any, TypeVar

    from instrument._audience.plan import Layer
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

_TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})"
    r"(-.*)?"
)
_MOST = 1_000
"""How many characters of a ``traceparent`` are looked at."""


def bind(target: "T") -> "T":
    """
    Have *target* run in the scope of now, wherever and whenever it runs.

    ``threading.Thread(target=bind(work))`` and ``loop.run_in_executor(None,
    bind(work))`` hear what happens in ``work``. Of an iterator or generator each step
    runs in the scope: for a stream that is made here and consumed elsewhere.

    Raises:
        TypeError: For what can neither be called nor iterated.
    """
    bound: Any = target
    if callable(bound) and not isinstance(bound, type):
        return decorated(bound, Bound(state_in_hand()), "bind")  # type: ignore[no-any-return]
    return bound_iterator(bound)  # type: ignore[no-any-return]


def carrier() -> "dict[str, Any]":
    """
    Give what is to go along to another process, for `attach` there: JSON can write it.

    Returns:
        ``traceparent``, if there is a trace, as `inject` writes it; and ``draw``, if one
        was made: the number from 0 to 1 that samples are compared with.
    """
    layers, incoming = _layers_here()
    run = current_run()
    came = incoming is not None and incoming.trace_hex
    trace_hex = run.trace_hex if run else came or None
    span_hex = _ids.span_hex_of(run.id) if run else incoming and incoming.span_hex
    number = _number_of(layers, incoming, trace_hex)
    made: dict[str, Any] = {}
    if trace_hex and span_hex:
        shares = [it.options.sample for it in layers if it.options.sample < 1]
        flag = not shares or number is None or number < max(shares)
        made["traceparent"] = f"00-{trace_hex}-{span_hex}-{flag:02x}"
    if number is not None:
        made["draw"] = number
    return made


def attach(carrier: "Mapping[str, Any]") -> callbacks:
    """
    Go on, in a ``with`` or ``async with`` block, with what has come from elsewhere.

    `Run.trace_hex` of the runs below is that of the trace which came in, and samples are
    compared with what was drawn there: with ``draw``, or where only a ``traceparent``
    came, by its flag all or none that hear a share. What is not valid is passed over.

    Args:
        carrier: What `carrier` or `extract` gave.
    """
    return _Attached(_incoming(carrier))


def inject(headers: "MutableMapping[str, Any]") -> "MutableMapping[str, Any]":
    """
    Write the trace of here into *headers* as W3C trace context; leave them where there
    is none.

    Args:
        headers: Those of a request, or MCP's ``_meta``.

    Returns:
        *headers*, with a ``traceparent``, whose flag tells whether the handlers that
        hear a share hear this request.

    Source: https://www.w3.org/TR/trace-context/
    """
    traceparent = carrier().get("traceparent")
    if traceparent is not None:
        headers["traceparent"] = traceparent
    return headers


def extract(headers: "Any") -> "dict[str, Any]":
    """
    Read W3C trace context, for `attach`; what is not valid is as if it were not there.

    Args:
        headers: A mapping, or pairs of names and values, of text or bytes.
    """
    try:
        pairs = headers.items() if hasattr(headers, "items") else headers
        found = [
            _text(value)
            for name, value in pairs
            if _text(name).lower() == "traceparent"
        ]
    except (TypeError, ValueError):  # no headers at all
        return {}
    if len(found) != 1 or _parsed(found[0]) is None:
        return {}
    return {"traceparent": found[0]}


class _Attached(callbacks):
    """
    A block that goes on with what has come in.
    """

    __slots__ = ("_incoming",)

    def __init__(self, incoming: Incoming | None) -> None:
        super().__init__()
        self._incoming = incoming

    def __enter__(self, depth: int = 2) -> Scope:
        scope = super().__enter__(depth + 1)
        if self._incoming is not None:
            scope.incoming, scope.number = self._incoming, self._incoming.number
        return scope


def _incoming(carrier: "Mapping[str, Any]") -> Incoming | None:
    """
    Read what came in, which may be anything.
    """
    found = carrier if issubclass(type(carrier), dict) else {}
    given: Any = found.get("draw")
    is_drawn = type(given) in (int, float) and 0 <= given <= 1
    parsed = _parsed(_text(found.get("traceparent")))
    if parsed is not None:
        trace_hex, span_hex, flags = parsed
        number = given if is_drawn else 1 - int(flags, 16) % 2
        return Incoming(trace_hex, span_hex, float(number))
    return Incoming(None, None, float(given)) if is_drawn else None


def _parsed(traceparent: str) -> "tuple[str, str, str] | None":
    """
    Give the ids and the flags of a ``traceparent``; None where it is none.
    """
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    version, trace_hex, span_hex, flags, more = found.groups()
    return None if version == "00" and more else (trace_hex, span_hex, flags)


def _text(value: object) -> str:
    """
    Give a header as text.
    """
    if issubclass(type(value), bytes):
        value = value[:_MOST].decode("latin-1")  # type: ignore[index]
    return safe_str(value)[:_MOST].strip(" \t")


def _layers_here() -> "tuple[list[Layer], Incoming | None]":
    state = get_state()
    plan = state._plan if isinstance(state, Frame) else NOBODY
    layers = plan._in_order()
    return layers, incoming_of(layers)


def _number_of(
    layers: "list[Layer]", incoming: Incoming | None, trace_hex: str | None
) -> float | None:
    """
    Give what was drawn for the request or trace of here; None where nothing was.
    """
    if incoming is not None:
        return incoming.number
    drawn_by_blocks = [it.number for it in layers if it.number is not None]
    if drawn_by_blocks:
        return drawn_by_blocks[0]
    return None if trace_hex is None else drawn(trace_hex)


def __getattr__(name: str) -> "Any":
    if name == "ContextThreadPoolExecutor":
        from instrument._scopes.executor import ContextThreadPoolExecutor

        return ContextThreadPoolExecutor
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
