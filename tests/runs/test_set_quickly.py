"""
How runs and blocks are laid out for the interpreter.
"""

from instrument import callbacks, current_run, traced
from instrument._payloads import kinds


class Ears:
    """
    Hears by the arguments of its event.
    """

    def on_chain_end(self, outputs: object, **kwargs: object) -> None: ...


def test_no_default_in_the_class() -> None:
    """
    What each run and block sets, its class does not have: that is set ten times as slowly.
    """

    @traced
    def names() -> set[str]:
        run = current_run()
        return {name for name in vars(run) if hasattr(type(run), name)}

    with callbacks(Ears()) as scope:
        assert names() == set()
        assert {name for name in vars(scope) if hasattr(type(scope), name)} == set()


def test_what_kinds_say_is_of_their_objects() -> None:
    """
    What a kind of runs says of its events is its objects' alone, as its class has it.
    """
    chat, chain = kinds.ChatModel(), kinds.CHAIN

    assert (chat.start, chat.end, chat.error) == (
        "on_chat_model_start",
        "on_llm_end",
        "on_llm_error",
    )
    assert (chat.is_model, chat.is_chat, chat.is_plain) == (True, True, False)
    assert (chain.start, chain.is_model, chain.is_plain) == (
        "on_chain_start",
        False,
        True,
    )
    for kind in (chat, chain):
        assert [name for name in vars(kind) if hasattr(type(kind), name)] == []
