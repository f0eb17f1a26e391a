"""
Much at once: all is there, memory stays flat, and it can be read meanwhile.
"""

import asyncio
import threading
import time
from typing import Any

import psutil
import pytest

from instrument import callbacks, traced

_THREADS, _TASKS, _EVENTS = 8, 200, 10
_MOST_BYTES = 60_000_000


@traced.tool
def look(query: str) -> str:
    """
    Answer.
    """
    return f"all about {query}"


@traced
def work(question: str) -> str:
    """
    Be a request of ten events.
    """
    return "".join(look(f"{question}.{number}") for number in range(4))


@traced
async def wait(question: str) -> str:
    """
    Be the same, with others in between.
    """
    told = ""
    for number in range(4):
        await asyncio.sleep(0)
        told += look(f"{question}.{number}")
    return told


def in_threads(handler: Any, requests: int) -> None:
    """
    Have eight threads work.
    """

    def go(name: int) -> None:
        with callbacks(handler):
            for number in range(requests // _THREADS):
                work(f"t{name}.{number}")

    threads = [threading.Thread(target=go, args=(n,)) for n in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def in_tasks(handler: Any, requests: int) -> None:
    """
    Have two hundred tasks work.
    """

    async def go(name: int) -> None:
        async with callbacks(handler):
            for number in range(requests // _TASKS):
                await wait(f"a{name}.{number}")

    async def main() -> None:
        await asyncio.gather(*[go(name) for name in range(_TASKS)])

    asyncio.run(main())


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "events",
    [
        pytest.param(100_000, marks=pytest.mark.wide),
        pytest.param(1_000_000, marks=pytest.mark.slow),
    ],
)
def test_load(store: Any, events: int, reports: list[str]) -> None:
    """
    Eight threads and two hundred tasks tell as much as they can: every event is written,
    what waits stays little, and the list answers meanwhile.
    """
    store.ask()
    reader, longest_s, is_done = store.reader, 0.0, threading.Event()

    def look_on() -> None:
        nonlocal longest_s
        while not is_done.wait(0.05):
            began = time.monotonic()
            assert reader.requests("status:ok", limit=50)
            longest_s = max(longest_s, time.monotonic() - began)

    looking = threading.Thread(target=look_on)
    looking.start()
    requests = events // _EVENTS // 2
    in_threads(store.handler, requests // 5)
    before = psutil.Process().memory_info().rss
    in_threads(store.handler, requests - requests // 5)
    in_tasks(store.handler, requests)
    grown = psutil.Process().memory_info().rss - before
    is_done.set()
    looking.join()

    assert store.handler.drain(120)
    assert reports == []
    assert store.handler.lost == 0
    told = reader.about()
    assert (told["requests"], told["events"]) == (2 * requests + 1, events + 7)
    assert reader.summary()["by_status"] == {"ok": 2 * requests + 1}
    assert grown < _MOST_BYTES
    assert longest_s < 5
