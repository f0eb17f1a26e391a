"""
A server of canned answers for the page, and of states that a real store is hard to bring
into. Run it to look at the page: ``python canned_page.py``.
"""

import gzip
import json
import queue
import secrets
import time
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import instrument

DATA: Any = import_module("canned_data")
PAGE = Path(instrument.__file__).parent / "viewer" / "page"
POLICY = (
    "default-src 'none'; script-src 'nonce-{0}'; style-src 'nonce-{0}'; img-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
STORE = "/data/instrument/traces.db"
Row = dict[str, Any]


def runs_of(row: Row) -> list[Row]:
    """
    Give the runs of a request: those of one in which nothing failed, or in which a tool did.
    """
    runs: list[Row] = DATA.support(
        row, fine=row["status"] == "ok" and row["errors"] == 0
    )
    return runs


class Canned(ThreadingHTTPServer):
    """
    The server; a test changes ``rows``, says what is ``gone``, clears ``held`` to hold answers
    back, or puts data into the page itself with ``pack``.
    """

    daemon_threads = True
    request_queue_size = 128
    now_ms: int = DATA.NOW_MS

    def __init__(self, rows: list[Row] | None = None, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Answer)
        self.rows = DATA.sixty() if rows is None else rows
        self.about = {
            "path": STORE,
            "bytes": 1_200_000_000,
            "requests": 41203,
            "runs": 500_000,
        }
        self.gone = ""
        self.packed = ""
        self.listening = Event()
        self.held = Event()
        self.held.set()
        self.streams: list[queue.Queue[tuple[str, Row] | None]] = []
        self.asked: list[str] = []
        Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """
        Where the page is.
        """
        return f"http://127.0.0.1:{self.server_port}/"

    def pack(self, *rows: Row) -> None:
        """
        Have the page show some requests from its own data, as an exported file does.
        """
        pairs = [{"request": row, "runs": runs_of(row)} for row in rows]
        data = pairs[0] if len(pairs) == 1 else {"requests": pairs}
        text = b64encode(gzip.compress(json.dumps(data).encode())).decode()
        self.packed = f'<script type="text/plain" id="packed">{text}</script>'

    def push(self, event: str, data: Row) -> None:
        """
        Tell every open page something.
        """
        self.listening.wait(10)
        for stream in self.streams:
            stream.put((event, data))

    def come(self, *rows: Row) -> None:
        """
        Let requests begin or change: they are in the store, and every open page hears them.
        """
        keys = {row["key"] for row in rows}
        self.rows = [*rows, *(row for row in self.rows if row["key"] not in keys)]
        self.rows.sort(key=lambda row: -int(row["key"]))
        self.push("requests", {"requests": list(rows), "cursor": 1})

    def end(self) -> None:
        """
        Stop answering, as a server that was ended.
        """
        self.held.set()
        for stream in self.streams:
            stream.put(None)
        self.shutdown()
        self.server_close()


class Answer(BaseHTTPRequestHandler):
    """
    One question of the page.
    """

    server: Canned

    def log_message(self, *args: object) -> None:
        """
        Say nothing of requests that were answered.
        """

    def do_GET(self) -> None:
        """
        Answer with a file of the page, JSON, or a stream of events.
        """
        path, query = (
            urlsplit(self.path).path.lstrip("/"),
            parse_qs(urlsplit(self.path).query),
        )
        asked = {key: values[0] for key, values in query.items()}
        try:
            if path.startswith("api/live"):
                self.stream()
            elif path.startswith("api/"):
                self.server.asked.append(self.path)
                self.api(unquote(path[4:]), asked)
            else:
                self.file(path)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def file(self, path: str) -> None:
        """
        Send a file of the page.
        """
        nonce = secrets.token_urlsafe(8)
        name = path.removeprefix("page/") or "index.html"
        found = PAGE / name
        if found.exists():
            text = found.read_text("utf-8").replace("{{nonce}}", nonce)
            text = text.replace("<noscript>", self.server.packed + "<noscript>", 1)
        else:
            return self.reply(404, b"", "text/plain")
        headers = {"content-security-policy": POLICY.format(nonce)}
        return self.reply(200, text.encode(), TYPES[found.suffix], headers)

    def reply(
        self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None
    ) -> None:
        """
        Send an answer.
        """
        self.send_response(status)
        self.send_header("content-type", f"{kind}; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.send_header("cache-control", "no-store")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def api(self, path: str, asked: dict[str, str]) -> None:
        """
        Send JSON, once answers are not held back.
        """
        if path != "about":
            self.server.held.wait(20)
        status, body = 200, {}
        if self.server.gone:
            status, body = 503, {"error": self.server.gone}
        else:
            try:
                body = self.answer(path, asked)
            except ValueError as exc:
                status = 400
                body = {
                    "error": f"{exc} is no word of a filter.",
                    "cure": "There is user:ada.",
                }
            except LookupError:
                status, body = (
                    404,
                    {"error": f"No request begins with {path.rsplit('/', 1)[-1]!r}."},
                )
        self.reply(status, json.dumps(body).encode(), "application/json")

    def answer(self, path: str, asked: dict[str, str]) -> Row:
        """
        Give what one path answers.
        """
        rows = self.server.rows
        what, _, which = path.partition("/")
        q = asked.get("q", "")
        match what:
            case "about":
                return self.server.about
            case "requests":
                before = int(asked.get("before", 1 << 60))
                page = [row for row in DATA.fitting(rows, q) if row["key"] < before]
                return {"requests": page[: int(asked.get("limit", 200))], "cursor": 1}
            case "summary":
                return {**DATA.sums(DATA.fitting(rows, q), len(rows))}
            case "names":
                return {"names": DATA.by_name(DATA.fitting(rows, q))}
            case "request":
                found = next((row for row in rows if row["trace_id"] == which), None)
                if found is None:
                    raise LookupError(which)
                runs = DATA.support(
                    found, fine=found["status"] == "ok" and found["errors"] == 0
                )
                return {"request": found, "runs": runs, "cursor": 1}
            case _:
                runs = [run for row in rows for run in runs_of(row)]
                found = next(run for run in runs if run["run_id"] == which)
                return {**found}

    def stream(self) -> None:
        """
        Send events until the page goes away.
        """
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("cache-control", "no-store")
        self.end_headers()
        self.wfile.write(b": here\n\n")
        events: queue.Queue[tuple[str, Row] | None] = queue.Queue()
        self.server.streams.append(events)
        self.server.listening.set()
        for event, data in self.heard(events):
            self.wfile.write(
                f"event: {event}\nid: 1\ndata: {json.dumps(data)}\n\n".encode()
            )
            self.wfile.flush()
        self.close_connection = True

    def heard(
        self, events: queue.Queue[tuple[str, Row] | None]
    ) -> Iterator[tuple[str, Row]]:
        """
        Yield events until there is no more.
        """
        while (event := events.get()) is not None:
            yield event


if __name__ == "__main__":
    canned = Canned(port=8799)
    print(canned.url)  # noqa: T201
    while True:
        time.sleep(3600)
