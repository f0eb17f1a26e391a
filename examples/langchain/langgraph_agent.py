"""
How do I see what a LangGraph agent does: models, tools and what tools call?
"""

from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool

from instrument import auto, callbacks, traced
from instrument.testing import Recorder

auto.install()


@traced.retriever
def read_forecast(city: str) -> list[str]:     # your own code, inside the tool
    return [f"{city}: sunny"]


@tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return read_forecast(city)[0]


class Scripted(GenericFakeChatModel):          # stands for a real model
    def bind_tools(self, tools: Any, **kwargs: Any) -> "Scripted":
        return self


call = {"name": "weather", "args": {"city": "Rome"}, "id": "1"}
model = Scripted(
    messages=iter([AIMessage("", tool_calls=[call]), AIMessage("It is sunny.")])
)
agent = create_agent(model, tools=[weather])

heard = Recorder()
with callbacks(heard):
    state = agent.invoke({"messages": [("user", "How is it in Rome?")]})
print(state["messages"][-1].content)
for kind in ("chat_model", "tool", "retriever"):
    print(kind, [(run.name, run.status) for run in heard.find(kind=kind)])
print(len(heard.roots), "root")

#> It is sunny.
#> chat_model [('Scripted', 'ok'), ('Scripted', 'ok')]
#> tool [('weather', 'ok')]
#> retriever [('read_forecast', 'ok')]
#> 1 root
