"""
Our handlers in LangChain's own ``callbacks=[...]``: they hear that run and all below.
"""

import asyncio
import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from functools import singledispatch
from textwrap import dedent
from typing import Any

import pytest

pytest.importorskip("langchain_core")
from langchain_core.callbacks import (
    AsyncCallbackManager,
    BaseCallbackManager,
    CallbackManager,
)
from langchain_core.callbacks import BaseCallbackHandler as LangChainHandler
from langchain_core.language_models import FakeListChatModel, FakeListLLM
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tools import tool

import instrument.handlers
from instrument import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    Run,
    auto,
    callbacks,
    emit,
    traced,
)
from instrument._state import get_state
from instrument.handlers import FileCallbackHandler
from instrument.integrations.langchain import _open_runs
from instrument.testing import Recorder

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("langchain")]

WHOLE = ["chain RunnableSequence", "chain shout", "chat_model FakeListChatModel"]


class Heard(BaseCallbackHandler):
    """
    A plain subclass: keeps the names of what starts and ends.
    """

    def __init__(self) -> None:
        self.told: list[str] = []

    def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
        self.told.append(f"> {kwargs['run'].name}")

    def on_chain_end(self, *args: Any, **kwargs: Any) -> None:
        self.told.append(f"< {kwargs['run'].name}")


class Ours(Heard):
    """
    Both: a native record of everything.
    """

    def __init__(self) -> None:
        super().__init__()
        self.recorder = Recorder()

    def on_event(self, event: Any, **kwargs: Any) -> None:
        self.recorder.on_event(event)


def in_wrappers(handler: BaseCallbackHandler) -> list[Any]:
    """
    Give *handler* in each wrapper of ours, and in two.
    """
    made = instrument.handlers
    return [
        made.background(handler),
        made.filtered(handler, kinds=["chain", "chat_model"]),
        made.tail(handler, sample=1.0),
        made.filtered(
            made.filtered(handler, kinds=["chat_model"]), names=["FakeListChatModel"]
        ),
    ]


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("where", ["config", "constructor", "manager"])
def test_wrapper(where: str, number: int) -> None:
    """
    A wrapper of ours is taken as the handler in it: it hears once what that would.
    """
    ours = Ours()
    wrapper = in_wrappers(ours)[number]
    own = [wrapper] if where == "constructor" else None
    model = FakeListChatModel(responses=["a"], callbacks=own)
    given: Any = CallbackManager([wrapper]) if where == "manager" else [wrapper]

    with callbacks():
        model.invoke("q", None if where == "constructor" else {"callbacks": given})
    if number == 0:
        assert wrapper.flush()

    told = [event.event for event in ours.recorder.events]
    assert told == ["on_chat_model_start", "on_llm_end"]


def shouted(text: str) -> str:
    """
    Be a step.
    """
    return text.upper()


def model(**given: Any) -> FakeListChatModel:
    """
    Make a model.
    """
    return FakeListChatModel(responses=["Paris, of course."], **given)


def chain(**given: Any) -> Runnable[Any, Any]:
    """
    Make a chain of two steps.
    """
    return RunnableLambda(shouted, name="shout") | model(**given)


def names(handler: Ours) -> list[str]:
    """
    List what was heard, in order of starts.
    """
    return [f"{run.kind} {run.name}" for run in handler.recorder.runs]


async def invoke(chain: Any, config: Any) -> None:
    chain.invoke("hi", config)


async def ainvoke(chain: Any, config: Any) -> None:
    await chain.ainvoke("hi", config)


async def stream(chain: Any, config: Any) -> None:
    list(chain.stream("hi", config))


async def astream(chain: Any, config: Any) -> None:
    [chunk async for chunk in chain.astream("hi", config)]


async def batch(chain: Any, config: Any) -> None:
    chain.batch(["hi"], config)


async def abatch(chain: Any, config: Any) -> None:
    await chain.abatch(["hi"], config)


