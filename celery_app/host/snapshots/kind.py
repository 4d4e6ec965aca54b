"""What every kind of snapshot does, and what it is about."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from backup.source.place import SourcePlace
from celery_app import settings
from celery_app.host.commands import PRIVATE
from policy import units
from policy.errors import TapelineError
from policy.message import M, Message
from tape.errors import CommandTimeout
from tape.programs import command
from tape.programs.command import Completed

LIMIT = 600.0
"""Seconds that a program for snapshots may take."""
_LINE = 500


class SnapshotUnusable(TapelineError):
    """No snapshot of this source can be made here; nothing was begun."""


class SnapshotFailed(TapelineError):
    """A program for snapshots ended with an error, or not in time."""


class SnapshotLost(TapelineError):
    """A snapshot is full, gone, or another one: what was read of it last may be nothing."""


@dataclass(frozen=True, slots=True)
class PlannedSnapshot:
    """What would be made for a source."""

    source: str
    """As the template names it."""
    kind: str
    """One of ours, or the name of a command."""
    path: str
    """The source's real path."""
    origin: str
    """Of what it is a snapshot, in the words of its kind."""
    inside: str
    """Where the source lies in it: a relative path, or empty."""
    point: str
    """Where the origin is mounted, or lies."""
    bytes: int | None = None
    """How much it can keep of what is overwritten; None: nothing is set apart for it."""

    @property
    def words(self) -> Message:
        """For people."""
        facts = {"source": self.source, "kind": self.kind, "origin": self.origin}
        if self.bytes is None:
            return M("Source {source}: read from a snapshot ({kind}) of {origin}.", **facts)
        return M(
            "Source {source}: read from a snapshot ({kind}) of {origin}, with {size} for changes.",
            size=units.size(self.bytes),
            **facts,
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One snapshot, as its row has it: written before it is made, until it is removed."""

    name: str
    plan: PlannedSnapshot

    @property
    def folder(self) -> Path:
        """A folder of ours on this host, for what it needs. The row does not name it: nobody who can write
        the database has another one unmounted."""
        return settings.load().state_dir / "snapshots" / self.name

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Snapshot:
        """Raises SnapshotFailed for a name that is not ours."""
        if not is_ours(data["name"]):
            raise not_ours(data["name"])
        return cls(data["name"], PlannedSnapshot(**data["plan"]))


_NAME = re.compile(r"tapeline-[0-9a-f]{8}-[0-9]{1,18}-[0-9]{1,6}")


def named(home: str, run_id: int, number: int) -> str:
    """The name of a snapshot of a run. ``home``: eight hexadecimal digits for the installation."""
    return f"tapeline-{home}-{run_id}-{number}"


def is_ours(name: str) -> bool:
    """Whether a name is one that Tapeline gives: nothing of another name is ever removed."""
    return _NAME.fullmatch(name) is not None


def is_of(name: str, home: str, run_id: int) -> bool:
    """Whether it is a name that this run of this installation has given."""
    return is_ours(name) and name.startswith(named(home, run_id, 0)[:-1])


class SnapshotKind(Protocol):
    """Makes, finds and removes snapshots. Each raises CommandTimeout, DriveError, SnapshotFailed."""

    def check(self) -> None:
        """Whether its programs are on this host. Raises SnapshotUnusable, CommandUnusable."""

    def plan(self, source: str, at: SourcePlace, options: Mapping[str, Any]) -> PlannedSnapshot:
        """What it would make; makes nothing. Raises SnapshotUnusable."""

    def make(self, snapshot: Snapshot, programs: Programs) -> None:
        """Make it. If it fails half-way, ``remove`` takes away what is there."""

    def open(self, snapshot: Snapshot, programs: Programs) -> str:
        """Where its origin can be read now; also after a restart of the host. Raises SnapshotLost."""

    def live(self, snapshot: Snapshot, programs: Programs) -> tuple[str, ...]:
        """The folders of the origin that are not in the snapshot, besides other mounts."""

    def whole(self, snapshot: Snapshot, programs: Programs) -> None:
        """Whether all that was read of it until now was there. Raises SnapshotLost."""

    def remove(self, snapshot: Snapshot, programs: Programs) -> bool:
        """Remove it; whether there was one. Raises SnapshotFailed if it is not ours, or does not go."""


@dataclass(frozen=True, slots=True)
class Programs:
    """Starts the programs of a run; each keeps the run's lock, also if it outlives its worker."""

    inherit: Sequence[int] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    """For commands of the host's own file: what the run is about."""

    def tried(self, *argv: str) -> Completed:
        """Run one to its end, with any return code. It is never cut off by a cancel: half a snapshot may
        block its file system. Raises SnapshotFailed, DriveError."""
        try:
            return command.run(argv, limit=LIMIT, env=_ENVIRONMENT, hidden=PRIVATE, inherit=self.inherit)
        except CommandTimeout as error:
            raise SnapshotFailed(
                M("{program} did not end within {seconds} s.", program=argv[0], seconds=round(LIMIT)),
                M("See what it waits for on the drive's host: {command}", command=" ".join(argv)),
            ) from error

    def run(self, *argv: str) -> str:
        """What it prints. Raises SnapshotFailed if it ends with an error."""
        done = self.tried(*argv)
        if done.return_code != 0:
            raise SnapshotFailed(
                M(
                    "{program} ended with code {code}: {line}",
                    program=" ".join(argv[:3]),
                    code=done.return_code,
                    line=last_line(done.output),
                ),
                M("Put right what it names."),
            )
        return done.output


# In English, and silent about the descriptors that it inherits on purpose.
_ENVIRONMENT = {"LC_ALL": "C", "LVM_SUPPRESS_FD_WARNINGS": "1"}


def last_line(output: str) -> str:
    """Of several lines the last one, which has the reason."""
    lines = output.strip().splitlines()
    return lines[-1].strip()[:_LINE] if lines else "-"


def need(kind: str, *programs: str) -> None:
    """Raises SnapshotUnusable for the first program that this host does not have."""
    for program in programs:
        if shutil.which(program) is None:
            raise SnapshotUnusable(
                M(
                    "snapshot = {kind}: there is no program {program} on this host.",
                    kind=kind,
                    program=program,
                ),
                M("Install it, or leave 'snapshot' out of the source."),
            )


def inside(path: bytes, folder: bytes) -> str:
    """The rest of a path in a folder above it. Raises SnapshotUnusable if it has no name in UTF-8."""
    return text_of(path[len(folder.rstrip(b"/")) :].lstrip(b"/"))


def text_of(path: bytes) -> str:
    """A path as the database takes it. Raises SnapshotUnusable."""
    try:
        return path.decode()
    except UnicodeDecodeError:
        raise SnapshotUnusable(
            M("The path {path} is not in UTF-8: its snapshot could not be found again.", path=ascii(path)),
            M("Rename the folder, or leave 'snapshot' out of the source."),
        ) from None


def wrong_file_system(source: str, kind: str, at: SourcePlace) -> SnapshotUnusable:
    """For a source on a file system of another type."""
    return SnapshotUnusable(
        M(
            "Source {source} lies on {fs}: there is no snapshot of kind {kind}.",
            source=source,
            fs=at.mount.kind if at.mount else "-",
            kind=kind,
        ),
        M("Leave 'snapshot' out of the source, or name the kind of its file system."),
    )


def joined(folder: str, inside: str) -> str:
    """A relative path in a folder."""
    return f"{folder.rstrip('/')}/{inside}" if inside else folder


def not_ours(name: str) -> SnapshotFailed:
    """For something that must not be removed."""
    return SnapshotFailed(
        M("{name} is not a snapshot that this run has made: it is not removed.", name=name),
        M("See what it is on the drive's host."),
    )


def gone(snapshot: Snapshot) -> SnapshotLost:
    """For a snapshot that is not there any more."""
    return SnapshotLost(
        M(
            "The snapshot {name} of source {source} is gone: the backup cannot be whole.",
            name=snapshot.name,
            source=snapshot.plan.source,
        ),
        M("See who removed it on the drive's host, then retry the run: it makes another one."),
    )
