"""
The page that shows what is in a store: a plain ASGI application, and a server for it.

It reads the store and nothing else. Whoever may see the page sees prompts and answers:
`access` says who that is.
"""

from typing import TYPE_CHECKING, Any

import instrument  # whole first, though another thread is importing it; so is
import instrument.handlers._store  # noqa: F401 - this, of which modules are used here
from instrument.handlers._store.place import checked_path
from instrument.viewer.access import Mounted
from instrument.viewer.app import Viewer

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from instrument.handlers import StoreHandler
    from instrument.handlers._store.reader import Reader

__all__ = ["viewer"]


def viewer(
    store: "str | os.PathLike[str] | StoreHandler | Reader | None",
    *,
    allow: "Callable[[Any], Any] | None" = None,
) -> Viewer:
    """
    Make the page of *store*, to be mounted in an application.

    ``app.mount("/traces", viewer("traces.db", allow=may_see))`` in Starlette and
    FastAPI; any server of ASGI on asyncio takes it as it is.

    Args:
        store: A file's path, which need not be there yet; or what writes or reads it.
            None: the user's own store.
        allow: Called with the ASGI scope of each request, awaited where it is async:
            whether that client may see the page. None: clients on this machine may,
            unless they come through a proxy.

    Raises:
        TypeError: *store* is no path, or *allow* no function.
        StoreError: *store* is a folder.
    """
    return Viewer(checked_path(getattr(store, "path", store)), Mounted(allow))
