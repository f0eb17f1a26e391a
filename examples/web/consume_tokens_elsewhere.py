"""
How does one task show the tokens that another one produces?
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

from instrument import callbacks, traced
from instrument.handlers import TokenStream


@traced.chat_model("poet")
async def poet(wish: str) -> AsyncIterator[str]:
    for word in ("An ", "ode ", "to ", wish):
        yield word


@traced.chat_model("critic")
async def critic(poem: str) -> AsyncIterator[str]:
    yield f"{len(poem)} letters, no rhyme"


@traced
async def answer(wish: str) -> str:
    poem = "".join([word async for word in poet(wish)])
    return "".join([word async for word in critic(poem)])


async def main() -> None:
    stream = TokenStream()
    task = asyncio.create_task(callbacks(stream)(answer)("tea"))
    print([token async for token in stream])  # ends when the request does
    print(await task)

    only = TokenStream("critic")  # a run's name, or a tag
    task = asyncio.create_task(callbacks(only)(answer)("rain"))
    print([token async for token in only], len(await task))


asyncio.run(main())
#> ['An ', 'ode ', 'to ', 'tea', '13 letters, no rhyme']
#> 13 letters, no rhyme
#> ['14 letters, no rhyme'] 20


@traced.llm
def clock() -> Iterator[str]:
    yield from ("tick ", "tock")


stream = TokenStream()  # threads: the same object is a plain iterator
thread = threading.Thread(target=callbacks(stream)(lambda: list(clock())))
thread.start()
print("".join(stream))
#> tick tock
thread.join()
