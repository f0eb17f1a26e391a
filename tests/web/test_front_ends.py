"""
The real clients of front ends read a real server of ours: slow, as npm installs them.

Node and npm are taken where they are; `FRONT_ENDS` in the environment names a folder that
has the packages already.
"""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from instrument import AsyncCallbackHandler, callbacks, current_run, emit, traced
from instrument.exceptions import ToolRefused
from instrument.handlers import SSEHandler, approval

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent / "front_ends"
AI = ("ai 6", "ai 7", "useChat")
KEPT = "tiger"

every_client = pytest.mark.parametrize("client", [*AI, "ag-ui", "openai"])
every_asking_client = pytest.mark.parametrize("client", [*AI, "ag-ui"])


@traced.chat_model(model="fake-1")
async def say(text: str, thought: str = "") -> AsyncIterator[str]:
    """
    Stream words.
    """
    if thought:
        current_run().token(thought, channel="reasoning")
    for word in text.split(" "):
        await asyncio.sleep(0.01)
        yield f"{word} "
    current_run().record_usage(input_tokens=10, output_tokens=2)


async def drain(stream: AsyncIterator[str]) -> str:
    """
    Give the whole of a stream.
    """
    return "".join([piece async for piece in stream])


@traced.tool
async def weather(city: str) -> str:
    """
    Be a tool of an agent below.
    """
    return KEPT


@traced.tool
async def broken(argument: str) -> None:
    """
    Fail.
    """
    message = "no such thing"
    raise ValueError(message)


@traced.tool
async def send_mail(text: str) -> str:
    """
    Be asked about.
    """
    return KEPT


@traced.agent
async def deep(question: str) -> str:
    """
    Be the third agent down.
    """
    return await drain(say("deepest words"))


@traced.tool
async def ask_deep(question: str) -> str:
    """
    Hand over to another agent.
    """
    return await deep(question)


@traced.agent
async def helper(question: str) -> str:
    """
    Call two tools at once, and think.
    """
    await asyncio.gather(weather(question), ask_deep(question))
    return await drain(say("helper says", "hm"))


@traced.tool
async def delegate(question: str) -> str:
    """
    Hand over to an agent.
    """
    return await helper(question)


@traced.agent
async def answer(question: str, how: str) -> str:
    """
    Do all that a front end can show.
    """
    await asyncio.gather(drain(say("one two three")), drain(say("four five six")))
    if how == "cancel":
        await asyncio.Event().wait()
    await delegate(question)
    try:
        await broken(question)
    except ValueError:
        emit("progress", {"done": 3})
    if how in ("approve", "refuse"):
        try:
            await send_mail(question)
        except ToolRefused:
            emit("refused", {})
    if how == "fail":
        message = "it failed"
        raise RuntimeError(message)
    return await drain(say("the end"))


class Careful(AsyncCallbackHandler):
    """
    Have the page asked before a mail is sent.
    """

    raise_error = True

    async def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
        if kwargs["run"].name == "send_mail":
            await approval(kwargs["run"], timeout_s=20)


class Server:
    """
    An application that answers in each protocol, and how its requests have ended.
    """

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[Any]] = []
        self.url = ""

    def app(self) -> Any:
        """
        Give the application.
        """
        from starlette.applications import Starlette
        from starlette.responses import Response, StreamingResponse
        from starlette.routing import Route

        async def ask(request: Any) -> Any:
            stream = SSEHandler(
                protocol=request.path_params["protocol"],
                asked=await request.json(),
                heartbeat_s=0.005,
            )
            block = callbacks(stream, Careful())
            made = block(answer)(KEPT, request.path_params["how"])
            self.tasks.append(task := asyncio.create_task(made))
            task.add_done_callback(lambda it: it.cancelled() or it.exception())
            return StreamingResponse(stream, headers=stream.headers)

        async def take(request: Any) -> Any:
            said = await request.json()
            approval.answer(said["approval_id"], said["approved"])
            return Response(status_code=204)

        ways = "/{protocol}/{how}", "/{protocol}/{how}/chat/completions"
        routes = [Route(way, ask, methods=["POST"]) for way in ways]
        return Starlette(routes=[Route("/answer", take, methods=["POST"]), *routes])


