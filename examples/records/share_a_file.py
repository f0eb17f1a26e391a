"""
May several processes write to one events file?
"""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from instrument import Event, callbacks, traced
from instrument.handlers import FileCallbackHandler

FILE = Path("events.jsonl")


@traced.tool
def square(x: int) -> int:
    return x * x


@traced
def squares(numbers: list[int]) -> list[int]:
    spawn = get_context("spawn")  # a worker starts empty: it is told who listens there
    with ProcessPoolExecutor(2, mp_context=spawn, initializer=listen) as pool:
        return list(pool.map(square, numbers))


def listen() -> None:
    callbacks(FileCallbackHandler(FILE), metadata={"where": "worker"}).install()


if __name__ == "__main__":  # workers import this file, too
    with callbacks(FileCallbackHandler(FILE), metadata={"where": "parent"}):
        print(squares([1, 2, 3]))
    #> [1, 4, 9]

    lines = FILE.read_text().splitlines()  # each of them is whole
    events = [Event.from_json(line) for line in lines]
    for name in ("squares", "square"):
        ended = [e for e in events if e.name == name and e.event.endswith("_end")]
        print(len(ended), name, {e.metadata["where"] for e in ended})
    #> 1 squares {'parent'}
    #> 3 square {'worker'}
    # Each worker's runs are roots of their own: they do not know of `squares`.
    print({e.parent_run_id for e in events})
    #> {None}
