"""What the database's server reports of itself."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session


def time(session: Session) -> datetime:
    """The server's clock now."""
    moment: datetime = session.scalars(select(func.clock_timestamp())).one()
    return moment


def started_at(session: Session) -> datetime:
    """Since when it has been up."""
    moment: datetime = session.scalars(select(func.pg_postmaster_start_time())).one()
    return moment


def connections(session: Session) -> tuple[int, int]:
    """How many connections clients have, and how many they may have."""
    used, most = session.execute(
        text(
            "SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),"
            " current_setting('max_connections')::int"
            " - current_setting('superuser_reserved_connections')::int"
        )
    ).one()
    return int(used), int(most)


def version(session: Session) -> str:
    """Its version, as it names it."""
    return str(session.scalars(text("SHOW server_version")).one())


def encryption(session: Session) -> str | None:
    """The version of TLS of this connection; None: it is not encrypted."""
    connection: Any = session.execute(
        text("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    ).one()
    return connection.version if connection.ssl else None
