"""One name for one thing: what a type is called means the same in every room."""

from __future__ import annotations

import ast
from collections import defaultdict

from tests.unit.test_rooms import PACKAGES, ROOT

SHARED = {
    "Drive": "The contract of the drivers (tape.drive) and the row (db.models): one drive, seen twice.",
}
"""Names that two types may have, and why."""


def places() -> dict[str, set[str]]:
    """By the name of a class or of a type's alias, the files that define it. A file may do so once for each
    platform."""
    files: dict[str, set[str]] = defaultdict(set)
    for file in (file for package in PACKAGES for file in package.rglob("*.py")):
        tree = ast.parse(file.read_text("utf-8"))
        classes = [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        for name in (*classes, *aliases(tree)):
            files[name].add(file.relative_to(ROOT).as_posix())
    return files


def aliases(tree: ast.Module) -> list[str]:
    """The names in capitals and small letters that a module assigns: those of its types."""
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    return [name for name in names if name.lstrip("_")[:1].isupper() and not name.isupper()]


def test_no_two_types_have_the_same_name() -> None:
    """A reader who has met a name knows what it is; give the other thing a more precise one."""
    doubled = {name: sorted(files) for name, files in places().items() if len(files) > 1}
    assert {name: files for name, files in doubled.items() if name not in SHARED} == {}


def test_every_exception_is_still_one() -> None:
    assert {name for name, files in places().items() if len(files) > 1} >= SHARED.keys()
