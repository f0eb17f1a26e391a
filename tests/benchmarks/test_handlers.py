"""
What handlers keep. Not run by default: ``-m benchmark`` does.
"""

import pytest

from tests.benchmarks.handlers import HANDLERS, SOAK_BYTES, soak_bytes

pytestmark = pytest.mark.benchmark


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", list(HANDLERS))
def test_memory_is_flat(name: str) -> None:
    """
    A million runs leave nothing behind in a handler.
    """
    assert soak_bytes(HANDLERS[name]) <= SOAK_BYTES
