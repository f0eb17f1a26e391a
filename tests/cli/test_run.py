"""
``python -m instrument run``: the program is as without, and what it does is kept.
"""

import os
import re
import runpy
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from shutil import which
from types import SimpleNamespace
from typing import Any

import pytest

from instrument import callbacks, cli, traced
from instrument._cli import run
from instrument._hearing.targets import ADAPTERS
from instrument.handlers import StoreHandler

pytestmark = pytest.mark.wide

LONG = "x" * 300 + ".py"
"""A name of which a system says, as of a folder that it will not open, no more than that."""

Kept = Callable[[], list[tuple[str, str, str | None]]]

ANSWERS = """
from instrument import current_run, traced
@traced.chat_model(model="fake-1", provider="nobody")
def ask(question):
    current_run().record_usage(input_tokens=1240, output_tokens=310, cost_usd=0.0021)
    return f"an answer to {question}"
@traced.tool
def fail(question):
    raise ValueError("the service is down")
"""

AS_WITHOUT = {
    "what it asks of itself": """
import os, pickle, sys
from pathlib import Path
class Own: pass
print(sys.argv, sys.orig_argv[1:], __name__, __file__, __spec__, sys.path[0], sys.flags)
print(pickle.loads(pickle.dumps(Own())).__class__ is Own, sys.modules["__main__"].Own)
print([it for it in sys.path if "startup" in it], sys.meta_path[-1], sys.stdin.read())
print(sorted(set(os.environ) - {"INSTRUMENT_RUN", "PYTHONPATH"}))
""",
    "an exception": """
def outer(): inner()
def inner(): 1 / 0
outer()
""",
    "an exit with a text": "import sys; sys.exit('no such thing')",
    "an exit with a number": "raise SystemExit(3)",
    "an exit at once": "import os; print('here', flush=True); os._exit(7)",
    "killed by a signal": "import os; os.kill(os.getpid(), 15)",
    "Ctrl-C": "import os, signal; os.kill(os.getpid(), signal.SIGINT)",
    "Ctrl-C after something was heard": """
import os, signal
from instrument import traced
traced.tool(print)("here")
os.kill(os.getpid(), signal.SIGINT)
""",
    "threads, and what is done at exit": """
import atexit, threading, time
atexit.register(print, "second at exit")
atexit.register(print, "first at exit")
def work():
    threading.main_thread().join()
    print("the thread went on")
threading.Thread(target=work).start()
print("main is through")
""",
    "asyncio": """
import asyncio
async def main():
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(0))
    raise KeyError("lost")
asyncio.run(main(), debug=True)
""",
}


def without_ours(text: str) -> str:
    """
    Leave out the last lines, which are ours.
    """
    return "".join(
        line for line in text.splitlines(True) if not line.startswith("instrument: ")
    )


@pytest.mark.parametrize("name", list(AS_WITHOUT))
def test_program_is_as_without(name: str, shell: Any, tmp_path: Path) -> None:
    """
    A program is told, says and ends as it does without ``run``, signals included.
    """
    (tmp_path / "app.py").write_text(AS_WITHOUT[name])
    words = "app.py", "--store", "-m", "a b"

    alone = shell(*words, input="given")
    heard = shell("-m", "instrument", "run", *words, input="given")

    assert heard.returncode == alone.returncode
    assert heard.stdout == alone.stdout
    assert without_ours(heard.stderr) == alone.stderr


def test_module_is_as_without(shell: Any, tmp_path: Path) -> None:
    """
    ``-m`` runs a module of a package, with options of Python itself.
    """
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "names.py").write_text("NAME = 'travel'")
    (package / "tool.py").write_text(
        "import sys\nfrom .names import NAME\n"
        "print(NAME, __spec__.name, __package__, sys.argv[1:], sys.path[0], sys.flags)"
    )
    words = "-m", "shop.tool", "-x", "--help"

    alone = shell("-X", "dev", "-b", *words)
    heard = shell("-X", "dev", "-bm", "instrument", "run", *words)

    assert (heard.stdout, heard.returncode) == (alone.stdout, 0)


