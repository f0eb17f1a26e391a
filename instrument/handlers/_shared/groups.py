"""
Apart by what metadata say: tables of users, of tenants.
"""

from instrument._text import cut, safe_repr, safe_str

TYPE_CHECKING = False
if TYPE_CHECKING:
    from instrument._runs.run import Run

_LONGEST = 200


def checked_group_by(handler: str, key: object) -> str | None:
    """
    Give *key* as that of metadata; None is none.

    Raises:
        TypeError: If it is no str.
    """
    if key is not None and not isinstance(key, str):
        message = f"{handler}: group_by is a key of metadata, not {safe_repr(key)}."
        raise TypeError(message)
    return key


def group_of(run: "Run", key: str | None) -> str | None:
    """
    Tell what the metadata of *run* say under *key*; None without a key.
    """
    if key is None:
        return None
    value = run.metadata.get(key)
    return "-" if value is None else cut(safe_str(value), _LONGEST)
