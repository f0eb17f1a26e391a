"""
`Target`: where spans go, checked when it is given, and read from OpenTelemetry's variables.

Values of headers are secrets: nothing here shows one.
"""

import os
import re
from base64 import b64encode
from urllib.parse import unquote, urlsplit

from instrument._text import safe_repr, type_of
from instrument.handlers._shared.checks import checked_seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

TRACES, METRICS = "/v1/traces", "/v1/metrics"
DEFAULT = "http://localhost:4318"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_LONG = 8
_SCHEMES = ("basic", "bearer", "token")
_FROM_MS = 1_000
"""From here on a timeout is the specification's, in milliseconds; below, in seconds as
OpenTelemetry's own exporter for Python takes it."""


class Target:
    """
    A receiver: its address, what it is to be told in headers, and how long it may take.

    Attributes:
        shown: The address without what may be secret in it.
    """

    __slots__ = ("headers", "shown", "timeout_s", "url")

    def __init__(
        self, endpoint: object, headers: object = None, timeout_s: object = 10.0
    ) -> None:
        url, user = _parted(checked_endpoint(endpoint))
        self.url = url
        self.headers = user | checked_headers(headers)
        self.timeout_s = checked_seconds("OTLPHandler(timeout_s=...)", timeout_s)
        self.shown = _shown(self.url)

    @property
    def key(self) -> "tuple[Any, ...]":
        """
        What tells it from others.
        """
        return self.url, tuple(sorted(self.headers.items())), self.timeout_s

    def metrics(self) -> "Target":
        """
        Give the same receiver, where it takes metrics.

        Raises:
            ValueError: If its address does not tell where that is.
        """
        parts = urlsplit(self.url)
        if not parts.path.endswith(TRACES):
            message = (
                f"OTLPHandler(metrics=True) needs an endpoint whose path ends in {TRACES},"
                f" not {self.shown!r}: where metrics go is told by it."
            )
            raise ValueError(message)
        path = parts.path.removesuffix(TRACES) + METRICS
        url = parts._replace(path=path).geturl()
        return Target(url, self.headers, self.timeout_s)

    def without_secrets(self, text: str) -> str:
        """
        Give *text*, which a receiver may have written, without the values of headers.
        """
        known = {
            piece
            for value in self.headers.values()
            for piece in (value, *value.split())
            if piece and piece.lower() not in _SCHEMES
        }
        for piece in sorted(known, key=len, reverse=True):
            found = re.escape(piece)
            if len(piece) < _LONG:  # it may stand in other words by chance
                found = rf"(?<!\w){found}(?!\w)"
            text = re.sub(found, "[redacted]", text)
        return text


def checked_endpoint(endpoint: object) -> str:
    """
    Give the URL that spans are sent to; without a path it gets ``/v1/traces``.

    Raises:
        TypeError: If it is no str.
        ValueError: If it is no URL of http or https.
    """
    if not isinstance(endpoint, str):
        message = f"OTLPHandler takes a URL, as {DEFAULT!r}, not {safe_repr(endpoint)}."
        raise TypeError(message)
    try:
        parts = urlsplit(endpoint.strip())
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname)
        is_url = is_url and parts.port != 0 and not _CONTROL.search(parts.netloc)
    except ValueError:  # of a port or an address
        is_url = False
    if not is_url or " " in endpoint.strip():
        message = (
            f"OTLPHandler takes the URL of a receiver of OTLP over HTTP, as {DEFAULT!r},"
            f" not {_shown(endpoint)!r}."
        )
        raise ValueError(message)
    if parts.path in ("", "/"):
        parts = parts._replace(path=TRACES)
    return parts._replace(fragment="").geturl()


def _parted(url: str) -> "tuple[str, dict[str, str]]":
    """
    Part a URL from the user and password in it, which are sent as a header.
    """
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, {}
    basic = b64encode(unquote(user).encode()).decode()
    return parts._replace(netloc=host).geturl(), {"authorization": f"Basic {basic}"}


def checked_headers(headers: object) -> "dict[str, str]":
    """
    Give *headers* as a dict of their own.

    Raises:
        TypeError: If they are no mapping of strings to strings.
        ValueError: If one could not be sent.
    """
    if headers is None:
        return {}
    pairs: Any = getattr(headers, "items", None)
    if pairs is None:
        message = (
            "OTLPHandler(headers=...) is a mapping of names to values, as"
            f" {{'authorization': 'Bearer ...'}}, not a {type_of(headers)}."
        )
        raise TypeError(message)
    return {_checked_name(name): _checked_value(name, value) for name, value in pairs()}


