"""
How do I see what my functions do, without changing what they do?
"""

from instrument import callbacks, traced
from instrument.handlers import StdOutCallbackHandler
from instrument.testing import predictable

FRIDGE = {"eggs": 2, "milk": "half a litre", "ambition": 0}


@traced.tool
def look_for(item: str) -> object:
    return FRIDGE[item]


@traced.llm(model="fake-chef-1")
def ask(prompt: str) -> str:
    return "Pancakes." if "milk" in prompt else "Toast."


@traced
def dinner(*items: str) -> str:
    found = {item: look_for(item) for item in items}
    return ask(f"What can I cook with {found}?")


print(dinner("eggs", "milk"))  # nobody listens: a decorated function is the function
#> Pancakes.

with predictable(), callbacks(StdOutCallbackHandler()):  # predictable: a fixed clock
    print(dinner("eggs", "ambition"))
#> > chain dinner
#>   > tool look_for
#>   < tool look_for  2.0 ms  ok
#>   > tool look_for
#>   < tool look_for  2.0 ms  ok
#>   > llm ask
#>   < llm ask  2.0 ms  ok
#> < chain dinner  17.0 ms  ok
#> Toast.

with predictable(), callbacks(StdOutCallbackHandler()):
    try:
        dinner("caviar")
    except KeyError:
        print("Your exception is still yours.")
#> > chain dinner
#>   > tool look_for
#>   < tool look_for  2.0 ms  error KeyError: 'caviar'
#> < chain dinner  7.0 ms  error KeyError: 'caviar'
#> Your exception is still yours.
