"""The commands of this host's tapeline.toml: can they be started, and do templates name others?"""

from __future__ import annotations

import shlex
import socket
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from celery_app import settings, wiring
from celery_app.host import commands
from cli.host.drive_checks import Check
from db.models import Drive
from db.schedules import schedules
from policy.errors import TapelineError, UsageError
from policy.message import M, Message
from policy.schedule.file import WantedSchedule

COLUMNS = ("checks", "before", "dumps", "after")
FIELDS = ("check", "before", "sources", "after")
"""Where a template names commands: its columns, and the fields of the file in the same order."""


def checks() -> Iterator[Check]:
    """For ``tapeline doctor``: each command of this host, then what the schedules of its drives name."""
    for name in sorted(settings.load().commands):
        yield M("Command {name}", name=name), partial(_command, name)
    yield M("Commands of schedules"), _of_schedules


def _command(name: str) -> Message:
    command = commands.find(name)
    user = settings.load().commands[name].user
    facts = {"argv": shlex.join(command.argv), "seconds": command.limit}
    if user is not None:
        return M("{argv}; at most {seconds} s, as {user}", user=user, **facts)
    return M("{argv}; at most {seconds} s", **facts)


def _of_schedules() -> Message:
    with wiring.database().transaction() as session:
        here = [row for row in schedules.present(session) if is_of_this_host(session, row.drive)]
        named = {row.name: _named({each: getattr(row.template, each) for each in COLUMNS}) for row in here}
    for schedule, fields in named.items():
        _check(schedule, fields)
    names = sorted({name for fields in named.values() for each in fields.values() for name in each})
    return M("{names}", names=", ".join(names)) if names else M("no schedule of this host's drives names any")


def is_of_this_host(session: Session, drive: str) -> bool:
    """Whether this host's file is the one that says what the commands of a drive are."""
    registered = session.get(Drive, drive)
    if registered is not None:
        return registered.host == socket.gethostname()
    return drive in settings.load().drives


def check_wanted(session: Session, wanted: WantedSchedule) -> None:
    """For ``schedule apply``: the commands of a schedule whose drive is on this host. Raises UsageError that
    names the field. On any other host nobody can know; the precheck at the drive does."""
    if is_of_this_host(session, wanted.schedule["drive"]):
        _check(wanted.name, _named(wanted.template))


def _named(template: Mapping[str, Any]) -> dict[str, list[str]]:
    """By field, the commands that the columns of a template name."""
    dumps = [each["command"] for each in template["dumps"]]
    return dict(zip(FIELDS, (template["checks"], template["before"], dumps, template["after"]), strict=True))


def _check(schedule: str, fields: dict[str, list[str]]) -> None:
    for field, names in fields.items():
        try:
            commands.check(names)
        except TapelineError as error:
            where = f"schedules.{schedule}.backup.{field}"
            raise UsageError(
                M("{where}: {problem}", where=where, problem=error.message.to_json()), error.remedy
            ) from error
