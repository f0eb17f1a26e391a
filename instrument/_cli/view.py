"""
``python -m instrument view``: the page of a store, served on this machine.
"""

import contextlib
import errno
import socket
import sys
from pathlib import Path

from instrument._text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from instrument.viewer.app import Viewer

HELP = "show what was recorded as a page in the browser, live"
DESCRIPTION = (
    "Serve the page of a store on this machine and print its link. What programs write"
    " meanwhile appears on it. Ctrl-C ends it."
)
_PORT = 8765
_TRIED = 20
_LAST_PORT = 65_535
_BY_SIGNAL = 128  # as shells have it


def add_arguments(parser: "argparse.ArgumentParser") -> None:
    """
    Say what it takes.
    """
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="a store, or a file of events (.jsonl); the usual store if left out",
    )
    parser.add_argument(
        "--port",
        type=_port,
        metavar="N",
        help=f"listen there; on {_PORT}, or the next that is free, if left out",
    )
    parser.add_argument(
        "--host",
        metavar="H",
        default="127.0.0.1",
        help="listen at this address; for this machine alone if left out",
    )
    parser.add_argument("--open", action="store_true", help="open it in the browser")


def run(parser: "argparse.ArgumentParser", arguments: "argparse.Namespace") -> None:
    """
    Serve it until Ctrl-C.
    """
    from instrument.viewer.access import Alone
    from instrument.viewer.app import Viewer

    shown, path = _store(parser, arguments.file)
    with _listener(parser, arguments.host, arguments.port) as listener:
        host, port = _reached_at(listener)
        names = _names(listener, arguments.host)
        access = Alone(port, names=names)
        app = Viewer(path, access, shown=shown)
        if names:
            _warn()
        print(f"Watching {printable(str(shown))}")
        print(f"http://{host}:{port}/?token={access.token}", flush=True)
        if arguments.open:
            _open(f"http://{host}:{port}/?token={access.once()}")
        try:
            _serve(app, listener)
        finally:
            app.close()


def _serve(app: "Viewer", listener: socket.socket) -> None:
    """
    Serve until Ctrl-C; SIGTERM ends it likewise, so that what is to be done at exit is.
    """
    import asyncio
    import signal

    told: list[int] = []

    async def serving() -> None:
        loop = asyncio.get_running_loop()
        task: Any = asyncio.current_task()

        def end(number: int, _: object) -> None:
            told.append(number)
            loop.call_soon_threadsafe(task.cancel)

        signal.signal(signal.SIGTERM, end)
        await _serving(app, listener)

    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(serving())
    if told:
        raise SystemExit(_BY_SIGNAL + told[0])


def _port(text: str) -> int:
    import argparse

    if text.isdecimal() and int(text) <= _LAST_PORT:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to {_LAST_PORT}")


def _store(parser: "argparse.ArgumentParser", file: str | None) -> tuple[Path, Path]:
    """
    Give the file to show, and its store: of a file of events, one that is made of it.
    """
    from instrument._cli.stores import ENDINGS
    from instrument.exceptions import StoreError
    from instrument.handlers._store.place import default_path
    from instrument.handlers._store.reader import Reader

    try:
        path = default_path() if file is None else Path(file).expanduser().absolute()
        if path.suffix in ENDINGS:
            from instrument.handlers._store.events_file import store_of

            return path, store_of(path, follow=True)
        if path.exists():
            Reader(path).close()
        elif file is not None and not path.parent.is_dir():
            parser.error(f"there is no folder {str(path.parent)!r}")
    except (StoreError, OSError) as exc:
        parser.error(str(exc))
    return path, path


def _listener(
    parser: "argparse.ArgumentParser", host: str, port: int | None
) -> socket.socket:
    """
    Listen, so that the link that is printed leads somewhere at once.
    """
    try:
        listener = _bound(host, port)
    except OSError as exc:
        said = (exc.strerror or str(exc)).partition(" (while")[0]
        if exc.errno == errno.EADDRINUSE:
            said = "that is taken. Give another port, or leave --port out"
        parser.error(f"cannot listen on {host!r}, port {port or _PORT}: {said}")
    return listener


def _bound(host: str, port: int | None) -> socket.socket:
    from instrument.viewer.listener import listening

    for usual in range(_PORT, _PORT + _TRIED) if port is None else ():
        with contextlib.suppress(OSError):
            return _bound(host, usual)
    return listening(host, port or 0)


def _reached_at(listener: socket.socket) -> tuple[str, int]:
    """
    Give the host's name, as it stands in a link, and the port.
    """
    address, port = listener.getsockname()[:2]
    if address in {"0.0.0.0", "::"}:  # noqa: S104 - asked for by --host
        address = socket.gethostname()
    return f"[{address}]" if ":" in address else address, port


def _names(listener: socket.socket, host: str) -> tuple[str, ...]:
    """
    Give the names by which other machines reach it; none where they cannot.
    """
    from instrument.viewer.asked import is_loopback

    if is_loopback(listener.getsockname()[0]):
        return ()
    return host.lower(), socket.gethostname().lower()


def _warn() -> None:
    print(
        "instrument: warning: other machines can reach this page, and what it sends is"
        " not encrypted: whoever has the link, or reads it on the way, sees all that"
        " was recorded",
        file=sys.stderr,
    )


def _open(url: str) -> None:
    """
    Open *url* in the browser; some wait until that is closed.
    """
    import threading
    import webbrowser

    threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()


async def _serving(app: "Viewer", listener: socket.socket) -> None:
    """
    Serve by uvicorn where that is installed.
    """
    try:
        import uvicorn
    except ImportError:
        from instrument.viewer.server import serve

        await serve(app, [listener])
    else:
        await _served_by(uvicorn, app, listener)


async def _served_by(uvicorn: "Any", app: "Viewer", listener: socket.socket) -> None:
    class Server(uvicorn.Server):  # type: ignore[misc]
        async def shutdown(self, sockets: "list[socket.socket] | None" = None) -> None:
            app.close()  # it waits for open streams
            await super().shutdown(sockets)

    config = uvicorn.Config(
        app,
        access_log=False,
        h11_max_incomplete_event_size=16_384,
        http="h11",
        lifespan="off",
        log_level="critical",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        ws="none",
    )
    await Server(config).serve([listener])
