"""The command line, kept open: a test that gives many commands loads the program once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

_LOOP = """
import json, sys
from cli.main import main
for line in sys.stdin:
    sys.argv = ["tapeline", *json.loads(line)]
    code = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    sys.stdout.write(f"\\n\\0{code}\\n")
    sys.stdout.flush()
"""


class Shell:
    """``tapeline`` with one command after the other, in one process."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LOOP],
            env={**environment, "PYTHONWARNINGS": "ignore"},
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Shell:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=20)

    def run(self, *arguments: str) -> tuple[int, str]:
        """The exit code of a command and what it printed."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        said = []
        for line in self._process.stdout:
            if line.startswith("\0"):
                return int(line[1:]), "".join(said)
            said.append(line)
        raise AssertionError(f"the shell died in {arguments}: {''.join(said)}")

    def json(self, *arguments: str) -> tuple[int, Any]:
        """The exit code of a command and the JSON that it printed."""
        code, said = self.run(*arguments, "--json")
        return code, json.loads(said)
