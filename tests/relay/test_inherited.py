"""
A pool that is forked inside one request's block serves the others as if it were not.
"""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from instrument import Event, bind, callbacks, traced
from instrument.testing import Recorder

if TYPE_CHECKING:
    from tests.relay import jobs
else:
    jobs = import_module("jobs")

pytestmark = [
    pytest.mark.wide,
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


@pytest.fixture(params=multiprocessing.get_all_start_methods())
def pool(request: pytest.FixtureRequest) -> Iterator[ProcessPoolExecutor]:
    """
    Give a pool whose worker is started by the first that is sent to it.
    """
    context: Any = multiprocessing.get_context(request.param)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        yield pool


def test_descriptions_are_of_the_own_request(pool: ProcessPoolExecutor) -> None:
    """
    A request's runs in a worker have the tags and the metadata of that request, and no
    others'.
    """
    first, second, third = (Recorder() for _ in range(3))

    for block in (
        callbacks(first, tags=["ada"], metadata={"user_id": "ada", "team": "x"}),
        callbacks(second, tags=["bob"], metadata={"user_id": "bob"}),
        callbacks(third),
    ):
        with block, traced("request"):
            pool.submit(bind(jobs.leaf)).result()

    told = [(it.runs[-1].tags, it.runs[-1].metadata) for it in (first, second, third)]
    assert told == [
        (("ada",), {"user_id": "ada", "team": "x"}),
        (("bob",), {"user_id": "bob"}),
        ((), {}),
    ]


@pytest.mark.parametrize("hides", [{"capture": False}, {"redact": ["query"]}], ids=str)
def test_what_another_request_hides(
    pool: ProcessPoolExecutor, hides: dict[str, Any]
) -> None:
    """
    What one request's block leaves out is left out of that request alone.
    """
    hidden, shown = Recorder(), Recorder()

    with callbacks(hidden, **hides):
        pool.submit(bind(jobs.tool), "x").result()
    with callbacks(shown):
        pool.submit(bind(jobs.tool), "x").result()

    assert hidden.runs[0].inputs != shown.runs[0].inputs == {"query": "x"}


def test_copies_hear_nothing_of_others(
    pool: ProcessPoolExecutor, tmp_path: Path
) -> None:
    """
    A request of which nobody hears is told to no copy of another request's handlers.
    """
    path = tmp_path / "heard"

    def hear(event: Event) -> None:
        with path.open("a") as file:
            file.write(f"{event.name}\n")

    with callbacks(hear):
        pool.submit(bind(jobs.leaf)).result()
    with callbacks(tags=["bob"]), traced("request"):
        pool.submit(bind(jobs.tool), "x").result()

    assert "tool" not in path.read_text()
