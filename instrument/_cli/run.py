"""
``python -m instrument run app.py``: a program as it is, heard and kept.

This process becomes the program: Python starts anew in it, with `startup` first in
``PYTHONPATH``. So all that a program can ask of itself, and how it ends, is as without.
"""

import os
import sys
from pathlib import Path

from instrument._state import DISABLED

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import NoReturn

HELP = "run a program, hear it, and keep what it does"
DESCRIPTION = (
    "Run a Python program as it is, hear the models and frameworks that it uses, and"
    " keep what they do for 7 days, in 1 GB at most. A tree of what runs is shown on"
    " standard error if that is a terminal. Python processes that it starts are heard"
    " too."
)

GIVEN = "INSTRUMENT_RUN_STORE"
"""For the program itself, not for the processes that it starts: the store's name, if
one was given."""

_STARTUP = Path(__file__).absolute().parent / "startup"
_ROOT = _STARTUP.parents[2]
_ALIKE = 0.8
_FIRST_BYTES = 4_096
_USAGE = "python -m instrument run [--store FILE] (app.py | -m module) [argument ...]"


def add_arguments(parser: "argparse.ArgumentParser") -> None:
    """
    Say what it takes; what follows the program is the program's, see `split`.
    """
    parser.usage = _USAGE
    parser.add_argument(
        "--store",
        metavar="FILE",
        help="where to keep it; by default what INSTRUMENT_STORE names, else"
        " instrument/traces.db in the user's data folder",
    )
    parser.add_argument("-m", metavar="module", dest="module", help="run a module")
    parser.add_argument("program", nargs="?", metavar="app.py", help="run a file")


def split(words: "Sequence[str]") -> "tuple[Sequence[str], Sequence[str]]":
    """
    Part the words of the command, with the program, from the program's own arguments.
    """
    at = 1
    while at < len(words):
        word = words[at]
        if word == "--":
            named = [f"./{it}" if it.startswith("-") else it for it in words[at + 1 :]]
            return [*words[:at], *named[:1]], words[at + 2 :]
        if word in ("--store", "-m"):
            at += 1
        if not word.startswith("-") or word.startswith("-m"):
            return words[: at + 1], words[at + 1 :]
        at += 1
    return words, ()


def run(parser: "argparse.ArgumentParser", arguments: "argparse.Namespace") -> None:
    """
    Become the program.
    """
    program = [*_checked_program(parser, arguments), *arguments.rest]
    command = [sys.executable, *_options(), *program]
    environment = dict(os.environ)
    if DISABLED:
        told = "INSTRUMENT_DISABLED is set: the program runs, and nobody listens"
        print(f"instrument: {told}", file=sys.stderr)
    else:
        environment |= _additions(parser, arguments.store)
    _become(command, environment)


def _checked_program(
    parser: "argparse.ArgumentParser", arguments: "argparse.Namespace"
) -> "tuple[str, ...]":
    if arguments.module is not None:
        top = arguments.module.partition(".")[0]
        if not top or not _is_importable(top):
            parser.error(f"no module {top!r} in {sys.executable}: install it there")
        return "-m", arguments.module

    path = arguments.program
    if path is None:
        parser.error(f"which program? {_USAGE}")
    why_not = _why_no_program(Path(path))
    if why_not:
        parser.error(f"cannot run {path!r}: {why_not}")
    return (path,)


def _is_importable(name: str) -> bool:
    from importlib.util import find_spec

    before = sys.path[0:1]
    sys.path[0:1] = [str(Path.cwd())]  # which Python has there for `-m`
    try:
        return find_spec(name) is not None
    except ValueError:  # __main__
        return True
    finally:
        sys.path[0:1] = before


def _why_no_program(path: Path) -> str | None:
    try:
        if path.is_dir():
            return _why_no_folder(path)
        with path.open("rb") as file:
            head = file.read(_FIRST_BYTES)
    except FileNotFoundError:
        return _why_no_file(path)
    except OSError as exc:
        return str(exc.strerror)
    first = head.partition(b"\n")[0]
    if first.startswith(b"#!") and b"python" not in first:
        return f"it is no Python: it begins with {first[:80].decode(errors='replace')}"
    if b"\0" in head and not (head.startswith(b"PK") or path.suffix == ".pyc"):
        return "it is no Python: it holds bytes that are no text"
    return None


def _why_no_folder(path: Path) -> str | None:
    if (path / "__main__.py").exists():
        return None
    return "it is a folder without __main__.py; name a file, or -m a module"


def _why_no_file(path: Path) -> str:
    from difflib import get_close_matches
    from shutil import which

    if not path.parent.is_dir():
        return f"there is no folder {str(path.parent)!r}"
    command = which(str(path))
    if command:
        return f"no such file; the command of that name is {command}"
    beside = [it.name for it in path.parent.glob("*.py")]
    close = get_close_matches(path.name, beside, 1, _ALIKE)
    return (
        f"no such file; did you mean {path.with_name(close[0])}?"
        if close
        else "no such file"
    )


def _options() -> "list[str]":
    """
    Give the options of Python itself that this process was started with.
    """
    words = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
    *options, _ = words or [""]  # the script, or the module of -m
    if options and options[-1].startswith("-") and options[-1].endswith("m"):
        options[-1] = options[-1][:-1]
    return [it for it in options if it != "-"]


def _additions(
    parser: "argparse.ArgumentParser", store: str | None
) -> "dict[str, str]":
    """
    Give the environment by which the program is heard.
    """
    if sys.flags.ignore_environment or sys.flags.no_site:
        parser.error(
            "a program is heard by its environment, which Python leaves out with -I, -E"
            " and -S: do without these"
        )
    startup, known = str(_STARTUP), os.environ.get("PYTHONPATH", "")
    folders = [startup] if startup not in known.split(os.pathsep) else []
    if Path.cwd() == _ROOT and str(_ROOT) not in sys.path[1:]:  # run from a checkout
        folders.append(str(_ROOT))
    folders += filter(None, [known])
    from instrument.handlers._store.place import VARIABLE
    from instrument.handlers._store.processes import PROGRAM

    return {
        "PYTHONPATH": os.pathsep.join(folders),
        VARIABLE: _checked_store(parser, store),
        PROGRAM: os.urandom(8).hex(),
        GIVEN: store or "",
    }


def _checked_store(parser: "argparse.ArgumentParser", store: str | None) -> str:
    """
    Give where to keep it, as a whole path, if that can be done.
    """
    from instrument.exceptions import StoreError
    from instrument.handlers._store.place import checked_path, prepare
    from instrument.handlers._store.tables import check_file, check_tables

    try:
        path = checked_path(store)
        check_file(path)
        is_new = not path.exists()
        check_tables(path)
        prepare(path)
        if is_new:
            path.unlink()
    except OSError as exc:
        parser.error(
            f"cannot keep it in {str(path)!r}: {exc.strerror}. Name another file:"
            " --store FILE"
        )
    except StoreError as exc:
        parser.error(str(exc))
    return str(path)


def _become(
    command: "list[str]",
    environment: "dict[str, str]",
    *,
    can_replace: bool = os.name != "nt",
) -> "NoReturn":
    """
    Become another process; where a system does not know that, stand for it.
    """
    for stream in filter(None, (sys.stdout, sys.stderr)):  # one may be closed
        stream.flush()
    if can_replace:
        os.execve(command[0], command, environment)  # noqa: S606 - what it is for
    import subprocess

    done = subprocess.run(command, env=environment, check=False)  # noqa: S603
    raise SystemExit(done.returncode)
