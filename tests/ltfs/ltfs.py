"""A stand-in for ``ltfs``: a real FUSE file system over the volume of a virtual cartridge."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mfusepy

from tape.errors import DriveError, SealFailed, TapeFull, TapeReadError, TapeWriteError
from tape.virtual import cartridge
from tape.virtual import record as virtual_record
from tape.virtual.record import Record
from tape.virtual.volume import VirtualFile, VirtualVolume
from tests.ltfs import hardware, samples

MIB = 1024 * 1024
SECTOR = 512
"""Windows counts room in no less."""
ERRNO = {TapeFull: errno.ENOSPC, SealFailed: errno.EIO, TapeWriteError: errno.EROFS, TapeReadError: errno.EIO}
STATUS = ("st_mode", "st_size", "st_nlink", "st_uid", "st_gid", "st_mtime", "st_ctime", "st_atime")


def main() -> int:
    parser = argparse.ArgumentParser(prog="ltfs")
    parser.add_argument("-o", dest="options", action="append", default=[])
    parser.add_argument("point", nargs="?")
    parser.add_argument("--version", action="version", version="%(prog)s version 2.4.8.4")
    asked = parser.parse_args()
    options = dict(option.partition("=")[::2] for option in asked.options)
    device = options.get("devname", "")
    if "device_list" in options:
        sys.stderr.write((samples.FOLDER / "device_list.stderr").read_text())
        return 1
    folder = hardware.cartridge(device)
    if folder is None:
        return samples.play("ltfs_mount_no_such_device", device=device)
    fault = hardware.take_fault(folder, "mount")
    if fault and fault.error == "unreadable":
        hardware.say("LTFS14013E Cannot mount the volume.")
        return 1
    return _mount(folder, device, Path(asked.point), options)


def _mount(folder: Path, device: str, point: Path, options: dict[str, str]) -> int:
    record = virtual_record.read(folder)
    if record.formatting:
        hardware.say("LTFS11009E Cannot read volume: failed to read partition labels.")
        hardware.say("LTFS14013E Cannot mount the volume.")
        return 1
    if record.volume and record.volume.end_lost:
        return hardware.end_is_lost("LTFS14013E Cannot mount the volume.")
    refused = _refusal(folder, record, point)
    if refused or record.volume is None:
        return samples.play(refused or "ltfs_mount_blank", device=device)
    if point.is_dir() and any(point.iterdir()):
        hardware.say(f"LTFS14123W Cannot mount: {point} is not empty.")
        return 0
    never = record.write_protected or record.volume.read_only or record.volume.locked
    read_only = "ro" in options or never
    record = cartridge.recover(folder)
    case = "ltfs_mount_write_protected" if read_only else "ltfs_mount_ok"
    code = samples.play(case, device=device, label=record.volume.label if record.volume else "")
    volume = VirtualVolume(folder, record, cartridge.medium(folder), read_only=read_only)
    mfusepy.FUSE(
        Mounted(volume, folder, options.get("sync_type", "")),
        str(point),
        fsname=f"ltfs:{device}",
        nothreads=True,
        direct_io=True,
        ro=read_only,
        default_permissions=True,
        attr_timeout=0,
        entry_timeout=0,
    )
    return code


def _refusal(folder: Path, record: Record, point: Path) -> str | None:
    if record.volume is None:
        return "ltfs_mount_blank"
    if not point.is_dir():
        return "ltfs_mount_no_mountpoint"
    return "ltfs_mount_already_mounted" if hardware.nothing_was_synced(folder, record) else None


class Mounted(mfusepy.Operations):  # type: ignore[misc]
    """The volume as the kernel asks for it."""

    use_ns = True

    def __init__(self, volume: VirtualVolume, folder: Path, sync_type: str) -> None:
        self.volume = volume
        self.folder = folder
        self.seals_at_close = sync_type == "close"
        self.files: dict[int, Any] = {}

    def init(self, path: str) -> None:
        if not self.volume.read_only:
            hardware.mark_mounted(self.folder, virtual_record.read(self.folder))

    def destroy(self, path: str) -> None:
        try:
            self.volume.unmount(failed=False)
        except DriveError:
            return
        if not self.volume.read_only:
            hardware.unmark(self.folder)

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        status = os.lstat(self._real(path))
        times = {name: getattr(status, f"{name}_ns") for name in STATUS if name.endswith("time")}
        return {name: getattr(status, name) for name in STATUS} | times

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *(entry.name for entry in self._real(path).iterdir())]

    def mkdir(self, path: str, mode: int) -> int:
        self._real(path).mkdir()
        return 0

    def unlink(self, path: str) -> int:
        with _errors():
            self.volume.remove(path.lstrip("/"))
        return 0

    def rmdir(self, path: str) -> int:
        self._real(path).rmdir()
        return 0

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        with _errors():
            return self._handle(self.volume.create(path.lstrip("/")))

    def open(self, path: str, flags: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            self._refuse_what_is_broken()
            return self._handle(None)
        with _errors():
            return self._handle(self.volume.open(path.lstrip("/")))

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        with _errors():
            self.files[fh].write(data)
        return len(data)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        with _errors():
            self.files[fh].seek(offset)
            return bytes(self.files[fh].read(size))

    def flush(self, path: str, fh: int) -> int:
        file = self.files[fh]
        if isinstance(file, VirtualFile) and not file.closed:
            with _errors():
                file.close()
                if self.seals_at_close:
                    self.volume.seal()
        return 0

    def release(self, path: str, fh: int) -> int:
        file = self.files.pop(fh)
        if isinstance(file, VirtualFile):
            file.abandon()
        elif file is not None:
            file.close()
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        self._refuse_what_is_broken()
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        free = self.volume.free()
        capacity = self.volume.medium.capacity or 0
        return {
            "f_bsize": SECTOR,
            "f_frsize": SECTOR,
            "f_blocks": capacity // SECTOR,
            "f_bfree": free // SECTOR,
            "f_bavail": free // SECTOR,
            "f_namemax": 255,
        }

    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:
        value = ATTRIBUTES.get(name.removeprefix("user.ltfs."))
        if value is None or path != "/" or not name.startswith("user.ltfs."):
            raise mfusepy.FuseOSError(errno.ENODATA)
        return str(value(virtual_record.read(self.folder), self.volume)).encode()

    def setxattr(self, path: str, name: str, value: bytes, options: int, position: int = 0) -> int:
        with _errors():
            if name == "user.ltfs.sync":
                self.volume.seal()
            elif name == "user.ltfs.volumeName":
                with virtual_record.editing(self.folder) as record:
                    assert record.volume
                    record.volume.label = value.decode()
            else:
                raise mfusepy.FuseOSError(errno.ENOTSUP)
        return 0

    def _real(self, path: str) -> Path:
        return self.volume.root / path.lstrip("/")

    def _refuse_what_is_broken(self) -> None:
        """After a write error nothing is written any more, nor opened for it."""
        record = virtual_record.read(self.folder)
        if record.volume and record.volume.read_only:
            raise mfusepy.FuseOSError(errno.EROFS)

    def _handle(self, file: Any) -> int:
        number = max(self.files, default=0) + 1
        self.files[number] = file
        return number


ATTRIBUTES: dict[str, Callable[[Record, VirtualVolume], object]] = {
    "volumeName": lambda record, _: record.volume and record.volume.label,
    "volumeUUID": lambda record, _: record.volume and record.volume.uuid,
    "volumeSerial": lambda record, _: (record.volume and record.volume.serial) or "",
    "indexGeneration": lambda record, _: record.volume and record.volume.index_generation,
    "volumeLockState": lambda record, _: f"0x{_lock_state(record):08x}",
    "mediaDataPartitionTotalCapacity": lambda record, _: record.capacity // MIB,
    "mediaDataPartitionAvailableSpace": lambda _, volume: volume.free() // MIB,
    "mediaLoads": lambda record, _: record.loads,
    "mediaMBWritten": lambda record, _: record.written_bytes // 1_000_000,
    "mediaPermanentWriteErrors": lambda record, _: record.write_errors,
    "mediaPermanentReadErrors": lambda record, _: record.read_errors,
    "mediaStorageAlert": lambda record, _: f"0x{32 if record.volume and record.volume.read_only else 0:016x}",
}


def _lock_state(record: Record) -> int:
    """The bits of libltfs/ltfs.h: a lock on purpose, the switch, a write error in the data partition."""
    assert record.volume
    return record.volume.locked | record.write_protected << 2 | (0x60 if record.volume.read_only else 0)


@contextmanager
def _errors() -> Iterator[None]:
    """The drive's errors as the operating system's."""
    try:
        yield
    except DriveError as error:
        cause = error.__cause__
        number = cause.errno if isinstance(cause, OSError) else ERRNO.get(type(error), errno.EIO)
        raise mfusepy.FuseOSError(number) from error