CALLS = [invoke, ainvoke, stream, astream, batch, abatch]
every_call = pytest.mark.parametrize("call", CALLS)


@every_call
async def test_in_config(call: Any) -> None:
    """
    A handler in ``config={"callbacks": [...]}`` hears the call and all below, once.
    """
    ours = Ours()

    await call(chain(), {"callbacks": [ours]})

    assert names(ours) == WHOLE
    assert [run.status for run in ours.recorder.runs] == ["ok"] * 3
    assert ours.told == [
        "> RunnableSequence",
        "> shout",
        "< shout",
        "< RunnableSequence",
    ]


@every_call
async def test_in_a_constructor(call: Any) -> None:
    """
    A model takes one in its constructor, where its class is checked.
    """
    ours = Ours()

    await call(chain(callbacks=[ours]), None)

    assert names(ours) == WHOLE[-1:]


@every_call
async def test_with_config(call: Any) -> None:
    """
    ``with_config`` and the call's own config are one: the handler hears once.
    """
    ours = Ours()
    bound = chain(callbacks=[ours]).with_config(callbacks=[ours])

    await call(bound, {"callbacks": [ours, ours]})

    assert names(ours) == WHOLE


@every_call
async def test_bound(call: Any) -> None:
    """
    A runnable that is bound takes them too.
    """
    ours = Ours()

    bound = RunnableLambda(shouted, name="shout") | model().bind(stop=["x"])

    await call(bound, {"callbacks": [ours]})

    assert names(ours) == WHOLE


@every_call
async def test_both_ways(call: Any) -> None:
    """
    A handler in our block and in LangChain's own callbacks hears once.
    """
    ours = Ours()

    with callbacks(ours):
        await call(chain(callbacks=[ours]), {"callbacks": [ours]})

    assert names(ours) == WHOLE
    assert ours.told.count("> shout") == 1


@every_call
async def test_next_to_others(call: Any) -> None:
    """
    Handlers of LangChain and ours, given together, each hear the whole.
    """
    one, another = Ours(), Ours()
    theirs = Theirs()

    with callbacks(another):
        await call(chain(), {"callbacks": [theirs, one]})

    assert names(one) == names(another) == WHOLE
    assert theirs.told.count("on_chain_start") == 2
    assert theirs.told.count("on_chat_model_start") == 1


class Theirs(LangChainHandler):
    """
    A handler of LangChain.
    """

    def __init__(self) -> None:
        self.told: list[str] = []

    def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
        self.told.append("on_chain_start")

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self.told.append("on_chat_model_start")


@every_call
async def test_nobody_else_hears(call: Any) -> None:
    """
    What was given to one call is heard of no other, in the same task or thread.
    """
    first, second = Ours(), Ours()

    await call(chain(), {"callbacks": [first]})
    await call(chain(), None)
    await call(chain(), {"callbacks": [second]})

    assert names(first) == names(second) == WHOLE


@pytest.mark.parametrize("manager", [CallbackManager, AsyncCallbackManager])
async def test_in_a_manager(manager: type[BaseCallbackManager]) -> None:
    """
    A manager made by hand takes them, and one that is added to it.
    """
    one, another = Ours(), Ours()
    given: Any = [one]
    made: Any = manager(given, inheritable_handlers=given)
    made.add_handler(another)
    call = invoke if manager is CallbackManager else ainvoke

    await call(chain(), {"callbacks": made})

    assert names(one) == names(another) == WHOLE


async def test_manager_of_a_run() -> None:
    """
    What a body hands down by hand goes on being heard, once.
    """
    ours = Ours()

    def body(text: str, config: Any) -> Any:
        return model().invoke(text, config)

    await invoke(RunnableLambda(body), {"callbacks": [ours]})

    assert names(ours) == ["chain body", "chat_model FakeListChatModel"]


