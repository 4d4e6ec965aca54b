"""Snapshots of ZFS: read in the hidden folder ``.zfs/snapshot`` of their dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backup.source.place import SourcePlace
from celery_app.host.snapshots.kind import (
    PlannedSnapshot,
    Programs,
    Snapshot,
    SnapshotFailed,
    gone,
    inside,
    is_ours,
    joined,
    last_line,
    need,
    not_ours,
    text_of,
    wrong_file_system,
)
from policy.message import M


class Zfs:
    """``snapshot = "zfs"``."""

    def check(self) -> None:
        need("zfs", "zfs")

    def plan(self, source: str, at: SourcePlace, options: Mapping[str, Any]) -> PlannedSnapshot:
        del options
        self.check()
        if at.mount is None or at.mount.kind != "zfs":
            raise wrong_file_system(source, "zfs", at)
        point = text_of(at.mount.point)
        return PlannedSnapshot(
            source, "zfs", text_of(at.path), at.mount.source, inside(at.path, at.mount.point), point
        )

    def make(self, snapshot: Snapshot, programs: Programs) -> None:
        programs.run("zfs", "snapshot", _full(snapshot))

    def open(self, snapshot: Snapshot, programs: Programs) -> str:
        self.whole(snapshot, programs)
        return joined(snapshot.plan.point, f".zfs/snapshot/{snapshot.name}")

    def live(self, snapshot: Snapshot, programs: Programs) -> tuple[str, ...]:
        # Datasets below it are mounts of their own.
        del snapshot, programs
        return ()

    def whole(self, snapshot: Snapshot, programs: Programs) -> None:
        if not _is_there(snapshot, programs):
            raise gone(snapshot)

    def remove(self, snapshot: Snapshot, programs: Programs) -> bool:
        if not is_ours(snapshot.name):
            raise not_ours(_full(snapshot))
        if not _is_there(snapshot, programs):
            return False
        programs.run("zfs", "destroy", _full(snapshot))
        return True


def _full(snapshot: Snapshot) -> str:
    return f"{snapshot.plan.origin}@{snapshot.name}"


def _is_there(snapshot: Snapshot, programs: Programs) -> bool:
    """Raises SnapshotFailed if ZFS gives no answer."""
    done = programs.tried("zfs", "list", "-H", "-t", "snapshot", "-o", "name", _full(snapshot))
    if done.return_code == 0:
        return True
    if "does not exist" in done.output:
        return False
    raise SnapshotFailed(
        M("zfs list ended with code {code}: {line}", code=done.return_code, line=last_line(done.output)),
        M("Put right what it names."),
    )
