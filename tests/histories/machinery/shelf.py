"""The cartridges of a history, as an operator finds them on the shelf on the first day."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy.orm import Session

from db.models import BackupSet
from db.states import BackupType
from db.tapes import cartridges
from policy.tapes.facts import SetState
from policy.tapes.medium import MediumReport
from tape.virtual import record as virtual_record
from tape.virtual import shelf
from tape.virtual.record import VOLUME, VolumeRecord
from tests import earlier

CAPACITY = 1 << 20
OLD_FILE = b"written long ago" * 8


@dataclass(frozen=True)
class Cartridge:
    """What a cartridge is on the first day; ``known``: what its row and its set are made of."""

    name: str
    label: str | None = None
    kept_for: timedelta | None = None
    """How much longer its old set is kept, from the first day; None: it has no old set."""
    foreign: bool = False
    write_protected: bool = False
    torn: bool = False
    """A format of it was cut off before the first day: it cannot be read."""
    capacity: int = CAPACITY


LAST_YEAR, LAST_MONTH, THIS_MONTH = "TP20300301", "TP20310201", "TP20310307"

GOOD = (
    Cartridge("BLANK", capacity=CAPACITY),
    Cartridge("EXPIRED", LAST_YEAR, kept_for=timedelta(days=-1)),
    Cartridge("MARKED", THIS_MONTH),
)
"""What a run of the first month may take."""
OTHERS = (
    # The first archive of a set fits on it, the second does not.
    Cartridge("SMALL", capacity=20_000),
    Cartridge("KEPT", LAST_MONTH, kept_for=timedelta(days=45)),
    Cartridge("FOREIGN", "FAMILY-PHOTOS", foreign=True),
    Cartridge("FORGED", "TP20310308", foreign=True),
    Cartridge("LOCKED", write_protected=True),
    Cartridge("TORN", torn=True),
)


def put(session: Session, drive: Path, kind: Cartridge, first_day: datetime) -> BackupSet | None:
    """Make a cartridge on the shelf of a drive and, if it has a history, its rows; returns its old set."""
    shelf.new_cartridge(drive, kind.name, capacity=kind.capacity, write_protected=kind.write_protected)
    folder = shelf.folder_of(drive, kind.name)
    if kind.label:
        _volume(folder, kind)
    if kind.torn:
        _change(folder, lambda record: setattr(record, "formatting", True))
    return None if kind.kept_for is None else _known(session, drive, kind, first_day)


def _change(folder: Path, change: Callable[[virtual_record.Record], None]) -> None:
    with virtual_record.editing(folder) as record:
        change(record)


def _volume(folder: Path, kind: Cartridge) -> None:
    """A volume as an earlier year has left it."""
    files = {}
    if kind.foreign:
        files = {"photos/1998.jpg": OLD_FILE}
    if kind.kept_for is not None:
        files = {f"sets/{_set_id(kind)}/{name}": OLD_FILE for name in ("data-000001.tar", "complete.json")}
    for name, content in files.items():
        path = folder / VOLUME / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / VOLUME).mkdir(exist_ok=True)
    sizes = {name: len(content) for name, content in files.items()}
    volume = VolumeRecord(
        str(kind.label), "AAAAAA", f"uuid-{kind.name}", 1, used=sum(sizes.values()), files=sizes
    )
    _change(folder, lambda record: setattr(record, "volume", volume))


def _set_id(kind: Cartridge) -> str:
    return f"20300301T000000Z-{kind.name.encode().hex()[:8]}"


def _known(session: Session, drive: Path, kind: Cartridge, first_day: datetime) -> BackupSet:
    """The cartridge's row, and the set of a run of an earlier year."""
    record = virtual_record.read(shelf.folder_of(drive, kind.name))
    said: MediumReport = {
        "state": "formatted",
        "label": kind.label,
        "volume_uuid": f"uuid-{kind.name}",
        "medium_serial": record.medium_serial,
        "barcode": kind.name,
        "capacity": record.capacity,
    }
    row, _ = cartridges.update_label(session, original=None, medium=said)
    assert kind.kept_for is not None
    long_ago = first_day - timedelta(days=375)
    stored = BackupSet(
        id=_set_id(kind),
        cartridge_id=row.id,
        generation=row.generation,
        type=BackupType.FULL,
        state=SetState.COMPLETE,
        period=f"{long_ago:%Y-%m}",
        sources=[],
        started_at=long_ago,
        finished_at=long_ago,
        retention_until=first_day + kind.kept_for,
        **earlier.known(session, long_ago),
    )
    session.add(stored)
    return stored


def write_beside(folder: Path) -> None:
    """Somebody puts files of his own on a volume, by whatever means."""
    with virtual_record.editing(folder) as record:
        if record.volume and not record.formatting:
            path = folder / VOLUME / "photos/2031.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(OLD_FILE)
            record.volume.files["photos/2031.jpg"] = len(OLD_FILE)


def format_elsewhere(folder: Path, number: int) -> None:
    """Another program formats a cartridge, under the label that it has, or one of another site's."""
    with virtual_record.editing(folder) as record:
        if record.formatting:
            return
        label = record.volume.label if record.volume else THIS_MONTH
        shutil.rmtree(folder / VOLUME, ignore_errors=True)
        (folder / VOLUME).mkdir()
        record.formats += 1
        record.volume = VolumeRecord(label, "BBBBBB", f"elsewhere-{number}", record.formats)