def test_last_lines(program: Any, kept: Kept, tmp_path: Path) -> None:
    """
    What the program did is kept; standard error says last what it came to, and how to
    see it.
    """
    done = program(
        f"{ANSWERS}\nfor each in 'abc': ask(each)\ntry: fail('d')\nexcept ValueError: 0"
    )

    assert done.stdout == ""
    assert re.sub("[0-9a-f]{6}", "7c02d4", done.stderr).splitlines() == [
        "instrument: 4 requests, 1 failed, 3 model calls, 3,720 in, 930 out, $0.0063",
        "instrument: what failed: python -m instrument show 7c02d4",
        "instrument: all of them: python -m instrument view",
    ]
    assert kept() == [
        *(("ask", "ok", said) for said in "abc"),
        ("fail", "error", "d"),
    ]
    assert (tmp_path / "own.db").stat().st_mode & 0o777 == 0o600


def test_named_store(shell: Any, tmp_path: Path) -> None:
    """
    With ``--store`` it is kept there, and the last lines name it; of several that have
    failed they name the way to all.
    """
    (tmp_path / "app.py").write_text(
        ANSWERS + "for _ in '12':\n try: fail(1)\n except ValueError: 0"
    )

    done = shell("-m", "instrument", "run", "--store", "a b.db", "app.py")

    assert (tmp_path / "a b.db").exists()
    assert not (tmp_path / "own.db").exists()
    assert done.stderr.splitlines() == [
        "instrument: 2 requests, 2 failed",
        "instrument: what failed: python -m instrument show --errors --store 'a b.db'",
        "instrument: all of them: python -m instrument view 'a b.db'",
    ]


def test_nothing_heard(program: Any, tmp_path: Path) -> None:
    """
    Where nothing was heard that is said, with what tells why, and no file is made.
    """
    done = program("import sys; print('instrument' in sys.modules)")

    assert done.stdout == "True\n"
    assert done.stderr == (
        "instrument: nothing was heard; what can be: python -m instrument status\n"
    )
    assert not (tmp_path / "own.db").exists()


def test_no_standard_error(shell: Any, tmp_path: Path) -> None:
    """
    Where the shell has closed standard error nothing is said anywhere else.
    """
    (tmp_path / "app.py").write_text(ANSWERS + "ask('a')")
    command = '"$0" -m instrument run app.py 2>&-'

    done = subprocess.run(
        ["sh", "-c", command, sys.executable],
        cwd=tmp_path,
        env=os.environ | {"INSTRUMENT_STORE": str(tmp_path / "own.db")},
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    )

    assert done.stdout == b""


