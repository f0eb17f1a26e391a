"""
The keywords of ``traced``: what they record, and what is said of wrong ones, also to
`callbacks`.
"""

import pydoc
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial, wraps
from typing import Any

import pytest

from instrument import callbacks, current_run, traced
from instrument.testing import Recorder

Called = Callable[..., Awaitable[Any]]


pytestmark = pytest.mark.anyio


every_mode = ("sync", "async", "generator", "async generator")


OPENAI = {"choices": [{"message": {"role": "assistant", "content": "raw"}}]}


@pytest.mark.rule(15, *every_mode)
async def test_inputs_function(called: Called) -> None:
    """
    ``inputs=`` makes what is recorded from the arguments, as they were passed.
    """
    recorder = Recorder()

    def inputs(*args: Any, **kwargs: Any) -> Any:
        return {"count": len(args), **kwargs}

    with callbacks(recorder):
        await called(traced(inputs=inputs), lambda *_: None, 1, 2)

    assert recorder.runs[0].inputs == {"count": 2}


@pytest.mark.rule(15, *every_mode)
async def test_inputs_that_are_no_dict(called: Called) -> None:
    """
    What is no dict of arguments is recorded under ``inputs``.
    """
    recorder = Recorder()

    with callbacks(recorder):
        await called(traced(inputs=lambda x: x * 2), lambda x: None, 3)

    assert recorder.runs[0].inputs == {"inputs": 6}


@pytest.mark.parametrize("failure", [ValueError("bad"), SystemExit(1)])
@pytest.mark.parametrize("keyword", ["inputs", "outputs"])
@pytest.mark.rule(13, *every_mode)
async def test_function_that_fails(
    called: Called, keyword: str, failure: BaseException, reports: list[str]
) -> None:
    """
    An ``inputs=`` or ``outputs=`` that raises is reported, and records nothing.
    """
    recorder = Recorder()

    def fail(*args: object) -> Any:
        raise failure

    with callbacks(recorder):
        decorate: Any = partial(traced, "work", **{keyword: fail})
        got = await called(decorate(), lambda x: "done", "given")

    assert got in ("done", ["done"])
    assert not getattr(recorder.runs[0], keyword)
    assert len([line for line in reports if ".fail failed at" in line]) == 1


@pytest.mark.parametrize(
    "kind, empty",
    [("chain", {}), ("tool", {}), ("llm", []), ("chat_model", []), ("retriever", "")],
)
@pytest.mark.rule(15, *every_mode)
async def test_inputs_false(called: Called, kind: str, empty: Any) -> None:
    """
    ``inputs=False`` records nothing, in the shape of the kind.
    """
    recorder = Recorder()

    with callbacks(recorder):
        await called(traced(kind=kind, inputs=False), lambda x: None, "hidden")

    assert "hidden" not in recorder.events[0].to_json()
    assert recorder.runs[0].inputs == empty


@pytest.mark.parametrize("result", ["raw", OPENAI])
@pytest.mark.parametrize("kind", ["chain", "tool", "llm", "chat_model"])
@pytest.mark.rule(15, *every_mode)
async def test_outputs_false(called: Called, kind: str, result: Any) -> None:
    """
    ``outputs=False`` records nothing of the result, by text, message or otherwise.
    """
    recorder = Recorder()
    heard: list[Any] = []

    with callbacks(recorder, on_llm_end=heard.append):
        await called(traced(kind=kind, outputs=False), lambda: result)

    assert "raw" not in recorder.events[-1].to_json()
    assert recorder.runs[0].outputs is None
    for response in heard:
        assert response.generations[0][0].text == ""
        assert response.generations[0][0].message is None


@pytest.mark.rule(15, *every_mode)
async def test_outputs_function(called: Called, mode: str) -> None:
    """
    ``outputs=`` makes what is recorded from the result; of a generator, from its items.
    """
    recorder = Recorder()

    with callbacks(recorder):
        await called(traced(outputs=len), lambda: "four")

    assert recorder.runs[0].outputs == (1 if "generator" in mode else 4)


@pytest.mark.parametrize("kind", ["llm", "chat_model"])
@pytest.mark.rule(15, "sync", "async")
async def test_outputs_function_of_a_model(called: Called, kind: str) -> None:
    """
    Of a model too ``outputs=`` makes what is recorded: its text comes from there.
    """
    recorder = Recorder()
    heard: list[str] = []

    with callbacks(
        recorder,
        on_llm_end=lambda response: heard.append(response.generations[0][0].text),
    ):
        await called(
            traced(kind=kind, outputs=lambda result: result["answer"]),
            lambda: {"answer": "chosen", "content": "raw"},
        )

    assert heard == ["chosen"]
    assert recorder.events[-1].data["text"] == "chosen"


