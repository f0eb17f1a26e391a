"""
Does my web process hear a Celery task while that runs?
"""

import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from subprocess import DEVNULL, Popen

from celery import Celery

import instrument.integrations.celery  # noqa: F401 - all the set-up there is
from instrument import callbacks, traced
from instrument.testing import Recorder

URL = os.environ.get("REDIS_URL")
app = Celery("celery_stream", broker=URL, backend=URL)


@traced.chat_model
def model(question: str):
    for token in ("About", " 14", " hours."):
        time.sleep(0.2)
        yield token


@app.task
@traced.agent
def answer(question: str) -> str:
    return "".join(model(question))


def start(command: list[str], ends: ExitStack) -> None:
    folder = Path(__file__).parent
    process = Popen(command, cwd=folder, stdout=DEVNULL, stderr=DEVNULL)
    ends.callback(process.wait)
    ends.callback(process.terminate)


if __name__ == "__main__":  # workers import this file, too
    with tempfile.TemporaryDirectory() as folder, ExitStack() as ends:
        place = f"{folder}/redis.sock"
        os.environ["REDIS_URL"] = f"redis+socket://{place}"
        app.conf.broker_url = app.conf.result_backend = os.environ["REDIS_URL"]
        start(["redis-server", "--port", "0", "--unixsocket", place, "--save", ""], ends)
        start([sys.executable, "-m", "celery", "-A", "celery_stream", "worker"], ends)
        while not Path(place).exists():
            time.sleep(0.01)
        with callbacks(recorder := Recorder(), on_llm_new_token=print):
            print("->", answer.delay("How long do cats sleep?").get(timeout=20))
    #> About
    #>  14
    #>  hours.
    #> -> About 14 hours.
    print(recorder.tree())
    #> agent answer: ok
    #>   chat_model model: ok
