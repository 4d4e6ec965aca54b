"""Write one backup set: scan, then pack, write and seal archive by archive, then make it complete."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import perf_counter

from backup.entry import raw, shown
from backup.errors import SetExists, SourceUnusable
from backup.format import documents, index, manifest
from backup.format.documents import folder_of
from backup.format.readme import README
from backup.format.volume_file import put, read_error
from backup.phases import Phases
from backup.request import (
    Begun,
    Journal,
    SetRequest,
    SetSummary,
)
from backup.source import lookout
from backup.source.changes import Change, since
from backup.source.counts import Counts, seen_real, surveyed
from backup.source.detection import Detection
from backup.source.links import LinkTable
from backup.source.lookout import Unanswered
from backup.source.place import latency, share_of
from backup.source.plan import Plan
from backup.source.readahead.files import Readers
from backup.source.readahead.pool import Helpers, readers_for
from backup.source.scan import FoundPath, Scan, roots_seen
from backup.spool import spooling
from backup.writing.dumping import among
from backup.writing.finishing import Finishing
from backup.writing.members import Members
from backup.writing.sealing import Sealing
from backup.writing.tally import START, Tally
from policy.message import M
from policy.paths import is_below, order
from tape.drive import Volume
from tape.programs.aside import Eyes, Wait
from tape.programs.replies import AT_ONCE


def write_set(
    volume: Volume, request: SetRequest, journal: Journal, spool: Path, wait: Wait | None = None
) -> SetSummary:
    """Write a set, or its missing rest if ``request.resume`` describes an interrupted one.

    ``spool`` is a folder on the host's disk. Its contents under the set's id are removed on success and kept
    otherwise, so that hard links are found again on resuming. ``wait``: called while a source does not
    answer; its errors go through, and the process that waits for the source is left behind. Raises
    SourceMissing, SourceUnusable and SetExists before anything is written; SpoolFailed; TapeFull,
    TapeWriteError and SealFailed, after which all archives that were reported to the journal still count; and
    what the journal and ``request.still_whole`` raise.
    """
    with lookout.opened(wait, request.elsewhere) as seeing:
        return _written(volume, request, journal, spool, seeing=seeing)


def _written(
    volume: Volume, request: SetRequest, journal: Journal, spool: Path, *, seeing: Eyes
) -> SetSummary:
    sources: tuple[bytes, ...] = ()
    if request.sources or not request.dumps:
        sources = roots_seen(request.sources, seeing, some_may_miss=True)
        _check_snapshots(request, sources)
    known = _complete_on(volume, request)
    if known is not None:
        return _confirmed(volume, request, known, journal)
    work = spool / request.set_id
    with spooling():
        work.mkdir(mode=0o700, parents=True, exist_ok=True)
    links = LinkTable(work / "links.sqlite")
    try:
        summary = _Writing(volume, request, journal, work, links, seeing=seeing).run(sources)
    finally:
        links.close()
    with spooling():
        shutil.rmtree(work)
    return summary


def _check_snapshots(request: SetRequest, sources: tuple[bytes, ...]) -> None:
    """A source whose link leads to another folder since its snapshot was made would be read as it is now.
    Raises SourceUnusable."""
    for rule in request.elsewhere:
        if not any(is_below(order(rule.path), order(source)) for source in sources):
            raise SourceUnusable(
                M("No source is {path} any more, of which there is a snapshot.", path=shown(rule.path)),
                M("Let the source's link lead where it did, or retry the run with a new snapshot."),
            )


def _complete_on(volume: Volume, request: SetRequest) -> manifest.Manifest | None:
    """The manifest, if this set is complete on the volume. Raises SetExists if it should not be."""
    if not documents.is_complete(volume, request.set_id):
        return None
    if request.resume is None:
        raise SetExists(
            M("The tape already has a complete backup set '{set}'.", set=request.set_id),
            M("Resume it, or write a set of another id."),
        )
    return manifest.read_manifest(volume, request.set_id)


def _confirmed(volume: Volume, request: SetRequest, known: manifest.Manifest, journal: Journal) -> SetSummary:
    """The set was complete before a crash: seal once more, and report to the journal what it does not
    know."""
    volume.seal()
    assert request.resume is not None
    numbers = {archive.number for archive in request.resume.archives}
    for archive in known.archives:
        if archive.number not in numbers:
            read = partial(index.on_volume, volume, folder_of(request.set_id), archive.number)
            journal.sealed(archive, index.Again(read))
    assert known.finished_at is not None
    return SetSummary(
        files=known.files,
        size=known.size,
        archives=known.archives,
        deleted=known.deleted,
        warnings=known.warnings or 0,
        written=0,
        seconds=Phases(),
        finished_at=known.finished_at,
    )


class _Writing:
    """The state of one call of ``write_set``."""

    def __init__(
        self,
        volume: Volume,
        request: SetRequest,
        journal: Journal,
        spool: Path,
        links: LinkTable,
        *,
        seeing: Eyes,
    ) -> None:
        self._eyes = seeing
        self._volume = volume
        self._request = request
        self._journal = journal
        self._spool = spool
        self._links = links
        self._tally = Tally(request, journal)
        self._sealing = Sealing(volume, request, journal, self._tally, spool=spool, links=links, eyes=seeing)
        self._phases = self._sealing.phases
        self._resume = request.resume or START

    def run(self, sources: tuple[bytes, ...]) -> SetSummary:
        started = perf_counter()
        seconds = self._latency(sources) if self._request.more_readers else 0.0
        readers = readers_for(seconds, self._request.readers)
        self._sealing.at_once = min(max(readers, 1), AT_ONCE)
        with Helpers(readers, self._eyes.wait, self._request.elsewhere) as helpers:
            self._detection = self._detects()
            plan = self._scan(sources, helpers)
            written = self._begin(sources)
            self._pack(plan, helpers)
        finishing = Finishing(
            self._volume, self._request, self._journal, self._sealing, self._tally, spool=self._spool
        )
        finished, ending = finishing.run(sources)
        self._phases.starved = self._sealing.starved
        if self._request.throttle is not None:
            self._phases.slowed = self._request.throttle.seconds
        self._phases.total = perf_counter() - started
        archives = self._sealing.archives
        return SetSummary(
            files=sum(archive.files for archive in archives),
            size=sum(archive.size for archive in archives),
            archives=tuple(archives),
            deleted=sum(archive.deleted for archive in archives),
            warnings=self._tally.warnings,
            written=written + self._sealing.written + ending,
            seconds=self._phases,
            finished_at=finished,
            readers=readers,
            latency=seconds,
        )

    def _latency(self, sources: Iterable[bytes]) -> float:
        """The seconds of a call on the slowest share among the sources. A local disk is not asked: there more
        readers than processors gain nothing."""
        slowest = 0.0
        for source in sources:
            if share_of(source) is not None:
                with suppress(Unanswered):
                    slowest = max(slowest, self._eyes.ask(latency, source, about=shown(source)))
        return slowest

    def _detects(self) -> Detection:
        """What shows that a file has changed. A source that does not answer is not walked."""
        of_sources = {
            root: choice
            for source, choice in self._request.detect_of.items()
            if (root := seen_real(source, self._eyes)) is not None
        }
        return Detection(self._request.detect, self._request.followed, of_sources=of_sources)

    def _scan(self, sources: tuple[bytes, ...], helpers: Helpers) -> Plan:
        started = perf_counter()
        scan = Scan(
            self._spool,
            self._tally.warn,
            helpers=helpers,
            eyes=self._eyes,
            excludes=self._request.excludes,
            own=self._own_folders(),
            after=self._resume.after,
        )
        plan = Plan(self._spool / "plan.zst")
        counts = Counts(sources)
        detection = self._detection
        walk = detection.noted(counts.counted(scan.walk(sources)), sources)
        scanned = among(walk, self._request.dumps, self._resume.after)
        plan.write(self._changes(scanned, counts, detection), self._links, self._journal.check)
        self._phases.scan = perf_counter() - started
        if self._request.before_first_byte is not None and self._request.resume is None:
            self._request.before_first_byte(surveyed(self._request, counts, detection.rules, self._eyes))
        cut_off = self._resume.begun
        begun = cut_off.offset if cut_off and not self._is_dump(cut_off) else 0
        tally = self._tally
        self._journal.planned(tally.files + plan.files, tally.size + plan.size - begun, scan.left_out)
        return plan

    def _is_dump(self, begun: Begun) -> bool:
        """A dump that was cut off is not gone on with: it is read from its beginning."""
        return any(begun.path == dump.path for dump in self._request.dumps)

    def _changes(
        self, scanned: Iterable[FoundPath], counts: Counts, detection: Detection
    ) -> Iterable[Change]:
        if self._request.parent is None:
            return (Change(path, status) for path, status in scanned if status is not None)
        after = None if self._resume.after is None else order(raw(self._resume.after))
        return counts.changes(since(self._request.known, scanned, after, detection.of))

    def _own_folders(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The mounted volume and the spool, which are never backed up."""
        root = self._volume.root
        try:
            volume = root.stat()
        except OSError as error:
            raise read_error(shown(str(root)), error) from error
        with spooling():
            spool = self._spool.stat()
        return (volume.st_dev, volume.st_ino), (spool.st_dev, spool.st_ino)

    def _begin(self, sources: tuple[bytes, ...]) -> int:
        """Returns the bytes written."""
        started = perf_counter()
        written = 0
        if self._volume.size("README.txt") is None:
            written += put(self._volume, "README.txt", [README.encode()])
        written += manifest.begin(self._volume, self._request, sources)
        self._phases.wait += perf_counter() - started
        return written

    def _pack(self, plan: Plan, helpers: Helpers) -> None:
        members = Members(
            self._request,
            self._journal,
            self._sealing,
            self._tally,
            self._links,
            detection=self._detection,
            eyes=self._eyes,
        )
        try:
            for batch in Readers(helpers, self._phases).ahead(plan.changes(), plan.small):
                members.take(batch)
            self._sealing.seal()
            self._tally.report()
        except BaseException as error:
            self._sealing.abandon(error)
            raise
