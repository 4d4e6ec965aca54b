"""Only ``db`` builds statements: a query belongs where everybody finds it, and reuses it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
OUTSIDE = (
    "backup",
    "celery_app",
    "cli",
    "dashboard",
    "embedded",
    "notify",
    "policy",
    "tape",
    "tasks",
    "tools",
)

ALLOWED = {
    ("sqlalchemy", "Connection"),
    ("sqlalchemy", "make_url"),
    ("sqlalchemy.orm", "Session"),
    ("sqlalchemy.exc", "ArgumentError"),
    ("sqlalchemy.exc", "SQLAlchemyError"),
}
"""Types, addresses and errors: none of them can build a statement."""

SENDS = {"scalar", "scalars", "execute", "stream_scalars", "query"}
"""Methods of a session that send a statement; ``get``, by the primary key, has none to build."""


def test_only_db_builds_and_sends_statements() -> None:
    """Write it as a function of the room of ``db`` that it is about."""
    statements = [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for package in OUTSIDE
        for path in sorted((ROOT / package).rglob("*.py"))
        for line, what in _of_sqlalchemy(ast.parse(path.read_text("utf-8")))
    ]
    assert statements == []


def _of_sqlalchemy(module: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names if name.name.startswith("sqlalchemy"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sqlalchemy"):
            yield from (
                (node.lineno, name.name) for name in node.names if (node.module, name.name) not in ALLOWED
            )
        elif isinstance(node, ast.Attribute) and node.attr in SENDS and _is_session(node.value):
            yield node.lineno, f"session.{node.attr}"


def _is_session(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id == "session"
