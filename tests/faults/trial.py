"""One run on one cartridge, and the places in it where a fault may strike."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from db.models import BackupArchive, ChainStep, FormatPermit
from db.runs import transitions
from db.states import Step, StepState
from db.tapes import cartridges
from tape.virtual import record as virtual_record
from tape.virtual import shelf
from tape.virtual.record import Record
from tests.faults.fragile import FragileSystem

MB = 1 << 20
SLOW = {"format_seconds": 2.0}
TEMPLATE = {"archive_bytes": MB, "compression": "none"}


class Trial:
    """A cartridge in the drive and a schedule for it; ``known``: the catalogue has its row already."""

    def __init__(
        self,
        system: FragileSystem,
        *,
        tape: Mapping[str, Any],
        faults: Any = (),
        known: bool = False,
        **schedule: Any,
    ) -> None:
        self.system = system
        self.name = f"s{secrets.token_hex(3)}"
        self.barcode = self.name.upper()
        self.run_id = 0
        self.insert(self.barcode, **tape)
        if known:
            self._make_known()
        if faults:
            shelf.set_faults(system.drive.path, self.barcode, faults)
        self.formats_before = self.record.formats
        system.schedule(
            self.name, system.source, template={**TEMPLATE, **schedule.pop("template", {})}, **schedule
        )

    def insert(self, barcode: str, **tape: Any) -> None:
        """Put a new, blank cartridge into the drive."""
        shelf.new_cartridge(self.system.drive.path, barcode, **{"capacity": 10**9, **tape})
        shelf.insert(self.system.drive.path, barcode)

    def _make_known(self) -> None:
        """An operator labelled the cartridge for this month, and its row says so."""
        month = f"TP{datetime.now(UTC):%Y%m}"
        taken = self.system.ask(lambda session: cartridges.labels_of_others(session, {"state": "no_medium"}))
        label = next(name for number in range(1, 100) if (name := f"{month}{number:02d}") not in taken)
        assert self.system.drive.format(label).return_code == 0
        said = self.system.drive.look().to_json()
        self.system.ask(lambda session: cartridges.formatted(session, None, said, said))

    @property
    def folder(self) -> Path:
        """The folder of the cartridge."""
        return shelf.folder_of(self.system.drive.path, self.barcode)

    @property
    def record(self) -> Record:
        """What the cartridge itself remembers."""
        return virtual_record.read(self.folder)

    @property
    def state(self) -> str:
        """The state of the run now."""
        return str(self.system.ask(lambda session: transitions.get(session, self.run_id).state.value))

    def change(self, **properties: Any) -> None:
        """Change properties of the cartridge, such as the time that its next format takes."""
        with shelf.edit(self.system.drive.path, self.barcode) as record:
            for name, value in properties.items():
                setattr(record, name, value)

    def begin(self) -> None:
        self.run_id = self.system.begin(self.name)

    def is_running(self, step: Step) -> bool:
        """Whether a worker has claimed a step of the run."""
        wanted = select(func.count()).where(
            ChainStep.run_id == self.run_id, ChainStep.step == step, ChainStep.state == StepState.RUNNING
        )
        return bool(self.system.ask(lambda session: session.scalar(wanted)))

    def attempts(self, step: Step) -> int:
        """How often a step of the run was claimed."""
        wanted = select(ChainStep.attempts).where(ChainStep.run_id == self.run_id, ChainStep.step == step)
        return int(self.system.ask(lambda session: session.scalar(wanted)))

    def progress(self) -> int | None:
        """How many bytes of content the run shows as done."""
        return self.system.ask(
            lambda session: (transitions.get(session, self.run_id).progress or {}).get("bytes")
        )

    def catalogued(self) -> int:
        """How many archives of this cartridge the catalogue has."""
        wanted = select(func.count()).where(BackupArchive.set_id.in_(self._sets()))
        return int(self.system.ask(lambda session: session.scalar(wanted)))

    def _sets(self) -> list[str]:
        folder = self.folder / "volume" / "sets"
        return [path.name for path in folder.iterdir()] if folder.is_dir() else []

    def permit_is_consumed(self) -> bool:
        wanted = select(func.count()).where(
            FormatPermit.run_id == self.run_id, FormatPermit.consumed_at.is_not(None)
        )
        return bool(self.system.ask(lambda session: session.scalar(wanted)))

    def format_is_recorded(self) -> bool:
        wanted = select(ChainStep.state).where(
            ChainStep.run_id == self.run_id, ChainStep.step == Step.FORMAT_TAPE
        )
        return self.system.ask(lambda session: session.scalar(wanted)) is StepState.SUCCEEDED

    def is_writing(self) -> bool:
        """Whether an archive is half on tape, after others that are sealed."""
        sealed = self.record.volume.files if self.record.volume else {}
        data = [path for path in (self.folder / "volume").glob("sets/*/data-*") if path.stat().st_size > 0]
        return any(path.relative_to(self.folder / "volume").as_posix() not in sealed for path in data)


def always(_: Trial) -> bool:
    return True


@dataclass(frozen=True)
class Place:
    """A moment of a run that lasts until it is released: in a step, where the fault then strikes."""

    name: str
    step: Step
    reached: Callable[[Trial], bool] = always
    tape: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[Mapping[str, Any], ...] = ()
    table: str | None = None
    """Closed to writers, so that the step stops where it writes it."""
    closed_when: Callable[[Trial], bool] | None = None
    """When the table is closed; None: before the run begins."""

    def __str__(self) -> str:
        return self.name

    @contextmanager
    def held(self, trial: Trial) -> Iterator[None]:
        """Begin the run and stop it here for the time of the context."""
        if self.table is None:
            trial.begin()
            self._wait(trial)
            yield
            return
        if self.closed_when:
            trial.begin()
            trial.system.wait_for(partial(self.closed_when, trial), f"the way to {self}")
        with trial.system.closed_to_writers(self.table):
            if not self.closed_when:
                trial.begin()
            self._wait(trial)
            yield

    def _wait(self, trial: Trial) -> None:
        trial.system.wait_for(lambda: self._is_reached(trial), f"run {trial.run_id} to come to {self}")

    def _is_reached(self, trial: Trial) -> bool:
        if not trial.is_running(self.step) or not self.reached(trial):
            return False
        return self.table is None or trial.system.someone_waits_for(self.table)


class AfterTheFormat(Place):
    """The format writes the same table: the control worker pauses until the format has been recorded."""

    @contextmanager
    def held(self, trial: Trial) -> Iterator[None]:
        assert self.table
        with ExitStack() as table:
            trial.begin()
            trial.system.wait_for(lambda: trial.record.formatting, "the format")
            with trial.system.paused("control"):
                trial.system.wait_for(trial.format_is_recorded, "the format to be recorded")
                table.enter_context(trial.system.closed_to_writers(self.table))
            self._wait(trial)
            yield


def _one_catalogued(trial: Trial) -> bool:
    return trial.catalogued() >= 1


WRITING = {"speed": 3 * MB}
PRECHECK = Place("precheck", Step.PRECHECK, table="drives")
RECORD = Place("create_record", Step.CREATE_RECORD, table="backup_tasks")
PERMITTED = Place(
    "format permitted, not begun",
    Step.FORMAT_TAPE,
    # The looks of precheck, of the permit, and the one at the last moment.
    faults=({"at": "look", "error": "slow", "nth": 3, "seconds": 4.0},),
    reached=Trial.permit_is_consumed,
)
FORMAT = Place("format_tape", Step.FORMAT_TAPE, tape=SLOW, reached=lambda trial: trial.record.formatting)
FORMATTED = Place(
    "formatted, not recorded",
    Step.FORMAT_TAPE,
    tape={"format_seconds": 1.0},
    table="format_permits",
    closed_when=lambda trial: trial.record.formatting,
)
LABEL = AfterTheFormat("update_label", Step.UPDATE_LABEL, tape=SLOW, table="tape_cartridges")
ARCHIVE = Place(
    "run_backup",
    Step.RUN_BACKUP,
    tape=WRITING,
    reached=lambda trial: _one_catalogued(trial) and trial.is_writing(),
)
SEALED = Place(
    "archive sealed, not catalogued",
    Step.RUN_BACKUP,
    tape=WRITING,
    table="backup_archives",
    closed_when=_one_catalogued,
)
COPYING = Place(
    "files on their way to the catalogue",
    Step.RUN_BACKUP,
    tape=WRITING,
    table="backup_files",
    closed_when=_one_catalogued,
)
COPIED = Place(
    "files in the catalogue, not committed",
    Step.RUN_BACKUP,
    tape=WRITING,
    table="run_events",
    closed_when=_one_catalogued,
)
COMPLETE = Place(
    "set complete on tape, not in the catalogue",
    Step.RUN_BACKUP,
    tape=WRITING,
    table="backup_tasks",
    closed_when=_one_catalogued,
)
# The beginning of a run goes through the same outbox.
NOTIFY = Place("notify", Step.NOTIFY, tape=WRITING, table="notifications", closed_when=_one_catalogued)
