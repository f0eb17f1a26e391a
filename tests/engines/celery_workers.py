"""
Real Celery workers, for tests.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


@contextmanager
def worker(
    url: str, log: Path, *options: str, module: str = "celery_jobs"
) -> Iterator["subprocess.Popen[bytes]"]:
    """
    Run a worker whose Redis is that; it is ended with all its processes.
    """
    paths = [str(FOLDER), os.environ.get("PYTHONPATH", "")]
    inherited = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "TEST_REDIS_URL": url,
    }
    command = [sys.executable, "-m", "celery", "-A", module, "worker", "-l", "WARNING"]
    command += ["--without-gossip", "--without-mingle", *options]
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            env=inherited,
            cwd=FOLDER,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def reached_at(app: Any, url: str) -> Iterator[Any]:
    """
    Have tasks of an app be sent to that Redis.
    """
    before = app.conf.broker_url, app.conf.result_backend
    _lead(app, url, url)
    try:
        yield app
    finally:
        _lead(app, *before)


def _lead(app: Any, broker: str, backend: str) -> None:
    app.pool.force_close_all()
    app.conf.broker_url, app.conf.result_backend = broker, backend
    app.conf.broker_write_url = app.conf.broker_read_url = broker
    for name in ("amqp", "_pool"):
        app.__dict__.pop(name, None)
    app._pool = None
    app._backend_cache = None
    app._local.__dict__.pop("backend", None)
