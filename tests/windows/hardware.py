"""The drive behind the stand-ins of the Windows programs: a virtual drive, its volume mounted at the letter.

The programs ask a ``Keeper`` by a port of loopback, also those under wine, whose drive is on this host. Files
beside the programs tell of an odd day: ``status`` is what LtfsCmdDrives prints,
``refuse`` a return code and a text instead of doing anything, ``code`` a return code to end with, ``hang`` a
time to take, ``letter`` where the drive is now, ``waiting`` the cartridge that stands in its mouth.
"""

from __future__ import annotations

import json
import os
import socketserver
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import psutil

from tape.errors import DriveError
from tape.ltfs import mounts
from tape.virtual import record as virtual_record
from tape.virtual import shelf
from tape.virtual.record import DamagedRecord, Record
from tests.ltfs import hardware, programs

CAPACITY = 4 * 1024 * 1024
DONE = (0, "")
NO_VOLUME = (2, "")


class Hardware:
    """One drive: its cartridges, and the folder that stands for the letter."""

    def __init__(self, tools: Path, letter: Path, capacity: int = CAPACITY) -> None:
        self.tools = tools
        self.letter = letter
        self.capacity = capacity
        self.device = tools.parent / "drive"

    def answer(self, name: str, words: list[str]) -> tuple[int, str]:
        """What a program prints and returns; a name that begins with ``@`` is the hand of an operator."""
        if name.startswith("@"):
            return self._by_hand(name[1:], words)
        with (self.tools / "calls").open("a") as calls:
            calls.write("\t".join([name, *words]) + "\n")
        threading.Event().wait(float(self._told("hang") or "0"))
        if name in {"LtfsCmdDrives", "LtfsRead"}:
            return self._program(name, words)
        refused = self._told("refuse")
        if refused:
            code, _, text = refused.partition("\n")
            return int(code), text
        done, text = self._program(name, words)
        return int(self._told("code") or done), text

    def close(self) -> None:
        """Leave nothing mounted, nor any process."""
        self._unmount()

    def _program(self, name: str, words: list[str]) -> tuple[int, str]:
        programs_here: dict[str, Callable[[], tuple[int, str]]] = {
            "LtfsCmdDrives": self._drives,
            "LtfsCmdFormat": lambda: self._format(words),
            "LtfsCmdLoad": self._load,
            "LtfsCmdEject": self._eject,
            "LtfsCmdCheck": self._check,
            "LtfsRead": self._read,
            "label": lambda: self._label(words[1]),
        }
        return programs_here[name]()

    def _drives(self) -> tuple[int, str]:
        letter = self._told("letter") or "O"
        status = self._told("status") or self._status()
        return 0, f"Assigned Address   Serial     Status\n{letter}        00.05.00  1068000123 {status}\n"

    def _status(self) -> str:
        folder = hardware.cartridge(str(self.device))
        if folder is None:
            return "NO_MEDIA"
        fault = hardware.take_fault(folder, "look")
        if fault and fault.error == "hang":
            return "MEDIA_NOT_READY"  # who asked has gone; the letter may be another drive's by now
        try:
            record = virtual_record.read(folder)
        except DamagedRecord:
            return "NO_LTFS_MEDIA"
        if fault and fault.error == "unreadable":
            return "NO_LTFS_MEDIA"
        return self._status_of(record)

    def _status_of(self, record: Record) -> str:
        if record.formatting:
            return "NO_LTFS_MEDIA"
        if record.volume is None:
            return "LTFS_UNFORMATTED"
        if not self._mount():
            return "LTFS_INCONSISTENT"
        return "LTFS_READ_ONLY" if record.write_protected or record.volume.read_only else "LTFS_MEDIA"

    def _format(self, words: list[str]) -> tuple[int, str]:
        self._unmount()
        options = {word[:2]: word[3:] for word in words if word.startswith("/") and word[2:3] == ":"}
        command = ["mkltfs", "-e", "sg", "-d", str(self.device), "-f", "-n", options["/N"]]
        command += ["-s", options["/S"]] if "/S" in options else []
        done = self._run(*command)
        self._mount()
        return done

    def _load(self) -> tuple[int, str]:
        waiting = self._told("waiting")
        if not waiting:
            return 1, "LTFS12016E No medium."
        self._put_in(waiting)
        return DONE

    def _eject(self) -> tuple[int, str]:
        self._unmount()
        shelf.remove(self.device)
        return DONE

    def _check(self) -> tuple[int, str]:
        self._unmount()
        _, text = self._run("ltfsck", "-e", "sg", str(self.device))
        self._mount()
        return 0, text

    def _label(self, name: str) -> tuple[int, str]:
        os.setxattr(self.letter, "user.ltfs.volumeName", name.encode())
        return DONE

    def _read(self) -> tuple[int, str]:
        """wine goes on showing the first label of a letter, so this tells the label that is there now."""
        folder = hardware.cartridge(str(self.device))
        if folder is None or not mounts.at(self.letter):
            return NO_VOLUME
        record = virtual_record.read(folder)
        assert record.volume
        try:
            room = os.statvfs(self.letter)
            said = {"empty": not any(self.letter.iterdir())}
        except OSError:
            return NO_VOLUME
        said |= {"label": record.volume.label, "file_system": "LTFS"}
        said |= {"capacity": room.f_blocks * room.f_frsize, "free": room.f_bavail * room.f_frsize}
        return 0, json.dumps(said) + "\n"

    def _by_hand(self, verb: str, words: list[str]) -> tuple[int, str]:
        match verb:
            case "prepare":
                self._unmount()
                self.device.mkdir(parents=True)
                programs.install(self.tools.parent / "bin")
            case "blank":
                return 0, self._insert_blank()
            case "insert":
                self._put_in(words[0])
            case "remove":
                self._eject()
            case "protect":
                self._unmount()
                shelf.set_write_protected(self.device, self._inside(), on=True)
            case "plan":
                shelf.set_faults(self.device, self._inside(), json.loads(words[0]))
            case "power_off":
                self._power_off()
            case "close":
                self.close()
        return DONE

    def _insert_blank(self) -> str:
        number = len(shelf.barcodes(self.device)) + 1
        barcode = f"TAPE{number:02d}L8"
        shelf.new_cartridge(self.device, barcode, capacity=self.capacity)
        self._put_in(barcode)
        return barcode

    def _put_in(self, barcode: str) -> None:
        self._unmount()
        shelf.insert(self.device, barcode)

    def _inside(self) -> str:
        barcode = shelf.inserted(self.device)
        assert barcode is not None
        return barcode

    def _mount(self) -> bool:
        """Whether the volume is at the letter; LTFS on Windows mounts by itself what it has loaded."""
        if not mounts.at(self.letter):
            options = ("-o", f"devname={self.device}", "-o", "sync_type=close")
            self._run("ltfs", *options, str(self.letter))
        return mounts.at(self.letter) is not None

    def _unmount(self) -> None:
        if mounts.at(self.letter):
            subprocess.run(["umount", str(self.letter)], check=True, capture_output=True)
        psutil.wait_procs(self._serving(), timeout=20)

    def _power_off(self) -> None:
        for process in self._serving():
            process.kill()
            process.wait()
        if mounts.at(self.letter):
            subprocess.run(["umount", "-l", str(self.letter)], check=True)

    def _serving(self) -> list[psutil.Process]:
        return mounts.processes("ltfs", str(self.device))

    def _run(self, program: str, *words: str) -> tuple[int, str]:
        path = self.tools.parent / "bin" / program
        done = subprocess.run([path, *words], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def _told(self, file: str) -> str:
        path = self.tools / file
        return path.read_text().strip() if path.exists() else ""


def _answer(drive: Hardware, name: str, words: list[str]) -> tuple[int, str]:
    try:
        return drive.answer(name, words)
    except (DriveError, OSError, subprocess.CalledProcessError) as error:
        return 99, f"{name}: {error!r}\n"


class Keeper:
    """Answers the compiled programs: one line asks, a line with the return code and a text are the answer."""

    def __init__(self, letter: Path, capacity: int = CAPACITY) -> None:
        self.letter = letter
        self.capacity = capacity
        keeper = self

        class Asked(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                tools, name, *words = self.rfile.readline().decode().rstrip("\n").split("\t")
                drive = Hardware(unix(tools), keeper.letter, keeper.capacity)
                code, text = _answer(drive, name, words)
                self.wfile.write(f"{code}\n{text}".encode())

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Asked)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def unix(path: str) -> Path:
    """A path of wine's drive Z as this host has it."""
    return Path(path.removeprefix("Z:").removeprefix("z:").replace("\\", "/"))