async def test_own_callbacks_of_a_nested_call() -> None:
    """
    A nested call with callbacks of its own deafens nobody and stays in the tree.
    """
    outer, inner = Ours(), Ours()

    def body(text: str) -> None:
        config: Any = {"callbacks": [inner]}
        model().invoke(text, config)

    await invoke(RunnableLambda(body), {"callbacks": [outer]})

    assert names(outer) == ["chain body", "chat_model FakeListChatModel"]
    assert names(inner) == ["chat_model FakeListChatModel"]
    assert outer.recorder.runs[1].parent_id == outer.recorder.runs[0].id


async def test_traced_below() -> None:
    """
    A ``@traced`` function inside hears to whom LangChain's callbacks were given.
    """
    ours = Ours()
    step = RunnableLambda(traced.tool("find")(shouted), name="step")

    await invoke(step, {"callbacks": [ours]})
    await ainvoke(step, {"callbacks": [ours]})

    assert names(ours) == ["chain step", "tool find"] * 2
    assert all(run.depth == 1 for run in ours.recorder.runs[1::2])
    assert not get_state()


async def test_emit_below() -> None:
    """
    What the application tells inside is heard as of LangChain's run.
    """
    told: list[Any] = []

    class Progress(BaseCallbackHandler):
        def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
            told.append((name, data, kwargs["run"].name))

    step: Any = RunnableLambda(lambda text: emit("half", text), name="step")

    await invoke(step, {"callbacks": [Progress()]})
    await ainvoke(step, {"callbacks": [Progress()]})

    assert told == [("half", "hi", "step")] * 2


@tool
def search(query: str) -> str:
    """
    Search.
    """
    return query


class Shelf(BaseRetriever):
    """
    Finds nothing.
    """

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Any]:
        return []


@pytest.mark.parametrize(
    "runnable, kind", [(search, "tool"), (FakeListLLM(responses=["a"]), "llm")]
)
async def test_other_kinds(runnable: Any, kind: str) -> None:
    """
    Tools and text models take them in config and in constructors.
    """
    by_config, by_constructor = Ours(), Ours()
    made = runnable.model_copy(update={"callbacks": [by_constructor]})

    for call in (invoke, ainvoke):
        await call(made, {"callbacks": [by_config]})

    heard = [run.kind for run in by_config.recorder.runs]
    assert heard == [run.kind for run in by_constructor.recorder.runs] == [kind] * 2


async def test_retriever() -> None:
    """
    A retriever takes them in config.
    """
    ours = Ours()

    for call in (invoke, ainvoke):
        await call(Shelf(), {"callbacks": [ours]})

    assert names(ours) == ["retriever Shelf"] * 2


@pytest.mark.parametrize("name", instrument.handlers.__all__)
async def test_every_handler(name: str, tmp_path: Any) -> None:
    """
    Whatever `instrument.handlers` offers is taken, or refused by LangChain with a word.
    """
    made: Any = getattr(instrument.handlers, name)
    if not isinstance(made, type) or not issubclass(made, BaseCallbackHandler):
        pytest.skip("no handler: a wrapper of one")
    try:
        handler = made()
    except TypeError:
        pytest.skip("needs arguments: tested by itself")

    assert isinstance(handler, LangChainHandler)
    assert model(callbacks=[handler]).invoke("hi").content == "Paris, of course."
    assert (await model().ainvoke("hi", {"callbacks": [handler]})).content


async def test_file_handler(tmp_path: Any) -> None:
    """
    A handler that defines nothing but ``on_event`` hears everything.
    """
    path = tmp_path / "events.jsonl"
    with FileCallbackHandler(path) as handler:
        await invoke(chain(), {"callbacks": [handler]})
        await ainvoke(chain(), {"callbacks": [handler]})

    assert len(path.read_text().splitlines()) == 12


class Coroutines(AsyncCallbackHandler):
    """
    Awaits.
    """

    def __init__(self) -> None:
        self.told: list[str] = []
        self.done = asyncio.Event()

    async def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
        await asyncio.sleep(0)
        self.told.append(f"> {kwargs['run'].name}")

    async def on_chain_end(self, *args: Any, **kwargs: Any) -> None:
        await asyncio.sleep(0)
        self.told.append(f"< {kwargs['run'].name}")
        self.done.set()


