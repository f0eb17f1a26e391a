"""
Lines over Redis: frames come whole, once and in order, also when Redis loses them; who has
gone is missed.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from importlib import import_module
from time import monotonic, sleep
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from instrument import callbacks, traced
from instrument._relay.carriers import carrier_of
from instrument._relay.transport import Elsewhere
from instrument._state import get_state
from instrument.testing import Recorder

pytest.importorskip("celery")
pytest.importorskip("redis")
import celery
import redis

from instrument._relay import relay
from instrument.integrations.celery import _posts
from instrument.integrations.celery._posts import Post, tell_lost
from instrument.integrations.celery._redis import Found, redis_of
from instrument.integrations.celery._streams import STREAMS, Streams
from instrument.propagation import attach

if TYPE_CHECKING:
    from tests.engines.conftest import Redis
    from tests.engines.waits import until
else:
    until = import_module("waits").until

WAIT_S = 20


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Have what has gone be missed soon.
    """
    monkeypatch.setattr(_posts, "BEAT_S", 0.1)
    monkeypatch.setattr(_posts, "LOST_S", 1.0)


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    """
    Give a client of the Redis.
    """
    with redis.Redis.from_url(redis_url) as made:
        yield made


@pytest.fixture
def posts(redis_url: str) -> Iterator[Callable[[], Post]]:
    """
    Give a function that makes inboxes; they are left at the end.
    """
    made: list[Post] = []

    def make(url: str = redis_url) -> Post:
        post = Post(url, {})
        post.await_there()
        made.append(post)
        return post

    yield make
    for post in made:
        post.stop()


def is_beyond(frames: list[bytes], count: int) -> bool:
    """
    Tell whether there are more.
    """
    return len(frames) > count


def echo(line: Any) -> None:
    """
    Send back what comes, until the other side has left.
    """
    with suppress(OSError):
        while True:
            line.send(b"back " + line.receive())


def opened(posts: Callable[[], Post], serve: Any = echo) -> tuple[Post, Post, Any]:
    """
    Give two inboxes, and a line from the second to the first.
    """
    home, there = posts(), posts()
    home.serve(serve)
    line: Any = there.open(home.inbox)
    return home, there, line


def test_frames_there_and_back(posts: Any, client: Any) -> None:
    """
    Frames of any size come whole and in order, on several lines at once; none stays in
    Redis when it was read.
    """
    home, there, line = opened(posts)
    other: Any = there.open(home.inbox)

    for frame in (b"", b"a", b"b" * 1_000_000, b"\x00\xff"):
        for each in (line, other):
            each.send(frame)
        for each in (line, other):
            assert each.receive(WAIT_S) == b"back " + frame

    assert not line.has_news()
    until(lambda: client.xlen(home.inbox) + client.xlen(there.inbox) == 0)
    with pytest.raises(TimeoutError):
        line.receive(0.01)
    with pytest.raises(OSError, match="the most is"):
        line.send(b"c" * 64_000_001)


def test_frame_that_comes_twice(posts: Any, client: Any) -> None:
    """
    What is delivered more than once is taken once.
    """
    taken: list[bytes] = []

    def note(line: Any) -> None:
        with suppress(OSError):
            while True:
                taken.append(line.receive())
                line.send(b"ok")

    home, _, line = opened(posts, note)
    head = {**line.head(), "f": b"one"}
    line.send(b"one")
    for _ in range(3):
        client.xadd(home.inbox, {**head, "n": 1})
    assert line.receive(WAIT_S) == b"ok"
    line.send(b"two")
    client.xadd(home.inbox, {**head, "n": 1})
    assert line.receive(WAIT_S) == b"ok"
    line.close()

    assert taken == [b"one", b"two"]
    assert not line._arrived


def test_redis_that_forgets_all(posts: Any, client: Any) -> None:
    """
    Where Redis drops what it holds, frames that were not answered are sent once more: of
    30 on their way meanwhile none is lost, and none comes twice.
    """
    _, _, line = opened(posts)
    is_over = threading.Event()

    def forget() -> None:
        while not is_over.wait(0.02):
            client.flushall()

    thread = threading.Thread(target=forget)
    line.send(b"first")
    assert line.receive(WAIT_S) == b"back first"
    thread.start()
    try:
        for number in range(30):
            line.send(b"%d" % number)
            assert line.receive(WAIT_S) == b"back %d" % number
    finally:
        is_over.set()
        thread.join()


