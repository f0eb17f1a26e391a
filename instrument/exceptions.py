"""
The errors of this library that a caller may want to catch.

    InstrumentError
     +-- EventFormatError (also a ValueError)

Wrong arguments raise ``TypeError`` and ``ValueError`` as everywhere in Python.
"""

__all__ = ["EventFormatError", "InstrumentError"]


class InstrumentError(Exception):
    """
    The root of every error that only this library raises.
    """


class EventFormatError(InstrumentError, ValueError):
    """
    Raised by ``Event.from_json`` for text that is no event of a known version.
    """
