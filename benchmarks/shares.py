"""The same files behind a file system whose calls each take 2 ms, with more and more readers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backup.source.readahead.pool import PROCESSES
from benchmarks.measure import say
from tests.mounts import shared

DELAY = 0.002
"""Seconds that each call takes: a server in the next building, or a busy NAS."""
KEPT = 1.0
"""Seconds that the kernel believes what it knows of a name, as a mount of NFS does for 3 to 60."""
READERS = (1, 4, 16, 32)

MB = 10**6
LARGE = 200 * MB
BESIDE = (1, 2, 4, 8)
LARGE_HEAD = ("pieces at once", "in all", "of it reading", "MB/s")

HEAD = ("readers", "listing, files a second", "reading, files a second", "in all", "memory of the readers")


def rows(
    tree: Path, point: Path, back_up: Callable[..., dict[str, Any]]
) -> list[tuple[str, str, str, str, str]]:
    """A line of the table for each number of readers."""
    lines = []
    for readers in READERS:
        with shared(tree, point, delay=DELAY, kept=KEPT):
            made = back_up(point, compression="none", readers=readers)
        seconds, scan = made["phases"]["total"], made["phases"]["scan"]
        files, processes = made["files"], min(readers, PROCESSES)
        say(f"  {readers} readers: {seconds:.1f} s, scan {scan:.1f} s")
        lines.append(
            (
                str(readers),
                f"{files / scan:,.0f}",
                f"{files / (seconds - scan):,.0f}",
                f"{seconds:.1f} s",
                f"{processes} x {made['helper_mib']:.0f} MiB",
            )
        )
    return lines


def large_rows(
    folder: Path, point: Path, back_up: Callable[..., dict[str, Any]], size: int
) -> list[tuple[str, str, str, str]]:
    """One file of this size, of which the same reader requests more and more pieces at once."""
    folder.mkdir(parents=True)
    (folder / "large").write_bytes(os.urandom(size))
    lines = []
    for readers in BESIDE:
        with shared(folder, point, delay=DELAY, cached=True):
            made = back_up(point, compression="none", readers=readers, watched=True)
        seconds, reading = made["phases"]["total"], made["phases"]["read"]
        say(f"  {readers} pieces at once: {seconds:.1f} s, reading {reading:.1f} s")
        lines.append((str(readers), f"{seconds:.1f} s", f"{reading:.1f} s", f"{size / seconds / MB:.0f}"))
    return lines
