"""
Dask: what a client sends to workers is heard by who sent it, through the scheduler.

``client = hear(client)``; nothing of Dask is replaced. Workers need this package, the
scheduler does not.
"""

import asyncio
import os
from contextlib import suppress
from contextvars import ContextVar

import wrapt

from instrument import _report
from instrument._relay import homes
from instrument._relay.carriers import carrier_of
from instrument._relay.relay import TRANSPORTS
from instrument._relay.sockets import HOST_NAME
from instrument._relay.transport import Elsewhere
from instrument._runs.opening import state_in_hand
from instrument._scopes.binding import Bound
from instrument._state import Frame, get_state
from instrument.integrations.dask._stations import STATIONS, STOP_S, DaskLine, Station
from instrument.propagation import attach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

    from distributed import Client

    from instrument._relay.transport import Line

__all__ = ["hear"]


def hear(client: "Client") -> "HeardClient":
    """
    Give *client* as one whose ``submit`` and ``map`` are heard: what their functions do
    in a worker is told to the handlers of here, live and in order, below the run in hand.

    So is its executor. All else is as it was, and *client* itself as well. Its ``bind``
    does the same for a function that goes another way: ``delayed(client.bind(f))(x)``. In
    a task ``hear(get_client())`` sends on, past the task, to who sent that.

    An asynchronous client is heard the same way.
    """
    return client if type(client) is HeardClient else HeardClient(client)


class HeardClient(wrapt.ObjectProxy):  # type: ignore[type-arg]
    """
    A client of Dask that binds what it sends.
    """

    def submit(self, func: "Any", *args: "Any", **kwargs: "Any") -> "Any":
        """Send a call, as ``Client.submit`` does; an actor goes as it is."""
        sent = func if _is_actor(kwargs) else self.bind(func)
        return self.__wrapped__.submit(sent, *args, **kwargs)

    def map(self, func: "Any", *iterables: "Any", **kwargs: "Any") -> "Any":
        """Send calls, as ``Client.map`` does."""
        sent = func if _is_actor(kwargs) else self.bind(func)
        return self.__wrapped__.map(sent, *iterables, **kwargs)

    def get_executor(self, **kwargs: "Any") -> "Any":
        """Give an executor of `concurrent.futures` that is heard the same way."""
        from distributed.cfexecutor import ClientExecutor

        return ClientExecutor(self, **kwargs)

    def bind(self, func: "Any") -> "Any":
        """
        Have *func* run in the scope of now, in whichever worker it runs.

        Where nobody hears and no trace is open it is given back as it is.
        """
        carrier = self._carrier() if callable(func) else None
        if not carrier:
            return func
        from distributed.utils import iscoroutinefunction

        return (AsyncJob if iscoroutinefunction(func) else Job)(func, carrier)

    def close(self, *args: "Any", **kwargs: "Any") -> "Any":
        """Close it: nothing more comes home by it."""
        self._leave(0 if self.__wrapped__.asynchronous else STOP_S)
        return self.__wrapped__.close(*args, **kwargs)

    def shutdown(self) -> "Any":
        """Close it, and the cluster."""
        self._leave(0 if self.__wrapped__.asynchronous else STOP_S)
        return self.__wrapped__.shutdown()

    def __enter__(self) -> "Self":
        self.__wrapped__.__enter__()
        return self

    def __exit__(self, *exc: object) -> "Any":
        self._leave()
        return self.__wrapped__.__exit__(*exc)

    async def __aenter__(self) -> "Self":
        await self.__wrapped__.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> "Any":
        await asyncio.to_thread(self._leave)  # the scheduler may be on this loop
        return await self.__wrapped__.__aexit__(*exc)

    def _carrier(self) -> "dict[str, Any]":
        token = _in_hand.set(self.__wrapped__)
        try:
            if _is_inside(self.__wrapped__):
                state = state_in_hand()
                return {"id": homes.kept(state)} if isinstance(state, Frame) else {}
            return carrier_of(get_state(), is_kept=False, transport=DASK)
        except Exception as exc:
            _report.failed(hear, "submit", exc)
            return {}
        finally:
            _in_hand.reset(token)

    def _leave(self, wait_s: float = STOP_S) -> None:
        client = self.__wrapped__
        if client.scheduler is not None:
            STATIONS.leave(client.scheduler.address, client, wait_s)


