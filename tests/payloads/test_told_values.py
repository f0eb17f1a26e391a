"""
What messages of programs tell under a masked name, and where that ends.
"""

import pytest

from instrument._payloads.names import MASK, Names


@pytest.mark.parametrize(
    "text, told",
    [
        ("password=a,b)c;d&e city", "password=~"),
        ("password=x,y, city=Rome", "password=~, city=Rome"),
        ("f(password=x), g(x)", "f(password=~), g(x)"),
        ("password=x;city=Rome", "password=~;city=Rome"),
        ("password=x,'city': 1", "password=~,'city': 1"),
        ("password: bad value: 'a, b', city", "password: ~, city"),
        ('password: bad: \\"a, b\\", city', "password: ~, city"),
        ("password: it's bad, city", "password: ~, city"),
        ("password: str = 'a, b')", "password: ~)"),
        ("password = f'a, {b}'\ncity", "password = ~\ncity"),
        ("password = get(1) or 'f(a, b)c'", "password = ~"),
        ("password += 'x'", "password += ~"),
        ("password: 'x' -> 'y', city", "password: ~, city"),
        ("<K.PASSWORD: 'password'>: 'x', 'city'", "<K.PASSWORD: ~, 'city'"),
        ("password = \u2018a, b\u2019, city", "password = ~, city"),
        ("„password“: „a, b“, city", "„password“: ~, city"),
        ("« password » : « a, b », city", "« password » : ~, city"),
        ("「password」\uff1a「a, b」, city", "「password」\uff1a~, city"),
        ("password: “a, b", "password: ~, b"),
        ("\x1b[36mpassword\x1b[0m=\x1b[35mx\x1b[0m", "password=~"),
        (r"'\x1b[36mpassword\x1b[0m=\x1b[35mx'", "'password=~"),
        (f"password{' ' * 40}: x", f"password{' ' * 40}: ~"),
        ("url?next=%2Fa%3Fpassword%3Dx&id=1", "url?next=%2Fa%3Fpassword%3D~&id=1"),
        ("%7B%22password%22%3A%22x%22", "%7B%22password%22%3A~"),
        ("&quot;password&quot;: &quot;a, b&quot;, c", "&quot;password&quot;: ~, c"),
        (
            r"&quot;password&quot;: &quot;a\&quot;b\&quot;, c&quot;, d",
            "&quot;password&quot;: ~, d",
        ),
        ("&lt;password&gt;x&lt;/password&gt;", "&lt;password&gt;~;"),
        ("password: http://a/?b=c&d=e) or", "password: ~) or"),
        ("password=http://a:b c@d, e", "password=~, e"),
        ("<password>a&amp;b, c</password> d", "<password>~ d"),
        ("<password>a < b, c</password", "<password>~, c</password"),
        ('<w:Password a="b">c, d</w:Password> e', '<w:Password a="b">~ e'),
        ('<user a="b">c</user>', '<user a="b">c</user>'),
        ("password:\n  - x\n  - y\ncity: 1", "password:\n  ~\ncity: 1"),
        ("password:\n  a: x\n  b: y", "password:\n  ~"),
        ("password:\n  x\n  y", "password:\n  ~\n  y"),
        ("password:\n- x\n- y\ncity: 1", "password:\n~\ncity: 1"),
        (
            "a:\n  password:\n  - b: x\n    c: y\n  - z\n  d: 1",
            "a:\n  password:\n  ~\n  d: 1",
        ),
        ("password:\r\n- x\r\n- y\r\nd: 1", "password:\r\n~\nd: 1"),
        ("{'password': 'x '\n             'y',\n 'z': 1}", "{'password': ~,\n 'z': 1}"),
        ("'password': 'x',\n 'z': 1}", "'password': ~,\n 'z': 1}"),
        ("<password>'a', b</password> d", "<password>~ d"),
        ("password = 'a\\''b, c' and d", "password = ~ and d"),
        ("password=a).b;:c]<d, e", "password=~, e"),
        ("(password=a),(city=b)", "(password=~),(city=b)"),
        ("f(password=a). Then", "f(password=~). Then"),
        ("WHERE password LIKE 'a, b' AND c", "WHERE password LIKE ~ AND c"),
        ("password NOT IN ('a', 'b')", "password NOT IN ~"),
        ("password BETWEEN 'a' AND 'b, c' OR d", "password BETWEEN ~ OR d"),
        ("no 'password' in 'a.toml'", "no 'password' in 'a.toml'"),
        (
            "value for '--password' / '-p': 'a, b' is",
            "value for '--password' / '-p': ~ is",
        ),
        ("password: |-2 # a\r\n  x\r\n  y", "password: ~"),
        (r"'password: >\n  x\n  y'", "'password: ~"),
    ],
)
def test_end_of_a_value(text: str, told: str) -> None:
    """
    What follows a name is masked to its end, as messages of programs, logs, markup, and
    files of settings tell it; masked once more it stays as it is.
    """
    shown = Names(["password"]).masked_text(text)

    assert shown == told.replace("~", MASK)
    assert Names(["password"]).masked_text(shown) == shown


