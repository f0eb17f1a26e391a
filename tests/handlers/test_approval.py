"""
`approval`: a tool waits until the page has said whether it may be called.
"""

import asyncio
import json
import pickle
import threading
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from instrument import AsyncCallbackHandler, BaseCallbackHandler, callbacks, traced
from instrument.exceptions import ToolRefused
from instrument.handlers import SSEHandler, WebSocketHandler, approval
from instrument.testing import Recorder

WORDS = "Send the mail?"
KEPT = "tiger"


class Careful(AsyncCallbackHandler):
    """
    Have the page asked before a mail is sent.
    """

    raise_error = True

    def __init__(self, **options: Any) -> None:
        self.options = {"reason": WORDS, **options}

    async def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
        await approval(kwargs["run"], **self.options)


class Careless(Careful):
    """
    Ask where nothing could be stopped.
    """

    raise_error = False


sent: list[str] = []


@traced.tool
async def send_mail(text: str) -> str:
    """
    Send a mail.
    """
    sent.append(text)
    return "sent"


@traced.agent
async def answer(text: str) -> str:
    """
    Use the tool; be told when it may not be.
    """
    try:
        return await send_mail(text)
    except ToolRefused as exc:
        return f"refused: {exc.reason}"


@pytest.fixture(autouse=True)
def _no_mail() -> None:
    sent.clear()


def told(frame: bytes | str) -> dict[str, Any]:
    """
    Give the data of a frame.
    """
    text = frame if isinstance(frame, str) else frame.decode("ascii")
    data = text.strip().rpartition("data: ")[2]
    return json.loads(data) if data[0] == "{" else {"type": data}


def asked_in(frame: dict[str, Any]) -> str | None:
    """
    Give the id by which a frame of any protocol asks.
    """
    if frame.get("event") == "approval" and "approved" not in frame:
        return str(frame["approval_id"])
    if frame.get("type") == "tool-approval-request":
        return str(frame["approvalId"])
    value = frame.get("value", {})
    if frame.get("name") == "approval" and "approved" not in value:
        return str(value["id"])
    return None


async def frames_of(stream: SSEHandler, approved: Any, *given: Any) -> list[Any]:
    """
    Read a stream, and answer what it asks.
    """
    frames = []
    async for frame in stream:
        frames.append(told(frame))
        id = asked_in(frames[-1])
        if id is not None:
            assert approval.answer(id, approved, *given)
            assert not approval.answer(id, approved)
    return frames


@pytest.mark.anyio
@pytest.mark.parametrize("protocol", ["native", "ai-sdk", "ag-ui"])
@pytest.mark.parametrize("is_first", [True, False])
async def test_approved(protocol: Any, is_first: bool) -> None:
    """
    The page is asked before the tool runs, whoever hears of it first, and lets it.
    """
    stream = SSEHandler(protocol=protocol)
    handlers: list[Any] = [stream, Careful()]
    block = callbacks(*handlers[:: -1 if is_first else 1])

    task = asyncio.create_task(block(answer)(KEPT))
    frames = await frames_of(stream, True)

    assert await task == "sent"
    assert sent == [KEPT]
    text = json.dumps(frames)
    assert WORDS in text
    assert KEPT not in text
    assert '"approved": true' in text
    started = [it for it in frames if it.get("type") == "TOOL_CALL_START"]
    assert len(started) == (protocol == "ag-ui")


@pytest.mark.anyio
@pytest.mark.parametrize("protocol", ["native", "ai-sdk", "ag-ui"])
@pytest.mark.parametrize("approved", [False, None, 1, "yes"])
async def test_refused(protocol: Any, approved: Any) -> None:
    """
    What the page has not let run does not run: only a plain True lets it.
    """
    stream, recorder = SSEHandler(protocol=protocol), Recorder()

    task = asyncio.create_task(callbacks(stream, Careful(), recorder)(answer)("x"))
    frames = await frames_of(stream, approved, "not now")

    assert await task == "refused: not now"
    assert sent == []
    assert recorder.tree() == "agent answer: ok\n  tool send_mail: error ToolRefused"
    assert "not now" in json.dumps(frames)
    kinds = [it.get("type") for it in frames]
    assert kinds.count("tool-output-denied") == (protocol == "ai-sdk")
    assert "tool-output-error" not in kinds