class Job:
    """
    A function on its way to a worker, and what goes along.

    Dask knows it by the function's name and token: what is the same call without us is
    the same with us, and done once.
    """

    def __init__(self, function: "Any", carrier: "dict[str, Any]") -> None:
        from dask.utils import funcname

        self.__name__ = funcname(function)
        self.function, self.carrier = function, carrier
        self._token = os.urandom(4).hex()

    def __call__(self, /, *args: "Any", **kwargs: "Any") -> "Any":
        frame = homes.found(self.carrier.get("id"))
        if frame is not None:  # of this process
            return Bound(frame).plain(self.function)(*args, **kwargs)
        with attach(self._carried()):
            return self.function(*args, **kwargs)

    def __dask_tokenize__(self) -> object:
        from dask.tokenize import normalize_token

        return normalize_token(self.function)

    def __repr__(self) -> str:
        return repr(self.function)

    def _carried(self) -> "dict[str, Any]":
        """
        Give the carrier of one call: with the name of the job that it is, and without the
        process that sent it where that is another machine's.
        """
        made = {**self.carrier}
        key = _key()
        if key is not None:  # several of ours may be fused to one task
            made["job"] = f"{key} {self._token}"
        home = made.get("return")
        if home and home.get("host") != HOST_NAME:
            made["return"] = {name: home[name] for name in home if name != "pid"}
        return made


class AsyncJob(Job):
    """
    The same of a coroutine function, which Dask runs on the worker's loop.
    """

    __tornado_coroutine__ = True  # how Dask knows one that is no plain function

    async def __call__(self, /, *args: "Any", **kwargs: "Any") -> "Any":
        frame = homes.found(self.carrier.get("id"))
        if frame is not None:
            return await Bound(frame).coroutine(self.function)(*args, **kwargs)
        async with attach(self._carried()):
            return await self.function(*args, **kwargs)


class Dask:
    """
    A `Transport` through the scheduler of the client in hand, or of the worker's.
    """

    def listen(self, serve: "Callable[[Line], None]") -> None:
        self._serve = serve

    def address(self) -> "dict[str, Any]":
        client = _in_hand.get()
        station = self._station(client, is_worker=_worker() is not None)
        station.users.add(client)
        if not client.asynchronous:
            station.wait()  # else it may be this loop that has to go on
        here = {"host": HOST_NAME, "pid": os.getpid()}
        made = {"kind": "dask", **here, "to": station.id}
        return made if station.is_ready() else {**made, "early": True}

    def open(self, address: "dict[str, Any]") -> DaskLine:
        to = address.get("to")
        if type(to) is not str:
            raise ValueError("no address of a client of Dask")
        worker = _worker()
        if worker is None:
            raise Elsewhere("no worker of Dask is here")
        station = self._station(worker, is_worker=True)
        if station.id == to:
            raise Elsewhere("it was sent from here, and nobody there hears any more")
        station.wait()
        is_early = address.get("early") is True
        return station.line_to(to, worker.address, is_early=is_early)

    def _station(self, node: "Any", *, is_worker: bool) -> Station:
        role = "worker" if is_worker else "instrument"
        return STATIONS.at(node.scheduler.address, node.security, self._take, role)

    def _take(self, line: DaskLine) -> None:
        self._serve(line)


def _is_actor(kwargs: "dict[str, Any]") -> bool:
    return bool(kwargs.get("actor") or kwargs.get("actors"))


def _is_inside(client: "Any") -> bool:
    """
    Tell whether its workers are threads of this process.
    """
    return str(client.scheduler.address).startswith("inproc:")


def _key() -> str | None:
    """
    Give the key of the task of here; None where it is not known.
    """
    worker = _worker()
    try:
        if worker is not None:
            return str(worker.get_current_task())
    except LookupError:  # on its loop
        pass
    with suppress(RuntimeError):
        task = asyncio.current_task()
        name = "" if task is None else task.get_name()
        return name if name.startswith("execute(") else None
    return None


def _worker() -> "Any":
    """
    Give the worker whose task this is; None outside of any.
    """
    from distributed import get_worker

    try:
        return get_worker()
    except ValueError:
        return None


_in_hand: "ContextVar[Any]" = ContextVar("instrument_dask_client")
DASK = Dask()
TRANSPORTS["dask"] = DASK
