"""
What Python tells nobody of, so that it cannot be heard automatically; a wrapped client
hears it.
"""

import gc
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from instrument import callbacks
from instrument.testing import Recorder

if TYPE_CHECKING:
    from tests.integrations.provider import Provider

# Google's SDK takes aiohttp where that is installed
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore:Inheritance class AiohttpClientSession"
)

sdks: Any = import_module("sdks")


@pytest.mark.parametrize(
    "sdk", [sdks.GENAI, sdks.HUGGINGFACE], ids=lambda it: it.provider
)
def test_a_generator_that_is_closed(
    sdk: Any, hear: Any, request: pytest.FixtureRequest, provider: "Provider"
) -> None:
    """
    A stream that is a plain generator ends its run when it is closed; under Python 3.13,
    which closes such a one without a word, when it is dropped.
    """
    recorder = Recorder()
    is_automatic = "automatic" in request.node.name
    is_silent = is_automatic and sys.version_info[:2] == (3, 13)

    with sdks.closing(sdk.make(provider.url)) as client, callbacks(recorder):
        stream = sdk.calls["stream"](hear(client))
        next(stream)
        stream.close()
        (run,) = recorder.runs
        when_closed = run.status
        del stream
        gc.collect()

    assert when_closed == ("running" if is_silent else "abandoned")
    assert run.status == "abandoned"
    assert [e.event for e in recorder.events].count("on_llm_error") == 1


@pytest.mark.parametrize("sdk", [sdks.GENAI, sdks.COHERE], ids=lambda it: it.provider)
def test_a_generator_that_has_not_begun(
    sdk: Any, hear: Any, request: pytest.FixtureRequest, provider: "Provider"
) -> None:
    """
    A method that is a generator itself is called with its first piece: who listens there
    hears it. Of a wrapped client, who listens where it was asked.
    """
    is_automatic = "automatic" in request.node.name
    asked, read = Recorder(), Recorder()

    with sdks.closing(sdk.make(provider.url)) as client:
        with callbacks(asked):
            stream = sdk.calls["stream"](hear(client))
        with callbacks(read):
            list(stream)

    assert [run.status for run in asked.runs] == ([] if is_automatic else ["ok"])
    assert [run.status for run in read.runs] == (["ok"] if is_automatic else [])
