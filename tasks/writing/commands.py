"""The commands that a template names, at work on the drive's host: ``check``, ``before`` and ``after``."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from backup.errors import Ended
from celery_app.host import commands as host
from db.models import ChainRun
from db.runs import brackets, lookup, transitions
from db.states import RunState, Step
from policy.errors import TapelineError
from policy.message import M, Message
from tape.errors import CommandTimeout
from tasks.work import Work
from tasks.writing import snapshots, telling
from tasks.writing.record import asked_for
from tasks.writing.telling import CommandFailed, Watch

MAX_TRIES = 3
"""How often a command of ``after`` is begun, if the worker dies in it each time."""


class CommandBusy(TapelineError):
    """Another run uses an exclusive command for too long."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The commands that the template of a run names, and what each of them gets in its environment."""

    run_id: int
    checks: tuple[str, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]
    dumps: tuple[dict[str, Any], ...]
    snapshots: snapshots.Wanted
    environment: dict[str, str]

    @property
    def every(self) -> list[str]:
        """All names, each once."""
        return list(dict.fromkeys((*self.checks, *self.bracketed)))

    @property
    def bracketed(self) -> tuple[str, ...]:
        """Those that run between the beginning and the end of the bracket."""
        return (*self.before, *(each["command"] for each in self.dumps), *self.after)


def asked(session: Session, run: ChainRun) -> Asked | None:
    """For a run; None: it is no backup."""
    if run.schedule is None:
        return None
    record = lookup.record_of(session, run)
    columns = asked_for(run) if record is None else {name: getattr(record, name) for name in _NAMES}
    return Asked(
        run.id,
        tuple(columns["checks"]),
        tuple(columns["before"]),
        tuple(columns["after"]),
        tuple(columns["dumps"]),
        snapshots.wanted(columns["sources"], columns["source_options"]),
        {
            "BACKUP_RUN": str(run.id),
            "BACKUP_SCHEDULE": run.schedule.name,
            "BACKUP_TEMPLATE": columns["name"],
            "BACKUP_TYPE": columns["type"].value,
            "BACKUP_DRIVE": run.drive,
            "BACKUP_SOURCES": "\n".join(columns["sources"]),
        },
    )


_NAMES = ("name", "type", "sources", "checks", "before", "after", "dumps", "source_options")


def check(work: Work) -> None:
    """In the precheck: every command is there, and those of ``check`` succeed. Raises CommandUnusable,
    CommandFailed, DriveError, Cancelled, LostClaim."""
    commands = work.db(asked)
    if commands is None:
        return
    host.check(commands.every)
    snapshots.foresee(work, commands.snapshots)
    for name in commands.checks:
        _perform(commands.run_id, work.held.step, name, _moment(commands, "check"), work.heed)


def begin(work: Work) -> None:
    """Before anything of the run is written: ``before``, once for the run, however often it is resumed.

    Raises CommandUnusable, CommandFailed, CommandBusy, SnapshotUnusable, SnapshotFailed, DriveError,
    Cancelled, LostClaim, Ended.
    """
    commands = work.db(asked)
    if commands is None or not (commands.bracketed or commands.snapshots):
        return
    opened = work.db(lambda session, run: brackets.of(session, run.id))
    if opened is not None and opened.ready_at is not None and opened.outcome is None:
        return
    if opened is not None:
        # Its worker died in ``before`` or in ``after``: put right what that began, then begin anew.
        settle(commands.run_id, opened.outcome or brackets.INTERRUPTED, work.heed)
    host.check(commands.every)
    if commands.snapshots:
        snapshots.clear_up(work, commands.environment)
    exclusive = {name for name in commands.bracketed if host.find(name).exclusive}
    exclusive |= snapshots.exclusive(commands.snapshots)
    _wait_for_others(work, commands, exclusive)
    for name in commands.before:
        _perform(commands.run_id, work.held.step, name, _moment(commands, "before"), work.heed)
    snapshots.make(work, commands.snapshots, commands.environment)
    work.db(lambda session, run: brackets.ready(session, run.id))


def _wait_for_others(work: Work, commands: Asked, exclusive: set[str]) -> None:
    """Open the bracket, as soon as no other run on this host has one with the same exclusive commands."""
    started, limit = time.monotonic(), work.settings.stalled_fails_after_seconds
    open_it = partial(_open, run_id=commands.run_id, after=commands.after, exclusive=exclusive)
    is_reported = False
    while True:
        other = work.database.attempt(open_it, patience=work.settings.database_patience_seconds)
        if other is None:
            break
        waits = (
            M("Run {run} uses the same exclusive commands, or the same source: this run waits.", run=other)
            if commands.snapshots
            else M("Run {run} uses the same exclusive commands: this run waits for its end.", run=other)
        )
        if not is_reported:
            work.tell(waits)
            is_reported = True
        work.waits_for(f"run {other}")
        work.heed()
        if work.is_ending():
            raise Ended(waits, M("The backup goes on when its worker is back."))
        if time.monotonic() - started > limit:
            raise CommandBusy(
                M(
                    "Run {run} has used the same exclusive commands for {hours} h.",
                    run=other,
                    hours=round(limit / 3600),
                ),
                M("Wait for it or cancel it: tapeline runs cancel {run}", run=other),
            )
        time.sleep(1.0)
    if is_reported:
        work.waits_for(None)


