"""
``callbacks(plumbing=False)``: the steps that a framework makes of its own are no runs.
"""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

pytest.importorskip("langchain_core")

from langchain_core.callbacks import dispatch_custom_event
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.runnables import Runnable, RunnableLambda

from instrument import bind, callbacks, current_run, traced
from instrument.integrations.langchain import _open_runs
from instrument.integrations.langchain._bridge import BRIDGE
from instrument.testing import Recorder

pytestmark = pytest.mark.usefixtures("langchain")

HIDDEN = "langsmith:hidden"
STEP = {"langgraph_step": 1}


def chain(name: str, body: Callable[[Any], Any] = str) -> "Runnable[Any, Any]":
    """
    Make a chain of one function.
    """
    return RunnableLambda(body, name=name)


def app(seen: list[str]) -> "Runnable[Any, Any]":
    """
    Make a chain in which plumbing stands between two others.
    """

    def write(value: Any) -> Any:
        seen.append(current_run().name)
        chain("below").invoke(value)
        return traced("own")(chain("deep").invoke)(value)

    plumbing = chain("_write", write)
    return chain("top", lambda value: plumbing.invoke(value, {"tags": [HIDDEN]}))


def test_shown_by_default(whole: Callable[..., None]) -> None:
    """
    Plumbing is shown under its name, with the tag that marks it.
    """
    seen, recorder = list[str](), Recorder()

    with callbacks(recorder):
        app(seen).invoke(1)

    whole(recorder)
    assert [run.name for run in recorder.runs] == [
        "top",
        "_write",
        "below",
        "own",
        "deep",
    ]
    assert HIDDEN in recorder.find("_write")[0].tags
    assert seen == ["_write"]


def test_left_out(whole: Callable[..., None]) -> None:
    """
    With ``plumbing=False`` it is left out, and what it calls hangs on the nearest shown,
    also where LangChain hands the tag down.
    """
    seen, recorder = list[str](), Recorder()

    with callbacks(recorder, plumbing=False):
        app(seen).invoke(1)

    whole(recorder)
    assert recorder.tree() == (
        "chain top: ok\n  chain below: ok\n  chain own: ok\n    chain deep: ok"
    )
    assert seen == ["top"]
    assert recorder.find("own")[0].tags == ()
    assert recorder.find("below")[0].tags == (HIDDEN,)  # as LangChain tells it


def test_steps_of_what_is_left_out(whole: Callable[..., None]) -> None:
    """
    The steps of a sequence that is left out are left out with it, those of another one
    that is called in it are not.
    """
    recorder = Recorder()
    inner = chain("one") | chain("two", lambda _: chain("three") | chain("four"))
    outer = chain("top", inner.with_config(tags=[HIDDEN], run_name="hidden").invoke)

    with callbacks(recorder, plumbing=False):
        outer.invoke(1)

    whole(recorder)
    assert recorder.tree() == (
        "chain top: ok\n"
        "  chain RunnableSequence: ok\n"
        "    chain three: ok\n"
        "    chain four: ok"
    )


def test_models_stay(whole: Callable[..., None]) -> None:
    """
    A model or a tool is no plumbing, however it is tagged: its tokens cost.
    """
    recorder = Recorder()
    model = FakeListChatModel(responses=["a"])

    with callbacks(recorder, plumbing=False):
        chain("top", lambda _: model.invoke("q", {"tags": [HIDDEN]})).invoke(1)

    whole(recorder)
    assert recorder.tree() == "chain top: ok\n  chat_model FakeListChatModel: ok"


@pytest.mark.parametrize("outer", [True, False])
def test_for_every_handler(outer: bool, whole: Callable[..., None]) -> None:
    """
    It holds for everything below and every handler, also under ``inherit=False``.
    """
    first, second = Recorder(), Recorder()

    with (
        callbacks(first, plumbing=not outer),
        callbacks(second, inherit=not outer, plumbing=outer),
    ):
        app([]).invoke(1)

    whole(second)
    assert second.find("top") + second.find("own")
    assert second.find("_write") == first.find("_write") == []
    assert first.runs == ([] if outer else second.runs)