@pytest.mark.parametrize(
    "text, told",
    [
        ("Cookie: a=1; sid=x\r\nHost: h", "Cookie: ~\r\nHost: h"),
        (r"b'Cookie: a=1; sid=x\r\nHost: h'", r"b'Cookie: ~\r\nHost: h'"),
        ("Cookie: a=1; sid=x", "Cookie: ~"),
        ('Authorization: Digest a="b", response="x"\nHost', "Authorization: ~\nHost"),
        ("authorization: Bearer x==, city", "authorization: ~, city"),
    ],
)
def test_header_of_several_fields(text: str, told: str) -> None:
    """
    Of a header with several fields, cookies or a signature, the whole line is masked.
    """
    names = Names(["cookie", "authorization"])

    assert names.masked_text(text) == told.replace("~", MASK)


@pytest.mark.parametrize(
    "text, told",
    [
        (
            "[SQL: INSERT INTO u (id, password) VALUES (?, ?)]\n[parameters: (1, 'x')]",
            "[SQL: INSERT INTO u (id, password) VALUES ~",
        ),
        (
            "[SQL: SELECT u.id \nFROM u WHERE u.password IN (?)]\n[parameters: ('x',)]",
            "[SQL: SELECT u.id \nFROM u WHERE u.password IN (?)]\n[parameters: ~",
        ),
        (
            "[SQL: ... u.password = %(password_1)s]\n[parameters: {'password_1': 'x'}]",
            "[SQL: ... u.password = ~]\n[parameters: ~",
        ),
        (
            "[SQL: SELECT u.id FROM u]\n[parameters: ('x',)]",
            "[SQL: SELECT u.id FROM u]\n[parameters: ('x',)]",
        ),
        (
            "insert into u (id, city) values (1, 'x'); password=y",
            "insert into u (id, city) values (1, 'x'); password=~",
        ),
        ('<city a="b">Rome</city> password=y', '<city a="b">Rome</city> password=~'),
    ],
)
def test_statements(text: str, told: str) -> None:
    """
    Of a statement that names something masked, what stands for its marks, or in its rows,
    is masked.
    """
    assert Names(["password"]).masked_text(text) == told.replace("~", MASK)


@pytest.mark.parametrize(
    "part",
    [
        "password: ' ",
        'password=" \\" ',
        "password: \\' \\\\' ",
        "password=x,aaaa",
        "password=,;)&",
        "password>x",
        "<password a>x",
        "password: “",
        "password: &quot;\\",
        "password: “\\”\n",
        "password: “\n",
        "password='a' -> ",
        "password=http://x,",
        "(a, password ",
        "password: a=b ",
    ],
)
def test_long_messages(part: str) -> None:
    """
    A message of the most characters is masked in a time that grows as it does, not as its
    square: that would be more than a test may take.
    """
    names, text = Names(["password"]), (part * 50_000)[:100_000]

    assert len(names.masked_text(text)) < 10 * len(text)


def test_quotes_that_are_closed_nowhere() -> None:
    """
    Where a text in other quotes has no end, that is not searched for once for each.
    """
    text = "password: “, " * 300_000

    assert Names(["password"]).masked_text(text) == f"password: {MASK}"
