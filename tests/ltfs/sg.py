"""Stand-ins for the programs of sg3_utils, which print what the real ones do. Standard library only."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tape.durable import write_json
from tape.virtual import record as virtual_record
from tape.virtual.record import DamagedRecord, Record
from tests.ltfs import hardware, samples

MIB = 1024 * 1024
NOT_READY, MEDIUM_ERROR, ILLEGAL_REQUEST, NO_DEVICE = 2, 3, 5, 52


def sg_turs() -> int:
    device = _device("-v")
    sense = hardware.sense(device)
    if sense is None and hardware.cartridge(device) is not None:
        return 0
    key, text = sense or ("Not Ready", "Medium not present")
    sys.stderr.write(
        f"test unit ready: Fixed format, current; Sense key: {key}\n"
        f" Additional sense: {text}\ndevice not ready\n"
    )
    return NOT_READY if key == "Not Ready" else MEDIUM_ERROR


def sg_modes() -> int:
    folder = hardware.cartridge(_device("-6", "-D"))
    if folder is None:
        return NOT_READY
    specific = 0x90 if virtual_record.read(folder).write_protected else 0x10
    sys.stdout.write(
        "    IBM       ULT3580-TD8       J4D4   peripheral_type: tape [0x1]\n"
        "Mode parameter header from MODE SENSE(6):\n"
        f"  Mode data length=176, medium type=0x88, specific param={specific:#04x}, longlba=0\n"
    )
    return 0


def sg_read_attr() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("-p", dest="partition", type=int, default=0)
    parser.add_argument("device")
    asked = parser.parse_args()
    if not hardware.exists(asked.device):
        return samples.play("sg_read_attr_nodev", device=asked.device)
    folder = hardware.cartridge(asked.device)
    if folder is None:
        return NOT_READY
    fault = hardware.take_fault(folder, "look") if asked.partition == 0 else None
    try:
        record = virtual_record.read(folder)
    except DamagedRecord:
        return MEDIUM_ERROR
    if (fault and fault.error == "unreadable") or record.formatting:
        sys.stderr.write("Read attribute command: Medium or hardware error\n")
        return MEDIUM_ERROR
    if asked.partition and record.volume is None:
        return ILLEGAL_REQUEST
    sys.stdout.write(_attributes(record, crashed=hardware.was_cut_off(folder)))
    return 0


def _attributes(record: Record, *, crashed: bool) -> str:
    """The sample, with what this cartridge has in it."""
    lines = samples.load("sg_read_attr_all").stdout.splitlines()
    used = record.volume.used if record.volume else 0
    generation = record.volume.index_generation if record.volume else int(record.foreign)
    values = {
        "Remaining capacity in partition [MiB]": max(0, record.capacity - used) // MIB,
        "Maximum capacity in partition [MiB]": record.capacity // MIB,
        "Load count": record.loads,
        "Volume change reference": hex(generation + crashed),
        "Medium serial number": record.medium_serial.ljust(32),
    }
    if record.volume:
        values |= {
            "User medium text label": record.volume.label,
            "Barcode": (record.volume.serial or "").ljust(32),
        }
    text = "\n".join(_with(line, values) for line in lines if record.volume or _is_the_drives(line, values))
    if record.volume is None:
        return f"{text}\n"
    lock = 4 if record.volume.read_only else int(record.volume.locked)
    head = text[: text.index("  Volume coherency information")]
    return (
        f"{head}  Total MiB written in medium life: {record.written_bytes // MIB}\n"
        f"  Volume coherency information: \n{_dump(_coherency(record.volume.uuid, generation))}"
        f"  Vendor specific host attribute 0x1623: \n{_dump(bytes([lock]))}"
    )


def _with(line: str, values: dict[str, object]) -> str:
    name = line.strip().split(":")[0]
    return f"  {name}: {values[name]}" if name in values else line


def _is_the_drives(line: str, values: dict[str, object]) -> bool:
    """What is on the chip of a cartridge that no program has written."""
    return line.strip().split(":")[0] in {*values, "Medium manufacturer", "Attribute values"}


def _coherency(uuid: str, generation: int) -> bytes:
    number = generation.to_bytes(8, "big")
    place = (5).to_bytes(8, "big")
    return b"\x08" + number + number + place + (43).to_bytes(2, "big") + b"LTFS\0" + uuid.encode() + b"\0\1"


def _dump(data: bytes) -> str:
    lines = []
    for start in range(0, len(data), 16):
        chunk = data[start : start + 16]
        halves = [" ".join(f"{byte:02x}" for byte in chunk[at : at + 8]) for at in (0, 8)]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in chunk)
        lines.append(f" {start:02x}     {'  '.join(half for half in halves if half):<48}    {shown}\n")
    return "".join(lines)


def sg_logs() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("-b", dest="brief", action="store_true")
    parser.add_argument("-p", dest="page", required=True)
    parser.add_argument("device")
    asked = parser.parse_args()
    folder = hardware.cartridge(asked.device)
    if folder is None:
        return NOT_READY
    record = virtual_record.read(folder)
    if asked.page == "0x2e":
        sys.stdout.write("Tape alert page (ssc-3) [0x2e]\n")
        if record.volume and record.volume.read_only:
            sys.stdout.write("  Write failure: 1\n")
    else:
        sys.stdout.write(
            "Volume statistics page (ssc-4), subpage=0\n  Page valid: 1\n"
            f"  Thread count: {record.loads}\n"
            f"  Total unrecovered write errors: {record.write_errors}\n"
            f"  Total unrecovered read errors: {record.read_errors}\n"
        )
    return 0


def sg_raw() -> int:
    """LOAD UNLOAD alone."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-t", dest="limit")
    parser.add_argument("device")
    parser.add_argument("cdb", nargs=6)
    asked = parser.parse_args()
    if asked.cdb == ["1b", "00", "00", "00", "00", "00"]:
        write_json(Path(asked.device) / "drive.json", {"version": 1, "loaded": None})
        return 0
    assert asked.cdb == ["1b", "00", "00", "00", "01", "00"]
    sys.stderr.write("Sense key: Not Ready\n Additional sense: Medium not present\n")
    return NOT_READY


def _device(*options: str) -> str:
    assert sys.argv[1:-1] == list(options), sys.argv
    if not hardware.exists(sys.argv[-1]):
        sys.stderr.write(f"error opening file: {sys.argv[-1]}: No such file or directory\n")
        raise SystemExit(NO_DEVICE)
    return sys.argv[-1]
