"""
What tests of adapters share: one is installed for one test, its runs are checked, and
a fake provider answers.
"""

import gc
import sys
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from instrument.testing import Recorder

if TYPE_CHECKING:
    from tests.integrations.provider import Provider

sys.path.append(str(Path(__file__).parent))  # tests/ is no package

Whole = Callable[..., None]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """
    Skip a test of an SDK that is not installed: here, so that it is told in one line.
    """
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    if "sdk" in parameters:
        pytest.importorskip(parameters["sdk"].module)


@pytest.fixture(scope="module", autouse=True)
def light_heap(request: pytest.FixtureRequest) -> Iterator[None]:
    """
    Spare each collection of garbage a look at what the SDKs are made of: 0.4 s.
    """
    named = getattr(request.module, "SDKS", ())
    for sdk in named if isinstance(named, list) else ():
        with suppress(ImportError):
            import_module(sdk.module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what SDKs left open in another module
        gc.collect()
    gc.freeze()
    yield
    if "frameworks" in request.module.__name__:
        gc.unfreeze()
        with warnings.catch_warnings(action="ignore", category=ResourceWarning):
            gc.collect()  # they leave connections open, and tell nobody of them
        gc.freeze()


@pytest.fixture(autouse=True)
def callbacks_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Let coverage see callbacks: the interpreter hides what they run from tracers.
    """
    if sys.gettrace() is None or sys.version_info < (3, 12):
        return
    register = sys.monitoring.register_callback

    def register_through(tool: int, event: int, callback: Any) -> Any:
        if callback is None:
            return register(tool, event, None)
        return register(tool, event, lambda *args: sys.call_tracing(callback, args))

    monkeypatch.setattr(sys.monitoring, "register_callback", register_through)


@pytest.fixture
def langchain() -> Iterator[None]:
    """
    Hear LangChain during the test, at whose end no run is open.
    """
    from instrument import auto
    from instrument.integrations.langchain import _given_handlers as _given
    from instrument.integrations.langchain import _open_runs

    _given.behind.clear()  # what another test has shown
    auto.install()
    yield
    if _open_runs.open_runs:
        gc.collect()
    still_open = list(_open_runs.open_runs.values())
    _open_runs.open_runs.clear()
    auto.uninstall()
    assert still_open == []


@pytest.fixture
def whole() -> Whole:
    """
    Give a check that runs are trees in which every start has exactly one end.
    """
    return _check_whole


def _check_whole(recorder: Recorder, roots: int = 1) -> None:
    """
    Check ids, parents, names, and that the inner ends before the outer.

    Args:
        recorder: What was heard.
        roots: How many runs have no parent; all others' parents were heard.
    """
    starts: dict[object, int] = {}
    ends: dict[object, int] = {}
    for at, event in enumerate(recorder.events):
        assert event.name
        assert event.kind
        if event.event.endswith("_start"):
            assert starts.setdefault(event.run_id, at) == at
        elif event.event.endswith(("_end", "_error")):
            assert ends.setdefault(event.run_id, at) == at
    assert starts.keys() == ends.keys()
    for run in recorder.runs:
        assert starts[run.id] < ends[run.id]
        if run.parent_id is not None:
            assert starts[run.parent_id] < starts[run.id]
            assert ends[run.id] < ends[run.parent_id]
    assert [run.parent_id for run in recorder.roots] == [None] * roots


@pytest.fixture(params=["wrapped", "automatic"])
def hear(request: pytest.FixtureRequest) -> Iterator[Callable[[Any], Any]]:
    """
    Have a client heard: by hand, or as it is, which takes Python 3.12.
    """
    from instrument import auto, wrap

    if request.param == "wrapped":
        yield wrap
        return
    if sys.version_info < (3, 12):
        pytest.skip("sys.monitoring needs Python 3.12")
    auto.install()
    yield lambda client: client
    auto.uninstall()


@pytest.fixture
def provider() -> "Iterator[Provider]":
    """
    Run a fake provider for one test.
    """
    with import_module("provider").Provider() as provider:
        yield provider


@pytest.fixture
def client(hear: Any, provider: "Provider") -> Iterator[Any]:
    """
    Have a client of OpenAI's SDK heard.
    """
    openai = import_module("openai")
    with openai.OpenAI(api_key="k", base_url=provider.url + "/v1") as client:
        yield hear(client)


@pytest.fixture
async def aclient(hear: Any, provider: "Provider") -> AsyncIterator[Any]:
    """
    Have an async client of it heard.
    """
    url = provider.url + "/v1"
    async with import_module("openai").AsyncOpenAI(api_key="k", base_url=url) as client:
        yield hear(client)