CHILDREN = f"""
import multiprocessing, os, subprocess, sys
{ANSWERS}
if __name__ == "__main__":
    for how in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(how)
        with context.Pool(1) as pool:
            pool.map(ask, [f"pool by {{how}}"])
        process = context.Process(target=ask, args=[f"process by {{how}}"])
        process.start()
        process.join()
    child = "from app import ask; ask('child')"
    looks = "from importlib.util import find_spec; find_spec('instrument')"
    subprocess.run([sys.executable, "-c", f"{{looks}}; {{child}}"], check=True)
    subprocess.run([sys.executable, "-Ic", f"import sys; sys.path.append('.'); {{child}}"])
    if os.fork() == 0:
        ask("fork")
        sys.exit()
    os.wait()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_child_processes(program: Any, kept: Kept) -> None:
    """
    What child processes do is kept in the same store, to the last event, and counted;
    but for those that leave the environment out.
    """
    done = program(CHILDREN)

    said = Counter(it[2] for it in kept())
    assert said == Counter(
        [
            *(f"{what} by {how}" for how in ("fork", "spawn", "forkserver")
              for what in ("pool", "process")),
            *("child", "fork"),
        ]
    )  # fmt: skip
    assert done.stderr.splitlines()[-2].startswith("instrument: 8 requests, 8 model")


def test_child_that_hears_nothing(program: Any) -> None:
    """
    A Python that imports nothing of which there is to hear loads nothing of ours.
    """
    child = (
        "import sys; print([it for it in sys.modules if 'instrument' in it], sys.path)"
    )
    done = program(
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    )

    assert done.stdout.startswith("[] [")
    assert "startup" not in done.stdout


@pytest.mark.parametrize("module", ["openai", "langchain_core.tracers.context"])
def test_child_that_imports_an_sdk(program: Any, tmp_path: Path, module: str) -> None:
    """
    A child begins to hear when it imports a package that is heard; nothing that finds
    modules stays behind for that.
    """
    path = tmp_path
    for name in module.split("."):
        path /= name
        path.mkdir()
        (path / "__init__.py").touch()
    child = (
        f"import sys; import {module}; print({module}.__file__, 'instrument.auto' in"
        " sys.modules, [it for it in sys.meta_path if '_Waiting' in repr(it)])"
    )

    done = program(
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])",
        env={"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
    )

    assert done.stdout == f"{path / '__init__.py'} True []\n"


def test_child_that_looks_for_our_package(program: Any) -> None:
    """
    A child that only looks whether our package is there begins to hear when it imports it,
    as where coverage measures it.
    """
    looks = "from importlib.util import find_spec; find_spec('instrument')"
    child = (
        f"import sys; {looks}; print('instrument' in sys.modules);"
        " import instrument; print('instrument.auto' in sys.modules,"
        " [it for it in sys.meta_path if '_Waiting' in repr(it)])"
    )

    done = program(
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    )

    assert done.stdout == "False\nTrue []\n"


def test_what_children_wait_for() -> None:
    """
    A child waits for the modules that ``instrument.auto`` waits for.
    """
    path = run._STARTUP / "sitecustomize.py"

    assert runpy.run_path(str(path))["HEARD"] == frozenset(ADAPTERS)


@pytest.mark.parametrize("then", ["", "1 / 0"])
def test_hidden_sitecustomize(program: Any, tmp_path: Path, then: str) -> None:
    """
    A ``sitecustomize`` of the application is imported as without, also where it fails.
    """
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "sitecustomize.py").write_text(
        f"print(__name__)\nNAME=1\n{then}"
    )
    known = os.environ.get("PYTHONPATH", "")

    done = program(
        f"{ANSWERS}\nimport sys; print(sys.modules.get('sitecustomize')); ask('a')",
        env={"PYTHONPATH": f"{tmp_path / 'own'}{os.pathsep}{known}"},
    )

    assert done.stdout.startswith("sitecustomize\nsitecustomize\n")
    assert ("ZeroDivisionError" in done.stderr) is bool(then)
    assert ("own" in done.stdout) is not bool(then)
    assert "instrument: 1 request, 1 model call" in done.stderr


def test_run_within_run(shell: Any, tmp_path: Path, kept: Kept) -> None:
    """
    A heard program that itself calls ``run`` is heard once.
    """
    (tmp_path / "app.py").write_text(ANSWERS + "ask('a')")
    words = "-m", "instrument", "run"

    done = shell(*words, "-m", "instrument", "run", "app.py")

    assert [it[2] for it in kept()] == ["a"]
    assert done.stderr.count("instrument: 1 request") == 1


def test_disabled(program: Any, tmp_path: Path) -> None:
    """
    With INSTRUMENT_DISABLED the program runs, nobody listens, and that is said.
    """
    done = program(ANSWERS + "print(ask('a'))", env={"INSTRUMENT_DISABLED": "1"})

    assert done.stdout == "an answer to a\n"
    assert done.stderr == (
        "instrument: INSTRUMENT_DISABLED is set: the program runs, and nobody listens\n"
    )
    assert not (tmp_path / "own.db").exists()


def test_disabled_child(program: Any, kept: Kept) -> None:
    """
    A child process that disables us is not heard.
    """
    child = "from app import ask; ask('child')"
    program(
        f"{ANSWERS}\nimport os, subprocess, sys\n"
        f"if __name__ == '__main__':\n subprocess.run([sys.executable, '-c', {child!r}],"
        " env=os.environ | {'INSTRUMENT_DISABLED': '1'})\n ask('a')"
    )

    assert [it[2] for it in kept()] == ["a"]


def test_child_with_a_bad_store(program: Any, tmp_path: Path) -> None:
    """
    A child process whose store cannot be one says so, and goes on.
    """
    child = "from app import ask; print(ask('child'))"
    done = program(
        f"{ANSWERS}\nimport os, subprocess, sys\n"
        f"if __name__ == '__main__':\n subprocess.run([sys.executable, '-c', {child!r}],"
        " env=os.environ | {'INSTRUMENT_STORE': '.'})"
    )

    assert done.stdout == "an answer to child\n"
    assert done.stderr.splitlines()[0] == (
        f"instrument: nothing is kept: a store is a file, and '{tmp_path}' is a folder."
        " Add a name to it."
    )


def test_store_that_goes_bad(program: Any) -> None:
    """
    Where the store cannot be read at the end that is said in its place.
    """
    done = program(
        f"{ANSWERS}\nask('a')\nimport atexit, os\n"
        "atexit.register(lambda: open(os.environ['INSTRUMENT_STORE'], 'w').write('x' * 200))"
    )

    last = done.stderr.splitlines()[-1]
    assert done.returncode == 0
    assert re.fullmatch(
        r"instrument: '.*own\.db' is no store\. One is made where .*", last
    )


@pytest.mark.parametrize("has_rich", [True, False])
def test_shown_on_a_terminal(
    program: Any, terminal: Any, tmp_path: Path, *, has_rich: bool
) -> None:
    """
    Where standard error is a terminal the runs are shown there, as a tree if rich is
    installed, else as lines; standard output is the program's alone.
    """
    hides = tmp_path / "hides"
    hides.mkdir()
    if not has_rich:
        (hides / "rich.py").write_text("raise ImportError")
    folders = f"{hides}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"

    done = program(
        ANSWERS + "print(ask('a'))",
        env={"PYTHONPATH": folders, "TERM": "xterm", "NO_COLOR": "1"},
        capture_output=False,
        stdout=subprocess.PIPE,
        stderr=terminal.theirs,
    )

    shown = terminal.text()
    assert done.stdout == "an answer to a\n"
    assert ("✓ chat_model ask" in shown) is has_rich
    assert ("< chat_model ask" in shown) is not has_rich
    assert "instrument: 1 request, 1 model call, 1,240 in, 310 out, $0.0021" in shown


def test_demo_shows_one_tree(shell: Any, terminal: Any) -> None:
    """
    The demo, run so, shows one tree and not two.
    """
    pytest.importorskip("rich")
    words = "-m", "instrument", "run", "-m", "instrument", "demo"
    there = terminal.theirs

    done = shell(
        *words,
        env={"TERM": "xterm", "NO_COLOR": "1"},
        capture_output=False,
        stdout=there,
        stderr=there,
    )

    shown = terminal.text()
    assert done.returncode == 0
    assert shown.count("✓ agent answer") == 1
    assert "Now yours:  python -m instrument run your_program.py" in shown


@pytest.mark.parametrize(
    "words, error",
    [
        ([], "which program? python -m instrument run [--store FILE] (app.py | -m module) [argument ...]"),
        (["--"], "which program? python -m instrument run [--store FILE] (app.py | -m module) [argument ...]"),
        (["nosuch.py"], "cannot run 'nosuch.py': no such file"),
        (["shoq.py"], "cannot run 'shoq.py': no such file; did you mean shop.py?"),
        (["sh"], "cannot run 'sh': no such file; the command of that name is {sh}"),
        (["no/app.py"], "cannot run 'no/app.py': there is no folder 'no'"),
        (["."], "cannot run '.': it is a folder without __main__.py; name a file, or -m a module"),
        (["script"], "cannot run 'script': it is no Python: it begins with #!/bin/sh"),
        (["binary"], "cannot run 'binary': it is no Python: it holds bytes that are no text"),
        (["shop.py/x"], "cannot run 'shop.py/x': Not a directory"),
        (["--", "-x.py"], "cannot run './-x.py': no such file"),
        (["-m", "nosuch.sub"], "no module 'nosuch' in {python}: install it there"),
        (["-m", ".sub"], "no module '' in {python}: install it there"),
        (["-m"], "argument -m: expected one argument"),
        (["--stor", "x", "shop.py"], "unknown option '--stor': did you mean --store?"),
        (["-c", "shop.py"], "unknown option '-c': see python -m instrument run --help"),
        (["--store", ".", "shop.py"], "a store is a file, and '{here}' is a folder. Add a name to it."),
        (["--store", LONG, "shop.py"], "cannot keep it in '{here}/{long}': File name too long. Name another file: --store FILE"),
        ([LONG], "cannot run '{long}': File name too long"),
        (["--store", "shop.py/x", "shop.py"], "cannot keep it in '{here}/shop.py/x': Not a directory. Name another file: --store FILE"),
    ],
)  # fmt: skip
def test_wrong_usage(
    words: list[str],
    error: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """
    What cannot be run, or kept, is told in one line with the cure.
    """
    monkeypatch.chdir(tmp_path)
    Path("shop.py").write_text("pass")
    Path("script").write_text("#!/bin/sh\nls")
    Path("binary").write_bytes(b"\x7fELF\0")

    with pytest.raises(SystemExit) as exit_info:
        cli.main(["run", *words])

    known = {"sh": which("sh"), "python": sys.executable, "here": Path.cwd()}
    known["long"] = LONG
    assert exit_info.value.code == 2
    assert capsys.readouterr().err == f"instrument: error: {error.format(**known)}\n"


def test_store_that_is_none(shell: Any, tmp_path: Path) -> None:
    """
    A file that is no store is refused, and left as it is.
    """
    app = tmp_path / "app.py"
    app.write_text("pass")
    mode = app.stat().st_mode

    done = shell("-m", "instrument", "run", "--store", "app.py", "app.py")

    assert done.returncode == 2
    assert f"'{app}' is no store" in done.stderr
    assert (app.read_text(), app.stat().st_mode) == ("pass", mode)


def test_database_of_others(shell: Any, tmp_path: Path) -> None:
    """
    A database of another program is refused before the program runs.
    """
    (tmp_path / "app.py").write_text("print('ran')")
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE theirs (x)")

    done = shell("-m", "instrument", "run", "--store", "other.db", "app.py")

    assert (done.returncode, done.stdout) == (2, "")
    assert "other.db' is no store" in done.stderr


class Became(Exception):  # noqa: N818
    """
    What a process became instead of this one.
    """


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Have nothing replaced: tell instead by what.
    """

    def execve(path: str, command: list[str], environment: dict[str, str]) -> None:
        raise Became(path, command, environment)

    monkeypatch.setattr(os, "execve", execve)


