"""
The one ContextVar, where Python itself needs help.
"""

import gc
import sys

import pytest

from instrument import _state, callbacks
from instrument._scopes.scope import entered_from
from instrument.testing import Recorder


@pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="collections wait for a safe place"
)
@pytest.mark.rule(3, "generator")
def test_collection_holds_the_context() -> None:
    """
    Where ``ContextVar.set`` may be interrupted by a collection, the map of variables on
    which it works outlives it: handlers went deaf, or the interpreter crashed.
    """
    with callbacks(Recorder()) as scope:
        gc.collect()

    assert _state._held[_state.STATE] is scope
    gc.collect()
    assert _state._held.get(_state.STATE) is not scope


def test_place_without_a_caller() -> None:
    """
    Where nobody stands that far up the stack, there is no place.
    """
    assert entered_from(100_000) == ()
