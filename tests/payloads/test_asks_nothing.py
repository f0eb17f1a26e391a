"""
Nothing of the application's is asked for anything: every special method and attribute of
what passes through raises, and counts; a ``repr`` alone may be asked, and the text of an
exception.
"""

import io
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from instrument import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    bind,
    callbacks,
    current_run,
    emit,
    traced,
)
from instrument.handlers import (
    BudgetHandler,
    FileCallbackHandler,
    MonitorHandler,
    RequestLogger,
    StdOutCallbackHandler,
    StreamingStdOutCallbackHandler,
    TokenStream,
    UsageHandler,
    WebSocketHandler,
    background,
    filtered,
)
from instrument.testing import Recorder

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

KINDS = (
    "chain",
    "tool",
    "llm",
    "chat_model",
    "retriever",
    "embedding",
    "agent",
    "of its own",
)
ATTRIBUTES = [
    "type",
    "content",
    "text",
    "role",
    "choices",
    "generations",
    "usage",
    "usage_metadata",
    "model_fields",
    "data",
    "embeddings",
    "message",
    "delta",
    "output",
    "metadata",
    "page_content",
    "candidates",
    "stop_reason",
    "done",
    "tool_calls",
    "tool_call_chunks",
    "response_metadata",
    "name",
    "id",
    "function",
    "args",
    "arguments",
    "value",
    "outcome",
    "attempt_number",
    "generator",
    "http_response",
    "keys",
    "items",
    "values",
    "get",
    "copy",
    "__pydantic_extra__",
    "__pydantic_fields_set__",
    "__dict__",
    "__class__",
    "__wrapped__",
    "__func__",
    "__self__",
    "__name__",
    "__notes__",
    "__rich_repr__",
    "_repr_html_",
    "model_dump",
    "to_dict",
    "dict",
    "json",
]
OF_CLASSES = [
    "__del__",
    "__new__",
    "__init__",
    "__init_subclass__",
    "__doc__",
    "__slots__",
    "__module__",
    "__abstractmethods__",
    "__annotations__",
    "__weakref__",
    "__class_getitem__",
    "__subclasshook__",
    "__parameters__",
    "__orig_bases__",
    "__static_attributes__",
    "__firstlineno__",
    "__mro_entries__",
    "__set_name__",
]


class Own(BaseException):
    """
    An exception that is no `Exception`.
    """


def special_names() -> set[str]:
    """
    Name every special method that some builtin type has, and those that no one has.
    """
    types = (object, int, float, str, bytes, list, dict, set, memoryview, io.StringIO)
    found = {name for it in types for name in dir(it)}
    found |= set(dir(Iterator)) | set(dir(AsyncIterator)) | set(dir(partial))
    more = "getattr set_name get set delete await aenter aexit fspath missing prepare"
    more += " instancecheck copy deepcopy index bool length_hint buffer mro_entries"
    found |= {f"__{name}__" for name in more.split()}
    special = {name for name in found if name[:2] == name[-2:] == "__"}
    return special - set(OF_CLASSES) - set(ATTRIBUTES)


class Asked(list[str]):
    """
    What objects were asked; while `is_armed` they raise then, later they can be shown.
    """

    is_armed = True


def hostile(error: type[BaseException], asked: Asked, base: type = object) -> type[Any]:
    """
    Make a class whose objects raise whatever they are asked, and note what that was.
    """

    def asks(name: str) -> Callable[..., Any]:
        def method(*args: Any, **_: object) -> Any:
            if asked.is_armed:
                is_attribute = name in ("__getattribute__", "__getattr__")
                asked.append(f"{name}({args[1]})" if is_attribute else name)
                raise error(name)
            if name == "__repr__":
                return "<hostile>"
            if name == "__getattribute__":
                return object.__getattribute__(*args)
            raise AttributeError(name)

        return method

    space: dict[str, Any] = {name: asks(name) for name in special_names()}
    for name in ATTRIBUTES:
        space[name] = property(asks(name))
    return type("Hostile", (base,), space)


