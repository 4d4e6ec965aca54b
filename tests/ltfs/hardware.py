"""The drive behind the stand-ins: a virtual drive's folder, as a SCSI device. Standard library only.

``device`` is that folder. A mount leaves a mark on the cartridge; one that is found later tells of a crash.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from tape.virtual import faults
from tape.virtual import record as virtual_record
from tape.virtual.faults import Fault
from tape.virtual.record import (
    LOST,
    VOLUME,
    Record,
    VolumeRecord,
)

MOUNTED = "mounted"


def cartridge(device: str) -> Path | None:
    """The folder of the cartridge that is in, or None.

    With the backend ``file`` the device is a cartridge itself.
    """
    if (Path(device) / virtual_record.FILE).exists():
        return Path(device).resolve()
    try:
        loaded = json.loads((Path(device) / "drive.json").read_bytes())["loaded"]
    except OSError:
        return None
    return Path(device) / "cartridges" / loaded if loaded else None


def sense(device: str) -> tuple[str, str] | None:
    """What the drive answers instead of being ready: a sense key and the additional sense."""
    try:
        key, text = (Path(device) / "sense").read_text().split("|")
    except OSError:
        return None
    return key, text


def exists(device: str) -> bool:
    """Whether there is a drive at all."""
    return Path(device).is_dir()


def take_fault(folder: Path, at: str) -> Fault | None:
    """What is planned to go wrong here, once; waits if the plan says so."""
    if not any(fault.at == at for fault in virtual_record.read(folder).faults):
        return None
    with virtual_record.editing(folder) as record:
        fault = faults.take(record.faults, at)
    if at != "format":
        faults.wait(fault)
    return fault


def was_cut_off(folder: Path) -> bool:
    """Whether it was mounted for writing when the power went."""
    return (folder / MOUNTED).exists()


def nothing_was_synced(folder: Path, record: Record) -> bool:
    """Whether, besides, no index was written in that mount although something else was."""
    if not was_cut_off(folder) or record.volume is None:
        return False
    return int((folder / MOUNTED).read_text()) == record.volume.index_generation and _unsealed(folder, record)


def mark_mounted(folder: Path, record: Record) -> None:
    assert record.volume
    (folder / MOUNTED).write_text(str(record.volume.index_generation))


def unmark(folder: Path) -> None:
    (folder / MOUNTED).unlink(missing_ok=True)


def _unsealed(folder: Path, record: Record) -> bool:
    volume = folder / VOLUME
    names = {path.relative_to(volume).as_posix() for path in volume.rglob("*") if path.is_file()}
    return bool(names - set(record.volume.files if record.volume else ()))


def wipe(folder: Path, *, seconds: float = 0.0) -> None:
    """Take volume and files off a cartridge, for a format or for good."""
    import shutil

    with virtual_record.editing(folder) as record:
        record.formatting = True
    for name in (VOLUME, LOST):
        shutil.rmtree(folder / name, ignore_errors=True)
    unmark(folder)
    time.sleep(seconds)
    with virtual_record.editing(folder) as record:
        record.volume = None


def label(folder: Path, name: str, serial: str | None, uuid: str) -> None:
    """Write a new, empty volume."""
    (folder / VOLUME).mkdir()
    with virtual_record.editing(folder) as record:
        record.formats += 1
        record.formatting = False
        record.volume = VolumeRecord(name, serial, uuid, record.formats)


def end_is_lost(last: str) -> int:
    """What LTFS says where the end of the data is not marked; worded as in its messages/libltfs/root.txt."""
    say("LTFS17146E EOD of DP(1) is missing. A deep recovery operation is required.")
    say("LTFS17148E Use ltfsck with the --deep-recovery option.")
    say(last)
    return 1


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
