"""What has to be true when a run has come to its end, whatever was done to it on the way."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import select

from backup.compare import compare_trees
from backup.entry import shown
from backup.format import documents, manifest
from backup.restore import restore
from db.models import BackupArchive, BackupFile, BackupSet, ChainRun, FormatPermit, Notification
from db.runs import transitions
from db.states import PASSED, RunState
from db.tapes import cartridges, kin
from policy.message import Message
from policy.tapes.facts import SetState
from tape.drive import MediumState, Volume
from tape.errors import NotMountable
from tests.faults.trial import Trial

TITLES = {
    "success": "succeeded",
    "warnings": "completed with warnings",
    "failed": "failed",
    "tape_error": "Tape error",
    "waiting_for_tape": "waits for a tape",
    "format_warning": "continues without a format",
    "cancelled": "cancelled",
    "stalled": "stands still",
}


@dataclass(frozen=True)
class End:
    """How a run ends: its state and reason, the tape, the catalogue, the messages."""

    state: str = "SUCCEEDED"
    reason: str = ""
    """A pattern that is found in the reason."""
    formats: int = 1
    """How often the cartridge was formatted for the run, as the cartridge counts."""
    cartridge: str | None = "active"
    """The state of the cartridge's row; None: nobody knows it."""
    stored: str | None = "complete"
    """The state of the run's set; None: it has none."""
    messages: tuple[str, ...] = ("success",)


SUCCESS = End()

proved: list[End] = []
"""What the test under way has proved so far: for the table that is printed at the end."""


def row(case: str, ends: list[End]) -> str:
    """A line of the table: what was looked at, after the last fault of a case and those before it."""
    columns = (
        " → ".join(end.state for end in ends),
        str(ends[-1].formats),
        ends[-1].cartridge or "not known",
        ends[-1].stored or "none",
        ", ".join(ends[-1].messages),
    )
    return f"| {case} | {' | '.join(columns)} |"


def prove(trial: Trial, end: End) -> None:
    """Wait for the run's end, then look at the run, the tape, the catalogue and the messages."""
    run = _ended(trial, end)
    _check_run(trial, run, end)
    _check_permits(trial, run, end)
    _check_cartridge(trial, end)
    _check_set(trial, run, end)
    _check_messages(trial, run, end)
    if end not in proved[-1:]:
        proved.append(end)


def _ended(trial: Trial, end: End) -> ChainRun:
    still = {RunState.QUEUED, RunState.RUNNING}
    trial.system.wait_for(lambda: trial.state not in still, f"the end of run {trial.run_id}")
    run: ChainRun = trial.system.ask(lambda session: transitions.get(session, trial.run_id))
    said = Message.from_json(run.reason) if run.reason else ""
    assert run.state.value == end.state, f"{run.state}: {said}\n{trial.system.logs()}"
    assert re.search(end.reason, str(said)), said
    return run


def _check_run(trial: Trial, run: ChainRun, end: End) -> None:
    steps = trial.system.ask(
        lambda session: [step.state for step in session.merge(run).steps if step.part == run.part]
    )
    if end.state == "SUCCEEDED":
        trial.system.wait_for(lambda: _all_passed(trial), "the last step to be noted as done")
    else:
        assert any(state not in PASSED for state in steps)


def _all_passed(trial: Trial) -> bool:
    steps = trial.system.ask(lambda s: [step.state for step in transitions.get(s, trial.run_id).steps])
    return all(state in PASSED for state in steps)


def _check_permits(trial: Trial, run: ChainRun, end: End) -> None:
    """At most one format for each part of the run, each under a permit that was consumed for it."""
    wanted = select(FormatPermit.part).where(
        FormatPermit.run_id == run.id, FormatPermit.consumed_at.is_not(None)
    )
    parts = trial.system.ask(lambda session: session.scalars(wanted).all())
    assert len(parts) == len(set(parts))
    assert trial.record.formats - trial.formats_before == end.formats
    assert len(parts) >= end.formats


def _check_cartridge(trial: Trial, end: End) -> None:
    said = {"state": "formatted", "medium_serial": trial.record.medium_serial}
    row = trial.system.ask(lambda session: cartridges.recognise(session, said))
    assert (row.state.value if row else None) == end.cartridge
    volume = trial.record.volume
    if row and volume and end.state == "SUCCEEDED":
        assert (row.label, row.tape_id, row.volume_uuid) == (volume.label, volume.label, volume.uuid)
        assert row.generation == volume.generation
        assert volume.label.startswith(f"TP{datetime.now(UTC):%Y%m}")


