"""Which commands change something: those are entered in the audit, with who gave them from where."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import structlog
import typer

from cli import person
from db.admin import audit
from db.admin.audit import Outcome
from db.engine import Database
from policy.errors import TapelineError

log = structlog.get_logger("tapeline.audit")

CHANGES = frozenset(
    {
        "freeze",
        "unfreeze",
        "run",
        "migrate",
        "runs retry",
        "runs accept",
        "runs dismiss",
        "runs cancel",
        "sets restore",
        "sets verify",
        "sets expire",
        "sets copy",
        "tape mark",
        "tape import",
        "tape register",
        "tape label",
        "tape erasable",
        "drive load",
        "drive eject",
        "drive check",
        "drive rights",
        "schedule enable",
        "schedule disable",
        "schedule run",
        "schedule apply",
        "library load",
        "library unload",
        "library export",
        "library import",
        "library inventory",
        "database restore",
        "database release",
        "database hold",
        "clock confirm",
    }
)

SHOWS = frozenset(
    {
        "format",
        "precheck",
        "calendar",
        "status",
        "doctor",
        "settings",
        "health",
        "report",
        "audit",
        "runs",
        "runs show",
        "runs watch",
        "sets",
        "sets list",
        "sets show",
        "sets find",
        "tape list",
        "tape show",
        "tape sheet",
        "tape format",
        "drive list",
        "drive status",
        "schedule list",
        "schedule show",
        "schedule next",
        "schedule export",
        "schedule schema",
        "library list",
        "notify preview",
        "notify test",
        "notify channels",
        "notify templates",
        "database dump",
        # Services: they do what others request.
        "up",
        "worker",
        "beat",
        "flower",
    }
)

_PASSWORD = re.compile(r"(://[^:/@\s]*):[^@\s]*@")

_entered = False


def entered_command(words: Sequence[str]) -> str | None:
    """The command line as it is entered, without passwords; None for one that changes nothing."""
    given = list(words)
    while given and given[0].startswith("-"):
        del given[0]
    if "--dry-run" in given or "--help" in given:
        return None
    if not {given[0] if given else "", " ".join(given[:2])} & CHANGES:
        return None
    return "tapeline " + " ".join(_PASSWORD.sub(r"\1:***@", each) for each in given)


@contextmanager
def entered(database: Database) -> Iterator[None]:
    """Enter the command of this process before it acts, and afterwards how it ended."""
    global _entered  # noqa: PLW0603 - a command may open the database twice
    what = None if _entered else entered_command(sys.argv[1:])
    if what is None:
        yield
        return
    _entered = True
    with database.transaction() as session:
        number = audit.enter(session, who=person.name(), origin=_origin(), what=what)
    try:
        yield
    except typer.Exit as end:
        # Skipped, or waiting for an operator: what was requested is done.
        _settle(database, number, Outcome.FAILED if end.exit_code in {1, 2} else Outcome.DONE)
        raise
    except Exception:
        _settle(database, number, Outcome.FAILED)
        raise
    _settle(database, number, Outcome.DONE)


def note(database: Database) -> None:
    """Enter the command of this process after it is done: there was no database to enter it in before."""
    what = entered_command(sys.argv[1:])
    if what is not None:
        with database.transaction() as session:
            audit.enter(session, who=person.name(), origin=_origin(), what=what, outcome=Outcome.DONE)


def _settle(database: Database, number: int, outcome: Outcome) -> None:
    """An outcome that cannot be entered changes nothing about the command's own."""
    try:
        with database.transaction() as session:
            audit.settle(session, number, outcome)
    except TapelineError as error:
        log.warning("the outcome cannot be entered in the audit", entry=number, error=str(error))


def _origin() -> str:
    """The host, and at a terminal who logged in there, which sudo does not change."""
    return " ".join([socket.gethostname(), *_terminal()])


def _terminal() -> list[str]:
    with suppress(OSError, AttributeError):
        return _seen_at(os.ttyname(sys.stdin.fileno()).removeprefix("/dev/"))
    return []


def _seen_at(terminal: str) -> list[str]:
    import psutil  # noqa: PLC0415 - only commands that change something need it

    logins = [each for each in psutil.users() if each.terminal == terminal]
    return [terminal, *(f"{each.name} ({each.host})" if each.host else each.name for each in logins)]
