"""The measurements, part by part, each with its table."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks import chains, data, files, pages, shares, streaming
from benchmarks import control as years
from benchmarks.fleet import tables, year
from benchmarks.fleet.size import FleetSize
from benchmarks.measure import can_drop_caches, cold, command, empty, in_turns, job, say, sync, warm
from benchmarks.rivals import Rival, installed
from db.engine import Database
from db.tapes import cartridges
from embedded.postgres import Postgres
from policy.tapes.medium import MediumReport

MIB = 1 << 20
OURS = "tapeline"


class Stage:
    """The folder with the data, and a PostgreSQL for the catalogue. ``scale``: divides the size of
    everything."""

    def __init__(self, folder: Path, *, rounds: int, scale: int, fleet: FleetSize | None = None) -> None:
        self.folder = folder
        self.rounds = rounds
        self.scale = scale
        self.fleet = fleet or FleetSize()
        self.server = Postgres(folder / "state")
        self._numbers = itertools.count(1)
        self._made: dict[str, Path] = {}
        self._spent = folder / "restored"

    def __enter__(self) -> Stage:
        (self.folder / "state").mkdir(mode=0o755)
        self.server.start()
        database = Database(self.server.url)
        database.upgrade()
        with database.transaction() as session:
            blank: MediumReport = {"state": "blank", "volume_uuid": None, "medium_serial": "BENCH1"}
            cartridges.formatted(session, None, blank, {**blank, "state": "formatted", "label": "TP20261101"})
        database.close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.stop()

    def tree(self, name: str) -> Path:
        """One of the data sets, made on first use."""
        if name not in self._made:
            say(f"  making the data: {name}")
            self._made[name] = self.folder / "data" / name
            TREES[name](self._made[name], self.scale)
        return self._made[name]

    def target(self) -> Path:
        """A new folder to restore into. Only the contents of earlier ones are removed: a file system may
        search long for a free inode after many were freed (ext4 does not reuse them for minutes)."""
        for path in self._spent.rglob("*"):
            if path.is_file():
                os.truncate(path, 0)
        self._spent = empty(self.folder / f"restored {next(self._numbers)}")
        return self._spent

    def back_up(self, source: Path, **facts: Any) -> dict[str, Any]:
        """A backup by Tapeline; returns its measurements, with ``set_id`` and ``volume``."""
        number = next(self._numbers)
        set_id = f"20261101T{number:06d}Z-0001"
        volume = facts.pop("volume", None) or empty(self.folder / "volume")
        measured = job(
            "backup",
            database=self.server.url,
            set_id=set_id,
            source=str(source),
            volume=str(volume),
            spool=str(empty(self.folder / "spool")),
            **facts,
        )
        return {**measured, "set_id": set_id, "volume": str(volume)}


TREES: dict[str, Callable[[Path, int], None]] = {
    "large files": lambda root, scale: data.large(root, 8, 256 * MIB // scale),
    "small files": lambda root, scale: data.small(root, 50_000 // scale),
    "mixed files": lambda root, scale: data.mixed(root, 5_000 // scale, 1024 * MIB // scale),
}


def table(title: str, head: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    """Print a table that reads well as text and as Markdown."""
    rows = [tuple(head), tuple("---" for _ in head), *map(tuple, lines)]
    print(f"### {title}\n")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(flush=True)


def against(title: str, seconds_of: Mapping[str, float], *, size: int | None = None) -> list[str]:
    """A line of a table: seconds of all, and ours as a fraction of the first rival's."""
    ours = seconds_of[OURS]
    rivals = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in seconds_of.items() if name != OURS)
    first = next(seconds for name, seconds in seconds_of.items() if name != OURS)
    rate = f"{size / ours / 1e6:.0f} MB/s" if size else ""
    return [title, f"{ours:.2f} s", rate, rivals, f"{ours / first:.2f}"]


HEAD = ("", OURS, "rate", "others", "ratio to the first")


def full(stage: Stage) -> None:
    """Full backups, uncompressed and compressed, cold and warm."""
    lines = []
    phases: dict[str, Any] = {}
    for name, (compression, level, rivals), is_cold in itertools.product(
        TREES,
        (("none", 3, ("tar",)), ("zstd", 1, ("tar | zstd -1", "borg", "restic"))),
        (True, False),
    ):
        if is_cold and not can_drop_caches():
            continue
        source = stage.tree(name)
        title = f"{name}, {compression}, {'cold' if is_cold else 'warm'}"
        say(f" {title}")

        def ours(
            source: Path = source, compression: str = compression, level: int = level, title: str = title
        ) -> float:
            phases[title] = stage.back_up(source, compression=compression, level=level)
            return float(phases[title]["seconds"])

        others = {rival.name: partial(rival.full, source) for rival in installed(stage.folder, rivals)}
        medians = in_turns({**others, OURS: ours}, stage.rounds, cold if is_cold else warm(source))
        lines.append(against(title, medians, size=phases[title]["bytes"]))
    table("Full backup", HEAD, lines)
    names = ("scan", "read", "hash", "compress", "wait", "seal", "catalogue", "drive")
    table(
        "Where the time of each last round went, in seconds",
        ("", "total", *names, "peak MiB"),
        (
            [title, *(f"{one['phases'][name]:.2f}" for name in ("total", *names)), f"{one['peak_mib']:.0f}"]
            for title, one in phases.items()
        ),
    )


