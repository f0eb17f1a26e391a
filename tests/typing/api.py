"""
What type checkers make of the public calls. Read by mypy and pyright; never run.

Lines that must be errors carry an ignore, and an ignore that is not needed is an error.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

import functools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any, TypeVar, assert_type, overload
from uuid import UUID

import instrument.handlers
from instrument import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    Event,
    Handler,
    Handlers,
    Run,
    Secret,
    Usage,
    __version__,
    bind,
    callbacks,
    current_run,
    emit,
    traced,
)
from instrument.exceptions import EventFormatError, InstrumentError
from instrument.handlers import (
    FileCallbackHandler,
    StdOutCallbackHandler,
    StreamingStdOutCallbackHandler,
    background,
    filtered,
    local,
)
from instrument.propagation import ContextThreadPoolExecutor
from instrument.testing import Recorder, predictable

T = TypeVar("T")

instrument.StdOutCallbackHandler  # type: ignore[attr-defined]
instrument.handlers.Stdout  # type: ignore[attr-defined]


def see(*_: object) -> None: ...


def shown(x: int) -> dict[str, object]:
    return {"x": x}


# Decorated, a function has the type that it had.


@traced
def bare(x: int) -> str:
    return str(x)


@traced()
def called(x: int) -> str:
    return str(x)


@traced(
    "named",
    kind="agent",
    tags=["v2"],
    metadata={"team": "search"},
    callbacks=[StdOutCallbackHandler()],
    inputs=shown,
    outputs=False,
    model="m",
    provider="p",
)
def named(x: int) -> str:
    return str(x)


@traced.tool
def tool(x: int, *, key: Annotated[str, Secret] = "") -> list[str]:
    return [str(x), key]


@traced.llm("completion", token=str.strip, inputs=False)
def llm(prompt: str) -> Iterator[str]:
    yield prompt


@traced
@traced.retriever
def twice(query: str) -> list[str]:
    return [query]


@traced
async def coroutine(x: int) -> str:
    return str(x)


@traced.chat_model
async def stream(messages: list[dict[str, str]]) -> AsyncIterator[str]:
    yield messages[0]["content"]


@traced
def generic(value: T, values: list[T]) -> T:
    return values[0] if values else value


@overload
def overloaded(x: int) -> int: ...
@overload
def overloaded(x: str) -> str: ...
@traced
def overloaded(x: int | str) -> int | str:
    return x


assert_type(bare(1), str)
assert_type(called(1), str)
assert_type(named(x=1), str)
assert_type(tool(1, key="k"), list[str])
assert_type(llm("p"), Iterator[str])
assert_type(twice("q"), list[str])
assert_type(stream([{"content": "hi"}]), AsyncIterator[str])
assert_type(generic(1, [2]), int)
assert_type(generic("a", ["b"]), str)
assert_type(overloaded(1), int)
assert_type(overloaded("a"), str)
assert_type(traced(functools.partial(bare, 1))(), str)
assert_type(traced(len)([]), int)
assert_type(traced.agent("lambda", kind="router")(bare)(1), str)

bare("x")  # type: ignore[arg-type]
named(1, 2)  # type: ignore[call-arg]
tool(1, lock="k")  # type: ignore[call-arg]
overloaded(1.5)  # type: ignore[call-overload]
traced(42)  # type: ignore[call-overload]
traced("name", kinds="tool")  # type: ignore[call-overload]
traced(kind=1)  # type: ignore[call-overload]
traced.chatmodel  # type: ignore[attr-defined]
with traced:  # type: ignore[attr-defined]
    pass
with traced.tool:  # type: ignore[attr-defined]
    pass
traced("name", name="again")  # type: ignore[call-overload]
assert_type(traced(name="named")(bare)(1), str)
bare(1, callbacks=[])  # type: ignore[call-arg]  # the block is what checkers know


# Methods, under and over the built-in decorators, and classes.


@traced
class Chain:
    def __init__(self, llm: Callable[[str], str], callbacks: Handlers = ()) -> None:
        self.llm = llm

    @traced
    def run(self, question: str) -> str:
        return self.llm(question)

    @traced.chain("arun")
    async def arun(self, question: str) -> str:
        return self.run(question)

    @traced.llm
    def stream(self, question: str) -> Iterator[str]:
        yield self.run(question)

    @classmethod
    @traced
    def made(cls, name: str) -> "Chain":
        return cls(llm=lambda question: question + name)

    @traced
    @classmethod
    def over(cls, name: str) -> "Chain":
        return cls.made(name)

    @staticmethod
    @traced
    def length(text: str) -> int:
        return len(text)

    @traced
    @staticmethod
    def static_over(text: str) -> int:
        return len(text)


@traced(tags=["sub"])
class SubChain(Chain):
    pass


chain = Chain(llm=str, callbacks=[StdOutCallbackHandler()])
assert_type(chain, Chain)
assert_type(chain.run("q"), str)
assert_type(chain.stream("q"), Iterator[str])
assert_type(Chain.made("n"), Chain)
assert_type(Chain.over("n"), Chain)
assert_type(Chain.length("t"), int)
assert_type(Chain.static_over("t"), int)
assert_type(chain.static_over("t"), int)
assert_type(SubChain(str).run("q"), str)
assert_type(Chain.run(chain, "q"), str)

Chain()  # type: ignore[call-arg]
chain.run(1)  # type: ignore[arg-type]
chain.length(1)  # type: ignore[arg-type]


# Blocks, and the run in hand.


async def blocks() -> None:
    with traced("rerank", kind="tool", inputs={"query": "q"}) as run:
        assert_type(run, Run)
        run.outputs = ["best"]
    async with traced.tool("rerank") as arun:
        assert_type(arun, Run)

    with callbacks(Recorder(), tags=["req"], metadata={"user": "u"}, sample=0.5):
        assert_type(await coroutine(1), str)
    async with callbacks(print, inherit=False, capture=False, redact=["password"]):
        async for token in stream([]):
            assert_type(token, str)


def the_run_in_hand() -> None:
    run = current_run()
    assert_type(run, Run)
    assert_type(run.id, UUID)
    assert_type(run.parent_id, UUID | None)
    assert_type(run.trace_id, UUID)
    assert_type(run.depth, int)
    assert_type(run.name, str)
    assert_type(run.kind, str)
    assert_type(run.tags, tuple[str, ...])
    assert_type(run.metadata, dict[str, Any])
    assert_type(run.error, BaseException | None)
    assert_type(run.duration_s, float)
    assert_type(run.time_to_first_token_s, float | None)
    assert_type(run.model, str | None)
    assert_type(run.usage, Usage)
    assert_type(run.usage.cost_usd, float | None)
    run.token("a", chunk={"text": "a"})
    run.text("thinking")
    run.add_tags("late", "tags")
    run.add_metadata(user="u1")
    run.record_usage(input_tokens=3, output_tokens=2, cost_usd=0.01)
    run.emit("progress", {"done": 0.5})
    emit("progress", {"done": 1.0})
    emit()  # type: ignore[call-arg]
    run.id = UUID(int=0)
    run.tags = ("mine",)  # type: ignore[misc]
    run.record_usage("3")  # type: ignore[call-arg]


# A scope as a decorator, and process-wide.

heard = callbacks(Recorder())


@heard
def scoped(x: int) -> str:
    return bare(x)


@callbacks(Recorder())
async def ascoped(x: int) -> str:
    return await coroutine(x)


@callbacks(Recorder())
def scoped_stream(question: str) -> Iterator[str]:
    yield from llm(question)


def redactor(value: Any, path: tuple[str | int, ...]) -> Any:
    return "***" if path[-1] == "key" else value


assert_type(scoped(1), str)
assert_type(scoped_stream("q"), Iterator[str])
assert_type(callbacks(on_text=print), callbacks)
assert_type(callbacks(Recorder())(chain.run)("q"), str)
assert_type(callbacks(redact=redactor), callbacks)
assert_type(heard.install(), callbacks)
with heard.install() as installed:
    pass
heard.uninstall()

scoped("x")  # type: ignore[arg-type]
callbacks(sample="0.1")  # type: ignore[arg-type]
callbacks(tags=1)  # type: ignore[arg-type]
callbacks(on_llm_new_token=42)  # type: ignore[arg-type]
callbacks(5)  # type: ignore[arg-type]
callbacks("stdout")  # type: ignore[arg-type]
callbacks(None)  # type: ignore[arg-type]
callbacks([Recorder()])  # type: ignore[arg-type]
callbacks(callbacks())  # type: ignore[arg-type]
callbacks(on_tool_strat=print)  # type: ignore[call-arg]
callbacks(handlers=[Recorder()])  # type: ignore[call-arg]
callbacks(tag="req")  # type: ignore[call-arg]
callbacks(hidden=False)  # type: ignore[call-arg]


async def awaited() -> None:
    assert_type(await ascoped(1), str)


# Threads.

threading.Thread(target=bind(bare), args=(1,)).start()
assert_type(bind(bare)(1), str)
assert_type(bind(llm("p")), Iterator[str])
with ContextThreadPoolExecutor(max_workers=2) as pool:
    assert_type(pool.submit(bare, 1).result(), str)
    assert_type(list(pool.map(bare, [1, 2])), list[str])
    pool.submit(bare, "x")  # type: ignore[arg-type]

bind(bare)("x")  # type: ignore[arg-type]


# Handlers: subclasses may take fewer arguments by name, and more of their own.


class Logger(BaseCallbackHandler):
    raise_error = True

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        see(token)

    def on_chain_start(
        self, serialized: dict[str, Any], inputs: Any, *, run_id: UUID, **kwargs: Any
    ) -> None:
        see(run_id, inputs)

    def on_llm_end(
        self, response: Any, *, run: Run | None = None, **kwargs: Any
    ) -> None:
        see(run)

    def on_event(self, event: Event, **kwargs: Any) -> None:
        assert_type(event.event, str)
        assert_type(event.data, dict[str, Any])
        assert_type(event.run, Run | None)


class AsyncLogger(AsyncCallbackHandler):
    async def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        see(token)

    async def on_event(self, event: Event, **kwargs: Any) -> None:
        see(event.to_json())


class Wrong(BaseCallbackHandler):
    def on_llm_new_token(self, token: int, **kwargs: Any) -> None:  # type: ignore[override]
        see(token)


class NotAwaited(AsyncCallbackHandler):
    def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:  # type: ignore[override]
        see(outputs)


async def hear(handler: AsyncLogger, run_id: UUID) -> None:
    assert_type(await handler.on_text("told", run_id=run_id), None)
    await handler.on_text(3, run_id=run_id)  # type: ignore[arg-type]


class NoBase:
    def on_llm_end(self, response: Any) -> None:
        see(response)


async def hears(event: Event) -> None:
    see(event)


class Later:
    async def on_chain_end(self, outputs: Any, *, run: Run) -> None:
        see(outputs, run)


kept: list[Event] = []
with callbacks(NoBase(), Later(), hears, kept.append, lambda event: see(event.name)):
    pass
with callbacks(filtered(Logger(), kinds="tool"), background(print), plumbing=False):
    pass
traced(callbacks=NoBase())
traced(callbacks=[NoBase(), print])
traced(callbacks=5)  # type: ignore[call-overload]

one: Handler = NoBase()
wrong: Handler = 5  # type: ignore[assignment]
several: Handlers = [one, Logger(), AsyncLogger(), print, local(Logger())]
with callbacks(*several, FileCallbackHandler("events.jsonl", mode="a"), on_text=print):
    pass
with FileCallbackHandler("events.jsonl") as file, callbacks(file):
    assert_type(file, FileCallbackHandler)
StreamingStdOutCallbackHandler(file=42)  # type: ignore[arg-type]


# Records, and tests of one's own.

usage = Usage(input_tokens=3) + Usage(output_tokens=2)
assert_type(usage, Usage)
assert_type(usage.to_dict(), dict[str, int | float])
assert_type(__version__, str)
Usage(tokens=3)  # type: ignore[call-arg]

event = Event.from_json("{}")
assert_type(event, Event)
assert_type(event.to_json(), str)
assert_type(event.parent_run_id, UUID | None)
assert_type(event.tags, list[str])


def read(line: str) -> Event | None:
    try:
        return Event.from_json(line)
    except EventFormatError as exc:
        root: InstrumentError = exc
        see(root)
        return None


with predictable(), callbacks(Recorder()):
    recorder = Recorder()
    assert_type(recorder.runs, list[Run])
    assert_type(recorder.roots, list[Run])
    assert_type(recorder.events, list[Event])
    assert_type(recorder.find(name="a", kind="tool"), list[Run])
    assert_type(recorder.tree(), str)
