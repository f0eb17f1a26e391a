"""
What is known of a model's answer, and the shape in which LangChain's handlers take it.
"""

from itertools import islice

from instrument._payloads.answers.parts import File, ToolCall, put_whole
from instrument._payloads.answers.usage import usage_from
from instrument._payloads.event import Usage
from instrument._payloads.messages import items, string

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from instrument._payloads.answers.usage import Counts

    Token = tuple[str, str]
    """A piece of text and its channel."""
    Place = tuple[int, ...]
    """Where a part stands among the others of its sort."""

MOST_PARTS = 10_000
"""The most parts of a result, or of one chunk, that are looked at."""
PLAIN = (str, bytes, int, float, bool, type(None))


class Generation:
    """
    One answer of a model: its text and, of a chat model, the message.
    """

    __slots__ = ("generation_info", "message", "text")

    def __init__(
        self,
        text: str,
        message: object = None,
        generation_info: "dict[str, Any] | None" = None,
    ) -> None:
        self.text = text
        self.message = message
        self.generation_info = generation_info

    def __repr__(self) -> str:
        return f"Generation(text={self.text!r})"


class LLMResult:
    """
    What ``on_llm_end`` gets: LangChain's shape, without LangChain.

    Attributes:
        generations: For each prompt a list of answers: ``generations[0][0].text``.
        llm_output: ``model_name``, ``token_usage``, as far as they are known.
    """

    __slots__ = ("generations", "llm_output", "run")

    def __init__(
        self, generations: "list[list[Generation]]", llm_output: "dict[str, Any]"
    ) -> None:
        self.generations = generations
        self.llm_output = llm_output
        self.run = None

    def __repr__(self) -> str:
        return f"LLMResult(generations={self.generations!r})"

    def read(self) -> None:
        """
        Read what would be read when it is asked for; called where that may be late.
        """


class UnreadResult(LLMResult):
    """
    A result that is read when something of it is first asked for.
    """

    __slots__ = ("_of", "_read")

    def __init__(self, read: "Callable[[Any], LLMResult]", of: object) -> None:
        self._read = read
        self._of = of

    def read(self) -> None:
        self.run, read = None, self._read(self._of)
        self.generations, self.llm_output = read.generations, read.llm_output

    def __getattr__(self, name: str) -> "Any":
        self.read()
        return object.__getattribute__(self, name)

    def __reduce__(self) -> "tuple[Any, ...]":
        return LLMResult, (self.generations, self.llm_output)


