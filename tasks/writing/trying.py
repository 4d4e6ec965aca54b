"""The commands of a template without a run: are they there, and do its checks succeed now?"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from celery_app.host import commands as host
from celery_app.host.commands import HostCommand
from db.models import BackupTask
from policy.errors import TapelineError
from policy.finding import Finding, PrecheckVerdict
from policy.message import M, Message
from tape.errors import CommandTimeout
from tasks.writing.commands import failed


class CommandSlow(TapelineError):
    """A check did not end within the time that somebody waits for it; a run gives it more."""


TRIED_SECONDS = 8.0
"""How long all checks together may take for somebody who waits for the answer."""


def to_try(template: BackupTask) -> dict[str, Any]:
    """The commands of a template, as a question to the worker of its drive."""
    dumps = (each["command"] for each in template.dumps)
    names = (*template.checks, *template.before, *dumps, *template.after)
    return {"named": list(dict.fromkeys(names)), "checks": list(template.checks)}


def tried(question: dict[str, Any], sources: Sequence[str]) -> list[dict[str, Any]]:
    """Without a run: why each of these commands is no good, with a remedy, and whether a run would fail for
    it."""
    wrong: list[TapelineError] = [*host.problems(question.get("named", ()))]
    ends = time.monotonic() + TRIED_SECONDS
    for name in question.get("checks", ()):
        try:
            _try(host.find(name), sources, ends - time.monotonic())
        except host.CommandUnusable:
            continue  # it is among the problems already
        except TapelineError as error:
            wrong.append(error)
    return [
        {
            "message": error.message.to_json(),
            "remedy": error.remedy.to_json() if error.remedy else None,
            "fails": not isinstance(error, CommandSlow),
        }
        for error in wrong
    ]


def _try(command: HostCommand, sources: Sequence[str], limit: float) -> None:
    environment = {"BACKUP_MOMENT": "check", "BACKUP_SOURCES": "\n".join(sources)}
    try:
        done = command.run(environment, limit=max(limit, 0.1))
    except CommandTimeout as error:
        raise CommandSlow(
            M("Command {name} takes longer than anybody waits here for a check.", name=command.name),
            M("A run gives it {seconds} s.", seconds=command.limit),
        ) from error
    if done.return_code != 0:
        raise failed(command.name, done.return_code, done.output, M("Put right what it names."))


def findings(question: dict[str, Any], at: str, answer: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    """What an answer means for a precheck. ``at``: the host that gave it."""
    for each in answer:
        verdict = PrecheckVerdict.REFUSED if each["fails"] else PrecheckVerdict.WARNING
        remedy = Message.from_json(each["remedy"]) if each["remedy"] else None
        yield Finding("commands", Message.from_json(each["message"]), verdict, remedy)
    names = question["named"]
    if names and not answer:
        yield Finding("commands", M("On {host}: {names}.", host=at, names=", ".join(names)))
