"""
How do I listen to one request of a LangChain chain without passing callbacks?
"""

from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from instrument import Run, auto, callbacks, traced
from instrument.testing import Recorder

auto.install()                                 # LangChain is heard from here on

prompt = ChatPromptTemplate.from_template("Using {facts}: {question}")
model = FakeListChatModel(responses=["14 hours."], name="vet")
chain = prompt | model | StrOutputParser()     # unchanged


@traced.tool
def look_up(question: str) -> str:
    return "Cats sleep a lot."


@traced
def answer(question: str) -> str:
    return chain.invoke({"facts": look_up(question), "question": question})


def show(run: Run) -> None:
    print(f"the model starts, {run.depth} runs below the request")


heard = Recorder()
with callbacks(heard, on_chat_model_start=show, tags=["web"]):
    print(answer("How long do cats sleep?"))
print(heard.tree())

#> the model starts, 2 runs below the request
#> 14 hours.
#> chain answer: ok
#>   tool look_up: ok
#>   chain RunnableSequence: ok
#>     prompt ChatPromptTemplate: ok
#>     chat_model vet: ok
#>     parser StrOutputParser: ok
