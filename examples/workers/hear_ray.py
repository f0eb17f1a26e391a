"""
Does my block hear what Ray's tasks and actors do, on whichever machine?
"""

import ray

from instrument import callbacks, traced
from instrument.exceptions import BudgetExceeded
from instrument.handlers import BudgetHandler, UsageHandler
from instrument.integrations.ray import remote
from instrument.testing import Recorder


@traced.llm(model="fake-1")
def model(prompt: str) -> dict:
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    return {"choices": [{"text": prompt.upper()}], "usage": usage}


@remote(num_cpus=0.5)  # in the place of @ray.remote
@traced
def summarize(page: str) -> str:
    return model(page)["choices"][0]["text"]


@remote
class Editor:
    @traced.chat_model
    def polish(self, text: str):
        for word in text.split():
            yield word.title()


@traced
def digest(pages: list[str]) -> str:
    editor = Editor.remote()
    texts = ray.get([summarize.remote(page) for page in pages])
    return "".join(ray.get(piece) for piece in editor.polish.remote(" ".join(texts)))


ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
heard, usage = Recorder(), UsageHandler()
with callbacks(heard, usage, on_llm_new_token=lambda token: print("heard", token)):
    print(digest(["one"]))
#> heard One
#> One
print(heard.tree())
#> chain digest: ok
#>   chain summarize: ok
#>     llm model: ok
#>   chat_model Editor.polish: ok
print(usage.total.calls, usage.total.input_tokens)
#> 2 10

with callbacks(BudgetHandler(max_calls=3)):  # of the whole request
    try:
        digest(["a", "b", "c", "d"])
    except BudgetExceeded as exc:
        print(exc.limit, exc.value)
#> max_calls 3
