"""
How do I hear only the tools, or only what carries a tag?
"""

from instrument import Event, callbacks, traced
from instrument.handlers import filtered
from instrument.testing import Recorder


@traced.tool(tags=["paid"])
def search(query: str) -> str:
    return "cats sleep a lot"


@traced.tool
def add(x: int, y: int) -> int:
    return x + y


@traced.llm
def model(prompt: str) -> str:
    return "14 hours"


@traced.agent
def vet(question: str) -> str:
    return model(f"{search(question)} {add(7, 7)}")


def show(event: Event) -> None:
    print(event.event, event.name)


# Each thing asked for must match; a run that matches is heard whole.
paid, models = Recorder(), Recorder()
with callbacks(
    filtered(show, kinds="tool", tags="paid"),
    filtered(paid, tags="paid"),
    filtered(models, kinds=["llm", "chat_model"]),
):
    vet("How long do cats sleep?")
#> on_tool_start search
#> on_tool_end search

print(paid.tree())
#> tool search: ok
print(models.tree())
#> llm model: ok
