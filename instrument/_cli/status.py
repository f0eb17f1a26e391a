"""
``python -m instrument status``: what is heard of what is installed.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

HELP = "show which frameworks are heard, and how"
DESCRIPTION = (
    "Import each framework that is installed, and show what instrument.auto hears of"
    " it, or why nothing."
)


def add_arguments(parser: "argparse.ArgumentParser") -> None:
    """
    Say what it takes: nothing.
    """


def run(parser: "argparse.ArgumentParser", arguments: "argparse.Namespace") -> None:
    """
    Show them.
    """
    from instrument._cli import frameworks

    frameworks.show()
