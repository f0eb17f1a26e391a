"""
Ids are UUIDv7: ordered, unique, also after a fork.
"""

import os
import subprocess
import sys
from threading import Thread
from uuid import UUID

import pytest

from instrument import _ids, callbacks, traced
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


def test_uuids_are_unique_across_threads() -> None:
    """
    Threads that make ids at once make different ones.
    """
    made: list[UUID] = []

    def mint() -> None:
        made.extend([_ids.mint(0) for _ in range(2_000)])

    threads = [Thread(target=mint) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(made)) == 8_000


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