@contextmanager
def passing(error: type[BaseException]) -> Iterator[tuple[Any, Asked]]:
    """
    Give such an object, and what it is asked.
    """
    asked = Asked()
    try:
        yield hostile(error, asked)(), asked
    finally:
        asked.is_armed = False


class Typed(BaseCallbackHandler):
    """
    Hears each start and end by a method of its own, so that payloads are made.
    """

    def _hear(self, *args: Any, **kwargs: Any) -> None: ...

    on_chain_start = on_llm_start = on_chat_model_start = on_tool_start = _hear
    on_retriever_start = on_embedding_start = on_chain_end = on_llm_end = _hear
    on_tool_end = on_retriever_end = on_embedding_end = on_llm_new_token = _hear
    on_chain_error = on_llm_error = on_tool_error = on_retriever_error = _hear
    on_custom_event = on_text = on_retry = on_embedding_error = _hear


class Later(AsyncCallbackHandler):
    """
    Hears some of it in async code.
    """

    async def on_chain_start(self, *args: Any, **kwargs: Any) -> None: ...

    async def on_llm_new_token(self, *args: Any, **kwargs: Any) -> None: ...

    async def on_event(self, event: Any, **kwargs: Any) -> None:
        event.to_json()


def handlers(folder: Path) -> list[Any]:
    """
    Make one of each handler.
    """

    sent: list[str] = []
    made = [
        Recorder(),
        Typed(),
        lambda event: event.to_json(),
        Later(),
        BudgetHandler(max_calls=1_000),
        FileCallbackHandler(folder / "events.jsonl"),
        MonitorHandler(),
        RequestLogger(payload=True),
        StdOutCallbackHandler(file=io.StringIO()),
        StreamingStdOutCallbackHandler(file=io.StringIO()),
        TokenStream(),
        UsageHandler(),
        WebSocketHandler(SimpleNamespace(send=sent.append)),
        background(Recorder()),
        filtered(Recorder(), kinds=["chain", "tool"]),
    ]
    if find_spec("rich"):
        from instrument.handlers import TreeHandler

        made.append(TreeHandler(file=io.StringIO()))
    return made


def driven(work: Coroutine[Any, Any, Any]) -> Any:
    """
    Run a coroutine that waits for nothing; a loop would ask what it returns or raises.
    """
    try:
        work.send(None)
    except StopIteration as stop:
        return stop.value


Decorate = Callable[[Any], Any]


def function(decorate: Decorate, value: Any) -> list[object]:
    """
    Pass it to a function and back, in every place of a call.
    """

    @decorate
    def work(first: object, *more: object, named: object, **rest: object) -> object:
        return value

    ordered = OrderedDict(a=value)
    return [work(value, [value], {"key": value}, named=value, a=(value,), b=ordered)]


def container(decorate: Decorate, value: Any) -> list[object]:
    """
    Pass it inside a list.
    """
    return decorate(lambda given: given)([value])  # type: ignore[no-any-return]


def method(decorate: Decorate, value: Any) -> list[object]:
    """
    Pass it to a method of a class that holds it.
    """

    class Work:
        held = value

        @decorate
        def work(self, given: object) -> object:
            return given

    return [Work().work(value)]


def of_traced_class(decorate: Decorate, value: Any) -> list[object]:
    """
    Pass it to a method of a traced class that holds it, given handlers.
    """

    @traced
    class Work:
        held = value

        @decorate
        def work(self, given: object) -> object:
            return given

    made: Any = Work
    return [made(callbacks=[Recorder()], metadata={"held": value}).work(value)]


def coroutine(decorate: Decorate, value: Any) -> list[object]:
    """
    Pass it to a coroutine function and back.
    """

    @decorate
    async def work(given: object) -> object:
        return value

    return [driven(work(value))]


def generator(decorate: Decorate, value: Any) -> list[object]:
    """
    Yield it, send it, return it.
    """

    @decorate
    def work(given: object) -> Any:
        sent = yield given
        yield [sent]
        return sent

    items: list[object] = []

    def reading() -> Any:
        made = work(value)
        items.append(next(made))
        items.append(made.send(value)[0])
        items.append((yield from made))

    assert list(reading()) == []
    return items


