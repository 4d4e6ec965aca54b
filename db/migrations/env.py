"""Run by Alembic: migrates over the connection from db.engine."""

from __future__ import annotations

from typing import Any

from alembic import context

from db.models import Base


def is_ours(_object: Any, name: str | None, kind: str, reflected: bool, _compare_to: Any) -> bool:
    """Ignore the partitions of backup_files: they come and go with the sets."""
    partition = reflected and (name or "").startswith("backup_files_")
    return not (kind in {"table", "index"} and partition)


def configure() -> None:
    """Over a connection; without one only the statements are wanted, not their transaction."""
    if context.is_offline_mode():
        context.configure(dialect_name="postgresql", target_metadata=Base.metadata, transactional_ddl=False)
    else:
        context.configure(
            connection=context.config.attributes["connection"],
            target_metadata=Base.metadata,
            include_object=is_ours,
            compare_server_default=True,
        )


configure()
with context.begin_transaction():
    context.run_migrations()
