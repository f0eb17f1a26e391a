"""
LangChain's page on callbacks gives handlers to a chain and to a request: and here?
"""

# mypy: disable-error-code="call-arg"

from collections.abc import Callable
from typing import Any

from instrument import BaseCallbackHandler, traced


class Logger(BaseCallbackHandler):
    def __init__(self, name: str) -> None:
        self.name = name

    def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None:
        print(f"{self.name}: {kwargs['name']} starts with {inputs}")

    def on_llm_start(self, serialized: Any, prompts: Any, **kwargs: Any) -> None:
        print(f"{self.name}: {kwargs['name']} is asked {prompts}")

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        print(f"{self.name}: it says {response.generations[0][0].text!r}")


@traced.llm
def my_llm(prompt: str) -> str:
    return prompt[::-1]


@traced
class LLMChain:
    def __init__(self, llm: Callable[[str], str], prompt: str) -> None:
        self.llm = llm
        self.prompt = prompt

    @traced
    def run(self, input: str) -> str:
        return self.llm(self.prompt.format(input=input))


my_prompt = "{input}, mirror!"
logger, handler = Logger("logger"), Logger("handler")

chain = LLMChain(llm=my_llm, prompt=my_prompt, callbacks=[logger])
print(chain.run(input="Hello", callbacks=[handler]))
#> logger: LLMChain.run starts with {'input': 'Hello'}
#> handler: LLMChain.run starts with {'input': 'Hello'}
#> logger: my_llm is asked ['Hello, mirror!']
#> handler: my_llm is asked ['Hello, mirror!']
#> logger: it says '!rorrim ,olleH'
#> handler: it says '!rorrim ,olleH'
#> !rorrim ,olleH

print(chain.run(input="Bye"))  # the constructor's handler stays, the request's is gone
#> logger: LLMChain.run starts with {'input': 'Bye'}
#> logger: my_llm is asked ['Bye, mirror!']
#> logger: it says '!rorrim ,eyB'
#> !rorrim ,eyB
