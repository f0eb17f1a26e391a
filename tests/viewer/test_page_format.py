"""
How the page writes figures, asked of its own module in a browser.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest

NARROW = "\u202f"
UNKNOWN = "\u2013"


@pytest.fixture(scope="module")
def page(browser: Any) -> Iterator[Any]:
    """
    Open one page for all tests of this file.
    """
    server: Any = import_module("canned_page").Canned()
    context = browser.new_context(bypass_csp=True)
    page = context.new_page()
    page.goto(server.url)
    yield page
    context.close()
    server.end()


@pytest.fixture
def module(page: Any) -> Callable[..., Any]:
    """
    Call a function of a module of the page.
    """

    def call(function: str, *args: Any, name: str = "format") -> Any:
        script = "([n, f, a]) => import(`./page/${n}.js`).then((m) => m[f](...a))"
        return page.evaluate(script, [name, function, list(args)])

    return call


@pytest.mark.parametrize(
    "ms,written",
    [
        (None, UNKNOWN),
        (0, "0 ms"),
        (0.287, "287 µs"),
        (0.9996, "1.00 ms"),
        (4.37, "4.37 ms"),
        (9.996, "10.0 ms"),
        (269.4, "269 ms"),
        (999.6, "1.00 s"),
        (9310, "9.31 s"),
        (59_940, "59.9 s"),
        (59_960, "1:00 min"),
        (95_000, "1:35 min"),
        (3_599_600, "1:00 h"),
        (7_440_000, "2:04 h"),
    ],
)
def test_duration(module: Callable[..., Any], ms: float | None, written: str) -> None:
    """
    A duration has three figures and a narrow space before its unit; unknown is a dash.
    """
    assert module("duration", ms) == written.replace(" ", NARROW)


@pytest.mark.parametrize(
    "function,given,written",
    [
        ("tokens", None, UNKNOWN),
        ("tokens", 0, "0"),
        ("tokens", 9412, "9,412"),
        ("tokens", 12_490, "12.5k"),
        ("tokens", 999_700, "1.00M"),
        ("tokens", 2_384_000, "2.38M"),
        ("money", None, UNKNOWN),
        ("money", 0, "$0"),
        ("money", 0.00000012, "<$0.0001"),
        ("money", 0.0144, "$0.0144"),
        ("money", 0.99997, "$1.00"),
        ("money", 1234.5, "$1,234.50"),
        ("bytes", None, UNKNOWN),
        ("bytes", 412, "412 B"),
        ("bytes", 4380, "4.38 kB"),
        ("bytes", 999_800, "1.00 MB"),
        ("bytes", 1_200_000_000, "1.20 GB"),
        ("count", 9961, "9,961"),
        ("clock", 1_795_874_551_000, "14:02:31"),
    ],
)
def test_figures(
    module: Callable[..., Any], function: str, given: Any, written: str
) -> None:
    """
    Tokens, money, bytes and clocks are written short, and what is unknown is a dash.
    """
    assert module(function, given) == written.replace(" ", NARROW)


@pytest.mark.parametrize(
    "seconds,written",
    [(1, "1 s ago"), (185, "3 min ago"), (7300, "2 h ago"), (200_000, "2 d ago")],
)
def test_ago(module: Callable[..., Any], seconds: int, written: str) -> None:
    """
    How long ago something began is told in its largest unit.
    """
    assert module("ago", 0, seconds * 1000) == written.replace(" ", NARROW, 1)


def test_percentile(module: Callable[..., Any]) -> None:
    """
    A percentile is one of the numbers, and null of none.
    """
    assert module("percentile", [], 0.9) is None
    assert module("percentile", [3, 1, 2], 0.5) == 2
    assert module("percentile", [3, 1, 2], 1) == 3


@pytest.mark.parametrize(
    "text,seen",
    [
        ("plain\ttext\r\nwith 🚲", "plain\ttext\r\nwith 🚲"),
        ("\x1b[31mred\x1b[0m\x00", "␛[31mred␛[0m␀"),
        ("\u202emoc", "⟨202E⟩moc"),
        ("over\rprinted", "over␍printed"),
    ],
)
def test_plain(module: Callable[..., Any], text: str, seen: str) -> None:
    """
    Controls and direction overrides are seen instead of obeyed; line ends and emoji stay.
    """
    assert module("plain", text, name="dom") == seen


def test_lone_surrogate(page: Any) -> None:
    """
    A lone surrogate is written as its number; a pair stays the character that it is.
    """
    script = (
        "import('./page/dom.js').then((dom) => dom.plain('a\\ud83d b \\ud83d\\udeb2'))"
    )

    assert page.evaluate(script) == "a⟨D83D⟩ b 🚲"


@pytest.mark.parametrize(
    "before,after,steps",
    [
        ("a b c d e", "a b c d e", [["=", "a b c d e"]]),
        ("one two", "one three", [["=", "one "], ["-", "two"], ["+", "three"]]),
        ("", "new", [["+", "new"]]),
    ],
)
def test_word_diff(
    module: Callable[..., Any], before: str, after: str, steps: Any
) -> None:
    """
    Two texts differ by words: what went, what came, what stayed.
    """
    joined: list[list[str]] = []
    for sign, piece in module("wordDiff", before, after, name="diff"):
        if joined and joined[-1][0] == sign:
            joined[-1][1] += piece
        else:
            joined.append([sign, piece])

    assert joined == steps


def test_diff_joins_islands(module: Callable[..., Any]) -> None:
    """
    Fewer than three equal words between two differences are told as different, too.
    """
    steps = module(
        "wordDiff", "x of y and all the rest", "p of q and all the rest", name="diff"
    )

    assert [sign for sign, piece in steps if piece == "of"] == ["-", "+"]
    assert ["=", "all"] in steps


def test_diff_of_long_texts(module: Callable[..., Any]) -> None:
    """
    Texts too long for words are compared by lines, and those too long for lines not at all.
    """
    lines = [f"line {i} has words\n" for i in range(900)]
    before, after = (
        "".join(["x\n", *lines, "y\n"]),
        "".join(["p\n", *reversed(lines), "q\n"]),
    )
    steps = module("wordDiff", before, after, name="diff")
    assert steps[0] == ["-", "x\n"]

    words = [" ".join(str(n * step) for n in range(4000)) for step in (3, 7)]
    assert module("wordDiff", *words, name="diff") is not None
    many = ["\n".join(f"{n * step}" for n in range(4000)) for step in (3, 7)]
    assert module("wordDiff", *many, name="diff") is None


@pytest.mark.parametrize(
    "q,word,then",
    [
        ("", "status:error", "status:error"),
        ("status:error gravel", "status:error", "gravel"),
        ("status:error gravel", "status:running", "gravel status:running"),
        ('name:"two words" x', "kind:tool", 'name:"two words" x kind:tool'),
    ],
)
def test_toggled_word(module: Callable[..., Any], q: str, word: str, then: str) -> None:
    """
    A button puts its word into the filter, in place of another of its key, or takes it out.
    """
    assert module("toggledWord", q, word, name="filters") == then