def changes(stage: Stage) -> None:
    """An increment of a tree of which one file in a hundred has changed, beside find over the same tree."""
    count = 1_000_000 // stage.scale
    root = stage.folder / "data" / "many"
    say(f"  making the data: {count} files")
    data.small(root, count, 64, 256)
    parent = stage.back_up(root, compression="none")
    say(f"  the full backup took {parent['seconds']:.1f} s")
    data.change(root, 100)

    def find() -> float:
        return command(["find", root, "-printf", "%p %s %T@ %C@ %i %y\\n"])

    def ours() -> float:
        return float(stage.back_up(root, compression="none", parent=parent["set_id"])["seconds"])

    lines = []
    for title, before in (("cold", cold), ("warm", lambda: None)):
        if before is cold and not can_drop_caches():
            continue
        medians = in_turns({"find": find, OURS: ours}, stage.rounds, before)
        lines.append(against(f"{count} files, 1 % changed, {title}", medians))
    table("Incremental backup", HEAD, lines)
    shutil.rmtree(root)


def restore(stage: Stage) -> None:
    """All of a set, and one file of it."""
    lines = []
    for name in TREES:
        source = stage.tree(name)
        kept = stage.folder / "kept"
        shutil.rmtree(kept, ignore_errors=True)
        made = stage.back_up(source, compression="none", volume=empty(kept))
        rival = Rival("tar", stage.folder)
        rival.full(source)

        def ours(made: dict[str, Any] = made) -> float:
            target = stage.target()
            medianst = job("restore", set_id=made["set_id"], volume=made["volume"], target=str(target))
            started = time.perf_counter()
            sync(target)
            return float(medianst["seconds"]) + time.perf_counter() - started

        def tar(rival: Rival = rival) -> float:
            return rival.restore(stage.target())

        medians = in_turns(
            {"tar": tar, OURS: ours}, stage.rounds, cold if can_drop_caches() else lambda: None
        )
        lines.append(against(f"all of {name}", medians, size=made["bytes"]))
    table("Restore", HEAD, lines)
    one_file(stage)


def one_file(stage: Stage) -> None:
    """The bytes read from the tape for one file: the index of its archive, and its frames."""
    lines = []
    for name, compression in itertools.product(("small files", "mixed files"), ("none", "zstd")):
        source = stage.tree(name)
        made = stage.back_up(source, compression=compression, level=1, volume=empty(stage.folder / "kept"))
        path = max((path for path in source.rglob("*") if path.is_file()), key=str)
        folder = Path(made["volume"]) / "sets" / made["set_id"]
        report = job(
            "restore", set_id=made["set_id"], volume=made["volume"], paths=[str(path)],
            target=str(stage.target()),
        )  # fmt: skip
        index = sum(each.stat().st_size for each in folder.glob("index-*"))
        archive = sum(each.stat().st_size for each in folder.glob("data-*"))
        lines.append(
            (
                f"{name}, {compression}", f"{path.stat().st_size:,}", f"{index:,}",
                f"{report['read'] - index:,}", f"{archive:,}", f"{report['seconds']:.2f} s",
            )
        )  # fmt: skip
    table(
        "One file, bytes",
        ("set", "of the file", "of the index", "read besides the index", "of the archive", "time"),
        lines,
    )


