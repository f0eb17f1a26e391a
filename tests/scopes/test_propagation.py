"""
What goes along to another process: the trace, and what was drawn for its samples.
"""

import json
import re
import sys
from collections.abc import Callable
from contextvars import Context
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instrument import callbacks, current_run, propagation, traced
from instrument._audience.sampling import drawn
from instrument.propagation import attach, carrier, extract, inject
from instrument.testing import Recorder

pytestmark = pytest.mark.anyio

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


@traced
def work() -> str:
    """
    Be a run; give its trace id.
    """
    return current_run().trace_hex


def elsewhere(act: Callable[[], Any]) -> Any:
    """
    Do *act* where nothing of here is open, as in another process.
    """
    return Context().run(act)


def heard(carried: dict[str, Any], sample: float, *, installed: bool = False) -> bool:
    """
    Tell whether a handler that hears a share hears a request that came with *carried*.
    """
    recorder = Recorder()
    block = callbacks(recorder, sample=sample)

    def serve() -> None:
        with attach(json.loads(json.dumps(carried))):
            if installed:
                with block.install():
                    work()
            else:
                with block:
                    work()

    elsewhere(serve)
    return bool(recorder.runs)


def test_trace_of_a_root() -> None:
    """
    All runs of a trace have one trace id for others, which is not the run's id.
    """

    @traced
    def outer() -> tuple[str, str]:
        return current_run().trace_hex, work()

    with callbacks(Recorder()):
        ids = outer()

    assert ids[0] == ids[1]
    assert re.fullmatch("[0-9a-f]{32}", ids[0])
    assert current_run().trace_hex != ids[0]


@pytest.mark.parametrize("installed", [False, True])
def test_draw_travels(*, installed: bool) -> None:
    """
    Who receives a carrier hears what its sender heard: nobody draws again.
    """
    for _ in range(50):
        recorder = Recorder()
        with callbacks(recorder, sample=0.5) as scope:
            number = scope.number
            assert number is not None
            work()
            assert carrier()["draw"] == number
        carried = {"draw": number}
        assert heard(carried, 0.5, installed=installed) is bool(recorder.runs)
        assert heard(carried, number + 1e-9, installed=installed)
        assert not heard(carried, number, installed=installed)


def test_draw_of_process_wide_handlers_travels() -> None:
    """
    What process-wide handlers drew by the trace id goes along as well.
    """
    hearing = []
    recorder, always = Recorder(), Recorder()

    @traced
    def root() -> dict[str, Any]:
        carried = carrier()
        del carried["return"]  # in this process those who hear there hear by themselves
        return carried

    with callbacks(always).install(), callbacks(recorder, sample=0.5).install():
        for _ in range(50):
            recorder.clear()
            carried = root()
            is_heard = bool(recorder.runs)
            trace_hex = carried["traceparent"].split("-")[1]
            assert carried["draw"] == drawn(trace_hex)
            assert carried["traceparent"].endswith("-01") is is_heard
            hearing.append((carried, is_heard))

    for carried, is_heard in hearing:
        assert heard(carried, 0.5) is is_heard
        assert heard(carried, 0.5, installed=True) is is_heard


@pytest.mark.parametrize("installed", [False, True])
@pytest.mark.parametrize("flags, is_heard", [("01", True), ("00", False), ("03", True)])
def test_flag_decides(flags: str, is_heard: bool, *, installed: bool) -> None:
    """
    Where only a ``traceparent`` came, its flag decides for all that hear a share.
    """
    headers = {"Traceparent": f"00-{TRACE}-{SPAN}-{flags}"}

    for sample in (0.001, 0.999):
        assert heard(extract(headers), sample, installed=installed) is is_heard
    assert heard(extract(headers), 1.0, installed=installed)


def test_flag_is_written() -> None:
    """
    The flag that goes out tells whether those hear that hear a share; where none do
    that, it is set.
    """
    for sample in (0.5, 1.0):
        flags = set()
        for _ in range(50):
            recorder = Recorder()
            with callbacks(Recorder()), callbacks(recorder, sample=sample):
                with traced("root"):
                    flag = inject({})["traceparent"][-2:]
                assert (flag == "01") is bool(recorder.runs)
                flags.add(flag)
        assert flags == ({"00", "01"} if sample < 1 else {"01"})


