"""
How do I test what my chain did, and not only what it returned?
"""

from instrument import Usage, callbacks, current_run, traced
from instrument.testing import Recorder


@traced.retriever
def search(query: str) -> list[str]:
    return ["Cats sleep 14 hours a day."] if "cat" in query else []


@traced.chat_model(model="fake-vet-1")
def model(messages: list[dict[str, str]]) -> str:
    current_run().record_usage(input_tokens=21, output_tokens=3)
    return "About 14 hours."


@traced
def answer(question: str) -> str:
    documents = search(question)
    if not documents:
        raise LookupError("nothing about that")
    return model([{"role": "user", "content": f"{documents}\n{question}"}])


def test_answer_reads_before_it_speaks() -> None:
    recorder = Recorder()  # in pytest: take the fixture `recorder` and leave the block

    with callbacks(recorder):
        answer("How long does a cat sleep?")

    (called,) = recorder.find(kind="chat_model")
    assert "14 hours" in called.inputs[0]["content"]  # it was shown the document
    assert called.usage == Usage(input_tokens=21, output_tokens=3)
    print(recorder.tree())


def test_answer_asks_no_model_about_dogs() -> None:
    recorder = Recorder()

    with callbacks(recorder):
        try:
            answer("How long does a dog sleep?")
        except LookupError:
            print(recorder.tree())

    assert recorder.find(kind="chat_model") == []


test_answer_reads_before_it_speaks()
#> chain answer: ok
#>   retriever search: ok
#>   chat_model model: ok

test_answer_asks_no_model_about_dogs()
#> chain answer: error LookupError
#>   retriever search: ok
