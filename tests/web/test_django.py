"""
Both middlewares around Django: async and sync views, by either protocol.
"""

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest

from instrument.integrations import asgi as over_asgi
from instrument.integrations import wsgi as over_wsgi

httpx = pytest.importorskip("httpx")
django = pytest.importorskip("django")


@pytest.fixture(scope="module")
def views(work: Any) -> Iterator[None]:
    """
    Set Django up with views of each sort.
    """
    from django.conf import settings
    from django.http import HttpResponse, StreamingHttpResponse
    from django.urls import path

    def sync(request: Any, question: str) -> Any:
        return HttpResponse(work.look_up(question))

    async def in_loop(request: Any, question: str) -> Any:
        return HttpResponse(work.look_up(question))

    def stream(request: Any) -> Any:
        return StreamingHttpResponse(work.write(3))

    async def astream(request: Any) -> Any:
        return StreamingHttpResponse(work.awrite(3))

    both = threading.Barrier(2)

    def meet(request: Any, name: str) -> Any:
        both.wait(10)
        return HttpResponse(work.look_up(name))

    async def endless(request: Any) -> Any:
        return StreamingHttpResponse(work.awrite(10**9))

    urls: Any = ModuleType("urls_of_cats")
    urls.urlpatterns = [
        path("sync/<question>", sync),
        path("async/<question>", in_loop),
        path("stream", stream),
        path("astream", astream),
        path("meet/<name>", meet),
        path("endless", endless),
    ]
    sys.modules[urls.__name__] = urls
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        LOGGING_CONFIG=None,
        ROOT_URLCONF=urls.__name__,
        SECRET_KEY="cats",
    )
    django.setup()
    yield
    del sys.modules[urls.__name__]


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
@pytest.mark.usefixtures("views")
@pytest.mark.parametrize("protocol", ["asgi", "wsgi"])
@pytest.mark.parametrize(
    "path, text, tree",
    [
        ("sync/a", "A", "tool look_up: ok"),
        ("async/a", "A", "tool look_up: ok"),
        ("sync/fail", None, "tool look_up: error ValueError"),
        ("async/fail", None, "tool look_up: error ValueError"),
        ("stream", "0 1 2 ", "chat_model write: ok"),
        ("astream", "0 1 2 ", "chat_model awrite: ok"),
    ],
)
def test_views(
    request: Any,
    heard: Any,
    protocol: str,
    path: str,
    text: str | None,
    tree: str,
) -> None:
    """
    A view is heard whether it is sync or async, streams or not, on each protocol.
    """
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application

    serve = request.getfixturevalue(protocol)
    if protocol == "asgi":
        made: Any = over_asgi.CallbacksMiddleware(get_asgi_application(), heard)
    else:
        made = over_wsgi.CallbacksMiddleware(get_wsgi_application(), heard)
    url = serve(made)

    answer = httpx.get(f"{url}/{path}")

    assert text is None or answer.text == text
    assert heard.trees == [tree]
    assert answer.headers["x-trace-id"] == heard.made[-1].runs[0].trace_hex


@pytest.mark.usefixtures("views")
def test_two_at_once(wsgi: Any, heard: Any) -> None:
    """
    Two requests at once have handlers of their own, and hear nothing of each other.
    """
    from django.core.wsgi import get_wsgi_application

    url = wsgi(over_wsgi.CallbacksMiddleware(get_wsgi_application(), heard))

    with ThreadPoolExecutor(2) as pool:
        paths = [f"{url}/meet/a", f"{url}/meet/b"]
        texts = [answer.text for answer in pool.map(httpx.get, paths)]

    assert texts == ["A", "B"]
    assert {made.runs[0].inputs["question"] for made in heard.made} == {"a", "b"}


@pytest.mark.usefixtures("views")
def test_client_leaves(asgi: Any, heard: Any) -> None:
    """
    A client that leaves in the middle of an answer ends its runs as abandoned.
    """
    from django.core.asgi import get_asgi_application

    url = asgi(over_asgi.CallbacksMiddleware(get_asgi_application(), heard))

    with httpx.stream("GET", url + "/endless") as answer:
        next(answer.iter_bytes())

    heard.until(lambda: heard.trees == ["chat_model awrite: abandoned"])
