"""
What a client asks: the path below where the page is mounted, the query, who it is.
"""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qsl

Scope = Mapping[str, Any]
"""An ASGI connection's."""

_MOST_FIELDS = 20
_PROXIES = (
    *(b"forwarded", b"via", b"x-forwarded-", b"x-real-ip", b"x-client-ip"),
    *(b"true-client-ip", b"cf-"),
)
"""How names begin of what a proxy adds; all who come through one seem to be on its
machine."""


def route_of(scope: Scope) -> str:
    """
    Give the path below where the application is mounted.
    """
    path, root = str(scope["path"]), str(scope.get("root_path") or "")
    is_below = path == root or path.startswith(f"{root}/")
    return path.removeprefix(root) if is_below else path


def query_of(scope: Scope) -> dict[str, str]:
    """
    Give the fields of the query, the last of each name.

    Raises:
        ValueError: There are too many.
    """
    text = scope.get("query_string", b"").decode("latin-1")
    fields = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    return dict(fields)


def is_of_others(scope: Scope) -> bool:
    """
    Tell whether another site's page asks, and would read the answer: an application may
    let all of them.
    """
    origin, host = header_of(scope, b"origin"), header_of(scope, b"host")
    return bool(origin) and origin.partition("://")[2].lower() != host.strip().lower()


def header_of(scope: Scope, name: bytes) -> str:
    """
    Give a header; nothing where it is missing, or there more than once.
    """
    found = [value for key, value in scope["headers"] if key == name]
    return found[0].decode("latin-1") if len(found) == 1 else ""


def host_of(scope: Scope) -> str:
    """
    Give the name or address that the client believes to talk to, without the port.
    """
    host = header_of(scope, b"host").strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def is_address(name: str) -> bool:
    """
    Tell whether *name* is an address, which nobody can have lead elsewhere.
    """
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(name: str) -> bool:
    """
    Tell whether *name*, a host's or an address, is this machine and no other.
    """
    if not is_address(name):
        return name == "localhost"
    address = ip_address(name)
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def is_local(scope: Scope) -> bool:
    """
    Tell whether the client is on this machine, and no proxy is between.
    """
    client = scope.get("client")
    if not client or not is_loopback(client[0]):
        return False
    return not any(name.startswith(_PROXIES) for name, _ in scope["headers"])
