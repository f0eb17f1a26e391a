"""
What an adapter that listens through `sys.monitoring` has in common with the others.
"""

from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from instrument._hearing.targets import Target
    from instrument._hearing.watches import Watch


class Watched:
    """
    The functions of one package that are heard while it is installed.
    """

    def __init__(self, targets: "list[Target]") -> None:
        self._targets = targets

    def load(self) -> None:
        """
        Import nothing: what is heard is found by its name.
        """

    def install(self) -> None:
        """
        Arm all that there are; one that has gone from the package is passed over.

        Raises:
            Impossible: If there is no monitoring; nothing is armed then.
        """
        for target in self._targets:
            with suppress(AttributeError, TypeError):  # `missing` says so
                target.switch_on()

    def uninstall(self) -> None:
        """
        Disarm them. Calls that have begun are heard to their end.
        """
        for target in self._targets:
            target.switch_off()

    def missing(self) -> list[str]:
        """
        Name what the package no longer has.
        """
        return [it.path for it in self._targets if it.has_gone]


def same(watch: "Watch", function: object) -> "Watch":
    """
    Give one watch for every function.
    """
    return watch
