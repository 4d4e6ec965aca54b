"""Snapshots that a command of this host's own file makes, checks and removes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backup.source.place import SourcePlace
from celery_app.host import commands
from celery_app.host.snapshots.kind import (
    PlannedSnapshot,
    Programs,
    Snapshot,
    SnapshotFailed,
    SnapshotLost,
    gone,
    last_line,
    text_of,
)
from policy.message import M
from tape.errors import CommandTimeout
from tape.programs.command import Completed


class ByCommand:
    """``snapshot = "NAME"`` of ``[commands.NAME]``: called with ``BACKUP_MOMENT`` as ``snapshot``,
    ``snapshot-check`` and ``snapshot-remove``."""

    def __init__(self, name: str) -> None:
        self._name = name

    def check(self) -> None:
        commands.find(self._name)

    def plan(self, source: str, at: SourcePlace, options: Mapping[str, Any]) -> PlannedSnapshot:
        del options
        self.check()
        path = text_of(at.path)
        return PlannedSnapshot(source, self._name, path, path, "", path)

    def make(self, snapshot: Snapshot, programs: Programs) -> None:
        done = self._call(snapshot, programs, "snapshot")
        folder = last_line(done.output)
        if not (Path(folder).is_absolute() and os.path.lexists(folder)):
            raise SnapshotFailed(
                M("Command {name} printed no folder as its last line: {line}", name=self._name, line=folder),
                M("Let it print the whole path from which the source is read, and nothing after it."),
            )
        snapshot.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _link(snapshot).symlink_to(folder)

    def open(self, snapshot: Snapshot, programs: Programs) -> str:
        self.whole(snapshot, programs)
        return str(_link(snapshot).readlink())

    def live(self, snapshot: Snapshot, programs: Programs) -> tuple[str, ...]:
        del snapshot, programs
        return ()

    def whole(self, snapshot: Snapshot, programs: Programs) -> None:
        if not _link(snapshot).is_symlink():
            raise gone(snapshot)
        try:
            self._call(snapshot, programs, "snapshot-check")
        except SnapshotFailed as error:
            raise SnapshotLost(
                M(
                    "The snapshot {name} of source {source} is not whole: {reason}",
                    name=snapshot.name,
                    source=snapshot.plan.source,
                    reason=error.message.to_json(),
                ),
                error.remedy,
            ) from error

    def remove(self, snapshot: Snapshot, programs: Programs) -> bool:
        # Nobody else knows whether there is one: the command is called in any case.
        self._call(snapshot, programs, "snapshot-remove")
        _link(snapshot).unlink(missing_ok=True)
        if snapshot.folder.is_dir():
            snapshot.folder.rmdir()
        return True

    def _call(self, snapshot: Snapshot, programs: Programs, moment: str) -> Completed:
        link = _link(snapshot)
        environment = {
            **programs.environment,
            "BACKUP_MOMENT": moment,
            "BACKUP_SNAPSHOT": snapshot.name,
            "BACKUP_SNAPSHOT_SOURCE": snapshot.plan.path,
            "BACKUP_SNAPSHOT_FOLDER": str(link.readlink()) if link.is_symlink() else "",
        }
        found = commands.find(self._name)
        try:
            done = found.run(environment, inherit=programs.inherit)
        except CommandTimeout as error:
            raise SnapshotFailed(
                M("Command {name} did not end within {seconds} s.", name=self._name, seconds=found.limit),
                M(
                    "See what it waits for, or raise commands.{name}.limit in tapeline.toml there.",
                    name=self._name,
                ),
            ) from error
        if done.return_code != 0:
            raise SnapshotFailed(
                M(
                    "Command {name} ended with code {code}: {line}",
                    name=self._name,
                    code=done.return_code,
                    line=last_line(done.output),
                ),
                M("Put right what it names."),
            )
        return done


def _link(snapshot: Snapshot) -> Path:
    """Remembers where the command has put it."""
    return snapshot.folder / "at"