@pytest.mark.parametrize("options", [(), ("--appendonly", "yes")])
def test_redis_that_is_started_anew(
    posts: Any, start_redis: "Callable[..., Redis]", options: tuple[str, ...]
) -> None:
    """
    Connections are made anew, and what is on its way comes, whether Redis has kept it or
    not; what is sent meanwhile waits.
    """
    server = start_redis(*options)
    _, _, line = opened(partial(posts, server.url))
    frames: list[bytes] = []

    def ask() -> None:
        for number in range(200):
            line.send(b"%d" % number)
            frames.append(line.receive(WAIT_S))

    thread = threading.Thread(target=ask)
    thread.start()
    for count in (50, 100, 150):
        until(partial(is_beyond, frames, count))
        server.stop()
        sleep(0.1)
        server.start()
    thread.join()

    assert frames == [b"back %d" % number for number in range(200)]


def test_redis_that_is_away_for_long(
    posts: Any, start_redis: "Callable[..., Redis]"
) -> None:
    """
    After a while each side takes the other for lost.
    """
    server = start_redis()
    ends: list[OSError] = []

    def serve(line: Any) -> None:
        try:
            line.receive()
            line.receive()
        except OSError as exc:
            ends.append(exc)

    home, there, line = opened(partial(posts, server.url), serve)
    line.send(b"hello")
    until(lambda: home.lines)
    server.stop()

    with pytest.raises(OSError, match="Redis is away"):
        line.receive(WAIT_S)
    until(lambda: ends)
    with pytest.raises(OSError, match="Redis is away"):
        line.send(b"more")
    with pytest.raises(ConnectionError, match="is away"):
        there.open(home.inbox)
    server.start()
    until(lambda: home._is_made)
    until(lambda: there._is_made)
    assert there.open(home.inbox) is not None


@pytest.mark.parametrize("side", ["home", "there"])
def test_process_that_is_gone(posts: Any, client: Any, side: str) -> None:
    """
    Whose inbox is kept by nobody is missed by the other side.
    """
    home, there, line = opened(posts)
    line.send(b"a")
    assert line.receive(WAIT_S) == b"back a"
    gone = {"home": home, "there": there}[side]
    left = {"home": there, "there": home}[side]

    gone.is_stopped = True  # as if it were killed
    gone._thread.join()

    until(lambda: not left.lines)
    assert not client.exists(gone.inbox)
    if side == "home":
        with pytest.raises(OSError, match="not there any more"):
            line.receive(WAIT_S)
        assert there.open(home.inbox) is None
        assert not there.has_left(home.inbox)
    gone.is_stopped = False


def test_line_that_is_closed(posts: Any, client: Any) -> None:
    """
    Whoever closes a line, the other side sees it, also who comes back to it later.
    """
    home, there, line = opened(posts)
    line.send(b"a")
    assert line.receive(WAIT_S) == b"back a"
    other: Any = there.open(home.inbox)
    other.send(b"a")
    assert other.receive(WAIT_S) == b"back a"

    (served,) = [it for it in home.lines.values() if it.key[0] == other.key[0]]
    served.close()
    line.close()
    line.close()

    with pytest.raises(OSError, match="has left"):
        other.receive(WAIT_S)
    assert other.has_news()
    until(lambda: not home.lines)
    client.xadd(home.inbox, {**line.head(), "n": 1, "f": b"again"})
    late: Any = there.open(home.inbox)
    late._sent = 5
    late.send(b"of a line that is not known here")
    with pytest.raises(OSError, match="has left"):
        late.receive(WAIT_S)
    assert not home.lines


def test_line_that_is_lost_and_left_twice(posts: Any) -> None:
    """
    Why a line was lost first is what is told; it is let go of once.
    """
    _, there, line = opened(posts)
    for why in ("it was lost", "it was lost again"):
        line.lose(why)

    with pytest.raises(OSError, match=r"it was lost$"):
        line.receive(WAIT_S)
    there.leave(line)
    there.leave(line)
    assert line.key not in there.lines


