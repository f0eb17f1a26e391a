"""
Celery: what a task does in a worker is heard by the handlers of the request that sent it.

``import instrument.integrations.celery`` in the module of the tasks is all: the caller and
the workers both import that. A task that is sent takes along where from, as a header; its
events come home over the Redis that the app has as its broker or for its results, or that
``app.conf.instrument_redis_url`` names.
"""

from functools import partial, wraps

try:
    import redis  # noqa: F401
    from celery import Task, current_app, signals
    from celery._state import _get_active_apps, get_current_worker_task
    from celery.exceptions import WorkerLostError
except ImportError:
    raise ImportError(
        "instrument.integrations.celery needs Celery and redis-py:"
        " pip install 'celery[redis]'"
    ) from None

from instrument import _report
from instrument._delivery.leaving import leave_now
from instrument._relay.carriers import carrier_of, trace_context
from instrument._relay.relay import TRANSPORTS
from instrument._relay.sockets import HOST_NAME
from instrument._state import get_state, set_state
from instrument.integrations.celery._redis import redis_of
from instrument.integrations.celery._streams import KIND, STREAMS
from instrument.propagation import attach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from instrument.integrations.celery._redis import Found

HEADER = "instrument"
_CALL_TASKS = ("celery.map", "celery.starmap", "celery.chunks")
"""The tasks of Celery's own in which there are others."""
_AT_WORK = "_instrument_at_work"
"""Of a request: whether its task is at work; nothing before, False afterwards."""


def _send_along(headers: "Any" = None, **_: object) -> None:
    """
    Have a task that is sent know where from.

    A retry comes from where the first attempt came from; what Celery sends when a task is
    over, as the next of a chain or the body of a chord, from where that came from.
    """
    if type(headers) is not dict:
        return
    task = get_current_worker_task()
    request = None if task is None else task.request
    if HEADER in headers and headers.get("retries") and _is_same(headers, request):
        return
    if request is None or _is_at_work(request):
        carried = _carrier(headers.get("task"))
    else:
        carried = request.get(HEADER)
    if carried:
        headers[HEADER] = carried


def _is_same(headers: "dict[str, Any]", request: "Any") -> bool:
    return request is None or request.id == headers.get("id")


def _is_at_work(request: "Any") -> bool:
    """
    Tell whether the body of a task runs, and has not just been left.
    """
    is_told = request.get(_AT_WORK)
    is_plain = is_told is None and request.get(HEADER) is None
    return is_told is True or is_plain or bool(request.is_eager)


def _carrier(name: object) -> "dict[str, Any]":
    def find(_: object) -> "Found | None":
        return _redis_for(name)

    try:
        with STREAMS.by(find):
            return carrier_of(get_state(), is_kept=False, transport=STREAMS)
    except Exception as exc:
        _report.failed(STREAMS, "a task that is sent", exc)
        return {"v": 1, **trace_context()}


def _redis_for(name: object) -> "Found | None":
    """
    Find the Redis of the app that sends a task: no signal says which that is, but mostly
    it is the one that has the task.
    """
    apps = list(_get_active_apps())
    if len(apps) > 1:
        current = current_app._get_current_object()
        apps.sort(key=lambda app: (not _has(app, name), app is not current))
        if _has(apps[0], name):
            return redis_of(apps[0])
    return next(filter(None, map(redis_of, apps)), None)


def _has(app: "Any", name: object) -> bool:
    return name in app._tasks  # `tasks` would finish an app that is not to be yet


def _hear_tasks(sender: "Any" = None, **_: object) -> None:
    """
    Have the tasks of a worker be heard, as soon as it has all of them.
    """
    app = sender.app
    app.finalize()
    for task in list(app.tasks.values()):
        if not task.name.startswith("celery.") or task.name in _CALL_TASKS:
            _hear(type(task))


def _hear(kind: "Any") -> None:
    """
    Give a class of tasks a ``__call__``, which Celery calls in the place of ``run``: as
    its setting ``task_annotations`` does. No signal is sent between a task and its result.
    """
    above: Callable[..., Any] = kind.__call__
    if hasattr(above, _AT_WORK):
        return
    is_own = above is not Task.__call__

    @wraps(above)
    def call(self: "Any", *args: "Any", **kwargs: "Any") -> "Any":
        request = self.request_stack.top
        if request is None or request.called_directly or hasattr(request, _AT_WORK):
            return above(self, *args, **kwargs)
        setattr(request, _AT_WORK, True)
        body = partial(above, self) if is_own else self.run
        before = get_state()
        try:
            carried = _carried(request)
            if not carried:
                return body(*args, **kwargs)
            with STREAMS.by(partial(redis_of, self.app)), attach(carried):
                return body(*args, **kwargs)
        finally:
            set_state(before)  # also where a time limit came while the block was left
            setattr(request, _AT_WORK, False)

    setattr(call, _AT_WORK, True)
    kind.__call__ = call


def _carried(request: "Any") -> "dict[str, Any]":
    """
    Give what came along with a task, and which job of its sender it is.
    """
    carried = request.get(HEADER)
    if type(carried) is not dict:
        return {}
    job, nesting = request.id, request.replaced_task_nesting
    carried = {**carried, "job": f"{job} {nesting}" if nesting else job}
    home = carried.get("return")
    if type(home) is dict and home.get("host") != HOST_NAME:
        carried["return"] = {**home, "pid": None}  # another machine's processes
    return carried


def _tell_lost(
    sender: "Any" = None,
    request: "Any" = None,
    exception: object = None,
    terminated: object = None,
    **_: object,
) -> None:
    """
    Have who sent a task know at once that the process has died which was at it; where
    nobody here sees that, it is missed there.
    """
    if not terminated and not issubclass(type(exception), WorkerLostError):
        return
    carried = _carried(sender.request if request is None else request)
    home = carried.get("return")
    if type(home) is not dict:
        return
    try:
        with STREAMS.by(partial(redis_of, sender.app)):
            STREAMS.tell_lost(home, carried["job"])
    except Exception as exc:
        _report.failed(STREAMS, "a worker that died", exc)


def _leave(**_: object) -> None:
    """
    Leave with a process of a pool, which has no exit of an interpreter.
    """
    try:
        leave_now()
    finally:
        STREAMS.stop()


TRANSPORTS[KIND] = STREAMS
signals.before_task_publish.connect(_send_along, weak=False)
signals.worker_init.connect(_hear_tasks, weak=False)
signals.task_failure.connect(_tell_lost, weak=False)
signals.task_revoked.connect(_tell_lost, weak=False)
signals.worker_process_shutdown.connect(_leave, weak=False)
