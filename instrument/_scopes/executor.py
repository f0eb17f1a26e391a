"""
`ContextThreadPoolExecutor`. Apart, since ``concurrent.futures`` imports logging.
"""

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    T = TypeVar("T")


class ContextThreadPoolExecutor(ThreadPoolExecutor):
    """
    A thread pool whose tasks run in a copy of the submitter's whole context.
    """

    def submit(
        self, fn: "Callable[P, T]", /, *args: "P.args", **kwargs: "P.kwargs"
    ) -> "Future[T]":
        """
        Run ``fn(*args, **kwargs)`` in a copy of the context of now.
        """
        return super().submit(copy_context().run, fn, *args, **kwargs)  # type: ignore[arg-type]