def test_what_it_tells(whole: Callable[..., None]) -> None:
    """
    What is told of a run that is left out is told of the one above.
    """
    recorder = Recorder()
    plumbing = chain("_write", lambda _: dispatch_custom_event("progress", 1))

    with callbacks(recorder, plumbing=False):
        chain("top", plumbing.invoke).invoke(1, {"metadata": STEP})
        plumbing.invoke(1, {"metadata": STEP})

    whole(recorder)
    (event,) = [it for it in recorder.events if it.event == "on_custom_event"]
    assert (event.name, event.data) == ("top", {"name": "progress", "data": 1})


def test_what_goes_on_when_it_has_ended(whole: Callable[..., None]) -> None:
    """
    What it leaves behind hangs on the run above as well, when it has ended.
    """
    recorder = Recorder()
    later: list[Callable[..., object]] = []
    plumbing = chain("_write", lambda _: later.append(bind(chain("late").invoke)))

    def body(value: Any) -> None:
        plumbing.invoke(value)
        later[0](1)

    with callbacks(recorder, plumbing=False):
        chain("top", body).invoke(1, {"metadata": STEP})

    whole(recorder)
    assert recorder.tree() == "chain top: ok\n  chain late: ok"


def test_what_is_handed_down() -> None:
    """
    Functions below have the tags and metadata of the call, not those of the plumbing.
    """
    recorder = Recorder()
    plumbing = chain("_write", traced("own")(lambda _: None))
    config: Any = {"tags": ["t"], "metadata": {"user": "u1", **STEP}}

    with callbacks(recorder, plumbing=False):
        chain("top", plumbing.invoke).invoke(1, config)

    (own,) = recorder.find("own")
    assert (own.tags, own.metadata) == (("t",), {"user": "u1"})


def test_as_hidden() -> None:
    """
    ``hidden=False``, as it was called, does the same for one version, and warns.
    """
    recorder = Recorder()

    with pytest.warns(DeprecationWarning, match="plumbing=False") as warned:
        block = callbacks(recorder, hidden=False)  # type: ignore[call-arg]
    with block:
        app([]).invoke(1)

    assert warned[0].filename == __file__
    assert recorder.find("_write") == []


def test_node_of_nobody() -> None:
    """
    What is told as a node like an agent's, by whomever, is shown where it is none.
    """
    recorder = Recorder()
    told = {"langgraph_node": "model", **STEP}

    with callbacks(recorder, plumbing=False):
        chain("model").invoke(1, {"tags": ["graph:step:1"], "metadata": told})

    assert recorder.tree() == "chain model: ok"


def test_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What is left out is forgotten when it ends; of those that never end, the oldest are.
    """
    plumbing = chain("_write")
    monkeypatch.setattr(_open_runs, "_MOST", 3)

    with callbacks(Recorder(), plumbing=False):
        plumbing.invoke(1, {"metadata": STEP})
        assert _open_runs.left_out == {}
        for _ in range(5):
            BRIDGE.on_chain_start(None, {}, run_id=uuid4(), tags=[HIDDEN], name="x")

    assert len(_open_runs.left_out) == 3
    _open_runs.left_out.clear()


@pytest.mark.parametrize("name", ["__start__", "ChannelWrite<a,b>", "_write", "_read"])
def test_known_by_name(name: str, whole: Callable[..., None]) -> None:
    """
    LangGraph's own steps are left out in versions that did not tag them.
    """
    recorder = Recorder()
    plumbing = chain(name, lambda value: chain("below").invoke(value))

    with callbacks(recorder, plumbing=False):
        chain("top", plumbing.invoke).invoke(1, {"metadata": STEP})

    whole(recorder)
    assert recorder.tree() == "chain top: ok\n  chain below: ok"


def test_at_the_root(whole: Callable[..., None]) -> None:
    """
    Below plumbing that nobody called, each call is a tree.
    """
    recorder = Recorder()

    def body(value: Any) -> None:
        chain("one").invoke(value)
        chain("two").invoke(value)

    with callbacks(recorder, plumbing=False):
        chain("_write", body).invoke(1, {"metadata": STEP})

    whole(recorder, roots=2)
    assert recorder.tree() == "chain one: ok\nchain two: ok"
