"""
``with traced("name")``: a run around a block.
"""

from instrument import _report
from instrument._interrupts import SETTLED, when_dropped
from instrument._runs.ending import afail, afinish, discard, fail, finish, mend
from instrument._runs.opening import INERT, NamedRecipe, open_run
from instrument._runs.outcome import ALREADY_SET, let_go
from instrument._runs.results import named
from instrument._runs.starting import astart, start
from instrument._scopes.entries import entered_from, forget, leaving, note
from instrument._state import STATE, find, get_state, set_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from instrument._runs.run import Run
    from instrument._traced.keywords import Keywords


class Block:
    """
    The context manager half of ``traced(...)``.
    """

    __del__ = when_dropped("_warn")
    is_own = keyed = False
    quick: "dict[object, Any]" = {}  # noqa: RUF012 - always empty: nothing is bound by name

    def __init__(self, keywords: "Keywords") -> None:
        self._keywords = keywords
        self._open: dict[Run, Run] = {}
        self._places: dict[Any, dict[int, Any]] | None = None

    def _forgotten(self) -> None:
        """
        Warn of a block that is none, and decorates nothing.
        """
        if hasattr(self, "_places"):  # else it could not be made
            _report.forgotten(self, "entered or called")

    _warn: "Any" = _forgotten
    """What is called when it is dropped."""

    def __setstate__(self, state: "dict[str, Any]") -> None:
        self.__dict__.update(state)
        self._warn = SETTLED  # of a copy nobody has to make use

    def __repr__(self) -> str:
        name, handlers = self._keywords.name, self._keywords.callbacks or ()
        given = [] if name is None else [repr(name)]
        if handlers:
            names = [type(it.handler).__name__ for it in handlers]
            given.append(f"callbacks=[{', '.join(names)}]")
        return f"traced({', '.join(given)})"

    def __enter__(self) -> "Run":
        """
        Start the run; an inert one where nobody listens.
        """
        run, state = self._begun(), get_state()
        if run is None:
            return INERT
        try:
            start(run)
            return self._entered(run)
        except BaseException as exc:
            self._undo(run, state, exc)
            run = state = None  # or the traceback would keep it, and it the traceback
            raise

    def __exit__(
        self,
        exc_type: "type[BaseException] | None",
        exc: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        """
        End the run, with what the block has set as ``run.outputs``.
        """
        left: list[Any] = []
        try:
            run = self._left(left)
            if run is None:
                return
            outer, is_home = run._outer, _is_home(run)
            try:
                if exc is None:
                    finish(run, ALREADY_SET)
                else:
                    fail(run, exc)
            finally:  # a handler may have stopped it
                if run.error is not None:
                    let_go(run, is_held=True)
                if not is_home:
                    run._outer, run._is_gone = outer, True
                    run._entry = (
                        None,
                        self,
                    )  # the token holds that Context, and it the run
        except BaseException as interrupt:
            self._end_after_all(left, interrupt)
            raise
        finally:
            left.clear()
            run = outer = None  # or the traceback would keep it, and it the traceback

    async def __aenter__(self) -> "Run":
        """
        Start the run; async handlers are awaited here.
        """
        run, state = self._begun(), get_state()
        if run is None:
            return INERT
        try:
            pending = astart(run)
            if pending is not None:
                await pending
            return self._entered(run)
        except BaseException as exc:
            self._undo(run, state, exc)
            run = state = None  # or the traceback would keep it, and it the traceback
            raise

    async def __aexit__(
        self,
        exc_type: "type[BaseException] | None",
        exc: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        """
        End the run; async handlers are awaited here.
        """
        left: list[Any] = []
        try:
            run = self._left(left)
            if run is None:
                return
            outer, is_home = run._outer, _is_home(run)
            try:
                pending = afinish(run, ALREADY_SET) if exc is None else afail(run, exc)
                if pending is not None:
                    await pending
            finally:
                if run.error is not None:
                    let_go(run, is_held=True)
                if not is_home:
                    run._outer, run._is_gone = outer, True
                    run._entry = (
                        None,
                        self,
                    )  # the token holds that Context, and it the run
        except BaseException as interrupt:
            self._end_after_all(left, interrupt)
            raise
        finally:
            left.clear()
            run = outer = None  # or the traceback would keep it, and it the traceback

    def _begun(self) -> "Run | None":
        self._warn = SETTLED
        keywords = self._keywords
        if keywords.name is None:
            message = 'a traced block needs a name: with traced("rerank"): ...'
            raise TypeError(message)
        has_inputs = keywords.inputs is not None and keywords.inputs is not False
        kind, facts = keywords.kind or "chain", keywords.facts(None)
        recipe = NamedRecipe(keywords.name, kind, facts, keywords.outputs)
        call: Any = (self, (), {}, None) if has_inputs else None
        run = open_run(recipe, keywords.layers("call"), call)
        if run is None:
            return None
        run._entry = (None, self)
        if not has_inputs:
            run._inputs = recipe._kind.inputs_of({})
        return run

    def bound(self, *_: "Any") -> "dict[str, Any]":
        """
        Give what the block was given as its inputs, by name.
        """
        return named(self._keywords.inputs, "input")

    def _entered(self, run: "Run") -> "Run":
        self._open[run] = run
        set_state(run._outer)  # or the token would keep the run, and the run the token
        run._entry = (set_state(run), *entered_from(3), self)
        if self._places is not None:
            note(self, run)
        return run

    def _undo(self, run: "Run", before: object, exc: BaseException) -> None:
        """
        End what could not be entered: a handler has stopped it, or an interrupt came.
        """
        is_told = run in self._open
        self._forget(run)
        if get_state() is before and not is_told:  # not even its start was
            discard(run)
        mend(run, before, exc)

    def _left(self, left: "list[Any]") -> "Run | None":
        """
        Choose the run that is left.

        Args:
            left: Is given it, and the state before it, as soon as it is chosen.
        """
        frame: Any = leaving(self) if len(self._open) > 1 else find(self)
        if frame is not None:
            left += (frame, frame._outer)
            self._forget(frame)
            return frame  # type: ignore[no-any-return]
        self._warn = SETTLED
        # left from another Context; another thread may leave one meanwhile
        popped = (self._open.pop(key, None) for key in reversed([*self._open]))
        run = next((it for it in popped if it is not None), None)
        if run is None:  # nobody listened
            return None
        self._forget(run)
        left += (run, run._outer)
        return run

    def _forget(self, run: "Run") -> None:
        self._open.pop(run, None)
        if self._places is not None:
            forget(self, run)

    def _end_after_all(self, left: "list[Any]", exc: BaseException) -> None:
        """
        End the run that was being left when an interrupt came; else it has ended.
        """
        if left or self._left(left):
            run, before = left
            self._forget(run)
            mend(run, before, exc)


def _is_home(run: "Run") -> bool:
    """
    Tell whether this is the Context in which *run* was entered.

    Where it is not, that one still goes through the run to what surrounds it.
    """
    state = get_state()
    try:
        STATE.reset(run._entry[0])
    except ValueError:
        return False
    except (LookupError, RuntimeError, TypeError):  # left twice: it has been used here
        return True
    set_state(state)
    return True
