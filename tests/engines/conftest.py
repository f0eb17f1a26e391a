"""
What tests of engines share: a Redis of their own, and a module of jobs that workers can
import.
"""

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from time import monotonic, sleep

import pytest

sys.path.append(str(Path(__file__).parent))  # tests/ is no package; workers are told

WAIT_S = 20.0


class Redis:
    """
    A server of its own, on a free port of loopback.

    Attributes:
        url: Where it is, also when it has been started anew.
        process: What runs it.
    """

    process: "subprocess.Popen[bytes]"

    def __init__(self, folder: Path, *options: str) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as found:
            self._port = found.getsockname()[1]
        self._folder = folder
        self._options = options
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> "Redis":
        """
        Start it, and wait until it answers.
        """
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(self._port)]
        command += ["--dir", str(self._folder), "--logfile", "log", *self._options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until = monotonic() + WAIT_S
        while not self._answers():
            assert self.process.poll() is None, (self._folder / "log").read_text()
            assert monotonic() < until
            sleep(0.01)
        return self

    def stop(self) -> None:
        """
        End it, if it runs; what is not written by then is lost.
        """
        self.process.kill()
        self.process.wait()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), 1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(7) == b"+PONG\r\n"
        except OSError:
            return False


@pytest.fixture(scope="session")
def start_redis(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., Redis]]:
    """
    Give a function that starts a server with such options, without persistence unless
    they say so; all are ended with the tests.
    """
    if shutil.which("redis-server") is None:
        pytest.skip("needs redis-server")
    with ExitStack() as ends:

        def start(*options: str) -> Redis:
            chosen = options or ("--save", "", "--appendonly", "no")
            server = Redis(tmp_path_factory.mktemp("redis"), *chosen).start()
            ends.callback(server.stop)
            return server

        yield start


@pytest.fixture(scope="module")
def redis_url(start_redis: Callable[..., Redis]) -> str:
    """
    Give where a server is that a module of tests has for itself.
    """
    return start_redis().url
