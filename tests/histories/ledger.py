"""Watches every format at the moment it begins; trusts the tape, and what is remembered of its sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import select

from db.engine import Database
from db.models import BackupSet, ChainRun, FormatPermit
from tests import cartridges
from tests.histories.machinery.clock import Clock
from tests.histories.memory import Memory


class Ledger:
    """The formats of a history, and whatever was found to be wrong."""

    def __init__(self, database: Database, clock: Clock, memory: Memory) -> None:
        self._database = database
        self._clock = clock
        self._memory = memory
        self.formats: dict[tuple[int, int], str] = {}
        """For each part of a run the cartridge that it began to format."""
        self.violations: list[str] = []

    def violation(self, what: str) -> None:
        """Something is wrong: the history fails with this."""
        self.violations.append(what)

    def format_begins(self, folder: Path, label: str) -> None:
        """Before a format touches anything: is it permitted, for the first time, and is nothing lost?"""
        with self._database.transaction() as session:
            self._memory.learn(session)
            permit = self._permit(session, folder)
            if permit is None:
                self.violation(f"{folder.name} is formatted as {label} without a permit that was consumed")
                return
            if (permit.run_id, permit.part) in self.formats:
                self.violation(f"part {permit.part} of run {permit.run_id} formats twice")
            self.formats[permit.run_id, permit.part] = folder.name
            if permit.label != label:
                self.violation(f"the permit is for {permit.label}, not {label}")
            self._check_losses(session, folder, session.get_one(ChainRun, permit.run_id))
        self._memory.erased(folder, self._clock.moment)

    def database_replaced(self) -> None:
        """The runs of another database have numbers of their own."""
        self.formats.clear()

    def _permit(self, session: Any, folder: Path) -> FormatPermit | None:
        """The permit that was consumed for this cartridge and whose outcome nobody has noted."""
        wanted = select(FormatPermit).where(
            FormatPermit.identity["medium_serial"].astext == cartridges.medium_serial(folder),
            FormatPermit.consumed_at.is_not(None),
            FormatPermit.outcome.is_(None),
        )
        found: FormatPermit | None = session.scalars(wanted.order_by(FormatPermit.id.desc())).first()
        return found

    def _check_losses(self, session: Any, folder: Path, run: ChainRun) -> None:
        """What is on the tape may be lost: nothing foreign, nothing unknown, no set that has to be kept."""
        if cartridges.foreign_files(folder):
            self.violation(f"{folder.name} holds somebody else's files and is formatted")
        named = run.options.erase_label
        is_named = bool(named) and named == cartridges.label_of(folder)
        newest = self._memory.newest_full(run.schedule.name if run.schedule else None)
        for set_id in cartridges.sets_on(folder):
            if session.get(BackupSet, set_id) is None or set_id not in self._memory.sets:
                self.violation(f"{folder.name} holds set {set_id}, which nobody knows, and is formatted")
            elif not is_named and self._memory.must_keep(set_id, self._clock.moment):
                self.violation(f"set {set_id} on {folder.name} has to be kept, and is formatted")
            elif not is_named and set_id == newest:
                self.violation(f"set {set_id} on {folder.name} is the newest full one, and is formatted")
