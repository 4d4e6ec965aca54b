"""``restore``: files of a set, in tape order, verified, below a target folder on the drive host."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from backup.errors import Ended
from backup.manifest import entries_on
from backup.restore import RestoreReport
from backup.restore import restore as restore_files
from db import catalog, events
from db.models import ChainRun
from db.states import Step
from policy import units
from policy.errors import TapelineError
from policy.message import M
from tape.drive import Volume
from tasks.journal import Meter
from tasks.step import Done, step
from tasks.work import Work

MOST_TOLD = 100
"""How many files of a kind the story names."""


class RestoreIncomplete(TapelineError):
    """Some files could not be restored; all others are there and verified."""


@step(Step.RESTORE)
def restore(work: Work) -> Done:
    """Raises RestoreIncomplete, DriveError."""
    wanted = work.db(_wanted)
    target = wanted.target
    began = time.monotonic()
    with work.drive().mount(read_only=True) as volume:
        for note in volume.notes:
            work.tell(note, level="warning")
        report = _restore(work, volume, wanted)
    seconds = time.monotonic() - began
    work.db(lambda session, run: _tell(session, run, report, target))
    if report.failures:
        raise RestoreIncomplete(
            M(
                "{count} files could not be restored; all others are in {target}, verified.",
                count=len(report.failures),
                target=str(target),
            ),
            M("'tapeline runs show {run}' names them.", run=work.held.run_id),
        )
    return Done(
        {
            "target": str(target),
            "files": report.files,
            "bytes": report.size,
            "kept": len(report.kept),
            "seconds": round(seconds, 3),
            "summary": f"{report.files} files to {target}",
        }
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be restored, and from which archives of its set."""

    set_id: str
    paths: list[str]
    target: Path
    overwrite: bool
    archives: set[int]
    files: int
    size: int


def _wanted(session: Session, run: ChainRun) -> Wanted:
    assert run.set_id is not None
    stored = catalog.get(session, run.set_id)
    return Wanted(
        set_id=run.set_id,
        paths=run.options["paths"],
        target=Path(run.options["target"]),
        overwrite=run.options["overwrite"],
        archives=catalog.archives_with(session, run.set_id, run.options["paths"]),
        files=stored.files,
        size=stored.bytes,
    )


def _restore(work: Work, volume: Volume, wanted: Wanted) -> RestoreReport:
    meter = Meter()
    meter.plan(wanted.files, wanted.size)

    def progress(files: int, size: int) -> None:
        shown = meter.update(files, size)
        if shown:
            work.show_progress(shown, f"{files} files restored")

    return restore_files(
        volume,
        wanted.set_id,
        entries_on(volume, wanted.set_id, archives=wanted.archives),
        wanted.target,
        select=wanted.paths,
        overwrite=wanted.overwrite,
        on_progress=progress,
        check=partial(_check, work),
    )


def _check(work: Work) -> None:
    """Files that are restored stay; entered again, the restore keeps them and goes on with the others."""
    work.check()
    if work.is_ending():
        raise Ended(M("Asked to end: what is restored stays."), M("It goes on when its worker is back."))


def _tell(session: Session, run: ChainRun, report: RestoreReport, target: Path) -> None:
    def lines() -> Iterator[tuple[Any, str]]:
        yield (
            M(
                "Restored {files} files, {size}, to {target}; {kept} were there already and kept.",
                files=report.files,
                size=units.size(report.size),
                target=str(target),
                kept=len(report.kept),
            ),
            "info",
        )
        for told, level in ((report.failures, "error"), (report.incomplete, "warning")):
            for path, reason in told[:MOST_TOLD]:
                yield M("{path}: {reason}", path=path, reason=reason.to_json()), level

    for message, level in lines():
        events.record(session, run, message, step=Step.RESTORE, level=level)
