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
#> > chain dinner  items=('eggs', 'ambition')
#>   > tool look_for  item='eggs'
#>   < tool look_for  1.0 ms  2
#>   > tool look_for  item='ambition'
#>   < tool look_for  1.0 ms  0
#>   > llm ask  "What can I cook with {'eggs': 2, 'ambition': 0}?"
#>   < llm ask  1.0 ms  fake-chef-1  'Toast.'
#> < chain dinner  10 ms  'Toast.'
#> Toast.

with predictable(), callbacks(StdOutCallbackHandler()):
    try:
        dinner("caviar")
    except KeyError:
        print("Your exception is still yours.")
#> > chain dinner  items=('caviar',)
#>   > tool look_for  item='caviar'
#>   ! tool look_for  1.0 ms  KeyError: 'caviar'
#> ! chain dinner  4.0 ms  KeyError from tool look_for
#> Your exception is still yours.
