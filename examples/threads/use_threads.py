"""
My work is done by threads: who hears it?
"""

import threading
from collections.abc import Iterable

from instrument import bind, callbacks, current_run, traced
from instrument.propagation import ContextThreadPoolExecutor
from instrument.testing import Recorder


@traced.tool
def fetch(page: str) -> str:
    return f"<h1>{page}</h1>"


@traced
def crawl(pages: Iterable[str]) -> list[str]:
    with ContextThreadPoolExecutor(max_workers=3) as pool:  # a pool that carries it
        return list(pool.map(fetch, pages))


@traced
def prefetch(page: str) -> None:
    worker = threading.Thread(target=bind(fetch), args=(page,))  # a thread, bound
    worker.start()
    worker.join()


@traced
def forget(page: str) -> None:
    worker = threading.Thread(target=fetch, args=(page,))  # Python's own: starts empty
    worker.start()
    worker.join()


heard = Recorder()
with callbacks(heard):
    print(crawl(["cats", "dogs"]))
    prefetch("owls")
    forget("moles")
#> ['<h1>cats</h1>', '<h1>dogs</h1>']

print(heard.tree())
#> chain crawl: ok
#>   tool fetch: ok
#>   tool fetch: ok
#> chain prefetch: ok
#>   tool fetch: ok
#> chain forget: ok

print(bool(current_run()))
#> False
