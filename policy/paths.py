"""The paths of a set, and their order, for the scan, the archives and the comparison of two sets."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath


def order(path: bytes) -> bytes:
    """The sort key of a set's order: a folder comes right before its contents."""
    return path.rstrip(b"/").replace(b"/", b"\0")


def is_below(key: bytes, folder: bytes) -> bool:
    """Whether a key is that of a folder, or of something in it."""
    return key == folder or key.startswith(folder + b"\0")


def as_stored(path: str) -> str:
    """A path as an operator writes it, in the form of sets: ``C:\\data`` becomes ``/C:/data``."""
    written = PureWindowsPath(path)
    return f"/{written.as_posix()}" if written.is_absolute() else path


def on_the_drives_host(path: Path) -> str:
    """A path in the form of that host, which may run Windows even if this one does not."""
    return str(path if PureWindowsPath(path).is_absolute() else path.absolute())