@pytest.mark.anyio
async def test_no_answer_in_time() -> None:
    """
    A page that says nothing in time has refused.
    """
    stream = SSEHandler()

    async with callbacks(stream, Careful(timeout_s=0.02)):
        assert await answer("x") == "refused: nobody has answered in 0.02 s"

    assert sent == []
    assert approval._asked == {}


@pytest.mark.anyio
@pytest.mark.parametrize("protocol", ["openai", None])
async def test_nobody_to_ask(protocol: Any) -> None:
    """
    Where there is no page, or one that cannot be asked, the tool is refused at once.
    """
    pages = [SSEHandler(protocol=protocol)] if protocol else []

    async with callbacks(*pages, Careful()):
        assert await answer("x") == "refused: no page is there to be asked"

    assert sent == []


@pytest.mark.anyio
async def test_page_that_has_gone() -> None:
    """
    A page that has gone is not asked.
    """
    stream = SSEHandler()
    stream.close()

    async with callbacks(Careful(), stream):
        with pytest.raises(ToolRefused, match="tool 'send_mail' was refused: no page"):
            await send_mail("x")


@pytest.mark.anyio
async def test_request_is_cancelled_meanwhile() -> None:
    """
    A request that is stopped while it waits for an answer is cancelled, and forgotten.
    """
    stream = SSEHandler(protocol="native")
    task = asyncio.create_task(callbacks(stream, Careful())(answer)("x"))

    async for frame in stream:
        if asked_in(told(frame)):
            stream.stop()

    await asyncio.wait([task])
    assert task.cancelled()
    assert approval._asked == {}