@every_call
async def test_async_handler(call: Any) -> None:
    """
    Coroutine methods are served in async and in sync calls, in order.
    """
    handler = Coroutines()
    step = RunnableLambda(shouted, name="shout")

    async with callbacks(lambda event: None):
        await call(step, {"callbacks": [handler]})
        await handler.done.wait()

    assert handler.told == ["> shout", "< shout"]


class Guard(BaseCallbackHandler):
    """
    Lets no model start.
    """

    raise_error = True

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        raise PermissionError("no models today")


@every_call
async def test_raise_error(call: Any) -> None:
    """
    A handler with ``raise_error`` stops the call; others hear that it ended.
    """
    heard = Ours()

    with pytest.raises(PermissionError, match="no models today"):
        await call(chain(), {"callbacks": [heard, Guard()]})

    assert names(heard) == WHOLE
    assert [run.status for run in heard.recorder.runs] == ["error", "ok", "error"]
    assert heard.recorder.runs[2].error_origin


@every_call
async def test_base_exception(call: Any) -> None:
    """
    What is no `Exception` goes through at once, and the run has ended.
    """

    class Halt(BaseException):
        pass

    class Halting(BaseCallbackHandler):
        def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            raise Halt

    heard = Ours()
    step = RunnableLambda(shouted, name="shout")

    with pytest.raises(Halt):
        await call(step, {"callbacks": [heard, Halting()]})

    assert [run.status for run in heard.recorder.runs] == ["error"]


async def test_block_closed_elsewhere() -> None:
    """
    A block that was closed from another Context hears no call of LangChain here.
    """
    ours = Ours()
    block = callbacks(ours)
    block.__enter__()
    Context().run(block.__exit__, None, None, None)

    await invoke(chain(), None)

    assert ours.told == []


