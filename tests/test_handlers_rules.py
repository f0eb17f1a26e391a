"""
Handlers cannot break or change the call; ``raise_error = True`` turns this round.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from instrument import AsyncCallbackHandler, BaseCallbackHandler, callbacks, traced
from instrument.testing import Recorder

Called = Callable[..., Awaitable[Any]]

pytestmark = pytest.mark.anyio
both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
every_mode = ("sync", "async", "generator", "async generator")
async_modes = ("async", "async generator")


class Failing(BaseCallbackHandler):
    """
    Raises at the start and end of every chain.
    """

    def __init__(self, failure: BaseException | None = None) -> None:
        self.failure = failure or ValueError("the handler is broken")

    def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
        raise self.failure

    def on_chain_end(self, *args: Any, **kwargs: Any) -> None:
        raise self.failure

    def on_chain_error(self, *args: Any, **kwargs: Any) -> None:
        raise self.failure


class AsyncFailing(AsyncCallbackHandler):
    """
    The same in coroutines.
    """

    def __init__(self, failure: BaseException | None = None) -> None:
        self.failure = failure or ValueError("the handler is broken")

    async def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
        raise self.failure

    async def on_chain_end(self, *args: Any, **kwargs: Any) -> None:
        raise self.failure

    async def on_chain_error(self, *args: Any, **kwargs: Any) -> None:
        raise self.failure


class Lazy(BaseCallbackHandler):
    """
    A handler whose method cannot even be looked up.
    """

    @property
    def on_chain_end(self) -> Any:
        message = "no connection"
        raise OSError(message)


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


def fails() -> None:
    """
    Be a body that fails.
    """
    raise KeyError("the body")


@both_backends
@pytest.mark.parametrize("failure", [ValueError("broken"), SystemExit(3)])
@pytest.mark.parametrize("handler", [Failing, AsyncFailing])
@pytest.mark.rule(13, *every_mode)
async def test_failing_handler_does_not_break_the_call(
    called: Called, handler: Callable[[Any], Any], failure: BaseException
) -> None:
    """
    A handler that raises does not stop the call, nor the next handler.
    """
    recorder = Recorder()

    async with callbacks(handler(failure), recorder):
        result = await called(traced, lambda: "done")

    assert result in ("done", ["done"])
    assert names(recorder) == ["on_chain_start", "on_chain_end"]


@both_backends
@pytest.mark.parametrize("handler", [Failing, AsyncFailing])
@pytest.mark.rule(13, *every_mode)
async def test_failing_handler_at_error(called: Called, handler: Callable[[], Any]) -> None:
    """
    A handler that raises at an error changes nothing of what the caller gets.
    """
    recorder = Recorder()

    async with callbacks(handler(), recorder):
        with pytest.raises(KeyError, match="the body") as caught:
            await called(traced, fails)

    assert caught.value.__context__ is None
    assert names(recorder) == ["on_chain_start", "on_chain_error"]


@pytest.mark.rule(13, *every_mode)
async def test_failing_method_lookup(called: Called) -> None:
    """
    A handler whose method is a property that raises does not break the call.
    """
    recorder = Recorder()

    with callbacks(Lazy(), recorder):
        result = await called(traced, lambda: "done")

    assert result in ("done", ["done"])
    assert names(recorder) == ["on_chain_start", "on_chain_end"]


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
        got = await called(traced(kind=kind), lambda query: (list(query), result), given)

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


@pytest.mark.rule(13, *every_mode)
async def test_report_once_then_counted(called: Called, reports: list[str]) -> None:
    """
    A handler's failure is told once with its traceback, per event, and then counted.
    """
    handler = Failing()

    with callbacks(handler):
        for _ in range(10):
            await called(traced, lambda: None)

    assert [line.splitlines()[0] for line in reports] == [
        "Failing failed at on_chain_start; the call goes on without it",
        "Failing failed at on_chain_end; the call goes on without it",
        "Failing has failed 10 times at on_chain_start",
        "Failing has failed 10 times at on_chain_end",
    ]
    assert "Traceback (most recent call last)" in reports[0]
    assert "ValueError: the handler is broken" in reports[0]


@pytest.mark.parametrize("handler", [Failing, AsyncFailing])
@pytest.mark.rule(13, *every_mode)
async def test_raise_error_at_start(
    called: Called, handler: Callable[[], Any], mode: str
) -> None:
    """
    With ``raise_error`` the body does not run, all hear, and the run ends as an error.
    """
    if handler is AsyncFailing and mode in ("sync", "generator"):
        pytest.skip("an async handler cannot stop sync code on a loop's thread")
    stopper, recorder, bodies = handler(), Recorder(), list[str]()
    stopper.raise_error = True
    stopper.on_chain_error = None

    async with callbacks(stopper, recorder):
        with pytest.raises(ValueError, match="the handler is broken"):
            await called(traced, lambda: bodies.append("ran"))

    assert bodies == []
    assert names(recorder) == ["on_chain_start", "on_chain_error"]
    assert recorder.runs[0].status == "error"
    assert recorder.runs[0].error is stopper.failure


@pytest.mark.parametrize("handler", [Failing, AsyncFailing])
@pytest.mark.rule(13, *every_mode)
async def test_raise_error_at_end(
    called: Called, handler: Callable[[], Any], mode: str
) -> None:
    """
    With ``raise_error`` at the end the result is discarded, after all have heard.
    """
    if handler is AsyncFailing and mode in ("sync", "generator"):
        pytest.skip("an async handler cannot stop sync code on a loop's thread")
    stopper, recorder = handler(), Recorder()
    stopper.raise_error = True
    stopper.on_chain_start = None

    async with callbacks(stopper, recorder):
        with pytest.raises(ValueError, match="the handler is broken"):
            await called(traced, lambda: "result")

    assert names(recorder) == ["on_chain_start", "on_chain_end"]


@pytest.mark.parametrize("handler", [Failing, AsyncFailing])
@pytest.mark.rule(13, *every_mode)
async def test_raise_error_at_error(
    called: Called, handler: Callable[[], Any], mode: str
) -> None:
    """
    With ``raise_error`` at an error the original is the context of what is raised.
    """
    if handler is AsyncFailing and mode in ("sync", "generator"):
        pytest.skip("an async handler cannot stop sync code on a loop's thread")
    stopper, recorder = handler(), Recorder()
    stopper.raise_error = True
    stopper.on_chain_start = None

    async with callbacks(stopper, recorder):
        with pytest.raises(ValueError, match="the handler is broken") as caught:
            await called(traced, fails)

    assert isinstance(caught.value.__context__, KeyError)
    assert names(recorder) == ["on_chain_start", "on_chain_error"]
