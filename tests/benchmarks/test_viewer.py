"""
How long one waits for the page. Not run by default: ``-m benchmark`` does.
"""

import pytest

from tests.benchmarks.viewer import OPEN_S, READY_S, open_s, ready_s

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]


@pytest.mark.parametrize("has_uvicorn", [False, True])
def test_page_is_ready(has_uvicorn: bool) -> None:
    """
    The page and its first list are there within a second of the command.
    """
    page, first, _ = ready_s(has_uvicorn=has_uvicorn)

    assert page <= READY_S
    assert first <= READY_S


def test_large_request_opens() -> None:
    """
    A request of 100,000 runs is there within three seconds.
    """
    assert open_s() <= OPEN_S