@pytest.mark.parametrize("outputs", [False, len])
@pytest.mark.parametrize("kind", ["chain", "llm"])
@pytest.mark.rule(15, "generator")
def test_outputs_of_an_abandoned_generator(kind: str, outputs: Any) -> None:
    """
    ``outputs=`` holds for the partial outputs of a generator that is left early.
    """
    recorder = Recorder()

    @traced(kind=kind, outputs=outputs)
    def stream() -> Iterator[str]:
        yield "raw"

    with callbacks(recorder):
        left: Any = stream()
        next(left)
        left.close()

    assert "raw" not in recorder.events[-1].to_json()
    assert "raw" not in repr(recorder.runs[0].outputs)


@pytest.mark.rule(15, "generator", "async generator")
async def test_token_function() -> None:
    """
    ``token=`` reads the text of a chunk; None is no token.
    """
    recorder = Recorder()

    @traced.llm(token=lambda chunk: chunk.get("t"))
    def model() -> Iterator[Any]:
        yield from ({"t": "a"}, {"x": 1}, {"t": ""}, {"t": "b"})

    @traced.llm(token=lambda chunk: chunk.get("t"))
    async def amodel() -> AsyncIterator[Any]:
        for chunk in ({"t": "a"}, {"x": 1}, {"t": ""}, {"t": "b"}):
            yield chunk

    with callbacks(recorder):
        list(model())
        _ = [chunk async for chunk in amodel()]

    tokens = [e.data["token"] for e in recorder.events if "token" in e.data]
    texts = [e.data["text"] for e in recorder.events if "text" in e.data]
    assert tokens == ["a", "b", "a", "b"]
    assert texts == ["ab", "ab"]


@pytest.mark.parametrize("failure", [ValueError("bad"), SystemExit(1)])
@pytest.mark.rule(13, "generator", "async generator")
def test_token_function_that_fails(failure: BaseException, reports: list[str]) -> None:
    """
    A ``token=`` that raises is reported once; the stream goes on.
    """
    recorder = Recorder()

    def fail(chunk: object) -> str:
        raise failure

    @traced.llm("model", token=fail)
    def model() -> Iterator[str]:
        yield from "ab"

    with callbacks(recorder):
        assert list(model()) == ["a", "b"]

    assert [e.event for e in recorder.events] == ["on_llm_start", "on_llm_end"]
    assert len([line for line in reports if ".fail failed at" in line]) == 1


@pytest.mark.rule(15, *every_mode)
async def test_model_and_provider(called: Called) -> None:
    """
    ``model`` and ``provider`` are of each run, and told at its start.
    """
    recorder = Recorder()

    with callbacks(recorder):
        await called(traced.llm(model="m", provider="p"), lambda prompt: "x", "Hi")

    assert (recorder.runs[0].model, recorder.runs[0].provider) == ("m", "p")
    assert recorder.events[0].data["model"] == "m"
    assert recorder.events[0].data["provider"] == "p"


def test_model_of_the_answer_wins() -> None:
    """
    The model that answered is more exact than the one that was asked for.
    """
    recorder = Recorder()

    with callbacks(recorder):
        traced.llm(model="m")(lambda: {"model": "m-2026-01", **OPENAI})()

    assert recorder.runs[0].model == "m-2026-01"


def named() -> None:
    """
    Be named.
    """


class Thing:
    """
    Has methods that are named.
    """

    @traced
    def method(self) -> str:
        return current_run().name

    @traced.tool
    @classmethod
    def of_class(cls) -> str:
        return current_run().name

    @staticmethod
    @traced("other")
    def static() -> str:
        return current_run().name


class Twice:
    """
    Has a class method that is decorated twice.
    """

    @traced("outer")
    @traced("inner")
    @classmethod
    def of_class(cls) -> str:
        return current_run().name


def test_names() -> None:
    """
    A run is named as given, or after the qualified name from the module on.
    """
    recorder = Recorder()

    with callbacks(recorder):
        traced(named)()
        traced("given")(named)()
        traced(lambda: None)()
        traced(wraps(named)(lambda: None))()
        traced(traced("inner")(named))()
        traced("outer")(traced("inner")(named))()
        Thing().method()
        Thing.of_class()
        Thing.static()
        Twice.of_class()

    assert [run.name for run in recorder.runs] == [
        "named",
        "given",
        "<lambda>",
        "named",
        "inner",
        "outer",
        "Thing.method",
        "Thing.of_class",
        "other",
        "outer",
    ]


