"""
A question, the answer streaming in, and beside it what the request does, live.

``python examples/web/chat/app.py`` serves it on loopback; it needs Starlette and uvicorn,
and no network: the model is the demo's. The page survives a reload and a dropped
connection, can stop the request, and is asked before a tool runs.
"""

import asyncio
import sys
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from instrument import BaseCallbackHandler, callbacks
from instrument._demo import pipeline
from instrument.handlers import SSEHandler, approval

HERE = Path(__file__).parent
KEPT_S = 60.0

streams: dict[str, SSEHandler] = {}
tasks: set[asyncio.Task[Any]] = set()


class Careful(BaseCallbackHandler):
    """
    Have the page asked before a model is trained: in the thread where the tool runs.
    """

    raise_error = True

    def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
        if kwargs["run"].name == "train":
            approval.wait(kwargs["run"], reason="Train a small model for this answer?")


def begin(stream: SSEHandler, question: str, *handlers: Any) -> None:
    """
    Answer the question beside the response, in a task and a thread of their own.
    """

    async def request() -> None:
        async with callbacks(stream, *handlers):
            await asyncio.to_thread(pipeline.answer, question, pause_s=0.02)

    task = asyncio.create_task(request())
    tasks.add(task)
    task.add_done_callback(ended)


def ended(task: asyncio.Task[Any]) -> None:
    """
    Let go of a request; the page has been told how it ended.
    """
    tasks.discard(task)
    if not task.cancelled():
        task.exception()


async def ask(request: Request) -> Response:
    """
    Begin to answer a question, and name the stream by what nobody can guess.
    """
    question = str((await request.json())["question"])
    id = token_urlsafe(16)
    streams[id] = stream = SSEHandler(protocol="native", resume_s=KEPT_S)
    begin(stream, question, Careful())
    asyncio.get_running_loop().call_later(10 * KEPT_S, streams.pop, id, None)
    return JSONResponse({"id": id})


async def events(request: Request) -> Response:
    """
    Give the stream: from its start, or behind what the browser says it has got.
    """
    came_back = SSEHandler.resumed(request.headers.get("last-event-id"))
    stream = came_back or streams.get(request.path_params["id"])
    if stream is None:
        return Response(status_code=204)  # tells an EventSource not to come again
    return StreamingResponse(stream, headers=stream.headers)


async def stop(request: Request) -> Response:
    """
    Stop the request.
    """
    stream = streams.get(request.path_params["id"])
    if stream is not None:
        stream.stop()
    return Response(status_code=204)


async def answer(request: Request) -> Response:
    """
    Take what the page was asked: may the tool be called?
    """
    said = await request.json()
    was_awaited = approval.answer(said["approval_id"], said["approved"])
    return JSONResponse({"was_awaited": was_awaited})


async def ai_sdk(request: Request) -> Response:
    """
    The same behind ``useChat`` of the AI SDK: see ``examples/web/ai_sdk``.
    """
    messages = (await request.json())["messages"]
    texts = [it["text"] for it in messages[-1]["parts"] if it["type"] == "text"]
    stream = SSEHandler()
    begin(stream, " ".join(texts), Careful())
    return StreamingResponse(stream, headers=stream.headers)


async def page(request: Request) -> Response:
    """
    Give a file of the page.
    """
    return FileResponse(HERE / (request.url.path.strip("/") or "page.html"))


app = Starlette(
    routes=[
        Route("/", page),
        Route("/page.js", page),
        Route("/page.css", page),
        Route("/ask", ask, methods=["POST"]),
        Route("/events/{id}", events),
        Route("/stop/{id}", stop, methods=["POST"]),
        Route("/answer", answer, methods=["POST"]),
        Route("/api/chat", ai_sdk, methods=["POST"]),
    ]
)

if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    print(f"http://127.0.0.1:{port}")
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
