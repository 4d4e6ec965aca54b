"""A stand-in for ``mkltfs``. Standard library only."""

from __future__ import annotations

import argparse
import re
import time
import uuid
from pathlib import Path

from tape.virtual import record as virtual_record
from tests.ltfs import hardware, samples


def main() -> int:
    parser = argparse.ArgumentParser(prog="mkltfs", allow_abbrev=False)
    parser.add_argument("-d", dest="device")
    parser.add_argument("-n", dest="name", default="")
    parser.add_argument("-s", dest="serial")
    parser.add_argument("-e", dest="backend", required=True)
    parser.add_argument("-f", dest="force", action="store_true")
    parser.add_argument("-w", dest="wipe", action="store_true")
    parser.add_argument("--version", action="version", version="%(prog)s version 2.4.8.4")
    asked = parser.parse_args()
    folder = hardware.cartridge(asked.device or "")
    refused = _refusal(asked, folder)
    if refused or folder is None:
        return _play(refused or "mkltfs_no_such_device", asked)
    if asked.wipe:
        hardware.wipe(folder)
        with virtual_record.editing(folder) as record:
            record.formatting = False
        return _play("mkltfs_wipe_ok", asked)
    return _format(asked, folder)


def _refusal(asked: argparse.Namespace, folder: Path | None) -> str | None:
    wrong = _wrong_words(asked)
    if wrong or folder is None:
        return wrong or "mkltfs_no_such_device"
    record = virtual_record.read(folder)
    if record.write_protected:
        return "mkltfs_write_protected"
    return "mkltfs_already_formatted" if record.volume and not (asked.force or asked.wipe) else None


def _wrong_words(asked: argparse.Namespace) -> str | None:
    if asked.device is None:
        return "mkltfs_no_device_arg"
    if "/" in asked.name or len(asked.name) > 255:
        return "mkltfs_bad_name"
    if asked.serial is not None and len(asked.serial) != 6:
        return "mkltfs_bad_serial_len"
    if asked.serial is not None and not re.fullmatch("[A-Z0-9]{6}", asked.serial):
        return "mkltfs_bad_serial_char"
    return None


def _format(asked: argparse.Namespace, folder: Path) -> int:
    fault = hardware.take_fault(folder, "format")
    error = fault.error if fault else None
    if error in {"hang", "slow"}:
        time.sleep((fault.seconds if fault else None) or 0)
    if error in {"eio", "hang"}:
        return _fail()
    case = "mkltfs_force_ok" if asked.force else "mkltfs_ok"
    if error == "lie_ok":
        return _play(case, asked)
    hardware.wipe(folder, seconds=virtual_record.read(folder).format_seconds)
    if error == "half":
        return _fail()
    identity = str(uuid.uuid4())
    hardware.label(folder, asked.name + ("X" if error == "wrong_label" else ""), asked.serial, identity)
    if error == "hang_after":
        time.sleep((fault.seconds if fault else None) or 0)
    return _fail() if error == "lie_error" else _play(case, asked, identity)


def _fail() -> int:
    hardware.say("LTFS15012E Failed to format the medium.")
    hardware.say("LTFS15023I Formatting failed.")
    return 1


def _play(case: str, asked: argparse.Namespace, identity: str = "") -> int:
    return samples.play(
        case, device=asked.device or "", label=asked.name, serial=asked.serial or "", uuid=identity
    )