def _check_set(trial: Trial, run: ChainRun, end: End) -> None:
    stored: BackupSet | None = trial.system.ask(
        lambda session: session.get(BackupSet, run.set_id) if run.set_id else None
    )
    assert (stored.state.value if stored else None) == end.stored
    with _mounted(trial) as volume:
        if volume is not None:
            check_catalogue(trial, volume)
            if stored and stored.state is SetState.COMPLETE:
                _check_restored(trial, volume, stored.id)
    if stored is None:
        assert not (trial.record.volume and trial.record.volume.files), "files that nobody asked for"


@contextmanager
def _mounted(trial: Trial) -> Iterator[Volume | None]:
    """The volume of the run's cartridge, for reading; None if there is none."""
    if trial.system.drive.look().state is not MediumState.FORMATTED:
        with _not_mountable(trial):
            yield None
        return
    with trial.system.drive.mount(read_only=True) as volume:
        yield volume


@contextmanager
def _not_mountable(trial: Trial) -> Iterator[None]:
    try:
        with trial.system.drive.mount(read_only=True):
            raise AssertionError("a volume that the drive does not affirm")
    except NotMountable:
        yield


def check_catalogue(trial: Trial, volume: Volume) -> None:
    """Every archive in the catalogue is on the tape, whole, with the files that the catalogue names; and a
    set is complete in the catalogue only if the tape says so too."""
    for stored in trial.system.ask(lambda session: _sets_on(session, volume)):
        for archive in stored.archives:
            name = f"{documents.folder_of(stored.id)}/{archive.name}"
            assert volume.size(name) == archive.bytes
            with volume.open(name) as file:
                assert hashlib.sha256(file.read()).hexdigest() == archive.sha256
            on_tape = manifest.entries_on(volume, stored.id, archives=[archive.number])
            assert [shown(entry.path) for entry in on_tape] == trial.system.ask(partial(_paths, archive))
        if stored.state is SetState.COMPLETE:
            assert documents.is_complete(volume, stored.id)
            assert sum(archive.files for archive in stored.archives) == stored.files
        else:
            assert not documents.is_complete(volume, stored.id)


def _sets_on(session: Any, volume: Volume) -> list[BackupSet]:
    row = cartridges.recognise(session, volume.medium.to_json())
    if row is None:
        return []
    found = session.scalars(select(BackupSet).where(BackupSet.id.in_(kin.on(row)))).all()
    for stored in found:
        assert all(archive.cartridge_id == row.id for archive in stored.archives)
    return list(found)


def _paths(archive: BackupArchive, session: Any) -> list[str]:
    wanted = select(BackupFile.path).where(
        BackupFile.set_id == archive.set_id, BackupFile.archive == archive.number
    )
    return list(session.scalars(wanted.order_by(BackupFile.position)))


def _check_restored(trial: Trial, volume: Volume, set_id: str) -> None:
    """From the tape alone, byte for byte and fact for fact."""
    target = trial.system.folder / "restored"
    target.mkdir()
    report = restore(volume, set_id, manifest.entries_on(volume, set_id), target)
    assert not report.failures
    assert compare_trees(trial.system.source, target / trial.system.source.relative_to("/")) == []
    shutil.rmtree(target)


def _check_messages(trial: Trial, run: ChainRun, end: End) -> None:
    """Each event is in the outbox once and went out once."""
    of_run = (Notification.run_id == run.id) & (Notification.event != "started")
    wanted = select(Notification).where(of_run).order_by(Notification.id)

    def settled() -> bool:
        rows = trial.system.ask(lambda session: session.scalars(wanted).all())
        return all(row.next_attempt_at is None for row in rows)

    trial.system.wait_for(settled, "the messages to go out")
    rows = trial.system.ask(lambda session: session.scalars(wanted).all())
    assert tuple(row.event for row in rows) == end.messages
    assert len({(row.event, row.occurrence) for row in rows}) == len(rows)
    sent = trial.system.catcher.about(trial.name)
    assert len(sent) == len(rows), sent
    for event, title in zip(end.messages, sent, strict=True):
        assert TITLES[event] in title