@pytest.mark.anyio
async def test_any_run_may_be_asked_about() -> None:
    """
    A run of another kind is asked about too, by what is no tool's.
    """
    stream = SSEHandler()

    class Asks(Careful):
        async def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            await approval(kwargs["run"])

    @traced
    async def work() -> str:
        return "done"

    async def request() -> str:
        async with callbacks(stream, Asks()):
            return await work()

    task = asyncio.create_task(request())
    async for frame in stream:
        if told(frame)["type"] == "data-approval":
            approval.answer(told(frame)["id"], approved=True)
            kinds = told(frame)["data"]["name"]

    assert await task == "done"
    assert kinds == "work"


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_on_trio() -> None:
    """
    On trio it waits in place.
    """
    trio = pytest.importorskip("trio")
    stream = SSEHandler(protocol="native")
    results: list[str] = []

    async def request() -> None:
        async with callbacks(stream, Careful()):
            results.append(await answer("x"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(request)
        await frames_of(stream, True)

    assert results == ["sent"]


@pytest.mark.anyio
async def test_nothing_could_be_stopped(reports: list[str]) -> None:
    """
    In a handler that cannot stop anything it is said at once, and nobody is asked.
    """
    stream = SSEHandler(protocol="native")

    async with callbacks(stream, Careless()):
        assert await answer("x") == "sent"

    assert "a handler whose raise_error is True" in reports[0]
    assert b"approval" not in b"".join([frame async for frame in stream])


@traced.tool
def send_in_thread(text: str) -> str:
    """
    Send a mail, in sync code.
    """
    sent.append(text)
    return "sent"


class CarefulInThreads(BaseCallbackHandler):
    """
    Have the page asked about a sync tool.
    """

    raise_error = True

    def __init__(self, **options: Any) -> None:
        self.options = options

    def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
        approval.wait(kwargs["run"], **self.options)


@pytest.mark.anyio
@pytest.mark.parametrize("approved", [True, False])
async def test_sync_tool_in_a_thread(approved: bool) -> None:
    """
    A sync tool in a thread waits there, and runs only when the page lets it.
    """
    stream = SSEHandler(protocol="native")
    block = callbacks(stream, CarefulInThreads(reason=WORDS))

    async def request() -> str:
        async with block:
            return await asyncio.to_thread(send_in_thread, "x")

    task = asyncio.create_task(request())
    await frames_of(stream, approved)
    await asyncio.wait([task])

    assert sent == ["x"] * approved
    assert isinstance(task.exception(), ToolRefused) is not approved


@pytest.mark.anyio
async def test_sync_tool_of_a_request_that_is_stopped() -> None:
    """
    A thread that waits for an answer is let go when the request is stopped.
    """
    stream = SSEHandler(protocol="native")
    refusals: list[str] = []

    def send() -> None:
        try:
            send_in_thread("x")
        except ToolRefused as exc:
            refusals.append(exc.reason)

    async def request() -> None:
        async with callbacks(stream, CarefulInThreads()):
            await asyncio.to_thread(send)

    task = asyncio.create_task(request())
    async for frame in stream:
        if asked_in(told(frame)):
            stream.stop()
    await asyncio.wait([task])
    await asyncio.get_running_loop().shutdown_default_executor()

    assert refusals == ["the request was stopped"]
    assert sent == []


def test_sync_tool_no_answer_in_time() -> None:
    """
    In a thread too a page that says nothing has refused.
    """
    with (
        pytest.raises(ToolRefused, match=r"nobody has answered in 0\.01 s"),
        callbacks(SSEHandler(), CarefulInThreads(timeout_s=0.01)),
    ):
        send_in_thread("x")

    assert sent == []


@pytest.mark.anyio
async def test_sync_handler_on_the_loop() -> None:
    """
    On the thread of a loop a sync handler cannot wait: the tool is refused at once.
    """
    async with callbacks(SSEHandler(), CarefulInThreads()):
        with pytest.raises(ToolRefused, match="would stop the loop"):
            await send_mail("x")

    assert sent == []


@pytest.mark.anyio
async def test_async_handler_of_a_thread() -> None:
    """
    A sync tool in a thread does not wait for an async handler: it is refused at once.
    """
    async with callbacks(SSEHandler(), Careful()):
        with pytest.raises(ToolRefused, match=r"call approval\.wait\(\)"):
            await asyncio.to_thread(send_in_thread, "x")

    assert sent == []


def test_async_handler_without_a_loop() -> None:
    """
    So it is where there is no loop.
    """
    with (
        callbacks(SSEHandler(), Careful()),
        pytest.raises(ToolRefused, match=r"call approval\.wait\(\)"),
    ):
        send_in_thread("x")

    assert sent == []


@pytest.mark.anyio
async def test_sync_tool_on_the_loop(reports: list[str]) -> None:
    """
    A sync tool on the thread of a loop can be stopped by no async handler: said at once.
    """
    async with callbacks(SSEHandler(), Careful()):
        assert send_in_thread("x") == "sent"

    assert "cannot stop sync code on a loop's thread" in reports[0]


@pytest.mark.parametrize("timeout_s", [0, -1, None])
def test_wrong_timeout(timeout_s: Any) -> None:
    """
    A time in which nobody could answer is refused.
    """
    with pytest.raises((TypeError, ValueError), match="timeout_s"):
        asyncio.run(approval(SimpleNamespace(), timeout_s=timeout_s))  # type: ignore[arg-type]
    with pytest.raises((TypeError, ValueError), match="timeout_s"):
        approval.wait(SimpleNamespace(), timeout_s=timeout_s)  # type: ignore[arg-type]


@pytest.mark.anyio
async def test_answers_of_the_ai_sdk() -> None:
    """
    Answers are found in the messages that a page of the AI SDK sends.
    """
    stream = SSEHandler()
    task = asyncio.create_task(callbacks(stream, Careful())(answer)("x"))
    counts = []

    async for frame in stream:
        id = asked_in(told(frame))
        if id is not None:
            said = {"id": id, "approved": True}
            part = {"type": "dynamic-tool", "state": "approval-responded"}
            counts += [
                approval.answers_in(messages)
                for messages in (
                    None,
                    [None, {"parts": None}, {"parts": ["text", {"approval": said}]}],
                    [{"parts": [part, {**part, "approval": {"id": 1}}]}],
                    [
                        {
                            "parts": [
                                {**part, "approval": said},
                                {**part, "approval": said},
                            ]
                        }
                    ],
                )
            ]

    assert counts == [0, 0, 0, 1]
    assert await task == "sent"


@pytest.mark.anyio
@pytest.mark.parametrize("protocol", ["native", "ai-sdk"])
async def test_over_a_socket(protocol: Any) -> None:
    """
    A page behind a WebSocket is asked in a frame, and what it sends is heard.
    """
    handler: WebSocketHandler

    async def send(text: str) -> None:
        id = asked_in(told(text))
        if id is not None:
            said = {"approval_id": id, "approved": True, "reason": "go"}
            assert handler.heard(json.dumps(said).encode())
            assert not handler.heard(json.dumps(said))

    handler = WebSocketHandler(SimpleNamespace(send=send), protocol=protocol)

    async with callbacks(handler, Careful()):
        assert await answer("x") == "sent"


@pytest.mark.anyio
async def test_stop_over_a_socket() -> None:
    """
    A page that sends a stop has the request cancelled; the next one is another.
    """
    frames: list[str] = []

    async def send(text: str) -> None:
        frames.append(text)
        if "word" in text:
            assert handler.heard('{"stop": true}')

    handler = WebSocketHandler(SimpleNamespace(send=send), protocol="ai-sdk")

    @traced.chat_model
    async def model() -> AsyncIterator[str]:
        yield "word"
        await asyncio.Event().wait()

    async def request() -> None:
        async with callbacks(handler):
            async for _ in model():
                pass

    assert not handler.heard('{"stop": true}')
    task = asyncio.create_task(request())
    await asyncio.wait([task])

    assert task.cancelled()
    assert told(frames[-1]) == {"type": "abort", "reason": "cancelled"}
    assert not handler.heard('{"stop": true}')


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "[]",
        "null",
        '{"stop": 1}',
        '{"approval_id": {}}',
        "[" * 100_000,
        b"\xff",
    ],
)
def test_what_no_page_sends(text: Any) -> None:
    """
    What is neither a stop nor an answer is none.
    """
    handler = WebSocketHandler(SimpleNamespace(send=print))

    assert handler.heard(text) is False
    assert handler.heard(None) is False  # type: ignore[arg-type]


