"""
Pools of processes, for tests.
"""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager


@contextmanager
def pool_of(count: int, method: str = "fork") -> Iterator[ProcessPoolExecutor]:
    """
    Give a pool of so many processes.
    """
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(count, mp_context=context) as pool:
        yield pool
