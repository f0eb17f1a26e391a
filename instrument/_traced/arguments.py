"""
Bind a call's arguments by name, quickly.

``Signature.bind`` costs 1.5 us a call. Instead a function with the same parameters is
compiled once, on the first call that is heard, which returns its own arguments: Python
does the binding, defaults included. Secrets are masked in it.
"""

import keyword
import sys
from collections import ChainMap
from functools import partial
from types import CodeType

from instrument._interrupts import pass_on
from instrument._payloads.messages import get
from instrument._payloads.names import MASK
from instrument._payloads.redact import Secret
from instrument._text import bases_of, names_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from inspect import Parameter
    from typing import Any

    Binding = Callable[..., dict[str, Any]]

_TAKES_KEYWORDS = 0x08  # inspect.CO_VARKEYWORDS
_MOST_LAYERS = 100
"""Partials, methods and decorators, one around the other."""
_NEAR = 12
"""How many frames above its decoration a function may be in the midst of its definition."""
KNOWN_TYPES = 256
_BOUND = object()
HOLDS = ("__func__", "fget", "func")
"""Where class methods, properties and cached properties keep their function."""


class Binder:
    """
    The parameters of one function.
    """

    __slots__ = (
        "_around",
        "_fitting",
        "_function",
        "_has_secrets",
        "_is_bound",
        "_is_method",
        "by_type",
        "is_in_class",
    )

    def __init__(self, function: "Any") -> None:
        self._function = function
        self._is_bound = hasattr(function, "__func__")  # it has no ``self`` to give
        name = getattr(function, "__qualname__", "")
        self.is_in_class = "." in name.rpartition("<locals>.")[2]
        self.by_type: dict[object, Binding] = {}
        self._is_method: dict[type, bool] = {}
        self._has_secrets = False
        self._fitting: Binding | None = None
        self._around = _names_around(function)
        try:  # not in the first call: a fork in mid-import leaves the child waiting
            import inspect  # noqa: F401
        except Exception as exc:  # no descriptor is to be had now
            pass_on(exc)

    def fits(self, args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> bool:
        """
        Tell whether the function can be called so; what it wraps does not count, as it
        may itself give that what is not given here.
        """
        try:
            if self._fitting is None:
                self._fitting = self._own()
            self._fitting(*args, **kwargs)
        except TypeError:
            return False
        except Exception as exc:  # what it needs cannot be imported
            pass_on(exc)
        return True

    def bind(
        self,
        args: "tuple[Any, ...]",
        kwargs: "dict[str, Any]",
        wrapper: object,
        is_bound: bool = False,
    ) -> "dict[str, Any]":
        """
        Give the arguments by name, without ``self``.

        Args:
            wrapper: What stands in the function's place, to tell methods by.
            is_bound: Whether *args* is without ``self`` already.

        A call that does not fit the signature gives what was passed, as it is; Python
        raises its own error for it.
        """
        key: object = None
        given = args
        if is_bound:
            key, args = _BOUND, args if self._is_bound else (None, *args)
        elif self.is_in_class and args:
            key = self._class_of(args[0], wrapper)
        bind = self.by_type.get(key) or self._prepared(key, wrapper)
        try:
            return bind(*args, **kwargs)
        except TypeError:
            if self._has_secrets:  # which of them they are cannot be told
                return {
                    "args": [MASK] * len(given),
                    "kwargs": dict.fromkeys(kwargs, MASK),
                }
            return {"args": list(given), "kwargs": dict(kwargs)}

    def has_name(self, name: str) -> bool:
        """
        Tell whether the function takes a keyword *name*, itself or as one of any.
        """
        code = getattr(self._function, "__code__", None)
        if code is None:
            return any(
                p.name == name or p.kind is p.VAR_KEYWORD for p in self._parameters()
            )
        named = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        return bool(code.co_flags & _TAKES_KEYWORDS) or name in named

    def has_secrets(self) -> bool:
        return bool(_secrets(self._function, self._parameters(), self._around))

    def is_method_of(self, owner: object, wrapper: object) -> bool:
        """
        Tell whether *owner* is the ``self`` or ``cls`` of this function; known by type.
        """
        cls: Any = owner if issubclass(type(owner), type) else type(owner)
        if not _has_hash(cls):
            return _defines(cls, wrapper)
        known = self._is_method.get(cls)
        if known is None:
            if len(self._is_method) >= KNOWN_TYPES:
                self._is_method.clear()
            known = self._is_method[cls] = _defines(cls, wrapper)
        return known

    def _class_of(self, owner: object, wrapper: object) -> object:
        """
        Give the class that decides whether a call with this first argument is a method's.
        """
        cls: Any = owner if issubclass(type(owner), type) else type(owner)
        if _has_hash(cls):
            return cls
        return _BOUND if _defines(cls, wrapper) else None

    def _parameters(self) -> "list[Parameter]":
        from inspect import signature

        try:
            return list(signature(self._function).parameters.values())
        except (TypeError, ValueError):  # some builtins have none
            return []

    def _own(self) -> "Binding":
        from inspect import signature

        if hasattr(self._function, "__signature__"):
            return _unnamed  # which may say what it likes
        try:
            own = signature(self._function, follow_wrapped=False).parameters
        except (TypeError, ValueError):
            return _unnamed
        return _compiled(list(own.values()), frozenset(), skip=0)

    def _prepared(self, key: object, wrapper: object) -> "Binding":
        """
        Compile the binding for methods of one type, for bound calls or for all others.
        """
        parameters = self._parameters()
        is_method = key is _BOUND or (
            issubclass(type(key), type) and self.is_method_of(key, wrapper)
        )
        skip = 1 if is_method and not self._is_bound else 0
        binding = _unnamed
        if parameters or hasattr(self._function, "__code__"):
            secret = _secrets(self._function, parameters, self._around)
            self._has_secrets = bool(secret)
            binding = _compiled(parameters, secret, skip=skip)
        if len(self.by_type) >= KNOWN_TYPES:
            self.by_type.clear()
        self.by_type[key] = binding
        return binding


def _compiled(
    parameters: "list[Parameter]", secret: "frozenset[str]", *, skip: int
) -> "Binding":
    """
    Compile ``lambda x, y=default: {"x": x, "y": y}`` for *parameters*.
    """
    names: list[str] = []
    # of this module, so that it is known as ours in a traceback
    space: dict[str, Any] = {"__name__": __name__}
    star = False
    if any(keyword.iskeyword(p.name) or not p.name.isidentifier() for p in parameters):
        return _unnamed
    for index, parameter in enumerate(parameters):
        text = parameter.name
        if parameter.kind is parameter.VAR_POSITIONAL:
            text, star = f"*{text}", True
        elif parameter.kind is parameter.VAR_KEYWORD:
            text = f"**{text}"
        elif parameter.kind is parameter.KEYWORD_ONLY and not star:
            names.append("*")
            star = True
        if parameter.default is not parameter.empty:
            space[f"_default_{index}"] = parameter.default
            text += f"=_default_{index}"
        names.append(text)
        following = parameters[index + 1 : index + 2]
        if parameter.kind is parameter.POSITIONAL_ONLY and not (
            following and following[0].kind is parameter.POSITIONAL_ONLY
        ):
            names.append("/")
    kept = [p.name for p in parameters[skip:]]
    items = ", ".join(f"{n!r}: {repr(MASK) if n in secret else n}" for n in kept)
    source = f"lambda {', '.join(names)}: {{{items}}}"
    code = compile(source, f"<{__name__}>", "eval")
    # the names come from a signature: Python has checked that they are identifiers
    return eval(code, space)  # type: ignore[no-any-return]  # noqa: S307


def _names_around(function: "Any") -> "dict[str, Any]":
    """
    Give what names in quoted annotations mean in the functions and the class in which
    *function* is being defined; of these its module knows nothing.
    """
    import re

    inner = _innermost(function)
    code = getattr(inner, "__code__", None)
    hints = getattr(inner, "__annotations__", None)
    if code is None or type(hints) is not dict:
        return {}
    quoted = " ".join(hint for hint in hints.values() if type(hint) is str)
    frame = sys._getframe(1) if quoted else None
    scopes = [] if inner is function else _names_of_object(function)
    for _ in range(_NEAR):
        if frame is None:
            break
        if _is_in(code, frame.f_code):
            if frame.f_locals is frame.f_globals:
                break
            code = frame.f_code
            scopes.append(frame.f_locals)
        frame = frame.f_back
    used = re.findall(r"[^\W\d]\w*", quoted)
    found = [{name: it[name] for name in used if name in it} for it in scopes]
    return dict(ChainMap(*found))


def _names_of_object(function: "Any") -> "list[Any]":
    """
    Give the names of the classes of which a callable object is, or that a method is of.
    """
    owner = getattr(function, "__self__", function)
    kind = owner if issubclass(type(owner), type) else type(owner)
    return [names_in(base) for base in bases_of(kind)]


def _is_in(code: object, outer: CodeType) -> bool:
    """
    Tell whether *code* is of a function that is made there, or in a class there.
    """
    inner = [it for it in outer.co_consts if type(it) is CodeType]
    return code in inner or any(code in it.co_consts for it in inner)


def _names_in_class(function: "Any", known: "dict[str, Any]") -> "dict[str, Any]":
    """
    Give the names of the class of *function*, of what its module knows.
    """
    first, *others = str(getattr(function, "__qualname__", "")).split(".")
    owner: Any = known.get(first)
    for name in others[:-1]:
        owner = names_in(owner).get(name) if issubclass(type(owner), type) else None
    is_class = others and issubclass(type(owner), type)
    return {**names_in(owner)} if is_class else {}


def _secrets(
    function: "Any", parameters: "list[Parameter]", around: "dict[str, Any]"
) -> "frozenset[str]":
    """
    Name the parameters marked ``Annotated[..., Secret]``: in what the function says is
    its signature, in its own annotations or those of an overload.

    Where an annotation cannot be resolved, its text decides: better masked than shown.
    """
    function = _innermost(function)
    known = getattr(function, "__globals__", {})
    scope = {**known, **_names_in_class(function, known), **around}
    typing = _whole_typing()
    written = [function]
    if typing is not None and hasattr(function, "__code__"):
        written += typing.get_overloads(function)
    hints = [{parameter.name: parameter.annotation for parameter in parameters}]
    hints += [getattr(each, "__annotations__", {}) for each in written]
    found = []
    for name in hints[0]:
        seen: dict[Any, Any] = {}  # most say the same twice
        if any(_is_secret(it.get(name), scope, seen) for it in hints):
            found.append(name)
    return frozenset(found)


def _innermost(function: "Any") -> "Any":
    """
    Give the function that is called at last, behind partials, methods and decorators.
    """
    for _ in range(_MOST_LAYERS):
        if issubclass(type(function), partial):
            function = function.func
        elif hasattr(function, "__func__"):
            function = function.__func__
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif hasattr(function, "__code__"):
            break
        else:
            outer = function
            function = getattr(type(outer), "__call__", outer)  # noqa: B004
            if function is outer:
                break
    return function


def _is_secret(hint: "Any", scope: "dict[str, Any]", seen: "dict[Any, Any]") -> bool:
    """
    Tell whether a mark stands anywhere in an annotation.

    Args:
        seen: What has been looked into, kept alive: another may have its id else. A type
            may be made of itself, by its name.
    """
    module = getattr(hint, "__forward_module__", None)  # of an inherited typed dict
    scope = getattr(sys.modules.get(module), "__dict__", scope) if module else scope
    hint = getattr(hint, "__forward_arg__", hint)  # Optional["Annotated[str, Secret]"]
    key = hint if isinstance(hint, str) else id(hint)
    if key in seen:
        return False
    seen[key] = hint
    if isinstance(hint, str):
        inner = _named_in(hint, scope)
    else:
        try:
            inner, scope = _parts_of(hint, scope)
        except Exception as exc:  # of a type statement, which has no text to decide
            pass_on(exc)
            return True
    return _is_mark(hint) or any(_is_secret(part, scope, seen) for part in inner)


def _named_in(text: str, scope: "dict[str, Any]") -> "list[Any]":
    """
    Evaluate an annotation; where that fails, those of its names that can be.
    """
    import re

    found = []
    for name in (text, *re.findall(r"[^\W\d][\w.]*", text)):
        try:
            found.append(eval(name, scope))  # noqa: S307 - as typing.get_type_hints does
        except Exception as exc:
            pass_on(exc)
            found += [Secret] if name.rpartition(".")[2] == "Secret" else []
        else:
            if name is text:
                break
    return found


def _parts_of(
    hint: "Any", scope: "dict[str, Any]"
) -> "tuple[list[Any], dict[str, Any]]":
    """
    Give what an annotation is made of, and the names that hold in it.
    """
    typing = _whole_typing()
    if typing is None:  # nor is there any `Annotated` then
        return [], scope
    parts = [getattr(hint, name, None) for name in _HELD]
    origin = getattr(hint, "__origin__", None)
    for name in _SEVERAL:
        several = getattr(hint, name, ())
        if type(several) is tuple and origin is not typing.Literal:
            parts += several
    if origin is typing.Unpack:  # **kwargs: Unpack[...]
        fields = hint.__args__[0]
        fields = getattr(fields, "__origin__", fields)
        parts += getattr(fields, "__annotations__", {}).values()
        scope = vars(sys.modules.get(getattr(fields, "__module__", ""), typing))
    return parts, scope


def _whole_typing() -> "Any":
    """
    Give `typing`; None where nobody has imported it, or another thread is still at that:
    then nothing was written with it yet.
    """
    typing = sys.modules.get("typing")
    return typing if hasattr(typing, "get_overloads") else None


_HELD = ("__value__", "__supertype__", "__bound__")
"""Where ``type`` statements, new types and type variables keep what they stand for."""
_SEVERAL = ("__metadata__", "__args__", "__constraints__")


def _is_mark(mark: object) -> bool:
    return isinstance(mark, Secret) or (
        isinstance(mark, type) and issubclass(mark, Secret)
    )


def _has_hash(cls: type) -> bool:
    """
    Tell whether a class can be a key: a metaclass with an equality of its own has none.
    """
    return type(cls).__hash__ is type.__hash__


def _defines(cls: type, wrapper: object) -> bool:
    for base in bases_of(cls):
        for value in tuple(names_in(base).values()):
            if issubclass(type(value), staticmethod):
                continue
            if value is wrapper or any(get(value, it) is wrapper for it in HOLDS):
                return True
    return False


def _unnamed(*args: object, **kwargs: object) -> "dict[str, Any]":
    return {"args": list(args), **kwargs}
