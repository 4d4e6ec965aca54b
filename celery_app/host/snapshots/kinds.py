"""A kind of snapshot by its name, and what is made of it without making one."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

from backup.errors import SourceSilent
from backup.source.lookout import opened
from backup.source.place import whereabouts
from celery_app import settings
from celery_app.host.snapshots.btrfs import Btrfs
from celery_app.host.snapshots.by_command import ByCommand
from celery_app.host.snapshots.kind import SnapshotKind, SnapshotUnusable
from celery_app.host.snapshots.lvm import Lvm
from celery_app.host.snapshots.vss import Vss
from celery_app.host.snapshots.zfs import Zfs
from policy.errors import TapelineError
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


LOOK_SECONDS = 8.0
"""How long all sources together may take to answer whoever waits for the result."""


def check_places(options: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises SnapshotUnusable for the first source whose file system has no such snapshot.

    ``options``: by source, of those that are read from one. What cannot be seen now, the precheck of its run
    judges.
    """
    ends = time.monotonic() + LOOK_SECONDS

    def wait(about: str, _seconds: float) -> None:
        if time.monotonic() > ends:
            raise SourceSilent(
                M(
                    "The source does not answer: {path} ({seconds} s).",
                    path=about,
                    seconds=round(LOOK_SECONDS),
                )
            )

    with opened(None if sys.platform == "win32" else wait) as eyes:
        for source, its in options.items():
            kind = its["snapshot"]
            if _NEEDS_ROOT.get(kind, False) and sys.platform != "win32" and os.geteuid() != 0:
                continue
            try:
                of(kind).plan(source, eyes.ask(whereabouts, source, about=source), its)
            except SnapshotUnusable:
                raise
            except (OSError, TapelineError):
                continue


_NEEDS_ROOT = {"lvm": True}
"""Whose programs answer nobody else."""


def check(names: Iterable[str]) -> None:
    """Raises SnapshotUnusable, CommandUnusable for the first kind that this host cannot make."""
    for name in dict.fromkeys(names):
        of(name).check()
