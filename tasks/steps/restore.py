"""``restore``: the state of a set, in tape order, verified, below a target folder on the drive host."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from backup.entry import shown
from backup.errors import Ended, WrongKey
from backup.format.age import Identities, identities
from backup.format.manifest import naming_keys
from backup.restore import Restoration
from backup.restoring import chosen
from backup.restoring.chosen import Choice, Choices
from backup.restoring.roots import allowed
from backup.spool import spooling
from db import events
from db.models import BackupArchive, ChainRun, RunNotes
from db.runs import transitions
from db.sets import catalog, lineage, restores
from db.sets.lineage import Live
from db.sets.restores import RestorePlan
from db.states import Step
from db.tapes import cartridges
from policy import owners, units
from policy.errors import TapelineError
from policy.message import M
from policy.owners import OwnerMap
from tape.drive import Volume
from tasks.drive.mounting import mounted
from tasks.drive.on_tape import see_that_it_has
from tasks.step import Done, step
from tasks.work import Work, WrongTape
from tasks.writing.journal import Meter
from tasks.writing.set_request import spool_of

MAX_TOLD = 100
"""How many files of a kind the story lists."""


class RestoreIncomplete(TapelineError):
    """Some files could not be restored; all others are there and verified."""


@dataclass(frozen=True, slots=True)
class WantedRestore:
    """What to restore, where to, and where on tape it is."""

    target: Path
    overwrite: bool
    beside: bool
    keys: Identities
    owners: OwnerMap
    plan: RestorePlan
    choices: dict[str, Choices]
    """Of each set."""


@step(Step.RESTORE)
def restore(work: Work) -> Done:
    """Restore from the tape in the drive; then from the next tape.

    Raises RestoreIncomplete, NotAllowedHere, WrongTape, DriveError.
    """
    folder = spool_of(work) / f"restore-{work.held.run_id}"
    with spooling():
        folder.mkdir(mode=0o700, exist_ok=True)
    # Without a lock on the run: the catalogue may be large, and heartbeats must continue meanwhile.
    wanted = work.database.attempt(
        lambda session: _wanted(work, session, transitions.get(session, work.held.run_id), folder),
        patience=work.settings.database_patience_seconds,
    )
    if wanted.owners != OwnerMap():
        work.tell(M("Owners: {map}.", map=", ".join(wanted.owners.words)))
    began = time.monotonic()
    with _restoration(work, wanted, folder) as restoration:
        with mounted(work, read_only=True) as volume:
            here = work.db(lambda session, _run: _on_this(session, volume, wanted.plan))
            open_ = [each for each in here if not restoration.is_done(*each)]
            see_that_it_has(work, volume, sorted({set_id for set_id, _ in open_}))
            _take(work, volume, wanted, restoration, here)
        missing = _missing(restoration, wanted.plan)
        if not missing:
            restoration.finish()
        work.db(lambda session, run: _tell(session, run, restoration, wanted.target))
        failures, report, kept = restoration.failures, restoration.report, restoration.kept
        beside = len(report.beside)
        warnings = restoration.differing + len(report.incomplete)
    if missing:
        raise _next_tape(work, wanted.plan, missing)
    with spooling():
        shutil.rmtree(folder)
    if failures:
        raise _incomplete(work, failures, wanted.target)
    return Done(
        {
            "target": str(wanted.target),
            "files": report.files,
            "bytes": report.size,
            "kept": kept,
            "beside": beside,
            "warnings": warnings,
            "seconds": round(time.monotonic() - began, 3),
            "summary": f"{report.files} files to {wanted.target}",
        }
    )


def _wanted(work: Work, session: Session, run: ChainRun, folder: Path) -> WantedRestore:
    """Write the wanted files of each set to disk; the catalogue may be larger than memory."""
    assert run.set_id is not None
    given = run.options
    target = allowed(Path(given.target), work.settings.restore_roots, always=given.within_roots)
    choices: dict[str, Choices] = {}

    def choose(file: Live) -> None:
        if file.set_id not in choices:
            choices[file.set_id] = Choices(folder / f"{file.set_id}.zst")
        choices[file.set_id].add(Choice(file.archive, file.position, file.path, file.blake3 or b""))

    condition = catalog.wanted(given.paths, given.patterns)
    plan = restores.plan(session, run.set_id, condition, choose)
    for of_set in choices.values():
        of_set.end()
    keys = identities(Path(given.identity)) if given.identity else []
    map_ = owners.parse(given.owner_map)
    return WantedRestore(target, given.overwrite, given.beside, keys, map_, plan, choices)


def _restoration(work: Work, wanted: WantedRestore, folder: Path) -> Restoration:
    meter = Meter()
    meter.plan(wanted.plan.files, wanted.plan.size)

    def progress(files: int, size: int) -> None:
        now = meter.update(files, size)
        if now:
            work.show_progress(now, f"{files} files restored")

    return Restoration(
        wanted.target,
        state=folder / "there.sqlite",
        overwrite=wanted.overwrite,
        beside=wanted.beside,
        keys=wanted.keys,
        owners=wanted.owners,
        on_progress=progress,
        check=partial(_check, work),
    )


def _check(work: Work) -> None:
    """Restored files stay; entered again, the restore continues with the others."""
    work.check()
    if work.is_ending():
        raise Ended(M("Asked to end: what is restored stays."), M("It goes on when its worker is back."))


def _on_this(session: Session, volume: Volume, plan: RestorePlan) -> set[tuple[str, int]]:
    """Which of the archives are on the tape in the drive."""
    cartridge = cartridges.recognise(session, volume.medium.to_json())
    return {
        (archive.set_id, archive.number)
        for archive in plan.archives
        if plan.places.are_on(archive, cartridge)
    }


def _take(
    work: Work, volume: Volume, wanted: WantedRestore, restoration: Restoration, here: set[tuple[str, int]]
) -> None:
    try:
        _take_all(volume, wanted, restoration, here)
    except WrongKey as error:
        remedy = M(
            "With the file of another key: tapeline runs retry {run} --identity FILE", run=work.held.run_id
        )
        raise WrongKey(error.message, remedy) from error


def _take_all(
    volume: Volume, wanted: WantedRestore, restoration: Restoration, here: set[tuple[str, int]]
) -> None:
    for set_id in dict.fromkeys(archive.set_id for archive in wanted.plan.archives):
        for number, choices in wanted.choices[set_id].by_archive():
            if (set_id, number) not in here or restoration.is_done(set_id, number):
                continue
            entries = chosen.entries(volume, (set_id, number, choices), restoration.lose, wanted.keys)
            with naming_keys(volume, set_id):
                restoration.take(volume, set_id, entries, number)
            restoration.archive_done()


def _missing(restoration: Restoration, plan: RestorePlan) -> list[BackupArchive]:
    return [a for a in plan.archives if not restoration.is_done(a.set_id, a.number)]


def _next_tape(work: Work, plan: RestorePlan, missing: list[BackupArchive]) -> WrongTape:
    """The tape in the drive is finished; the remaining files are on other tapes."""
    needed = list(dict.fromkeys(plan.places.first(archive).id for archive in missing))

    def note(session: Session, run: ChainRun) -> list[str]:
        run.notes = RunNotes(cartridges=tuple(needed), next_tape=True)
        run.wait_until = None
        return [cartridge.tape_id for cartridge in lineage.tapes(session, run.set_id or "", only=needed)]

    tapes = work.db(note)
    return WrongTape(
        M("The rest is on other tapes: {tapes}.", tapes=", ".join(tapes)),
        M("Insert {tapes}, then: tapeline runs retry {run}", tapes=tapes[0], run=work.held.run_id),
    )


def _incomplete(work: Work, failures: int, target: Path) -> RestoreIncomplete:
    return RestoreIncomplete(
        M(
            "{count} files could not be restored; all others are in {target}, verified.",
            count=failures,
            target=str(target),
        ),
        M("'tapeline runs show {run}' names them.", run=work.held.run_id),
    )


def _tell(session: Session, run: ChainRun, restoration: Restoration, target: Path) -> None:
    report = restoration.report

    def lines() -> Iterator[tuple[Any, str]]:
        yield (
            M(
                "Restored {files} files, {size}, to {target}; {kept} were there already and kept.",
                files=report.files,
                size=units.size(report.size),
                target=shown(str(target)),
                kept=restoration.kept,
            ),
            "info",
        )
        if report.differing:
            yield (
                M(
                    "{count} files in {target} are not as in the backup, and were kept. To replace them: the"
                    " same restore with --overwrite.",
                    count=len(report.differing),
                    target=shown(str(target)),
                ),
                "warning",
            )
        for problems, level in (
            (report.failures, "error"),
            (report.differing, "warning"),
            (report.incomplete, "warning"),
        ):
            for path, reason in problems[:MAX_TOLD]:
                yield M("{path}: {reason}", path=path, reason=reason.to_json()), level
        for path, name in report.beside[:MAX_TOLD]:
            yield M("{path}: put beside another file, as {name}", path=path, name=name), "info"

    for message, level in lines():
        events.record(session, run, message, step=Step.RESTORE, level=level)