@pytest.mark.filterwarnings("ignore:.* was never entered:RuntimeWarning")
def test_repr() -> None:
    """
    The decorators say what they are.
    """
    assert repr(traced) == "traced"
    assert repr(traced.tool) == "traced.tool"
    assert repr(callbacks(Recorder(), print)).startswith("callbacks(Recorder, builtin")
    assert (
        repr(traced("x", callbacks=[Recorder()])) == "traced('x', callbacks=[Recorder])"
    )


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"kind": ""}, r"traced\(kind=\.\.\.\) is a string that is not empty, not ''"),
    ({"kind": 3}, "kind=.* not 3"),
    ({"model": 3}, "model=.* not 3"),
    ({"provider": ""}, "provider=.* not ''"),
    ({"token": "t"}, r"token=\.\.\.\) is a function, not 't'"),
    ({"token": False}, "token=.* not False"),
    ({"outputs": "x"}, r"outputs=\.\.\.\) is a function or False, not 'x'"),
    ({"outputs": True}, "outputs=.* not True"),
    ({"tags": "abc"}, r"tags is a list of strings, not the string 'abc': \['abc'\]"),
    ({"tags": [1]}, "tags is a list of strings; 1 is none"),
    ({"metadata": [1]}, r"metadata is a dict with string keys, not \[1\]"),
    ({"metadata": {1: 2}}, "metadata is a dict with string keys"),
    ({"callbacks": Recorder}, "not the class Recorder. Make one"),
    ({"callbacks": [3]}, "3 is none"),
    ({"tag": ["a"]}, "traced.. takes no 'tag'. Did you mean 'tags'"),
    ({"nmae": "x"}, "traced.. takes no 'nmae'. Did you mean 'name'"),
    ({"name": "x"}, "is given two names: 'name' and 'x'"),
    ({"sample": 1}, "takes no 'sample'. It takes name, kind, tags"),
]


@pytest.mark.parametrize("keywords, said", WRONG, ids=[str(k) for k, _ in WRONG])
def test_wrong_keywords(keywords: dict[str, Any], said: str) -> None:
    """
    A wrong keyword is refused where it is written, with the value and the cure.
    """
    with pytest.raises(TypeError, match=said):
        traced("name", **keywords)


def test_kind_that_does_not_exist() -> None:
    """
    What is no kind is refused with those that there are, and the way to others.
    """
    anything: Any = traced
    with pytest.raises(
        AttributeError, match=r"no traced\.tools, but .*\.tool\."
    ) as said:
        _ = anything.tools

    assert str(said.value).endswith(
        "Did you mean traced.tool? Any other kind is traced(kind='tools')"
    )
    written = "".join(traceback.format_exception(said.value))
    assert written.count("Did you mean") == 1


@pytest.mark.parametrize("name", ["__wrapped__", "zzz"])
def test_no_kind_is_near(name: str) -> None:
    """
    Of what is nothing like a kind no other is guessed.
    """
    with pytest.raises(AttributeError) as said:
        getattr(traced, name)

    assert "Did you mean" not in str(said.value)


def test_name_by_keyword() -> None:
    """
    The name may be given by keyword too: to a decorator, or a block.
    """
    recorder = Recorder()

    with callbacks(recorder):
        traced(name="decorated")(str.lower)("A")
        with traced.tool(name="block"):
            traced.llm(name="inner")(lambda: None)()

    assert recorder.tree() == ("chain decorated: ok\ntool block: ok\n  llm inner: ok")


@pytest.mark.parametrize("name", ["", 3])
def test_name_that_is_none(name: Any) -> None:
    """
    A name is a string that is not empty.
    """
    with pytest.raises(
        TypeError, match=r"traced\(name=\.\.\.\) is a string that is not"
    ):
        traced(name=name)


@pytest.mark.parametrize("kind", ["toool", "Tool", "chat-model", "embeddings"])
def test_kind_that_is_nearly_known(kind: str) -> None:
    """
    A kind that is nearly a known one warns with the cure, where it is written.
    """
    with pytest.warns(RuntimeWarning, match=f"kind={kind!r}.*Did you mean") as warned:
        traced(kind=kind)(str.lower)

    assert warned[0].filename == __file__


def test_kind_of_ones_own() -> None:
    """
    Any other string is a kind of the application's own; nothing is said.
    """
    recorder = Recorder()

    with callbacks(recorder):
        for kind in ("router", "guardrail", "model", "rerank"):
            traced(kind=kind)(str.lower)("A")

    assert [run.kind for run in recorder.runs] == [
        "router",
        "guardrail",
        "model",
        "rerank",
    ]


@pytest.mark.anyio
async def test_no_block_by_itself() -> None:
    """
    ``with traced:`` is refused with the cure; a block has a name.
    """
    anything: Any = traced
    with pytest.raises(TypeError, match=r"with traced\('rerank'\) as run"), anything:
        pass
    with pytest.raises(TypeError, match=r"with traced\.tool\('rerank'\) as run"):
        async with anything.tool:
            pass


