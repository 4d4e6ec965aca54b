"""Catalogues with more sets than anybody would write one by one: filled by COPY."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

from sqlalchemy.orm import Session

from db.models import TapeCartridge
from db.schedules import schedules
from policy.tapes.facts import CartridgeState

BEGAN = datetime(2025, 1, 1, tzinfo=UTC)
MEDIUM = {
    "state": "formatted",
    "label": "TP20250101",
    "volume_uuid": "u1",
    "medium_serial": "m1",
    "empty": False,
}


def a_tape(session: Session, name: str = "TP20250101", mark: str = "1") -> TapeCartridge:
    """A cartridge as MEDIUM shows it, or another one."""
    tape = TapeCartridge(
        tape_id=name, label=name, state=CartridgeState.ACTIVE, generation=1, volume_uuid=f"u{mark}",
        medium_serial=f"m{mark}", capacity=12 * 10**12,
    )  # fmt: skip
    session.add(tape)
    session.flush()
    return tape


def set_id(number: int) -> str:
    return f"{BEGAN + timedelta(hours=number):%Y%m%dT%H%M%SZ}-{number:04x}"


def copy(session: Session, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Rows with the same columns, in one go."""
    listed = list(rows)
    columns = list(listed[0])
    lines = ("\t".join(_value(row[name]) for name in columns) + "\n" for row in listed)
    session.flush()
    cursor = session.connection().connection.cursor()
    cursor.copy_expert(f"COPY {table} ({', '.join(columns)}) FROM STDIN", StringIO("".join(lines)))


def _value(value: Any) -> str:
    return "\\N" if value is None else str(value)


def a_chain(session: Session, tape: TapeCartridge, length: int, **values: Any) -> int:
    """A full set and so many increments after it, each against the one before, with an archive of each on one
    tape; returns the template."""
    template = schedules.put(session, "hourly", drive="tape0", sources=["/data"]).template_id
    add_sets(session, tape, range(length + 1), template, **values)
    return template


def add_sets(
    session: Session, tape: TapeCartridge, numbers: Iterable[int], template: int, **values: Any
) -> None:
    """The first one is full; each other one follows the one before."""
    listed = list(numbers)
    facts = {
        "template_id": template, "cartridge_id": tape.id, "generation": tape.generation, "state": "complete",
        "sources": '["/data"]', "retention_until": BEGAN, "keep_sets": None, **values,
    }  # fmt: skip
    copy(
        session,
        "backup_sets",
        (
            {
                "id": set_id(number),
                "type": "incremental" if place else "full",
                "parent_id": set_id(listed[place - 1]) if place else None,
                "started_at": BEGAN + timedelta(hours=number),
                "finished_at": BEGAN + timedelta(hours=number),
                **facts,
            }
            for place, number in enumerate(listed)
        ),
    )
    copy(
        session,
        "backup_archives",
        (
            {
                "set_id": set_id(number), "number": 1, "cartridge_id": tape.id, "generation": tape.generation,
                "name": "data", "bytes": 1000, "sha256": "0", "files": 0, "content_bytes": 1000,
                "record": "{}", "sealed_at": BEGAN,
            }
            for number in listed
        ),
    )  # fmt: skip
