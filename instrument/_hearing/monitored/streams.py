"""
Answers that are still to be read when the call has returned: streams, raw responses.

Such a call is kept by an object that its answer has and whoever reads it has too: an
HTTP response, the stream, a generator's frame. When that goes unread, so does the call,
and its run ends as abandoned.
"""

import weakref
from contextlib import suppress
from functools import partial

from instrument._hearing.passing import Events
from instrument._hearing.watches import NOTHING, HeardCall, Refused, Watch, let
from instrument._runs.leading import FOLLOWED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

    from instrument._hearing.calls import Call


class Kept:
    """
    A call whose answer is still to be read.

    Attributes:
        in_pieces: Whether it is a stream.
        reader: The id of the frame that gives a piece of it now, or gives them all.
    """

    __slots__ = ("_call", "_frame", "_holder", "_id", "in_pieces", "reader")

    def __init__(
        self,
        key: int,
        holder: object,
        call: "Call",
        *,
        in_pieces: bool,
        frame: str,
    ) -> None:
        self._frame = frame
        self._id = id(holder)
        self._holder = weakref.ref(holder, partial(_forget, key))
        self._call: Callable[[], Call | None] = weakref.ref(call)
        self.in_pieces = in_pieces
        self.reader = 0
        try:
            holder.__dict__[_CALL] = call
        except (AttributeError, TypeError):  # it has no room: a generator
            self._call = lambda: call
            FOLLOWED.add(id(holder))

    @property
    def call(self) -> "Any":
        """
        The call, which its holder keeps where it can: what is kept here goes by no
        collection, and a run may lead to the holder.
        """
        call = self._call()
        return _GONE if call is None else call

    @property
    def holder(self) -> "Any":
        """
        Give what it is kept by; None if that has gone.
        """
        return self._holder()

    def let_go(self) -> None:
        """
        Leave nothing at the holder.
        """
        holder = self.holder
        FOLLOWED.discard(self._id)
        with suppress(AttributeError):  # it has gone, or has no room
            holder.__dict__.pop(_CALL, None)

    def is_of(self, key: object) -> bool:
        """
        Tell whether it is kept by *key*, and not by a frame that has had its id.
        """
        return not self._frame or getattr(self.holder, self._frame, None) is key

    def is_reading(self, frame: "FrameType | None") -> bool:
        """
        Tell whether what gives its pieces has called *frame*.
        """
        while frame is not None and id(frame) != self.reader:
            frame = frame.f_back
        return frame is not None


class _Gone:
    """
    A call that a collection has with its reader: it has ended, or ends by itself.
    """

    def _nothing(self, *_: object) -> None: ...

    item = returned = raised = enter = leave = _nothing


_CALL = "_instrument_kept"
_GONE = _Gone()
_kept: "dict[int, Kept]" = {}
"""By the id of what the reader has."""


def _forget(key: int, gone: object = None) -> None:
    """
    Keep a call no more: it has ended, or what it was kept by has *gone*.
    """
    kept = _kept.get(key)
    if kept is not None and (gone is None or gone is kept._holder):
        _kept.pop(key, None)
        kept.let_go()


def keep(
    holder: object,
    call: "Call",
    *,
    in_pieces: bool = True,
    frame: str = "",
) -> None:
    """
    Let *call* go on until its answer has been read, was closed, or is dropped.

    Args:
        holder: What goes when nobody can read the answer any more.
        frame: The attribute of *holder* that its reader has; else it has *holder*.
    """
    call.go_on(in_pieces=in_pieces)
    id_ = id(getattr(holder, frame) if frame else holder)
    _kept[id_] = Kept(id_, holder, call, in_pieces=in_pieces, frame=frame)


def kept_of(key: object) -> Kept | None:
    """
    Give the call whose answer the reader that has *key* reads.
    """
    kept = _kept.get(id(key))
    return kept if kept is not None and kept.is_of(key) else None


class Held:
    """
    A call that is held by what hears its own body.
    """

    __slots__ = ("call",)

    def __init__(self, call: "Call") -> None:
        self.call = call


class KeptWatch(Watch):
    """
    What hears nothing but calls that are kept.
    """

    listens = staticmethod(_kept.__len__)


class StreamWatch(KeptWatch):
    """
    The generator that gives the pieces.

    Args:
        key: Finds in its frame what the call is kept by.
    """

    def __init__(self, key: "Callable[[FrameType], object]") -> None:
        self._key = key

    def called(self, frame: "FrameType") -> "StreamCall | None":
        kept = None
        try:
            key = self._key(frame)
            kept = kept_of(key)
            if kept is None:
                return None
            kept.reader = id(frame)
            return StreamCall(kept, id(key))
        except BaseException as exc:  # in the first step: there will be no other
            kept = kept or kept_of(self._key(frame))
            if kept is not None:
                kept.call.raised(exc)
            raise


