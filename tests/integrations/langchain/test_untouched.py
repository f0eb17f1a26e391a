"""
Nothing of LangChain or LangGraph is replaced: what we add is asked for by their hook.
"""

import json
import os
import subprocess
import sys
import threading
from textwrap import dedent

import pytest

pytest.importorskip("langchain_core")
from langchain_core.callbacks.base import BaseCallbackHandler
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers import context

from instrument import BaseCallbackHandler as OurHandler
from instrument import auto, callbacks
from instrument.integrations import langchain
from instrument.testing import Recorder

SNAPSHOT = """
    import importlib, json, sys

    def import_all():
        for name in [
            "langchain_core.callbacks.manager", "langchain_core.language_models",
            "langchain_core.output_parsers", "langchain_core.prompts",
            "langchain_core.retrievers", "langchain_core.runnables",
            "langchain_core.tools", "langchain_core.tracers",
            "langchain_core.tracers.event_stream", "langchain_core.tracers.langchain",
            "langgraph.callbacks", "langgraph.graph", "langgraph.prebuilt",
            "langgraph.pregel", "langgraph.types",
        ]:
            try:
                importlib.import_module(name)
            except ModuleNotFoundError:  # LangGraph may be missing, or be an old one
                pass
        use()  # imports the rest

    def use(ours=()):
        from langchain_core.callbacks import StdOutCallbackHandler
        from langchain_core.language_models import FakeListChatModel
        model = FakeListChatModel(responses=["yes"])
        model.invoke("hi", {"callbacks": [StdOutCallbackHandler(), *ours]})
        list(model.stream("hi", {"callbacks": list(ours)}))

    def snapshot():
        seen = {}
        for name, module in sorted(sys.modules.items()):
            if name.partition(".")[0] not in ("langchain_core", "langgraph"):
                continue
            for key, value in list(vars(module).items()):
                seen[f"{name}.{key}"] = seen_as(value)
                if isinstance(value, type) and value.__module__ == name:
                    for inner, member in list(vars(value).items()):
                        seen[f"{name}.{key}.{inner}"] = seen_as(member)
        return seen

    def seen_as(value):
        assert not str(getattr(value, "__module__", "")).startswith("instrument")
        if isinstance(value, (list, tuple)):
            return f"{id(value)} of {len(value)}"
        return id(value)

    def changed(before):
        after = snapshot()
        return sorted(
            key for key in before.keys() | after.keys()
            if before.get(key) != after.get(key)
        )
"""


def ran(code: str) -> "subprocess.CompletedProcess[str]":
    """
    Run *code* below `SNAPSHOT` in a process of its own.
    """
    return subprocess.run(
        [sys.executable, "-c", dedent(SNAPSHOT) + dedent(code)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )


def test_import_after() -> None:
    """
    Importing `instrument.auto` changes one list of LangChain, its hooks, and nothing else.
    """
    done = ran("""
        import_all()
        before = snapshot()
        assert len(before) > 5_000
        import instrument.auto
        print(json.dumps(changed(before)))
        instrument.auto.uninstall()
        print(json.dumps(changed(before)))
    """)

    after, without = map(json.loads, done.stdout.splitlines())
    # which old versions have in two modules
    assert {name.rpartition(".")[2] for name in after} == {"_configure_hooks"}
    assert without == []


def test_import_before() -> None:
    """
    With LangChain imported later the same holds: what it defines is what there is.
    """
    done = ran("""
        import instrument.auto
        assert not any(name.startswith("lang") for name in sys.modules)
        import_all()
        with_us = snapshot()
        instrument.auto.uninstall()
        print(json.dumps(changed(with_us)))
    """)

    changed = json.loads(done.stdout)
    assert {name.rpartition(".")[2] for name in changed} == {"_configure_hooks"}


def test_while_in_use() -> None:
    """
    Hearing runs of ours and of LangChain's, with handlers of both, changes nothing.
    """
    done = ran("""
        import_all()
        before = snapshot()
        import instrument.auto
        from instrument import callbacks
        from instrument.testing import Recorder
        heard = Recorder()
        with callbacks(heard):
            use([Recorder()])
        assert len(heard.runs) == 2
        instrument.auto.uninstall()
        print(json.dumps(changed(before)))
    """)

    assert json.loads(done.stdout) == []


def test_hooks() -> None:
    """
    Installing adds two hooks, once, and uninstalling leaves the list as it was.
    """
    auto.uninstall()
    before = list(context._configure_hooks)

    auto.install()
    langchain.install()
    assert len(context._configure_hooks) == len(before) + 2

    auto.uninstall()
    langchain.uninstall()
    assert context._configure_hooks == before


def test_handler_classes() -> None:
    """
    Neither LangChain's base class of handlers nor ours is another while it is heard.
    """
    auto.uninstall()
    before = dict(vars(BaseCallbackHandler)), dict(vars(OurHandler))

    auto.install()
    during = dict(vars(BaseCallbackHandler)), dict(vars(OurHandler))
    auto.uninstall()

    assert during == before


def test_installed_and_uninstalled_meanwhile() -> None:
    """
    Calls of other threads go on while two threads install and uninstall; none fails.
    """
    auto.uninstall()
    before = list(context._configure_hooks)
    step = RunnableLambda(len)
    done = threading.Event()

    def hammer() -> None:
        while not done.is_set():
            auto.install()
            auto.uninstall()

    threads = [threading.Thread(target=hammer) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        with callbacks(Recorder()):
            assert [step.invoke("hello") for _ in range(300)] == [5] * 300
    finally:
        done.set()
        for thread in threads:
            thread.join()
    auto.uninstall()
    assert context._configure_hooks == before


@pytest.mark.parametrize(
    "first",
    [
        "langchain_core.callbacks.base",
        "langchain_core.messages",
        "langchain_core.runnables",
        "langchain_core.tracers.stdout",
        "instrument.integrations.langchain",
        "instrument.integrations.langchain._objects",
    ],
)
def test_whatever_is_imported_first(first: str) -> None:
    """
    Whatever part of LangChain the program imports first, nothing is met half imported.
    """
    done = ran(f"""
        import instrument.auto
        from instrument import callbacks, traced
        from instrument.testing import Recorder
        import {first}
        from langchain_core.callbacks.base import BaseCallbackHandler
        heard = Recorder()
        with callbacks(BaseCallbackHandler(), heard):
            traced.tool(len)("abc")
            use()
        print(len(heard.runs))
    """)

    assert (done.stdout, done.stderr) == ("3\n", "")
