"""
Ids and clocks of runs.

Ids are UUIDv7 (RFC 9562, section 5.7): sortable by time, and counter-based, which
costs a sixth of ``uuid4``. The three sources are looked up on this module at each
use, so that `instrument.testing` can replace them with predictable ones.
"""

import os
import time
from collections.abc import Callable
from itertools import count
from uuid import UUID, SafeUUID

from instrument._forks import in_child

__all__ = ["clock_ns", "mint", "wall_ns"]

_UNKNOWN = SafeUUID.unknown
# the slots' own setters: half the cost of object.__setattr__
_new = object.__new__
_set_int = vars(UUID)["int"].__set__
_set_safe = vars(UUID)["is_safe"].__set__

wall_ns: Callable[[], int] = time.time_ns
"""Nanoseconds since the epoch: when a run started."""

clock_ns: Callable[[], int] = time.perf_counter_ns
"""Monotonic nanoseconds: how long a run took."""

_next: Callable[[], int]


def mint_random(started_at_ns: int) -> UUID:
    """
    Make a new UUIDv7, greater than every earlier one of the same millisecond.
    """
    made = _new(UUID)
    _set_int(made, started_at_ns // 1_000_000 << 80 | _next())
    _set_safe(made, _UNKNOWN)
    return made


mint: Callable[[int], UUID] = mint_random
"""The id of a run that starts at this wall time (ns)."""


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
