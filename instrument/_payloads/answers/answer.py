"""
What is known of a model's answer, and the shape in which LangChain's handlers take it.
"""

from instrument._payloads.event import Usage
from instrument._payloads.messages import read_arguments, string

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Token = tuple[str, str]
    """A piece of text and its channel."""

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
        self.run = None

    def read(self) -> None:
        read = self._read(self._of)
        self.generations, self.llm_output = read.generations, read.llm_output

    def __getattr__(self, name: str) -> "Any":
        self.read()
        return object.__getattribute__(self, name)

    def __reduce__(self) -> "tuple[Any, ...]":
        return LLMResult, (self.generations, self.llm_output)


class Answer:
    """
    What was read from a model's result, or collected from its chunks.

    Attributes:
        message: The provider's own message, of a whole result.
        model, finish_reason, response_id, usage: None where the provider tells none.
        is_first: Whether other calls were made after it, inside the same run.
    """

    __slots__ = (
        "_calls",
        "_reasoning",
        "_text",
        "finish_reason",
        "is_first",
        "message",
        "model",
        "response_id",
        "usage",
    )

    def __init__(self, text: str = "", message: object = None) -> None:
        self._text = [text]
        self._reasoning: list[str] = []
        self._calls: dict[object, dict[str, Any]] = {}
        self.message = message
        self.is_first = False
        self.model: str | None = None
        self.finish_reason: str | None = None
        self.response_id: str | None = None
        self.usage: Usage | None = None

    @property
    def text(self) -> str:
        """
        What it says.
        """
        return "".join(self._text)

    @text.setter
    def text(self, text: str) -> None:
        self._text = [text]

    @property
    def reasoning(self) -> str:
        """
        What it thought before, as far as that is shown.
        """
        return "".join(self._reasoning)

    @property
    def tool_calls(self) -> "list[dict[str, Any]]":
        """
        The tools it calls: ``{id, name, arguments}``, the arguments as an object.

        Arguments that are no JSON stay text.
        """
        return [
            {
                "id": call["id"],
                "name": call["name"],
                "arguments": read_arguments(call["arguments"]),
            }
            for call in self._calls.values()
        ]

    def said(self, text: object, channel: str = "text") -> "Sequence[Token]":
        """
        Add a piece of text or reasoning, and give it as tokens: one or none.
        """
        text = string(text)
        if text is None:
            return ()
        (self._text if channel == "text" else self._reasoning).append(text)
        return ((text, channel),)

    def called(
        self,
        id: object = None,
        name: object = None,
        arguments: object = None,
        at: object = None,
    ) -> "Sequence[Token]":
        """
        Add a tool call, or a piece of the one *at* this place; give its tokens.

        Args:
            at: Where it stands among the calls; None for one that is whole.
        """
        is_place = type(at) in (int, float, str)
        place: object = at if is_place else len(self._calls)
        call = self._calls.setdefault(
            place, {"id": None, "name": None, "arguments": []}
        )
        call["id"] = call["id"] or string(id)
        call["name"] = call["name"] or string(name)
        if not issubclass(type(arguments), str):
            call["arguments"] = call["arguments"] if arguments is None else arguments
            return ()
        piece = string(arguments)
        if piece is None or type(call["arguments"]) is not list:
            return ()
        call["arguments"].append(piece)
        return ((piece, "tool_call"),)

    def told(
        self,
        *,
        model: object = None,
        finish_reason: object = None,
        response_id: object = None,
        usage: Usage | None = None,
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
        if self.usage is None:
            self.usage = usage
        elif usage is not None:  # some tell input first and output at the end
            both = {**self.usage.to_dict(), **usage.to_dict()}
            self.usage = Usage(**both)  # type: ignore[arg-type]


class Unread:
    """
    Stands for an answer that nobody has asked for yet.
    """

    __slots__ = ("_kind", "_read", "_result")

    def __init__(
        self, read: "Callable[[Any, Any], Answer]", kind: "Any", result: object
    ) -> None:
        self._read = read
        self._kind = kind
        self._result = result

    def read(self) -> Answer:
        """
        Read it.
        """
        return self._read(self._kind, self._result)
