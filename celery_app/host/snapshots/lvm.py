"""Snapshots of logical volumes (LVM), mounted read-only in a folder of ours.

A classic snapshot keeps what the origin overwrites in a space of its own. If that is full, the kernel
invalidates the snapshot: from then on every read of it fails, which looks like a folder of unreadable files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from backup.source.place import SourcePlace, mounted_at
from celery_app.host.snapshots.kind import (
    PlannedSnapshot,
    Programs,
    Snapshot,
    SnapshotFailed,
    SnapshotLost,
    SnapshotUnusable,
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
from policy import units
from policy.message import M

PERCENT = 20
"""Of the origin's size. LVM's own rule of thumb is 15 to 20 % for a snapshot of a few hours; a backup to tape
reads about a terabyte an hour, so that a large volume takes longer than that."""
_FIELDS = "vg_name,lv_name,lv_attr,lv_size,vg_free,origin,pool_lv,data_percent"
_OPTIONS = {"xfs": "ro,nouuid"}
"""An xfs that is mounted twice refuses the second, unless its UUID is not compared."""


class Lvm:
    """``snapshot = "lvm"``."""

    def check(self) -> None:
        need("lvm", "lvs", "lvcreate", "lvremove", "mount", "umount")

    def plan(self, source: str, at: SourcePlace, options: Mapping[str, Any]) -> PlannedSnapshot:
        self.check()
        if at.mount is None:
            raise wrong_file_system(source, "lvm", at)
        device = at.mount.source
        done = Programs().tried("lvs", *_REPORT, "--", device)
        found = _volumes(done.output) if done.return_code == 0 else []
        if len(found) != 1:
            raise SnapshotUnusable(
                M(
                    "Source {source} lies on {device}, which is not a logical volume: {line}",
                    source=source,
                    device=device,
                    line=_complaint(done.output),
                ),
                M("Leave 'snapshot' out of the source, or name the kind of its file system."),
            )
        volume = found[0]
        size = None if volume["pool_lv"] else _size(volume, options.get("snapshot_size"))
        free = int(volume["vg_free"])
        if size is not None and size > free:
            raise SnapshotUnusable(
                M(
                    "Source {source}: volume group {group} has {free} free, and its snapshot needs {size}.",
                    source=source,
                    group=volume["vg_name"],
                    free=units.size(free),
                    size=units.size(size),
                ),
                M("Set a smaller snapshot_size, or add space to the group."),
            )
        return PlannedSnapshot(
            source,
            "lvm",
            text_of(at.path),
            f"{volume['vg_name']}/{volume['lv_name']}",
            joined(text_of(at.mount.root).lstrip("/"), inside(at.path, at.mount.point)).strip("/"),
            text_of(at.mount.point),
            size,
        )

    def make(self, snapshot: Snapshot, programs: Programs) -> None:
        plan = snapshot.plan
        # A thin one shares the pool of its origin, and is not activated unless that is asked for.
        how = ("--setactivationskip", "n") if plan.bytes is None else ("--size", f"{plan.bytes}b")
        programs.run("lvcreate", "--yes", "--snapshot", *how, "--name", snapshot.name, "--", plan.origin)

    def open(self, snapshot: Snapshot, programs: Programs) -> str:
        self.whole(snapshot, programs, is_mounted=False)
        folder = snapshot.folder
        if mounted_at(os.fsencode(folder)) is None:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            origin = mounted_at(os.fsencode(snapshot.plan.point))
            options = _OPTIONS.get(origin.kind if origin else "", "ro")
            programs.run("mount", "-o", options, f"/dev/{_group(snapshot)}/{snapshot.name}", str(folder))
        return str(folder)

    def live(self, snapshot: Snapshot, programs: Programs) -> tuple[str, ...]:
        del snapshot, programs
        return ()

    def whole(self, snapshot: Snapshot, programs: Programs, *, is_mounted: bool = True) -> None:
        found = _found(snapshot, programs)
        if found is None or (is_mounted and mounted_at(os.fsencode(snapshot.folder)) is None):
            raise gone(snapshot)
        attributes, used = found["lv_attr"], found["data_percent"]
        # lvs(8): the fifth letter is "I" for an invalid snapshot, "S" for a suspended one of them.
        is_valid = attributes[4:5] not in ("I", "S") and attributes[8:9] != "F"
        is_full = not found["pool_lv"] and used and float(used) >= 100
        if not is_valid or is_full:
            raise SnapshotLost(
                M(
                    "The snapshot {name} of source {source} is full ({used} %): the backup cannot be whole.",
                    name=snapshot.name,
                    source=snapshot.plan.source,
                    used=used or "100",
                ),
                M("Set a larger snapshot_size for the source, then retry the run: it makes another one."),
            )

    def remove(self, snapshot: Snapshot, programs: Programs) -> bool:
        folder = snapshot.folder
        while mounted_at(os.fsencode(folder)) is not None:
            programs.run("umount", str(folder))
        found = _found(snapshot, programs)
        if found is not None:
            origin = f"{found['vg_name']}/{found['origin']}"
            if not is_ours(snapshot.name) or origin != snapshot.plan.origin:
                raise not_ours(f"{found['vg_name']}/{snapshot.name}")
            programs.run("lvremove", "--yes", "--", f"{_group(snapshot)}/{snapshot.name}")
        if folder.is_dir():
            folder.rmdir()
        return found is not None


_REPORT = ("--reportformat", "json", "--units", "b", "--nosuffix", "-o", _FIELDS)


def _group(snapshot: Snapshot) -> str:
    return snapshot.plan.origin.partition("/")[0]


def _found(snapshot: Snapshot, programs: Programs) -> dict[str, str] | None:
    """Its line of the report; None: there is none of this name."""
    output = programs.run("lvs", *_REPORT, "--select", f"lv_name={snapshot.name}", "--", _group(snapshot))
    return next(iter(_volumes(output)), None)


def _volumes(output: str) -> list[dict[str, str]]:
    """The logical volumes of a report, which may have warnings before it. Raises SnapshotFailed."""
    try:
        document, _ = json.JSONDecoder().raw_decode(output[output.index("{") :])
        return [dict(each) for each in document["report"][0]["lv"]]
    except (ValueError, LookupError, TypeError) as error:
        raise SnapshotFailed(
            M("lvs printed something else than its report: {line}", line=last_line(output)),
            M("See what it prints on the drive's host: lvs --reportformat json"),
        ) from error


def _complaint(output: str) -> str:
    """What lvs printed beside its report."""
    lines = [line for line in output.splitlines() if line.strip()[:1].isalpha()]
    return last_line("\n".join(line for line in lines if "WARNING" not in line))


def _size(volume: Mapping[str, str], wanted: str | None) -> int:
    """In bytes; LVM rounds it up to whole extents."""
    wanted = wanted or f"{PERCENT}%"
    if wanted.endswith("%"):
        return max(int(volume["lv_size"]) * int(wanted.removesuffix("%")) // 100, 1 << 20)
    return units.read_size(wanted)
