"""
Which copy of the package is under test.
"""

import os
from pathlib import Path

import pytest

import instrument


@pytest.mark.skipif(
    os.environ.get("INSTRUMENT_EXPECT_INSTALLED") != "1",
    reason="only where a wheel is under test (INSTRUMENT_EXPECT_INSTALLED=1)",
)
def test_installed_package_is_tested() -> None:
    """
    The package under test is the installed wheel, not the checkout.
    """
    assert "site-packages" in Path(instrument.__file__).parts
