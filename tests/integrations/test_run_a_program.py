"""
``python -m instrument run`` of a program that uses an SDK, and does not know of us.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("openai")

if TYPE_CHECKING:
    from tests.integrations.provider import Provider

PROGRAM = """
import openai
client = openai.OpenAI()
messages = [{"role": "user", "content": "Hi"}]
answer = client.chat.completions.create(model="m", messages=messages)
print(answer.choices[0].message.content)
"""


def test_program_that_imports_an_sdk_first(
    provider: "Provider", tmp_path: Path
) -> None:
    """
    A program that imports ``openai`` first is heard; before Python 3.12 what is said is
    how it can be.
    """
    (tmp_path / "app.py").write_text(PROGRAM)
    environment = os.environ | {
        "INSTRUMENT_STORE": str(tmp_path / "own.db"),
        "OPENAI_API_KEY": "k",
        "OPENAI_BASE_URL": f"{provider.url}/v1",
    }

    alone, heard = (
        subprocess.run(
            [sys.executable, *words, "app.py"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        for words in ([], ["-m", "instrument", "run"])
    )

    assert heard.stdout == alone.stdout
    if sys.version_info >= (3, 12):
        first, second = heard.stderr.splitlines()
        assert first.startswith("instrument: 1 request, 1 model call, 11 in, 4 out")
        assert second == "instrument: all of them: python -m instrument view"
    else:
        assert "sys.monitoring needs Python 3.12" in heard.stderr
        assert "wrap(client) works everywhere." in heard.stderr
        assert "instrument: nothing was heard" in heard.stderr
