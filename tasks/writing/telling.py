"""What commands and snapshots of a run share: its story, its lock on this host, warnings that outlast it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from sqlalchemy.orm import Session

from celery_app import settings, wiring
from db import events
from db.runs import announcing, transitions
from db.states import RunState, Step
from policy.errors import TapelineError
from policy.message import M, Message
from tape.errors import DriveBusy
from tape.hostlock import HostLock

LINES_TOLD = 20
"""How many lines of a command's output the story has: the last ones."""
LINE_LENGTH = 500
PAUSE = 0.2

Watch = Callable[[], None]


class CommandFailed(TapelineError):
    """A command ended with an error, or not in time."""


def warn(session: Session, *, run_id: int, error: TapelineError, outcome: str, remedy: Message) -> None:
    """The run stays what it is, but somebody has to know: what ``before`` did may still be in effect."""
    run = transitions.get(session, run_id, lock=True)
    warning = M("After the backup: {error}", error=error.message.to_json())
    events.record(session, run, warning, step=Step.RUN_BACKUP, level="warning")
    if outcome == RunState.SUCCEEDED.value and run.state is RunState.RUNNING:
        # The message of its success counts it.
        run.condition = [*run.condition, warning.to_json()]
    else:
        announcing.announce(session, run, "after_failed", warning, remedy)


def put_right(run_id: int) -> Message:
    """What to do about a command that failed in a run."""
    return M("Put right what it names, then: tapeline runs retry {run}", run=run_id)


def failed(name: str, code: int, output: str, remedy: Message) -> CommandFailed:
    """The error for a command that ended with a return code other than 0."""
    lines = output.strip().splitlines()
    if not lines:
        return CommandFailed(M("Command {name} ended with code {code}.", name=name, code=code), remedy)
    last = lines[-1][:LINE_LENGTH]
    return CommandFailed(
        M("Command {name} ended with code {code}: {line}", name=name, code=code, line=last), remedy
    )


def output_lines(name: str, output: str) -> list[Message]:
    """The last lines that a command has printed, for the story."""
    lines = [line for line in output.splitlines() if line.strip()]
    messages = [M("{name}: {line}", name=name, line=line[:LINE_LENGTH]) for line in lines[-LINES_TOLD:]]
    left = len(lines) - len(messages)
    return (
        [M("{name}: {count} earlier lines are left out.", name=name, count=left), *messages]
        if left
        else messages
    )


def tell(run_id: int, step: Step, messages: list[Message]) -> None:
    """Add to the story of a run. Raises DatabaseUnavailable."""

    def record(session: Session) -> None:
        run = transitions.get(session, run_id)
        for message in messages:
            events.record(session, run, message, step=step)

    attempted(record)


def attempted(work: Callable[[Session], Any]) -> Any:
    """In one transaction, which waits for the database. Raises DatabaseUnavailable."""
    return wiring.database().attempt(work, patience=settings.load().database_patience_seconds)


@contextmanager
def locked(
    run_id: int, name: str, limit: float, watch: Watch | None, *, is_exclusive: bool = False
) -> Iterator[tuple[int, ...]]:
    """Descriptors for a command to inherit. A command that outlives its worker still has them: another one
    of its run, and an exclusive one of any run, waits for its end. Raises CommandFailed, DriveError."""
    folder = settings.load().state_dir / "commands"
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"run-{run_id}", *([f"command-{name}"] if is_exclusive else [])]
    with ExitStack() as stack:
        locks = [HostLock(folder / f"{each}.lock") for each in names]
        for lock in locks:
            _acquire(lock, name, limit, watch)
            stack.callback(lock.release)
        yield tuple(lock.descriptor for lock in locks)


def _acquire(lock: HostLock, name: str, limit: float, watch: Watch | None) -> None:
    ends = time.monotonic() + limit
    while True:
        try:
            lock.acquire()
        except DriveBusy as error:
            if time.monotonic() > ends:
                raise CommandFailed(
                    M(
                        "Command {name} did not begin: a command of a dead worker, or of another run, still"
                        " runs after {seconds} s.",
                        name=name,
                        seconds=round(limit),
                    ),
                    M("End that program on the drive's host."),
                ) from error
        else:
            return
        if watch is not None:
            watch()
        time.sleep(PAUSE)
