"""
OpenAI's SDK, heard beside tracers that patch it: OpenInference's and Langfuse's.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

if sys.version_info < (3, 12):
    pytest.skip("sys.monitoring needs Python 3.12", allow_module_level=True)

pytest.importorskip("openai")

BESIDE: Any = import_module("test_beside_others")


@pytest.mark.parametrize("order", ["first", "last"])
@pytest.mark.parametrize(
    "tracer, package",
    [
        ("openinference", "openinference.instrumentation.openai"),
        ("langfuse", "langfuse"),
    ],
)
def test_a_tracer_that_patches(
    tracer: str, package: str, order: str, tmp_path: Path
) -> None:
    """
    A tracer that patches the SDK, before us or after, has its span, and we our run.
    """
    pytest.importorskip(package)

    BESIDE.check(BESIDE.run(tmp_path, str(BESIDE.PROGRAM), tracer, order))
