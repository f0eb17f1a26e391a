"""
What tests of `OTLPHandler` share: a receiver, and an environment that says nothing.
"""

import os
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.handlers.otlp.otlp_receiver import Receiver

sys.path.append(str(Path(__file__).parent))  # tests/ is no package


@pytest.fixture
def receiver() -> "Iterator[Receiver]":
    """
    Give a receiver on a free port of loopback.
    """
    made: Receiver = import_module("otlp_receiver").Receiver()
    yield made
    made.close()
    worker: Any = import_module("instrument.handlers._shared.worker")
    for each in [*worker._all]:  # none goes on to try, or to report, in the next test
        each._complain = lambda _: None
        each._until = 0.0
        each._stopping.set()


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Have nothing in the environment that says where spans go.
    """
    for name in [*os.environ]:
        if name.startswith("OTEL_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
