"""
What comes of a stream in any order is given in its own, each once.
"""

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instrument._relay.resequencer import Resequencer

COUNTS = st.integers(0, 30)


def batches(count: int, sizes: list[int]) -> list[tuple[int, list[int]]]:
    """
    Cut the numbers below *count* into batches, each with its first.
    """
    cut, first = [], 0
    for size in [*sizes, count]:
        cut.append((first, list(range(first, min(first + size, count)))))
        first += size
    return cut


@given(COUNTS, st.lists(st.integers(1, 5)), st.randoms(), st.integers(0, 60))
def test_any_order_doubles_and_the_end_anywhere(
    count: int, sizes: list[int], chance: Random, end_at: int
) -> None:
    """
    Reordered, doubled and cut anew, with the end anywhere among it: each once, in order.
    """
    sent = batches(count, sizes) + batches(count, [1] * count) + batches(count, [])
    chance.shuffle(sent)
    stream = Resequencer()
    given_out: list[int] = []

    for at, (first, items) in enumerate(sent):
        if at == end_at:
            stream.end(count)
        given_out += stream.take(first, items)
    stream.end(count)

    assert given_out == list(range(count))
    assert stream.is_whole
    assert not stream.is_waiting
    assert (stream.lost, stream.give_up()) == (0, [])


@given(COUNTS, st.sets(st.integers(0, 29)), st.integers(0, 5))
def test_lost_ones_are_counted(count: int, lost: set[int], most_held: int) -> None:
    """
    What never comes is counted; of the rest each is given once, in order, and no more
    wait than may.
    """
    stream = Resequencer(most_held)
    given_out: list[int] = []
    arrived = [number for number in range(count) if number not in lost]

    for number in arrived:
        given_out += stream.take(number, [number])
        assert len(stream._held) <= most_held
    stream.end(count)
    given_out += stream.give_up()

    assert given_out == arrived
    assert stream.lost == count - len(arrived)
    assert stream.is_whole


NUMBERS = st.integers(-3, 12)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), NUMBERS, st.integers(0, 5), st.integers(0, 3)),
        st.tuples(st.just("end"), NUMBERS, st.integers(0, 3)),
        st.tuples(st.just("begin"), st.integers(0, 3)),
        st.tuples(st.just("give_up")),
    ),
    max_size=40,
)


@given(STEPS, st.integers(0, 6))
def test_whatever_comes(steps: list[tuple[Any, ...]], most_held: int) -> None:
    """
    Whatever comes, in whatever order, of whichever attempt: of one attempt each is given
    once and in order, what was passed over is counted, and no more wait than may; once it
    is whole nothing more is given.
    """
    stream = Resequencer(most_held)
    given_out: list[int] = []
    lost_before = 0

    for what, *args in steps:
        was_whole, attempt = stream.is_whole, stream.attempt
        if what == "begin":
            assert stream.begin(*args) is (args[0] > attempt)
        elif what == "take":
            first, count, of = args
            ready = stream.take(first, [*range(first, first + count)], of)
            assert ready == [] or (of == attempt and not was_whole)
            given_out += ready
        elif what == "end":
            stream.end(*args)
        else:
            given_out += stream.give_up()
            assert not stream.is_waiting
        if stream.attempt != attempt:
            given_out, lost_before = [], stream.lost

        assert given_out == sorted(set(given_out))
        assert len(given_out) + stream.lost - lost_before == stream._next
        assert len(stream._held) == len(stream._waiting) <= most_held


@pytest.mark.timeout(30)
def test_gaps_by_the_thousand() -> None:
    """
    Where every other one is lost, what is here is given soon, however many wait: none is
    looked for among all the others.
    """
    count, most_held = 400_000, 100_000
    stream = Resequencer(most_held)
    given_out: list[int] = []

    for number in range(1, count, 2):
        given_out += stream.take(number, [number])
    stream.end(count)
    given_out += stream.give_up()

    assert given_out == list(range(1, count, 2))
    assert stream.lost == count // 2


def test_what_waits_is_told() -> None:
    """
    A gap is waited for: by what is behind it, or by the end.
    """
    stream = Resequencer()

    assert not stream.is_waiting
    assert stream.take(1, ["b"]) == []
    assert stream.is_waiting
    assert stream.take(0, ["a"]) == ["a", "b"]
    assert not stream.is_waiting
    stream.end(3)
    assert stream.is_waiting
    assert not stream.is_whole
    assert stream.take(2, ["c"]) == ["c"]
    assert stream.is_whole


def test_done_once_more() -> None:
    """
    A higher attempt begins anew; what is still on its way of the earlier one, and its
    end, are passed over.
    """
    stream = Resequencer()
    stream.take(0, ["a", "b"])
    stream.take(5, ["f"])

    assert stream.begin(1)
    assert not stream.begin(1)
    assert not stream.begin(0)
    stream.end(6, attempt=0)

    assert stream.take(2, ["c"], attempt=0) == []
    assert stream.take(0, ["A"], attempt=1) == ["A"]
    assert not stream.is_whole
    stream.end(1, attempt=1)
    assert stream.is_whole


def test_behind_the_end() -> None:
    """
    What is behind the end, or before the beginning, is none of the stream's; the first
    end counts, and a negative one is 0.
    """
    stream, empty = Resequencer(), Resequencer()
    stream.take(2, ["c"])

    stream.end(1)
    stream.end(5)
    empty.end(-5)

    assert stream.take(0, ["a", "b"]) == ["a"]
    assert stream.take(-1, ["z"]) == []
    assert stream.is_whole
    assert empty.is_whole
