"""
Scope: who hears in a block is known from who hears around it, and is right all the same.
"""

import contextvars
from contextlib import ExitStack
from typing import Any

from instrument import BaseCallbackHandler, callbacks, traced
from instrument.handlers import local
from instrument.testing import Recorder

DEEP = 2_000
"""More blocks, each in the other, than the stack has frames."""


@traced("leaf")
def leaf() -> None:
    """
    Do nothing, in a run.
    """


def heard(recorder: Recorder) -> list[str]:
    """
    Give the names of the runs that it heard.
    """
    return [run.name for run in recorder.runs]


def test_block_in_a_run_with_a_local_handler() -> None:
    """
    A handler for an object's own runs alone hears nothing of a block opened in one.
    """
    own, inner = Recorder(), Recorder()

    @traced("root", callbacks=[local(own)])
    def root() -> None:
        with callbacks(inner):
            leaf()
            leaf()

    root()

    assert heard(own) == ["root"]
    assert heard(inner) == ["leaf", "leaf"]


def test_blocks_deeper_than_the_stack() -> None:
    """
    Blocks may be nested deeper than calls can be, with no call before the innermost.
    """
    recorders = [Recorder() for _ in range(DEEP)]

    with ExitStack() as stack:
        for recorder in recorders:
            stack.enter_context(callbacks(recorder))
        leaf()

    assert all(heard(recorder) == ["leaf"] for recorder in recorders)


def test_block_around_is_closed_from_elsewhere() -> None:
    """
    Who was heard around a block, and is closed in another Context, hears no more in it.
    """
    outer, inner = Recorder(), Recorder()
    around = callbacks(outer)

    with around:
        leaf()
        here = contextvars.copy_context()

    def go_on() -> None:
        with callbacks(inner):
            leaf()
            contextvars.Context().run(around.__exit__, None, None, None)
            leaf()

    reopened = contextvars.copy_context()
    reopened.run(around.__enter__)
    reopened.run(go_on)
    here.run(leaf)

    assert heard(outer) == ["leaf", "leaf", "leaf"]
    assert heard(inner) == ["leaf", "leaf"]


def test_block_of_a_process_wide_handler() -> None:
    """
    A handler that hears the process, and is given to a block as well, hears once there.
    """
    everywhere, other = Recorder(), Recorder()

    with callbacks(everywhere).install():
        leaf()
        with callbacks(other, everywhere, other):
            leaf()
        leaf()

    assert heard(everywhere) == ["leaf", "leaf", "leaf"]
    assert heard(other) == ["leaf"]


def test_handler_changed_between_blocks() -> None:
    """
    What a handler, or its class, serves is looked for anew in each block.
    """
    told: list[str] = []

    class Handler:
        def on_chain_start(self, *_: Any, **__: Any) -> None:
            told.append("start")

        def on_chain_end(self, *_: Any, **__: Any) -> None:
            told.append("end")

    def in_a_block() -> list[str]:
        told.clear()
        with callbacks(handler):
            leaf()
        return [*told]

    handler: Any = Handler()

    assert in_a_block() == ["start", "end"]
    handler.on_chain_end = None
    assert in_a_block() == ["start"]
    Handler.on_chain_start = lambda *_, **__: told.append("new")  # type: ignore[method-assign]
    assert in_a_block() == ["new"]
    handler.on_event = lambda event: told.append(event.event)
    assert in_a_block() == ["new", "on_chain_start", "on_chain_end"]
    handler.ignore_chain = True
    assert in_a_block() == ["on_chain_start", "on_chain_end"]


def test_deaf_to_what_its_base_does_not_do() -> None:
    """
    A method given to a handler that inherited one which does nothing is heard from then.
    """
    told: list[object] = []

    class Handler(BaseCallbackHandler):
        def on_chain_start(self, *_: Any, **__: Any) -> None:
            told.append("start")

    handler: Any = Handler()
    with callbacks(handler):
        leaf()
    handler.on_chain_end = lambda outputs, **_: told.append(outputs)
    with callbacks(handler):
        leaf()

    assert told == ["start", "start", None]
