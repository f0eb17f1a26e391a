"""
`RequestLogger`: a log record at the start and the end of each run.
"""

import asyncio
import contextlib
import functools
import json
import logging
import re
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from loguru import logger

from instrument import Handler, bind, callbacks, current_run, traced
from instrument.handlers import RequestLogger, background
from instrument.testing import Recorder

HIDDEN = "hunter2"
EVIL = [
    "\x1b[2J",
    "{} {0} {x.y} %s %(a)s",
    "<red>x</red> <x>",
    "a\r\nFAKE",
    "\ud800\u202e",
]
plain = logging.getLogger("tests.requests")
plain.setLevel(1)

FIELDS = {
    "run_id",
    "parent_run_id",
    "trace_hex",
    "trace_id",
    "run_name",
    "kind",
    "status",
    "duration_s",
    "tags",
    "metadata",
    "model",
    "provider",
    "usage",
}


def fail() -> None:
    """
    Fail.
    """
    raise ValueError("no")


@pytest.fixture
def records() -> Iterator[list[dict[str, Any]]]:
    """
    Collect loguru's records.
    """
    kept: list[dict[str, Any]] = []
    number = logger.add(
        lambda message: kept.append(message.record),  # type: ignore[arg-type]
        level=0,
        format="{message}",
    )
    yield kept
    logger.remove(number)


@pytest.fixture
def text() -> Iterator[list[str]]:
    """
    Collect what a sink of loguru writes with everything on that it can show.
    """
    kept: list[str] = []
    form = "{level} | {message} | {extra}"
    number = logger.add(
        kept.append, level=0, format=form, colorize=True, backtrace=True, diagnose=True
    )
    yield kept
    logger.remove(number)


@traced.chat_model("vet", model="vet-1", provider="nobody", tags=["v2"])
def model(prompt: str, password: str = HIDDEN) -> str:
    """
    Be a model that fails when asked to.
    """
    current_run().record_usage(input_tokens=4, output_tokens=2)
    if prompt == "fail":
        raise ValueError(f"no {password}")
    return "woof"


@traced("answer")
def answer(prompt: str) -> str:
    """
    Call it.
    """
    return model(prompt)


def failed(handler: Handler, **options: Any) -> None:
    """
    Have the model fail below a block with *handler*.
    """
    with callbacks(handler, **options), pytest.raises(ValueError, match=HIDDEN):
        answer("fail")


def in_ms(messages: list[str]) -> list[str]:
    """
    Make durations and ids equal.
    """
    equal = [re.sub(r"[\d.]+ (us|ms|s)\b", "1 ms", message) for message in messages]
    return [re.sub(r"^[0-9a-f]{6} ", "3fa9c1 ", message) for message in equal]


def extras_of(record: logging.LogRecord) -> dict[str, Any]:
    """
    Give the attributes of a standard record that are ours.
    """
    return {name: value for name, value in vars(record).items() if name in FIELDS}


