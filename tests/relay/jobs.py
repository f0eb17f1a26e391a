"""
What worker processes are asked to do in tests.
"""

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

from instrument import (
    BaseCallbackHandler,
    bind,
    callbacks,
    current_run,
    emit,
    traced,
)
from instrument.handlers import StoreHandler
from instrument.testing import Recorder


def ids() -> dict[str, Any]:
    """
    Make a run, and tell of which trace and run it is.
    """
    with callbacks(Recorder()), traced("below") as run:
        return {
            "trace": str(run.trace_id),
            "trace_hex": run.trace_hex,
            "parent": str(run.parent_id),
            "depth": run.depth,
        }


def ids_of(_: object) -> dict[str, Any]:
    """
    Do the same for one item of a map.
    """
    return ids()


def steps(count: int) -> Iterator[dict[str, Any]]:
    """
    Do the same at each step.
    """
    for _ in range(count):
        yield ids()


async def ids_later() -> dict[str, Any]:
    """
    Do the same in async code.
    """
    return ids()


class Job:
    """
    Has a method that does it, and is called to do it.
    """

    def ids(self) -> dict[str, Any]:
        return ids()

    def __call__(self) -> dict[str, Any]:
        return ids()

    def leaf(self) -> None:
        """
        Make a run of that name.
        """
        leaf()


def first_of(items: Iterator[Any]) -> Any:
    """
    Give the first.
    """
    return next(items)


one_step = partial(steps, 1)


def caller_id() -> str:
    """
    Tell what is in hand.
    """
    return str(current_run().id)


@traced
def leaf() -> None:
    """
    Be a run.
    """


@traced.chat_model(provider="acme", model="m-1")
def model(messages: list[dict[str, str]]) -> Iterator[str]:
    """
    Stream an answer.
    """
    yield from ["one ", "two ", "three"]


@traced.tool
def sign_in(user: str, password: str) -> str:
    """
    Be given what is masked.
    """
    return f"{user} has {len(password)} letters"


@traced.tool
def tool(query: str) -> dict[str, str]:
    """
    Look something up.
    """
    current_run().text(f"looked at {query}")
    return {"found": query}


@traced
def work(number: int) -> int:
    """
    Call a model and a tool, and tell something.
    """
    list(model([{"role": "user", "content": f"number {number}"}]))
    tool(f"query {number}")
    emit("progress", {"number": number})
    return number * 2


