"""
What all tests share: async tests run on asyncio unless they ask for more.
"""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """
    Run tests marked ``anyio`` on asyncio.

    A test of scope or runs takes both: ``parametrize("anyio_backend", ["asyncio", "trio"])``.
    """
    return "asyncio"
