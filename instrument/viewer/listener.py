"""
The socket at which the page is served: while no descriptor is left, who comes waits.
"""

import errno
import socket
from time import sleep
from typing import Any

from instrument._report import complain

_NOT_LEFT = (errno.EMFILE, errno.ENFILE)
_PAUSE_S = 0.02


class Listener(socket.socket):
    """
    One that says nobody is there while there is no descriptor for who comes.

    Up to Python 3.13 asyncio logs each of the hundred or thousands of attempts that it
    makes then, with a traceback, and each of these begins as many more a second later.
    """

    _is_told = False

    def accept(self) -> "tuple[socket.socket, Any]":
        """
        Take who comes.

        Raises:
            BlockingIOError: If nobody does, or no descriptor is left.
        """
        try:
            return super().accept()
        except OSError as exc:
            if exc.errno not in _NOT_LEFT:
                raise
            if not self._is_told:
                complain(f"The page lets who comes wait: {exc}", None)
            self._is_told = True
            sleep(_PAUSE_S)  # or the loop would do nothing but ask
            raise BlockingIOError from None


def listening(host: str, port: int) -> Listener:
    """
    Listen at an address.

    Raises:
        OSError: If that is not to be had.
    """
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    made = socket.create_server((host, port), family=family)
    return Listener(fileno=made.detach())
