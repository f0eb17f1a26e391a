"""
`traced`: make runs of calls, or of a block. Functions that nobody has decorated do not
come in here.
"""

from types import MethodType

from instrument._audience.plan import checked_metadata, checked_tags
from instrument._callables.decorate import owner_of, wrapping_of
from instrument._interrupts import SETTLED
from instrument._payloads.kinds import check_kind, nearest_kind
from instrument._payloads.messages import string
from instrument._text import safe_repr
from instrument._traced.block import Block
from instrument._traced.keywords import NAMES, Keywords, handlers
from instrument._traced.spec import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, Literal, TypeVar, overload

    from instrument._audience.listener import Handler, Handlers

    Traceable = Callable[..., Any] | classmethod[Any, Any, Any] | staticmethod[Any, Any]
    T = TypeVar("T", bound=Traceable)

__all__ = ["traced"]


class Decorator(Block):
    """
    What ``traced("name", ...)`` gives: a decorator, and a context manager.
    """

    def __call__(self, target: "T") -> "T":
        """
        Decorate a function, a method, a class, or anything that can be called.
        """
        self._warn = SETTLED
        keywords = self._keywords
        if keywords.inputs is not None and keywords.inputs is not False:
            _check_function("inputs", keywords.inputs)
        return _applied(target, keywords)  # type: ignore[no-any-return]


class Traced:
    """
    Make a run of each call of a function, or of a block.

    ``@traced``, ``@traced("answer", kind="agent")``, ``@traced.tool``;
    ``with traced("rerank", inputs={"query": q}) as run: run.outputs = best``, and
    ``async with``. What comes back is the same kind of thing as what was given; where
    nobody listens, a call costs about as much as an empty closure.
    """

    __slots__ = ("_preset",)

    def __init__(self, preset: str) -> None:
        self._preset = preset

    if TYPE_CHECKING:

        @overload
        def __call__(self, target: T, /) -> T: ...

        @overload
        def __call__(
            self,
            name: str | None = None,
            *,
            kind: str | None = None,
            tags: Iterable[str] | None = None,
            metadata: Mapping[str, Any] | None = None,
            callbacks: Handler | Handlers | None = None,
            inputs: Callable[..., Any] | Literal[False] | None = None,
            outputs: Callable[[Any], Any] | Literal[False] | None = None,
            token: Callable[[Any], str | None] | None = None,
            model: str | None = None,
            provider: str | None = None,
        ) -> Decorator: ...

        @overload
        def __call__(
            self,
            name: str,
            *,
            kind: str | None = None,
            tags: Iterable[str] | None = None,
            metadata: Mapping[str, Any] | None = None,
            callbacks: Handler | Handlers | None = None,
            inputs: Mapping[str, Any] | str | list[Any],
            outputs: Literal[False] | None = None,
            model: str | None = None,
            provider: str | None = None,
        ) -> Block: ...

    def __call__(  # type: ignore[misc]  # a name is given by its place, or by keyword
        self, target: "Any" = None, /, *more: "Any", **keywords: "Any"
    ) -> "Any":
        """
        Decorate, or make a decorator and context manager.

        Args:
            target: What to decorate, or the runs' name. By default they have the
                function's qualified name.
            name: The runs' name, by keyword.
            kind: ``chain``, ``agent``, ``llm``, ``chat_model``, ``tool``,
                ``retriever``, ``embedding``, or any other string.
            tags: Added to these runs and to those below.
            metadata: Likewise.
            callbacks: Constructor handlers: they hear every run of this, and below.
            inputs: A function that makes what is recorded from the call's arguments,
                or False for nothing; of a block, the value.
            outputs: A function that makes what is recorded from the result, or False.
            token: A function from a streamed chunk to its text, or None.
            model: The name of the model that is called.
            provider: Who serves it.

        Raises:
            TypeError: For a wrong argument; names it and the cure.
        """
        if more:
            message = (
                "traced takes one thing by its place, a function or a name; the rest by"
                f" keyword: traced('search', kind='tool'), not {safe_repr(more[0])}."
            )
            raise TypeError(message)
        if issubclass(type(target), str):
            target = str.__str__(target)  # of an enum its value
        elif callable(target) or isinstance(
            target, (classmethod, staticmethod, property)
        ):
            return _applied(target, _checked_keywords(None, self._preset, keywords))
        if target is not None and not isinstance(target, str):
            message = (
                f"traced takes a function or a name, not {safe_repr(target)}."
                f" If a decorator made this of a function: {_LOWEST}."
            )
            raise TypeError(message)
        if target == "":
            message = "traced needs a name that is not empty: traced('answer')."
            raise ValueError(message)
        return Decorator(_checked_keywords(target, self._preset, keywords))

    def __repr__(self) -> str:
        return f"traced.{self._preset}"

    if not TYPE_CHECKING:  # a type checker refuses it itself

        def __enter__(self, *_: object) -> None:
            message = (
                f"{self!r} itself is no block: it needs a name there,"
                f" with {self!r}('rerank') as run: ..."
            )
            raise TypeError(message)

        __exit__ = __aenter__ = __aexit__ = __enter__


