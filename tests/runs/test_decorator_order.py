"""
`@traced` goes lowest: above what has kept the function for itself it hears nothing.
"""

import functools
from collections.abc import Callable
from typing import Any

import pytest

from instrument import callbacks, traced
from instrument.testing import Recorder

CURE = "put @traced below it, next to def"


def work(x: int = 1) -> int:
    """
    Be what is decorated.
    """
    return x + 1


def click_command(function: Callable[..., Any]) -> Any:
    """
    Make a command that is run by itself.
    """
    return pytest.importorskip("click").command("work")(function)


def click_group(function: Callable[..., Any]) -> Any:
    """
    Make a command that has commands.
    """
    return pytest.importorskip("click").group("work")(function)


def celery_task(function: Callable[..., Any]) -> Any:
    """
    Make a task that Celery makes when it is first needed.
    """
    return celery_app().task(name="work")(function)


def celery_task_made(function: Callable[..., Any]) -> Any:
    """
    Make a task that is made at once.
    """
    return celery_app().task(name="work", lazy=False)(function)


def celery_shared_task(function: Callable[..., Any]) -> Any:
    """
    Make a task of whatever application there will be.
    """
    return pytest.importorskip("celery").shared_task(name="work")(function)


def dramatiq_actor(function: Callable[..., Any]) -> Any:
    """
    Make an actor, with a broker of its own.
    """
    dramatiq = pytest.importorskip("dramatiq")
    stub = pytest.importorskip("dramatiq.brokers.stub")
    return dramatiq.actor(function, broker=stub.StubBroker())


def huey_task(function: Callable[..., Any]) -> Any:
    """
    Make a task that a call of only enqueues.
    """
    return pytest.importorskip("huey").MemoryHuey().task()(function)


def celery_app() -> Any:
    """
    Make an application whose worker is this process.
    """
    celery = pytest.importorskip("celery")
    return celery.Celery("x", broker="memory://", set_as_current=False)


every_registrar = pytest.mark.parametrize(
    "register",
    [
        click_command,
        click_group,
        celery_task,
        celery_task_made,
        celery_shared_task,
        dramatiq_actor,
        huey_task,
    ],
)


@every_registrar
@pytest.mark.parametrize("decorate", [traced, traced.tool, traced("work")])
def test_above_what_keeps_the_function(
    register: Callable[..., Any], decorate: Callable[..., Any]
) -> None:
    """
    `@traced` above a command or a task is refused, with the cure.
    """
    registered = register(work)

    with pytest.raises(TypeError, match=CURE):
        decorate(registered)


@every_registrar
def test_below_what_keeps_the_function(register: Callable[..., Any]) -> None:
    """
    Below it `@traced` is welcome, and what it decorates stays a function.
    """
    assert register(traced(work)) is not None


def test_command_hears() -> None:
    """
    What a group of click calls is heard where `@traced` is lowest.
    """
    click = pytest.importorskip("click")
    group = click.Group("tools")
    group.command("work")(click.option("--x", default=1)(traced.tool(work)))
    recorder = Recorder()

    with callbacks(recorder):
        group(["work", "--x", "2"], standalone_mode=False)

    assert recorder.tree() == "tool work: ok"
    assert recorder.runs[0].inputs == {"x": 2}


def test_task_hears() -> None:
    """
    What Celery calls is heard where `@traced` is lowest.
    """
    task = celery_task(traced.tool(work))
    recorder = Recorder()

    with callbacks(recorder):
        assert task.apply((1,)).get() == 2

    assert recorder.tree() == "tool work: ok"


def test_task_is_not_made() -> None:
    """
    A task that Celery has not made yet is refused without being made.
    """
    application = celery_app()
    task = application.task(name="work")(work)

    with pytest.raises(TypeError, match=r"celery\.local\.Proxy"):
        traced(task)

    assert "work" not in application._tasks


def test_class_of_tasks() -> None:
    """
    A class is no such thing: its methods are decorated.
    """
    base: Any = pytest.importorskip("click").Command

    @traced
    class Command(base):  # type: ignore[misc]  # click may be missing
        @traced
        def explain(self) -> str:
            return str(self.name)

    recorder = Recorder()

    with callbacks(recorder):
        Command("work").explain()

    assert [run.kind for run in recorder.runs] == ["chain"]


@pytest.mark.parametrize("made", [functools.cached_property(work), object()])
def test_what_cannot_be_called(made: Any) -> None:
    """
    What a decorator made that cannot even be called is refused with the same cure.
    """
    with pytest.raises(TypeError, match=CURE):
        traced(made)


def test_tool_of_langchain() -> None:
    """
    A LangChain tool is refused with the same cure: LangChain calls what it keeps.
    """
    tools: Any = pytest.importorskip("langchain_core.tools")

    with pytest.raises(TypeError, match=CURE):
        traced(tools.tool(work))
