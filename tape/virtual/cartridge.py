"""A virtual cartridge as a folder: what a drive sees of it, and what a crash left on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from policy.message import M, Message
from tape.drive import Medium, MediumState, WriteLock
from tape.virtual import record as virtual_record
from tape.virtual.record import (
    LOST,
    VOLUME,
    DamagedRecord,
    Record,
    VolumeRecord,
)


def medium(folder: Path) -> Medium:
    """What the drive affirms about a cartridge. Damage or a contradiction makes it unreadable."""
    try:
        record = virtual_record.read(folder)
    except DamagedRecord:
        return Medium(MediumState.UNREADABLE, barcode=folder.name)
    if record.cleaning is not None:
        return Medium(MediumState.CLEANING)
    if contradiction(folder, record):
        return _of(record, MediumState.UNREADABLE)
    if record.volume is None:
        return _of(record, MediumState.FOREIGN if record.foreign else MediumState.BLANK)
    return _formatted(record)


def contradiction(folder: Path, record: Record) -> Message | None:
    """Why the record and the folder of a cartridge contradict each other, or None."""
    if record.barcode != folder.name:
        return M("Cartridge {barcode} has the record of {other}.", barcode=folder.name, other=record.barcode)
    if record.formatting:
        return M("A format of cartridge {barcode} was begun and not ended.", barcode=record.barcode)
    if record.volume is None:
        if any(_files(folder / VOLUME)):
            return M("Cartridge {barcode} says that it is blank and has files.", barcode=record.barcode)
        return None
    if not (folder / VOLUME).is_dir():
        return M("Cartridge {barcode} has lost its volume.", barcode=record.barcode)
    return _wrong_size(folder / VOLUME, record.volume.files)


def recover(folder: Path) -> Record:
    """Remove what a crash left unsealed; its bytes stay used. Raises DamagedRecord, OSError."""
    record = virtual_record.read(folder)
    sealed = record.volume.files if record.volume else {}
    volume = folder / VOLUME
    left = [path for path in _files(volume) if path.relative_to(volume).as_posix() not in sealed]
    if not left or record.volume is None:
        return record
    with virtual_record.editing(folder) as record:
        if record.volume:
            record.volume.used += sum(path.lstat().st_size for path in left)
        _put_aside(volume, left, _fresh(folder / LOST))
    return record


def _of(record: Record, state: MediumState) -> Medium:
    return Medium(
        state,
        medium_serial=record.medium_serial,
        barcode=record.barcode,
        write_protected=record.write_protected,
        capacity=record.capacity,
    )


def _formatted(record: Record) -> Medium:
    assert record.volume is not None
    return Medium(
        MediumState.FORMATTED,
        label=record.volume.label,
        volume_uuid=record.volume.uuid,
        serial=record.volume.serial,
        medium_serial=record.medium_serial,
        barcode=record.barcode,
        write_protected=record.write_protected,
        lock=_lock(record.volume),
        empty=not record.volume.files,
        capacity=record.capacity,
        free=max(0, record.capacity - record.volume.used),
    )


def _lock(volume: VolumeRecord) -> WriteLock:
    if volume.read_only:
        return WriteLock.WRITE_ERROR
    return WriteLock.ADVISORY if volume.locked else WriteLock.NONE


def _wrong_size(volume: Path, sealed: dict[str, int]) -> Message | None:
    for name, size in sealed.items():
        path = volume / name
        actual = path.stat().st_size if path.is_file() else None
        if actual != size:
            return M(
                "{name} has {found} bytes on the volume, and {sealed} in its index.",
                name=name,
                found=actual or 0,
                sealed=size,
            )
    return None


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


def _fresh(lost: Path) -> Path:
    number = 1
    while (lost / str(number)).exists():
        number += 1
    return lost / str(number)


def _put_aside(volume: Path, left: list[Path], target: Path) -> None:
    for path in left:
        place = target / path.relative_to(volume)
        place.parent.mkdir(parents=True, exist_ok=True)
        path.replace(place)
    for folder in {path.parent for path in left}:
        _remove_empty(folder, volume)


def _remove_empty(folder: Path, volume: Path) -> None:
    while folder != volume and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