_WHAT, _ARGUMENTS = Traced.__doc__, Traced.__call__.__doc__


def _said(_: Traced) -> str:
    """
    Give what ``help(traced)`` says: what it does, not of which class it is.
    """
    from inspect import cleandoc

    arguments = cleandoc(_ARGUMENTS or "").partition("\n\n")[2]
    return f"{cleandoc(_WHAT or '')}\n\n{arguments}"


Traced.__doc__ = property(_said)  # type: ignore[assignment]


class _Kinds(Traced):
    __doc__ = Traced.__doc__
    __slots__ = (
        "agent",
        "chain",
        "chat_model",
        "embedding",
        "llm",
        "retriever",
        "tool",
    )

    def __init__(self) -> None:
        super().__init__("")
        self.chain = Traced("chain")
        self.agent = Traced("agent")
        self.llm = Traced("llm")
        self.chat_model = Traced("chat_model")
        self.tool = Traced("tool")
        self.retriever = Traced("retriever")
        self.embedding = Traced("embedding")

    def __repr__(self) -> str:
        return "traced"

    if not TYPE_CHECKING:  # a type checker knows the kinds that there are

        def __getattr__(self, name: str) -> object:
            near = None if name.startswith("_") else nearest_kind(name, 0.6)
            hint = f" Did you mean traced.{near}?" if near else ""
            message = (
                f"there is no traced.{name}, but traced.{', .'.join(self.__slots__)}."
                f"{hint} Any other kind is traced(kind={name!r})"
            )
            raise AttributeError(message, name=name, obj=None)  # Python guesses of it


traced = _Kinds()

_LOWEST = "put @traced below it, next to def"
_REGISTERED = {  # each keeps the function that it is made of, and calls that
    ("celery.app.task", "Task"),
    ("celery.local", "Proxy"),  # a task that Celery has not made yet
    ("click.core", "Command"),
    ("dramatiq.actor", "Actor"),
    ("huey.api", "TaskWrapper"),
}


def _checked_keywords(
    name: str | None, kind: str, passed: "dict[str, Any]"
) -> Keywords:
    for keyword in passed:
        if keyword not in NAMES:
            raise TypeError(_no_keyword(keyword))
    if name is not None and "name" in passed:
        message = f"traced is given two names: {name!r} and {passed['name']!r}."
        raise TypeError(message)
    for text in ("name", "kind", "model", "provider"):
        value = passed.get(text)
        if value is not None:
            passed[text] = _checked_text(text, value)
    for function in ("outputs", "token"):
        value = passed.get(function)
        if value is not None and not (value is False and function == "outputs"):
            _check_function(function, value)
    given = passed.get("kind")
    if given is not None:
        check_kind(given, "traced(kind={!r})")
    made = {**passed, "name": name or passed.get("name"), "kind": given or kind or None}
    if passed.get("tags") is not None:
        made["tags"] = checked_tags(passed["tags"])
    if passed.get("metadata") is not None:
        made["metadata"] = checked_metadata(passed["metadata"])
    if passed.get("callbacks") is not None:
        made["callbacks"] = handlers(passed["callbacks"])
    return Keywords(**made)


def _checked_text(keyword: str, value: object) -> str:
    text = string(value)
    if text is None:
        shown = safe_repr(value)
        message = f"traced({keyword}=...) is a string that is not empty, not {shown}."
        raise TypeError(message)
    return text


def _check_function(keyword: str, value: object) -> None:
    if not callable(value):
        cure = " The value itself goes to a block." if keyword == "inputs" else ""
        message = (
            f"@traced({keyword}=...) is a function"
            f"{' or False' if keyword != 'token' else ''}, not {safe_repr(value)}.{cure}"
        )
        raise TypeError(message)


def _check_not_registered(cls: type) -> None:
    for base in cls.__mro__:  # of the type: a proxy would make what it stands for
        named = (base.__module__, base.__name__)
        if named in _REGISTERED:
            message = (
                f"@traced hears nothing above what makes a {'.'.join(named)}: that"
                f" keeps the function, and calls it itself. A cure: {_LOWEST}."
            )
            raise TypeError(message)


def _applied(target: "Any", keywords: Keywords) -> "Any":
    _check_not_registered(type(target))
    if isinstance(target, type):
        from instrument._traced.classes import decorate_class

        return decorate_class(target, keywords)
    inner = wrapping_of(target)
    if inner is None:
        inner = wrapping_of(getattr(target, "__func__", target))
    if isinstance(inner, Spec):  # decorated twice: one run
        function, owner = inner.function, owner_of(target)
        if isinstance(target, (classmethod, staticmethod)):
            function = type(target)(function)
        elif owner is not None:
            function = MethodType(function, owner)
        spec = Spec(function, keywords.over(inner.keywords))
        if type(function) is MethodType:  # its object may have handlers
            spec.alert += inner.alert
        return spec.wrap(function)
    return Spec(target, keywords).wrap(target)


def _no_keyword(keyword: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(keyword, NAMES, n=1, cutoff=0.7)
    hint = f"Did you mean {near[0]!r}?" if near else f"It takes {', '.join(NAMES)}."
    return f"traced() takes no {keyword!r}. {hint}"
