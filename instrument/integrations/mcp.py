"""
The client of the Model Context Protocol: calls of a server's tools.

A tool that fails at its server raises nothing at its caller, who gets a result that says
so; nor does it in the run, whose outputs that result is.
"""

from instrument._hearing.monitored.methods import methods
from instrument._hearing.targets import Watched

DISTRIBUTION = "mcp"
TESTED = ("2.0.0", "2.3.0")
HOOK = "sys.monitoring"
HEARS = ("tools",)
OWNS = "nothing"

_watched = Watched(methods("mcp", {"mcp.client.session:ClientSession": ("call_tool",)}))
load, install = _watched.load, _watched.install
uninstall, missing = _watched.uninstall, _watched.missing