@pytest.fixture
def server(asgi: Callable[[Any], str]) -> Server:
    """
    Serve it.
    """
    pytest.importorskip("starlette")
    made = Server()
    made.url = asgi(made.app())
    return made


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    Give a folder in which the clients are installed.
    """
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node and npm are not here: the clients of front ends cannot run")
    folder = tmp_path_factory.mktemp("front_ends")
    for name in ("package.json", "client.mjs"):
        shutil.copy(HERE / name, folder)
    if "FRONT_ENDS" in os.environ:
        (folder / "node_modules").symlink_to(os.environ["FRONT_ENDS"])
    else:
        install = ["npm", "install", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(install, cwd=folder, check=True, timeout=300)
    return folder


@pytest.fixture
def read(packages: Path, server: Server) -> Callable[[str, str], dict[str, Any]]:
    """
    Have a client read a request, and give what it has understood.
    """

    def reading(client: str, how: str) -> dict[str, Any]:
        command = ["node", "client.mjs", client, server.url, how]
        done = subprocess.run(
            command,
            cwd=packages,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert KEPT not in done.stdout
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    return reading


Read = Callable[[str, str], dict[str, Any]]


@pytest.mark.timeout(400)
@every_client
def test_to_its_end(read: Read, client: str) -> None:
    """
    Nested agents, two models at once, tools of which one fails: all of it is understood.
    """
    got = read(client, "ok")

    assert got["error"] is None
    texts = [text.strip() for text in got["texts"]]
    if client == "openai":
        assert sorted(texts[0].split()) == sorted(
            ["one", "two", "three", "four", "five", "six", "the", "end"]
        )
        assert got["usage"]["completion_tokens"] > 0
        assert got["reason"] == "stop"
        assert got["model"] == "m"
        return
    assert texts == [
        "one two three",
        "four five six",
        "deepest words",
        "helper says",
        "the end",
    ]
    assert got["nested"]
    assert got["custom"] == {"done": 3}
    failed = {"ag-ui": "error"}.get(client, "output-error")
    passed = {"ag-ui": "result"}.get(client, "output-available")
    assert got["tools"] == {
        "delegate": passed,
        "weather": passed,
        "ask_deep": passed,
        "broken": failed,
    }


@pytest.mark.timeout(400)
def test_tree(read: Read) -> None:
    """
    AG-UI's client is told which agent is below which, and by which tool.
    """
    got = read("ag-ui", "ok")

    assert got["depths"] == [["helper", 1, "delegate"], ["deep", 2, "ask_deep"]]
    assert got["outcome"] == "success"
    assert got["ids"] == ["thread", "run"]
    assert got["usage"][0]["outputTokens"] > 0


@pytest.mark.timeout(400)
@every_client
def test_error(read: Read, client: str) -> None:
    """
    The error of a request is an error in the client.
    """
    assert "it failed" in read(client, "fail")["error"]


@pytest.mark.timeout(400)
@every_client
def test_client_cancels(read: Read, server: Server, client: str) -> None:
    """
    A client that cancels has its request cancelled.
    """
    read(client, "cancel")

    done = asyncio.run(_done(server.tasks[0]))
    assert done
    assert server.tasks[0].cancelled()


async def _done(task: "asyncio.Task[Any]") -> bool:
    for _ in range(500):
        if task.done():
            return True
        await asyncio.sleep(0.01)
    return False


@pytest.mark.timeout(400)
@every_asking_client
@pytest.mark.parametrize("how", ["approve", "refuse"])
def test_approval(read: Read, client: str, how: str) -> None:
    """
    A tool waits until the page has said whether it may be called.
    """
    got = read(client, how)

    assert got["error"] is None
    assert got["texts"][-1].strip() == "the end"
    states = {"approve": "output-available", "refuse": "output-denied"}
    if client == "ag-ui":
        states = {"approve": "result", "refuse": "error"}
    assert got["tools"]["send_mail"] == states[how]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("how", ["ok", "fail", "cancel"])
def test_openai_for_python(server: Server, how: str) -> None:
    """
    OpenAI's client for Python reads a chain as a completion.
    """
    openai: Any = pytest.importorskip("openai")
    client = openai.OpenAI(
        api_key="x", base_url=f"{server.url}/openai/{how}", max_retries=0
    )
    text, error = "", ""
    usage: Any = None

    with client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "hi"}], stream=True
    ) as stream:
        try:
            for chunk in stream:
                usage = chunk.usage or usage
                text += chunk.choices[0].delta.content or "" if chunk.choices else ""
                if how == "cancel" and text:
                    break
        except openai.APIError as exc:
            error = str(exc)
    client.close()

    if how == "cancel":
        assert asyncio.run(_done(server.tasks[0]))
        assert server.tasks[0].cancelled()
    elif how == "fail":
        assert "it failed" in error
    else:
        assert text.endswith("the end ")
        assert usage.completion_tokens > 0