@pytest.mark.parametrize("given", [None, plain], ids=["loguru", "logging"])
def test_messages(
    given: object, records: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    """
    A start and an end are a record each, which says for a person what happened.
    """
    with caplog.at_level(1), callbacks(RequestLogger(given)):
        answer("hello")

    told = caplog.messages if given else [it["message"] for it in records]
    assert in_ms(told) == [
        "3fa9c1 chain answer started",
        "3fa9c1   chat_model vet started",
        "3fa9c1   chat_model vet ok in 1 ms, vet-1, 4 in, 2 out",
        "3fa9c1 chain answer ok in 1 ms, 1 model call, 4 in, 2 out",
    ]


@pytest.mark.parametrize("given", [None, plain], ids=["loguru", "logging"])
def test_fields(
    given: object, records: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    """
    A record carries the facts of its run, as values of JSON.
    """
    recorder = Recorder()

    with (
        caplog.at_level(1),
        callbacks(
            recorder, RequestLogger(given), tags=["web"], metadata={"user": "ada"}
        ),
    ):
        answer("hello")

    if given:
        _, start, end, _ = map(extras_of, caplog.records)
    else:
        _, start, end, _ = (record["extra"] for record in records)
    outer, run = recorder.runs
    assert start == {
        "run_id": str(run.id),
        "parent_run_id": str(outer.id),
        "trace_id": str(outer.id),
        "trace_hex": outer.trace_hex,
        "run_name": "vet",
        "kind": "chat_model",
        "status": "running",
        "duration_s": None,
        "tags": ["web", "v2"],
        "metadata": {"user": "ada"},
        "model": "vet-1",
        "provider": "nobody",
        "usage": {},
    }
    assert end == {
        **start,
        "status": "ok",
        "duration_s": run.duration_s,
        "usage": {"input_tokens": 4, "output_tokens": 2},
    }


@pytest.mark.parametrize("given", [None, plain], ids=["loguru", "logging"])
def test_error_is_logged_once(
    given: object, records: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    """
    An error is logged where it was raised, at ERROR with its traceback; a run that it
    passes through ends at the level of every end.
    """
    with caplog.at_level(1):
        failed(RequestLogger(given, level="DEBUG"))

    if given:
        levels = [record.levelname for record in caplog.records]
        raised: list[Any] = [record.exc_info for record in caplog.records]
        told = caplog.messages
    else:
        levels = [record["level"].name for record in records]
        raised = [record["exception"] for record in records]
        told = [record["message"] for record in records]
    assert levels == ["DEBUG", "DEBUG", "ERROR", "DEBUG"]
    assert in_ms(told)[2:] == [
        "3fa9c1   chat_model vet failed in 1 ms, vet-1, 4 in, 2 out: ValueError: no hunter2",
        "3fa9c1 chain answer failed in 1 ms, 1 model call, 4 in, 2 out: ValueError from chat_model vet",
    ]
    assert [it is None for it in raised] == [True, True, False, True]
    assert raised[2][0] is ValueError
    assert str(raised[2][1]) == "no hunter2"
    if not given:
        assert [it["extra"]["status"] for it in records[2:]] == ["error", "error"]


def test_error_without_a_message(records: list[dict[str, Any]]) -> None:
    """
    Of an error without a message the type is told.
    """

    @traced("fails")
    def fails() -> None:
        raise KeyError

    with callbacks(RequestLogger()), pytest.raises(KeyError):
        fails()

    assert in_ms([records[-1]["message"]]) == [
        "3fa9c1 chain fails failed in 1 ms: KeyError"
    ]


@pytest.mark.anyio
async def test_cancelled_and_abandoned(records: list[dict[str, Any]]) -> None:
    """
    A run that is cancelled or left early ends at the level of every end.
    """

    @traced("waits")
    async def waits() -> None:
        await asyncio.Event().wait()

    @traced("stream")
    def stream() -> Iterator[int]:
        yield 1

    async with callbacks(RequestLogger()):
        task = asyncio.ensure_future(waits())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        left = stream()
        next(left)
        left.close()  # type: ignore[attr-defined]

    ends = in_ms([records[1]["message"], records[3]["message"]])
    assert ends == [
        "3fa9c1 chain waits cancelled in 1 ms",
        "3fa9c1 chain stream abandoned in 1 ms",
    ]
    assert {record["level"].name for record in records} == {"INFO"}
    assert {bool(record["exception"]) for record in records} == {False}


@pytest.mark.parametrize("level, number", [("TRACE", 5), (15, 15), (0, 0)])
def test_level(level: "str | int", number: int, records: list[dict[str, Any]]) -> None:
    """
    The level of starts and ends is a name that the logger knows, or a number.
    """
    with callbacks(RequestLogger(level=level)):
        model("hello")

    assert [record["level"].no for record in records] == [number, number]


def test_bound_logger(records: list[dict[str, Any]]) -> None:
    """
    What a loguru logger is bound to, and its patches, are there too.
    """
    bound = logger.bind(app="web").patch(lambda record: record["extra"].update(x=1))

    with callbacks(RequestLogger(bound)):
        model("hello")

    assert records[0]["extra"]["app"] == "web"
    assert records[0]["extra"]["x"] == 1
    assert set(records[0]["extra"]) == {*FIELDS, "app", "x"}


def test_in_background(records: list[dict[str, Any]]) -> None:
    """
    In background too a start says that the run is running, though it has ended by then.
    """
    may_go_on = threading.Event()

    class Waiting(RequestLogger):
        def run_started(self, run: Any) -> None:
            assert may_go_on.wait(20)
            super().run_started(run)

    with callbacks(background(Waiting())):
        model("hello")
        may_go_on.set()

    told = [(it["extra"]["status"], it["extra"]["duration_s"]) for it in records]
    assert told[0] == ("running", None)
    assert told[1][0] == "ok"


def test_where_records_come_from(
    records: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    """
    A record comes from the function that was decorated, or the nearest one above.
    """

    class Called:
        """
        A decorated object.
        """

        @traced
        @classmethod
        def method(cls) -> None:
            with traced("block"):
                traced.tool(len)([1])

        def __call__(self) -> None: ...

        def plain(self) -> None: ...

    @traced
    @functools.wraps(fail)
    def wrapped() -> None: ...

    several: list[Any] = [
        wrapped,
        Called.method,
        traced("p")(functools.partial(fail)),
        traced("c")(Called()),
        traced("m")(Called().plain),
    ]
    with caplog.at_level(1), callbacks(RequestLogger(), RequestLogger(plain)):
        for function in several:
            with contextlib.suppress(ValueError):
                function()
        with traced("alone", kind="tool"):
            pass

    names = ["fail", "method", "method", "method", "fail", "__call__", "plain", "tool"]
    starts = [it for it in records if it["extra"]["status"] == "running"]
    assert [it["function"] for it in starts] == names
    assert {it["name"] for it in starts[:-1]} == {__name__}
    assert {it["file"].path for it in starts[:-1]} == {__file__}
    line = fail.__code__.co_firstlineno
    assert (starts[0]["line"], starts[0]["module"]) == (line, "test_request_logger")
    assert (starts[-1]["name"], starts[-1]["line"]) == ("instrument", 0)
    theirs = [it for it in caplog.records if vars(it)["status"] == "running"]
    assert [it.funcName for it in theirs] == names
    assert [it.lineno for it in theirs] == [it["line"] for it in starts]
    assert theirs[0].pathname == __file__


def test_payloads_are_not_logged(
    records: list[dict[str, Any]], text: list[str]
) -> None:
    """
    Without ``payload`` neither inputs nor outputs are logged.
    """
    with callbacks(RequestLogger()):
        traced.tool("t")(lambda **kwargs: HIDDEN)(key=HIDDEN)

    assert all(set(record["extra"]) == FIELDS for record in records)
    assert HIDDEN not in "".join(text)


@pytest.mark.parametrize("payload, kept", [(True, 1_000), (10, 10)])
def test_payloads(payload: Any, kept: int, records: list[dict[str, Any]]) -> None:
    """
    With ``payload`` inputs and outputs are logged as text, and what is cut is counted.
    """

    @traced.tool
    def search(query: str, top: int) -> str:
        return "x" * 5_000

    with callbacks(RequestLogger(payload=payload)):
        search("cats", 3)
    start, end = (record["extra"] for record in records)

    assert start["inputs"] == '{"query": "cats", "top": 3}'[:kept] + (
        "" if kept > 30 else "… [17 more characters]"
    )
    assert end["outputs"] == "x" * kept + f"… [{5_000 - kept} more characters]"
    assert "outputs" not in start
    assert "inputs" not in end


def test_messages_with_payloads(records: list[dict[str, Any]]) -> None:
    """
    With ``payload`` a message says what went in and came out, short; the rest of a text
    is counted, and what is usually secret masked, there and in the fields.
    """

    @traced.tool
    def look_up(city: str, api_key: str) -> str:
        return "x" * 30

    with callbacks(RequestLogger(payload=20), metadata={"password": HIDDEN}):
        look_up("Rome", HIDDEN)

    start, end = in_ms([it["message"] for it in records])
    assert start == "3fa9c1 tool look_up started: city='Rome', api_key=[redacted]"
    assert end == f"3fa9c1 tool look_up ok in 1 ms: '{'x' * 20}…' + 10 characters"
    assert HIDDEN not in str([it["extra"] for it in records])


class Client:
    """
    An object that says what it was made with.
    """

    def __repr__(self) -> str:
        return f"Client(api_key={HIDDEN!r}, city='Rome')"


@pytest.mark.parametrize("redact", [None, ["city"], ["api_key"]])
def test_what_objects_say(records: list[dict[str, Any]], redact: Any) -> None:
    """
    What usually is secret is masked in what objects say of themselves, in the message and
    in the fields; what stands beside it is told.
    """

    @traced.tool
    def look_up(client: Client) -> list[Client]:
        return [client, Client()]

    with callbacks(RequestLogger(payload=True), redact=redact):
        look_up(Client())

    told = str([(it["message"], it["extra"]) for it in records])
    assert HIDDEN not in told
    assert ("Rome" in told) == (redact != ["city"])


@pytest.mark.parametrize("redact", [None, ["pin"]])
def test_error_that_a_provider_tells(
    records: list[dict[str, Any]], redact: Any
) -> None:
    """
    What a provider answers in place of an answer is masked in the fields as the message
    of an error.
    """
    message = f"bad api_key={HIDDEN}, pin={HIDDEN if redact else 1}"

    with callbacks(RequestLogger(payload=True), redact=redact):
        traced.llm(lambda _: {"error": {"code": "refused", "message": message}})(
            "hello"
        )

    outputs = records[-1]["extra"]["outputs"]
    assert "bad api_key=[redacted], pin=" in outputs
    assert HIDDEN not in outputs


def test_branches_and_tokens(records: list[dict[str, Any]]) -> None:
    """
    Runs that are open at once have numbers, a request that was stopped says after how
    many tokens.
    """

    @traced.llm("write")
    def write() -> Iterator[str]:
        yield "a"
        yield "b"

    @traced("request")
    def request() -> Iterator[str]:
        stream = write()
        yield next(stream)
        with traced.tool("beside"), traced("inner"):
            yield next(stream)

    with callbacks(RequestLogger()):
        stream = request()
        for _ in range(2):
            next(stream)
        stream.close()  # type: ignore[attr-defined]

    told = in_ms([it["message"] for it in records])
    assert told[2:4] == [
        "3fa9c1   tool beside #2 started",
        "3fa9c1     chain inner in beside #2 started",
    ]
    assert "3fa9c1 chain request abandoned in 1 ms after 2 tokens" in told
    assert any("llm write #1 abandoned in 1 ms after 2 tokens" in it for it in told)


def test_payloads_in_the_end(records: list[dict[str, Any]]) -> None:
    """
    A payload of True, and of 0, is taken as one expects; a run without outputs has None.
    """

    @traced("none")
    def none() -> None: ...

    with callbacks(RequestLogger(payload=True), RequestLogger(payload=0)):
        none()

    assert [record["extra"].get("outputs", 0) for record in records[2:]] == [None, 0]


def test_redacted(text: list[str], records: list[dict[str, Any]]) -> None:
    """
    What a redactor hides is in no record: not in the message, the exception, its notes
    or causes, the payloads, the metadata, nor in a traceback's local values.
    """

    def hide(value: object, path: object) -> object:
        return value.replace(HIDDEN, "***") if isinstance(value, str) else value

    @traced("login")
    def login(password: str) -> None:
        try:
            raise KeyError(password)
        except KeyError as exc:
            outer = RuntimeError(f"bad {password}")
            outer.add_note(f"tried {password}")
            raise outer from exc

    handler = RequestLogger(payload=True)
    with (
        callbacks(handler, redact=hide, metadata={"key": HIDDEN}),
        pytest.raises(RuntimeError),
    ):
        login(HIDDEN)

    assert records[-1]["message"].endswith("RuntimeError: bad ***")
    assert "tried ***" in text[-1]
    assert "KeyError" in text[-1]
    assert "in login" in re.sub(r"\x1b\[\d+m", "", text[-1])
    assert HIDDEN not in "".join(text)


def test_redactor_of_any_type(records: list[dict[str, Any]]) -> None:
    """
    A redactor may put anything in the place of a message; none stands for nothing.
    """
    failed(RequestLogger(), redact=lambda value, path: 7)
    failed(RequestLogger(), capture=False)

    assert in_ms([records[2]["message"], records[6]["message"]]) == [
        "3fa9c1   chat_model vet failed in 1 ms, vet-1, 4 in, 2 out: ValueError: 7",
        "3fa9c1   chat_model vet failed in 1 ms, vet-1, 4 in, 2 out: ValueError",
    ]


def test_no_local_values_by_logging(caplog: pytest.LogCaptureFixture) -> None:
    """
    A record of the standard library holds a traceback whose frames hold nothing.
    """
    failed(RequestLogger(plain), redact=lambda value, path: "***")

    (record,) = [it for it in caplog.records if it.exc_info]
    assert record.exc_info is not None
    traceback = record.exc_info[2]
    while traceback is not None:
        assert traceback.tb_frame.f_locals == {}
        traceback = traceback.tb_next
    assert "in model" in caplog.text
    assert HIDDEN not in caplog.text.replace("HIDDEN", "")


@pytest.mark.parametrize(
    "evil", EVIL, ids=["escape", "braces", "markup", "lines", "unicode"]
)
@pytest.mark.parametrize("colours", [True, False])
def test_hostile_text(evil: str, colours: bool, text: list[str]) -> None:
    """
    No text can break a record, fake one or drive a terminal, also through a logger that
    takes markup.
    """

    @traced(f"n{evil}", kind=f"k{evil}", tags=[evil])
    def fails(value: str) -> None:
        current_run().model = evil
        exc = ValueError(evil)
        exc.add_note(evil)
        raise exc

    given = logger.opt(colors=True) if colours else logger
    handler = RequestLogger(given, payload=True)
    with (
        callbacks(handler, metadata={evil: [evil, {"x": evil}]}),
        pytest.raises(ValueError),
    ):
        fails(evil)

    shown = [re.sub(r"\x1b\[\d+m", "", record) for record in text]
    assert len(shown) == 2
    assert all(len(re.findall(r" \| [0-9a-f]{6} k", record)) == 1 for record in shown)
    assert "".join(shown).replace("\n", "").replace("…", "").isprintable()
    assert not [it for it in "".join(shown).splitlines() if it.startswith("FAKE")]
    if evil.isprintable():
        assert evil in shown[0]


class Angry:
    """
    Has no repr.
    """

    def __repr__(self) -> str:
        raise ValueError


@pytest.mark.parametrize("given", [None, plain], ids=["loguru", "logging"])
def test_hostile_values(
    given: object, records: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    """
    Values that are huge, cyclic or have no text make a record of a bounded size.
    """
    cyclic: dict[str, Any] = {}
    cyclic["self"] = cyclic
    huge = "\x1b" * 10_000_000

    @traced(huge, metadata={"a": Angry(), "c": cyclic, huge: huge, "l": [1] * 10**6})
    def fails(*args: object) -> None:
        raise ValueError(huge)

    with callbacks(RequestLogger(given, payload=True)), pytest.raises(ValueError):
        fails(Angry(), cyclic, huge)

    if given:
        start, end = caplog.records
        extras, told = vars(start), end.getMessage()
    else:
        extras, told = records[0]["extra"], records[1]["message"]
    assert extras["metadata"]["a"] == "<unreadable Angry>"
    assert len(json.dumps(extras["metadata"])) < 50_000
    assert extras["usage"] == {}
    assert len(extras["inputs"]) < 5_000
    assert len(told) < 5_000
    assert told.endswith("… + 9,999,000 characters")


def test_other_sinks(tmp_path: Any) -> None:
    """
    Records may be serialised, and sent through a queue of loguru's.
    """
    path = tmp_path / "log.jsonl"
    number = logger.add(path, serialize=True, enqueue=True, diagnose=True)
    failed(RequestLogger(), redact=lambda value, path: "***")
    logger.remove(number)

    lines = [json.loads(line)["record"] for line in path.read_text().splitlines()]
    assert [line["extra"]["status"] for line in lines] == [
        "running",
        "running",
        "error",
        "error",
    ]
    assert lines[2]["exception"]["type"] == "ValueError"
    assert HIDDEN not in path.read_text().replace("HIDDEN", "")


def test_stream_collected_while_writing(records: list[dict[str, Any]]) -> None:
    """
    A stream that is collected while a sink writes is logged too, after that.
    """
    held: list[Any] = []
    number = logger.add(lambda message: held.clear())

    @traced("stream")
    def stream() -> Iterator[int]:
        yield 1

    with callbacks(RequestLogger()):
        held.append(stream())
        traced("step")(lambda: next(held[0]))
        next(held[0])
        held.append(stream())
        next(held[-1])
    logger.remove(number)

    assert Counter(it["message"][7:].partition(" in ")[0] for it in records) == {
        "chain stream started": 2,
        "chain stream abandoned": 2,
    }


@pytest.mark.anyio
@pytest.mark.parametrize("given", [None, plain], ids=["loguru", "logging"])
async def test_many_at_once(given: object) -> None:
    """
    Three thousand runs on 20 threads and 100 tasks: each is logged once and whole.
    """
    messages: list[str] = []

    def hear(message: str) -> None:
        messages.append(message.partition(" in ")[0])

    number = logger.add(hear, format="{message}")
    handler = logging.Handler()
    handler.emit = lambda record: hear(record.getMessage())  # type: ignore[method-assign]
    plain.addHandler(handler)

    @traced("step")
    def step() -> None: ...

    def in_thread() -> None:
        for _ in range(100):
            step()

    async def in_task() -> None:
        for _ in range(10):
            step()
            await asyncio.sleep(0)

    async with callbacks(RequestLogger(given)):
        threads = [threading.Thread(target=bind(in_thread)) for _ in range(20)]
        for thread in threads:
            thread.start()
        await asyncio.gather(*(in_task() for _ in range(100)))
        for thread in threads:
            thread.join()
    plain.removeHandler(handler)
    logger.remove(number)

    counts = Counter(message.strip()[7:] for message in messages)
    assert counts == {"chain step started": 3_000, "chain step ok": 3_000}
