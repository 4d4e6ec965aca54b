"""The dumps of a run: commands of the drive's host whose output is a file of the set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from sqlalchemy.orm import Session

from backup.errors import DumpBroken
from backup.request import Dump
from celery_app.host import commands as host
from db.models import ChainRun
from policy.errors import TapelineError
from policy.message import M
from tape.errors import CommandTimeout, DriveError
from tape.programs.piped import Piped
from tasks.work import Work
from tasks.writing import commands, telling
from tasks.writing.commands import Asked


def of(work: Work, judge: Callable[[str, int], None]) -> tuple[Dump, ...]:
    """For the request to the engine. ``judge``: called with the path and the size of each whole dump."""
    found, declared = work.db(_declared)
    dumps = []
    for each in declared:
        name = each["name"]
        opened = partial(_opened, work, found, each["command"], name)
        dump = Dump(name, opened, optional=bool(each.get("optional")))
        dumps.append(Dump(name, opened, dump.optional, partial(judge, dump.path)))
    return tuple(dumps)


def _declared(session: Session, run: ChainRun) -> tuple[Asked, list[dict[str, str]]]:
    found = commands.asked(session, run)
    assert found is not None, "a backup is one of a schedule"
    return found, [dict(each) for each in found.dumps]


class _Printed:
    """What a running command prints, until its end shows whether it is whole."""

    def __init__(self, work: Work, name: str, running: Piped) -> None:
        self._work = work
        self._name = name
        self._running = running

    def readinto(self, buffer: memoryview, /) -> int:
        """Raises DumpBroken, and what stops the step."""
        try:
            part = self._running.read(len(buffer))
            if not part:
                self._finish()
        except CommandTimeout as error:
            commands.tell_output(self._work, self._name, error.output)
            raise _broken(commands.timed_out(self._name)) from error
        except DriveError as error:
            raise _broken(error) from error
        except OSError as error:
            reason = M("What it prints cannot be read: {reason}.", reason=error.strerror or str(error))
            raise DumpBroken(reason, M("See its output in the story of the run.")) from error
        buffer[: len(part)] = part
        return len(part)

    def _finish(self) -> None:
        done = self._running.finish()
        commands.tell_output(self._work, self._name, done.output)
        if done.return_code != 0:
            remedy = telling.put_right(self._work.held.run_id)
            raise _broken(telling.failed(self._name, done.return_code, done.output, remedy))


@contextmanager
def _opened(work: Work, found: Asked, command: str, name: str) -> Iterator[_Printed]:
    """Only what keeps it from starting is a broken dump: the errors of who reads it go through."""
    environment = {**found.environment, "BACKUP_MOMENT": "dump", "BACKUP_DUMP": name}
    with ExitStack() as stack:
        try:
            asked = host.find(command)
            inherit = stack.enter_context(
                telling.locked(found.run_id, command, asked.limit, work.heed, is_exclusive=asked.exclusive)
            )
            work.tell(M("Command {name} ({moment}) begins.", name=command, moment="dump"))
            running = stack.enter_context(asked.piped(environment, inherit=inherit, watch=work.heed))
        except (host.CommandUnusable, telling.CommandFailed, DriveError) as error:
            raise _broken(error) from error
        yield _Printed(work, command, running)


def _broken(error: TapelineError) -> DumpBroken:
    return DumpBroken(error.message, error.remedy)