@pytest.mark.usefixtures("become")
@pytest.mark.parametrize(
    "before, options",
    [
        (["-m", "instrument"], []),
        (["-X", "dev", "-bm", "instrument"], ["-X", "dev", "-b"]),
        (["-minstrument"], []),
        (["-W", "error", "/bin/instrument"], ["-W", "error"]),
    ],
)
def test_options_of_python(
    monkeypatch: pytest.MonkeyPatch, before: list[str], options: list[str]
) -> None:
    """
    The options that Python itself was given are the program's, however it was called.
    """
    words = ["run", "-m", "json.tool", "--help"]
    monkeypatch.setattr(sys, "orig_argv", ["python", *before, *words])
    monkeypatch.setattr(sys, "argv", ["instrument", *words])

    with pytest.raises(Became) as became:
        cli.main(words)

    path, command, _ = became.value.args
    assert path == sys.executable
    assert command == [path, *options, "-m", "json.tool", "--help"]


@pytest.mark.usefixtures("become")
@pytest.mark.parametrize("module", ["__main__", "zipfile"])
def test_module_that_is_there(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """
    A module may be any that Python finds, also one that has no place.
    """
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    with pytest.raises(Became) as became:
        cli.main(["run", "-m", module])

    assert became.value.args[1][-2:] == ["-m", module]


@pytest.mark.usefixtures("become")
def test_disabled_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Where we are disabled the program gets the environment as it is.
    """
    monkeypatch.setattr(run, "DISABLED", True)

    with pytest.raises(Became) as became:
        cli.main(["run", "-m", "json.tool"])

    assert became.value.args[2] == dict(os.environ)
    assert "nobody listens" in capsys.readouterr().err


@pytest.mark.usefixtures("become")
def test_odd_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    A folder with ``__main__``, a zip file, a Python script of any name and one whose name
    begins with a dash are programs.
    """
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("folder/__main__.py").touch()
    Path("app.pyz").write_bytes(b"PK\3\4\0")
    Path("script").write_text("#!/usr/bin/env python3\n")
    Path("-x.py").touch()
    ran = []
    for words in (["folder"], ["app.pyz"], ["script"], ["--", "-x.py", "-m", "a"]):
        with pytest.raises(Became) as became:
            cli.main(["run", *words])
        ran.append(became.value.args[1][-len(words[-3:]) :])

    assert ran[:3] == [["folder"], ["app.pyz"], ["script"]]
    assert ran[3] == ["./-x.py", "-m", "a"]


@pytest.mark.usefixtures("become")
def test_store_that_is_to_come(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    Looking whether something can be kept leaves no file; the program is told where, as a
    whole path.
    """
    monkeypatch.chdir(tmp_path)
    Path("app.py").touch()

    with pytest.raises(Became) as became:
        cli.main(["run", "--store", "new.db", "app.py"])

    environment = became.value.args[2]
    assert environment["INSTRUMENT_STORE"] == str(Path.cwd() / "new.db")
    assert [it.name for it in tmp_path.iterdir()] == ["app.py"]


@pytest.mark.usefixtures("become")
def test_store_that_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    Looking whether something can be kept leaves a store as it is.
    """
    monkeypatch.chdir(tmp_path)
    Path("app.py").touch()
    handler = StoreHandler("own.db")
    with callbacks(handler), traced("kept"):
        pass
    assert handler.drain(20)

    with pytest.raises(Became):
        cli.main(["run", "--store", "own.db", "app.py"])

    with closing(sqlite3.connect("own.db")) as store:
        assert store.execute("SELECT name FROM runs").fetchall() == [("kept",)]


@pytest.mark.usefixtures("become")
def test_run_from_a_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where the package is found in this folder only, the program finds it too; what stood
    in PYTHONPATH comes behind.
    """
    monkeypatch.chdir(run._ROOT)
    root = str(run._ROOT)
    monkeypatch.setattr(sys, "path", ["", *(it for it in sys.path if it != root)])
    monkeypatch.setenv("PYTHONPATH", "known")

    with pytest.raises(Became) as became:
        cli.main(["run", "-m", "json.tool"])

    folders = became.value.args[2]["PYTHONPATH"].split(os.pathsep)
    assert folders == [str(run._STARTUP), root, "known"]


@pytest.mark.parametrize("option", ["-I", "-E", "-S"])
def test_python_without_environment(
    option: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Where Python was told to leave out the environment, by which a program is heard, that
    is said.
    """
    flags = {"ignore_environment": option in "-I -E", "no_site": option == "-S"}
    monkeypatch.setattr(sys, "flags", SimpleNamespace(**flags))

    with pytest.raises(SystemExit):
        cli.main(["run", "-m", "json.tool"])

    assert capsys.readouterr().err == (
        "instrument: error: a program is heard by its environment, which Python leaves"
        " out with -I, -E and -S: do without these\n"
    )


def test_where_no_process_is_replaced(capfd: pytest.CaptureFixture[str]) -> None:
    """
    Where a process cannot become another, it stands for it, and ends with its code.
    """
    code = "import os; print(os.environ['KNOWN']); raise SystemExit(5)"

    with pytest.raises(SystemExit) as exit_info:
        run._become(
            [sys.executable, "-c", code],
            dict(os.environ, KNOWN="yes"),
            can_replace=False,
        )

    assert exit_info.value.code == 5
    assert capfd.readouterr().out == "yes\n"
