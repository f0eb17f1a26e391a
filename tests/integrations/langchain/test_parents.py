"""
Whose child a run of LangChain's is, and what tags and metadata it carries.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel
from langchain_core.tools import tool

from instrument import Run, callbacks, current_run, traced
from instrument.testing import Recorder

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("langchain")]

MODEL = FakeListChatModel(responses=["yes"])


def chain(name: str, body: Callable[[Any], Any] = str) -> "Runnable[Any, Any]":
    """
    Make a chain of one function.
    """
    return RunnableLambda(body, name=name)


def heard(call: Callable[[], Any]) -> Recorder:
    """
    Record what is called.
    """
    recorder = Recorder()
    with callbacks(recorder):
        call()
    return recorder


@pytest.mark.parametrize("given", ["a handler", "an empty list"])
def test_nested_call_with_its_own_callbacks(
    given: str, whole: Callable[..., None]
) -> None:
    """
    A nested call with callbacks of its own stays in the tree and deafens nobody.
    """
    own = Recorder()
    config: Any = {"callbacks": [own] if given == "a handler" else []}

    def outer(_: Any) -> None:
        chain("inner", lambda _: MODEL.invoke("q")).invoke(1, config)
        MODEL.invoke("q", config)

    recorder = heard(lambda: chain("outer", outer).invoke(1))

    whole(recorder)
    assert recorder.tree() == (
        "chain outer: ok\n  chain inner: ok\n    chat_model FakeListChatModel: ok\n"
        "  chat_model FakeListChatModel: ok"
    )
    assert len(own.runs) == (3 if given == "a handler" else 0)
    assert {run.trace_id for run in own.runs} <= {recorder.runs[0].id}


async def test_nested_async_call_with_its_own_callbacks(
    whole: Callable[..., None],
) -> None:
    """
    The same in async code.
    """

    async def outer(_: Any) -> None:
        await chain("inner").ainvoke(1, {"callbacks": []})

    recorder = Recorder()
    async with callbacks(recorder):
        await RunnableLambda(outer, name="outer").ainvoke(1)

    whole(recorder)
    assert recorder.tree() == "chain outer: ok\n  chain inner: ok"


def test_own_functions_between(whole: Callable[..., None]) -> None:
    """
    Traced functions and LangChain's runs nest in each other, as they are called.
    """

    @traced
    def answer() -> Any:
        return chain("first", second).invoke(1)

    @traced
    def second(_: Any) -> Any:
        assert current_run().name == "second"
        found = chain("third", lambda _: traced("fourth")(MODEL.invoke)("q"))
        return found.invoke(1)

    recorder = heard(answer)

    whole(recorder)
    assert [run.depth for run in recorder.runs] == list(range(6))
    assert [run.name for run in recorder.runs] == [
        "answer",
        "first",
        "second",
        "third",
        "fourth",
        "FakeListChatModel",
    ]


async def test_own_coroutines_between(whole: Callable[..., None]) -> None:
    """
    The same in async code, over a task and a thread.
    """

    @traced("answer")
    async def answer() -> Any:
        return await RunnableLambda(second, name="first").ainvoke(1)

    @traced("second")
    async def second(_: Any) -> None:
        await asyncio.create_task(third())
        await asyncio.to_thread(traced("fourth")(MODEL.invoke), "q")

    @traced("third")
    async def third() -> None:
        await MODEL.ainvoke("q")

    recorder = Recorder()
    async with callbacks(recorder):
        await answer()

    whole(recorder)
    assert recorder.tree() == (
        "chain answer: ok\n  chain first: ok\n    chain second: ok\n"
        "      chain third: ok\n        chat_model FakeListChatModel: ok\n"
        "      chain fourth: ok\n        chat_model FakeListChatModel: ok"
    )


def test_run_in_hand(whole: Callable[..., None]) -> None:
    """
    In the body of a chain or a tool its run is current, and before and after it is not.
    """
    seen: list[Run] = []

    @tool
    def shout(text: str) -> str:
        """
        Shout.
        """
        seen.append(current_run())
        return text

    def body(_: Any) -> None:
        seen.append(current_run())
        shout.invoke("x")
        seen.append(current_run())

    with callbacks(Recorder()), traced("request") as request:
        assert current_run() is request
        chain("outer", body).invoke(1)
        assert current_run() is request

    assert [run.name for run in seen] == ["outer", "shout", "outer"]
    assert not current_run()


def test_what_a_body_tells() -> None:
    """
    What is set on the run in hand in LangChain's body holds for what is called there.
    """

    def body(_: Any) -> None:
        current_run().add_tags("added")
        current_run().add_metadata(user="u")
        traced("own")(chain("inner").invoke)(1)

    recorder = heard(lambda: chain("outer", body).invoke(1))

    assert [run.tags for run in recorder.runs] == [("added",)] * 3
    assert [run.metadata["user"] for run in recorder.runs] == ["u"] * 3


async def test_task_left_behind(whole: Callable[..., None]) -> None:
    """
    A task that outlives the chain that made it goes on under the nearest open run.
    """
    go, tasks, recorder = asyncio.Event(), list[Any](), Recorder()

    async def later() -> None:
        await go.wait()
        await chain("late").ainvoke(1)

    async def body(_: Any) -> None:
        tasks.append(asyncio.create_task(later()))

    inner: Runnable[Any, Any] = RunnableLambda(body, name="inner")
    outer: Runnable[Any, Any] = RunnableLambda(inner.ainvoke, name="outer")
    async with callbacks(recorder), traced("request") as request:
        await outer.ainvoke(1)
        go.set()
        await tasks[0]

    whole(recorder)
    assert recorder.find("late")[0].parent_id == request.id


async def test_task_of_a_request_that_is_over(whole: Callable[..., None]) -> None:
    """
    A task that outlives all that was above it begins a trace of its own.
    """
    go, tasks, recorder = asyncio.Event(), list[Any](), Recorder()

    async def later() -> None:
        await go.wait()
        await chain("late").ainvoke(1)

    async def body(_: Any) -> None:
        tasks.append(asyncio.create_task(later()))

    async with callbacks(recorder):
        await RunnableLambda(body, name="request").ainvoke(1)
        go.set()
        await tasks[0]

    whole(recorder, roots=2)


def failing_twice() -> Callable[[Any], Any]:
    """
    Give a function that succeeds when called for the third time.
    """
    attempts = iter((ValueError("1"), ValueError("2"), None))

    def body(_: Any) -> str:
        MODEL.invoke("q")
        failure = next(attempts)
        if failure is not None:
            raise failure
        return "done"

    return body


@pytest.mark.parametrize("is_async", [True, False])
async def test_retries(is_async: bool, whole: Callable[..., None]) -> None:
    """
    Each attempt is a run, tagged from the second on, in one tree.
    """
    retrying = chain("try", failing_twice()).with_retry(
        stop_after_attempt=3, wait_exponential_jitter=False
    )
    recorder = Recorder()

    with callbacks(recorder), traced("request"):
        if is_async:
            await retrying.ainvoke(1)
        else:
            retrying.invoke(1)

    whole(recorder)
    (request,) = recorder.roots
    (whole_try,) = recorder.children(request)
    inner = recorder.children(whole_try)
    assert [run.status for run in inner] == ["error", "error", "ok"]
    assert [run.tags for run in inner] == [
        (),
        ("retry:attempt:2",),
        ("retry:attempt:3",),
    ]
    assert len(recorder.find("FakeListChatModel")) == 3


@pytest.mark.parametrize("is_async", [True, False])
async def test_fallbacks(is_async: bool, whole: Callable[..., None]) -> None:
    """
    What failed and what stood in for it are children of the same run.
    """

    def fail(_: Any) -> None:
        raise ValueError

    app = chain("first", fail).with_fallbacks([chain("second"), chain("third")])
    recorder = Recorder()

    with callbacks(recorder):
        if is_async:
            await app.ainvoke(1)
        else:
            app.invoke(1)

    whole(recorder)
    assert recorder.tree() == (
        "chain RunnableWithFallbacks: ok\n  chain first: error ValueError\n"
        "  chain second: ok"
    )


def test_steps_and_keys_are_tags(whole: Callable[..., None]) -> None:
    """
    LangChain's tags for steps and keys are kept, each on its own run.
    """
    app = chain("one") | RunnableParallel(a=chain("two"), b=chain("three"))

    recorder = heard(lambda: app.invoke(1, {"tags": ["mine"]}))

    whole(recorder)
    tags = {run.name: set(run.tags) for run in recorder.runs}
    assert tags["one"] == {"mine", "seq:step:1"}
    assert tags["two"] == {"mine", "map:key:a"}
    assert tags["three"] == {"mine", "map:key:b"}
    assert tags["RunnableSequence"] == {"mine"}


def test_tags_and_metadata(whole: Callable[..., None]) -> None:
    """
    Tags and metadata of the block, of LangChain's configuration and of traced
    functions reach all below, the inner ones first.
    """
    recorder = Recorder()

    def body(_: Any) -> None:
        traced("own", tags=["own"])(MODEL.invoke)("q", {"metadata": {"level": "model"}})

    with callbacks(recorder, tags=["block"], metadata={"level": "block", "id": 1}):
        chain("outer", body).invoke(
            1, {"tags": ["config"], "metadata": {"level": "chain"}, "run_name": "named"}
        )

    whole(recorder)
    outer, own, model = recorder.runs
    assert (outer.name, own.name, model.name) == ("named", "own", "FakeListChatModel")
    assert outer.tags == ("block", "config")
    assert set(own.tags) == {"block", "config", "own"}
    assert set(model.tags) == {"block", "config", "own"}
    assert [run.metadata["level"] for run in recorder.runs] == [
        "chain",
        "chain",
        "model",
    ]
    assert [run.metadata["id"] for run in recorder.runs] == [1, 1, 1]
    ends = [e for e in recorder.events if e.event.endswith("_end")]
    assert {tuple(e.tags) for e in ends} == {run.tags for run in recorder.runs}


def test_run_id_is_langchains() -> None:
    """
    A run has the id that LangChain knows it by.
    """
    from uuid import uuid4

    id = uuid4()

    recorder = heard(lambda: chain("outer").invoke(1, {"run_id": id}))

    assert [run.id for run in recorder.runs] == [id]


def test_tool_call(whole: Callable[..., None]) -> None:
    """
    A tool that a model called tells its inputs by name, and the call's id.
    """
    told: list[Any] = []

    def hear(serialized: Any, input_str: str, tool_call_id: str = "") -> None:
        told.extend([serialized["name"], input_str, tool_call_id])

    @tool
    def add(a: int, b: int) -> int:
        """
        Add.
        """
        return a + b

    recorder = Recorder()
    call = AIMessage(
        "", tool_calls=[{"name": "add", "args": {"a": 1, "b": 2}, "id": "c"}]
    )
    with callbacks(recorder, on_tool_start=hear):
        add.invoke(call.tool_calls[0])

    whole(recorder)
    (run,) = recorder.runs
    assert run.inputs == {"a": 1, "b": 2}
    assert run.outputs.content == "3"
    assert told[:2] == ["add", "{'a': 1, 'b': 2}"]
    assert told[2] in {"c", ""}  # not told by versions before 1
