"""
The client of the Model Context Protocol: calls of a server's tools.

A tool that fails at its server raises nothing at its caller, who gets a result that says
so; nor does it in the run, whose outputs that result is.
"""

import instrument  # noqa: F401 - whole first, though another thread is importing it
from instrument._hearing.calls import Asked
from instrument._hearing.monitored.methods import methods
from instrument._hearing.operations import Operation
from instrument._hearing.targets import Targets
from instrument._hearing.wrapped.methods import Rule
from instrument._payloads.messages import is_dict
from instrument._runs.opening import Recipe
from instrument._runs.results import label_of
from instrument._text import class_has

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

DISTRIBUTION = "mcp"
TESTED = ("2.0.0", "2.3.0")
HOOK = "sys.monitoring"
HEARS = ("tools",)
OWNS = "nothing"

_MOST_TOOLS = 500
"""How many are remembered: their names come from outside."""
_LONGEST_NAME = 200
_tools: dict[str, Recipe] = {}
"""What runs of tools begin with, by their names; long ones are not kept."""


class ToolOperation(Operation):
    """
    A tool is called by its name: so is the run.
    """

    def asked(self, provider: str, fields: "Mapping[str, Any]") -> Asked:
        tool = _tool(label_of(fields.get("name")) or "tool")
        arguments: Any = fields.get("arguments")
        return Asked(tool, _given, arguments, provider)


def _given(arguments: "Any") -> "dict[str, Any]":
    """
    Give the arguments in a dict of their own; none where they are no mapping.
    """
    if is_dict(arguments):
        return dict.copy(arguments)
    return dict(arguments) if class_has(type(arguments), "keys") else {}


def _tool(name: str) -> Recipe:
    known = _tools.get(name)
    if known is None:
        known = Recipe(name, "tool")
        if len(_tools) < _MOST_TOOLS and len(name) <= _LONGEST_NAME:
            _tools[name] = known
    return known


_METHODS: "dict[str, Operation]" = {
    "call_tool": ToolOperation("tool", "call_tool", "arguments")
}

_targets = Targets(methods("mcp", ("mcp.client.session:ClientSession",), _METHODS))
load, install = _targets.load, _targets.install
uninstall, missing = _targets.uninstall, _targets.missing
is_deaf = _targets.is_deaf

WRAPS = dict.fromkeys(("ClientSession", "Client"), Rule("mcp", _METHODS, is_live=True))
