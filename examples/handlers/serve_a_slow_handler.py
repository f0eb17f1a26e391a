"""
How do I keep a slow handler from slowing my request?
"""

import threading

from instrument import Event, callbacks, traced
from instrument.handlers import background

archive_answers = threading.Event()


def archive(event: Event) -> None:
    archive_answers.wait()  # a database on the other side of the world
    print("archived:", event.event, event.data.get("inputs", "-"))


@traced
def answer(question: str) -> str:
    return "Yes."


# It has a queue and a thread of its own; the request never waits for it ...
with callbacks(background(archive)):
    print("answered:", answer("Are you fast?"))
    archive_answers.set()
# ... but for leaving the block, which waits until all has been archived.
#> answered: Yes.
#> archived: on_chain_start {'question': 'Are you fast?'}
#> archived: on_chain_end -

# What does not fit in the queue is dropped and counted, and never blocks the request.
print("next request:")
archive_answers.clear()
archiver = background(archive, maxsize=1_000)
with callbacks(archiver):
    answer("And now?")
    print("flushed in time:", archiver.flush(timeout=0.01))
    archive_answers.set()
print("dropped:", archiver.dropped)
#> next request:
#> flushed in time: False
#> archived: on_chain_start {'question': 'And now?'}
#> archived: on_chain_end -
#> dropped: 0
