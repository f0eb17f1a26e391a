"""
By what names a class tells its fields: dataclasses, classes of attrs, pydantic models,
structs of msgspec, named tuples, records of numpy; else slots and the instance dictionary.
"""

import sys
import types

from instrument._text import is_callers, names_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    Pairs = list[tuple[Any, Any]]

_NO_FIELDS = frozenset(
    ("__dict__", "__weakref__", "__vectorcalloffset__", "__suppress_context__")
)


def places(bases: "tuple[type[Any], ...]") -> "tuple[Any, Pairs]":
    """
    Find the descriptors of an instance dictionary and of the slots.
    """
    instance_dict = None
    slots: Pairs = []
    for base in bases:
        for name, place in names_in(base).items():
            kind = type(place)
            is_member = kind is types.MemberDescriptorType
            if name == "__dict__" and (is_member or kind is types.GetSetDescriptorType):
                instance_dict = instance_dict or place.__get__
            elif is_member and name not in _NO_FIELDS:
                slots.append((name, place.__get__))
    return instance_dict, slots


class Aliased(str):
    """
    The name of a field that is given, or written, under other names as well.
    """

    __slots__ = ("aliases",)
    aliases: frozenset[str]


def aliased(name: str, *aliases: object) -> str:
    """
    Give the name of a field with its aliases, if it has any: a text, or a list of what
    an ``AliasPath`` leads by and an ``AliasChoices`` chooses from.
    """
    texts: list[Any] = []
    for alias in aliases:
        held = getattr(alias, "path", None) or getattr(alias, "choices", None)
        texts += [alias] if type(held) is not list else held
    for path in [it for it in texts if type(it) is not str]:
        texts += getattr(path, "path", None) or ()
    others = frozenset(it for it in texts if type(it) is str and it != name)
    if not others:
        return name
    made = Aliased(name)
    made.aliases = others
    return made


def aliases_of(name: object) -> "frozenset[str]":
    """
    Give the other names of a field.
    """
    return name.aliases if type(name) is Aliased else frozenset()


def as_left(told: "Pairs", left: "dict[Any, Any]") -> "Pairs":
    """
    Give the fields that were left of those, under all the names that they have.
    """
    names = {str.__str__(it): it for it, _ in told if type(it) is Aliased}
    return [(names.get(name, name), item) for name, item in dict.items(left)]


def marked(names: "Iterable[str]") -> "Callable[[Any, Pairs], tuple[Pairs, Pairs]]":
    """
    Split what is held into the fields of these names, and the rest.
    """
    told_names = {str.__str__(name): name for name in names}

    def is_told(name: object) -> bool:
        return type(name) is str and name in told_names  # another has its own hash

    def split(value: object, held: "Pairs") -> "tuple[Pairs, Pairs]":
        found = {name: item for name, item in held if is_told(name)}
        rest = [(name, item) for name, item in held if not is_told(name)]
        told = [(told_names[name], found[name]) for name in told_names if name in found]
        return told, rest

    return split


def _dataclass_names(found: "Any") -> "Any":
    return marked([name for name, field in dict.items(found) if field.repr])


def _attrs_names(found: "Any") -> "Any":
    told = [field for field in found if field.repr is not False]
    return marked(
        [aliased(field.name, getattr(field, "alias", None)) for field in told]
    )


def _pydantic_names(found: "Any") -> "Any":
    known = dict.items(found)
    told_fields = [it for it in known if getattr(it[1], "repr", True) is not False]
    split_named = marked([aliased(n, *_aliases(it)) for n, it in told_fields])

    def split(value: object, held: "Pairs") -> "tuple[Pairs, Pairs]":
        told, rest = split_named(value, held)
        extra = [item for name, item in rest if name == "__pydantic_extra__"]
        if extra and type(extra[0]) is dict:
            told = [*told, *extra[0].items()]
        return told, without_pydantics(rest)

    return split


def _aliases(field: object) -> "list[Any]":
    kinds = ("alias", "validation_alias", "serialization_alias")
    return [getattr(field, kind, None) for kind in kinds]


