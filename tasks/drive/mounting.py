"""Mounting the volume in a run's drive: the result is remembered for that volume."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from sqlalchemy.orm import Session

from db.models import ChainRun, Drive
from db.tapes import mounts
from policy.tapes.medium import MediumReport
from tape.drive import Volume
from tape.errors import NotMountable
from tasks.work import Work


@contextmanager
def mounted(work: Work, *, read_only: bool = False) -> Iterator[Volume]:
    """As ``Drive.mount``; the run's story records what was needed to mount it."""
    with ExitStack() as stack:
        try:
            volume = stack.enter_context(work.drive().mount(read_only=read_only))
        except NotMountable as error:
            failure = error.in_one()
            work.db(lambda session, run: mounts.failed(session, _in_drive(session, run), failure))
            raise
        work.db(lambda session, _run: mounts.worked(session, volume.medium.to_json()))
        for note in volume.notes:
            work.tell(note, level="warning")
        yield volume


def _in_drive(session: Session, run: ChainRun) -> MediumReport:
    """The last inspection of the drive, which shows what could not be mounted."""
    row = session.get(Drive, run.drive, populate_existing=True)
    return (row.medium if row else None) or run.tape_seen or {}
