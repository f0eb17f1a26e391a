"""
Does my block hear what workers of Dask do?
"""

from distributed import Client, LocalCluster

from instrument import callbacks, current_run, traced
from instrument.exceptions import BudgetExceeded
from instrument.handlers import BudgetHandler, UsageHandler
from instrument.integrations.dask import hear
from instrument.testing import Recorder


@traced.llm(model="fake-1")
def model(prompt: str) -> dict:
    current_run().token(prompt)
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    return {"choices": [{"text": prompt.upper()}], "usage": usage}


@traced
def summarize(page: str) -> str:
    return model(page)["choices"][0]["text"]


@traced
def summaries(client: Client, pages: list[str]) -> list[str]:
    return client.gather(client.map(summarize, pages))


def main(client: Client) -> None:
    heard, usage = Recorder(), UsageHandler()
    with callbacks(heard, usage):
        print(summaries(client, ["one", "two"]))
    #> ['ONE', 'TWO']
    print(heard.tree())
    #> chain summaries: ok
    #>   chain summarize: ok
    #>     llm model: ok
    #>   chain summarize: ok
    #>     llm model: ok
    tokens = [it.data["token"] for it in heard.events if "token" in it.data]
    print(sorted(tokens), usage.total.calls, usage.total.input_tokens)
    #> ['one', 'two'] 2 20

    with callbacks(BudgetHandler(max_calls=3)):  # of the whole request
        try:
            summaries(client, ["a", "b", "c", "d"])
        except BudgetExceeded as exc:
            print(exc.limit, exc.value)
    #> max_calls 3


if __name__ == "__main__":  # workers import this file, too
    options = {"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with (
        LocalCluster(n_workers=2, silence_logs=50, **options) as cluster,
        hear(Client(cluster)) as client,  # on several machines: Client("tcp://...:8786")
    ):
        main(client)
