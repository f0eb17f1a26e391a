"""
A trace goes along with a message through the clients of brokers, as their headers are.

The Kafka that they talk to is librdkafka's own, in this process; the NATS is a server.
"""

import asyncio
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from instrument import callbacks, traced
from instrument.propagation import inject
from instrument.testing import Recorder

GUIDE = Path(__file__).parents[2] / "examples" / "queues" / "README.md"
pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def guide() -> dict[str, Any]:
    """
    Give the functions that the guide shows.
    """
    section = GUIDE.read_text("utf-8").partition("## Kafka and NATS\n")[2]
    code = re.search(r"```python\n(.*?)heard = Recorder", section, re.DOTALL)
    assert code is not None
    known: dict[str, Any] = {}
    exec(code[1], known)
    return known


@pytest.fixture(scope="module")
def kafka() -> Iterator[str]:
    """
    Give where a Kafka listens that keeps nothing.
    """
    library = pytest.importorskip("confluent_kafka")
    options = {"bootstrap.servers": "", "test.mock.num.brokers": 1, "log_level": 0}
    producer = library.Producer(options)
    (broker,) = producer.list_topics(timeout=20).brokers.values()
    yield f"{broker.host}:{broker.port}"
    producer.flush(5)


@pytest.fixture(scope="module")
def nats_url() -> Iterator[str]:
    """
    Give where a NATS listens; it ends with the tests.
    """
    program = shutil.which("nats-server")
    if program is None:
        pytest.skip("needs nats-server")
    command = [program, "--addr", "127.0.0.1", "--port", "-1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            said = server.stderr or ()
            told = next(line for line in said if "client connections on" in line)
            yield f"nats://{told.split()[-1]}"
        finally:
            server.terminate()


def is_of(told: tuple[Recorder, Any], guide: dict[str, Any], headers: Any) -> bool:
    """
    Tell whether who receives *headers* goes on with the trace and below the run of who
    sent them.
    """
    recorder, sent = told
    with callbacks(recorder):
        guide["receive"](headers)
    with guide["attach"](guide["extract"](headers)):
        came = inject({})["traceparent"]
    produced, consumed = recorder.runs
    return consumed.trace_hex == produced.trace_hex and came == sent


def test_confluent_kafka(kafka: str, guide: dict[str, Any]) -> None:
    """
    Through confluent-kafka, whose producer takes a dict and whose consumer gives pairs.
    """
    library = pytest.importorskip("confluent_kafka")
    producer, recorder = library.Producer({"bootstrap.servers": kafka}), Recorder()

    with callbacks(recorder), traced("produce"):
        sent = inject({})
        producer.produce("confluent", b"?", headers=sent)
    producer.flush(20)
    options = {"group.id": "tests", "auto.offset.reset": "earliest"}
    consumer = library.Consumer({"bootstrap.servers": kafka, **options})
    consumer.subscribe(["confluent"])
    message = consumer.poll(40)
    consumer.close()

    assert is_of((recorder, sent["traceparent"]), guide, message.headers())


async def test_aiokafka(kafka: str, guide: dict[str, Any]) -> None:
    """
    Through aiokafka, which takes and gives pairs of text and bytes.
    """
    library = pytest.importorskip("aiokafka")
    recorder = Recorder()

    async with library.AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        with callbacks(recorder), traced("produce"):
            sent = inject({})["traceparent"]
            headers = guide["kafka_headers"]()
            await producer.send_and_wait("aiokafka", b"?", headers=headers)
    consumer = library.AIOKafkaConsumer(
        "aiokafka", bootstrap_servers=kafka, auto_offset_reset="earliest"
    )
    async with consumer:
        message = await asyncio.wait_for(consumer.getone(), 40)

    assert is_of((recorder, sent), guide, message.headers)


async def test_nats(nats_url: str, guide: dict[str, Any]) -> None:
    """
    Through nats-py, which takes and gives a dict of text, and none where there is none.
    """
    library = pytest.importorskip("nats")
    recorder = Recorder()

    async with await library.connect(nats_url) as client:
        subscription = await client.subscribe("questions")
        with callbacks(recorder), traced("produce"):
            sent = inject({})
            await client.publish("questions", b"?", headers=sent)
        await client.publish("questions", b"?")
        messages = [await subscription.next_msg(20) for _ in range(2)]

    assert is_of((recorder, sent["traceparent"]), guide, messages[0].headers)
    assert guide["extract"](messages[1].headers) == {}
