"""
Does my block hear what a pool of processes does?
"""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from instrument import bind, callbacks, traced
from instrument.exceptions import BudgetExceeded
from instrument.handlers import BudgetHandler, UsageHandler
from instrument.testing import Recorder


@traced.llm(model="fake-1")
def model(prompt: str) -> dict:
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    return {"choices": [{"text": prompt.upper()}], "usage": usage}


@traced
def summarize(page: str) -> str:
    return model(page)["choices"][0]["text"]


@traced
def summaries(pages: list[str]) -> list[str]:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        return list(pool.map(bind(summarize), pages))


if __name__ == "__main__":  # workers import this file, too
    heard, usage = Recorder(), UsageHandler()
    with callbacks(heard, usage):
        print(summaries(["one", "two"]))
    #> ['ONE', 'TWO']
    print(heard.tree())
    #> chain summaries: ok
    #>   chain summarize: ok
    #>     llm model: ok
    #>   chain summarize: ok
    #>     llm model: ok
    print(usage.total.calls, usage.total.input_tokens, usage.total.output_tokens)
    #> 2 20 10

    with callbacks(BudgetHandler(max_calls=3)):  # of the whole request
        try:
            summaries(["a", "b", "c", "d"])
        except BudgetExceeded as exc:
            print(exc.limit, exc.value)
    #> max_calls 3
