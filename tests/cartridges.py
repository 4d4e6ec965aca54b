"""Virtual cartridges as they lie on the shelf: read from their folders alone, whatever any database says."""

from __future__ import annotations

import json
from pathlib import Path

from tape.virtual import record as virtual_record


def sealed(folder: Path) -> dict[str, int]:
    """The files that count on a cartridge, with their sizes."""
    try:
        record = virtual_record.read(folder)
    except virtual_record.DamagedRecord:
        return {}
    return {} if record.formatting or record.volume is None else dict(record.volume.files)


def sets_on(folder: Path) -> set[str]:
    """The sets of which a cartridge holds a sealed archive, whatever the catalogue says."""
    found = set()
    for name in sealed(folder):
        parts = Path(name).parts
        if len(parts) == 3 and parts[0] == "sets" and parts[2].startswith("data-"):
            found.add(parts[1])
    return found


def any_of_sets_on(folder: Path) -> set[str]:
    """The sets of which a cartridge holds anything: one of nothing that changed has documents alone."""
    return {Path(name).parts[1] for name in sealed(folder) if name.startswith("sets/")}


def is_elsewhere(folder: Path, set_id: str) -> bool:
    """Whether another cartridge of any drive has the end of a set, and all of its archives that are here."""
    mine = {name for name in sealed(folder) if name.startswith(f"sets/{set_id}/data-")}
    return any(
        other != folder and {*mine, f"sets/{set_id}/complete.json"} <= sealed(other).keys()
        for other in folder.parents[2].glob("*/cartridges/*")
    )


def foreign_files(folder: Path) -> list[str]:
    """Files that Tapeline has not written."""
    return [name for name in sealed(folder) if not name.startswith("sets/") and name != "README.txt"]


def medium_serial(folder: Path) -> str:
    return str(json.loads((folder / virtual_record.FILE).read_bytes())["medium_serial"])


def label_of(folder: Path) -> str | None:
    """The label of the volume on a cartridge."""
    volume = virtual_record.read(folder).volume
    return volume.label if volume else None
