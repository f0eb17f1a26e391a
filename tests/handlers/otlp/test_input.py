"""
What `OTLPHandler` is given, and what OpenTelemetry's variables say: what cannot be is an
error at once, with the value and the cure.
"""

import copy
from typing import Any

import pytest

from instrument import callbacks, traced
from instrument.handlers import OTLPHandler

URL = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    "given, error, said",
    [
        ({"endpoint": 5}, TypeError, "takes a URL, as 'http://localhost:4318', not 5"),
        ({"endpoint": ""}, ValueError, "not ''"),
        ({"endpoint": "localhost:4318"}, ValueError, "not 'localhost:4318'"),
        ({"endpoint": "grpc://host:4317"}, ValueError, "not 'grpc://host:4317'"),
        ({"endpoint": "http://"}, ValueError, "URL of a receiver of OTLP over HTTP"),
        ({"endpoint": "http://host:port"}, ValueError, "not 'http://host:port'"),
        ({"endpoint": "http://host:0"}, ValueError, "not 'http://host:0'"),
        ({"endpoint": "http://[::1"}, ValueError, "not 'http://"),
        ({"endpoint": "http://a b/"}, ValueError, "not 'http://a b/'"),
        ({"service": 5}, TypeError, r"service=...\) is a name, not 5"),
        ({"headers": "a=b"}, TypeError, "is a mapping of names to values.* not a str"),
        ({"headers": {"a": 5}}, TypeError, "the value of 'a' is a str, not a int"),
        ({"headers": {5: "a"}}, TypeError, "a name is a str, not 5"),
        ({"headers": {"a b": "c"}}, ValueError, "'a b' cannot be the name of a header"),
        ({"headers": {"a": "b\nc: d"}}, ValueError, "the value of 'a' has characters"),
        ({"headers": {"a": "é"}}, ValueError, "the value of 'a' has characters"),
        ({"dialect": "otel"}, ValueError, "'both' or 'gen_ai' or 'openinference'"),
        ({"payload": "all"}, TypeError, "True, False or a number of characters"),
        ({"payload": 0}, ValueError, "is 1 or more, not 0"),
        ({"metrics": 1}, TypeError, r"metrics=...\) is True or False, not 1"),
        ({"wait": "yes"}, TypeError, r"wait=...\) is True or False, not 'yes'"),
        ({"maxsize": 0}, ValueError, "is 1 or more, not 0"),
        ({"timeout_s": -1}, ValueError, "is more than 0 seconds"),
        ({"resource": {"a": object}}, TypeError, "a mapping of names to strings"),
        ({"resource": 5}, TypeError, "a mapping of names to strings or numbers, not 5"),
        (
            {"endpoint": f"{URL}/api", "metrics": True},
            ValueError,
            "whose path ends in /v1/traces, not 'http://127.0.0.1:1/api'",
        ),
    ],
)
def test_what_cannot_be(
    given: dict[str, Any], error: type[Exception], said: str
) -> None:
    """
    It is refused when it is given, by what it is.
    """
    with pytest.raises(error, match=said):
        OTLPHandler(**({"endpoint": URL} | given))


@pytest.mark.parametrize("value", ["sk-secret\n", b"sk-secret", "sk-secret\u2028x"])
def test_secret_that_cannot_be(value: Any) -> None:
    """
    The value of a header that cannot be sent is not shown, nor what stands in an address;
    white space around one is none of it.
    """
    with pytest.raises((TypeError, ValueError)) as raised:
        OTLPHandler(URL, headers={"x": value if value[-1] != "\n" else f"a{value}b"})
    with pytest.raises(ValueError, match="'ftp://host/x'") as of_url:
        OTLPHandler("ftp://ada:sk-secret@host/x?key=sk-secret")

    assert "sk-secret" not in f"{raised.value} {of_url.value}"