def test_no_configuration_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where LangChain has not imported its configuration, nothing of it is in hand.
    """
    monkeypatch.setattr(_open_runs, "_config", None)
    monkeypatch.delitem(sys.modules, "langchain_core.runnables.config")

    assert _open_runs.in_hand() is None


async def test_handler_that_fails(reports: list[str]) -> None:
    """
    A handler that fails is reported once, with us, and nothing else happens.
    """

    class Clumsy(BaseCallbackHandler):
        def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            raise KeyError("nothing")

    heard = Ours()

    await invoke(chain(), {"callbacks": [Clumsy(), heard]})

    assert names(heard) == WHOLE
    (report,) = reports
    assert "Clumsy failed at on_chain_start" in report


@every_call
async def test_stopped_before_us(call: Any) -> None:
    """
    A handler of LangChain that stops a call leaves nobody to hear the next one.
    """
    heard = Ours()

    class Stopper(LangChainHandler):
        raise_error = True
        run_inline = True

        def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            raise PermissionError

    with pytest.raises(PermissionError):
        await call(chain(), {"callbacks": [heard, Stopper()]})
    await call(chain(), None)

    assert heard.told == []


class Silent(Heard):
    """
    Its class says what it does not want.
    """

    ignore_chain = True


class Loud(Silent):
    """
    Its class takes that back.
    """

    ignore_chain = False


class Asking(Heard):
    """
    Says so by a property, as LangChain's own do.
    """

    def __init__(self, *, silent: bool) -> None:
        super().__init__()
        self.silent = silent

    @property
    def ignore_chain(self) -> bool:  # type: ignore[override]
        return self.silent


class Choosing(Heard):
    """
    Says so by an attribute of its own.
    """

    def __init__(self, *, silent: bool) -> None:
        super().__init__()
        self.ignore_chain = silent


@pytest.mark.parametrize("place", ["block", "config"])
@pytest.mark.parametrize(
    "cls, given, hears",
    [
        (Silent, {}, False),
        (Loud, {}, True),
        (Asking, {"silent": True}, False),
        (Asking, {"silent": False}, True),
        (Choosing, {"silent": True}, False),
        (Choosing, {"silent": False}, True),
    ],
    ids=str,
)
async def test_ignore_flags(
    cls: Callable[..., Heard], given: dict[str, bool], hears: bool, place: str
) -> None:
    """
    A flag set by a class, a property or an instance holds, wherever the handler is given.
    """
    handler = cls(**given)

    for call in (invoke, ainvoke):
        if place == "config":
            await call(chain(), {"callbacks": [handler]})
        else:
            with callbacks(handler):
                await call(chain(), None)

    assert handler.told.count("> shout") == (2 if hears else 0)


@every_call
@pytest.mark.parametrize("is_inline", [True, False])
async def test_run_inline(call: Any, *, is_inline: bool) -> None:
    """
    ``run_inline`` changes nothing: each event is heard where it happens.
    """

    class Inline(Ours):
        run_inline = is_inline

    ours = Inline()

    await call(chain(), {"callbacks": [ours]})

    assert names(ours) == WHOLE
    assert repr(ours.run_inline) == "True"


async def test_several_prompts() -> None:
    """
    Each prompt of a text model is a run, in sync and in async code.
    """
    ours = Ours()
    made: Any = FakeListLLM(responses=["a", "b"])

    made.generate(["one", "two"], callbacks=[ours])
    await made.agenerate(["one", "two"], callbacks=[ours])

    assert [run.inputs for run in ours.recorder.runs] == [["one"], ["two"]] * 2


def test_flags_read() -> None:
    """
    Who reads a flag finds False, though LangChain, which tests it, is told to skip.
    """
    assert BaseCallbackHandler.ignore_llm is False
    assert Silent.ignore_chain is True
    assert Silent().ignore_chain is True
    assert repr(Loud().ignore_chain) == "False"


async def test_typed_methods() -> None:
    """
    A subclass may name what it wants, with or without ``run``.
    """
    told: list[Any] = []

    class Typed(BaseCallbackHandler):
        def on_chain_start(self, serialized: Any, inputs: Any) -> None:  # type: ignore[override]
            told.append(inputs)

        def on_chain_end(self, outputs: Any, run: Run) -> None:  # type: ignore[override]
            told.append((outputs, run.name))

    step = RunnableLambda(shouted, name="shout")

    for call in (invoke, ainvoke):
        await call(step, {"callbacks": [Typed()]})

    assert told == ["hi", ("HI", "shout")] * 2


async def test_text_is_told_twice() -> None:
    """
    What a chain says LangChain tells without asking, so by itself too, without ``run``.
    """
    told: list[bool] = []

    class Reader(BaseCallbackHandler):
        def on_text(self, text: str, **kwargs: Any) -> None:
            told.append("run" in kwargs)

    given: Any = [Reader()]
    manager = CallbackManager.configure(given).on_chain_start(None, {})
    manager.on_text("so be it")
    manager.on_chain_end({})

    assert sorted(told) == [False, True]


def test_copies() -> None:
    """
    Copies and pickles of a handler are handlers of the same class.
    """
    handler = Choosing(silent=True)
    handler.told.append("something")

    for made in (
        copy.copy(handler),
        copy.deepcopy(handler),
        *(pickle.loads(pickle.dumps(handler, n)) for n in range(6)),
    ):
        assert type(made) is Choosing
        assert made.told == ["something"]
        assert made.ignore_chain is True
    assert type(handler.__class__(silent=False)) is Choosing


def test_what_it_is() -> None:
    """
    A handler is of its own class and, as LangChain sees it, of LangChain's.
    """
    handler = Heard()

    assert type(handler) is Heard
    assert isinstance(handler, (Heard, BaseCallbackHandler))
    assert isinstance(handler, LangChainHandler)
    assert issubclass(handler.__class__, Heard)
    assert handler.__class__ is Heard().__class__
    assert handler.__class__.__name__ == "Heard"
    assert repr(handler).startswith(f"<{__name__}.Heard object at ")


def test_subclass_hooks() -> None:
    """
    A class that keeps its subclasses, or asks something of them, sees none of ours.
    """
    kept: list[type] = []

    class Base(BaseCallbackHandler):
        def __init_subclass__(cls, *, colour: str) -> None:
            super().__init_subclass__()
            kept.append(cls)

    class Red(Base, colour="red"):
        pass

    assert isinstance(Red(), LangChainHandler)
    assert kept == [Red]


def test_dispatch_on_its_class() -> None:
    """
    ``singledispatch`` finds what is registered for the handler's class.
    """

    @singledispatch
    def named(_: object) -> str:
        return "something"

    named.register(Heard, lambda _: "heard")

    assert named(Heard()) == "heard"


def test_handler_of_both_kinds() -> None:
    """
    A class of ours and of LangChain's is both already.
    """

    class Both(Heard, LangChainHandler):  # type: ignore[misc]
        pass

    assert Both().__class__ is Both


async def test_at_once() -> None:
    """
    500 tasks and 50 threads with a handler each: nobody hears another.
    """
    step: Any = RunnableLambda(shouted, name="shout")
    tasks = [Heard() for _ in range(500)]
    threads = [Heard() for _ in range(200)]

    with ThreadPoolExecutor(50) as pool:
        done = [
            pool.submit(step.invoke, "hi", {"callbacks": [handler]})
            for handler in threads
        ]
        await asyncio.gather(
            *(step.ainvoke("hi", {"callbacks": [handler]}) for handler in tasks)
        )
        assert {each.result() for each in done} == {"HI"}

    assert all(each.told == ["> shout", "< shout"] for each in tasks + threads)


def test_what_cannot_be_given() -> None:
    """
    A function or a plain object is no handler for LangChain: it goes in a block.
    """
    with pytest.raises(ValueError, match="instance of BaseCallbackHandler"):
        model(callbacks=[print])


SETUP = """
    import asyncio
    from instrument import BaseCallbackHandler
    from langchain_core.language_models import FakeListChatModel

    class Heard(BaseCallbackHandler):
        def on_chat_model_start(self, serialized, messages, *, run, **kwargs):
            print("heard")

    heard = Heard()
    model = FakeListChatModel(responses=["a"], callbacks=[heard])
