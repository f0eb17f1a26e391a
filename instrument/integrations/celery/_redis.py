"""
Which Redis brings events home: what the app's own settings say, on each side.
"""

from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit


class Found(NamedTuple):
    """
    A Redis, and the setting that names it.
    """

    setting: str
    url: str
    options: dict[str, Any]


OWN = "instrument_redis_url"
_SETTINGS = {
    OWN: None,
    "broker_url": "broker_use_ssl",
    "broker_write_url": "broker_use_ssl",
    "broker_read_url": "broker_use_ssl",
    "result_backend": "redis_backend_use_ssl",
}
"""Where a URL may be, in this order, and what is set of TLS beside it."""
_SCHEMES = {
    "redis": "redis",
    "rediss": "rediss",
    "redis+socket": "unix",
    "socket": "unix",
    "unix": "unix",
}


def redis_of(app: Any, first: str | None = None) -> Found | None:
    """
    Find the Redis of an app: a setting of its own, else its broker, else where results go.

    Args:
        first: The setting by which the other side has found it.
    """
    names = sorted(_SETTINGS, key=lambda name: name != first)
    for name in names:
        url = _redis_url(app.conf.get(name))
        if url is not None:
            tls = _SETTINGS[name] and app.conf.get(_SETTINGS[name])
            return Found(name, url, dict(tls) if type(tls) is dict else {})
    return None


def _redis_url(given: Any) -> str | None:
    """
    Give the first URL of a Redis as redis-py reads it; None where there is none.
    """
    listed = given.split(";") if isinstance(given, str) else given
    for it in listed if isinstance(listed, (list, tuple)) else ():
        parts = urlsplit(str(it).strip())
        scheme = _SCHEMES.get(parts.scheme)
        if scheme is not None:
            query = urlencode([_option(*pair) for pair in parse_qsl(parts.query)])
            place = f"{scheme}://{parts.netloc}{parts.path}"
            return f"{place}?{query}" if query else place
    return None


def _option(name: str, value: str) -> tuple[str, str]:
    """
    Write an option of a URL as redis-py does.
    """
    if name == "virtual_host":
        return "db", value.strip("/")
    if name == "ssl_cert_reqs":
        return name, value.lower().removeprefix("cert_")
    return name, value
