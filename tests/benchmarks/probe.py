"""
What ``@traced`` does to every kind of callable and call, next to what is right.

``python tests/benchmarks/probe.py`` prints it as a Markdown table.
"""

import sys
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path

if not __package__:  # run as a script
    sys.path.append(str(Path(__file__).parents[2]))

from instrument import callbacks, current_run, traced
from tests.benchmarks.check_calls import CALLS
from tests.benchmarks.check_streams import STREAMS
from tests.benchmarks.check_threads import THREADS
from tests.benchmarks.checking import Adapter, Check, Decorate, T

CHECKS = [*CALLS, *STREAMS, *THREADS]


class Ended:
    """
    A handler that counts the ends of runs, and keeps none.
    """

    def __init__(self) -> None:
        self.count = 0

    def on_chain_start(self, *args: object, **kwargs: object) -> None: ...

    def on_chain_end(self, *args: object, **kwargs: object) -> None:
        self.count += 1

    def on_chain_error(self, *args: object, **kwargs: object) -> None:
        self.count += 1


@contextmanager
def ours() -> Iterator[Adapter]:
    """
    Give the adapter of `traced`, in a block with a handler that listens.
    """
    ended = Ended()
    with callbacks(ended):
        yield _traced(lambda: ended.count)


def idle() -> Adapter:
    """
    Give the adapter of `traced` where nobody listens.
    """
    return _traced(lambda: 0)


def undecorated() -> Adapter:
    """
    Give the adapter of no decorator at all.
    """
    return Adapter(
        decorate=_same, called=_identity, current=lambda: None, ended=lambda: 0
    )


def found(check: Check) -> object:
    """
    Find out how *check* is with `traced`; what it raises is an answer too.
    """
    with ours() as adapter:
        try:
            return check.run(adapter)
        except Exception as exc:
            return exc


def main() -> None:
    """
    Print the table.
    """
    print("| what | right | `@traced` | |")
    print("|---|---|---|---|")
    for check in CHECKS:
        value = found(check)
        verdict = "ok" if value == check.right else "**wrong**"
        print(f"| {check.what} | `{check.right!r}` | `{value!r}` | {verdict} |")


def _traced(ended: Callable[[], int]) -> Adapter:
    return Adapter(decorate=traced, called=traced, current=_current_id, ended=ended)


def _current_id() -> Hashable | None:
    run = current_run()
    return run.id if bool(run) else None


def _same(target: T) -> T:
    return target


def _identity() -> Decorate:
    return _same


if __name__ == "__main__":
    main()