def test_trace_goes_on() -> None:
    """
    Runs below `attach` are of the trace that came in; each tells its own id onward.
    """
    with callbacks(Recorder()), attach(extract({"traceparent": PARENT})):
        assert work() == TRACE
        assert inject({}) == {"traceparent": PARENT}
        with traced("block"):
            first = inject({})["traceparent"].split("-")
        with traced("block"):
            second = inject({})["traceparent"].split("-")

    assert first[:2] == second[:2] == ["00", TRACE]
    assert len({SPAN, first[2], second[2]}) == 3


async def test_attached_in_async_code() -> None:
    """
    ``async with attach(...)`` is the same; a nested one counts, not the outer.
    """
    async with attach({"draw": 0.9}), attach({"draw": 0.1}):
        assert carrier() == {"v": 1, "draw": 0.1}
        recorder = Recorder()
        with callbacks(recorder, sample=0.5):
            work()

    assert recorder.runs
    assert carrier() == {}


def test_block_around_a_server() -> None:
    """
    What came in counts for the blocks inside, also where one around it has drawn.
    """
    with callbacks(Recorder(), sample=0.5), attach({"draw": 0.2}):
        with callbacks(Recorder(), sample=0.5) as scope:
            assert scope.number == 0.2
        with callbacks(Recorder(), sample=0.1) as scope:
            assert scope.number == 0.2


def test_nothing_to_tell() -> None:
    """
    Outside of all, nothing goes along, and headers are left as they are.
    """
    headers = {"Accept": "*/*"}

    assert carrier() == {}
    assert inject(headers) is headers
    assert headers == {"Accept": "*/*"}


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        PARENT[:-1],
        PARENT + "-",
        PARENT + "-more",
        PARENT + "0",
        PARENT.upper(),
        PARENT.replace("-", "_"),
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-0g",
        f"ff-{TRACE}-{SPAN}-01",
        f"01-{TRACE}-{SPAN}-01more",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE[:-1]}\u0661-{SPAN}-01",
        "x" * 1_000_000,
        None,
        7,
        ["00"],
    ],
    ids=range(19),
)
def test_bad_traceparent(value: Any) -> None:
    """
    A ``traceparent`` that is none is as if it were not there.
    """
    assert extract({"traceparent": value}) == {}
    with callbacks(Recorder()), attach({"traceparent": value}):
        assert work() != TRACE
        assert "traceparent" not in carrier()


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": PARENT},
        {"TraceParent": f" \t{PARENT} "},
        [(b"host", b"x"), (b"traceparent", PARENT.encode())],
        {"traceparent": f"cc-{TRACE}-{SPAN}-01-what-comes-later"},
        {"traceparent": f"cc-{TRACE}-{SPAN}-01"},
    ],
    ids=range(5),
)
def test_good_traceparent(headers: Any) -> None:
    """
    Names are of any case, values of text or bytes, and later versions are read as the
    first.
    """
    with callbacks(Recorder()), attach(extract(headers)):
        assert work() == TRACE


@pytest.mark.parametrize(
    "headers",
    [
        None,
        7,
        "traceparent",
        [("traceparent",)],
        [("traceparent", PARENT), ("Traceparent", PARENT)],
    ],
    ids=range(5),
)
def test_bad_headers(headers: Any) -> None:
    """
    What holds no header, or holds it twice, has none.
    """
    assert extract(headers) == {}


@pytest.mark.parametrize("draw", [-0.1, 1.1, float("nan"), True, "0.5", None, 10**400])
def test_bad_draw(draw: Any) -> None:
    """
    A draw that is none is passed over: the flag counts, or it is drawn here.
    """
    with attach({"draw": draw}):
        assert carrier() == {}
    with attach({"draw": draw, "traceparent": PARENT}):
        assert carrier() == {"v": 1, "draw": 0.0, "traceparent": PARENT}


def test_carrier_that_is_none() -> None:
    """
    What is no dict carries nothing.
    """
    nothing: list[Any] = [None, [], "draw", 7]
    for carried in nothing:
        with attach(carried):
            assert carrier() == {}


