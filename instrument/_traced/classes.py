"""
``@traced`` on a class: its constructor then takes ``callbacks=``, ``tags=`` and
``metadata=``, for the traced methods of that object and all below them.

The class is changed in place, never proxied: it gets a ``__new__`` that puts them on the
object, and ``__init__`` is wrapped, in each subclass too, when the first such keyword
comes. Plain constructions stay as they were.
"""

from types import BuiltinFunctionType, FunctionType

from instrument._audience.plan import Layer, checked_metadata, checked_tags
from instrument._callables.decorate import wrapping_of
from instrument._payloads.messages import get
from instrument._traced.arguments import HOLDS
from instrument._traced.keywords import (
    SLOT,
    Held,
    Keywords,
    constructed,
    handlers,
    held_by,
)
from instrument._traced.spec import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OBJECT_KEYWORDS = ("callbacks", "tags", "metadata")
_PREPARED = "__instrument_init__"


def decorate_class(cls: type, keywords: Keywords) -> type:
    """
    Have the constructor of *cls*, and of its subclasses, take handlers.

    Raises:
        TypeError: If its objects have no place for them, or for options that a class
            has no use for.
    """
    _check(cls, keywords)
    layers = keywords.layers()
    if layers:
        before = vars(cls).get(SLOT, Held())
        setattr(cls, SLOT, Held(*before.layers, *layers))
        _alert(cls)
    if not getattr(cls.__new__, _PREPARED, False):
        _take_keywords(cls)
        _hook_subclasses(cls)
    return cls


def _check(cls: type, keywords: Keywords) -> None:
    useless = [
        name
        for name in ("name", "kind", "inputs", "outputs", "token", "model", "provider")
        if getattr(keywords, name) is not None
    ]
    if useless:
        message = (
            f"@traced on the class {cls.__name__!r} has no use for {useless[0]}=."
            f" It takes {', '.join(OBJECT_KEYWORDS)}; decorate its methods for the rest."
        )
        raise TypeError(message)
    if not cls.__dictoffset__ and not any(
        SLOT in _slots_of(base) for base in cls.__mro__
    ):
        message = (
            f"@traced cannot keep handlers on objects of {cls.__name__!r}: its"
            f" __slots__ are closed. Add '__dict__' or {SLOT!r} to them."
        )
        raise TypeError(message)


def _slots_of(base: type) -> "tuple[str, ...]":
    slots = vars(base).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _hook_subclasses(cls: "Any") -> None:
    """
    Have subclasses take the keywords too, whatever constructors of their own they have.
    """
    original = vars(cls).get("__init_subclass__")

    def __init_subclass__(made: "Any", /, **kwargs: "Any") -> None:  # noqa: N807
        if original is not None:
            original.__get__(None, made)(**kwargs)
        else:
            super(cls, made).__init_subclass__(**kwargs)
        if "__new__" in vars(made):
            _take_keywords(made)
        if any(SLOT in vars(base) for base in made.__mro__):
            _alert(made)

    cls.__init_subclass__ = classmethod(__init_subclass__)


def _take_keywords(cls: "Any") -> None:
    """
    Give *cls* a ``__new__`` that puts the handlers it is given on the object.
    """
    original: Any = cls.__new__
    is_plain = original is object.__new__

    def __new__(made: "Any", /, *args: "Any", **kwargs: "Any") -> "Any":  # noqa: N807
        held = None
        rest = _accepted(original, kwargs)
        if any(keyword in kwargs for keyword in OBJECT_KEYWORDS):
            held = _holding({k: kwargs[k] for k in OBJECT_KEYWORDS if k in kwargs})
            _prepare(made, is_plain=is_plain)
        if not is_plain:
            thing = original(made, *args, **rest)
        elif made.__init__ is object.__init__ and (args or rest):
            message = f"{made.__name__}() takes no arguments"  # Python's own words
            raise TypeError(message)
        else:
            thing = object.__new__(made)
        if held is not None:
            object.__setattr__(thing, SLOT, held)
        return thing

    __new__.__wrapped__ = _telling(cls, original)  # type: ignore[attr-defined]
    setattr(__new__, _PREPARED, True)
    cls.__new__ = staticmethod(__new__)


def _telling(cls: "Any", original: "Any") -> "Any":
    """
    Give what tells the parameters of the constructor, whose ``__new__`` that is.
    """
    init = cls.__init__
    if original is object.__new__:
        return _taking_nothing if init is object.__init__ else init
    is_pythons = type(original) is BuiltinFunctionType and type(init) is FunctionType
    return init if is_pythons else original


def _taking_nothing(cls): ...  # type: ignore[no-untyped-def] # which would be told


def _prepare(cls: "Any", *, is_plain: bool) -> None:
    """
    Have ``__init__`` of *cls* get only those of the keywords that it names itself.
    """
    _alert(cls)
    original = cls.__init__
    if getattr(original, _PREPARED, False):
        return

    import functools

    @functools.wraps(original)
    def __init__(self: "Any", /, *args: "Any", **kwargs: "Any") -> None:  # noqa: N807
        held = held_by(self)
        rest = _accepted(original, kwargs)
        if original is not object.__init__:
            original(self, *args, **rest)
        elif is_plain and (args or rest):
            message = f"{cls.__name__}() takes no arguments"  # Python's own words
            raise TypeError(message)
        if type(held) is Held and held_by(self) is not held:
            object.__setattr__(self, SLOT, held)  # __init__ filled __dict__ anew

    setattr(__init__, _PREPARED, True)
    cls.__init__ = __init__


def _accepted(function: "Any", kwargs: "dict[str, Any]") -> "dict[str, Any]":
    """
    Leave out the keywords that *function* does not name itself.
    """
    from inspect import signature

    try:
        named = signature(function).parameters
    except (TypeError, ValueError):
        named = {}  # type: ignore[assignment]
    return {k: v for k, v in kwargs.items() if k not in OBJECT_KEYWORDS or k in named}


def _holding(passed: "dict[str, Any]") -> Held:
    tags = passed.get("tags")
    metadata = passed.get("metadata")
    options = constructed(
        handlers(passed.get("callbacks")),
        None if tags is None else checked_tags(tags),
        None if metadata is None else checked_metadata(metadata),
    )
    return Held(Layer(options, "constructor"))


def _alert(cls: type) -> None:
    """
    Have the traced methods of *cls* look at their object from now on.
    """
    for base in cls.__mro__:
        for value in vars(base).values():
            inside = (get(value, name) for name in HOLDS)
            held = next((it for it in inside if it is not None), value)
            spec = wrapping_of(held)
            if type(spec) is Spec and not spec.alert:
                spec.alert.append(cls)