@pytest.mark.parametrize(
    "endpoint, url",
    [
        ("http://h:6006", "http://h:6006/v1/traces"),
        (" https://h/ ", "https://h/v1/traces"),
        ("https://h/api/otel/v1/traces", "https://h/api/otel/v1/traces"),
        ("https://h/x?a=b#c", "https://h/x?a=b"),
        ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
    ],
)
def test_address(endpoint: str, url: str) -> None:
    """
    An address without a path gets that of traces; any other is taken as it is.
    """
    assert OTLPHandler(endpoint)._sender.target.url == url


def test_user_in_address() -> None:
    """
    A user and password in an address are sent as a header, which one that is given wins
    over, and are shown nowhere.
    """
    handler = OTLPHandler("http://ada:p%40ss@h:1")
    given = OTLPHandler("http://ada:pass@h:1", headers={"Authorization": "Bearer x"})

    assert handler._sender.target.url == "http://h:1/v1/traces"
    assert handler._sender.target.headers == {"authorization": "Basic YWRhOnBAc3M="}
    assert given._sender.target.headers == {"authorization": "Bearer x"}
    assert repr(handler) == "<OTLPHandler to http://h:1/v1/traces>"


def test_where_metrics_go() -> None:
    """
    Metrics go beside traces.
    """
    target = OTLPHandler("http://h/api/v1/traces", headers={"a": "b"})._sender.target

    assert target.metrics().url == "http://h/api/v1/metrics"
    assert target.metrics().headers == {"a": "b"}


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    OpenTelemetry's variables are read, the forms for traces win, and options over both.
    """
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:4318/base/")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "a=1, b=x%20y%3D,,")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=2")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=one,region=e%2Cu")
    handler = OTLPHandler.from_env()
    target = handler._sender.target

    assert target.url == "http://h:4318/base/v1/traces"
    assert target.headers == {"a": "2", "b": "x y="}
    assert target.timeout_s == 3
    assert handler._sender._resource == {"service.name": "one", "region": "e,u"}

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://own/x")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "5000")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "two")
    handler = OTLPHandler.from_env(payload=False, headers={})
    target = handler._sender.target
    assert (target.url, target.headers) == ("http://own/x", {})
    assert target.timeout_s == 5
    assert handler._sender._resource["service.name"] == "two"
    assert handler._limit == 0


def test_bare_environment() -> None:
    """
    Where nothing is said, it is a receiver on this machine, and an unknown service.
    """
    handler = OTLPHandler.from_env()

    assert handler._sender.target.url == "http://localhost:4318/v1/traces"
    assert handler._sender._resource == {"service.name": "unknown_service"}


@pytest.mark.parametrize(
    "variable, value, said",
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "speaks 'http/protobuf' alone"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "is 'http/json'"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "long", "a number of seconds, not 'long'"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a", "OTLP_HEADERS is name=value"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a", "ATTRIBUTES is name=value"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "h:4317", "not 'h:4317/v1/traces'"),
    ],
)
def test_environment_that_cannot_be(
    variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What a variable says that cannot be is an error that names it.
    """
    monkeypatch.setenv(variable, value)

    with pytest.raises(ValueError, match=said):
        OTLPHandler.from_env()


@pytest.mark.parametrize(
    "value, hears", [("true", False), ("TRUE", False), ("1", True)]
)
def test_disabled(value: str, monkeypatch: pytest.MonkeyPatch, *, hears: bool) -> None:
    """
    With ``OTEL_SDK_DISABLED=true`` it hears nothing, and waits for nothing.
    """

    @traced.chat_model
    def model(messages: list[str]) -> str:
        return "x"

    monkeypatch.setenv("OTEL_SDK_DISABLED", value)
    handler = OTLPHandler.from_env()
    told: list[Any] = []
    monkeypatch.setattr(handler._sender, "put", lambda it, _: told.append(it))
    with callbacks(handler):
        model(["x"])

    assert bool(told) is hears
    assert handler.drain(1)


def test_copied() -> None:
    """
    A copy of a handler's owner has the handler itself.
    """
    handler = OTLPHandler(URL)

    assert copy.deepcopy([handler])[0] is handler
