"""
`Arrival`: the block around one request that has come in.
"""

from instrument import _ids
from instrument._audience.sampling import Incoming, drawn
from instrument._interrupts import SETTLED
from instrument._scopes.opened import Scope
from instrument._scopes.scope import callbacks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Arrival(callbacks):
    """
    A block in which all that runs is of one trace: that which has come in, else a new one.

    Attributes:
        trace_hex: Its id, as others see it.
    """

    __slots__ = ("_incoming",)

    def __init__(
        self, incoming: Incoming | None, *handlers: "Any", **options: "Any"
    ) -> None:
        super().__init__(*handlers, **options)
        self._warn = SETTLED  # its handlers are for whoever comes, and nobody may
        if incoming is None or incoming.trace_hex is None:
            trace_hex = _ids.trace_hex_of(_ids.mint(_ids.wall_ns()))
            incoming = Incoming(trace_hex, None, drawn(trace_hex))
        self._incoming = incoming

    @property
    def trace_hex(self) -> str:
        return self._incoming.trace_hex  # type: ignore[return-value]  # it has one

    def __enter__(self, depth: int = 1) -> Scope:
        scope = super().__enter__(depth + 1)
        scope.incoming, scope.number = self._incoming, self._incoming.number
        return scope
