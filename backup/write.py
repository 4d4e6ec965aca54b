"""Write one backup set: scan, then pack, write and seal archive by archive, then say that it is complete."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain, count
from pathlib import Path
from time import perf_counter

from backup import age, documents, eyes, frames, index, manifest, tar
from backup.archive import Archive
from backup.buffer import Buffer
from backup.changes import Change, since
from backup.documents import folder_of
from backup.entry import Entry, FileType, deletion, raw, shown, text
from backup.errors import Ended, SetExists
from backup.helpers import Helpers
from backup.links import First, LinkTable
from backup.member import Member, examined
from backup.pack import SMALL, Pack
from backup.phases import Phases
from backup.pieces import head_of, next_piece, whole_of
from backup.plan import Kind, Plan
from backup.readers import Batch, Readers
from backup.readme import README
from backup.records import DATABASE, DatabaseRecord
from backup.request import (
    Journal,
    ResumePoint,
    SetRequest,
    SetSummary,
)
from backup.room import Room
from backup.scan import Found, Scan, roots
from backup.sealed import numbers
from backup.spool import spooling
from backup.tapefile import blocks_of, confirm, hashed, put, read_error
from policy import units
from policy.message import M, Message
from policy.paths import order
from tape.aside import Eyes, Wait
from tape.drive import Volume
from tape.errors import TapeFull

LONGEST = 16
"""A file that is longer than so many archives is cut also where it fits: a break costs one piece of it."""

_START = ResumePoint((), 0, 0, 0, None)


def write_set(
    volume: Volume, request: SetRequest, journal: Journal, spool: Path, wait: Wait | None = None
) -> SetSummary:
    """Write a set, or what is missing of it when ``request.resume`` says how far it had come.

    ``spool`` is a folder on the host's disk. What lies in it under the set's id is removed with success and
    kept otherwise, so that hard links are found again on resuming. ``wait``: called while a source does not
    answer; what it raises goes through, and who waits for the source is left behind. Raises SourceMissing,
    SourceUnusable and SetExists before anything is written; SpoolFailed; TapeFull, TapeWriteError and
    SealFailed, after which all archives that the journal was told of still count; and whatever the journal
    raises.
    """
    with eyes.opened(wait) as seeing:
        return _written(volume, request, journal, spool, seeing=seeing)


def _written(
    volume: Volume, request: SetRequest, journal: Journal, spool: Path, *, seeing: Eyes
) -> SetSummary:
    sources = seeing.ask(roots, request.sources, True, about=", ".join(request.sources))  # noqa: FBT003
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


def _complete_on(volume: Volume, request: SetRequest) -> manifest.Manifest | None:
    """The manifest, if the volume says that this set is complete. Raises SetExists if it should not."""
    if not documents.is_complete(volume, request.set_id):
        return None
    if request.resume is None:
        raise SetExists(
            M("The tape already has a complete backup set '{set}'.", set=request.set_id),
            M("Resume it, or write a set of another id."),
        )
    return manifest.read_manifest(volume, request.set_id)


def _confirmed(volume: Volume, request: SetRequest, known: manifest.Manifest, journal: Journal) -> SetSummary:
    """The set was complete before a crash: seal once more, and tell the journal what it has not heard."""
    volume.seal()
    assert request.resume is not None
    told = {archive.number for archive in request.resume.archives}
    for archive in known.archives:
        if archive.number not in told:
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
        resume = request.resume or _START
        self._volume = volume
        self._request = request
        self._journal = journal
        self._spool = spool
        self._links = links
        self._folder = folder_of(request.set_id)
        self._phases = Phases()
        self._zstd = frames.compressor(request.level) if request.compression == "zstd" else None
        self._keys = age.recipients(request.encrypt_to)
        self._buffer = Buffer(request.buffer_bytes, in_bursts=request.in_bursts)
        self._archive: Archive | None = None
        self._archives = list(resume.archives)
        self._number = self._last_number()
        self._after = resume.after
        self._begun = resume.begun
        self._files, self._size, self._warnings = resume.files, resume.bytes, resume.warnings
        self._room = Room(volume, request.reserve_bytes)
        self._written = 0
        self._unchecked = 0

    def _last_number(self) -> int:
        on_volume = numbers(self._volume, self._request.set_id)
        return max(on_volume | {archive.number for archive in self._archives}, default=0)

    def run(self, sources: tuple[bytes, ...]) -> SetSummary:
        started = perf_counter()
        # A link goes only to what this cartridge holds: each can be read by itself.
        here = numbers(self._volume, self._request.set_id)
        self._links.keep({archive.number for archive in self._archives} & here)
        with Helpers(self._request.readers, self._eyes.wait) as helpers:
            plan = self._scan(sources, helpers)
            self._begin(sources)
            self._pack(plan, helpers)
        finished = self._finish(sources)
        self._phases.starved = self._buffer.starved
        self._phases.total = perf_counter() - started
        return SetSummary(
            files=sum(archive.files for archive in self._archives),
            size=sum(archive.size for archive in self._archives),
            archives=tuple(self._archives),
            deleted=sum(archive.deleted for archive in self._archives),
            warnings=self._warnings,
            written=self._written,
            seconds=self._phases,
            finished_at=finished,
        )

    def _scan(self, sources: tuple[bytes, ...], helpers: Helpers) -> Plan:
        started = perf_counter()
        scan = Scan(
            self._spool,
            self._warn,
            helpers=helpers,
            eyes=self._eyes,
            excludes=self._request.excludes,
            own=self._own_folders(),
            after=self._after,
        )
        plan = Plan(self._spool / "plan.zst")
        plan.write(self._changes(scan.walk(sources)), self._links, self._journal.check)
        self._phases.scan = perf_counter() - started
        begun = self._begun.offset if self._begun else 0
        self._journal.planned(self._files + plan.files, self._size + plan.size - begun, scan.left_out)
        return plan

    def _changes(self, found: Iterable[Found]) -> Iterable[Change]:
        if self._request.parent is None:
            return (Change(path, status) for path, status in found if status is not None)
        return since(self._request.known, found, None if self._after is None else order(raw(self._after)))

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

    def _begin(self, sources: tuple[bytes, ...]) -> None:
        started = perf_counter()
        if self._volume.size("README.txt") is None:
            self._written += put(self._volume, "README.txt", [README.encode()])
        self._written += manifest.begin(self._volume, self._request, sources)
        self._phases.wait += perf_counter() - started

    def _pack(self, plan: Plan, helpers: Helpers) -> None:
        try:
            for batch in Readers(helpers, self._phases).ahead(plan.changes(), plan.small):
                self._take_batch(batch)
            self._seal()
            self._journal.progress(self._files, self._size)
        except BaseException as error:
            if self._archive is not None:
                self._archive.abandon(error)
            raise

    def _take_batch(self, batch: Batch) -> None:
        if batch.is_whole and self._has_room_for(len(batch.pack[0])):
            self._take_pack(batch.pack)
            return
        for planned, pack in batch.each():
            if planned.kind is Kind.GONE:
                self._forget(planned.path)
            elif pack is None:
                self._examine(planned.path)
            elif self._room.has(len(pack[0]), self._archive):
                self._archive_for(len(pack[0]), 0)
                self._take_pack(pack)
            else:
                self._examine(planned.path)

    def _has_room_for(self, length: int) -> bool:
        """Whether so much goes into the frame under way, with nothing else to be seen to."""
        archive = self._archive
        return (
            archive is not None
            and archive.frame_length + length < self._request.frame_bytes
            and archive.length_with(length, 0) <= self._request.archive_bytes
            and self._room.has(length, archive)
        )

    def _examine(self, path: bytes) -> None:
        member, warnings = self._eyes.ask(examined, path, about=shown(path))
        for of, reason in warnings:
            self._warn(of, reason)
        if member is None:
            return
        try:
            first = self._first_name(member)
            if first is None:
                self._store(member)
            else:
                self._link(member.entry, first)
        finally:
            if member.fd is not None:
                self._eyes.close(member.fd)
        self._taken()

    def _take_pack(self, pack: Pack) -> None:
        assert self._archive
        self._read(self._archive.add_pack(pack))
        self._taken(len(pack[1]))

    def _forget(self, path: bytes) -> None:
        archive = self._archive_for(0, 0)
        archive.add_deletion(deletion(text(path)))
        if archive.deleted % 1000 == 0:
            self._look_up()

    def _taken(self, files: int = 1) -> None:
        self._files += files
        self._end_frame_if_long()
        if self._journal.is_ending():
            self._seal()
            raise Ended(
                M("Asked to end: what is sealed counts."), M("The backup goes on when its worker is back.")
            )

    def _first_name(self, member: Member) -> First | None:
        if member.fd is None or member.entry.nlink == 1:
            return None
        return self._links.find(member.dev, member.entry)

    def _store(self, member: Member) -> None:
        head = tar.header(member.entry, member.length)
        needed = len(head) + member.length + tar.padding(member.length)
        if self._is_long(member) or self._has_begun(member):
            self._store_in_pieces(member)
        elif self._room.has(needed, self._archive):
            self._store_whole(member, head)
        elif member.length > self._request.archive_bytes or not self._room.could_ever(needed):
            self._store_in_pieces(member)
        else:
            self._seal()
            raise self._full(member.entry)

    def _store_whole(self, member: Member, head: bytes) -> None:
        archive = self._archive_for(len(head), member.length)
        entry, problem = archive.add(member, head, self._read)
        self._size += _holes(member)
        if problem is not None:
            self._warn(raw(entry.path), problem)
        elif entry.type is FileType.FILE and entry.nlink > 1:
            self._links.add(member.dev, entry)

    def _is_long(self, member: Member) -> bool:
        return member.length > max(LONGEST * self._request.archive_bytes, SMALL)

    def _has_begun(self, member: Member) -> bool:
        begun = self._begun
        return begun is not None and member.fd is not None and begun.goes_on_with(member.entry)

    def _store_in_pieces(self, member: Member) -> None:
        """Each piece has an archive of its own, and is as long as is sure to fit, however it compresses."""
        begun = self._begun if self._has_begun(member) else None
        offset = begun.offset if begun else 0
        stored: list[Entry] = []
        problem: Message | None = None
        # Its content counts once, as the scan counted it, though each of its names has all pieces.
        counts = member.entry.nlink == 1 or self._links.is_first_cut(member.dev, member.entry)
        while offset < member.entry.size:
            self._seal()
            number = len(begun.digests if begun else ()) + len(stored) + 1
            piece = next_piece(member, number, offset, self._room_for_piece(member, offset))
            entry, reason = self._begin_archive(in_pieces=True).add(
                piece,
                head_of(piece, self._request.set_id),
                self._read if counts else self._read_again,
                counts=counts,
            )
            self._size += _holes(piece) if counts else 0
            stored.append(entry)
            problem = problem or reason
            offset += entry.size
        assert self._archive
        self._archive.add_whole(whole_of(member, stored, begun))
        self._seal()
        if problem is not None:
            self._warn(raw(member.entry.path), problem)

    def _room_for_piece(self, member: Member, offset: int) -> int:
        """How many bytes of data the next piece may have. Raises TapeFull where that is not worth a seal."""
        most = self._room.left()
        # What its headers, its index and incompressible data take besides.
        most -= 4 * len(head_of(next_piece(member, 1, offset, 1), self._request.set_id)) + most // 256
        least = min(self._request.archive_bytes, self._room.capacity() // 4) // 16
        if most < min(least, member.entry.size - offset) or most <= 0:
            raise self._full(member.entry)
        return min(most, self._request.archive_bytes)

    def _full(self, entry: Entry) -> TapeFull:
        return TapeFull(
            M("The tape is full: {path} does not fit any more.", path=shown(entry.path)),
            M("Put in another tape: what was sealed stays readable."),
        )

    def _link(self, entry: Entry, first: First) -> None:
        link = entry._replace(
            type=FileType.HARDLINK,
            target=first.path,
            sparse=first.sparse,
            blake3=first.blake3,
            place=first.place,
        )
        head = tar.header(link, 0)
        self._archive_for(len(head), 0).add_link(link, head)

    def _archive_for(self, head: int, length: int) -> Archive:
        """The archive that the next member goes into: a new one if this one would become too long."""
        archive, most = self._archive, self._request.archive_bytes
        # What is too long for any archive goes into this one: a new one would be too long as well.
        if archive and archive.length_with(head, length) > most and (length <= most or archive.length > most):
            self._seal()
            archive = None
        return archive or self._begin_archive()

    def _begin_archive(self, *, in_pieces: bool = False) -> Archive:
        self._journal.check()
        self._number += 1
        self._archive = Archive(
            self._volume,
            folder=self._folder,
            number=self._number,
            spool=self._spool,
            zstd=self._zstd,
            keys=self._keys,
            buffer=self._buffer,
            phases=self._phases,
            eyes=self._eyes,
            in_pieces=in_pieces,
        )
        return self._archive

    def _read(self, count: int) -> None:
        self._size += count
        self._read_again(count)

    def _read_again(self, count: int) -> None:
        self._unchecked += count
        if self._unchecked >= self._request.frame_bytes:
            self._look_up()

    def _end_frame_if_long(self) -> None:
        if self._archive and self._archive.frame_length >= self._request.frame_bytes:
            self._archive.end_frame()
            self._look_up()

    def _look_up(self) -> None:
        self._unchecked = 0
        self._journal.progress(self._files, self._size)
        self._journal.check()

    def _seal(self) -> None:
        """End the archive under way, seal it with its index, and only then let it count."""
        if self._archive is None:
            return
        record = self._archive.finish(follows=self._archives[-1].number if self._archives else None)
        path = self._archive.index.path
        self._archive = None
        name = f"{self._folder}/{path.name}" + (age.SUFFIX if self._keys else "")
        written, digest = self._put_index(path, name)
        record = replace(record, index_sha256=digest, label=self._request.label or None)
        sealed = {f"{self._folder}/{record.name}": record.bytes, name: written}
        self._seal_volume(sealed)
        self._room.ask_anew()
        self._archives.append(record)
        self._written += record.bytes + written
        self._links.commit()
        started = perf_counter()
        self._journal.sealed(record, index.Again(partial(index.in_spool, path)))
        self._phases.catalogue += perf_counter() - started
        self._journal.progress(self._files, self._size)
        with spooling():
            path.unlink()

    def _put_index(self, path: Path, name: str) -> tuple[int, str]:
        started = perf_counter()
        digest = hashlib.sha256()
        if self._keys:
            return age.put(self._volume, name, blocks_of(path), self._keys)
        written = put(self._volume, name, hashed(blocks_of(path), digest))
        self._phases.wait += perf_counter() - started
        return written, digest.hexdigest()

    def _seal_volume(self, sizes: dict[str, int]) -> None:
        started = perf_counter()
        self._volume.seal()
        confirm(self._volume, sizes)
        self._phases.seal += perf_counter() - started

    def _finish(self, sources: tuple[bytes, ...]) -> datetime:
        """Say on the volume that the set is complete; returns since when."""
        database = self._put_database()
        finished = datetime.now(UTC)
        name, size = manifest.finish(
            self._volume,
            self._request,
            sources,
            self._archives,
            self._warnings,
            finished_at=finished,
            database=database,
        )
        sizes = {name: size} | ({f"{self._folder}/{database.name}": database.bytes} if database else {})
        self._seal_volume(sizes)
        self._written += sum(sizes.values())
        return finished

    def _put_database(self) -> DatabaseRecord | None:
        """The database as it is now, beside the archives; the backup is as good without it."""
        if self._request.dump is None:
            return None
        path = self._spool / DATABASE
        reason = self._request.dump(path, self._journal.check)
        if reason is None:
            with spooling():
                size = path.stat().st_size
            if self._room.has(size, None):
                with suppress(TapeFull):
                    return self._copied(path)
            reason = M("The tape has no room for it ({size}).", size=units.size(size))
        self._warn(
            DATABASE.encode(),
            M("The backup has no copy of Tapeline's database beside it. {reason}", reason=reason.to_json()),
        )
        return None

    def _copied(self, path: Path) -> DatabaseRecord:
        keys = self._keys or age.recipients(self._request.encrypt_dump_to)
        name = self._name_for_database(DATABASE + (age.SUFFIX if keys else ""))
        place, digest = f"{self._folder}/{name}", hashlib.sha256()
        if keys:
            return DatabaseRecord(name, *age.put(self._volume, place, blocks_of(path), keys))
        size = put(self._volume, place, hashed(blocks_of(path), digest))
        return DatabaseRecord(name, size, digest.hexdigest())

    def _name_for_database(self, wanted: str) -> str:
        """One that a crash cut off keeps its name and does not count."""
        stem, _, suffix = wanted.partition(".")
        names = chain([f"{stem}.{suffix}"], (f"{stem}-{number}.{suffix}" for number in count(2)))
        return next(name for name in names if self._volume.size(f"{self._folder}/{name}") is None)

    def _warn(self, path: bytes, reason: Message) -> None:
        self._warnings += 1
        self._journal.warned(shown(path), reason)


def _holes(member: Member) -> int:
    """Bytes of the content that need no reading."""
    return member.entry.size - sum(length for _, length in member.segments)
