"""
Tasks that a Celery worker does, for tests.
"""

import os
import signal
import time
from pathlib import Path
from typing import Any

from celery import Celery, Task
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded

from instrument import Usage, current_run, emit, traced
from instrument._state import get_state
from instrument.integrations.celery import _posts

_posts.BEAT_S, _posts.LOST_S = 0.3, 6.0  # what is killed is soon missed
URL = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:1/0")
app = Celery("jobs", broker=URL, backend=URL)
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 3_600},
    worker_prefetch_multiplier=1,
    worker_send_task_events=False,
)


@traced.chat_model(token=str)
def model(count: int, pause_s: float = 0.0) -> Any:
    """
    Say numbers.
    """
    for number in range(count):
        if pause_s:
            time.sleep(pause_s)
        yield f"{number} "


@app.task
@traced.agent("answer")
def answer(count: int, pause_s: float = 0.0) -> str:
    """
    Have the model speak.
    """
    return "".join(model(count, pause_s))


@app.task
@traced.tool("count")
def counted(name: str) -> str:
    """
    Say its own name, and which process it is in.
    """
    for number in range(20):
        emit(name, number)
    return name


@app.task
@traced.llm("burst")
def burst(count: int) -> Any:
    """
    Tell many pieces as fast as can be.
    """
    run = current_run()
    for number in range(count):
        run.token(f"{number} ")
    return count


@app.task
@traced.llm("flood")
def flood(count: int, gates: list[str]) -> None:
    """
    Tell many pieces between two gates, and when that is done.
    """
    run = current_run()
    run.token("first")
    wait_for(gates[0])
    for number in range(count):
        run.token(f"{number}")
    Path(gates[1]).touch()
    wait_for(gates[2])


@app.task
@traced.tool("gated")
def gated(gate: str) -> str:
    """
    Say a token, and go on when that was heard.
    """
    with traced("inner", kind="llm") as run:
        run.token(str(os.getpid()))
        wait_for(gate)
    return "heard"


def wait_for(gate: str) -> None:
    """
    Wait until somebody has made that file.
    """
    until = time.monotonic() + 30
    while not Path(gate).exists():
        assert time.monotonic() < until
        time.sleep(0.005)


@app.task(acks_late=True, reject_on_worker_lost=True)
@traced.tool("late")
def late(gate: str) -> str:
    """
    Die in the first attempt, once that was heard.
    """
    if not Path(gate).exists():
        with traced("inner", kind="llm") as run:
            run.token("first")
            wait_for(gate)
            os.kill(os.getpid(), signal.SIGKILL)
    return "second"


@app.task(bind=True, max_retries=3)
@traced.tool("retried")
def retried(self: Any, failures: int) -> int:
    """
    Fail so many times.
    """
    if self.request.retries < failures:
        raise self.retry(exc=ValueError("no luck"), countdown=0)
    return int(self.request.retries)


@app.task(autoretry_for=(KeyError,), retry_kwargs={"countdown": 0, "max_retries": 2})
@traced.tool("autoretried")
def autoretried() -> None:
    """
    Fail always.
    """
    raise KeyError("no luck")


@app.task
@traced.tool("nested")
def nested(depth: int) -> str:
    """
    Send the next on from here, and do not wait for it.
    """
    if depth:
        nested.delay(depth - 1)
    return "sent"


@app.task(bind=True)
@traced.tool("replaced")
def replaced(self: Any) -> str:
    """
    Have another task do it.
    """
    raise self.replace(add.s(20, 22))


@app.task
@traced.tool("add")
def add(one: int, other: int) -> int:
    """
    Add.
    """
    return one + other


@app.task
@traced.tool("total")
def total(numbers: list[int]) -> int:
    """
    Add all.
    """
    return sum(numbers)


@app.task
@traced.tool("fails")
def fails() -> None:
    """
    Raise Python's own exception.
    """
    raise ValueError("no luck")


@app.task
@traced.tool("ignored")
def ignored() -> None:
    """
    Have no result.
    """
    raise Ignore


@app.task
@traced.tool("rejected")
def rejected() -> None:
    """
    Have the message thrown away.
    """
    raise Reject("no", requeue=False)


@app.task(soft_time_limit=1)
@traced.tool("slow")
def slow() -> None:
    """
    Take too long.
    """
    with traced("inner"):
        time.sleep(30)


@app.task(soft_time_limit=1)
@traced.tool("stubborn")
def stubborn() -> str:
    """
    Take too long, and say so.
    """
    try:
        time.sleep(30)
    except SoftTimeLimitExceeded:
        emit("limit", None)
    return "late"


@app.task
def plain() -> list[str]:
    """
    Be no run; tell what is in hand here.
    """
    emit("plain", None)
    return [str(current_run().name), type(get_state()).__name__]


@app.task(bind=True)
def headers(self: Any) -> dict[str, Any] | None:
    """
    Give what came along.
    """
    return self.request.get("instrument")  # type: ignore[no-any-return]


class Counting(Task):  # type: ignore[misc]
    """
    A base class that has a call of its own.
    """

    calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """
        Count, and call as Celery does.
        """
        self.calls += 1
        with traced(f"call {self.calls}"):
            return super().__call__(*args, **kwargs)


@app.task(base=Counting, bind=True)
@traced.tool("own")
def own(self: Any, other: int) -> list[Any]:
    """
    Be called in the midst of itself.
    """
    below = self(other - 1) if other else []
    return [other, *below]


@app.task
@traced.tool("ask")
def ask(calls: int) -> int:
    """
    Call a model so often, each time for 10 tokens.
    """
    for _ in range(calls):
        with traced("model", kind="llm") as run:
            run.usage = Usage(input_tokens=4, output_tokens=6)
    return calls
