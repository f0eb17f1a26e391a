"""
How do I listen to one request, when a hundred others run at the same time?
"""

import asyncio

from instrument import Event, callbacks, current_run, traced

CAPITALS = {"France": "Paris", "Peru": "Lima", "Japan": "Tokyo"}


class Inbox:  # what one user hears
    def __init__(self) -> None:
        self.events: list[str] = []

    def on_event(self, event: Event) -> None:
        self.events.append(f"{event.event} {event.name}")


@traced.retriever
async def look_up(country: str) -> str:
    await asyncio.sleep(0)  # the other requests run now
    return CAPITALS[country]


@traced
async def answer(country: str) -> str:  # no handler comes in, none is passed on
    return f"{await look_up(country)}, dear {current_run().metadata['user']}."


async def endpoint(user: str, country: str, inbox: Inbox) -> str:
    async with callbacks(inbox, metadata={"user": user}):
        return await answer(country)


async def main() -> None:
    inboxes = [Inbox() for _ in CAPITALS]
    users = ["Ada", "Grace", "Alan"]
    print(*await asyncio.gather(*map(endpoint, users, CAPITALS, inboxes)), sep="\n")
    print(*inboxes[1].events, sep="\n")
    print(len(inboxes[0].events), len(inboxes[1].events), len(inboxes[2].events))


asyncio.run(main())
#> Paris, dear Ada.
#> Lima, dear Grace.
#> Tokyo, dear Alan.
#> on_chain_start answer
#> on_retriever_start look_up
#> on_retriever_end look_up
#> on_chain_end answer
#> 4 4 4
