"""
What tests of integrations share: the fake provider.
"""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integrations.provider import Provider

sys.path.append(str(Path(__file__).parent))  # tests/ is no package


@pytest.fixture
def provider() -> "Iterator[Provider]":
    """
    Run a fake provider for one test.
    """
    with import_module("provider").Provider() as provider:
        yield provider
