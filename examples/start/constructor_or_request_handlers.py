"""
Where do I give a handler: where a thing is made, or where it is called?
"""

# mypy: disable-error-code="call-arg"

from instrument import Event, callbacks, traced
from instrument.handlers import local


class Voice:
    def __init__(self, name: str) -> None:
        self.name = name

    def on_event(self, event: Event) -> None:
        if event.event.endswith("_start"):
            print(f"  {self.name} hears {event.name}")


@traced.tool
def weather(city: str) -> str:
    return f"{city}: rain, of course"


@traced
class Guide:
    @traced
    def ask(self, city: str) -> str:
        return weather(city)


print("A constructor handler hears every call of the object and all below:")
only_here = local(Voice("the counter"))  # what is below is none of its business
guide = Guide(callbacks=[Voice("the log"), only_here])
guide.ask("London")
#> A constructor handler hears every call of the object and all below:
#>   the log hears Guide.ask
#>   the counter hears Guide.ask
#>   the log hears weather

print("A request handler hears one call, after the constructor's:")
guide.ask("Bergen", callbacks=[Voice("the user")])
#> A request handler hears one call, after the constructor's:
#>   the log hears Guide.ask
#>   the counter hears Guide.ask
#>   the user hears Guide.ask
#>   the log hears weather
#>   the user hears weather

print("A block gives request handlers to whatever is called inside:")
with callbacks(Voice("the block")):
    weather("Manaus")
    guide.ask("Oslo")
#> A block gives request handlers to whatever is called inside:
#>   the block hears weather
#>   the block hears Guide.ask
#>   the log hears Guide.ask
#>   the counter hears Guide.ask
#>   the block hears weather
#>   the log hears weather
