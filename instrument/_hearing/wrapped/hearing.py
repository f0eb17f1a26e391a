"""
Make a call, and have it heard until its answer is there or begins to come.
"""

from instrument._hearing.calls import abegin, begin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from instrument._hearing.calls import Own, Request
    from instrument._runs.merging import Inner

    Call = Own | Inner

LATER = object()
"""Stands for an answer that is still to be read."""


def heard(
    request: "Request | None",
    send: "Callable[[], Any]",
    taken: "Callable[[Call, Any], tuple[object, Any]]",
) -> "Any":
    """
    Send *request*; None is nothing to hear.

    Args:
        taken: Gives of the SDK's result the whole answer, or `LATER`, and what the
            caller gets.
    """
    call = None if request is None else begin(request)
    if call is None:
        return send()
    try:
        result = send()
    except BaseException as exc:
        call.raised(exc)
        raise
    whole, result = taken(call, result)
    if whole is not LATER:
        call.returned(whole)
    return result


async def aheard(
    request: "Request | None",
    send: "Callable[[], Awaitable[Any]]",
    taken: "Callable[[Call, Any], tuple[object, Any]]",
) -> "Any":
    """
    The same in async code.
    """
    call = None if request is None else await abegin(request)
    if call is None:
        return await send()
    try:
        result = await send()
    except BaseException as exc:
        await call.araised(exc)
        raise
    whole, result = taken(call, result)
    if whole is not LATER:
        await call.areturned(whole)
    return result
