"""One name for one thing: what a class is called means the same in every room."""

from __future__ import annotations

import ast
from collections import defaultdict

from tests.unit.test_rooms import PACKAGES, ROOT

SHARED = {
    "Drive": "The contract of the drivers (tape.drive) and the row (db.models): one drive, seen twice.",
}
"""Names that two classes may have, and why."""


def places() -> dict[str, set[str]]:
    """By the name of a class, the files that define it. A file may do so once for each platform."""
    files: dict[str, set[str]] = defaultdict(set)
    for file in (file for package in PACKAGES for file in package.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                files[node.name].add(file.relative_to(ROOT).as_posix())
    return files


def test_no_two_classes_have_the_same_name() -> None:
    """A reader who has met a name knows what it is; give the other thing a more precise one."""
    doubled = {name: sorted(files) for name, files in places().items() if len(files) > 1}
    assert {name: files for name, files in doubled.items() if name not in SHARED} == {}


def test_every_exception_is_still_one() -> None:
    assert {name for name, files in places().items() if len(files) > 1} >= SHARED.keys()
