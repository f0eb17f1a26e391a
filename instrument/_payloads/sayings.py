"""
What a message tells under a name: where a name stands in it, and where what follows that
ends. A text has no fields: where the end is not in sight, it is that of the line or text.
"""

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MASK = "[redacted]"
_GAP = r"(?:\s|\\{1,39}[nrt])"
_CLOSERS = (
    r"""\\{0,39}(?:["'`”“\u2019\])*»」』\u200b-\u200f]{0,3}|&(?:quot|apos|#\w{2,3});"""
    r"""|[ \xa0\u202f]»|%2[27])"""
)
_OTHER_OPTIONS = r"""(?: / \\{0,9}["']?--?[\w-]{1,50}\\{0,9}["']?){0,3}"""
"""A program may tell all names of one option: ``'--password' / '-p'``."""
BY_NAME = re.compile(
    rf"""(?<![\w.-])([\w.-]{{1,100}}){_CLOSERS}{_OTHER_OPTIONS}{_GAP}{{0,99}}+"""
    r"""(?:[!<>~:+?|]?={1,3}>?|<>|->|→|[:>\uff1a\uff1d]|&gt;|%3[AaDd]"""
    r"""|(?:NOT )?(?:I?LIKE|IN|BETWEEN)(?=\s{0,3}\(?\s{0,3}['"]))"""
    rf"""{_GAP}{{0,3}}[ \t]{{0,99}}"""
    rf"""|[\[(]{_GAP}{{0,40}}+b?\\{{0,39}}["']([\w. -]{{1,100}})"""
    rf"""\\{{0,39}}["']{_GAP}{{0,3}},{_GAP}{{0,40}}"""
    r"""|(?:(?<![\w.-])|(?<=\\[nrt]))--?([A-Za-z][\w.-]{0,99})"""
    rf"""(?:\\{{0,39}}["']\s{{0,3}},|(?={_GAP})){_GAP}{{0,3}}"""
)
"""A name before its value, in a pair with it, or as an option of a command."""
_ESCAPE = re.compile(r"[abfnrtv0]|x[0-9a-f]{2}|u[0-9a-f]{4}", re.IGNORECASE)
_HEX = re.compile(r"[0-9a-f]{2}", re.IGNORECASE)
_ESCAPED = re.compile(r"\\{1,9}u00([2-7][0-9a-fA-F])")
_COLOUR = re.compile(
    r"(?:\x1b|\\{1,9}(?:x1b|u001b|033|e))\[[\d;]{0,40}m", re.IGNORECASE
)
_COLUMNS = re.compile(
    rf"\(([^()=]{{1,9999}})\)(?:\){{0,2}}=|{_GAP}{{0,99}}VALUES{_GAP}{{0,99}})(?=\()",
    re.IGNORECASE,
)
"""The names of columns before their values, as a database or a statement tells them."""
_PARAMETERS = re.compile(r"(?:\n|\\n)\[parameters: ")
"""SQLAlchemy tells behind a statement what stands in the place of its marks."""
_ELEMENT = re.compile(
    r"""<([\w.:-]{1,100})\s[^<>]{0,999}(?<!/)>(?=[^<])[^<]{1,9999}(?:</[\w.:-]{1,100}\s?>)?"""
)
"""A text in markup, whose name has attributes."""
_END_TAG = re.compile(r"</[\w.:-]{1,100}\s{0,9}>")
NAME = re.compile(r"[\w.-]+")
_QUOTES = ("'", '"')
_OPEN, _CLOSED = ("{", "[", "("), ("}", "]", ")")
_QUOTED = re.compile(
    r"""b?(?:"{3}.*?(?:"{3}|\Z)|'{3}.*?(?:'{3}|\Z)"""
    r"""|(?:"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?)+)""",
    re.DOTALL,
)
"""One text in quotes, of three or doubled in it as in SQL too."""
_ESCAPED_QUOTE = re.compile(r"""b?(\\{1,99})(["'])""")
"""What begins a text in quotes that stands in another."""
_OTHER_QUOTE = re.compile(r"[“\u2018„«「『]|&(?:quot|apos|#\w{2,3});|%2[27]")
_CLOSING = dict(zip("“\u2018„«「『", "”\u2019“»」』", strict=True))
_WITHIN = (
    r"""(?:(?<![\w\\])|(?<=\W[bfru]))(?:"(?:[^"\\\n]|\\.)*+"|'(?:[^'\\\n]|\\.)*+')"""
    r"""|(?<![\w\\])\\{1,39}(?:"[^"\n]*+"|'[^'\n]*+')"""
)
_GOES_ON = (
    r"""(?=[],;)}&.:?|<>=({[`]{0,9}[\w%$#@*+/~^!-])"""
    r"""(?![],;)}&<({[]{0,9}["']?[\w.-]{1,100}["']?\s?[=:])"""
)
_UNQUOTED = re.compile(
    rf"""(?:[^,;\n)}}\]&"'\\]++|{_WITHIN}|["'\\]|[,;)}}\]&]{_GOES_ON})*+"""
)
"""
All up to what parts it from the next: a mark with no more of a word behind it, or with
another name. Texts in quotes are passed over.
"""
_URL = re.compile(
    r"""[A-Za-z][\w+.-]{1,20}://(?:[^\s"'<>,;)}\]]|[,;)}\]](?![\s"']|\Z))*+"""
)
_FIELDS = re.compile(r"""(?:[\w-]{1,40} )?[\w.$-]{1,100}=["\w/%]""")
"""What begins a header of several fields: cookies, a signature."""
_LINE_END = re.compile(r"[\r\n]|\\{1,9}[rn]")
_BELOW = re.compile(r"\n([ \t]{0,40})\Z")
_ITEM = re.compile(r"-\s|[\w.-]{1,100}:\s")
_BLOCK = re.compile(
    r"[{\[(]|[|>][\d+-]{0,2}[ \t]{0,9}(?:#[^\r\n]{0,200})?(?:\r?\n|\\{1,9}[rn])"
    r"|-----BEGIN "
)
"""What begins a value of more lines, of which the end is not looked for."""
_BRACKET = re.compile(r"[{\[(]")
_PARTED = re.compile(rf"{_QUOTED.pattern}|[{{\[(]|[}}\])]", re.DOTALL)
_MORE = re.compile(
    r"""(?:[ \t]{0,9}(?:[-=]>|→|[!=]?=|\+|>:|or\b|AND\b)[ \t]{0,9}"""
    r"""|[ \t]{0,9}\r?\n[ \t]{1,99})(?=[bfru]?\\{0,9}["'])"""
)
"""What goes on behind a text in quotes with another, on the next line too as `pprint` does."""
_MOST_ELEMENT = 10_000
_MOST_ESCAPED = 99


