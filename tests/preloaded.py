"""The command line in a process of its own that begins with everything imported.

A whole second of every ``tapeline`` goes into imports, and the tests give a thousand commands. Each is a new
process here too, forked from one that has imported ``cli.main`` and has run nothing of it.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["cli.main", "babel.dates", "tests.preloaded"])


def tapeline(
    arguments: Sequence[str], *, environment: Mapping[str, str], folder: Path, limit: float
) -> subprocess.CompletedProcess[str]:
    """How a command ended and what it printed. Raises TimeoutExpired after ``limit`` seconds."""
    with TemporaryDirectory(prefix="tl-") as kept:
        process = _forks.Process(target=_run, args=(list(arguments), dict(environment), folder, Path(kept)))
        process.start()
        process.join(limit)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(
                list(arguments), limit, _said(kept, "stdout"), _said(kept, "stderr")
            )
        code = process.exitcode
        process.close()
        return subprocess.CompletedProcess(
            list(arguments), code, _said(kept, "stdout"), _said(kept, "stderr")
        )


def _said(kept: str, stream: str) -> str:
    path = Path(kept, stream)
    return path.read_text("utf-8") if path.exists() else ""


def _run(arguments: list[str], environment: dict[str, str], folder: Path, kept: Path) -> None:
    """As the installed program begins: its arguments, its environment, its folder, its three streams."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, stream in ((1, "stdout"), (2, "stderr")):
        written = os.open(kept / stream, os.O_WRONLY | os.O_CREAT)
        os.dup2(written, number)
        os.close(written)
    sys.argv = ["tapeline", *arguments]
    warnings.simplefilter("ignore")
    # Here, not above: what began this process has it, and whoever collects the tests does without.
    from cli.main import main

    main()
