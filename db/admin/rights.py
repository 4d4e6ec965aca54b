"""The least rights that the database user of a drive host needs: whoever takes over that host has no more."""

from __future__ import annotations

import re

from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from policy.errors import TapelineError, UsageError
from policy.message import M

GROUP = "tapeline_drive_host"
"""Has the rights; the user of each drive host is a member."""

GRANTS = {
    "alembic_version": "SELECT",
    # It records when a schedule ran last; it may not change what a schedule does and a template names.
    "scheduled_tasks": "SELECT, UPDATE (last_run_time, last_success_time, last_failure_time, updated_at)",
    # A backup whose parent is gone from its tape becomes a full one there.
    "backup_tasks": "SELECT, UPDATE (state, started_at, finished_at, error, type, parent_id)",
    # It creates no runs.
    "chain_runs": "SELECT, UPDATE",
    "chain_steps": "SELECT, INSERT, UPDATE",
    # The story of a run and a permit's reasons are written once.
    "run_events": "SELECT, INSERT",
    "format_permits": "SELECT, INSERT, UPDATE (consumed_at, outcome, outcome_at)",
    "notifications": "SELECT, INSERT",
    "drives": "SELECT, INSERT, UPDATE",
    "libraries": "SELECT, INSERT, UPDATE",
    # What a robot did is entered once, and closed once. A row that a barcode made gives way to the tape's
    # own.
    "library_moves": "SELECT, INSERT, UPDATE (ended_at, outcome)",
    "processes": "SELECT, INSERT, UPDATE, DELETE",
    # Only for the copy of the database on the tape.
    "alive_pings": "SELECT",
    # What is done on its command line is entered, and nothing of it taken back.
    "audit_entries": "SELECT, INSERT, UPDATE (outcome, outcome_at)",
    "command_brackets": "SELECT, INSERT, UPDATE",
    "drive_checks": "SELECT, UPDATE (answer)",
    "erasable_tapes": "SELECT, INSERT, UPDATE (ended_at, permit_id)",
    "mount_failures": "SELECT, INSERT, UPDATE, DELETE",
    "clock_marks": "SELECT, INSERT, UPDATE (seen_at)",
    # It may freeze, but not lift a freeze.
    "freezes": "SELECT, INSERT",
    "tape_pools": "SELECT, INSERT",
    "tape_cartridges": "SELECT, INSERT, UPDATE",
    "backup_sets": "SELECT, INSERT, UPDATE",
    # An import removes archives that were written again, and enters others where they are found.
    "backup_archives": "SELECT, INSERT, UPDATE (cartridge_id, generation), DELETE",
    "archive_copies": "SELECT, INSERT, UPDATE, DELETE",
    "backup_files": "SELECT, INSERT, DELETE",
}

NEW_PARTITION = "add_partition_of_files(text)"

_ROLE = re.compile(r"[a-z_][a-z0-9_]{0,62}")


class MayNotGrant(TapelineError):
    """The database user of this host may not create others."""


def apply(session: Session) -> None:
    """Give the group exactly these rights, and create it if it is missing. Raises MayNotGrant."""
    schema = session.scalar(text("SELECT quote_ident(current_schema())"))
    statements = [f"GRANT USAGE ON SCHEMA {schema} TO {GROUP}"]
    statements += [f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {GROUP}"]
    statements += [f"GRANT {rights} ON {table} TO {GROUP}" for table, rights in GRANTS.items()]
    statements += [f"GRANT EXECUTE ON FUNCTION {NEW_PARTITION} TO {GROUP}"]
    if not _exists(session, GROUP):
        statements.insert(0, f"CREATE ROLE {GROUP} NOLOGIN")
    _execute(session, statements)


def refresh(session: Session) -> None:
    """After the tables have changed: as ``apply``, if any drive host has a user of its own."""
    if _exists(session, GROUP):
        apply(session)


def give(session: Session, role: str, password: str) -> None:
    """Create the user of a drive host, or give it another password. Raises UsageError, MayNotGrant."""
    if not _ROLE.fullmatch(role) or role == GROUP:
        raise UsageError(
            M("'{role}' is no name for a database user here.", role=role),
            M("Use lower-case letters, digits and '_'."),
        )
    apply(session)
    make = "ALTER" if _exists(session, role) else "CREATE"
    quoted = session.scalar(text("SELECT quote_literal(:password)"), {"password": password})
    options = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE"
    _execute(session, [f"{make} ROLE {role} {options} PASSWORD {quoted}", f"GRANT {GROUP} TO {role}"])


def _exists(session: Session, role: str) -> bool:
    return bool(session.scalar(text("SELECT count(*) FROM pg_roles WHERE rolname = :role"), {"role": role}))


def _execute(session: Session, statements: list[str]) -> None:
    try:
        for statement in statements:
            session.connection().exec_driver_sql(statement.replace("%", "%%"))
    except ProgrammingError as error:
        if getattr(error.orig, "pgcode", None) != "42501":
            raise
        raise MayNotGrant(
            M("This host's database user may not make others."),
            M("Give it that right (ALTER ROLE … CREATEROLE), or run the command as the owner of the tables."),
        ) from error
