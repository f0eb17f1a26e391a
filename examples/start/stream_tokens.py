"""
How do I show an answer while the model still writes it?
"""

from collections.abc import Iterator
from typing import Any

from instrument import Run, callbacks, current_run, traced
from instrument.handlers import StreamingStdOutCallbackHandler


@traced.chat_model(model="fake-poet-1")
def poet(wish: str) -> Iterator[str]:
    yield from ("Roses are red, ", "tokens are free,\n", "there were ")
    yield f"{len(wish.split())} in your plea.\n"
    current_run().record_usage(input_tokens=len(wish.split()), output_tokens=4)


@traced
def answer(wish: str) -> str:
    return "".join(poet(wish))  # waits for the whole text, as before


with callbacks(StreamingStdOutCallbackHandler()):  # does not wait
    text = answer("Sing of the cloud bill")
#> Roses are red, tokens are free,
#> there were 5 in your plea.

print(f"{len(text.split())} words for the archive.")
#> 12 words for the archive.


def settle(response: Any, run: Run) -> None:
    print(f"{run.status}, with {response.generations[0][0].text!r}")


# A stream is heard until it ends or is given up, also outside the block it is made in.
with callbacks(on_llm_new_token=lambda token: print(repr(token)), on_llm_error=settle):
    stream = poet("Again")

next(stream)
#> 'Roses are red, '

del stream  # the browser tab is gone, and nobody told the model
#> abandoned, with 'Roses are red, '
