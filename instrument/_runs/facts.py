"""
What is known of a model's run: its model, what it consumed. Read when it is asked for.
"""

from instrument._payloads.answers import Unread
from instrument._payloads.event import Usage
from instrument._runs.telling import Telling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from instrument._payloads.answers import Answer

_NO_USAGE = Usage()


class Facts(Telling):
    """
    The part of `Run` that knows what a model told.
    """

    _model: str | None = None
    _usage: Usage = _NO_USAGE
    _answer: "Answer | Unread | None" = None

    @property
    def model(self) -> str | None:
        """
        The name of the model, as far as it is known: the one that has answered.
        """
        self._read_answer()
        return self._model

    @model.setter
    def model(self, name: str | None) -> None:
        self._model = name

    @property
    def usage(self) -> Usage:
        """
        What a model call consumed; its fields are None while not known.
        """
        self._read_answer()
        return self._usage

    @usage.setter
    def usage(self, usage: Usage) -> None:
        self._read_answer()
        self._usage = usage

    def _answered(self, answer: "Answer") -> None:
        """
        Take all that a model told.
        """
        self._answer = answer
        if answer.usage is not None and not self._usage:
            self._usage = answer.usage
        self._model = answer.model or self._model

    def _read_answer(self) -> "Answer | None":
        """
        Give what a model told so far.
        """
        answer = self._answer
        if isinstance(answer, Unread):
            answer = answer.read()
            self._answered(answer)
        return answer