def plain(text: str) -> str:
    """
    Give *text* without colours, and with its marks written out.
    """
    if "[" in text:
        text = _COLOUR.sub("", text)
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)


def without_values(text: str, masks: "Callable[[str], bool]") -> str:
    """
    Mask what does not follow its name: behind columns, attributes and statements.
    """

    def without(found: "re.Match[str]") -> str:
        if not masks(found[1]):
            return found[0]
        return f"{found[0][: found[0].index('>')]}>{MASK}"

    if "</" in text:
        text = _ELEMENT.sub(without, text)
    given = _PARAMETERS.search(text)
    if given and any(map(masks, NAME.findall(text[: given.start()]))):
        text = f"{text[: given.end()]}{MASK}"
    for found in _COLUMNS.finditer(text):
        if any(map(masks, NAME.findall(found[1]))):
            return f"{text[: found.end()]}{MASK}"
    return text


def unescaped(text: str, at: int, word: str) -> str:
    """
    Give a word that stands there, without the end of an escape: ``\\npassword``.
    """
    before = text[at - 1 : at]
    escape = {"\\": _ESCAPE, "%": _HEX}.get(before)
    found = escape.match(word) if escape else None
    return word[found.end() :] if found else word


def end_of_value(text: str, at: int) -> int:
    """
    Find where what begins there ends: a text in quotes, or all up to what parts it from
    the next, a call with what it is given; and of what is masked already, nothing more.
    """
    below = _BELOW.search(text, max(at - 60, 0), at)
    end = _end_of_one(text, at)
    while more := _MORE.match(text, end):
        end = _end_of_one(text, more.end())
    if below and (item := _ITEM.match(text, at)):
        if item[0][0] == "-":  # a list may stand no further to the right than its name
            return _end_of_lines(text, end, (f"{below[0]}-", f"{below[0]} "))
        if below[1]:
            return _end_of_lines(text, end, (below[0],))
    return end


