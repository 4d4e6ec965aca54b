"""The paths of a set, and their order: scan, archives and the comparison of two sets go by it."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath


def order(path: bytes) -> bytes:
    """The key of the order of a set: a folder comes right before what is in it."""
    return path.rstrip(b"/").replace(b"/", b"\0")


def is_below(key: bytes, folder: bytes) -> bool:
    """Whether a key is that of a folder, or of something in it."""
    return key == folder or key.startswith(folder + b"\0")


def as_stored(path: str) -> str:
    """A path as an operator writes it, as sets have it: ``C:\\data`` is ``/C:/data`` there."""
    written = PureWindowsPath(path)
    return f"/{written.as_posix()}" if written.is_absolute() else path


def on_the_drives_host(path: Path) -> str:
    """A path as that host has it, which may be one of Windows while this is none."""
    return str(path if PureWindowsPath(path).is_absolute() else path.absolute())