def computed_aliases(names: "Any") -> "list[str]":
    """
    Give under what other names a pydantic model with those writes what it computes.
    """
    found = getattr(names.get("__pydantic_decorators__"), "computed_fields", None)
    if type(found) is not dict:
        return []
    aliases = [getattr(it.info, "alias", None) for it in found.values()]
    return [it for it in aliases if type(it) is str]


def without_pydantics(held: "Pairs") -> "Pairs":
    """
    Leave out what validation keeps for itself, which is neither shown nor asked for; a
    model's private attributes are its own.
    """
    kept = []
    for name, item in held:
        if not str(name).startswith("__pydantic_"):
            kept.append((name, item))
        elif str(name) == "__pydantic_private__" and type(item) is dict:
            kept += item.items()
    return kept


def _older_pydantic_names(found: "Any") -> "Any":
    """
    Split as version 1 of pydantic, and ``pydantic.v1``, tell their fields.
    """
    known = dict.items(found)
    told_fields = [it for it in known if it[1].field_info.repr]
    split_named = marked([aliased(name, field.alias) for name, field in told_fields])

    def split(value: object, held: "Pairs") -> "tuple[Pairs, Pairs]":
        told, rest = split_named(value, held)
        extra = [it for it in rest if str(it[0])[:1] != "_" and str(it[0]) not in found]
        return [*told, *extra], [it for it in rest if str(it[0]) != "__fields_set__"]

    return split


def _struct_names(kind: "type[Any]") -> "Any":
    """
    Split as structs of msgspec tell their fields, whose class knows them by descriptors
    of its own class; None of any other class.
    """
    held = names_in(type(kind))
    names, written = (held.get(f"__struct_{it}fields__") for it in ("", "encode_"))
    if not type(names) is type(written) is types.MemberDescriptorType:
        return None
    pairs = zip(names.__get__(kind), written.__get__(kind), strict=True)
    return marked([aliased(*pair) for pair in pairs])


def _tuple_names(found: "Any") -> "Any":
    names = [str.__str__(name) for name in tuple.__iter__(found)]

    def split(value: "Any", held: "Pairs") -> "tuple[Pairs, Pairs]":
        return list(zip(names, tuple.__iter__(value), strict=False)), held

    return split


def record_of(value: "Any") -> "Any":
    """
    Give a record of an array by the names of its type; what has none as Python has it.
    """
    numpy: Any = sys.modules["numpy"]
    names = numpy.generic.dtype.__get__(value).names
    if names is None:
        return numpy.generic.item(value)
    return {name: numpy.void.__getitem__(value, name) for name in names}


def is_of_numbers(value: "Any") -> bool:
    """
    Tell whether an array holds numbers, times or truth values, and nothing else.
    """
    numpy: Any = sys.modules["numpy"]
    return str(numpy.ndarray.dtype.__get__(value).kind) in "biufcmM"


def characters_of(value: "Any") -> str | None:
    """
    Give the text of an array of characters; None of any other buffer.
    """
    kind: Any = getattr(sys.modules.get("array"), "array", str)
    if not issubclass(type(value), kind):
        return None
    is_text = kind.typecode.__get__(value) in ("u", "w")
    return kind.tounicode(value) if is_text else None


MARKS: "dict[str, Callable[[Any], Any]]" = {
    "__pydantic_fields__": _pydantic_names,
    "__dataclass_fields__": _dataclass_names,
    "__attrs_attrs__": _attrs_names,
    "__fields__": _older_pydantic_names,
    "_fields": _tuple_names,
}


def found_in(bases: "tuple[type[Any], ...]", *, is_tuple: bool) -> "Any":
    """
    Give what splits the fields of a class that tells them by name; None of any other.
    """
    for base in bases:
        for mark, find in MARKS.items():
            if mark in names_in(base) and (mark == "_fields") is is_tuple:
                try:
                    return find(names_in(base)[mark])
                except BaseException as exc:  # another thing of that name
                    if is_callers(exc):
                        raise
    return _struct_names(bases[0])
