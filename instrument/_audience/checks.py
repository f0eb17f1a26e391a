"""
Check what was given: an error at once, that names the value and the cure.
"""

from instrument._text import safe_repr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def checked_tags(tags: "Any") -> tuple[str, ...]:
    """
    Give *tags* as a tuple.

    Raises:
        TypeError: For a bare string, or anything in it that is no string.
    """
    if isinstance(tags, str):
        message = f"tags is a list of strings, not the string {tags!r}: [{tags!r}]"
        raise TypeError(message)
    made = tuple(tags)
    for tag in made:
        if not isinstance(tag, str):
            message = f"tags is a list of strings; {safe_repr(tag)} is none."
            raise TypeError(message)
    return made


def checked_metadata(metadata: "Any") -> "dict[str, Any]":
    """
    Give *metadata* as a dict of its own.

    Raises:
        TypeError: For anything but a mapping with string keys.
    """
    try:
        made: dict[Any, Any] = dict(metadata)
    except (TypeError, ValueError):
        made = {None: None}
    if not all(isinstance(key, str) for key in made):
        message = f"metadata is a dict with string keys, not {safe_repr(metadata)}."
        raise TypeError(message)
    return made


def checked_sample(sample: object) -> float:
    """
    Give *sample* as a float.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is not from 0 to 1.
    """
    if isinstance(sample, bool) or not isinstance(sample, (int, float)):
        message = f"callbacks(sample=...) is a number from 0 to 1, not {sample!r}."
        raise TypeError(message)
    if not 0 <= sample <= 1:
        message = (
            f"callbacks(sample=...) is a share from 0 to 1, not {sample!r};"
            " one root run in ten is sample=0.1."
        )
        raise ValueError(message)
    return float(sample)


def check_flags(**flags: object) -> None:
    """
    Refuse a flag that is neither True nor False: ``capture="no"`` would capture.

    Raises:
        TypeError: For another value.
    """
    for name, value in flags.items():
        if value is not True and value is not False:
            message = f"callbacks({name}=...) is True or False, not {value!r}."
            raise TypeError(message)
