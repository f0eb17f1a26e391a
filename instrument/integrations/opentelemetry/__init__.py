"""
Frameworks that emit spans in the words of gen_ai or OpenInference, heard through one
span processor of the application's own provider.

No provider is ever set or made. The process's own is found when there is one: at once, or
at the next block. Another is heard where `hear` is told of it.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DISTRIBUTION = "opentelemetry-sdk"
TESTED = ("1.45.0", "1.45.2")
HOOK = "TracerProvider.add_span_processor"
HEARS = ("agents", "models", "tools", "retrievers", "embeddings")
UNHEARD = ("tokens", "what is not sampled")
OWNS = "one span processor of the application's provider; it stays, deaf"


def load() -> None:
    """
    Import what listens.
    """
    from instrument.integrations.opentelemetry import _listening  # noqa: F401


def install() -> None:
    """
    Listen to the process's own provider, as soon as there is one.
    """
    from instrument.integrations.opentelemetry import _listening

    _listening.switch_on()


def uninstall() -> None:
    """
    Hear nothing more; a provider has no function that takes a processor out.
    """
    from instrument.integrations.opentelemetry import _listening

    _listening.switch_off()


def hear(provider: "Any") -> None:
    """
    Hear the spans of *provider*, which is not the process's own, as runs.

    Args:
        provider: A ``TracerProvider`` of opentelemetry-sdk. Told twice, it is heard once.

    Raises:
        TypeError: For anything else.
    """
    from instrument.integrations.opentelemetry import _listening

    _listening.hear(provider)
