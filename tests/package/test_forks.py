"""
A process may be forked while another thread is in the middle of a handler.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import instrument
from instrument import callbacks, traced
from instrument._forks import fork_lock
from instrument.handlers import (
    BudgetHandler,
    FileCallbackHandler,
    MonitorHandler,
    StdOutCallbackHandler,
    UsageHandler,
)
from instrument.handlers._shared import terminal

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


@traced.llm
def model(prompt: str) -> str:
    return prompt


def child_ends(body: Callable[[], Any]) -> bool:
    """
    Fork, and tell whether the child got through *body* within 5 s.
    """
    child = os.fork()
    if child == 0:
        threading.Timer(5, os._exit, (1,)).start()
        body()
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def forked_while_held(lock: Any, body: Callable[[], Any]) -> bool:
    """
    Fork while another thread holds *lock*, and tell whether the child got through.
    """
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            let_go.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    ended = child_ends(body)
    let_go.set()
    thread.join()
    return ended


def test_lock_is_free_in_a_child() -> None:
    """
    A lock that another thread holds is free in a forked child, and re-entrant there.
    """
    lock = fork_lock()

    def twice() -> None:
        with lock, lock:
            pass

    assert forked_while_held(lock, twice)
    assert lock.acquire(blocking=False)


@pytest.mark.parametrize(
    "made, lock_of",
    [
        (MonitorHandler, lambda handler, _: handler._lock),
        (UsageHandler, lambda handler, _: handler._all._lock),
        (
            lambda: BudgetHandler(max_calls=9),
            lambda handler, scope: handler._accounts.look_up(scope, handler).lock,
        ),
        (
            lambda: FileCallbackHandler(os.devnull),
            lambda handler, _: handler._lines._turns.lock,
        ),
        (StdOutCallbackHandler, lambda *_: terminal.lock),
    ],
    ids=["monitor", "usage", "budget", "file", "stdout"],
)
def test_fork_within_a_handler(
    made: Callable[[], Any], lock_of: Callable[[Any, Any], Any]
) -> None:
    """
    A worker forked while another thread was being counted or written hung at its first
    run, for ever.
    """
    handler = made()

    with callbacks(handler) as scope:
        model("parent")
        ended = forked_while_held(lock_of(handler, scope), lambda: model("child"))

    assert ended


FIRST_CALLS = """if True:
    import sys
    sys.path.insert(0, sys.argv[1])
    from instrument import callbacks, traced

    @traced
    def plain(x): return x

    @traced.tool
    def tool(key: "Secret", y=1): return y

    @traced.chat_model
    async def model(messages): return "a"

    before = set(sys.modules)
    with callbacks(lambda event: None):
        plain(1)
        tool("k")
        try:
            model([{"role": "user", "content": "x"}]).send(None)
        except StopIteration:
            pass
    print(sorted(set(sys.modules) - before))
"""


def test_first_call_imports_nothing() -> None:
    """
    What a function's first call that is heard needs is there when it is decorated: a
    worker forked while another thread imported it there waited for ever.
    """
    folder = str(Path(instrument.__file__).parents[1])

    done = subprocess.run(  # without what pytest and its plugins have imported
        [sys.executable, "-S", "-c", FIRST_CALLS, folder],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout == "[]\n"
