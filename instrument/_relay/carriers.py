"""
What goes along to another process: which trace and run goes on there, what was drawn for
samples, and how events come home.
"""

from instrument import _ids, _report
from instrument._audience.plan import NOBODY
from instrument._audience.sampling import drawn, incoming_of
from instrument._payloads.names import Names
from instrument._payloads.redact import masked_all
from instrument._relay import homes
from instrument._runs.opening import current_run
from instrument._state import MUTED, Frame, get_state
from instrument._text import safe_repr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument._audience.audience import Audience
    from instrument._audience.plan import Layer
    from instrument._audience.sampling import Incoming
    from instrument._relay.transport import Transport

VERSION = 1
_OTHER_VERSION = (
    "attach(): a carrier of version {}; this release reads version {}. The call goes on"
    " without it: its trace begins here."
)
_FLAGS = ("capture", "plumbing")
_MOST_NAMES = 500
"""How many characters the names may have: a carrier stays below a kilobyte."""


def carrier_of(
    state: object,
    *,
    is_kept: bool = True,
    reports: bool = True,
    transport: "Transport | None" = None,
) -> "dict[str, Any]":
    """
    Give the carrier of here.

    What a job of an engine sends on goes home past that job, which may be over by then.

    Args:
        state: What stays as long as what is carried may be called back.
        is_kept: Whether to tell how this is found, also where nobody hears.
        reports: Whether to report that nothing can come home, and do without; else that
            is raised.
        transport: What brings events home; by default a socket on loopback.
    """
    here, run = get_state(), current_run()
    made = trace_context()
    if run:
        made |= {"run": str(run.id), "trace": [str(run.trace_id), run.depth]}
    audience = (here._plan if isinstance(here, Frame) else NOBODY).settle()
    made |= {name: False for name in _FLAGS if not getattr(audience, name)}
    made |= _masked(audience.redactors)
    if transport is not None and (home := _home_over(transport, audience)):
        return {"v": VERSION, **made, **home}
    is_heard = any(it.forwards(layer) for it, layer in audience.listeners)
    if here is not MUTED and (is_heard or is_kept):
        made["id"] = homes.kept(state)
    if here is not MUTED and is_heard:
        made |= _return_address(here, transport, reports=reports)
    return {"v": VERSION, **made} if made else {}


def _return_address(
    here: object, transport: "Transport | None", *, reports: bool
) -> "dict[str, Any]":
    """
    Give how events come home; nothing where no thread or descriptor is left for it.
    """
    try:
        from instrument._relay.arrivals import address_for

        return {"return": address_for(here, transport)}
    except Exception as exc:
        if not reports:
            raise
        _report.failed(carrier_of, "return address", exc)
        return {}


def _home_over(transport: "Transport", audience: "Audience") -> "dict[str, Any]":
    from instrument._relay.relay import homes_over

    return homes_over(transport, audience)


def _masked(redactors: "tuple[Any, ...]") -> "dict[str, Any]":
    """
    Give the names that are masked there too; a function does not go along, and looks
    here into what is told there.
    """
    if any(it is masked_all for it in redactors):
        return {"redact": True}
    opens = any(type(it) is not Names or it.opens for it in redactors)
    lists = [sorted(it.names) for it in redactors if type(it) is Names]
    names = [*dict.fromkeys(name for names in lists for name in names)]
    if sum(len(name) + 3 for name in names) > _MOST_NAMES:
        return {"redact": True}  # rather nothing than what is to be masked
    made = {"redact": names} if names else {}
    return made | {"opened": True} if opens else made


def trace_context() -> "dict[str, Any]":
    """
    Give the W3C trace context of here, and what was drawn.
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
        if incoming is not None and incoming.tracestate and trace_hex == came:
            made["tracestate"] = incoming.tracestate
    if number is not None:
        made["draw"] = number
    return made


def checked(carrier: object) -> "dict[str, Any]":
    """
    Give a carrier, which may be anything; nothing of one of another version. What it is
    and holds is not asked for it: a dict of another class is copied.
    """
    found: Any = carrier if type(carrier) is dict else {}
    if issubclass(type(carrier), dict) and found is not carrier:
        found = dict.copy(carrier)  # type: ignore[arg-type]
    version = found.get("v", VERSION)
    if (type(version) is int or type(version) is float) and version == VERSION:
        return found  # type: ignore[no-any-return]
    _report.complain(_OTHER_VERSION.format(safe_repr(version), VERSION), None)
    return {}


def _layers_here() -> "tuple[list[Layer], Incoming | None]":
    state = get_state()
    plan = state._plan if isinstance(state, Frame) else NOBODY
    layers = plan._in_order()
    return layers, incoming_of(layers)


def _number_of(
    layers: "list[Layer]", incoming: "Incoming | None", trace_hex: str | None
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