def _end_of_one(text: str, at: int) -> int:
    if text.startswith(MASK, at):
        return at + len(MASK)
    mark = text[max(at - 60, 0) : at].rstrip()[-1:]
    if mark == ">":
        closed = text.find("<", at, at + _MOST_ELEMENT)
        if found := _END_TAG.match(text, closed) if closed >= 0 else None:
            return found.end()
    if _BLOCK.match(text, at):
        return len(text)
    escaped = _ESCAPED_QUOTE.match(text, at)
    if escaped:
        return _end_of_escaped(text, escaped.end(), escaped[2], len(escaped[1]))
    quoted = _QUOTED.match(text, at)
    if quoted:
        end = quoted.end()
        quote = text[end - 1]
        is_doubtful = quote in _QUOTES and (
            text.endswith("\\\\", at, end - 1) or text[end : end + 1].isalnum()
        )
        return _end_of_escaped(text, end, quote, 0) if is_doubtful else end
    return _end_of_unquoted(text, at, mark)


def _end_of_unquoted(text: str, at: int, mark: str) -> int:
    start = at
    other = _OTHER_QUOTE.match(text, at)
    if other:
        closing = _CLOSING.get(other[0], other[0])
        closed = text.find(closing, other.end())
        if closed < 0 and len(text) - at > _MOST_ELEMENT:
            return len(text)  # to search that far for each would take hours
        for _ in range(_MOST_ESCAPED):
            if closed < 1 or text[closed - 1] != "\\":
                break
            closed = text.find(closing, closed + 1)
        else:
            return len(text)
        at = at if closed < 0 else closed + len(closing)
    elif url := _URL.match(text, at):
        at = url.end()
    elif mark == ":" and _FIELDS.match(text, at):
        line = _LINE_END.search(text, at)
        return line.start() if line else len(text)
    end = _UNQUOTED.match(text, at).end()  # type: ignore[union-attr]
    opened = _BRACKET.search(text, start, end)
    return end if opened is None else max(_end_of_call(text, opened.start()), end)


def _end_of_call(text: str, at: int) -> int:
    depth = 0
    for found in _PARTED.finditer(text, at):
        depth += found[0] in _OPEN
        depth -= found[0] in _CLOSED
        if depth == 0:
            return found.end()
    return len(text)


def _end_of_lines(text: str, at: int, margins: tuple[str, ...]) -> int:
    """
    Find where the lines end that begin so.
    """
    while True:
        line = text.find("\n", at)
        at = len(text) if line < 0 else line
        if not text.startswith(margins, at):
            return at
        at += 1


def _end_of_escaped(text: str, at: int, quote: str, escapes: int) -> int:
    """
    Find where a text in quotes ends, of which a ``repr`` or JSON may have been made once
    more: at a quote with no more escapes than the first, behind which none goes on.
    """
    ends = rf"(?<!\\)\\{{0,{escapes}}}{quote}(?=[\s,;)}}\]&'\"\\<|]|\Z)"
    found = re.compile(ends).search(text, at)
    return len(text) if found is None else found.end()
