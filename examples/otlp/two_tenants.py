"""
Two tenants, each with a key of its own: does each request go to its tenant alone?
"""

import asyncio
import gzip
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from instrument import callbacks, traced
from instrument.handlers import OTLPHandler

got = Counter()  # what came with which key, and of whose data


class Backend(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        for user in ("Ada", "Bob"):
            spans = gzip.decompress(body).count(f'{{"user_id":"{user}"}}'.encode())
            got[self.headers["authorization"], user] += spans
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_): ...

backend = ThreadingHTTPServer(("127.0.0.1", 0), Backend)
Thread(target=backend.serve_forever, daemon=True).start()


@traced.tool
async def search(query: str) -> str:
    await asyncio.sleep(0)
    return query


@traced
async def answer(question: str) -> str:
    return await search(question)


async def endpoint(user: str) -> None:
    headers = {"authorization": f"key of {user}"}
    handler = OTLPHandler(f"http://127.0.0.1:{backend.server_port}", headers=headers)
    async with callbacks(handler, metadata={"user_id": user}):
        await answer("Which capital?")
    await asyncio.to_thread(handler.drain)


async def main() -> None:
    await asyncio.gather(*(endpoint(user) for user in ("Ada", "Bob") * 50))

asyncio.run(main())
for (key, user), spans in sorted(got.items()):
    print(f"{key}: {spans} spans of {user}")
#> key of Ada: 100 spans of Ada
#> key of Ada: 0 spans of Bob
#> key of Bob: 0 spans of Ada
#> key of Bob: 100 spans of Bob