def _open(session: Session, *, run_id: int, after: Sequence[str], exclusive: set[str]) -> int | None:
    run = transitions.get(session, run_id, lock=True)
    return brackets.begin(session, run, host=socket.gethostname(), after=after, exclusive=exclusive)


def environment(work: Work) -> dict[str, str]:
    """What every command of a run gets."""
    commands = work.db(asked)
    return commands.environment if commands is not None else {}


def end(work: Work) -> None:
    """The set is complete: ``after``, in the step that wrote it. Never fails the run."""
    settle(work.held.run_id, RunState.SUCCEEDED.value)


def is_ending(session: Session, run: ChainRun) -> bool:
    """Whether the set of a run is complete and its ``after`` was cut off: nothing else is left to do."""
    opened = brackets.of(session, run.id)
    return opened is not None and opened.outcome == RunState.SUCCEEDED.value


def settle(run_id: int, outcome: str, watch: Watch | None = None) -> None:
    """Run what a run owes of ``after``, each command once unless its worker dies in it. A command that fails
    is a warning. Raises DatabaseUnavailable, and what ``watch`` raises."""
    commands = telling.attempted(lambda session: asked(session, transitions.get(session, run_id)))
    snapshots.remove(run_id, outcome, commands.environment if commands else {})
    while (
        owed := telling.attempted(lambda session: brackets.next_owed(session, run_id, outcome))
    ) is not None:
        name, tries, ended_as = owed
        try:
            if tries >= MAX_TRIES:
                raise CommandFailed(
                    M("Command {name} was cut off {tries} times: its worker died.", name=name, tries=tries),
                    _by_hand(name),
                )
            assert commands is not None, "only a backup has commands"
            _perform(
                run_id,
                Step.RUN_BACKUP,
                name,
                {**_moment(commands, "after"), "BACKUP_RESULT": ended_as},
                watch,
            )
        except TapelineError as error:
            if watch is not None:
                watch()
            telling.attempted(
                partial(telling.warn, run_id=run_id, error=error, outcome=ended_as, remedy=_by_hand(name))
            )
        telling.attempted(partial(_ended, run_id=run_id, name=name))


def _ended(session: Session, *, run_id: int, name: str) -> None:
    brackets.ended(session, run_id, name)


def _by_hand(name: str) -> Message:
    return M("Do by hand what {name} should have done on the drive's host.", name=name)


def _moment(commands: Asked, moment: str) -> dict[str, str]:
    return {**commands.environment, "BACKUP_MOMENT": moment}


def _perform(run_id: int, step: Step, name: str, environment: dict[str, str], watch: Watch | None) -> None:
    """Run a command, with its output in the story. Raises CommandUnusable, CommandFailed, DriveError, and
    what ``watch`` raises."""
    command = host.find(name)
    moment = environment["BACKUP_MOMENT"]
    with telling.locked(run_id, name, command.limit, watch, is_exclusive=command.exclusive) as inherit:
        telling.tell(run_id, step, [M("Command {name} ({moment}) begins.", name=name, moment=moment)])
        try:
            done = command.run(environment, inherit=inherit, watch=watch)
        except CommandTimeout as error:
            telling.tell(run_id, step, telling.output_lines(name, error.output))
            raise timed_out(name) from error
    lines = telling.output_lines(name, done.output)
    if done.return_code != 0:
        telling.tell(run_id, step, lines)
        raise telling.failed(name, done.return_code, done.output, telling.put_right(run_id))
    seconds = round(done.seconds, 1)
    telling.tell(
        run_id, step, [*lines, M("Command {name} is done, in {seconds} s.", name=name, seconds=seconds)]
    )


def timed_out(name: str) -> CommandFailed:
    """The error for a command that was ended at its limit."""
    return CommandFailed(
        M("Command {name} did not end within {seconds} s.", name=name, seconds=host.find(name).limit),
        M("See what it waits for, or raise commands.{name}.limit in tapeline.toml there.", name=name),
    )


def tell_output(work: Work, name: str, output: str) -> None:
    """Add what a command has printed for people to the story of its run."""
    telling.tell(work.held.run_id, work.held.step, telling.output_lines(name, output))
