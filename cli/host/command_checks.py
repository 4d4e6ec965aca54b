"""The commands of this host's tapeline.toml: can they be started, and do templates name others?"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from functools import partial

from celery_app import settings, wiring
from celery_app.host import commands, wanted
from cli.host.drive_checks import Check
from db.schedules import schedules
from policy.message import M, Message


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
        here = [row for row in schedules.present(session) if wanted.is_of_this_host(session, row.drive)]
        templates = {row.name: {each: getattr(row.template, each) for each in wanted.COLUMNS} for row in here}
    for schedule, template in templates.items():
        for error in wanted.wrong_commands(schedule, template):
            raise error
    used = {schedule: wanted.named(template) for schedule, template in templates.items()}
    names = sorted({name for fields in used.values() for each in fields.values() for name in each})
    return M("{names}", names=", ".join(names)) if names else M("no schedule of this host's drives names any")
