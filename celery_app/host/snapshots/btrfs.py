"""Snapshots of subvolumes of btrfs: read-only, in the root of the subvolume itself.

The snapshot does not have the subvolumes below its own: they are empty folders there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from backup.source.place import BTRFS, SourcePlace, is_subvolume
from celery_app.host.snapshots.kind import (
    PlannedSnapshot,
    Programs,
    Snapshot,
    SnapshotUnusable,
    gone,
    inside,
    is_ours,
    joined,
    need,
    not_ours,
    text_of,
    wrong_file_system,
)
from policy.message import M


class Btrfs:
    """``snapshot = "btrfs"``."""

    def check(self) -> None:
        need("btrfs", "btrfs")

    def plan(self, source: str, at: SourcePlace, options: Mapping[str, Any]) -> PlannedSnapshot:
        del options
        self.check()
        if at.mount is None or at.mount.kind != BTRFS:
            raise wrong_file_system(source, "btrfs", at)
        if at.subvolume is None:
            raise SnapshotUnusable(
                M(
                    "Source {source}: the root of its subvolume is not mounted at {point} or below.",
                    source=source,
                    point=text_of(at.mount.point),
                ),
                M("Mount the subvolume as a whole, or leave 'snapshot' out of the source."),
            )
        root = text_of(at.subvolume)
        return PlannedSnapshot(source, "btrfs", text_of(at.path), root, inside(at.path, at.subvolume), root)

    def make(self, snapshot: Snapshot, programs: Programs) -> None:
        programs.run("btrfs", "subvolume", "snapshot", "-r", "--", snapshot.plan.origin, _place(snapshot))

    def open(self, snapshot: Snapshot, programs: Programs) -> str:
        self.whole(snapshot, programs)
        return _place(snapshot)

    def live(self, snapshot: Snapshot, programs: Programs) -> tuple[str, ...]:
        root = snapshot.plan.origin
        # Both print paths from the top of the file system; the subvolume may be mounted anywhere.
        top = programs.run("btrfs", "subvolume", "show", root).splitlines()[0].strip().strip("/")
        prefix = "" if top in ("", "<FS_TREE>") else top + "/"
        paths = [
            line.partition(" path ")[2]
            for line in programs.run("btrfs", "subvolume", "list", "-o", root).splitlines()
        ]
        nested = [path[len(prefix) :] for path in paths if path.startswith(prefix)]
        return tuple(joined(root, path) for path in nested if not is_ours(path.rpartition("/")[2][1:]))

    def whole(self, snapshot: Snapshot, programs: Programs) -> None:
        # It takes no space of its own that could be full: if it is there, and read-only, all of it is there.
        if not _is_there(snapshot):
            raise gone(snapshot)
        if programs.run("btrfs", "property", "get", "-ts", _place(snapshot), "ro").strip() != "ro=true":
            raise gone(snapshot)

    def remove(self, snapshot: Snapshot, programs: Programs) -> bool:
        place = _place(snapshot)
        if not os.path.lexists(place):
            return False
        if not is_ours(snapshot.name) or not _is_there(snapshot):
            raise not_ours(place)
        programs.run("btrfs", "subvolume", "delete", "--", place)
        return True


def _place(snapshot: Snapshot) -> str:
    return joined(snapshot.plan.origin, f".{snapshot.name}")


def _is_there(snapshot: Snapshot) -> bool:
    with suppress(OSError):
        return is_subvolume(os.fsencode(_place(snapshot)))
    return False