class StreamCall(HeardCall):
    """
    One stream, from its first piece on. No state is changed while it is read.
    """

    __slots__ = ("_key", "_of")
    takes_items = True

    def __init__(self, of: "Kept | Held", key: int) -> None:
        self._of = of
        self._key = key

    @property
    def _call(self) -> "Any":
        return self._of.call

    def suspended(self, item: object) -> None:
        if item is not NOTHING:
            try:
                self._call.item(item)
            except BaseException as exc:
                raise Refused(exc) from None

    def returned(self, value: object) -> None:
        call = self._call
        _forget(self._key)
        let(call.returned, None)

    def raised(self, exc: BaseException) -> None:
        call = self._call
        _forget(self._key)
        let(call.raised, exc)


class PassingWatch(KeptWatch):
    """
    What gives the bytes of a response: to its caller, where no stream of the SDK reads.
    """

    def called(self, frame: "FrameType") -> "PassingCall | None":
        http = frame.f_locals["self"]
        kept = kept_of(http)
        if kept is None or not kept.in_pieces or kept.is_reading(frame):
            return None
        kept.reader = id(frame)
        return PassingCall(kept, id(http))


class PassingCall(StreamCall):
    """
    One response whose bytes are read.
    """

    __slots__ = ("_events",)

    def __init__(self, of: "Kept | Held", key: int) -> None:
        super().__init__(of, key)
        self._events = Events()

    def suspended(self, item: object) -> None:
        for event in self._events.of(item):
            super().suspended(event)


class BodyWatch(StreamWatch):
    """
    The same, where functions of the caller run in it.
    """

    is_stepped = True

    def called(self, frame: "FrameType") -> "StreamBody | None":
        heard = super().called(frame)
        return None if heard is None else StreamBody(heard._of, heard._key)


class StreamBody(StreamCall):
    """
    One such stream: its call goes on in its body at each step.
    """

    __slots__ = ("_is_inside", "_outside")
    is_stepped = True

    def __init__(self, of: "Kept | Held", key: int) -> None:
        super().__init__(of, key)
        self.resumed()

    def resumed(self) -> None:
        self._outside = self._call.enter()
        self._is_inside = True

    def suspended(self, item: object) -> None:
        self._leave()
        super().suspended(item)

    def returned(self, value: object) -> None:
        self._leave()
        super().returned(value)

    def raised(self, exc: BaseException) -> None:
        if self._is_inside:
            self._leave()
        super().raised(exc)

    def _leave(self) -> None:
        self._call.leave(self._outside)
        self._is_inside = False


class StepWatch(KeptWatch):
    """
    A method that gives one piece each time it is called, of a stream that is its object.

    Its call goes on in the method's body: some send their request there.
    """

    def called(self, frame: "FrameType") -> "StreamStep | None":
        stream = frame.f_locals["self"]
        kept = kept_of(stream)
        if kept is None:
            return None
        kept.reader = id(frame)
        return StreamStep(kept, id(stream))


class StreamStep(StreamCall):
    """
    One call of such a method.
    """

    __slots__ = ("_kept", "_outside")

    def __init__(self, kept: Kept, key: int) -> None:
        super().__init__(kept, key)
        self._kept = kept
        self._outside = kept.call.enter()

    def returned(self, value: object) -> None:
        self._leave()
        let(self._call.item, value)

    def raised(self, exc: BaseException) -> None:
        self._leave()
        if issubclass(type(exc), (StopIteration, StopAsyncIteration)):
            super().returned(None)
        else:
            super().raised(exc)

    def _leave(self) -> None:
        self._kept.reader = 0  # another frame may have that id
        self._call.leave(self._outside)


class AtReturn(KeptWatch):
    """
    A method that, when it returns, ends a call whose answer is kept.

    A stream that closes itself, at its end or at a failure, ends as what gives its
    pieces does.

    Args:
        key: Finds, from the method's object, what the call is kept by.
        end: Takes it, and what was returned.
    """

    def __init__(
        self, key: "Callable[[Any], object]", end: "Callable[[Kept, Any], None]"
    ) -> None:
        self._key = key
        self._end = end

    def called(self, frame: "FrameType") -> "Ending | None":
        kept = kept_of(self._key(frame.f_locals["self"]))
        if kept is None or kept.is_reading(frame):
            return None
        return Ending(self._end, kept)


class Ending(HeardCall):
    """
    One call of such a method.
    """

    __slots__ = ("_end", "kept")

    def __init__(self, end: "Callable[[Kept, Any], None]", kept: Kept) -> None:
        self._end = end
        self.kept = kept

    def returned(self, value: object) -> None:
        self._end(self.kept, value)

    def raised(self, exc: BaseException) -> None:
        let(self.kept.call.raised, exc)


def parsed(kept: Kept, value: object) -> None:
    """
    End a call with its whole answer; a stream goes on.
    """
    if not kept.in_pieces:
        let(kept.call.returned, value)


def closed(kept: Kept, _: object) -> None:
    """
    End a stream that was left early; nothing happens to one that has ended.
    """
    let(kept.call.raised, GeneratorExit())
