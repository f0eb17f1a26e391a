"""
Does my block hear what RQ's workers do?
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from tempfile import TemporaryDirectory

from redis import Redis
from rq import Queue

from instrument import bind, callbacks, traced
from instrument.testing import Recorder


@traced.llm
def summarize(page: str) -> Iterator[str]:
    yield from page.upper().split()


def work(page: str) -> str:
    return " ".join(summarize(page))


def request(url: str) -> None:
    work = import_module("hear_rq").work  # by the name under which workers know it
    queue, heard = Queue(connection=Redis.from_url(url)), Recorder()
    with callbacks(heard, on_llm_new_token=print), traced("request"):
        job = queue.enqueue(bind(work), "one two")
        print(job.latest_result(timeout=20).return_value)  # while the block is open
    #> ONE
    #> TWO
    #> ONE TWO
    print(heard.tree())
    #> chain request: ok
    #>   llm summarize: ok


@contextmanager
def program(*command: str, says: str) -> Iterator[None]:
    with Popen(command, stdout=PIPE, stderr=DEVNULL, text=True) as process:
        try:
            next(line for line in process.stdout if says in line)
            yield
        finally:
            process.terminate()


if __name__ == "__main__":
    sys.path.append(here := str(Path(__file__).parent))
    with TemporaryDirectory() as folder:  # a Redis and a worker of its own
        url, place = f"unix://{folder}/redis", f"{folder}/redis"
        redis = ["redis-server", "--port", "0", "--unixsocket", place, "--save", ""]
        worker = [sys.executable, "-m", "rq.cli", "worker", "--path", here, "--url", url]
        with program(*redis, says="ready"), program(*worker, says="Listening"):
            request(url)
