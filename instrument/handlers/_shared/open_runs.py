"""
What is open on one stream: by which ids and numbers a person tells runs apart, and what a
request has come to.

It belongs to the stream, as each request usually makes handlers of its own. Nothing is
kept of a run that has gone.
"""

import re
from collections import OrderedDict
from heapq import heappop, heappush
from itertools import islice
from weakref import WeakKeyDictionary

from instrument import _ids
from instrument._interrupts import Taking
from instrument._payloads.event import Usage
from instrument.handlers._shared.amounts import counted, usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from uuid import UUID

    from instrument._runs.run import Run
    from instrument.handlers._shared.prices import Prices
    from instrument.handlers._shared.style import Marks

MODELS = ("llm", "chat_model", "embedding")
ID = 6
"""The digits by which a request is told."""
_ORIGINS = 100
"""How many exceptions of a request are known at once: one goes up a call at a time."""
_FAR = 30
"""How far up a branch is looked for; beyond that it is what it was at the start."""
_LONGEST = 500
"""The last characters of a model's name, by which it is told from another."""
_DATE = re.compile(r"[-@:](\d{4}-\d\d-\d\d|\d{4,8}|latest|v\d+(:\d+)?)$")


class Totals:
    """
    What the models of a request have consumed, as far as it is known.
    """

    def __init__(self) -> None:
        self.calls = self._unpriced = 0
        self._usage = Usage()
        self._cost_usd: float | None = None

    def add(self, consumed: Usage, cost_usd: float | None) -> None:
        """
        Count a model's run that has ended.
        """
        used, is_known = self._usage + consumed, bool(consumed)
        # nothing is called from here on: an interrupt leaves no half of it
        self._usage = used
        self.calls += 1
        if cost_usd is not None:
            self._cost_usd = (self._cost_usd or 0.0) + cost_usd
        elif is_known:
            self._unpriced += 1

    def merge(self, other: "Totals") -> None:
        """
        Count what another one has counted.
        """
        self.calls += other.calls
        self._usage += other._usage
        self._unpriced += other._unpriced
        if other._cost_usd is not None:
            self._cost_usd = (self._cost_usd or 0.0) + other._cost_usd

    def written(self, *, wide: bool = False) -> str:
        """
        Write it; nothing where no model has told what it consumed.
        """
        told = self.consumed(wide=wide)
        return told and f"{counted(self.calls, 'model call')}, {told}"

    def consumed(self, *, wide: bool = False) -> str:
        """
        Write it without how many calls that were.
        """
        told = usage(self._usage, self._cost_usd, wide=wide)
        if self._cost_usd is not None and self._unpriced:
            told += f", {counted(self._unpriced, 'call')} without a price"
        return told


class Siblings:
    """
    What is open below one run.

    Attributes:
        numbers: Those that are taken.
        are_told: Whether two were open at once, from then on until all have ended.
    """

    def __init__(self) -> None:
        self.numbers: set[int] = set()
        self.are_told = False
        self._free: list[int] = []  # of those that were given, the first on top

    def enter(self) -> int:
        """
        Give one more the first number that is free.
        """
        number = heappop(self._free) if self._free else len(self.numbers) + 1
        self.numbers.add(number)
        self.are_told = self.are_told or len(self.numbers) > 1
        return number

    def leave(self, number: int) -> None:
        """
        Take a number back.
        """
        if number in self.numbers:
            self.numbers.discard(number)
            heappush(self._free, number)


class Request:
    """
    A request of which something is open.

    Attributes:
        hex: The first digits of its trace id.
        is_odd: Whether it is every second of those that are open together.
        is_told: Whether it was open together with another.
        siblings: What is open below a run, by its id.
        origins: Where an exception came from, by its id.
        tokens: The pieces that its models have told.
    """

    def __init__(self, run: "Run", *, is_odd: bool) -> None:
        self.hex = run.trace_hex[:ID]
        self.is_odd = is_odd
        self.is_told = False
        self.open: WeakKeyDictionary[Run, Entry] = WeakKeyDictionary()
        self.siblings: dict[UUID, Siblings] = {}
        self.origins: dict[int, str] = {}
        self.totals = Totals()
        self.tokens = 0


