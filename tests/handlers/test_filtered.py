"""
`filtered`: a handler that hears some runs only.
"""

import asyncio
import threading
from typing import Any

import pytest

from instrument import bind, callbacks, current_run, emit, traced
from instrument.handlers import filtered
from instrument.testing import Recorder


@traced.tool(tags=["slow"])
def search(query: str) -> str:
    """
    Be a tool with a tag.
    """
    return query


@traced.tool
def add(x: int) -> int:
    """
    Be a tool without one.
    """
    return x


@traced.chat_model
def model(prompt: str) -> Any:
    """
    Stream two tokens.
    """
    yield from ("two ", "words")


@traced
def answer() -> None:
    """
    Call them all.
    """
    search("x")
    add(1)
    list(model("say"))
    emit("done")


@pytest.mark.parametrize(
    "asked, names",
    [
        ({"kinds": "tool"}, ["search", "add"]),
        ({"kinds": ["tool", "chain"]}, ["answer", "search", "add"]),
        ({"names": "add"}, ["add"]),
        ({"names": (name for name in ("add", "model"))}, ["add", "model"]),
        ({"tags": "slow"}, ["search"]),
        ({"tags": {"slow", "other"}}, ["search"]),
        ({"tags": "request"}, ["answer", "search", "add", "model"]),
        ({"kinds": "tool", "tags": "slow"}, ["search"]),
        ({"kinds": "chain", "tags": "slow"}, []),
        ({"names": "missing"}, []),
    ],
    ids=str,
)
def test_what_matches(asked: dict[str, Any], names: list[str]) -> None:
    """
    A run is heard that matches each thing asked for; those below are asked themselves.
    """
    recorder = Recorder()

    with callbacks(filtered(recorder, **asked), tags=["request"]):
        answer()

    assert [run.name for run in recorder.runs] == names


def test_whole_runs() -> None:
    """
    Of a run that matches every event is heard: start, tokens, its own, end.
    """
    heard: list[Any] = []

    with callbacks(filtered(heard.append, names=["model", "answer"])):
        answer()

    assert [(event.event, event.name) for event in heard] == [
        ("on_chain_start", "answer"),
        ("on_chat_model_start", "model"),
        ("on_llm_new_token", "model"),
        ("on_llm_new_token", "model"),
        ("on_llm_end", "model"),
        ("on_custom_event", "answer"),
        ("on_chain_end", "answer"),
    ]


def test_tag_added_later() -> None:
    """
    A tag that a run gets while it runs changes nothing for it; runs below inherit it.
    """

    @traced("late")
    def late() -> None:
        current_run().add_tags("slow")
        add(1)

    slow = Recorder()

    with callbacks(filtered(slow, tags="slow")):
        late()

    assert [(event.event, event.name) for event in slow.events] == [
        ("on_tool_start", "add"),
        ("on_tool_end", "add"),
    ]


def test_event_outside_any_run() -> None:
    """
    An event outside any run is asked by its name and the tags of its block.
    """
    named, tagged, other = Recorder(), Recorder(), Recorder()

    with callbacks(
        filtered(named, names="progress"),
        filtered(tagged, tags="web"),
        filtered(other, kinds="chain"),
        tags=["web"],
    ):
        emit("progress")

    assert [len(it.events) for it in (named, tagged, other)] == [1, 1, 0]


def test_handler_that_stops_the_call() -> None:
    """
    A handler with ``raise_error`` stops what it hears, and nothing else.
    """

    class Strict:
        raise_error = True

        def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
            raise PermissionError("no tools")

    with callbacks(filtered(Strict(), names="search")):
        assert add(1) == 1
        with pytest.raises(PermissionError, match="no tools"):
            search("x")


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_async_handler_in_async_code() -> None:
    """
    In async code an async handler is awaited in place, when the run matches.
    """
    heard: list[str] = []

    class Async:
        async def on_tool_end(self, output: Any, *, run: Any) -> None:
            heard.append(run.name)

    @traced.tool("fetch")
    async def fetch() -> None: ...

    async with callbacks(filtered(Async(), names="fetch")):
        await fetch()
        assert heard == ["fetch"]
        await traced.tool("other")(fetch)()

    assert heard == ["fetch"]


def test_constructor_handler() -> None:
    """
    It may stand among a constructor's handlers.
    """
    recorder = Recorder()

    @traced(callbacks=[filtered(recorder, kinds="tool")])
    def outer() -> None:
        add(1)

    outer()

    assert [run.name for run in recorder.runs] == ["add"]


def test_kind_that_is_nearly_known() -> None:
    """
    A kind that is nearly a known one, and which no run has, warns with the cure.
    """
    said = r"filtered\(kinds='toool'\).*Did you mean 'tool'"

    with pytest.warns(RuntimeWarning, match=said) as warned:
        filtered(Recorder(), kinds=["tool", "toool"])

    assert warned[0].filename == __file__


def test_nothing_asked() -> None:
    """
    A filter that lets all pass, or nothing, is refused.
    """
    with pytest.raises(ValueError, match=r'filtered\(handler, kinds="tool"\)'):
        filtered(Recorder())
    with pytest.raises(ValueError, match=r"filtered\(tags=...\) is empty"):
        filtered(Recorder(), tags=[])


@pytest.mark.parametrize("given", [7, ["tool", 7], [["tool"]], b"tool", object()])
def test_no_strings(given: Any) -> None:
    """
    What is no string, or holds another thing, is refused.
    """
    with pytest.raises(TypeError, match=r"filtered\(kinds=...\) is a string or some"):
        filtered(Recorder(), kinds=given)


@pytest.mark.parametrize(
    "text",
    ["\x1b[2J", "{} {0} %s", "<red>", "a\r\nb", "\ud800", "x" * 10_000_000],
    ids=["escape", "braces", "markup", "lines", "surrogate", "long"],
)
def test_hostile_text(text: str) -> None:
    """
    Whatever a name or tag holds is compared as it is, and payloads are not looked at.
    """
    cyclic: list[Any] = []
    cyclic.append(cyclic)

    class Angry:
        def __repr__(self) -> str:
            raise ValueError

    count = 0

    def heard(**_: Any) -> None:
        nonlocal count
        count += 1

    class Counting:
        on_tool_start = staticmethod(lambda *args, **kwargs: heard())

    with callbacks(filtered(Counting(), names=text), filtered(Counting(), tags=text)):
        traced.tool(text, tags=[text])(lambda *payload: None)(text, cyclic, Angry())

    assert count == 2


def nothing() -> None:
    """
    Be run under several names.
    """


@pytest.mark.anyio
async def test_many_at_once() -> None:
    """
    Ten thousand runs on 50 threads and 500 tasks: exactly those that match are heard.
    """
    lock, count = threading.Lock(), 0

    class Counting:
        def on_tool_end(self, *args: Any, **kwargs: Any) -> None:
            nonlocal count
            with lock:
                count += 1

    def in_thread() -> None:
        for number in range(100):
            traced.tool(("search", "add")[number % 2])(nothing)()

    async def in_task() -> None:
        for number in range(10):
            traced.tool(("search", "add")[number % 2])(nothing)()
            await asyncio.sleep(0)

    with callbacks(filtered(Counting(), names="search")):
        threads = [threading.Thread(target=bind(in_thread)) for _ in range(50)]
        for thread in threads:
            thread.start()
        await asyncio.gather(*(in_task() for _ in range(500)))
        for thread in threads:
            thread.join()

    assert count == 5_000