def test_inbox_that_may_come_back(posts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where Redis has just come back, an inbox that is not there yet is waited for.
    """
    there = posts()
    there._again_s = monotonic()
    waits: list[float] = []

    def wait(wait_s: float) -> None:
        if threading.current_thread() is threading.main_thread():
            waits.append(wait_s)
        sleep(wait_s)

    monkeypatch.setattr(_posts, "sleep", wait)

    assert there.open("instrument:nobody") is None
    assert waits


def test_reader_that_fails(posts: Any, reports: list[str]) -> None:
    """
    Where what reads an inbox fails itself, that is reported, and it goes on.
    """
    home = posts()
    take, failed = home._take, list[object]()

    def fails(entry: Any) -> None:
        if not failed:
            failed.append(entry)
            raise LookupError("of our own")
        take(entry)

    home._take = fails
    home.serve(echo)
    there = posts()
    until(lambda: there.open(home.inbox))
    first = there.open(home.inbox)
    first.send(b"lost on the way, and sent once more")

    assert first.receive(WAIT_S).startswith(b"back")
    assert "of our own" in reports[0]


def test_process_that_leaves(posts: Any, client: Any) -> None:
    """
    Who leaves takes the inbox away, and tells the others; that it left is known for an hour.
    """
    home, there, line = opened(posts)
    line.send(b"a")
    assert line.receive(WAIT_S) == b"back a"

    home.stop()
    home.stop()

    with pytest.raises(OSError, match=r"has left|not there any more"):
        line.receive(WAIT_S)
    assert there.open(home.inbox) is None
    assert there.has_left(home.inbox)
    assert not client.exists(home.inbox)
    assert 0 < client.ttl(f"{home.inbox}:left") <= 3_600
    assert not home._thread.is_alive()


def test_job_whose_process_has_died(posts: Any, redis_url: str) -> None:
    """
    The line that tells of a job is lost as soon as somebody says so.
    """
    home, _, line = opened(posts)
    hello = json.dumps({"v": 1, "open": "x", "job": "job 1"}).encode()
    line.send(hello)
    assert line.receive(WAIT_S) == b"back " + hello

    for job in ("job 2", "job 1"):
        assert home.lines
        tell_lost(Found("broker_url", redis_url, {}), home.inbox, job)

    until(lambda: not home.lines)


@pytest.mark.parametrize(
    "entry",
    [
        {"l": "a"},
        {"l": "a", "e": "o", "n": "x", "r": "r", "f": "f"},
        {"l": b"\xff", "e": "o", "n": 1, "r": "r", "f": "f"},
        {"x": 1, "l": "unknown", "e": "o"},
        {"other": 1},
    ],
)
def test_entry_that_is_none(
    posts: Any, client: Any, reports: list[str], entry: dict[str, Any]
) -> None:
    """
    Whatever somebody else writes there, the inbox is read on.
    """
    home, _, line = opened(posts)
    client.xadd(home.inbox, entry)
    line.send(b"a")

    assert line.receive(WAIT_S) == b"back a"


def test_no_thread_is_to_be_had(
    posts: Any, monkeypatch: pytest.MonkeyPatch, reports: list[str]
) -> None:
    """
    A line that nobody can serve is closed.
    """
    _, _, line = opened(posts)

    def start(thread: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    line.send(b"a")
    with pytest.raises(OSError, match="has left"):
        line.receive(WAIT_S)
    until(lambda: "can't start new thread" in "".join(reports))


def found(url: str, setting: str = "broker_url") -> Callable[[object], Found]:
    """
    Give what finds that Redis.
    """
    return lambda _: Found(setting, url, {})


def test_streams(redis_url: str, client: Any, reports: list[str]) -> None:
    """
    An address names the setting and not the Redis; who cannot be reached is told once,
    unless it has left as it should.
    """
    home, there = Streams(), Streams()
    home.listen(echo)
    with home.by(found(redis_url)):
        address = home.address()
        assert home.address() == address
    assert json.loads(json.dumps(address)) == address
    assert redis_url not in json.dumps(address)

    with there.by(found(redis_url)):
        line = there.open(address)
        line.send(b"a")
        assert line.receive(WAIT_S) == b"back a"
        for _ in range(2):
            with pytest.raises(Elsewhere):
                there.open({**address, "inbox": "instrument:unknown"})
        assert "".join(reports).count("is not at the Redis of 'broker_url'") == 1
        home.stop()
        there._has_missed = False
        with pytest.raises(Elsewhere):
            there.open(address)
        assert "".join(reports).count("is not at the Redis of 'broker_url'") == 1
        for wrong in ({}, {"inbox": 1}, {"inbox": "celery"}):
            with pytest.raises(ValueError, match="no address"):
                there.open(wrong)
    with pytest.raises(LookupError, match="instrument_redis_url"):
        there.open(address)
    there.stop()


def test_redis_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without a Redis there is no address.
    """
    monkeypatch.setattr(_posts, "REPLY_S", 0.2)
    streams = Streams()
    with (
        streams.by(found("redis://127.0.0.1:1/0")),
        pytest.raises(ConnectionError, match="does not answer"),
    ):
        streams.address()
    streams.stop()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork(redis_url: str) -> None:
    """
    A forked child has an inbox of its own, and leaves the parent's alone.
    """
    streams = Streams()
    streams.listen(echo)
    with streams.by(found(redis_url)):
        before = streams.address()
        line = streams.open(before)
        line.send(b"a")
        assert line.receive(WAIT_S) == b"back a"
        pid = os.fork()
        if not pid:
            status = 1
            try:
                streams.forget()
                with pytest.raises(OSError, match="parent"):
                    line.receive(1)
                line.close()
                own = streams.address()["inbox"] != before["inbox"]
                streams.stop()
                status = 0 if own else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        line.send(b"b")
        assert line.receive(WAIT_S) == b"back b"
        assert streams.address() == before
    streams.stop()


def test_a_call_comes_home(redis_url: str) -> None:
    """
    What goes on at another end of a line is heard, also in the very process.
    """
    recorder = Recorder()
    with STREAMS.by(found(redis_url)):
        with callbacks(recorder):
            sent = carrier_of(get_state(), is_kept=False, transport=STREAMS)
        with attach(sent), traced("late"):
            pass
    assert recorder.events == []
    assert relay.TRANSPORTS["celery"] is STREAMS


@pytest.mark.parametrize(
    "conf, setting, url",
    [
        ({"broker_url": "redis://:s3@h:1/2"}, "broker_url", "redis://:s3@h:1/2"),
        ({"broker_url": "amqp://h;redis://h/1"}, "broker_url", "redis://h/1"),
        (
            {"broker_url": "amqp://h", "result_backend": "redis://r/3"},
            "result_backend",
            "redis://r/3",
        ),
        (
            {"broker_url": "redis+socket:///tmp/r.sock?virtual_host=2"},
            "broker_url",
            "unix:///tmp/r.sock?db=2",
        ),
        (
            {"broker_url": "rediss://h/0?ssl_cert_reqs=CERT_NONE"},
            "broker_url",
            "rediss://h/0?ssl_cert_reqs=none",
        ),
        (
            {"broker_url": "redis://h/0?socket_timeout=5"},
            "broker_url",
            "redis://h/0?socket_timeout=5",
        ),
        (
            {"broker_url": "redis://b/0", "instrument_redis_url": "redis://own/0"},
            "instrument_redis_url",
            "redis://own/0",
        ),
        ({"broker_write_url": ["redis://w/0"]}, "broker_write_url", "redis://w/0"),
    ],
)
def test_which_redis(conf: dict[str, Any], setting: str, url: str) -> None:
    """
    It is the app's own setting, else its broker, else where its results go.
    """
    app = celery.Celery("x", set_as_current=False)
    app.conf.update(conf)

    assert redis_of(app) == Found(setting, url, {})


def test_which_redis_the_other_side_has() -> None:
    """
    The setting by which the caller found it is looked at first; TLS is as set beside it.
    """
    app = celery.Celery("x", set_as_current=False)
    assert redis_of(app) is None
    app.conf.update(broker_url="rediss://b", result_backend="redis://r/1")
    app.conf.broker_use_ssl = {"ssl_cert_reqs": "none"}

    assert redis_of(app) == Found("broker_url", "rediss://b", {"ssl_cert_reqs": "none"})
    assert redis_of(app, "result_backend") == Found("result_backend", "redis://r/1", {})


def work() -> None:
    """
    Be a task.
    """


@pytest.fixture
def sent() -> Iterator[list[Any]]:
    """
    Collect what goes along with each task that is sent.
    """
    told: list[Any] = []

    def note(headers: dict[str, Any], **_: object) -> None:
        told.append(headers.get("instrument"))

    celery.signals.before_task_publish.connect(note)
    yield told
    celery.signals.before_task_publish.disconnect(note)


def test_app_without_a_redis(sent: list[Any], reports: list[str]) -> None:
    """
    Its tasks are sent with the trace, and that nothing is heard of them is said once.
    """
    app = celery.Celery("x", broker="memory://", set_as_current=False)
    task = app.task(name="without")(work)
    recorder = Recorder()
    with callbacks(recorder), traced("request") as run:
        for _ in range(2):
            task.delay()

    assert [("traceparent" in it, "return" in it) for it in sent] == [(True, False)] * 2
    assert run.trace_hex in sent[0]["traceparent"]
    assert len(reports) == 1
    assert "no Redis in broker_url or result_backend" in reports[0]
    assert recorder.tree() == "chain request: ok"


def test_redis_of_the_app_that_sends(sent: list[Any], redis_url: str) -> None:
    """
    Of several apps it is the one that knows the task, and has a Redis.
    """
    names = ("plain", "other", "own")
    apps = [celery.Celery(name, set_as_current=False) for name in names]
    for app in apps:
        app.conf.broker_url = "memory://"
        app.task(name=app.main)(work)
        app.finalize()
    apps[1].conf.result_backend = "redis://127.0.0.1:1/0"
    apps[2].conf.instrument_redis_url = redis_url

    with callbacks(Recorder()):
        apps[2].tasks["own"].delay()

    assert [it["return"]["redis"] for it in sent] == ["instrument_redis_url"]


def test_task_that_no_app_has(sent: list[Any]) -> None:
    """
    Of a task that is sent by its name, and that none of several apps has, any Redis is
    taken; here there is none.
    """
    apps = [celery.Celery(name, set_as_current=False) for name in ("one", "two")]
    for app in apps:
        app.conf.broker_url = "memory://"
        app.finalize()

    with callbacks(Recorder()):
        apps[0].send_task("of_nobody")

    assert ["return" in it for it in sent] == [False]


def test_task_that_is_sent_without_headers() -> None:
    """
    What is sent without headers goes as it is.
    """
    with callbacks(Recorder()):
        answers = celery.signals.before_task_publish.send(sender="x", headers=None)

    assert all(answer is None for _, answer in answers)


def test_way_home_that_cannot_be_told(
    sent: list[Any], reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Where it cannot be told how events come home, a task goes with the trace alone.
    """

    def fail(*_: object, **options: object) -> None:
        raise LookupError("no way home")

    monkeypatch.setattr(
        import_module("instrument.integrations.celery"), "carrier_of", fail
    )
    app = celery.Celery("x", broker="memory://", set_as_current=False)
    task = app.task(name="without")(work)
    with callbacks(Recorder()), traced("request") as run:
        task.delay()

    assert run.trace_hex in sent[0]["traceparent"]
    assert "no way home" in reports[0]


def test_tasks_are_heard_once() -> None:
    """
    A worker that begins once more has its tasks heard by what hears them already.
    """
    hear: Any = import_module("instrument.integrations.celery")._hear_tasks
    app = celery.Celery("x", broker="memory://", set_as_current=False)
    kind = type(app.task(name="heard")(work)._get_current_object())
    calls = []

    for _ in range(2):
        hear(SimpleNamespace(app=app))
        calls.append(kind.__call__)

    assert calls[0] is calls[1]
    assert calls[0] is not celery.Task.__call__


@pytest.mark.parametrize(
    "request_, home",
    [
        ({}, None),
        ({"instrument": {"v": 1}}, None),
        ({"instrument": {"v": 1, "return": {"inbox": 1, "redis": 2}}}, None),
        ({"instrument": {"v": 1, "return": {"inbox": "i", "redis": "r"}}}, "no Redis"),
    ],
)
def test_lost_worker_of_a_task_that_nobody_hears(
    reports: list[str], request_: dict[str, Any], home: str | None
) -> None:
    """
    Nothing is told where nobody is to be told, and it hurts nobody where it cannot be.
    """
    app = celery.Celery("x", broker="memory://", set_as_current=False)
    task = app.task(name="x")(work)
    task.push_request(id="1", **request_)

    for exc in (ValueError(), celery.exceptions.WorkerLostError()):
        celery.signals.task_failure.send(sender=task, exception=exc)

    assert len(reports) == (home is not None)


def test_package_that_is_missing() -> None:
    """
    Without Celery the import says what to install.
    """
    code = "import sys; sys.modules['celery'] = None\nimport instrument.integrations.celery"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert "pip install 'celery[redis]'" in done.stderr