class Entry:
    """
    An open run.

    Attributes:
        name: A model's is that of the model it was asked for, unless the application
            has named the run.
        inside: The branch it is in, where that is said.
        tokens: The pieces it has told, of any channel.
        last_ns: When the last of them came.
        is_streamed: Whether they were written to this stream.
        is_counted: Whether what it consumed is in what its request did.
    """

    def __init__(self, run: "Run", request: Request, owner: object) -> None:
        self.request = request
        self.owner = owner
        self.is_first = not request.open
        self.is_model = run.kind in MODELS
        self.asked = run.model if self.is_model else None
        self.name = shown_name(run)
        self.inside: tuple[str, int] | None = None
        self.tokens = 0
        self.last_ns = 0
        self.is_streamed = self.is_counted = False
        self.number = 1
        self._siblings: Siblings | None = None
        if run.parent_id is not None:
            known = request.siblings.setdefault(run.parent_id, Siblings())
            self._siblings, self.number = known, known.enter()

    @property
    def branch(self) -> int | None:
        """
        Its number, where that is said.
        """
        told = self._siblings is not None and self._siblings.are_told
        return self.number if told else None

    @property
    def is_branch(self) -> bool:
        """
        Tell whether what is below it says so.
        """
        return self._siblings is not None and len(self._siblings.numbers) > 1

    def leave(self, run: "Run") -> None:
        """
        Give its number back.
        """
        siblings = self._siblings
        if siblings is not None and run.parent_id is not None:
            siblings.leave(self.number)
            if not siblings.numbers:
                self.request.siblings.pop(run.parent_id, None)

    def token(self, taking: Taking) -> None:
        """
        Note that a piece of an answer has come.
        """
        self.last_ns = _ids.clock_ns()
        taking.is_taken = True
        self.tokens += 1
        self.request.tokens += 1

    def consumed(
        self, run: "Run", prices: "Prices", marks: "Marks", *, wide: bool
    ) -> str:
        """
        Say what a model's run that has ended consumed, and which model answered; with
        the end of a request what all of them did.
        """
        if not self.is_model:
            return self.request.totals.written(wide=wide) if self.is_first else ""
        cost_usd = prices.cost_usd(run) if run.usage else None
        if not self.is_counted:
            self.request.totals.add(run.usage, cost_usd)
            self.is_counted = True
        return ", ".join(
            it
            for it in (
                marks.name(other_model(run.model, self.name)),
                usage(run.usage, cost_usd, wide=wide),
            )
            if it
        )

    def from_where(self, run: "Run") -> str:
        """
        Say where the error came from that a run has passed on; nothing where that is
        the run itself.
        """
        known = self.request.origins
        if run.error_origin:
            if len(known) >= _ORIGINS:
                del known[next(iter(known))]
            known[id(run.error)] = f"{run.kind} {self.name}"
            return ""
        return known.get(id(run.error), "within")


class OpenRuns:
    """
    The runs that are open on one stream. Not for threads at once.
    """

    def __init__(self) -> None:
        self._requests: OrderedDict[UUID, Request] = OrderedDict()
        self._count = 0

    def start(self, run: "Run", owner: object) -> Entry:
        """
        Note that a run has started, as *owner* hears it.
        """
        entry = self.find(run)
        if entry is not None:
            return entry
        request = self._request(run)
        entry = Entry(run, request, owner)
        entry.inside = self._branch_of(run, request)
        request.open[run] = entry
        return entry

    def find(self, run: "Run") -> Entry | None:
        """
        Give what is known of an open run.
        """
        request = self._requests.get(run.trace_id)
        return None if request is None else request.open.get(run)

    def of(self, run: "Run", owner: object) -> Entry:
        """
        Give what is known of a run; one that is not open is alone.
        """
        return self.find(run) or Entry(run, Request(run, is_odd=False), owner)

    def ending(self, run: "Run", owner: object) -> Entry:
        """
        Give what is known of a run that ends; `end` forgets it.
        """
        entry = self.of(run, owner)
        entry.inside = self._branch_of(run, entry.request) or entry.inside
        return entry

    def end(self, run: "Run", entry: Entry) -> None:
        """
        Forget a run, and its request with the last one of it.
        """
        request = entry.request
        request.open.pop(run, None)
        entry.leave(run)
        if not request.open and self._requests.get(run.trace_id) is request:
            del self._requests[run.trace_id]

    def _request(self, run: "Run") -> Request:
        request = self._requests.get(run.trace_id)
        if request is not None and request.open:
            return request
        self._forget_some()
        self._count = self._count + 1 if self._requests else 0
        made = Request(run, is_odd=self._count % 2 == 1)
        self._requests[run.trace_id] = made
        if len(self._requests) > 1:  # of more than two the others are told already
            made.is_told = next(iter(self._requests.values())).is_told = True
        return made

    def _forget_some(self) -> None:
        """
        Look at two requests, in turn, and forget those of which nothing is open.
        """
        for trace_id in [*islice(self._requests, 2)]:
            if self._requests[trace_id].open:
                self._requests.move_to_end(trace_id)
            else:
                del self._requests[trace_id]

    def _branch_of(self, run: "Run", request: Request) -> "tuple[str, int] | None":
        """
        Find the nearest run above that is one of several open ones.
        """
        above, entry = run._parent, None
        for _ in range(_FAR):
            if above is None:
                return None
            entry = request.open.get(above)
            if entry is not None and entry.is_branch:
                return entry.name, entry.number
            above = above._parent
        return None if entry is None else entry.inside


def shown_name(run: "Run") -> str:
    """
    Name a run that starts: a model's by the model it was asked for, unless the
    application has named it.
    """
    asked = run.model if run.kind in MODELS and run._recipe.source is None else None
    return asked if asked and isinstance(asked, str) else run.name


def other_model(model: object, name: str) -> str:
    """
    Give the model to say beside a name, if it is another.
    """
    if not isinstance(model, str) or _bare(model) == _bare(name):
        return ""
    return model


def _bare(model: str) -> str:
    """
    Give a model's name without who serves it, and without its date.
    """
    return _DATE.sub("", model[-_LONGEST:].rpartition("/")[2].lower())
