"""
``python -m instrument view`` as a shell and a browser see it.
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from instrument import callbacks, cli, traced
from instrument._cli import view as command
from instrument.handlers import FileCallbackHandler

pytestmark = pytest.mark.wide

httpx = pytest.importorskip("httpx")

Views = Callable[..., AbstractContextManager["View"]]


class View:
    """
    A running page.
    """

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        self.process = process
        self.watching = process.stdout.readline().rstrip()
        self.link = process.stdout.readline().rstrip()
        self.client = httpx.Client(timeout=30)

    def get(self, path: str) -> Any:
        """
        Ask for what is below the page, as one who has opened its link.
        """
        if not self.client.cookies:
            assert self.client.get(self.link).status_code == 200
        return self.client.get(self.link.partition("?")[0] + path)

    def ends(self, number: int) -> tuple[int, str, str]:
        """
        End it by a signal, and give its exit code and what it still said.
        """
        self.process.send_signal(number)
        said, errors = self.process.communicate(timeout=30)
        return self.process.returncode, said, errors


@pytest.fixture
def view(tmp_path: Path) -> Views:
    """
    Run ``view`` with some words.
    """

    @contextlib.contextmanager
    def viewing(*words: object, **environment: str) -> Iterator[View]:
        command = [sys.executable, "-m", "instrument", "view", *map(str, words)]
        pipes: dict[str, Any] = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
        environ = os.environ | environment
        with subprocess.Popen(
            command, cwd=tmp_path, env=environ, text=True, **pipes
        ) as process:
            try:
                shown = View(process)
                yield shown
                shown.client.close()
            finally:
                process.kill()

    return viewing


@pytest.fixture(params=["uvicorn", "small"])
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """
    Give an environment in which uvicorn can be imported, or cannot.
    """
    if request.param == "uvicorn":
        pytest.importorskip("uvicorn")
        return {}
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "uvicorn.py").write_text("raise ImportError('not installed here')")
    paths = [str(hidden), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_page(
    number: int, code: int, view: Views, environment: dict[str, str], store: Any
) -> None:
    """
    The link that is printed leads to the page of the file; Ctrl-C or SIGTERM ends it
    quietly, also while somebody watches.
    """
    request = store.ask()

    with view(store.path, "--port", 0, **environment) as shown:
        page, rows = shown.get(""), shown.get("api/requests")
        with shown.client.stream("GET", f"{page.url}api/live") as stream:
            first = next(stream.iter_lines())
            ended = shown.ends(number)

    assert shown.watching == f"Watching {store.path}"
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{32}", shown.link)
    assert "<script" in page.text
    assert rows.json()["requests"] == [request]
    assert first == "retry: 1000"
    assert ended == (code, "", "")


def test_head_that_is_large(
    view: Views, environment: dict[str, str], store: Any
) -> None:
    """
    A head that no browser sends is refused, by either server, and others are served on.
    """
    with view(store.path, "--port", 0, **environment) as shown:
        with contextlib.suppress(httpx.TransportError):  # closed while it is sent
            reply = shown.client.get(shown.link, headers={"x": "y" * 1_000_000})
            assert reply.status_code in {400, 431}
        after = shown.get("api/about")
        ended = shown.ends(signal.SIGINT)

    assert after.status_code == 200
    assert ended == (130, "", "")


def test_usual_store(view: Views, tmp_path: Path) -> None:
    """
    Without a file it is the user's store, which need not be there yet.
    """
    path = tmp_path / "mine.db"

    with view("--port", 0, INSTRUMENT_STORE=str(path)) as shown:
        about = shown.get("api/about").json()

    assert shown.watching == f"Watching {path}"
    assert (about["path"], about["requests"]) == (str(path), 0)
    assert not path.exists()


def test_events_file(view: Views, tmp_path: Path) -> None:
    """
    A file of events is shown as a store is, while it grows; what was made for that goes.
    """
    path, folder = tmp_path / "events.jsonl", tmp_path / "temporary"
    folder.mkdir()
    file = FileCallbackHandler(path)
    with callbacks(file), traced("first"):
        pass

    with view(path, "--port", 0, TMPDIR=str(folder)) as shown:
        about = shown.get("api/about").json()
        with callbacks(file), traced("second"):
            pass
        names: list[str] = []
        while len(names) < 2:
            rows = shown.get("api/requests").json()["requests"]
            names = [row["name"] for row in rows]
        made = [*folder.iterdir()]
        ended = shown.ends(signal.SIGTERM)

    assert shown.watching == f"Watching {path}"
    assert about["path"] == str(path)
    assert names == ["second", "first"]
    assert made
    assert [*folder.iterdir()] == []
    assert ended == (143, "", "")


def test_port_that_is_taken(
    view: Views, store: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Where no port is asked for, the next that is free is taken; one that is asked for and
    taken is an error.
    """
    with view(store.path) as first, view(store.path) as second:
        ports = [int(httpx.URL(it.link).port) for it in (first, second)]
        with pytest.raises(SystemExit) as refused:
            cli.main(["view", str(store.path), "--port", str(ports[0])])

    assert ports[0] != ports[1]
    assert refused.value.code == 2
    assert capsys.readouterr().err == (
        f"instrument: error: cannot listen on '127.0.0.1', port {ports[0]}: that is"
        " taken. Give another port, or leave --port out\n"
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "::1"])
def test_host(host: str, view: Views, store: Any) -> None:
    """
    Where other machines can reach the page that is said, and the link has a name that
    leads here.
    """
    if ":" in host:
        try:
            socket.create_server((host, 0), family=socket.AF_INET6).close()
        except OSError:
            pytest.skip("needs IPv6")

    with view(store.path, "--port", 0, "--host", host) as shown:
        url = httpx.URL(shown.link)
        at = "[::1]" if ":" in host else "127.0.0.1"
        link = f"http://{at}:{url.port}/?{url.query.decode()}"
        named = httpx.get(link, headers={"host": url.netloc.decode()})
        foreign = httpx.get(link, headers={"host": "evil.example"})
        code, _, errors = shown.ends(signal.SIGINT)

    assert (named.status_code, foreign.status_code, code) == (200, 403, 130)
    if host == "::1":
        assert url.host == "::1"
        assert errors == ""
    else:
        assert url.host == socket.gethostname().lower()
        assert errors.startswith("instrument: warning: other machines can reach")


