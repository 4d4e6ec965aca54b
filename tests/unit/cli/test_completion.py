"""The tab key: what it offers, and that it is there at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

_COMPLETE = """
import os, sys
os.environ |= {"_TAPELINE_COMPLETE": "complete_bash", "COMP_WORDS": sys.argv[1], "COMP_CWORD": sys.argv[2]}
sys.argv = ["tapeline"]
from cli.main import main
try:
    main()
finally:
    sys.stderr.write(" ".join(sorted(sys.modules)))
"""


def offered(words: str) -> tuple[list[str], set[str]]:
    """What is offered for the last word, and the modules that this took."""
    done = subprocess.run(
        [sys.executable, "-c", _COMPLETE, words, str(len(words.split(" ")) - 1)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.stdout.split(), set(done.stderr.split())


@pytest.mark.parametrize(
    ("words", "names"),
    [("tapeline sche", ["schedule"]), ("tapeline schedule ru", ["run"]), ("tapeline sets sh", ["show"])],
)
def test_names_are_offered(words: str, names: list[str]) -> None:
    assert offered(words)[0] == names


def test_the_names_of_all_commands_take_none_of_them() -> None:
    found, modules = offered("tapeline ")
    assert {"status", "runs", "report"} <= set(found)
    assert not {name for name in modules if name.startswith(("cli.commands", "celery_app", "sqlalchemy"))}
