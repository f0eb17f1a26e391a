"""
The keywords of ``traced(...)``, what they add to who hears, and where an object of a
traced class keeps that.
"""

from instrument._audience.listener import as_listener
from instrument._audience.plan import Layer, Options
from instrument._delivery.flush import flush_at_exit
from instrument._payloads.messages import is_listed, items
from instrument._state import DISABLED
from instrument._text import bases_of, names_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from instrument._audience.listener import Listener


NAMES = (
    "name",
    "kind",
    "tags",
    "metadata",
    "callbacks",
    "inputs",
    "outputs",
    "token",
    "model",
    "provider",
)
SLOT = "_instrument_layer"


class Keywords:
    """
    The keywords of one ``traced(...)``, checked; None where not given.
    """

    name: str | None
    kind: str | None
    tags: "tuple[str, ...] | None"
    metadata: "dict[str, Any] | None"
    callbacks: "tuple[Listener, ...] | None"
    inputs: "Any"
    outputs: "Any"
    token: "Any"
    model: str | None
    provider: str | None

    def __init__(self, **keywords: "Any") -> None:
        for name in NAMES:
            setattr(self, name, keywords.get(name))

    def over(self, inner: "Keywords") -> "Keywords":
        """
        Give both: these options win, tags add up, handlers too.
        """
        made = Keywords()
        for name in NAMES:
            mine, theirs = getattr(self, name), getattr(inner, name)
            setattr(made, name, theirs if mine is None else mine)
        made.tags = (*(inner.tags or ()), *(self.tags or ()))
        made.metadata = {**(inner.metadata or {}), **(self.metadata or {})}
        made.callbacks = (*(inner.callbacks or ()), *(self.callbacks or ()))
        return made

    def facts(self, target: object) -> "dict[str, Any] | None":
        """
        Give the attributes that each run of *target* begins with.
        """
        facts = {
            "_model": self.model,
            "provider": self.provider,
            "_description": _described(target) if self.kind == "tool" else None,
        }
        return {name: fact for name, fact in facts.items() if fact is not None} or None

    def layers(self, rank: str = "constructor") -> "tuple[Layer, ...]":
        """
        Give what a constructor, or a call, with these options adds.
        """
        if DISABLED or not (self.callbacks or self.tags or self.metadata):
            return ()
        options = constructed(self.callbacks, self.tags, self.metadata)
        return (Layer(options, rank),)


def _described(target: "Any") -> str | None:
    """
    Give the docstring of a function, without its indentation.
    """
    doc = getattr(getattr(target, "func", target), "__doc__", None)  # of a partial
    if type(doc) is not str or not doc.strip():
        return None
    first, *rest = doc.expandtabs().splitlines()
    margins = [len(line) - len(line.lstrip()) for line in rest if line.strip()]
    margin = min(margins, default=0)
    return "\n".join(
        [first.lstrip(), *[line[margin:].rstrip() for line in rest]]
    ).strip()


def handlers(value: object) -> "tuple[Any, ...]":
    """
    Give the handlers of a ``callbacks=`` as listeners: a list of them, one, or None.

    Raises:
        TypeError: For what is no handler.
    """
    if value is None:
        return ()
    several = items(value) if is_listed(value) else [value]
    return tuple(as_listener(handler) for handler in several)


def constructed(
    listeners: "tuple[Any, ...] | None",
    tags: "tuple[str, ...] | None",
    metadata: "dict[str, Any] | None",
) -> Options:
    """
    Make the options of a constructor; its handlers are flushed at exit.
    """
    if DISABLED:
        return Options()
    for listener in listeners or ():
        if listener.flushes:
            flush_at_exit(listener)
    return Options(listeners or (), tags or (), metadata or None)


class Held:
    """
    The layers of one object, kept in it; copies share them, pickles leave them out.
    """

    __slots__ = ("layers",)

    def __init__(self, *layers: Layer) -> None:
        self.layers = layers

    def __deepcopy__(self, memo: object) -> "Held":
        return self

    def __reduce__(self) -> "Any":
        return Held, ()  # handlers stay in their process

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Held)  # objects compare by what is theirs

    def __hash__(self) -> int:
        return hash(Held)

    def __repr__(self) -> str:
        return "<handlers>"


def layers_of(owner: object) -> "tuple[Layer, ...]":
    """
    Give the layers of an object of a traced class: its class's, then its own.
    """
    cls: Any = owner if issubclass(type(owner), type) else type(owner)
    found = [names_in(base).get(SLOT) for base in reversed(bases_of(cls))]
    held = [each for each in found if type(each) is Held]
    if owner is not cls:
        own = held_by(owner)
        if type(own) is Held and not any(own is each for each in held):
            held.append(own)
    return tuple(layer for each in held for layer in each.layers)


def held_by(owner: object) -> object:
    try:
        return object.__getattribute__(owner, SLOT)
    except AttributeError:
        return None
