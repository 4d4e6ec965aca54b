"""The folder on the drive's host in which a set is kept while it is copied to another tape."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from sqlalchemy.orm import Session

from backup.copying import Tick
from backup.errors import Ended, SpoolFailed
from backup.spool import spooling
from celery_app import settings, wiring
from db.models import ChainRun
from db.runs import spools
from policy import units
from policy.message import M
from tasks.work import Work
from tasks.writing.journal import Meter


def folder_of(run_id: int) -> Path:
    """The folder of a copy; nothing else is in it."""
    return settings.load().copy_spool / f"tapeline-copy-{run_id}"


def of(work: Work) -> Path:
    """The folder of this copy, which is noted before the first file is in it."""

    def note(_session: Session, run: ChainRun) -> None:
        run.notes = replace(run.notes, in_spool=True)

    work.db(note)
    return folder_of(work.held.run_id)


def check_room(folder: Path, needed: int) -> None:
    """Raises SpoolFailed if so many bytes more do not fit."""
    with spooling():
        free = shutil.disk_usage(folder).free
    if needed > free:
        raise SpoolFailed(
            M(
                "The copy needs {needed} in {folder} on the drive's host, and {free} are free there.",
                needed=units.size(needed),
                folder=str(folder),
                free=units.size(free),
            ),
            M("Make room there, or name another folder: copy_spool_dir in the settings of that host."),
        )


def counted(work: Work, total: int, done_word: str) -> Tick:
    """What is called with the bytes of each block of a copy: it shows the progress, and is a safe point. It
    raises LostClaim, Cancelled, Ended."""
    meter, done = Meter(), 0
    meter.plan(0, total)

    def tick(count: int) -> None:
        nonlocal done
        done += count
        shown = meter.update(-1, done)
        if shown:
            work.show_progress(shown, f"{done} bytes {done_word}")
        work.check()
        if work.is_ending():
            raise Ended(M("Asked to end: what was copied stays."), M("It goes on when its worker is back."))

    return tick


def remove(run_id: int) -> bool:
    """Remove the files of a copy. Returns whether they are gone; those that are not are tried again later."""
    folder = folder_of(run_id)
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def settle(drive: str) -> list[int]:
    """Remove what copies that have ended left here; for a caller that has the drive. Returns these runs."""
    with wiring.database().transaction() as session:
        ended = [run_id for run_id, _ in spools.left(session, drive)]
    gone = [run_id for run_id in ended if remove(run_id)]
    for run_id in gone:
        with wiring.database().transaction() as session:
            spools.removed(session, run_id)
    return gone