@pytest.mark.parametrize("what", [traced, traced.tool], ids=repr)
def test_help(what: Any) -> None:
    """
    ``help(traced)`` begins with what it does, and has its arguments.
    """
    plain = pydoc.plaintext  # type: ignore[attr-defined]  # typeshed has it not
    shown = pydoc.render_doc(what, renderer=plain).split("\n")

    assert shown[2:4] == [
        repr(what),
        "    Make a run of each call of a function, or of a block.",
    ]
    assert any(line.startswith("        kind: ``chain``") for line in shown)


def test_wrong_targets() -> None:
    """
    What is neither a function nor a name is refused.
    """
    anything: Any = traced
    with pytest.raises(TypeError, match="takes a function or a name, not 3"):
        anything(3)
    with pytest.raises(
        ValueError, match=r"a name that is not empty: traced\('answer'\)"
    ):
        traced("")
    with pytest.raises(TypeError, match="can be called, not 3"):
        anything("name")(3)
    with pytest.raises(TypeError, match="below @property"):
        anything(property(lambda self: None))


def test_kind_by_its_place() -> None:
    """
    A second argument by its place is refused, and how it is written told.
    """
    with pytest.raises(TypeError, match=r"traced\('search', kind='tool'\), not 'llm'"):
        traced("answer", "llm")  # type: ignore[call-overload]


def test_inputs_of_a_decorator() -> None:
    """
    A value given as ``inputs=`` to a decorator is refused; it belongs to a block.
    """
    decorator: Any = traced("name", inputs={"q": 1})

    with pytest.raises(TypeError, match=r"The value itself goes to a block\."):
        decorator(named)


def test_block_without_a_name() -> None:
    """
    A block needs a name.
    """
    block: Any = traced(kind="tool")

    with (
        pytest.raises(TypeError, match=r'needs a name: with traced\("rerank"\)'),
        block,
    ):
        pass


@pytest.mark.parametrize("tags", ["abc", [1], 3])
def test_wrong_tags_of_callbacks(tags: Any) -> None:
    """
    ``callbacks`` says the same of wrong tags.
    """
    with pytest.raises(TypeError, match=r"tags|iterable"):
        callbacks(tags=tags)


@pytest.mark.parametrize("metadata", ["abc", [1], {1: 2}, 3])
def test_wrong_metadata_of_callbacks(metadata: Any) -> None:
    """
    ``callbacks`` says the same of wrong metadata.
    """
    with pytest.raises(TypeError, match="metadata is a dict with string keys"):
        callbacks(metadata=metadata)


@pytest.mark.parametrize("given", [Recorder, 3, [Recorder]])
def test_wrong_callbacks_of_a_call(given: Any) -> None:
    """
    A wrong ``callbacks=`` of one call is refused, and the body does not run.
    """
    function: Any = traced(lambda: pytest.fail("it ran"))

    with pytest.raises(TypeError, match="takes handlers"):
        function(callbacks=given)


def test_callbacks_none_of_a_call() -> None:
    """
    ``callbacks=None`` of one call adds nobody.
    """
    function: Any = traced(lambda: "done")

    assert function(callbacks=None) == "done"
    assert function(callbacks=[]) == "done"


def test_parameter_with_a_reserved_name() -> None:
    """
    A positional parameter may have a name that Python's grammar reserves.
    """
    from inspect import Parameter, Signature

    def convert(value: Any, /) -> Any:
        return value

    reserved = Parameter("from", Parameter.POSITIONAL_ONLY)
    convert.__signature__ = Signature([reserved])  # type: ignore[attr-defined]
    recorder = Recorder()

    with callbacks(recorder):
        assert traced(convert)(1) == 1

    assert recorder.runs[0].inputs in ({"from": 1}, {"args": [1]})


def test_many_classes_of_one_method() -> None:
    """
    A method may be called on objects of any number of classes.
    """

    class Base:
        @traced
        def method(self, x: int) -> int:
            return x

    recorder = Recorder()
    with callbacks(recorder):
        for number in range(600):
            made: Any = type(f"Made{number}", (Base,), {})()
            assert made.method(number) == number

    assert [run.inputs for run in recorder.runs[-2:]] == [{"x": 598}, {"x": 599}]


def test_class_as_target_of_callbacks() -> None:
    """
    ``@callbacks`` on a class is refused with the cure.
    """
    anything: Any = callbacks(Recorder())
    with pytest.raises(TypeError, match="decorates functions, not the class Thing"):
        anything(Thing)


def test_inputs_that_are_set_before_they_are_read() -> None:
    """
    What a model's body sets as its inputs wins also where nobody has heard its start.
    """

    class Ears:
        heard: Any = None

        def on_llm_end(self, response: Any, *, run: Any, **_: Any) -> None:
            self.heard = run.inputs

    @traced.llm
    def model(prompt: str) -> str:
        current_run().inputs = ["mine"]
        return "answer"

    ears = Ears()

    with callbacks(ears):
        model("given")

    assert ears.heard == ["mine"]
