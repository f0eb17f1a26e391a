"""
``@traced`` on a class: its constructor then takes ``callbacks=``, ``tags=`` and
``metadata=``, for the traced methods of that object and all below them.

The class is changed in place, never proxied: it gets a ``__new__`` that puts them on the
object, and ``__init__`` is wrapped, in each subclass too, when the first such keyword
comes. Plain constructions stay as they were.
"""

from instrument._checked import checked_metadata, checked_tags
from instrument._decorate import wrapping_of
from instrument._plan import Layer
from instrument._traced._given import Given, constructed, handlers
from instrument._traced._spec import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

KEYWORDS = ("callbacks", "tags", "metadata")
SLOT = "_instrument_layer"
_PREPARED = "__instrument_init__"


class Held:
    """
    The layer of one object, kept in it; copies share it, pickles leave it out.
    """

    __slots__ = ("layer",)

    def __init__(self, layer: Layer | None) -> None:
        self.layer = layer

    def __copy__(self) -> "Held":
        return self

    def __deepcopy__(self, memo: object) -> "Held":
        return self

    def __reduce__(self) -> "Any":
        return Held, (None,)  # handlers stay in their process

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Held)  # objects compare by what is theirs

    def __hash__(self) -> int:
        return hash(Held)

    def __repr__(self) -> str:
        return "<handlers>"


def decorate_class(cls: type, given: Given) -> type:
    """
    Have the constructor of *cls*, and of its subclasses, take handlers.

    Raises:
        TypeError: If its objects have no place for them, or for options that a class
            has no use for.
    """
    _check(cls, given)
    layers = given.layers()
    if layers:
        setattr(cls, SLOT, Held(layers[0]))
        _watch(cls)
    if "__new__" not in vars(cls) or not hasattr(vars(cls)["__new__"], "__func__"):
        original = cls.__new__
    else:
        original = vars(cls)["__new__"].__func__
    if getattr(original, _PREPARED, False):
        return cls
    cls.__new__ = staticmethod(_new(cls, original))  # type: ignore[method-assign]
    return cls


def layers_of(owner: object) -> "tuple[Layer, ...]":
    """
    Give the layers of an object of a traced class: its class's, then its own.
    """
    cls = owner if isinstance(owner, type) else type(owner)
    found = [vars(base).get(SLOT) for base in reversed(cls.__mro__)]
    held = [each for each in found if isinstance(each, Held)]
    if owner is not cls:
        own = _own(owner)
        if isinstance(own, Held) and not any(own is each for each in held):
            held.append(own)
    return tuple(each.layer for each in held if each.layer is not None)


def _own(owner: object) -> object:
    try:
        return object.__getattribute__(owner, SLOT)
    except AttributeError:
        return None


def _check(cls: type, given: Given) -> None:
    useless = [
        name
        for name in ("name", "kind", "inputs", "outputs", "token", "model", "provider")
        if getattr(given, name) is not None
    ]
    if useless:
        message = (
            f"@traced on the class {cls.__name__!r} has no use for {useless[0]}=."
            f" It takes {', '.join(KEYWORDS)}; decorate its methods for the rest."
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


def _new(cls: type, original: "Any") -> "Callable[..., Any]":
    plain = original is object.__new__

    def __new__(made: "Any", /, *args: "Any", **kwargs: "Any") -> "Any":  # noqa: N807
        held = None
        if any(keyword in kwargs for keyword in KEYWORDS):
            held = _held({k: kwargs[k] for k in KEYWORDS if k in kwargs})
            _prepare(made)
        if plain:
            made_now = object.__new__(made)
        else:
            made_now = original(made, *args, **_accepted(original, kwargs))
        if held is not None:
            object.__setattr__(made_now, SLOT, held)
        return made_now

    original_init: Any = cls.__init__  # type: ignore[misc]
    __new__.__wrapped__ = original_init if plain else original  # type: ignore[attr-defined]
    setattr(__new__, _PREPARED, True)
    return __new__


def _prepare(cls: "Any") -> None:
    """
    Have ``__init__`` of *cls* get only those of the keywords that it names itself.
    """
    original = cls.__init__
    if getattr(original, _PREPARED, False):
        return

    import functools

    @functools.wraps(original)
    def __init__(self: "Any", /, *args: "Any", **kwargs: "Any") -> None:  # noqa: N807
        held = _own(self)
        if original is not object.__init__ or args or _accepted(original, kwargs):
            original(self, *args, **_accepted(original, kwargs))
        if isinstance(held, Held) and _own(self) is not held:
            object.__setattr__(self, SLOT, held)  # __init__ filled __dict__ anew

    setattr(__init__, _PREPARED, True)
    cls.__init__ = __init__
    _watch(cls)


def _accepted(function: "Any", kwargs: "dict[str, Any]") -> "dict[str, Any]":
    """
    Leave out the keywords that *function* does not name itself.
    """
    from inspect import signature

    try:
        named = signature(function).parameters
    except (TypeError, ValueError):
        named = {}  # type: ignore[assignment]
    return {k: v for k, v in kwargs.items() if k not in KEYWORDS or k in named}


def _held(given: "dict[str, Any]") -> Held:
    tags = given.get("tags")
    metadata = given.get("metadata")
    options = constructed(
        handlers(given.get("callbacks")),
        None if tags is None else checked_tags(tags),
        None if metadata is None else checked_metadata(metadata),
    )
    return Held(Layer(options, "constructor"))


def _watch(cls: type) -> None:
    """
    Have the traced methods of *cls* look at their object from now on.
    """
    for base in cls.__mro__:
        for value in vars(base).values():
            for name in ("__func__", "fget", "func"):
                value = getattr(value, name, value)  # noqa: PLW2901 - what it holds
            spec = wrapping_of(value)
            if isinstance(spec, Spec) and not spec.watch:
                spec.watch.append(cls)
