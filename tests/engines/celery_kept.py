"""
Tasks of a Celery worker that keeps what they do in a store, for tests.
"""

import os

from celery import Celery

import instrument.integrations.celery  # noqa: F401 - for what it does
from instrument import callbacks, traced
from instrument.handlers import StoreHandler

URL = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:1/0")
app = Celery("kept", broker=URL, backend=URL)
app.conf.update(broker_connection_retry_on_startup=True, worker_prefetch_multiplier=1)
if "TEST_STORE" in os.environ:
    callbacks(StoreHandler(os.environ["TEST_STORE"])).install()


@app.task
@traced.tool("count")
def counted(number: int) -> int:
    """
    Say the number.
    """
    return number
