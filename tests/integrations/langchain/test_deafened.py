"""
Who listens here deafens none of LangChain's own handlers: they hear what they would.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.callbacks import BaseCallbackHandler as LangChainHandler
from langchain_core.language_models import FakeListLLM
from langchain_core.language_models.fake import FakeStreamingListLLM
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler

from instrument import AsyncCallbackHandler as OurAsyncHandler
from instrument import BaseCallbackHandler, auto, callbacks, traced
from instrument.integrations.langchain import _given_handlers
from instrument.testing import Recorder

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("langchain"),
    pytest.mark.filterwarnings("ignore:astream_log"),
    pytest.mark.filterwarnings("ignore:astream_events"),
]

Told = list[str]


class Ours(BaseCallbackHandler):
    """
    Notes what it is told.
    """

    def __init__(self) -> None:
        self.told: Told = []

    def on_llm_start(self, *args: Any, **kwargs: Any) -> None:
        self.told.append(f"start {args[1][0]}")

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self.told.append("end")


class OursLater(OurAsyncHandler):
    """
    The same, that takes a turn of the loop.
    """

    def __init__(self) -> None:
        self.told: Told = []

    async def on_llm_start(self, *args: Any, **kwargs: Any) -> None:
        await asyncio.sleep(0)
        self.told.append(f"start {args[1][0]}")

    async def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        await asyncio.sleep(0)
        self.told.append("end")


class OursStops(Ours):
    """
    The same, that might stop the call, and wants tokens: LangChain is given more by us.
    """

    raise_error = True
    wants_tokens = True


class Theirs(LangChainHandler):
    """
    LangChain's own; sync, and so in a thread.
    """

    def __init__(self) -> None:
        self.told: Told = []

    def on_llm_start(self, *args: Any, **kwargs: Any) -> None:
        self.told.append(f"start {args[1][0]}")

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self.told.append("end")


class TheirsInline(Theirs):
    """
    The same on the loop's thread.
    """

    run_inline = True


class TheirsLater(AsyncCallbackHandler):
    """
    Async, and at the same time as others.
    """

    run_inline = False

    def __init__(self) -> None:
        self.told: Told = []

    async def on_llm_start(self, *args: Any, **kwargs: Any) -> None:
        await asyncio.sleep(0)
        self.told.append(f"start {args[1][0]}")

    async def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self.told.append("end")


class TheirsLaterInline(TheirsLater):
    """
    Async, one after the other.
    """

    run_inline = True


OURS = [Ours, OursLater, OursStops]
THEIRS = [
    (Theirs,),
    (TheirsLater,),
    (TheirsInline,),
    (TheirsLaterInline,),
    (Theirs, TheirsLater),
    (Theirs, TheirsInline),
    (TheirsLater, TheirsLaterInline, Theirs),
]
PLACES = ["block", "config", "constructor", "block and config", "all"]


async def invoked(model: Any, config: Any) -> None:
    """
    Ask one thing.
    """
    await model.ainvoke("q0", config)


async def generated(model: Any, config: Any) -> None:
    """
    Ask three at once.
    """
    await model.agenerate(["q0", "q1", "q2"], **config)


async def batched(model: Any, config: Any) -> None:
    """
    Ask three, each with its own configuration.
    """
    await model.abatch(["q0", "q1", "q2"], config)


async def streamed(model: Any, config: Any) -> None:
    """
    Ask for pieces.
    """
    async for _ in model.astream("q0", config):
        pass


async def chained(model: Any, config: Any) -> None:
    """
    Ask below a chain, and below that chain's function.
    """
    step = RunnableLambda(lambda text: text) | RunnableLambda(model.ainvoke)
    await step.ainvoke("q0", config)


CALLS = [invoked, generated, batched, streamed, chained]


async def heard(
    call: Callable[[Any, Any], Awaitable[None]],
    theirs: tuple[type[Any], ...],
    ours: Any = None,
    place: str = "",
) -> list[Told]:
    """
    Give what each of *theirs* is told, while *ours* listens in that place.
    """
    given = [cls() for cls in theirs]
    config = {"callbacks": list[Any](given)}
    own = []
    if ours is not None and ("config" in place or place == "all"):
        config["callbacks"].insert(0, ours)
    if ours is not None and place in ("constructor", "all"):
        own.append(ours)
    model = FakeStreamingListLLM(responses=["abc"] * 9, callbacks=own or None)
    if ours is not None and place.startswith(("block", "all")):
        async with callbacks(ours):
            await call(model, config)
    else:
        await call(model, config)
    return [sorted(each.told) for each in given]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("ours", OURS, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
async def test_theirs(call: Any, ours: Any, place: str) -> None:
    """
    Whatever handlers LangChain is given, each is told by an async completion model what
    it is told where nobody listens here; and ours is told all of it.
    """
    for theirs in THEIRS:
        listening = ours()
        told = await heard(call, theirs, listening, place)

        auto.uninstall()
        alone = await heard(call, theirs)
        auto.install()

        assert told == alone, theirs
        asked = 1 if call in (invoked, streamed, chained) else 3
        starts = [f"start q{number}" for number in range(asked)]
        assert sorted(listening.told) == ["end"] * asked + starts


async def test_not_heard() -> None:
    """
    Neither does a handler of ours where LangChain is not heard at all.
    """
    auto.uninstall()

    told = await heard(invoked, (TheirsLater,), Ours(), "config")

    assert told == [["end", "start q0"]]


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_events(version: Any) -> None:
    """
    `astream_events` yields a completion model's events, heard here or not.
    """
    chain = PromptTemplate.from_template("{q}") | FakeStreamingListLLM(responses=["ab"])

    async def events() -> Told:
        found = chain.astream_events({"q": "x"}, version=version)
        return [each["event"] async for each in found if "_llm_" in each["event"]]

    recorder = Recorder()
    async with callbacks(recorder):
        told = await events()

    auto.uninstall()
    assert told == await events()
    assert (told[0], told[-1]) == ("on_llm_start", "on_llm_end")
    assert [run.status for run in recorder.find(kind="llm")] == ["ok"]


async def test_log() -> None:
    """
    `astream_log` names a completion model, heard here or not.
    """
    chain = PromptTemplate.from_template("{q}") | FakeListLLM(responses=["ab"])

    final: Any = None
    async with callbacks(Recorder()):
        async for patch in chain.astream_log({"q": "x"}):
            final = patch if final is None else final + patch

    assert sorted(final.state["logs"]) == ["FakeListLLM", "PromptTemplate"]


@pytest.mark.filterwarnings("ignore:The `copy` method")  # of LangChain's old versions
async def test_collector(caplog: pytest.LogCaptureFixture) -> None:
    """
    A tracer of LangChain's keeps a run for each prompt.
    """
    collector = RunCollectorCallbackHandler()

    async with callbacks(Recorder()):
        model = FakeListLLM(responses=["a", "b"])
        await model.abatch(["q", "r"], {"callbacks": [collector]})

    assert [run.run_type for run in collector.traced_runs] == ["llm", "llm"]
    assert caplog.text == ""


async def test_others_in_the_background() -> None:
    """
    A completion model that goes on in a task of its own is not ended with the function
    that began it, though LangChain told its start in another task.
    """
    begun, go, recorder = asyncio.Event(), asyncio.Event(), Recorder()
    tasks = list[Any]()

    class Slow(FakeListLLM):
        async def _acall(self, *args: Any, **kwargs: Any) -> str:
            begun.set()
            await go.wait()
            return "done"

    async def request() -> None:
        call = Slow(responses=[]).ainvoke("q", {"callbacks": [TheirsLater()]})
        tasks.append(asyncio.create_task(call))
        await begun.wait()
        raise LookupError

    async with callbacks(recorder):
        with pytest.raises(LookupError):
            await traced(request)()
        go.set()
        await tasks[0]

    (model,) = recorder.find(kind="llm")
    assert (model.status, model.outputs.generations[0][0].text) == ("ok", "done")


async def test_ours_in_other_tasks() -> None:
    """
    A handler of ours that hears the starts in LangChain's own tasks is not taken for one
    that was asked and told nothing.
    """
    ours = Ours()
    for _ in range(2):
        await heard(generated, (TheirsLater,), ours, "config")

    assert ours.told.count("end") == 6
    assert not _given_handlers.behind
