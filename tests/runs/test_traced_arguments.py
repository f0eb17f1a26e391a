"""
What is said of wrong arguments of `traced` and `callbacks`.
"""

from typing import Any

import pytest

from instrument import callbacks, current_run, traced
from instrument.testing import Recorder


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
    ({"sample": 1}, "takes no 'sample'. It takes kind, tags"),
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

    assert str(said.value).endswith("Any other kind is traced(kind='tools')")


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