def async_generator(decorate: Decorate, value: Any) -> list[object]:
    """
    Yield it in async code, and send it.
    """

    @decorate
    async def work(given: object) -> Any:
        yield (yield given)

    async def reading() -> list[object]:
        made = work(value)
        return [await made.asend(None), await made.asend(value)]

    return driven(reading())  # type: ignore[no-any-return]


def returned_generator(decorate: Decorate, value: Any) -> list[object]:
    """
    Return a generator of it from a plain function.
    """
    return [*decorate(lambda given: (it for it in [given, value]))(value)]


def of_partial(decorate: Decorate, value: Any) -> list[object]:
    """
    Fix it in a partial.
    """
    return [decorate(partial(lambda *given, **named: given[0], value, key=value))()]


def scoped(decorate: Decorate, value: Any) -> list[object]:
    """
    Return it through ``@callbacks``, whose scope is left.
    """
    heard = Recorder()
    result = callbacks(heard, metadata={"held": value})(decorate(lambda it: it))(value)
    before = len(heard.runs)
    decorate(lambda: None)()
    assert len(heard.runs) == before
    return [result]


def bound(decorate: Decorate, value: Any) -> list[object]:
    """
    Return it through ``bind``, and step an iterator of it.
    """
    return [bind(decorate(lambda it: it))(value), *bind(iter([value]))]


WAYS = (
    function,
    container,
    method,
    of_traced_class,
    coroutine,
    generator,
    async_generator,
    returned_generator,
    of_partial,
    scoped,
    bound,
)
every_kind = pytest.mark.parametrize("kind", KINDS)
every_error = pytest.mark.parametrize("error", [ValueError, SystemExit, Own])


@every_error
@every_kind
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.rule(13, "sync")
def test_values(
    way: Callable[[Decorate, Any], list[object]],
    kind: str,
    error: type[BaseException],
    tmp_path: Path,
) -> None:
    """
    Arguments, results, chunks and metadata are passed on as they are, and asked nothing.
    """
    with passing(error) as (value, asked):
        with callbacks(*handlers(tmp_path)):
            items = way(traced(kind=kind, metadata={"held": value}), value)

        as_undecorated = len(way(lambda it: it, value))

    assert len(items) == as_undecorated
    assert all(item is value for item in items)
    assert set(asked) <= {"__repr__"}


@every_error
@every_kind
@pytest.mark.rule(13, "sync")
def test_exceptions(kind: str, error: type[BaseException], tmp_path: Path) -> None:
    """
    Exceptions and what they hold are raised on as they are; only their text is asked for.
    """
    all_are = True
    with passing(error) as (value, asked):
        raised = hostile(error, asked, Exception)(value)
        object.__setattr__(raised, "held", value)

        def work() -> None:
            raise raised

        async def later() -> None:
            raise raised

        def yields() -> Iterator[None]:
            yield
            raise raised

        async def yields_later() -> AsyncIterator[None]:
            yield
            raise raised

        async def read() -> None:
            async for _ in traced(kind=kind)(yields_later)():
                pass

        with callbacks(*handlers(tmp_path)):
            for act in (
                traced(kind=kind)(work),
                lambda: driven(traced(kind=kind)(later)()),
                lambda: list(traced(kind=kind)(yields)()),
                lambda: driven(read()),
                callbacks(Recorder())(work),
            ):
                caught: object = None
                try:
                    act()
                except BaseException as exc:
                    caught = exc
                all_are &= caught is raised

    assert all_are
    assert set(asked) <= {"__str__", "__repr__"}


