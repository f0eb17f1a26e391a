"""
Ids and clocks of runs.

Ids are UUIDv7 (RFC 9562, section 5.7): sortable by time, and counter-based, which
costs a sixth of ``uuid4``. The three sources are looked up on this module at each
use, so that `instrument.testing` can replace them with predictable ones.
"""

import os
import time
from _blake2 import blake2b  # `hashlib` loads OpenSSL
from collections.abc import Callable
from itertools import count
from uuid import UUID, SafeUUID

from instrument._forks import in_child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["clock_ns", "mint", "wall_ns"]

_UNKNOWN = SafeUUID.unknown

wall_ns: Callable[[], int] = time.time_ns
"""Nanoseconds since the epoch: when a run started."""

clock_ns: Callable[[], int] = time.perf_counter_ns
"""Monotonic nanoseconds: how long a run took."""

_next: Callable[[], int]


class _Unsealed(UUID):
    """
    A UUID in the making, which still lets its fields be set.
    """

    __slots__ = ()
    __init__ = object.__init__
    __setattr__ = object.__setattr__  # type: ignore[assignment]


def mint_random(started_at_ns: int) -> UUID:
    """
    Make a new UUIDv7, greater than every earlier one of the same millisecond.
    """
    # plain stores and a change of class: 3.2k instructions; by the slots' own setters
    # 4.1k. To keep a millisecond's bits saves 0.2k, and costs 1k where it is a new one.
    made: Any = _Unsealed()
    made.int = started_at_ns // 1_000_000 << 80 | _next()
    made.is_safe = _UNKNOWN
    made.__class__ = UUID
    return made  # type: ignore[no-any-return]


def copied(id: UUID) -> UUID:
    """
    Make another object of the same id, in a third of the steps that its class takes.
    """
    made: Any = _Unsealed()
    made.int, made.is_safe = id.int, _UNKNOWN
    made.__class__ = UUID
    return made  # type: ignore[no-any-return]


mint: Callable[[int], UUID] = mint_random
"""The id of a run that starts at this wall time (ns)."""


def mixed(number: int) -> int:
    """
    Map a number to one of 64 bits: the same in every process, whatever its pattern.
    """
    number = (number ^ number >> 64) * 0x9E3779B97F4A7C15 & (1 << 64) - 1
    number = (number ^ number >> 32) * 0xD6E8FEB86659FD93 & (1 << 64) - 1
    return number ^ number >> 32


def trace_hex_of(id: UUID) -> str:
    """
    Give the trace id that others see of the trace with the root *id*.

    A hash: of ids that begin alike, samplers that take a share would keep all or none.
    """
    return blake2b(id.bytes, digest_size=16).hexdigest()


def span_hex_of(id: UUID) -> str:
    """
    Give the id that others see of the run with that *id*.
    """
    return blake2b(id.bytes, digest_size=8).hexdigest()


def _seed() -> None:
    """
    Choose the random bits anew; a forked child must not repeat its parent's ids.
    """
    global _next
    random = int.from_bytes(os.urandom(10), "big")
    version, variant = 0x7 << 76, 0b10 << 62
    counter = random & (1 << 61) - 1  # the top bit is free: it never overflows
    _next = count(version | random >> 68 << 64 | variant | counter).__next__


_seed()
in_child(_seed)
