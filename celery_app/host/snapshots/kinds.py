"""A kind of snapshot by its name, and what is made of it without making one."""

from __future__ import annotations

from collections.abc import Iterable

from celery_app import settings
from celery_app.host.snapshots.btrfs import Btrfs
from celery_app.host.snapshots.by_command import ByCommand
from celery_app.host.snapshots.kind import SnapshotKind, SnapshotUnusable
from celery_app.host.snapshots.lvm import Lvm
from celery_app.host.snapshots.vss import Vss
from celery_app.host.snapshots.zfs import Zfs
from policy.message import M
from policy.schedule.sources import SNAPSHOTS

_KINDS: dict[str, type[SnapshotKind]] = {"lvm": Lvm, "btrfs": Btrfs, "zfs": Zfs, "vss": Vss}
assert _KINDS.keys() == set(SNAPSHOTS)


def of(name: str) -> SnapshotKind:
    """One of ours, or a command of this host. Raises SnapshotUnusable."""
    if name in _KINDS:
        return _KINDS[name]()
    if name not in settings.load().commands:
        raise SnapshotUnusable(
            M("snapshot = {kind}: tapeline.toml of this host has no command of this name.", kind=name),
            M("Write one of {kinds}, or add [commands.{kind}] there.", kinds=", ".join(SNAPSHOTS), kind=name),
        )
    return ByCommand(name)


def check(names: Iterable[str]) -> None:
    """Raises SnapshotUnusable, CommandUnusable for the first kind that this host cannot make."""
    for name in dict.fromkeys(names):
        of(name).check()
