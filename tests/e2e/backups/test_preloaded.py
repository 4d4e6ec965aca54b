"""The way in which the tests give their commands is that of the program which is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.preloaded import tapeline
from tests.system import System


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["runs", "list"],
        ["schedule", "list", "--json"],
        ["runs", "show", "7"],
        ["runs", "--nonsense"],
        [],
    ],
)
def test_a_command_is_the_same_as_that_of_the_installed_program(system: System, words: list[str]) -> None:
    """The same lines on both streams, and the same exit code, in the language that is set."""
    system.schedule("monthly", system.folder)
    environment = {**system.environment, "TAPELINE_LANGUAGE": "zh_CN", "PYTHONWARNINGS": "ignore"}
    done = tapeline(words, environment=environment, folder=system.folder, limit=30)
    program = Path(sys.executable).parent / "tapeline"
    real = subprocess.run(
        [program, *words], env=environment, cwd=system.folder, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == (real.stdout, real.stderr, real.returncode)
    assert done.stdout + done.stderr


def test_a_command_that_takes_too_long_is_ended(system: System) -> None:
    """No test waits for ever, and what was printed until then is told."""
    words = ["health", "tape"]
    with pytest.raises(subprocess.TimeoutExpired):
        tapeline(words, environment=system.environment, folder=system.folder, limit=0.001)
