"""
What is a handler, and how little of one can I write?
"""

from typing import Any

from instrument import BaseCallbackHandler, Event, Run, callbacks, traced


@traced.llm(model="fake-oracle-1")
def oracle(prompt: str) -> str:
    return f"{len(prompt)}. Or 42."


# A function, for one event. It gets those arguments that it names.
def show_prompt(prompts: list[str]) -> None:
    print("keyword:", prompts)


# A function, for everything.
def show(event: Event) -> None:
    print("callable:", event.event, event.name)


# Any object with some of the methods; no base class needed.
class Meter:
    def on_llm_end(self, response: object, run: Run) -> None:
        print("object:", run.model, run.status)


# The base class lists every event and the flags, for your editor and type checker.
class Loud(BaseCallbackHandler):
    def on_llm_start(self, serialized: Any, prompts: list[str], **kwargs: Any) -> None:
        print("subclass:", prompts[0].upper())


# A handler may fail. It is reported once on stderr, and the call goes on.
class Clumsy:
    def on_llm_end(self, response: object) -> None:
        print("clumsy: ...oops")
        raise RuntimeError("dropped it")


with callbacks(Loud(), show, Clumsy(), Meter(), on_llm_start=show_prompt):
    print("answer:", oracle("What is the answer?"))
#> subclass: WHAT IS THE ANSWER?
#> callable: on_llm_start oracle
#> keyword: ['What is the answer?']
#> callable: on_llm_end oracle
#> clumsy: ...oops
#> object: fake-oracle-1 ok
#> answer: 19. Or 42.
