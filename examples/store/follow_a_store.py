"""
What runs at this moment, told by another process?
"""

import subprocess
import sys

from instrument import callbacks, traced
from instrument.handlers import StoreHandler

LOOK = """
import sqlite3
rows = sqlite3.connect("traces.db").execute("SELECT name, status, said FROM requests")
print(*rows.fetchone())
"""

store = StoreHandler("traces.db")


def look() -> None:
    store.drain(timeout_s=10)  # it is written without that, within 30 ms
    subprocess.run([sys.executable, "-c", LOOK], check=True)


@traced.agent
def book(city: str) -> str:
    look()
    return f"a room in {city}"


with callbacks(store):
    book("Rome")
look()
#> book running Rome
#> book ok Rome
