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
from tasks.writing import snapshots
from tasks.writing.sources import within
from tasks.writing.telling import failed


class CommandSlow(TapelineError):
    """A check did not end within the time that somebody waits for it; a run gives it more."""


TRIED_SECONDS = 8.0
"""How long all checks together may take for somebody who waits for the answer."""


def to_try(template: BackupTask) -> dict[str, Any]:
    """The commands of a template, as a question to the worker of its drive."""
    dumps = (each["command"] for each in template.dumps)
    names = (*template.checks, *template.before, *dumps, *template.after)
    return {
        "named": list(dict.fromkeys(names)),
        "checks": list(template.checks),
        "snapshots": snapshots.wanted(template.sources, template.source_options),
    }


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
    foreseen = _foreseen(question.get("snapshots") or {})
    return [
        *foreseen,
        *(
            {
                "message": error.message.to_json(),
                "remedy": error.remedy.to_json() if error.remedy else None,
                "fails": not isinstance(error, CommandSlow),
            }
            for error in wrong
        ),
    ]


def _foreseen(wanted: snapshots.Wanted) -> list[dict[str, Any]]:
    """What snapshots would be made, or why not."""
    try:
        plans = snapshots.planned(wanted, within(TRIED_SECONDS))
    except TapelineError as error:
        remedy = error.remedy.to_json() if error.remedy else None
        return [{"about": "snapshots", "message": error.message.to_json(), "remedy": remedy, "fails": True}]
    good = {"about": "snapshots", "remedy": None, "fails": False, "is_good": True}
    return [{**good, "message": plan.words.to_json()} for plan in plans]


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
        # A worker of the previous version has no snapshots.
        verdict = PrecheckVerdict.OK if each.get("is_good") else PrecheckVerdict.WARNING
        if each["fails"]:
            verdict = PrecheckVerdict.REFUSED
        remedy = Message.from_json(each["remedy"]) if each["remedy"] else None
        yield Finding(each.get("about", "commands"), Message.from_json(each["message"]), verdict, remedy)
    names = question["named"]
    if names and not [each for each in answer if "about" not in each]:
        yield Finding("commands", M("On {host}: {names}.", host=at, names=", ".join(names)))