@given(st.text() | st.binary(), st.text() | st.binary(), st.text() | st.binary())
def test_any_header(parent: Any, state: Any, baggage: Any) -> None:
    """
    Whatever a stranger sends, nothing is raised.
    """
    sent = {"traceparent": parent, "tracestate": state, "baggage": baggage}
    came = extract(sent, metadata=["user_id"], tags=["beta"])
    with attach(came), attach({**sent, "metadata": baggage, "tags": state}):
        carrier()


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": PARENT, "TraceState": " vendor=a b, 0a@tenant=1,,x=y "},
        [
            (b"traceparent", PARENT.encode()),
            (b"tracestate", b"vendor=a b"),
            (b"tracestate", b"0a@tenant=1,x=y"),
        ],
    ],
    ids=["mapping", "pairs"],
)
def test_state_goes_on(headers: Any) -> None:
    """
    What tracers have noted for each other comes in with a trace, and goes on unchanged.
    """
    with callbacks(Recorder()), attach(extract(headers)):
        assert inject({})["tracestate"] == "vendor=a b,0a@tenant=1,x=y"
        with traced("block"):
            assert inject({})["tracestate"] == "vendor=a b,0a@tenant=1,x=y"
            carried = carrier()
    with attach(carried):
        assert carrier()["tracestate"] == "vendor=a b,0a@tenant=1,x=y"


def test_state_of_another_trace() -> None:
    """
    It does not go on with a trace that it did not come with.
    """
    came = extract({"traceparent": PARENT, "tracestate": "vendor=1"})

    with callbacks(Recorder()), traced("root"), attach(came):
        assert set(inject({})) == {"traceparent"}


@pytest.mark.parametrize(
    "state",
    [
        "",
        "vendor",
        "=1",
        "Vendor=1",
        "vendor=",
        "vendor=1=2",
        "vendor=\u00e9",
        "v=1,",
        ",".join(f"v{number}=1" for number in range(33)),
        "vendor=" + "x" * 65_536,
        "vendor=" + "x" * 257,
        None,
        7,
    ],
    ids=range(13),
)
def test_bad_state(state: Any) -> None:
    """
    A ``tracestate`` that is none is passed over; the trace goes on without it.
    """
    came = extract({"traceparent": PARENT, "tracestate": state})

    assert came == {"traceparent": PARENT} | (
        {"tracestate": "v=1"} if state == "v=1," else {}
    )
    assert extract({"traceparent": "none", "tracestate": "vendor=1"}) == {}


def test_baggage_by_an_allow_list() -> None:
    """
    Metadata and tags go along where they are allowed to, and come in where they are:
    text, numbers and truths, whatever characters they are of.
    """
    metadata = {
        "user_id": 'Ada, "née" Byron; 100%',
        "age": 36,
        "rate": 0.5,
        "vip": True,
        "old": False,
        "secret": "x",
        "cart": ["apple"],
    }
    keys = ["user_id", "age", "rate", "vip", "old", "cart", "missing"]
    seen: dict[str, Any] = {}

    @traced
    def there() -> None:
        run = current_run()
        seen.update(metadata=run.metadata, tags=run.tags)

    with callbacks(Recorder(), metadata=metadata, tags=["beta", "team:a b", "own"]):
        headers = inject({}, metadata=keys, tags=["beta", "team:a b", "other"])
        with traced("run"):
            again = inject({}, metadata=keys, tags=["beta", "team:a b", "other"])
    came = extract(headers, metadata=[*keys, "secret"], tags=["team:a b", "own"])
    with attach(came), callbacks(Recorder()):
        there()

    assert headers["baggage"] == again["baggage"]
    assert all(sign > " " and sign not in '"\\' for sign in headers["baggage"])
    assert headers["baggage"].isascii()
    assert "secret" not in headers["baggage"]
    assert seen == {
        "metadata": {
            "user_id": 'Ada, "née" Byron; 100%',
            "age": "36",
            "rate": "0.5",
            "vip": "true",
            "old": "false",
        },
        "tags": ("team:a b",),
    }


def test_no_baggage_unasked() -> None:
    """
    Nothing goes along, or comes in, that was not allowed.
    """
    with callbacks(Recorder(), metadata={"user_id": "ada"}, tags=["beta"]):
        assert inject({}) == {}
        assert inject({}, metadata=["other"], tags=["other"]) == {}

    assert extract({"baggage": "user_id=ada,instrument.tags=beta"}) == {}
    assert extract({"baggage": "user_id=ada"}, metadata=["other"], tags=["beta"]) == {}


def test_baggage_of_others() -> None:
    """
    What others have put there stays; of two values of one name, that of here.
    """
    headers = {"baggage": "vendor=1;ttl=5, user_id=bob"}

    with callbacks(Recorder(), metadata={"user_id": "ada"}):
        inject(headers, metadata=["user_id"])

    assert headers == {"baggage": "vendor=1;ttl=5,user_id=ada"}
    found = {"baggage": " user_id = ada ; ttl=5 ,,=,broken, x=%zz%FF"}
    came = extract(found, metadata=["user_id", "broken", "x", "ttl"])
    assert came["metadata"] == {"user_id": "ada", "broken": "", "x": "%zz\ufffd"}


