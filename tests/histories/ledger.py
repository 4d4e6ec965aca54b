"""Watches every format at the moment it begins, and trusts only the tape and the database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import select

from db.engine import Database
from db.models import BackupSet, ChainRun, FormatPermit
from policy.tapes import SetState
from tests import cartridges
from tests.histories.clock import Clock


class Ledger:
    """The formats of a history, and whatever was found to be wrong."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.formats: dict[tuple[int, int], str] = {}
        """For each part of a run the cartridge that it began to format."""
        self.violations: list[str] = []

    def violation(self, what: str) -> None:
        """Something is wrong: the history fails with this."""
        self.violations.append(what)

    def format_begins(self, folder: Path, label: str) -> None:
        """Before a format touches anything: is it permitted, for the first time, and is nothing lost?"""
        with self._database.transaction() as session:
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
        """What is on the tape may be lost: nothing foreign, no set that has to be kept."""
        named = run.options.get("erase_label")
        if named and named == cartridges.label_of(folder):
            return
        if cartridges.foreign_files(folder):
            self.violation(f"{folder.name} holds somebody else's files and is formatted")
        for set_id in cartridges.sets_on(folder):
            stored = session.get(BackupSet, set_id)
            if stored is None:
                self.violation(f"{folder.name} holds set {set_id}, which nobody knows, and is formatted")
            elif stored.state is not SetState.DESTROYED and not self._is_past(stored):
                self.violation(f"set {set_id} on {folder.name} is kept until {stored.retention_until}")

    def _is_past(self, stored: BackupSet) -> bool:
        return stored.retention_until is not None and stored.retention_until <= self._clock.moment
