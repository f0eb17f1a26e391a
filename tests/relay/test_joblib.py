"""
joblib's workers are heard as those of any pool.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from instrument import bind, callbacks, traced
from instrument.testing import Recorder

if TYPE_CHECKING:
    from tests.relay import jobs
else:
    jobs = import_module("jobs")

joblib: Any = pytest.importorskip("joblib")


@pytest.mark.parametrize("backend", ["loky", "multiprocessing", "threading"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_parallel(backend: str) -> None:
    """
    What its backends call is heard, also a lambda, in processes and in threads.
    """
    recorder = Recorder()
    parallel = joblib.Parallel(n_jobs=2, backend=backend)

    with callbacks(recorder), traced("request") as request:
        work = joblib.delayed(bind(jobs.work))
        assert parallel(work(number) for number in range(3)) == [0, 2, 4]
        leaf = joblib.delayed(bind(lambda: jobs.leaf()))  # noqa: PLW0108
        if backend != "multiprocessing":
            parallel(leaf() for _ in range(2))

    works = [run for run in recorder.children(request) if run.name == "work"]
    for run in works:
        assert [it.name for it in recorder.children(run)] == ["model", "tool"]
    assert len(works) == 3
    assert len(recorder.find("leaf")) == 2 * (backend != "multiprocessing")


def test_where_handlers_work() -> None:
    """
    In loky's workers handlers that forward are silent.
    """
    with callbacks(*jobs.SAID.values()).install(), traced("request"):
        work = joblib.delayed(bind(jobs.heard_here))
        there = joblib.Parallel(n_jobs=2, backend="loky")([work(1), work(2)])

    assert there == [{"forward": [], "local": [], "drop": []}] * 2