def test_shown_by_its_name() -> None:
    """
    It is called what it is imported as.
    """
    assert repr(approval) == "<approval>"


def test_refusal_survives_pickling() -> None:
    """
    A refusal can be sent to another process, without its run.
    """
    error = pickle.loads(pickle.dumps(ToolRefused("refused", "why")))

    assert (str(error), error.reason, error.run) == ("refused", "why", None)


class Answers:
    """
    A page behind a socket whose `send` is a plain function, which answers from elsewhere.
    """

    handler: WebSocketHandler

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []

    def send(self, text: str) -> None:
        """
        Take a frame.
        """
        self.frames.append(told(text))
        id = asked_in(self.frames[-1])
        if id is not None:
            said = json.dumps({"approval_id": id, "approved": True})
            threading.Thread(target=self.handler.heard, args=(said,)).start()


@pytest.mark.parametrize("protocol", ["native", "ai-sdk", "ag-ui"])
def test_over_a_sync_socket(protocol: Any) -> None:
    """
    A page is asked at once also where its socket is served by no loop.
    """
    page = Answers()
    page.handler = WebSocketHandler(page, protocol=protocol)

    with callbacks(page.handler, CarefulInThreads(timeout_s=20)):
        assert send_in_thread("x") == "sent"

    assert any(map(asked_in, page.frames))


@pytest.mark.parametrize("protocol", ["native", "ai-sdk", "ag-ui"])
def test_over_a_socket_on_trio(protocol: Any) -> None:
    """
    So it is on trio.
    """
    trio = pytest.importorskip("trio")
    page = Answers()

    async def send(text: str) -> None:
        page.send(text)

    async def request() -> None:
        socket = SimpleNamespace(send=send)
        page.handler = WebSocketHandler(socket, protocol=protocol)
        async with callbacks(page.handler, Careful(timeout_s=20)):
            assert await answer("x") == "sent"

    trio.run(request)
    assert any(map(asked_in, page.frames))


@pytest.mark.anyio
async def test_refusal_is_not_reported(reports: list[str]) -> None:
    """
    What stops a call is raised, and so told: no report says that the call goes on.
    """
    async with callbacks(Careful()):
        assert (await answer("x")).startswith("refused")

    assert reports == []
