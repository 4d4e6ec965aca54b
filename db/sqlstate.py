"""The meaning of a PostgreSQL error: the server is unavailable, cannot work just now, or refuses."""

from __future__ import annotations

import psycopg2

_AWAY = ("08", "57P")
"""The connection fails; the server ends, starts, or has crashed."""
_PASSING = ("40", "53", "55P03", "25P03")
"""Two transactions block each other; memory, disk or connections are used up; a lock is taken; a transaction
was idle. A statement that takes too long would take as long again."""


def is_away(error: BaseException | None) -> bool:
    """Whether the server cannot be reached, which it cannot have reported itself."""
    if not isinstance(error, psycopg2.Error):
        return False
    if error.pgcode is None:
        # A connection that breaks in the middle of a COPY raises an error of no particular kind.
        broken = type(error) is psycopg2.DatabaseError
        return broken or isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
    return error.pgcode.startswith(_AWAY)


def passes(error: BaseException | None) -> bool:
    """Whether the server is there, and the same request may succeed later."""
    code = getattr(error, "pgcode", None)
    return code is not None and code.startswith(_PASSING)


def reason(error: BaseException | None) -> str:
    """The server's report, in one line."""
    return " ".join(str(error).split())


def is_too_long(error: BaseException | None) -> bool:
    """Whether a statement was stopped at its time limit."""
    return getattr(error, "pgcode", None) == "57014"