def test_open(view: Views, store: Any, tmp_path: Path) -> None:
    """
    The browser is started with a link that is good for one time, as others on the
    machine can see it.
    """
    told = tmp_path / "told"
    browser = tmp_path / "browser.py"
    browser.write_text(
        "import json, sys, urllib.request as request\n"
        "said = request.urlopen(sys.argv[1]).headers['set-cookie']\n"
        f"open({str(told)!r}, 'w').write(json.dumps([sys.argv[1], said]) + '\\n')"
    )
    opens = f"{sys.executable} {browser} %s"

    with view(store.path, "--port", 0, "--open", BROWSER=opens) as shown:
        while not (told.exists() and told.read_text().endswith("\n")):
            shown.process.poll()
        link, cookie = json.loads(told.read_text())
        again = httpx.get(link)
        shown.ends(signal.SIGINT)

    assert cookie.startswith("instrument_")
    assert link != shown.link
    assert again.status_code == 401


def test_serving_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Serving that ends by no signal ends the command with no error.
    """
    before = signal.getsignal(signal.SIGTERM)

    async def serving(*_: object) -> None:
        assert signal.getsignal(signal.SIGTERM) is not before

    monkeypatch.setattr(command, "_serving", serving)
    served: Any = object()
    try:
        command._serve(served, served)
    finally:
        signal.signal(signal.SIGTERM, before)


CROWD = """if True:
    import resource, sys
    from instrument import cli

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (24, limit))
    if sys.argv.pop() == "small":
        sys.modules["uvicorn"] = None
    cli.main(sys.argv[1:])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts on 24 descriptors")
@pytest.mark.parametrize("server", ["uvicorn", "small"])
def test_more_come_than_there_are_descriptors(store: Any, server: str) -> None:
    """
    Where more come than there are descriptors they wait, which is said in one line, not
    at each attempt; the page is there again when they have left.
    """
    store.ask()
    words = ["view", str(store.path), "--port", "0"]
    with (
        subprocess.Popen(
            [sys.executable, "-c", CROWD, *words, server],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
        contextlib.ExitStack() as last,
    ):
        last.callback(process.kill)
        shown = View(process)
        with contextlib.ExitStack() as crowd:
            port = int(re.findall(r":(\d+)/", shown.link)[0])
            for _ in range(40):
                come = socket.create_connection(("127.0.0.1", port))
                crowd.enter_context(come)
            assert process.stderr is not None
            said = process.stderr.readline()
        status = httpx.get(shown.link, follow_redirects=True, timeout=30).status_code
        process.terminate()
        rest = process.communicate(timeout=30)[1]

    assert "The page lets who comes wait: [Errno 24]" in said
    assert status == 200
    assert rest == ""


@pytest.mark.parametrize(
    "words, error",
    [
        (["nowhere/traces.db"], "there is no folder '{folder}/nowhere'"),
        (["missing.jsonl"], "the events file '{folder}/missing.jsonl' cannot be read"),
        (["text.db"], "text.db"),
        (["text.jsonl"], "'{folder}/text.jsonl' holds no events"),
        (["text.ndjson"], "'{folder}/text.ndjson' holds no events"),
        (["."], "'{folder}' is a folder"),
        (["x" * 300], "File name too long: '{folder}/xxx"),
        (["--port", "x"], "argument --port: 'x' is no port: 0 to 65535"),
        (["--port", "65536"], "argument --port: '65536' is no port: 0 to 65535"),
        (["--port=-1"], "argument --port: '-1' is no port: 0 to 65535"),
        (["--port", "²"], "argument --port: '²' is no port: 0 to 65535"),
        (["--host", "192.0.2.1"], "cannot listen on '192.0.2.1', port 8765: Cannot"),
        (["--prt", "1"], "unknown option '--prt': did you mean --port?"),
    ],
)
def test_wrong_usage(
    words: list[str],
    error: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """
    What cannot be shown, or served, is told in one line.
    """
    monkeypatch.setenv("INSTRUMENT_STORE", str(tmp_path / "traces.db"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("text.db", "text.jsonl", "text.ndjson"):
        Path(name).write_text("neither a store nor events\n" * 100)

    with pytest.raises(SystemExit) as refused:
        cli.main(["view", *words])

    said = capsys.readouterr()
    assert (refused.value.code, said.out) == (2, "")
    assert said.err.startswith("instrument: error: ")
    assert error.format(folder=tmp_path) in said.err
    assert said.err.count("\n") == 1
