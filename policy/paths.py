"""The order of the paths of a set: the scan walks in it, archives hold it, two sets are compared by it."""

from __future__ import annotations


def order(path: bytes) -> bytes:
    """The key of the order of a set: a folder comes right before what is in it."""
    return path.rstrip(b"/").replace(b"/", b"\0")


def is_below(key: bytes, folder: bytes) -> bool:
    """Whether a key is that of a folder, or of something in it."""
    return key == folder or key.startswith(folder + b"\0")