def test_baggage_is_bounded() -> None:
    """
    What makes it longer than others take is left out, and one that is longer is not read.
    """
    metadata = {"long": "x" * 9_000, "short": "y", "big": 10**5_000, "half": "\ud800"}
    many = {f"k{number}": "v" for number in range(80)}

    with callbacks(Recorder(), metadata=metadata):
        assert inject({}, metadata=list(metadata))["baggage"].startswith("short=y,")
    with callbacks(Recorder(), metadata=many):
        baggage = inject({}, metadata=list(many))["baggage"]
    assert len(baggage.split(",")) == 64
    assert extract({"baggage": "a=b," + "x" * 65_536}, metadata=["a"]) == {}


def test_baggage_is_redacted() -> None:
    """
    What a redactor masks goes along masked, inside a run and outside, also where a block
    inside the run masks it.
    """
    metadata = {"password": "enigma"}
    outer = callbacks(Recorder(), metadata=metadata)
    with outer, traced("run"), callbacks(redact=["password"]):
        inner = inject({}, metadata=["password"])
    block = callbacks(Recorder(), metadata=metadata, redact=["password"])
    with block:
        headers = inject({}, metadata=["password"])
        with traced("run"):
            again = inject({}, metadata=["password"])
    nothing = callbacks(metadata={"a": "b"}, redact=lambda value, path: None)
    with nothing, callbacks(Recorder()):
        assert inject({}, metadata=["a"]) == {}

    assert "enigma" not in headers["baggage"] + again["baggage"] + inner["baggage"]


def test_mcp_meta() -> None:
    """
    ``_meta`` of MCP's messages takes and gives the same names as headers do.
    """
    meta: dict[str, Any] = {"progressToken": 7}

    with callbacks(Recorder(), metadata={"user_id": "ada"}), traced("call") as run:
        inject(meta, metadata=["user_id"])
        sent = run.trace_hex

    with attach(extract(meta, metadata=["user_id"])), callbacks(Recorder()):
        assert work() == sent
    assert set(meta) == {"progressToken", "traceparent", "baggage"}


@pytest.mark.parametrize("function", [inject, extract])
@pytest.mark.parametrize(
    "given, error",
    [
        ({"metadata": "user_id"}, TypeError),
        ({"tags": b"beta"}, TypeError),
        ({"metadata": [7]}, TypeError),
        ({"metadata": ["user id"]}, ValueError),
        ({"metadata": [""]}, ValueError),
        ({"tags": ["a,b"]}, ValueError),
    ],
    ids=str,
)
def test_bad_allow_list(function: Any, given: Any, error: type[Exception]) -> None:
    """
    A list of names that is none is an error at once.
    """
    with pytest.raises(error, match=f"{function.__name__}\\("):
        function({}, **given)


def test_described_by_nobody() -> None:
    """
    What has not come through `extract` describes nothing, where it is of another shape.
    """
    came = {"metadata": {"a": 1, 2: "b", "c": "d"}, "tags": ["x", 7]}

    with attach(came), callbacks(Recorder()), traced("run") as run:
        assert run.metadata == {"c": "d"}
        assert run.tags == ("x",)


def test_what_makes_carriers_cannot_be_imported(
    reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Where what makes carriers cannot be imported, nothing goes along, and that is said;
    not before a fork, at which nobody has asked for one.
    """
    monkeypatch.delattr("instrument._relay.carriers", raising=False)
    monkeypatch.setitem(sys.modules, "instrument._relay.carriers", None)

    with callbacks(Recorder()), traced("request") as run:
        carried = propagation.Carried(run)
        assert carried.carrier(reports=False) == {}
        assert reports == []
        assert carrier() == {}

    assert "carrier failed at import" in reports[0]


def test_what_has_come_cannot_be_read(
    reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Where it cannot be told what has come in, the work goes on as if nothing had.
    """

    def fail(*_: object) -> None:
        raise LookupError("no way to read it")

    monkeypatch.setattr(propagation._Attached, "_arrive", fail)
    recorder = Recorder()

    with callbacks(recorder), attach({"v": 1}):
        traced("work")(lambda: None)()

    assert [run.name for run in recorder.runs] == ["work"]
    assert "attach failed at attach" in reports[0]
