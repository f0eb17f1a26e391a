"""
What LangChain sees in a handler of ours: one of its own, which is to be skipped.

LangChain checks that what it is given is of its class, and asks each handler for a flag
before it tells it anything. Ours pass the check in any process, and answer that they
are to be skipped: once LangChain is heard, they hear from us, once, and with ``run=``.
"""

import copyreg
import sys
from functools import partial
from weakref import ref

from instrument import _report
from instrument._state import DISABLED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

FLAGS = (
    "ignore_agent",
    "ignore_chain",
    "ignore_chat_model",
    "ignore_custom_event",
    "ignore_llm",
    "ignore_retriever",
    "ignore_retry",
)
_LANGCHAIN = "langchain_core.callbacks.base"

asked: "Callable[[object], None] | None" = None
"""Whom to tell of each handler that LangChain asks; None while it is not heard."""

alive: "dict[int, ref[object]]" = {}
"""Our handlers that there are, any of which LangChain may have been given."""

_has_complained = False


class Flag:
    """
    A flag of a handler's class.

    Args:
        value: What holds where no instance says otherwise, or a property that tells.
    """

    def __init__(self, value: "Any" = False) -> None:
        self._value = value
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, handler: object, owner: type) -> "Any":
        value = self._value
        if handler is None:
            return value
        if value.__class__ is property:
            value = value.__get__(handler, owner)
        value = handler.__dict__.get(self._name, value)
        return Unset(handler) if value is False else value

    def __set__(self, handler: object, value: object) -> None:
        vars(handler)[self._name] = value


class Unset:
    """
    A flag that is False, and that tells LangChain to skip the handler all the same.
    """

    __slots__ = ("_handler",)

    def __init__(self, handler: object) -> None:
        self._handler = handler

    def __bool__(self) -> bool:
        if _LANGCHAIN not in sys.modules:
            return False
        if asked is not None:
            asked(self._handler)
        elif not DISABLED:
            _complain(self._handler)
        return True

    def __repr__(self) -> str:
        return "False"


class InlineFlag(Flag):
    """
    The flag ``run_inline``, which LangChain's async manager asks of all handlers first.

    It is true whatever anybody sets, but where that would deafen others: who is not
    inline is not always asked.
    """

    def __get__(self, handler: object, owner: type) -> "Any":
        return True if handler is None else _Inline(handler)


class _Inline(Unset):
    __slots__ = ()

    def __bool__(self) -> bool:
        manager = starting_models(sys._getframe(1))
        if manager is None:
            return super().__bool__()
        return not deafens(manager)  # it asks again for each prompt

    def __repr__(self) -> str:
        return "True"


def starting_models(asks: "Any") -> object:
    """
    Give LangChain's manager whose frame *asks* if it starts completion models, or None.
    """
    if asks.f_code.co_name == "<listcomp>":  # a frame of its own up to Python 3.11
        asks = asks.f_back
    return asks.f_locals.get("self") if asks.f_code.co_name == "on_llm_start" else None


def deafens(manager: object) -> bool:
    """
    Tell whether those of *manager* that are not ours hear only if ours are not inline.

    It tells who is not inline of a model's start only where nobody is:
    https://github.com/langchain-ai/langchain/issues/39633
    """
    handlers = getattr(manager, "handlers", None) or ()
    others = [handler for handler in handlers if not _answers(handler)]
    return bool(others) and not any(handler.run_inline for handler in others)


def _answers(handler: object) -> bool:
    """
    Tell whether *handler* has the flag from here.
    """
    kept = (vars(cls) for cls in type(handler).__mro__)
    flags = (names["run_inline"] for names in kept if "run_inline" in names)
    return isinstance(next(flags, None), InlineFlag)


def flag(cls: type[Flag] = Flag) -> bool:
    """
    Make a flag: typed as what is read of it.
    """
    return cls()  # type: ignore[return-value]


class Seen:
    """
    The part of our handlers, and of what wraps one, that LangChain meets.
    """

    run_inline: bool = flag(InlineFlag)
    ignore_llm: bool = flag()
    ignore_retry: bool = flag()
    ignore_chain: bool = flag()
    ignore_agent: bool = flag()
    ignore_retriever: bool = flag()
    ignore_chat_model: bool = flag()
    ignore_custom_event: bool = flag()

    if not TYPE_CHECKING:  # which would take it for the signature of all that have none

        def __new__(cls, *args, **kwargs):
            if (args or kwargs) and cls.__init__ is object.__init__:
                message = f"{cls.__name__}() takes no arguments"
                raise TypeError(message)
            handler = super().__new__(cls)
            _born(handler)
            return handler

    def __init_subclass__(cls, **kwargs: "Any") -> None:
        super().__init_subclass__(**kwargs)
        _keep_flags(cls)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """
        The class, as LangChain sees it: one of its own handlers' too.
        """
        cls = type(self)
        seen: type | None = cls.__dict__.get("_seen_class")  # LangChain asks five times
        return seen or _seen_class(cls)

    def __deepcopy__(self, memo: "Any") -> "Any":
        return self  # what is copied with it goes on telling the same handler

    def __reduce_ex__(self, protocol: "Any") -> "Any":
        made = super().__reduce_ex__(max(protocol, 2))  # older ones ask for __class__
        if isinstance(made, tuple) and made[0] is copyreg.__newobj__:  # type: ignore[attr-defined]
            return (_made_anew, *made[1:])
        return made


class _Quiet:
    """
    Stands before a handler's class, so that nothing of it is called.
    """

    def __new__(cls, *args: "Any", **kwargs: "Any") -> "Any":
        return cls.__bases__[1](*args, **kwargs)  # type(self)(...), by another name

    def __init_subclass__(cls, **kwargs: object) -> None:
        pass


def _born(handler: object) -> None:
    """
    Count *handler* among the `alive`.
    """
    key = id(handler)
    alive[key] = ref(handler, partial(alive.pop, key))


def _keep_flags(cls: type) -> None:
    """
    Have the flags that *cls* itself defines be asked for as those of its base are.
    """
    for name in FLAGS:
        value = vars(cls).get(name)
        if value is False or isinstance(value, property):
            kept = Flag(value)
            kept.__set_name__(cls, name)
            setattr(cls, name, kept)
    if "run_inline" in vars(cls):
        cls.run_inline = InlineFlag()  # type: ignore[attr-defined]


def _seen_class(cls: type) -> type:
    """
    Give *cls* as LangChain is to see it: of its class too, once there is LangChain.
    """
    base = getattr(sys.modules.get(_LANGCHAIN), "BaseCallbackHandler", None)
    if base is None or issubclass(cls, base):
        return cls
    names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
    seen = type(cls.__name__, (_Quiet, cls, base), {**names, "__doc__": cls.__doc__})
    cls._seen_class = seen  # type: ignore[attr-defined]
    return seen


def _made_anew(cls: type, *args: "Any") -> object:
    """
    Do what ``copyreg.__newobj__`` does, whose name has pickle compare classes.
    """
    return cls.__new__(cls, *args)


def _complain(handler: object) -> None:
    global _has_complained
    if not _has_complained:
        _has_complained = True
        _report.complain(
            f"{_report.described(handler)} was given to LangChain, and hears nothing:"
            " instrument hears LangChain from `import instrument.auto` on.",
            None,
        )