@every_error
@every_kind
@pytest.mark.rule(13, "sync")
def test_what_a_body_tells(
    kind: str, error: type[BaseException], tmp_path: Path
) -> None:
    """
    What a block is given and a body tells of its run is asked nothing.
    """
    with passing(error) as (value, asked):
        with (
            callbacks(*handlers(tmp_path), metadata={"held": value}),
            traced("a", kind=kind, inputs={"given": value}) as run,
        ):
            emit("custom", value)
            run.emit("custom", {"held": value})
            run.token("a", value)
            run.token(value)
            run.text(value)
            run.retry(value)
            run.add_metadata(held=value)
            run.token("a", None, value)
            run.record_usage(input_tokens=value)
            run.usage = run.model = run.provider = value
            run.outputs = value
            with traced("b", kind=kind, inputs=value):
                current_run().outputs = [value]

        assert set(asked) <= {"__repr__"}


@every_error
@every_kind
@pytest.mark.rule(13, "sync")
def test_what_functions_make(
    kind: str, error: type[BaseException], tmp_path: Path
) -> None:
    """
    What ``inputs=``, ``outputs=`` and ``token=`` make of a call is asked nothing.
    """
    with passing(error) as (value, asked):
        options: dict[str, Any] = {"kind": kind, "outputs": lambda it: value}

        with callbacks(*handlers(tmp_path)):
            for made in (value, {"held": value}):
                chosen: Any = traced(**options, inputs=lambda it, made=made: made)
                assert chosen(lambda it: it)(value) is value
            read: Any = traced(**options, token=lambda it: value)
            assert next(read(lambda it: (x for x in [it]))(value)) is value

        assert set(asked) <= {"__repr__"}


def nodes(value: Any) -> Iterator[tuple[Any, Any]]:
    """
    Give each place in dicts and lists: what holds it, and under which key.
    """
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from nodes(value[key])


def as_object(value: Any) -> Any:
    """
    Turn dicts into objects with attributes, at every level.
    """
    if type(value) is dict:
        return SimpleNamespace(**{key: as_object(it) for key, it in value.items()})
    return [as_object(item) for item in value] if type(value) is list else value


