"""
What goes along to another process: the trace, and what was drawn for its samples.
"""

import json
import re
from collections.abc import Callable
from contextvars import Context
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instrument import callbacks, current_run, traced
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
            carried = carrier()
        assert carried == {"draw": number}
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
        return carrier()

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
        assert carrier() == {"draw": 0.1}
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
        assert carrier() == {}


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
        assert carrier() == {"draw": 0.0, "traceparent": PARENT}


def test_carrier_that_is_none() -> None:
    """
    What is no dict carries nothing.
    """
    nothing: list[Any] = [None, [], "draw", 7]
    for carried in nothing:
        with attach(carried):
            assert carrier() == {}


@given(st.text() | st.binary())
def test_any_header(value: Any) -> None:
    """
    Whatever a stranger sends, nothing is raised.
    """
    with attach(extract({"traceparent": value})), attach({"traceparent": value}):
        carrier()
