"""The operating system for reading sources: the only module of the engine that knows Windows.

Paths of the engine are bytes with ``/`` from the root; on Windows the drive letter comes first: ``/C:/data``.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

if sys.platform == "win32":
    READ = os.O_RDONLY | os.O_BINARY | os.O_NOINHERIT
    FOLDER = WITHIN = 0

    _NO_NAME = re.compile(
        # Characters that end a name, or mean a stream of another file; a blank or a dot that would be
        # dropped.
        rb'[\x00-\x1f<>:"/\\|?*]|[ .]\Z|'
        # Names of devices, with anything behind their dot.
        rb"\A(?:CON|PRN|AUX|NUL|(?:COM|LPT)(?:[0-9]|\xc2[\xb9\xb2\xb3]))[ ]*(?:\.|\Z)",
        re.IGNORECASE,
    )
    _DRIVE = re.compile(rb"[A-Za-z]:")

    def is_name(name: bytes) -> bool:
        """Whether a file can have this name."""
        return _NO_NAME.search(name) is None and _is_text(name)

    def _is_text(name: bytes) -> bool:
        try:
            name.decode()
        except UnicodeDecodeError:
            return False
        return True

    def below_a_target(parts: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """A path as folders below another: ``C:`` becomes ``C``."""
        first = parts[0][:1] if parts and _DRIVE.fullmatch(parts[0]) else None
        return parts if first is None else (first, *parts[1:])

    def native(path: bytes) -> bytes:
        """A path of the engine in the form of the system's calls."""
        return path[1:] + b"/" if path.endswith(b":") else path[1:]

    def absolute(source: str) -> bytes:
        """A source as an operator writes it, as a path of the engine; empty without a letter."""
        written = Path(source)
        return b"/" + os.fsencode(written.as_posix()).rstrip(b"/") if written.is_absolute() else b""

    def real(path: bytes) -> bytes:
        """The path without links. Raises OSError."""
        resolved = os.path.realpath(native(path), strict=True)
        return b"/" + resolved.removeprefix(b"\\\\?\\").replace(b"\\", b"/").rstrip(b"/")

    def read_into(fd: int, buffer: memoryview) -> int:
        """Read into a buffer; returns how many bytes. Raises OSError."""
        data = os.read(fd, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def probe(fd: int, offset: int) -> None:
        """Read one byte, to check whether it can be read. Raises OSError."""
        os.lseek(fd, offset, os.SEEK_SET)
        os.read(fd, 1)
        os.lseek(fd, 0, os.SEEK_SET)

    def read_soon(_fd: int, _offset: int, _length: int) -> None:
        """Windows has no call for it."""

    def has_holes(_status: os.stat_result) -> bool:
        """Holes are not searched here: they are read as zeros."""
        return False

    def user_name(_uid: int) -> str:
        """Owners have no numbers here."""
        return ""

    group_name = user_name

    def user_number(_name: str) -> int | None:
        """Owners have no numbers here."""
        return None

    group_number = user_number

else:
    import grp
    import pwd

    WITHIN = os.O_NOFOLLOW | os.O_CLOEXEC
    FOLDER = os.O_DIRECTORY | os.O_CLOEXEC
    READ = os.O_RDONLY | os.O_NONBLOCK | WITHIN

    def is_name(_name: bytes) -> bool:
        """Whether a file can have this name; here any name that is no path."""
        return True

    def below_a_target(parts: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """A path as folders below another."""
        return parts

    def native(path: bytes) -> bytes:
        """A path of the engine in the form of the system's calls."""
        return path

    def absolute(source: str) -> bytes:
        """A source as an operator writes it, as a path of the engine."""
        return source.encode("utf-8", "surrogateescape")

    def real(path: bytes) -> bytes:
        """The path without links. Raises OSError."""
        return os.path.realpath(path, strict=True)

    def read_into(fd: int, buffer: memoryview) -> int:
        """Read into a buffer; returns how many bytes. Raises OSError."""
        return os.readv(fd, (buffer,))

    def probe(fd: int, offset: int) -> None:
        """Read one byte, to check whether it can be read. Raises OSError."""
        os.pread(fd, 1, offset)

    def read_soon(fd: int, offset: int, length: int) -> None:
        """Request a part of a file from the disk, without waiting for it. Raises OSError."""
        if sys.platform == "linux":
            os.posix_fadvise(fd, offset, length, os.POSIX_FADV_WILLNEED)

    def has_holes(status: os.stat_result) -> bool:
        """Whether a file takes less space than it is long."""
        return status.st_blocks * 512 < status.st_size

    def user_name(uid: int) -> str:
        """The name of a user. Raises KeyError if it has none here."""
        return pwd.getpwuid(uid).pw_name

    def group_name(gid: int) -> str:
        """The name of a group. Raises KeyError if it has none here."""
        return grp.getgrgid(gid).gr_name

    def user_number(name: str) -> int | None:
        """The number of a user of this name; None: there is none here."""
        try:
            return pwd.getpwnam(name).pw_uid
        except (KeyError, ValueError):
            return None

    def group_number(name: str) -> int | None:
        """The number of a group of this name; None: there is none here."""
        try:
            return grp.getgrnam(name).gr_gid
        except (KeyError, ValueError):
            return None