"""


def ran(code: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """
    Run *code* below the set-up, in a process of its own.
    """
    import os

    return subprocess.run(
        [sys.executable, "-c", dedent(SETUP) + dedent(code)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | environment,
    )


def test_without_auto() -> None:
    """
    While LangChain is not heard the handler hears nothing, and the log says once why.
    """
    done = ran("""
        model.invoke("hi", {"callbacks": [Heard()]})
        asyncio.run(model.ainvoke("hi"))
    """)

    assert done.stdout == ""
    assert done.stderr.count("hears LangChain from `import instrument.auto` on") == 1
    assert "Traceback" not in done.stderr


def test_auto_later() -> None:
    """
    Once it is heard, a handler that was given before hears.
    """
    done = ran("""
        import instrument.auto
        model.invoke("hi")
    """)

    assert (done.stdout, done.stderr) == ("heard\n", "")


def test_disabled() -> None:
    """
    Turned off by the environment, nothing is heard and nothing said.
    """
    done = ran(
        """
        import instrument.auto
        model.invoke("hi")
        asyncio.run(model.ainvoke("hi"))
        """,
        INSTRUMENT_DISABLED="1",
    )

    assert (done.stdout, done.stderr) == ("", "")


async def test_uninstalled() -> None:
    """
    After ``auto.uninstall()`` the calls go on, unheard.
    """
    ours = Ours()
    auto.uninstall()

    await invoke(chain(), {"callbacks": [ours]})
    await ainvoke(chain(), {"callbacks": [ours]})

    assert names(ours) == []
