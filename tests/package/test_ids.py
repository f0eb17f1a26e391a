"""
Ids are UUIDv7: ordered, unique, also after a fork.
"""

import os
import pickle
import subprocess
import sys
from hashlib import blake2b
from threading import Thread
from uuid import UUID, SafeUUID

import pytest

from instrument import _ids, callbacks, current_run, traced
from instrument.propagation import inject
from instrument.testing import Recorder


def test_uuid_version_and_variant() -> None:
    """
    An id says that it is a UUIDv7 of RFC 9562, and its text is read back the same.
    """
    made = _ids.mint(1_767_225_600_123_000_000)

    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert UUID(str(made)) == made
    assert hash(UUID(str(made))) == hash(made)


def test_uuid_holds_the_time() -> None:
    """
    The first 48 bits are milliseconds since the epoch.
    """
    assert _ids.mint(1_767_225_600_123_456_789).int >> 80 == 1_767_225_600_123


def test_uuids_of_one_millisecond_are_ordered() -> None:
    """
    Ids of one millisecond rise, and none is made twice.
    """
    made = [_ids.mint(1_767_225_600_000_000_000) for _ in range(10_000)]

    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_uuids_are_plain_and_sealed() -> None:
    """
    An id is a UUID and of no class of ours; it cannot be changed, and can be pickled.
    """
    made = _ids.mint(0)

    assert type(made) is UUID
    assert made.is_safe is SafeUUID.unknown
    assert pickle.loads(pickle.dumps(made)) == made
    with pytest.raises(TypeError, match="immutable"):
        made.int = 1  # type: ignore[misc]


def test_uuids_are_unique_across_threads() -> None:
    """
    Threads that make ids at once make different ones, each its own in order, however
    often they are switched.
    """
    made: list[list[UUID]] = []

    def mint() -> None:
        made.append([_ids.mint(0) for _ in range(2_000)])

    threads = [Thread(target=mint) for _ in range(8)]
    interval_s = sys.getswitchinterval()
    try:
        sys.setswitchinterval(1e-6)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval_s)

    assert all(ids == sorted(ids) for ids in made)
    assert len({id for ids in made for id in ids}) == 16_000


def test_uuids_are_unique_across_processes() -> None:
    """
    Two processes that make ids of one millisecond make different ones.
    """
    code = "from instrument import _ids; print(*[_ids.mint(0) for _ in range(1_000)])"

    made = [
        subprocess.check_output([sys.executable, "-c", code], text=True).split()
        for _ in range(2)
    ]

    assert len({*made[0], *made[1]}) == 2_000


def test_run_ids_sort_by_start() -> None:
    """
    Runs sort by their ids in the order in which they started.
    """
    recorder = Recorder()

    with callbacks(recorder):
        for _ in range(100):
            traced(lambda: None)()

    ids = [run.id for run in recorder.runs]
    assert ids == sorted(ids)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_fork_makes_other_ids() -> None:
    """
    A forked child does not repeat its parent's ids.
    """
    code = """if True:
        import os
        from instrument import _ids
        reading, writing = os.pipe()
        if os.fork() == 0:
            os.write(writing, str(_ids.mint(0)).encode())
            os._exit(0)
        mine = str(_ids.mint(0))
        os.wait()
        theirs = os.read(reading, 100).decode()
        assert len(theirs) == 36
        print(mine.split("-")[3:] != theirs.split("-")[3:])
    """
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout == "True\n"


def test_ids_for_others_are_hashes() -> None:
    """
    The ids that others see are blake2b of ours: whoever knows a run's id can find its
    span, and the trace's header, exporters and carriers give the same.
    """
    heard = []

    @traced
    def root() -> str:
        heard.append(current_run())
        return str(inject({})["traceparent"])

    with callbacks(Recorder()):
        header = root()

    run = heard[0]
    trace = blake2b(run.id.bytes, digest_size=16).hexdigest()
    span = blake2b(run.id.bytes, digest_size=8).hexdigest()
    assert run.trace_hex == trace
    assert header == f"00-{trace}-{span}-01"


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9])
def test_ratio_of_trace_ids(ratio: float) -> None:
    """
    A sampler that looks at the low 64 or 56 bits of a trace id keeps its share of them.
    """
    ids = [
        int(_ids.trace_hex_of(_ids.mint(1_767_225_600_000_000_000)), 16)
        for _ in range(2_000)
    ]

    by_bound = sum(id & (1 << 64) - 1 < ratio * 2**64 for id in ids) / 2_000
    by_threshold = sum(id & (1 << 56) - 1 >= (1 - ratio) * 2**56 for id in ids) / 2_000

    assert abs(by_bound - ratio) < 0.05
    assert abs(by_threshold - ratio) < 0.05
