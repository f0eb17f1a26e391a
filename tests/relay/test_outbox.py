"""
The queue of a worker: the first at once, then batches; bounded, and what may be lost.
"""

import json
import threading
from collections.abc import Callable
from queue import Empty, Queue
from time import monotonic
from typing import Any

import pytest

from instrument._relay import outbox
from instrument._relay.outbox import Idle, Outbox, opened


class Wire:
    """
    A line in memory: frames stay in `sent` until they are answered.
    """

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self._answers: Queue[bytes | None] = Queue()
        self.is_closed = False

    def send(self, frame: bytes) -> None:
        if self.is_closed:
            raise ConnectionResetError("closed")
        self.sent.append(json.loads(frame))

    def receive(self, timeout_s: float | None = None) -> bytes:
        try:
            answer = self._answers.get(timeout=timeout_s)
        except Empty:
            raise TimeoutError from None
        if answer is None:
            raise ConnectionResetError("closed")
        return answer

    def has_news(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True
        self._answers.put(None)

    def answer(self, told: Any = None) -> None:
        """
        Answer a frame.
        """
        self._answers.put(json.dumps({} if told is None else told).encode())


def until(holds: Callable[[], object]) -> None:
    """
    Wait until something holds, 5 s at most.
    """
    last = monotonic() + 5
    while not holds():
        assert monotonic() < last
        threading.Event().wait(0.001)


def idle_box() -> tuple[Wire, Outbox]:
    """
    Give an outbox whose thread waits.
    """
    wire = Wire()
    box = Outbox(wire)
    until(lambda: box._is_idle)
    return wire, box


def events(wire: Wire) -> list[int]:
    """
    Give all that was sent, frame by frame.
    """
    return [event for frame in wire.sent for event in frame.get("events", ())]


def test_first_at_once_then_batches() -> None:
    """
    The first is sent by who tells it; what comes meanwhile goes in batches of 64 at most.
    """
    wire, box = idle_box()

    box.put("0")
    assert wire.sent == [{"first": 0, "events": [0]}]
    for number in range(1, 101):
        box.put(str(number))
    for _ in range(3):
        wire.answer()
    until(lambda: len(events(wire)) == 101)

    assert events(wire) == list(range(101))
    assert [frame["first"] for frame in wire.sent] == [0, 1, 65]
    box.close()


def test_the_last_is_not_held_back() -> None:
    """
    What comes behind the first is sent by a timer, though nothing more comes.
    """
    wire, box = idle_box()

    box.put("0")
    wire.answer()
    box.put("1")

    until(lambda: events(wire) == [0, 1])
    box.close()


def test_large_ones_go_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A batch ends where it is large.
    """
    monkeypatch.setattr(outbox, "BATCH_CHARACTERS", 5)
    wire, box = idle_box()
    box.put("0")

    for text in ("11111", "22222", "3", "4"):
        box.put(text)
    for _ in range(4):
        wire.answer()
    until(lambda: len(events(wire)) == 5)

    assert [len(frame["events"]) for frame in wire.sent] == [1, 1, 1, 2]
    box.close()


def test_piece_that_is_sent_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A piece that was sent by who tells it is none of those that wait: where the queue is
    full another is dropped, and what comes is taken.
    """
    monkeypatch.setattr(outbox, "MOST_ITEMS", 2)
    wire, box = idle_box()

    for number in range(4):
        box.put(str(number), is_token=True)
    for _ in range(2):
        wire.answer()
    until(lambda: len(events(wire)) == 3)

    assert events(wire) == [0, 2, 3]
    assert box.dropped == 1
    assert not box._tokens
    box.close()


def test_full_queue_drops_the_oldest_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where the queue is full the oldest pieces of answers are dropped, and counted; starts
    and ends never.
    """
    monkeypatch.setattr(outbox, "MOST_ITEMS", 4)
    wire, box = idle_box()
    box.put("0")

    box.put("1")
    for number in range(2, 7):
        box.put(str(number), is_token=True)
    for number in range(7, 10):
        box.put(str(number))
    box.put("10", is_token=True)
    done = box.finish()
    for _ in range(3):
        wire.answer()

    assert done.result(5) == {}
    assert events(wire) == [0, 1, 7, 8, 9]
    assert wire.sent[-1] == {"end": 5, "dropped": 6}
    box.close()


def test_full_queue_waits_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where there is no piece to drop, who has more waits until something was taken.
    """
    monkeypatch.setattr(outbox, "MOST_CHARACTERS", 3)
    wire, box = idle_box()
    box.put("0")
    box.put("111")

    thread = threading.Thread(target=box.put, args=("2",))
    thread.start()
    until(lambda: box._changed._waiters)  # type: ignore[attr-defined]
    assert events(wire) == [0]
    wire.answer()
    thread.join(5)
    for _ in range(2):
        wire.answer()
    until(lambda: len(events(wire)) == 3)

    assert events(wire) == [0, 111, 2]
    box.close()


def test_caller_that_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A caller that takes nothing for long is given up; the call goes on.
    """
    monkeypatch.setattr(outbox, "MOST_ITEMS", 1)
    monkeypatch.setattr(outbox, "WAIT_S", 0.05)
    wire, box = idle_box()

    for number in range(4):
        box.put(str(number))
    asked = box.put("5", is_asked=True)
    done = box.finish()

    assert asked is not None
    for each in (asked, done):
        assert isinstance(each.exception(5), TimeoutError)
    assert wire.is_closed


def test_waits_while_something_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The end is waited for as long as anything is taken.
    """
    monkeypatch.setattr(outbox, "WAIT_S", 0.1)
    wire, box = idle_box()
    box.put("0")
    done = box.finish()

    def answers() -> None:
        for _ in range(2):
            threading.Event().wait(0.06)
            wire.answer()

    threading.Thread(target=answers).start()
    assert box.waited_for(done)

    done = box.finish()
    assert not box.waited_for(done)
    box.close()


def test_answers_are_for_who_asks() -> None:
    """
    Who asks gets the answer to their frame; what was refused is kept until it is taken.
    """
    wire, box = idle_box()
    box.put("0")

    asked = box.put("1", is_asked=True)
    wire.answer({"stops": {"a": {}}})
    wire.answer({"stops": {"b": {}}})

    assert asked is not None
    assert asked.result(5) == {"stops": {"b": {}}}
    assert box.stops == {"a": {}, "b": {}}
    box.close()


@pytest.mark.parametrize("answer", [[], "x", 1])
def test_answer_that_is_none(answer: Any) -> None:
    """
    An answer that is no object ends it.
    """
    wire, box = idle_box()
    asked = box.put("0", is_asked=True)

    wire.answer(answer)

    assert asked is not None
    assert isinstance(asked.exception(5), ValueError)
    assert box.error is not None
    assert wire.is_closed


def test_broken_line() -> None:
    """
    Where the line is broken nothing more is sent, and nobody waits.
    """
    wire, box = idle_box()
    wire.is_closed = True

    box.put("0")
    asked = box.put("1", is_asked=True)
    box.put("2")

    assert asked is not None
    assert isinstance(asked.exception(5), ConnectionResetError)
    assert not box._items
    box.close()
    assert isinstance(box.error, ConnectionResetError)


class Transport:
    """
    Opens lines that answer at once.
    """

    def __init__(self, *answers: Any) -> None:
        self.wires: list[Wire] = []
        self._answers = answers

    def open(self, address: dict[str, Any]) -> Wire:
        """
        Open one.
        """
        self.wires.append(Wire())
        for answer in self._answers:
            self.wires[-1].answer(answer)
        return self.wires[-1]


def test_lines_are_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A call takes a line that leads there and is open; else it opens one.
    """
    monkeypatch.setattr(outbox, "idle", Idle())
    transport: Any = Transport({"n": 1}, {"n": 2})
    hello = {"open": "x"}

    where, box, answer = opened(transport, {"port": 1}, hello)
    outbox.idle.put(where, box)
    _, other, _ = opened(transport, {"port": 2}, hello)
    _, again, more = opened(transport, {"port": 1}, hello)
    outbox.idle.put(where, again)
    transport.wires[0].is_closed = True
    _, fresh, _ = opened(transport, {"port": 1}, hello)

    assert (answer, more) == ({"n": 1}, {"n": 2})
    assert again is box
    assert fresh not in (box, other)
    assert transport.wires[0].sent == [hello, hello]
    for each in (box, other, fresh):
        each.close()


def test_line_that_has_been_closed_just_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where a kept line turns out to be closed, another is opened; where that is as well,
    it is an error.
    """
    monkeypatch.setattr(outbox, "idle", Idle())
    transport: Any = Transport({})
    where, box, _ = opened(transport, {}, {})
    outbox.idle.put(where, box)
    transport.wires[0].answer([])

    _, fresh, _ = opened(transport, {}, {})
    assert fresh is not box
    with pytest.raises(ValueError):
        opened(Transport([]), {}, {})  # type: ignore[arg-type]
    fresh.close()


def test_line_that_an_interrupt_breaks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where an interrupt comes as a kept line is used again, that is closed: who listens
    there would wait for the rest, and the line's thread for ever.
    """
    monkeypatch.setattr(outbox, "idle", Idle())
    transport: Any = Transport({})
    where, box, _ = opened(transport, {}, {})
    outbox.idle.put(where, box)

    def send(frame: bytes) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(transport.wires[0], "send", send)
    with pytest.raises(KeyboardInterrupt):
        opened(transport, {}, {})

    assert transport.wires[0].is_closed
    assert isinstance(box.error, ConnectionAbortedError)


def test_line_for_which_there_is_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where no thread is to be had for a line, it is closed.
    """
    transport: Any = Transport({})

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="thread"):
        opened(transport, {}, {})

    assert transport.wires[0].is_closed


def test_few_lines_are_kept() -> None:
    """
    Of many that serve no call the oldest are closed.
    """
    idle = Idle()
    boxes = [idle_box() for _ in range(10)]

    for wire, box in boxes:
        idle.put(str(id(wire)), box)

    assert [wire.is_closed for wire, _ in boxes] == [True] * 2 + [False] * 8
    assert idle.take("elsewhere") is None
    for _, box in boxes:
        box.close()