def memory(stage: Stage) -> None:
    """Memory beside the buffer, for few files and for many."""
    lines = []
    for count in (10_000 // stage.scale, 5_000_000 // stage.scale):
        root = stage.folder / "data" / f"{count} files"
        say(f"  making the data: {count} files")
        data.small(root, count, 0, 16)
        made = stage.back_up(root, compression="none", buffer_bytes=16 * MIB)
        lines.append((f"{count:,}", f"{made['peak_mib']:.0f}", f"{made['helper_mib']:.0f}"))
        shutil.rmtree(root)
    table(
        "Memory, MiB, with a buffer of 16 MiB",
        ("files", "the process that writes", "the largest of those that read ahead"),
        lines,
    )


def share(stage: Stage) -> None:
    """20,000 small files on a share, and one large file, by the number of readers."""
    root = stage.folder / "data" / "share"
    data.small(root, 20_000 // stage.scale)
    lines = shares.rows(root, stage.folder / "share", stage.back_up)
    delay = f"{1000 * shares.DELAY:.0f} ms for each call"
    table(f"Readers of a share, {delay}", shares.HEAD, lines)
    shutil.rmtree(root)
    size = shares.LARGE // stage.scale
    large = shares.large_rows(root, stage.folder / "share", stage.back_up, size)
    table(f"One file of {size // shares.MB} MB on a share, {delay}", shares.LARGE_HEAD, large)
    shutil.rmtree(root)


def catalogue(stage: Stage) -> None:
    """Five million files into PostgreSQL, one found, the set dropped."""
    count = 5_000_000 // stage.scale
    report = job("catalogue", database=stage.server.url, set_id="20261101T999999Z-0001", rows=count)
    times = report["found"]
    table(
        f"Catalogue of {count:,} files",
        ("rows a second", "a path found, median", "a path found, slowest", "the set dropped"),
        [
            (
                f"{report['rows_per_second']:,.0f}", f"{1000 * times[len(times) // 2]:.1f} ms",
                f"{1000 * times[-1]:.1f} ms", f"{report['dropped']:.2f} s",
            )
        ],
    )  # fmt: skip


def stream(stage: Stage) -> None:
    """Stops of a drive of 400 MB/s that is fed by a slower source."""
    size = 2048 * MIB // stage.scale
    lines = []
    for rate in (100e6, 200e6, 350e6):
        for title, buffer in (("none", None), ("256 MiB", 256 * MIB), ("1 GiB", 1024 * MIB)):
            say(f"  source of {rate / 1e6:.0f} MB/s, buffer {title}")
            fed = streaming.feed(size, rate, buffer)
            lines.append((f"{rate / 1e6:.0f} MB/s", title, str(fed.stops), f"{fed.seconds:.1f} s"))
    table(f"A drive of 400 MB/s, {size // MIB} MiB", ("source", "buffer", "stops", "time"), lines)


def dashboard(stage: Stage) -> None:
    """Each page of the dashboard, requested by a client on this host."""
    runs, tapes = 5_000 // stage.scale, 500 // stage.scale
    times = pages.measure(stage.folder, stage.rounds, runs=runs, tapes=tapes)
    table(
        f"The dashboard with {runs:,} runs and {tapes:,} tapes",
        ("page", "median", "slowest", "KiB"),
        (
            (page, f"{1000 * median:.0f} ms", f"{1000 * slowest:.0f} ms", f"{size / 1024:.0f}")
            for page, (median, slowest, size) in times.items()
        ),
    )
    count = 5_000_000 // stage.scale
    say(f"  {count:,} files in one tree, {files.SETS} sets")
    of_files, cost = pages.measure_files(stage.folder, stage.rounds, count=count)
    table(
        f"Files with {count:,} in one tree and {files.SETS} sets in one chain",
        ("page", "median", "slowest", "processor", "KiB"),
        (
            (
                page,
                f"{1000 * median:.0f} ms",
                f"{1000 * slowest:.0f} ms",
                f"{1000 * used:.0f} ms",
                f"{size / 1024:.0f}",
            )
            for page, (median, slowest, size, used) in of_files.items()
        ),
    )
    table(
        "What finding files costs",
        ("what", "size"),
        [(title, f"{cost[title] / 1e6:.0f} MB") for title in files.PARTS]
        + [("time to make folders and names", f"{cost['seconds']:.0f} s")],
    )


def control(stage: Stage) -> None:
    """The database's answers with years of history, and a run with nothing to do beside a bare chain."""
    medians = chains.measure(stage.folder, stage.rounds)
    table(
        "A run with nothing to back up",
        ("what", "median"),
        [
            ("a bare Celery chain of six", f"{1000 * medians['bare']:.0f} ms"),
            ("a run of six steps", f"{1000 * medians['run']:.0f} ms"),
            ("commits of the server in a run", f"{medians['commits']:.0f}"),
        ],
    )
    for runs, sets in ((10_000, 2_000), (100_000, 20_000), (1_000_000, 100_000)):
        size = years.Size(runs // stage.scale, sets // stage.scale)
        say(f"  {size.runs:,} runs, {size.sets:,} sets")
        with years.filled(stage.folder / str(runs), size) as database:
            answers = years.answers(database)
            seconds, length = years.dumped(database, stage.folder)
        table(
            f"The control plane with {size.runs:,} runs, {size.sets:,} sets on {size.tapes:,} tapes",
            ("what", "time", "statements"),
            [
                *((name, f"{1000 * taken:.0f} ms", str(count)) for name, (taken, count) in answers.items()),
                ("the copy beside a set", f"{1000 * seconds:.0f} ms", f"{length / 1e6:.1f} MB"),
            ],
        )


def fleet(stage: Stage) -> None:
    """A year of many drives: what comes late, what grows how fast, and whether everything stays true."""
    for title, head, rows in tables.of_year(year.measure(stage.folder / "fleet", stage.fleet), stage.fleet):
        table(title, head, rows)


PARTS: dict[str, Callable[[Stage], None]] = {
    "full": full,
    "changes": changes,
    "restore": restore,
    "memory": memory,
    "shares": share,
    "catalogue": catalogue,
    "stream": stream,
    "dashboard": dashboard,
    "control": control,
    "fleet": fleet,
}
