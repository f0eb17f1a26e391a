"""
Blocks, runs and streams in any order, in several Contexts and threads, beside a model.

A `Place` is somewhere code runs: a Context, or the body of a generator. The model knows
its chain of blocks and runs, and so who hears what happens there, and under which run.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from instrument import Event, callbacks, current_run, traced
from instrument._delivery import flush as _serve
from instrument._state import get_state

HANDLERS = 4
MOST = 4  # of each: Contexts, objects, runs, streams

numbers = st.integers(0, 11)
endings = st.sampled_from(["close", "drop", "throw"])


@dataclass(eq=False)
class Object:
    """A `callbacks` object, and its entries that have not been left."""

    handler: int
    block: Any
    open: list["Entry"] = field(default_factory=list)


@dataclass(eq=False)
class Entry:
    owner: Object
    home: Context
    closed: bool = False


@dataclass(eq=False)
class OpenRun:
    name: str
    parent: "OpenRun | None"
    heard: list[int]
    block: Any = None
    ended: bool = False


@dataclass(eq=False)
class Place:
    """A Context, or the body of a generator; the innermost link of its chain is first."""

    chain: list[Entry | OpenRun]
    context: Context
    stream: list[Any] = field(default_factory=list)
    run: OpenRun | None = None

    def parent(self) -> OpenRun | None:
        runs = [it for it in self.chain if isinstance(it, OpenRun)]
        run = runs[0] if runs else None
        while run is not None and run.ended:
            run = run.parent
        return run

    def may_leave(self, owner: Object) -> bool:
        """
        Tell whether it is clear which entry is left.

        It is not where others have closed one, nor below a stream's run or one that
        has ended.
        """
        runs = [it for it in self.chain if isinstance(it, OpenRun)]
        far = [run for run in runs if run.ended or not run.block]
        near = self.chain[: self.chain.index(far[0])] if far else self.chain
        ours = [it for it in self.chain if isinstance(it, Entry) and it.owner is owner]
        return not any(it.closed for it in ours) and (not ours or ours[0] in near)

    def left(self, owner: Object) -> None:
        """Leave an object here: its innermost entry, else the latest that is open."""
        here = [it for it in self.chain if isinstance(it, Entry) and it.owner is owner]
        entry = here[0] if here else owner.open[-1] if owner.open else None
        if entry is None:
            return

        if here:
            self.chain.remove(entry)
        entry.closed = entry.closed or not here or entry.home is not self.context
        if entry in owner.open:
            owner.open.remove(entry)


def leaving(block: Any, fails: bool) -> Callable[[], Any]:
    """
    Give what leaves *block*; from code of its own, since a frame's id comes again.
    """
    raised = (ValueError, ValueError(), None) if fails else (None, None, None)
    return lambda: block.__exit__(*raised)


def body() -> Any:
    command = yield
    while True:
        command = yield command()


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, str, int]] = []
        self.ids: dict[str, UUID] = {}
        self.parents: dict[str, UUID | None] = {}
        self.handlers = [self.handler(number) for number in range(HANDLERS)]
        self.contexts = [Place([], Context())]
        self.streams: list[Place] = []
        self.objects: list[Object] = []
        self.runs: list[OpenRun] = []
        self.process: dict[int, Any] = {}
        self.count = 0
        self.remembered = len(_serve._streams)

    def handler(self, number: int) -> Callable[[Event], None]:
        def hear(event: Event) -> None:
            word = event.event.removeprefix("on_chain_")
            self.told.append((event.name, word, number))
            self.ids[event.name] = event.run_id
            self.parents[event.name] = event.parent_run_id

        return hear

    def name(self) -> str:
        self.count += 1
        return f"run {self.count}"

    def heard(self, place: Place) -> list[int]:
        blocks = [it for it in place.chain if isinstance(it, Entry) and not it.closed]
        handlers = [it.owner.handler for it in reversed(blocks)]
        return list(dict.fromkeys([*self.process, *handlers]))

    def place(self, number: int) -> Place:
        every = [*self.contexts, *self.streams]
        return every[number % len(every)]

    def at(
        self, place: Place, function: Callable[[], Any], thread: bool = False
    ) -> Any:
        """Do something in a place; stepping a generator leaves its consumer's state alone."""
        before = place.context.run(get_state)
        step = partial(place.stream[0].send, function) if place.stream else function
        results: list[Any] = []

        def work() -> None:
            results.append(place.context.run(step))

        if thread:
            worker = threading.Thread(target=work)
            worker.start()
            worker.join()
        else:
            work()
        if place.stream:
            assert place.context.run(get_state) is before
        return results[0]

    def expect(self, name: str, heard: list[int], *words: str) -> None:
        told, self.told[:] = self.told[:], []
        assert told == [(name, word, each) for word in words for each in heard]

    @rule(where=numbers, handler=numbers, reuse=numbers, thread=st.booleans())
    def enter(self, where: int, handler: int, reuse: int, thread: bool) -> None:
        """Enter a block, of a new object or of one that may be open already."""
        place = self.place(where)
        if len(self.objects) < MOST and reuse % 3:
            number = handler % HANDLERS
            self.objects.append(Object(number, callbacks(self.handlers[number])))
        if not self.objects:
            return
        owner = self.objects[-1 if reuse % 3 else reuse % len(self.objects)]
        self.at(place, owner.block.__enter__, thread)
        entry = Entry(owner, place.context)
        place.chain.insert(0, entry)
        owner.open.append(entry)

    @precondition(lambda self: self.objects)
    @rule(where=numbers, which=numbers, thread=st.booleans(), fails=st.booleans())
    def leave(self, where: int, which: int, thread: bool, fails: bool) -> None:
        """Leave any object in any Context, entered there or not."""
        place = self.contexts[where % len(self.contexts)]
        owner = self.objects[which % len(self.objects)]
        if place.may_leave(owner):
            self.at(place, leaving(owner.block, fails), thread)
            place.left(owner)

    @precondition(lambda self: self.streams)
    @rule(which=numbers)
    def leave_in_stream(self, which: int) -> None:
        """Leave the innermost block that a generator's body has entered."""
        self.leave_last(self.streams[which % len(self.streams)])

    def leave_last(self, place: Place) -> bool:
        """Leave the innermost block of a body, if there is one."""
        own = place.chain[: place.chain.index(place.run)] if place.run else []
        blocks = [it for it in own if isinstance(it, Entry)]
        if blocks and place.may_leave(blocks[0].owner):
            self.at(place, leaving(blocks[0].owner.block, fails=False))
            place.left(blocks[0].owner)
            return True
        return False

    @rule(where=numbers, thread=st.booleans())
    def begin(self, where: int, thread: bool) -> None:
        """Begin a run; where nobody listens there is none."""
        place, name = self.place(where), self.name()
        heard, block = self.heard(place), traced(name)
        if len([run for run in self.runs if not run.ended]) >= MOST:
            return
        self.at(place, block.__enter__, thread)
        self.expect(name, heard, "start")
        if heard:
            run = OpenRun(name, place.parent(), heard, block)
            assert self.parents[name] == (run.parent and self.ids[run.parent.name])
            place.chain.insert(0, run)
            self.runs.append(run)

    @precondition(lambda self: self.runs)
    @rule(where=numbers, which=numbers, thread=st.booleans(), fails=st.booleans())
    def end(self, where: int, which: int, thread: bool, fails: bool) -> None:
        """End any run in any place, begun there or not; twice does nothing."""
        place = self.place(where)
        run = self.runs[which % len(self.runs)]
        self.at(place, leaving(run.block, fails), thread)
        told = [] if run.ended else run.heard
        self.expect(run.name, told, "error" if fails else "end")
        run.ended = True
        if run in place.chain:
            place.chain.remove(run)

    @precondition(lambda self: len(self.contexts) < MOST)
    @rule(where=numbers)
    def copy(self, where: int) -> None:
        place = self.place(where)
        self.contexts.append(Place([*place.chain], self.at(place, copy_context)))

    @precondition(lambda self: len(self.streams) < MOST)
    @rule(where=numbers, consumer=numbers)
    def stream(self, where: int, consumer: int) -> None:
        """Make a generator in one place, and start it in another."""
        maker, name = self.place(where), self.name()
        heard = self.heard(maker)
        if not heard:
            return
        made = self.at(maker, traced(name, outputs=False)(body))
        eater = self.contexts[consumer % len(self.contexts)]
        eater.context.run(next, made)
        self.expect(name, heard, "start")
        run = OpenRun(name, maker.parent(), heard)
        assert self.parents[name] == (run.parent and self.ids[run.parent.name])
        self.streams.append(Place([run, *maker.chain], eater.context, [made], run))

    @precondition(lambda self: self.streams)
    @rule(which=numbers, consumer=numbers)
    def hand_on(self, which: int, consumer: int) -> None:
        """Step a generator in another Context from now on."""
        place = self.streams[which % len(self.streams)]
        place.context = self.contexts[consumer % len(self.contexts)].context

    @precondition(lambda self: self.streams)
    @rule(which=numbers, how=endings, thread=st.booleans())
    def finish(self, which: int, how: str, thread: bool) -> None:
        """Close a generator, drop it, or have its body fail, in the Context of its consumer."""
        place = self.streams.pop(which % len(self.streams))
        while self.leave_last(place):
            pass
        stream, place.stream = place.stream, []

        def close() -> None:
            stream[0].close()

        def throw() -> None:
            with suppress(KeyError):
                stream[0].throw(KeyError())

        before, run = place.context.run(get_state), place.run
        self.at(place, {"close": close, "throw": throw}.get(how, stream.clear), thread)
        assert place.context.run(get_state) is before
        assert run
        run.ended = True
        self.expect(run.name, run.heard, "error")

    @rule(number=st.integers(0, HANDLERS - 1))
    def install(self, number: int) -> None:
        if number in self.process:
            self.process.pop(number).uninstall()
        else:
            self.process[number] = callbacks(self.handlers[number]).install()

    @invariant()
    def model_holds(self) -> None:
        """In each place those hear a new run, and it has the parent, whom the model names."""
        for place in [*self.contexts, *self.streams]:
            name, heard = self.name(), self.heard(place)
            parent = place.parent()
            self.at(place, traced(name)(lambda: None))
            self.expect(name, heard, "start", "end")
            if heard:
                assert self.parents[name] == (parent and self.ids[parent.name])
            current = self.at(place, current_run).name
            assert current == (parent.name if parent else "none")

    def teardown(self) -> None:
        for installed in self.process.values():
            installed.uninstall()
        while self.streams:
            self.finish(0, "drop", thread=False)
        for owner in self.objects:
            assert len(owner.open) == len(owner.block._open)
        assert len(_serve._streams) <= self.remembered


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, derandomize=True
)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_machine_for_long() -> None:
    """
    The same for many more ways.
    """
    run_state_machine_as_test(
        Machine, settings=settings(TestMachine.settings, max_examples=300)
    )


pytestmark = [
    pytest.mark.filterwarnings("ignore:.* was never entered:RuntimeWarning"),
    *[
        pytest.mark.rule(number, "sync", "generator")
        for number in (1, 2, 3, 4, 6, 7, 9, 11)
    ],
]
