"""
Payloads that raise, and handlers that change theirs: the call stays as it is.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from instrument import BaseCallbackHandler, callbacks, traced
from instrument._payloads.kinds import KINDS
from instrument._report import failures
from instrument._text import safe_repr, safe_str
from instrument.testing import Recorder

Called = Callable[..., Awaitable[Any]]


pytestmark = pytest.mark.anyio


every_mode = ("sync", "async", "generator", "async generator")


def test_start_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where what a start tells cannot be read, that is reported, it is told all the same,
    and the block goes on.
    """
    heard: list[str] = []

    def fail(*_: object) -> None:
        raise LookupError("nothing to read")

    before = failures(KINDS["tool"])
    monkeypatch.setattr(type(KINDS["tool"]), "started", fail)
    starts = callbacks(on_tool_start=lambda name: heard.extend([name]))
    with starts, traced("search", kind="tool"):
        heard.append("body")

    assert heard == ["search", "body"]
    after = failures(KINDS["tool"])["reading a payload"]
    assert after == before.get("reading a payload", 0) + 1


class NoRepr:
    """
    A payload whose ``repr`` ends the program, if it is let; tame for the test's report.
    """

    armed = True

    def __repr__(self) -> str:
        if self.armed:
            raise SystemExit(3)
        return "NoRepr()"


class NoText:
    """
    A payload whose ``repr`` and ``str`` raise.
    """

    def __repr__(self) -> str:
        raise ValueError("no repr")


class NoAttributes:
    """
    A payload that raises whatever attribute it is asked for, as a closed proxy does.
    """

    def __getattr__(self, name: str) -> Any:
        raise OSError(name)


class NoBool:
    """
    A payload that is neither true nor equal to anything, as arrays are.
    """

    type = text = content = message = usage = choices = generations = property(
        lambda self: self
    )

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")

    def __eq__(self, other: object) -> Any:
        return self

    __hash__ = None  # type: ignore[assignment]


class Writer(BaseCallbackHandler):
    """
    A handler that reads its payloads, as a file or a log does.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []

    def on_event(self, event: Any, **kwargs: Any) -> None:
        self.lines.append(event.to_json())


class Typed(BaseCallbackHandler):
    """
    A handler that has every start and end of its own, so that payloads are made.
    """

    def _hear(self, *args: Any, **kwargs: Any) -> None: ...

    on_chain_start = on_llm_start = on_chat_model_start = on_tool_start = _hear
    on_retriever_start = on_embedding_start = on_chain_end = on_llm_end = _hear
    on_tool_end = on_retriever_end = on_embedding_end = on_llm_new_token = _hear


def names(recorder: Recorder) -> list[str]:
    """
    Give the events that it heard.
    """
    return [event.event for event in recorder.events]


@pytest.mark.parametrize("broken", [NoRepr, NoText, NoAttributes, NoBool])
@pytest.mark.parametrize(
    "kind", ["chain", "llm", "chat_model", "tool", "retriever", "embedding"]
)
@pytest.mark.rule(13, *every_mode)
async def test_broken_payload(called: Called, kind: str, broken: type) -> None:
    """
    Arguments, chunks and results that raise whatever is asked do not break the call.
    """
    payload = broken()
    recorder, writer, typed = Recorder(), Writer(), Typed()

    with callbacks(typed, writer, recorder):
        try:
            got = await called(traced(kind=kind), lambda given: given, payload)
        except SystemExit:
            pytest.fail("a payload ended the program")
        finally:
            vars(payload)["armed"] = False

    assert ((got[0] if isinstance(got, list) else got) is payload) is True
    start, end = kind, "llm" if kind == "chat_model" else kind
    heard = [event for event in names(recorder) if not event.endswith("token")]
    assert heard == [f"on_{start}_start", f"on_{end}_end"]


@pytest.mark.parametrize("kind", ["chain", "tool", "llm", "retriever"])
@pytest.mark.rule(13, *every_mode)
async def test_payload_containers_are_its_own(called: Called, kind: str) -> None:
    """
    A handler that changes lists and dicts of its payload changes nothing for the call.
    """
    given: list[str] = ["a"]
    result: dict[str, Any] = {"found": 1}

    class Vandal(Recorder):
        def on_event(self, event: Any, **kwargs: Any) -> None:
            super().on_event(event)
            for payload in (event.run.inputs, event.run.outputs, event.data):
                if isinstance(payload, dict):
                    for value in payload.values():
                        if isinstance(value, list):
                            value.clear()
                if isinstance(payload, (dict, list)):
                    payload.clear()
            event.tags.append("vandal")
            event.metadata["vandal"] = True

    vandal = Vandal()
    with callbacks(vandal, tags=["kept"], metadata={"kept": True}):
        got = await called(
            traced(kind=kind), lambda query: (list(query), result), given
        )

    assert (got[0] if isinstance(got, list) else got) == (["a"], {"found": 1})
    assert given == ["a"]
    assert vandal.runs[0].tags == ("kept",)
    assert vandal.runs[0].metadata == {"kept": True}


@pytest.mark.parametrize("result", [{"a": 1}, [1], {1}])
@pytest.mark.rule(13, "sync", "async")
async def test_result_containers_are_its_own(called: Called, result: Any) -> None:
    """
    A handler that empties the outputs it hears leaves the caller's result whole.
    """
    before = result.copy()

    def clear(outputs: Any) -> None:
        outputs.clear()

    with callbacks(on_chain_end=clear):
        got = await called(traced, lambda: result)

    assert got is result
    assert got == before


@pytest.mark.rule(13, "sync")
def test_messages_that_cannot_be_counted() -> None:
    """
    Messages in a list with code of its own are read as a list's are: it is not asked.
    """
    first, second = Recorder(), Recorder()

    class NoLength(list[str]):
        def __len__(self) -> int:
            raise ValueError("no length")

    with callbacks(first, second):
        traced.chat_model(lambda messages: "answer")(NoLength(["hi"]))

    for recorder in (first, second):
        assert [
            (event.event, event.data.get("messages")) for event in recorder.events
        ] == [
            ("on_chat_model_start", [{"role": "user", "content": "hi"}]),
            ("on_llm_end", None),
        ]


@pytest.mark.rule(13, "sync")
def test_messages_that_hold_themselves() -> None:
    """
    A chat model called with a list of only itself is a call like any other.
    """
    cyclic: list[Any] = []
    cyclic.append(cyclic)
    writer = Writer()

    with callbacks(writer, Typed()):
        assert traced.chat_model(len)(cyclic) == 1

    assert len(writer.lines) == 2


def test_text_that_is_interrupted() -> None:
    """
    An interrupt that comes while a value writes itself goes through.
    """

    class Interrupts:
        def __repr__(self) -> str:
            raise KeyboardInterrupt

        __str__ = __repr__

    for write in (safe_repr, safe_str):
        with pytest.raises(KeyboardInterrupt):
            write(Interrupts())
