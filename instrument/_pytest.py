"""
The pytest plugin: the fixture ``recorder``.
"""

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from instrument.testing import Recorder


@pytest.fixture
def recorder() -> "Iterator[Recorder]":
    """
    A `Recorder` that hears everything the test does, in every thread and task.
    """
    from instrument import callbacks
    from instrument.testing import Recorder

    heard = Recorder()
    with callbacks(heard).install():
        yield heard