def checked_resource(
    resource: "Mapping[str, Any] | None", service: object
) -> "dict[str, Any]":
    """
    Give the attributes of what sends: the service, and what else is said of it.

    Raises:
        TypeError: If the names are no strings, or the values neither these nor numbers.
    """
    if service is not None and not isinstance(service, str):
        message = f"OTLPHandler(service=...) is a name, not {safe_repr(service)}."
        raise TypeError(message)
    made: dict[str, Any] = {"service.name": "unknown_service"}
    given: Any = {} if resource is None else resource
    for name, value in given.items() if hasattr(given, "items") else [(given, given)]:
        if not isinstance(name, str) or not isinstance(value, (str, bool, int, float)):
            message = (
                "OTLPHandler(resource=...) is a mapping of names to strings or numbers,"
                f" not {safe_repr(given)}."
            )
            raise TypeError(message)
        made[name] = value
    if service:
        made["service.name"] = service
    return made


def from_environment() -> "dict[str, Any]":
    """
    Give what OpenTelemetry's variables say, as arguments of `OTLPHandler`.

    Raises:
        ValueError: For a value that cannot be; names the variable.
    """
    protocol = _read("PROTOCOL") or "http/protobuf"
    if protocol != "http/protobuf":
        message = (
            f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}, and OTLPHandler speaks"
            " 'http/protobuf' alone: give that, and the port where the receiver takes it"
            " (4318 of most)."
        )
        raise ValueError(message)
    resource = _pairs("OTEL_RESOURCE_ATTRIBUTES")
    return {
        "endpoint": _endpoint(),
        "headers": _pairs("OTEL_EXPORTER_OTLP_HEADERS")
        | _pairs("OTEL_EXPORTER_OTLP_TRACES_HEADERS"),
        "timeout_s": _timeout(),
        "service": os.environ.get("OTEL_SERVICE_NAME") or resource.get("service.name"),
        "resource": resource,
    }


def is_disabled() -> bool:
    """
    Tell whether ``OTEL_SDK_DISABLED`` says that nothing is to be sent.
    """
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def _read(name: str) -> str:
    traces = os.environ.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}", "").strip()
    return traces or os.environ.get(f"OTEL_EXPORTER_OTLP_{name}", "").strip()


def _endpoint() -> str:
    own = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip()
    if own:
        return own
    base = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip() or DEFAULT
    return base.rstrip("/") + TRACES


def _timeout() -> float:
    text = _read("TIMEOUT") or "10"
    try:
        number = float(text)
    except ValueError:
        message = f"OTEL_EXPORTER_OTLP_TIMEOUT is a number of seconds, not {text!r}."
        raise ValueError(message) from None
    return number / 1_000 if number >= _FROM_MS else number


def _pairs(variable: str) -> "dict[str, str]":
    """
    Read ``name=value,other=value``, each percent-encoded.
    """
    made = {}
    for pair in os.environ.get(variable, "").split(","):
        if not pair.strip():
            continue
        name, equals, value = pair.partition("=")
        if not equals:
            message = f"{variable} is name=value,name=value: one pair has no '='."
            raise ValueError(message)
        made[unquote(name.strip())] = unquote(value.strip())
    return made


def _checked_name(name: object) -> str:
    if not isinstance(name, str):
        message = f"OTLPHandler(headers=...): a name is a str, not {safe_repr(name)}."
        raise TypeError(message)
    if not _NAME.fullmatch(name):
        message = f"OTLPHandler(headers=...): {name!r} cannot be the name of a header."
        raise ValueError(message)
    return name.lower()


def _checked_value(name: object, value: object) -> str:
    if not isinstance(value, str):
        message = (
            f"OTLPHandler(headers=...): the value of {name!r} is a str, not a"
            f" {type_of(value)}."
        )
        raise TypeError(message)
    value = value.strip()
    if _CONTROL.search(value) or not value.isascii():
        message = (
            f"OTLPHandler(headers=...): the value of {name!r} has characters that no"
            " header may have: line breaks, or other than ASCII."
        )
        raise ValueError(message)
    return value


def _shown(url: str) -> str:
    """
    Give a URL without a user's name and password, and without its query.
    """
    before, slashes, rest = url.partition("://")
    if not slashes:
        before, rest = "", url
    place = rest.partition("?")[0].partition("#")[0]
    host, slash, path = place.partition("/")
    return f"{before}{slashes}{host.rpartition('@')[2]}{slash}{path}"
