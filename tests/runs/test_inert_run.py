"""
The inert run, which stands where no run is.
"""

from typing import Any
from uuid import UUID

import pytest

from instrument import Run, Usage, callbacks, current_run, traced
from instrument.testing import Recorder

FACTS: dict[str, Any] = {
    "id": UUID,
    "parent_id": type(None),
    "trace_id": UUID,
    "depth": int,
    "name": str,
    "kind": str,
    "tags": tuple,
    "metadata": dict,
    "error": type(None),
    "error_origin": bool,
    "status": str,
    "started_at": int,
    "duration_s": float,
    "time_to_first_token_s": type(None),
    "model": type(None),
    "provider": type(None),
    "usage": Usage,
    "outputs": type(None),
}


@pytest.mark.parametrize("name", list(FACTS))
def test_fact_of_an_inert_run(name: str) -> None:
    """
    Outside any run each fact has the type that it has in a run.
    """
    assert isinstance(getattr(current_run(), name), FACTS[name])


@pytest.mark.anyio
async def test_async_block_that_nobody_hears() -> None:
    """
    The same for an async block.
    """
    async with traced("run") as run:
        run.outputs = 1

    assert not run


def test_inert_run_is_false_and_silent() -> None:
    """
    The inert run is false; its methods do nothing, and what is set on it is dropped.
    """
    inert: Any = current_run()
    recorder = Recorder()

    assert not inert
    assert isinstance(current_run(), Run)
    assert repr(inert) == "<no run>"
    assert inert.name
    with callbacks(recorder):
        inert.token("a")
        inert.text("a")
        inert.retry(1)
        inert.emit("told", 1)
        inert.add_tags("a")
        inert.add_metadata(a=1)
        inert.record_usage(input_tokens=1)
        inert.outputs = inert.model = inert.anything = "set"
        inert.metadata["a"] = 1

    assert recorder.events == []
    assert inert.tags == ()
    assert inert.metadata == {}
    assert inert.usage == Usage()
    assert (inert.outputs, inert.model) == (None, None)
    assert not hasattr(inert, "anything")
    assert inert.duration_s == 0.0


def test_block_that_nobody_hears_is_inert() -> None:
    """
    Where nobody listens a block gives the inert run.
    """
    with traced("run") as run:
        run.outputs = 1

    assert not run
    assert run.outputs is None
