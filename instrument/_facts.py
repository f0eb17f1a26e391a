"""
What is known of a model's run: its model, what it consumed. Read when it is asked for.
"""

from instrument._event import Usage
from instrument._telling import Telling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from instrument._shapes import Answer

NO_USAGE = Usage()


class Facts(Telling):
    """
    The part of `Run` that knows what a model told.
    """

    _model: str | None = None
    _usage: Usage = NO_USAGE
    _answer: "Answer | None" = None
    _is_unread = False

    @property
    def model(self) -> str | None:
        """
        The name of the model, as far as it is known: the one that has answered.
        """
        if self._is_unread:
            self._learn()
        return self._model

    @model.setter
    def model(self, name: str | None) -> None:
        self._model = name

    @property
    def usage(self) -> Usage:
        """
        What a model call consumed; its fields are None while not known.
        """
        if self._is_unread:
            self._learn()
        return self._usage

    @usage.setter
    def usage(self, usage: Usage) -> None:
        if self._is_unread:
            self._learn()
        self._usage = usage

    def answered(self, answer: "Answer", *, is_unread: bool = False) -> None:
        """
        Take what a model told; to be read later, if that has not been done.
        """
        self._answer, self._is_unread = answer, is_unread
        if not is_unread:
            self._learn()

    def _learn(self) -> None:
        self._is_unread = False
        answer = self._answer
        if answer is None:
            return
        if answer.usage is not None and not self._usage:
            self._usage = answer.usage
        self._model = answer.model or self._model