def shapes() -> list[Any]:
    """
    Give one of each shape of answers.
    """
    call = {"id": "1", "function": {"name": "f", "arguments": "{}"}, "index": 0}
    usage = {"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": 1}}
    message = {"role": "assistant", "content": [{"type": "text", "text": "a"}]}
    said = {**message, "tool_calls": [call], "reasoning": "b", "refusal": "c"}
    choice = {"index": 0, "message": said, "delta": said, "finish_reason": "stop"}
    about = {"id": "r", "model": "m", "usage": usage}
    item = {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"}
    output = [{"type": "message", "content": message["content"]}, item]
    block = {"type": "tool_use", "id": "1", "name": "f", "input": {}}
    part = {"text": "a", "thought": True, "function_call": {"id": "1", "name": "f"}}
    use = {"toolUse": {"toolUseId": "1", "name": "f", "input": {}}, "text": "a"}
    ai = {"type": "ai", "content": "a", "tool_call_chunks": [{"id": "1", "index": 0}]}
    facts = {"response_metadata": {"model_name": "m", "finish_reason": "stop"}}
    event = {"type": "response.output_item.added", "item": item, "output_index": 0}
    thinking = {"type": "thinking", "thinking": "a"}
    beside = {**message, "content": [{**block, "id": "2"}, thinking]}
    return [
        {**beside, "tool_calls": [call], "function_call": {"name": "f"}},
        [{**beside, "tool_calls": [call], "type": "ai"}, [["user", "a"]]],
        {"choices": [choice], **about},
        {"output": output, "status": "completed", "incomplete_details": {}, **about},
        event,
        {"type": "response.completed", "response": {"output": output, **about}},
        {"content": [block], "stop_reason": "tool_use", **about},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": {"partial_json": "{}"}},
        {"type": "message_delta", "delta": {"stop_reason": "end"}, "usage": usage},
        {"candidates": [{"content": {"parts": [part]}}], "usage_metadata": usage},
        {"stopReason": "end", "output": {"message": {"content": [use]}}},
        {"contentBlockDelta": {"delta": use, "contentBlockIndex": 0}},
        {**ai, **facts, "usage_metadata": {"input_tokens": 1}},
        {"generations": [[{"text": "a", "message": {**ai, **facts}}]]},
        {"message": said, "finish_reason": "stop", **about},
        {"type": "content-delta", "delta": {"message": {"content": {"text": "a"}}}},
        {"message": said, "done": True, "prompt_eval_count": 1, "eval_count": 1},
        {"data": {"choices": [choice]}},
        {"data": [{"embedding": [1.0], "index": 0}], "embeddings": {"float": [[1.0]]}},
        [{"page_content": "a", "metadata": {"source": "b"}}],
    ]


# One kind of error for each shape, the next for the next; all for each are `wide`.
every_shape = [
    pytest.param(at, error, marks=[pytest.mark.wide] if (at - number) % 3 else [])
    for at in range(len(shapes()))
    for number, error in enumerate([ValueError, SystemExit, Own])
]


@pytest.mark.parametrize("form", [lambda it: it, as_object], ids=["dicts", "objects"])
@pytest.mark.parametrize("shape, error", every_shape)
@pytest.mark.rule(13, "sync")
def test_answers(shape: int, form: Any, error: type[BaseException]) -> None:
    """
    Wherever in an answer, a message or a chunk an object of unknown shape stands, it is
    asked nothing.
    """
    with passing(error) as (value, asked):
        kinds = ("llm", "chat_model", "embedding", "retriever", "tool")

        shown = StdOutCallbackHandler(io.StringIO())
        with callbacks(Recorder(), Typed(), shown, lambda event: event.to_json()):
            for place in range(sum(1 for _ in nodes(shapes()[shape]))):
                answer = shapes()[shape]
                holder, key = list(nodes(answer))[place]
                holder[key] = value
                given = form(answer)
                for kind in kinds:
                    assert traced(kind=kind)(lambda it: it)(given) is given
                    (item,) = traced(kind=kind)(lambda it: (x for x in [it]))([given])
                    assert item[0] is given
                    (item,) = traced(kind=kind)(lambda it: (x for x in [it]))(given)
                    assert item is given

        assert set(asked) <= {"__repr__"}


@every_kind
@pytest.mark.rule(13, "sync")
def test_class_without_a_hash(kind: str, tmp_path: Path) -> None:
    """
    Objects of a class that is no key are passed, and have traced methods.
    """

    class Meta(type):
        __hash__ = None  # type: ignore[assignment]

    class Thing(metaclass=Meta):
        @traced(kind=kind)
        def itself(self, given: object) -> object:
            return self

    thing, heard = Thing(), Recorder()
    with callbacks(heard, *handlers(tmp_path)):
        assert traced(kind=kind)(lambda it: it)(thing) is thing
        assert thing.itself("given") is thing

    assert heard.tree().count(": ok") == 2
    assert "self" not in (heard.runs[-1].inputs or ())


@every_error
@pytest.mark.rule(13, "sync")
def test_keys_of_an_ordered_dict(error: type[BaseException]) -> None:
    """
    An ordered dict whose keys have no hash any more is told without it.
    """

    class Key:
        is_broken = False

        def __hash__(self) -> int:
            if self.is_broken:
                raise error
            return 1

    key, heard = Key(), Recorder()
    given = OrderedDict({key: 1})
    key.is_broken = True
    with callbacks(heard):
        assert traced(lambda it: it)(given) is given

    assert heard.runs[0].status == "ok"


@every_error
@pytest.mark.rule(13, "sync")
def test_handlers_that_raise_when_asked(error: type[BaseException]) -> None:
    """
    A handler whose attributes raise is deaf to what they are asked for.
    """

    class Odd:
        is_armed = False

        def on_chain_start(self, *args: object, **kwargs: object) -> None:
            raise ValueError

        def __getattribute__(self, name: str) -> Any:
            if name in ("is_armed", "on_chain_start") or not type(self).is_armed:
                return object.__getattribute__(self, name)
            raise error

    odd, heard = Odd(), Recorder()
    with callbacks(odd, heard):
        Odd.is_armed = True
        assert traced(lambda it: it)(1) == 1

    assert heard.tree().endswith(": ok")
