"""The format program of the virtual drive, run as a child process as ``mkltfs`` is, and as talkative.

    python -m tape.virtual.format_program -d CARTRIDGE_FOLDER -n LABEL [-s SERIAL] [-f]

Standard library only, so that it starts at once. Return codes: 0 done, 1 failed half-way, 8 no such
cartridge, 16 refused and nothing touched.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import time
import uuid
from pathlib import Path

from tape.virtual import faults
from tape.virtual import record as virtual_record
from tape.virtual.faults import Fault
from tape.virtual.record import (
    LOST,
    VOLUME,
    DamagedRecord,
    Record,
    VolumeRecord,
)

NAME_LENGTH = 255
DONE, FAILED, NO_DEVICE, REFUSED = 0, 1, 8, 16


def main() -> int:
    """Format the cartridge that the command line names; the return code reports the result."""
    asked = _asked()
    _say("LTFS15000I Starting the format of a virtual cartridge.")
    _say(f"LTFS15003I Formatting device '{asked.device}'.")
    try:
        record, fault = _take_fault(asked.device)
    except (DamagedRecord, OSError) as error:
        return _fail(NO_DEVICE, f"LTFS15009E Cannot open device: {error}.")
    refusal = _refusal(asked, record)
    if refusal:
        return _fail(REFUSED, refusal)
    try:
        return _format(asked, record, fault)
    except (DamagedRecord, OSError) as error:
        return _fail(FAILED, f"LTFS15012E Failed to format the medium: {error}.")


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="virtual_format", allow_abbrev=False)
    parser.add_argument("-d", dest="device", type=Path, required=True)
    parser.add_argument("-n", dest="name", required=True)
    parser.add_argument("-s", dest="serial")
    parser.add_argument("-f", dest="force", action="store_true")
    return parser.parse_args()


def _refusal(asked: argparse.Namespace, record: Record) -> str | None:
    if "/" in asked.name or not 0 < len(asked.name) <= NAME_LENGTH:
        return "LTFS15031E Volume name must conform to file name rules."
    if asked.serial is not None and len(asked.serial) != 6:
        return "LTFS15029E Tape serial must be 6 characters."
    if asked.serial is not None and not re.fullmatch("[A-Z0-9]{6}", asked.serial):
        return "LTFS15030E Tape serial must contain only ASCII digits and capital letters."
    if record.write_protected:
        return "LTFS11095E Cannot format: the medium is write protected."
    if (record.volume or record.formatting) and not asked.force:
        return "LTFS15047E Medium is already formatted (0)."
    return None


def _take_fault(device: Path) -> tuple[Record, Fault | None]:
    record = virtual_record.read(device)
    if not any(fault.at == "format" for fault in record.faults):
        return record, None
    with virtual_record.editing(device) as record:
        return record, faults.take(record.faults, "format")


def _format(asked: argparse.Namespace, record: Record, fault: Fault | None) -> int:
    error = fault.error if fault else None
    if error in {"hang", "slow"}:
        faults.wait(fault)
    if error in {"eio", "hang"}:
        return _fail(FAILED, "LTFS15012E Failed to format the medium.")
    if error == "lie_ok":
        time.sleep(record.format_seconds)
        return _succeed(record)
    _wipe(asked.device, record)
    if error == "half":
        return _fail(FAILED, "LTFS15012E Failed to format the medium.")
    _label(asked.device, f"{asked.name}X" if error == "wrong_label" else asked.name, asked.serial)
    if error == "hang_after":
        faults.wait(fault)
    if error == "lie_error":
        return _fail(FAILED, "LTFS12045E Cannot unload the medium.")
    return _succeed(record)


def _wipe(device: Path, record: Record) -> None:
    _say("LTFS11097I Partitioning the medium.")
    with virtual_record.editing(device) as edited:
        edited.formatting = True
    for folder in (device / VOLUME, device / LOST):
        if folder.exists():
            shutil.rmtree(folder)
    time.sleep(record.format_seconds)


def _label(device: Path, name: str, serial: str | None) -> None:
    _say("LTFS11100I Writing label to partition a.")
    (device / VOLUME).mkdir()
    identity = str(uuid.uuid4())
    with virtual_record.editing(device) as edited:
        generation = edited.formats + 1
        edited.formats = generation
        edited.formatting = edited.foreign = False
        edited.volume = VolumeRecord(name, serial, identity, generation)
    _say(f"LTFS15013I Volume UUID is: {identity}.")


def _succeed(record: Record) -> int:
    _say(f"LTFS15019I Volume capacity is {record.capacity // 10**9} GB.")
    _say("LTFS15024I Medium formatted successfully.")
    return DONE


def _fail(code: int, reason: str) -> int:
    _say(reason)
    _say("LTFS15023I Formatting failed.")
    return code


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
