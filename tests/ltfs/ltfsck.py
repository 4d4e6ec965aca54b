"""A stand-in for ``ltfsck``: puts aside what a crash left. Return code 1 where all is well."""

from __future__ import annotations

import argparse

from tape.virtual import cartridge
from tape.virtual import record as virtual_record
from tests.ltfs import hardware, samples


def main() -> int:
    parser = argparse.ArgumentParser(prog="ltfsck")
    parser.add_argument("-e", dest="backend", required=True)
    parser.add_argument("-l", dest="list", action="store_true")
    parser.add_argument("--deep-recovery", dest="deep", action="store_true")
    parser.add_argument("device")
    parser.add_argument("--version", action="version", version="%(prog)s version 2.4.8.4")
    asked = parser.parse_args()
    folder = hardware.cartridge(asked.device)
    if folder is None:
        return samples.play("ltfsck_no_such_device", device=asked.device)
    record = virtual_record.read(folder)
    if record.volume is None:
        return samples.play("ltfsck_blank", device=asked.device)
    if asked.list:
        return samples.play("ltfsck_list", device=asked.device, label=record.volume.label)
    if record.volume.end_lost and not asked.deep:
        return hardware.end_is_lost("LTFS16021E Volume is inconsistent and was not corrected.")
    if asked.deep:
        hardware.say("LTFS17139I Starting a deep recovery operation: missing EOD.")
        with virtual_record.editing(folder) as edited:
            assert edited.volume
            edited.volume.end_lost = False
        hardware.say("LTFS17138I Recovered EOD status successfully (0).")
    cartridge.recover(folder)
    hardware.unmark(folder)
    return samples.play("ltfsck_consistent", device=asked.device, label=record.volume.label)