@traced.llm(model="m-2")
def complete(prompt: str, temperature: float = 0.5) -> dict[str, Any]:
    """
    Complete a text, and tell what that took.
    """
    return {
        "id": "r-1",
        "model": "m-2-large",
        "choices": [{"text": f"{prompt}!", "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4},
    }


@traced.chat_model
def ask_for_a_tool(messages: list[dict[str, str]]) -> dict[str, Any]:
    """
    Answer with a tool's call.
    """
    function = {"name": "search", "arguments": '{"query": "x"}'}
    call = {"id": "c-1", "type": "function", "function": function}
    message = {"role": "assistant", "content": "", "tool_calls": [call]}
    return {
        "model": "m-3",
        "choices": [{"message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }


class LoginError(Exception):
    """
    Holds what it says.
    """

    def __init__(self, password: str) -> None:
        super().__init__("refused")
        self.password = password

    def __str__(self) -> str:
        return f"{self.password} is refused"


@traced
def refuse_in_lines(password: str) -> None:
    """
    Fail with a message in which the password stands some lines below its name.
    """
    raise LookupError(f"password = '''\n{password}\n'''")


@traced
def refuse(password: str, *, way: str) -> None:
    """
    Fail with what holds the password under its name.
    """
    error = LoginError(password)
    if way == "itself":
        raise error
    if way == "cause":
        raise LookupError("no user") from error
    if way == "group":
        raise ExceptionGroup("several", [error])
    if way == "arguments":
        raise LookupError("no user", {"password": password})
    raise LookupError("no user")


class Account:
    """
    Has a ``repr`` that does not show all.
    """

    def __init__(self, user: str, key: str) -> None:
        self.user = user
        self.key = key
        self.visits = 3

    def __repr__(self) -> str:
        return f"<Account of {self.user}, {self.visits} visits>"


@traced
def tell_of_objects(key: str) -> None:
    """
    Tell of objects that have a ``repr`` of their own, and of one that has Python's.
    """
    plain: Any = type("Plain", (), {})()
    plain.key = key
    account = Account("ada", key)
    account.friend = Account("bob", key)  # type: ignore[attr-defined]
    emit("told", {"account": account, "plain": plain})


@traced
def tell_of_errors(password: str) -> None:
    """
    Tell of an error in a payload, and of an attempt that has failed with it.
    """
    error = LoginError(password)
    error.args = (f"{password} is refused",)
    outcome: Future[None] = Future()
    outcome.set_exception(error)
    emit("refused", [error])
    current_run().retry(SimpleNamespace(attempt_number=2, outcome=outcome))


@traced.chat_model
def answer_in_parts(messages: list[dict[str, str]]) -> dict[str, Any]:
    """
    Answer with a call, one that the provider has run itself, and a file.
    """
    function = {"name": "search", "arguments": '{"query": "x"}'}
    image = {"type": "image_generation_call", "id": "i-1", "result": "AAAA"}
    return {
        "object": "response",
        "id": "r-1",
        "model": "m-3",
        "status": "completed",
        "output": [
            {"type": "function_call", "call_id": "c-1", **function},
            {"type": "mcp_call", "id": "s-1", "server_label": "s", **function},
            image,
        ],
    }


@traced.chat_model
def think(messages: list[dict[str, str]]) -> str:
    """
    Tell pieces of each channel.
    """
    run = current_run()
    run.token("hm", channel="reasoning")
    run.token('{"a', channel="tool_call")
    run.token("yes")
    return "yes"


@traced.retriever
def look_up(query: str) -> list[dict[str, Any]]:
    """
    Find a document.
    """
    return [{"page_content": query, "metadata": {"source": "a.txt"}}]


@traced.embedding
def embed(texts: list[str]) -> list[list[float]]:
    """
    Give vectors.
    """
    return [[0.1, 0.2, 0.3] for _ in texts]


@traced
def fails(what: str) -> None:
    """
    Fail.
    """
    raise ValueError(f"no {what}")


class OwnError(Exception):
    """
    An error of the application's own.
    """


@traced
def fails_in_its_own_way() -> None:
    """
    Fail with that.
    """
    raise OwnError("mine")


@traced
def passes_on(what: str) -> None:
    """
    Let a failure through.
    """
    fails(what)


@traced("agent", kind="agent", tags=["own"], metadata={"team": "search"})
def everything() -> str:
    """
    Do one of each.
    """
    run = current_run()
    run.add_tags("added")
    run.add_metadata(step=1)
    complete("hello", temperature=0.1)
    ask_for_a_tool([{"role": "user", "content": "search"}])
    think([{"role": "system", "content": "brief"}, {"role": "user", "content": "?"}])
    look_up("where")
    embed(["a", "b"])
    tool("nested")
    run.retry(2)
    run.emit("progress", {"done": [1, 2]})
    for job in (passes_on, fails):
        with suppress(ValueError):
            job("luck")
    with suppress(OwnError):
        fails_in_its_own_way()
    stream = counted(3)
    next(stream)
    stream.close()
    return "done"


@traced
def counted(count: int) -> Generator[int, None, None]:
    """
    Count.
    """
    yield from range(count)


@traced
def fifty_events(name: str) -> str:
    """
    Tell fifty events: a start, 48 of the application's own, an end.
    """
    run = current_run()
    for number in range(48):
        run.emit(name, number)
    return name


@traced.llm
def burst(count: int) -> Iterator[str]:
    """
    Stream so many pieces as fast as it goes.
    """
    for number in range(count):
        yield str(number)


def drained(count: int) -> int:
    """
    Read a burst.
    """
    return len(list(burst(count)))


@traced.llm
def killed(signal_number: int) -> Iterator[str]:
    """
    Be killed in mid-stream.
    """
    yield "last words"
    with traced("inner"):
        Event().wait(0.05)
        os.kill(os.getpid(), signal_number)
        yield "never"


def killed_in_a_run(signal_number: int) -> None:
    """
    Be killed two runs deep.
    """
    with traced("outer"):
        list(killed(signal_number))


@traced
def killed_at_once() -> None:
    """
    Be killed as soon as it has begun.
    """
    os.kill(os.getpid(), signal.SIGKILL)


@traced
def hop(method: str, depth: int) -> str:
    """
    Go on in a process of its own, so many deep.
    """
    if depth == 0:
        emit("bottom", os.getpid())
        return "bottom"
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(bind(hop), method, depth - 1).result()


BODIES: list[str] = []


@traced.llm
def counted_call(prompt: str) -> dict[str, Any]:
    """
    Use five tokens.
    """
    BODIES.append(prompt)
    return {
        "choices": [{"text": prompt}],
        "usage": {"prompt_tokens": 2, "completion_tokens": 3, "cost": 0.25},
        "model": "m",
    }


def calls(count: int) -> list[str]:
    """
    Make calls until one is refused; tell what each came to.
    """
    BODIES.clear()
    ends = []
    for number in range(count):
        try:
            counted_call(str(number))
            ends.append("ok")
        except Exception as exc:
            ends.append(f"{type(exc).__name__}: {exc}")
    return [*ends, f"{len(BODIES)} bodies"]


class Said(BaseCallbackHandler):
    """
    Keeps the names of runs that it hears, in its process.
    """

    def __init__(self, remote: str) -> None:
        self.remote = remote
        self.heard: list[str] = []

    def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None:
        self.heard.append(kwargs["name"])


SAID = {remote: Said(remote) for remote in ("forward", "local", "drop")}


def install_all() -> None:
    """
    Install one of each; for the initializer of a pool.
    """
    callbacks(*SAID.values()).install()


def install_store(path: Path) -> None:
    """
    Install a store; for the initializer of a pool.
    """
    callbacks(StoreHandler(path)).install()


def heard_below(method: str) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """
    Have a pool of this process's own make a run; tell who heard it here, and there.
    """
    for said in SAID.values():
        said.heard.clear()
    initializer = None if method == "fork" else install_all
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, context, initializer) as pool:
        there = pool.submit(bind(heard_here), 0).result()
    return {remote: list(said.heard) for remote, said in SAID.items()}, there


def heard_here(_: object) -> dict[str, list[str]]:
    """
    Make a run, and tell which of them heard it in this process.
    """
    for said in SAID.values():
        said.heard.clear()
    leaf()
    return {remote: list(said.heard) for remote, said in SAID.items()}


def heard_around(remote: str, way: str, bound: Any) -> list[str]:
    """
    Call what is bound where somebody who was made here hears; tell what that heard.
    """
    said = Said(remote)
    is_block = way == "block"
    with callbacks(said) if is_block else traced("around", callbacks=[said]):
        bound()
    return [name for name in said.heard if name != "around"]


async def later() -> str:
    """
    Make a run in async code, between other things.
    """
    async with traced("later"):
        await asyncio.sleep(0)
    return "done"


def run_later() -> str:
    """
    Run a bound coroutine function of a worker's own.
    """
    return asyncio.run(later())


def waits_for(path: str) -> None:
    """
    Be open until a file is there.
    """
    with traced("waits"):
        while not Path(path).exists():
            Event().wait(0.01)


def writes(path: str, text: str) -> None:
    """
    Tell much, and then write a file.
    """
    with traced("writes"):
        for number in range(100):
            emit("number", number)
            Event().wait(0.001)
    Path(path).write_text(text)


def threads_here(_: object) -> list[str]:
    """
    Name the relay's threads of this process.
    """
    return [it.name for it in threading.enumerate() if "relay" in it.name]


def forks_in_a_run() -> int:
    """
    Fork in a run: the child tells nothing, and ends well.
    """
    with traced("parent"):
        child = os.fork()
        if child == 0:
            with traced("child"):
                emit("nothing", None)
            os._exit(7)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
