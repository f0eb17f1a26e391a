"""
How do I log what happened in a request, with the logging I already have?
"""

import logging
import re
import sys

from instrument import callbacks, traced
from instrument.handlers import RequestLogger


@traced.tool
def look_up(order: str, token: str) -> str:
    if order == "13":
        raise KeyError(f"no order {order} for {token}")
    return "shipped"


@traced
def support(order: str) -> str:
    return f"Your order is {look_up(order, 'hunter2')}."


class Line(logging.Formatter):  # yours: JSON, or what your log collector reads
    def format(self, record: logging.LogRecord) -> str:
        message = re.sub(r"[\d.]+ (us|ms|s)\b", "1 ms", record.getMessage())
        message = re.sub(r"^\w{6}", "3fa9c1", message)  # the id of the request
        return f"{record.levelname:5} {record.funcName}:{record.lineno} {message}"


output = logging.StreamHandler(sys.stdout)
output.setFormatter(Line())
logger = logging.getLogger("support")  # with loguru, RequestLogger() is enough
logger.addHandler(output)
logger.setLevel("INFO")


def hide(value: object, path: object) -> object:
    return value.replace("hunter2", "***") if isinstance(value, str) else value


with callbacks(RequestLogger(logger), redact=hide):
    support("12")
    try:
        support("13")
    except KeyError:
        print("Sorry, we have no such order.")
#> INFO  support:20 3fa9c1 chain support started
#> INFO  look_up:13 3fa9c1   tool look_up started
#> INFO  look_up:13 3fa9c1   tool look_up ok in 1 ms
#> INFO  support:20 3fa9c1 chain support ok in 1 ms
#> INFO  support:20 3fa9c1 chain support started
#> INFO  look_up:13 3fa9c1   tool look_up started
#> ERROR look_up:13 3fa9c1   tool look_up failed in 1 ms: KeyError: 'no order 13 for ***'
#> INFO  support:20 3fa9c1 chain support failed in 1 ms: KeyError from tool look_up
#> Sorry, we have no such order.