class Answer:
    """
    What was read from a model's result, or collected from its chunks.

    Its parts are kept by their places, which say their order: a stream may tell them in
    any other, in pieces, or a part as a whole that has come in pieces already.

    Attributes:
        plain: Pieces of text with no place of their own.
        message: The provider's own message, of a whole result.
        model, finish_reason, response_id: None where the provider tells none.
        error: The ``code`` and ``message`` of what went wrong, where it tells of that.
        others: Answers to the same that it gave beside this, by their number.
        is_first: Whether other calls were made after it, inside the same run.
        is_whole: Whether it was read at once, so that each piece of it is a part.
        room: How many parts may still be looked at; less than none were left out.
    """

    __slots__ = (
        "_blocks",
        "_calls",
        "_counts",
        "_end",
        "_files",
        "_latest",
        "_said",
        "_used",
        "error",
        "finish_reason",
        "is_first",
        "is_whole",
        "message",
        "model",
        "others",
        "plain",
        "response_id",
        "room",
    )

    def __init__(self, text: str = "", message: object = None) -> None:
        self.plain = [text] if text else []
        self._said: dict[str, dict[Place, list[str]]] = {"text": {(): self.plain}}
        self._calls: dict[Place, ToolCall] = {}
        self._latest: dict[object, Place] = {}
        self._end = 0
        self.room = MOST_PARTS
        self._counts: dict[str, float] | None = None
        self._used: Usage | None = None
        self.message = message
        self.is_first = self.is_whole = False
        self.model: str | None = None
        self.finish_reason: str | None = None
        self.response_id: str | None = None
        self.error: dict[str, Any] | None = None
        self._files: dict[object, File] = {}
        self._blocks: dict[object, int] = {}
        self.others: dict[int, Answer] = {}

    @property
    def text(self) -> str:
        """
        What it says.
        """
        return self._all("text")

    @text.setter
    def text(self, text: str) -> None:
        self.plain[:] = [text]
        self._said["text"] = {(): self.plain}

    @property
    def reasoning(self) -> str:
        """
        What it thought before, as far as that is shown.
        """
        return self._all("reasoning")

    def parts(self, channel: str) -> "list[str]":
        """
        Give what it tells in that channel, part by part.
        """
        parts = self._said.get(channel, _NONE)
        if self.is_whole:
            return [piece for place in sorted(parts) for piece in parts[place]]
        return ["".join(parts[place]) for place in sorted(parts)]

    def _all(self, channel: str) -> str:
        return "".join(self.parts(channel))

    @property
    def tool_calls(self) -> "list[dict[str, Any]]":
        """
        The tools that its caller is to run: ``{id, name, arguments}``, the arguments as
        an object; those that are no JSON, and the input of custom tools, stay text.
        """
        return [call.data() for call in self._in_order() if not call.is_server]

    @property
    def server_tool_calls(self) -> "list[dict[str, Any]]":
        """
        The tools that the provider has run itself, each with ``server`` true.
        """
        calls = [call for call in self._in_order() if call.is_server]
        return [{**call.data(), "server": True} for call in calls]

    def _in_order(self) -> "list[ToolCall]":
        return [self._calls[place] for place in sorted(self._calls)]

    @property
    def files(self) -> "list[dict[str, Any]]":
        """
        What it holds that is no text, by ``kind`` and ``size`` in bytes.
        """
        return [file.data() for file in self._files.values()]

    @property
    def usage(self) -> Usage | None:
        """
        What it consumed, None where the provider does not tell.
        """
        if self._counts is None:
            return self._used
        told = usage_from(self._counts)
        return self._used + told if self._used and told else self._used or told

    @usage.setter
    def usage(self, usage: Usage | None) -> None:
        self._counts, self._used = None, usage

    def said(
        self, text: object, channel: str = "text", at: "Place" = ()
    ) -> "Sequence[Token]":
        """
        Add a piece of text or reasoning, and give it as tokens: one or none.
        """
        text = string(text)
        if text is None:
            return ()
        self._pieces(channel, at).append(text)
        return ((text, channel),)

    def part(
        self, text: object, channel: str = "text", at: "Place" = ()
    ) -> "Sequence[Token]":
        """
        Take a part as a whole; give what its pieces have not told.
        """
        text = string(text)
        return (
            () if text is None else put_whole(self._pieces(channel, at), text, channel)
        )

    def some(self, value: object) -> "Any":
        """
        Give the items of a list, as far as there is room; say how many are left out.
        """
        found = items(value)
        self.room -= len(found)
        if self.room >= 0:
            return found
        self._pieces("text", _LAST)[:] = [f"… {-self.room:,} more parts"]
        return found[: max(len(found) + self.room, 0)]

    def _pieces(self, channel: str, at: "Place") -> "list[str]":
        return self._said.setdefault(channel, {}).setdefault(at, [])

    def called(
        self,
        id: object = None,
        name: object = None,
        arguments: object = None,
        at: "Place | None" = None,
        **how: bool,
    ) -> "Sequence[Token]":
        """
        Add a tool call, or a piece of the one *at* this place; give its tokens.

        Args:
            at: None for one behind all others.
            how: As `ToolCall.take` has it.
        """
        at = self.after() if at is None else at
        call = self._calls.get(at)
        if call is None:
            call = self._put(at, ToolCall())
        return call.take(string(id), string(name), arguments, **how)

    def after(self) -> "Place":
        """
        Give a place behind those of all calls.
        """
        return (self._end,)

    def _put(self, at: "Place", call: ToolCall) -> ToolCall:
        self._calls[at] = call
        self._latest[call.index] = at
        self._end = max(self._end, at[0] + 1 if at else 1)
        return call

    def place_of(self, index: object, id: object, name: object) -> "Place":
        """
        Find where a piece of a call belongs that comes with what it has of these three.

        Some leave out the index, or give several calls the same: then another id says
        that a call begins, or another name behind arguments.
        """
        id, name = string(id), string(name)
        if type(index) is float and index.is_integer():
            index = int(index)  # Together's SDK counts so
        index = index if type(index) is int or type(index) is str else None
        latest = self._latest.get(index)
        if latest is not None and self._calls[latest].goes_on_with(id, name):
            return latest
        for place, call in islice(reversed(self._calls.items()), _NEAR):
            if call.index == index and call.goes_on_with(id, name):
                return place
        place = self.after()
        if type(index) is str:
            place = max(place, _LAST)
        elif type(index) is int and (index,) not in self._calls:
            place = (index,)
        self._put(place, ToolCall(index))
        return place

    def given(self, at: "Place") -> "dict[str, Any]":
        """
        Give the arguments of a call that come one by one, to be added to.
        """
        call = self._calls[at]
        if type(call.given) is not dict:
            call.given = {}
        return call.given

    def place_of_block(self, index: object) -> "Place":
        """
        Give the place of what its provider counts so, which is in the order it came.
        """
        index = index if type(index) is int or type(index) is str else None
        return (self._blocks.setdefault(index, len(self._blocks)),)

    def has(
        self, kind: str, held: object, at: object = None, *, is_whole: bool = False
    ) -> "Sequence[Token]":
        """
        Note what is no text: an image, a file, sound. Nothing of it is kept.

        Args:
            held: Its bytes, or those in base 64, or its URL, which may hold them.
            at: What tells its pieces from others.
            is_whole: Whether it is no piece.
        """
        place = len(self._files) if at is None else at
        if place not in self._files or is_whole:
            self._files[place] = File(kind)
        self._files[place].take(held)
        return ()

    def other(self, number: object) -> "Answer":
        """
        Give the answer of that number; this one is the first.
        """
        if type(number) is not int or number <= 0:
            return self
        return self.others.setdefault(number, Answer())

    def told(
        self,
        *,
        model: object = None,
        finish_reason: object = None,
        response_id: object = None,
        counts: "Counts | None" = None,
    ) -> None:
        """
        Take facts; the last that is told counts.
        """
        if model is not None:
            self.model = string(model) or self.model
        if finish_reason is not None:
            self.finish_reason = string(finish_reason) or self.finish_reason
        if response_id is not None:
            self.response_id = string(response_id) or self.response_id
        if counts is not None:  # some tell input first and output at the end
            self._counts = {**(self._counts or {}), **counts}

    def failed(
        self, code: object, message: object, reason: str = "error"
    ) -> "Sequence[Token]":
        """
        Take what the provider says went wrong, where that is all that it says.
        """
        code = code if type(code) is int else string(code)
        self.error = {"code": code, "message": string(message)}
        self.finish_reason = reason
        return ()

    def next_request(self) -> None:
        """
        Count what follows beside what has been counted: it is of another request. The
        SDK has run the tools that were called in one that had ended.
        """
        self.usage = self.usage
        if self.finish_reason is not None:
            self._calls.clear()
            self._latest.clear()
            self._end = 0
            self.finish_reason = None

    def settle(self, whole: "Answer") -> "Sequence[Token]":
        """
        Take the parts of the whole answer that comes after its pieces; give what these
        have not told.
        """
        tokens: list[Token] = []
        for channel, parts in whole._said.items():
            text = whole._all(channel)
            if not text:
                continue
            told = (
                self._said.get(channel, _NONE) if text != self._all(channel) else parts
            )
            for place in sorted(parts):
                pieces = list(told.get(place, ()))
                tokens += put_whole(pieces, "".join(parts[place]), channel)
            if channel == "text":
                self.plain[:] = parts[()]
                parts[()] = self.plain
            self._said[channel] = parts
        if whole._calls:
            for place in sorted(whole._calls):
                text, call = "".join(whole._calls[place].pieces), self._calls.get(place)
                tokens += put_whole([*call.pieces] if call else [], text, "tool_call")
            self._calls, self._latest = whole._calls, whole._latest
            self._end = whole._end
        self._files = whole._files or self._files
        return tokens

    def complete(self, inner: "Answer") -> None:
        """
        Add what the call that was made inside the run knows, of its usage better.

        Of several, the others are children, which tell what they used: with what the
        run's own result tells, it would be counted twice.
        """
        if inner.is_first:
            self.usage = inner.usage
        elif inner.usage is not None:
            outer = {} if self.usage is None else self.usage.to_dict()
            self.usage = Usage(**{**outer, **inner.usage.to_dict()})  # type: ignore[arg-type]
        for name in ("finish_reason", "model", "response_id", "error", "_files"):
            setattr(self, name, getattr(self, name) or getattr(inner, name))
        if not self.reasoning:
            self._said["reasoning"] = inner._said.get("reasoning", {})
        if not (self.text or inner.is_first):
            self.text = inner.text  # a refusal, which LangChain puts elsewhere
        has_own = bool(self.tool_calls)
        known = {*self._calls.values()}
        for call in inner._in_order():
            if call not in known and (call.is_server or not has_own):
                self._put(self.after(), call)


_LAST = (1_000_000,)
"""Where calls begin that are told apart from all others."""
_NEAR = 100
"""How many calls are looked through for the one that a piece may be of."""
_NONE: "dict[Place, list[str]]" = {}
