"""
The text that the demo searches: docstrings of Python's standard library.

Modules are read as files and never imported: a missing one costs nothing, and nothing
of theirs runs.
"""

import ast
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# ``_py*`` and ``x._y`` hold the docstrings of modules whose front is C or an empty
# package; some exist in newer versions of Python only.
MODULES = """
    argparse ast asyncio.locks asyncio.queues asyncio.runners asyncio.streams
    asyncio.taskgroups asyncio.tasks asyncio.timeouts base64 bisect bz2 calendar cmd
    codecs collections colorsys concurrent.futures._base concurrent.futures.process
    concurrent.futures.thread configparser contextlib copy csv dataclasses datetime
    _pydatetime _pydecimal difflib doctest email.message enum filecmp fileinput
    fnmatch fractions ftplib functools getpass gettext glob graphlib gzip hashlib
    heapq hmac html.parser http.client http.server imaplib inspect io ipaddress json
    json.decoder json.encoder linecache locale logging logging.handlers lzma mailbox
    mimetypes multiprocessing.pool multiprocessing.shared_memory os pathlib
    pathlib._local pickle platform plistlib pprint queue random re sched secrets
    selectors shelve shlex shutil smtplib socket socketserver ssl stat statistics
    string subprocess tarfile tempfile textwrap threading timeit tokenize traceback
    types typing unittest.case unittest.mock urllib.parse urllib.request uuid
    warnings wave weakref webbrowser xml.etree.ElementTree zipfile
"""

_Named = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))
_TRIPLE_QUOTED = re.compile(r'("""|\'\'\')(.+?)\1', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Document:
    """
    A text and where it is from: ``metadata["source"]`` is a dotted name.
    """

    page_content: str
    metadata: dict[str, str]


def read_modules(names: str = MODULES) -> list[Document]:
    """
    Return one document per module found: its whole source, not parsed yet.

    Args:
        names: Dotted names with white space between them.

    Raises:
        FileNotFoundError: This Python came without the sources of its library.
    """
    modules = [
        Document(source, {"source": _public(name)})
        for name in names.split()
        if (source := _read(name)) is not None
    ]
    if not modules:
        raise FileNotFoundError(
            f"no source of the standard library in {str(_STANDARD_LIBRARY)!r}: "
            "the demo has nothing to search"
        )
    return modules


def overview(module: Document) -> str:
    """
    Return what stands in triple quotes: near enough to choose a module by.
    """
    return "\n\n".join(text for _, text in _TRIPLE_QUOTED.findall(module.page_content))


def docstrings(module: Document) -> list[Document]:
    """
    Return one document per docstring of a public thing in *module*.
    """
    tree = ast.parse(module.page_content)
    return list(_docstrings(tree, module.metadata["source"]))


def _docstrings(node: ast.Module | _Named, name: str) -> Iterator[Document]:
    if text := ast.get_docstring(node):
        yield Document(text, {"source": name})

    for child in node.body:
        if isinstance(child, _Named) and not child.name.startswith("_"):
            yield from _docstrings(child, f"{name}.{child.name}")


def _read(name: str) -> str | None:
    path = _STANDARD_LIBRARY.joinpath(*name.split("."))

    for file in (path.with_suffix(".py"), path / "__init__.py"):
        try:
            return file.read_text("utf-8", errors="replace")
        except OSError:  # not here: another version of Python, or one without sources
            continue
    return None


def _public(name: str) -> str:
    parts = name.removeprefix("_py").split(".")
    return ".".join(part for part in parts if not part.startswith("_"))
