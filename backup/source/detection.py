"""By which fields of their status the files of a walk are compared (``policy.detection``), and where."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping

from backup.entry import shown
from backup.source import inodes
from backup.source.dirlist import Status
from backup.source.scan import FoundPath
from policy.detection import EVERY, SHARED, ComparedFields, Followed, compared


class Detection:
    """Chooses the rule of each file by its file system, and notes where each file system begins."""

    def __init__(self, detect: str, followed: Iterable[Mapping[str, str]] = ()) -> None:
        """``detect``: one of ``policy.detection.CHOICES``. ``followed``: of each set that this one follows
        its ``rules``."""
        inodes.look_anew()
        self._detect = detect
        self._followed = Followed(followed)
        self._of: dict[int, ComparedFields] = {}
        self.rules: dict[str, str] = {}
        """For each file system of the walk, by the path at which it began, the rule."""

    def noted(self, walk: Iterable[FoundPath]) -> Iterator[FoundPath]:
        """The same walk."""
        device = None
        for found in walk:
            status = found.status
            if status is not None and status.device != device:
                device = status.device
                if device not in self._of:
                    self._of[device] = rule = compared(self._detect, _kind(found.path, device))
                    self.rules[shown(found.path)] = str(rule)
            yield found

    def of(self, path: bytes, status: Status) -> ComparedFields:
        """What counts for a file of the walk, by the rule of now and by those of the sets before."""
        rule = self._of.get(status.device, EVERY)
        return rule if rule == SHARED else rule.both(self._followed.at(path))


def _kind(path: bytes, device: int) -> str | None:
    if sys.platform == "win32":
        # It has no list of mounts; a share has two strokes before the name of its server.
        return "cifs" if path.startswith(b"///") else None
    mount = inodes.mount_of(device)
    return mount.kind if mount else None
