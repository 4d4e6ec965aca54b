"""The archives of a set on one volume, one after the other: begun, sealed with its index, then counted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter

from backup.format import age, frames, index
from backup.format.documents import folder_of
from backup.format.sealed import numbers
from backup.format.volume_file import (
    blocks_of,
    confirm,
    hashed,
    put,
)
from backup.phases import Phases
from backup.records import ArchiveRecord
from backup.request import Journal, SetRequest
from backup.source.links import LinkTable
from backup.spool import spooling
from backup.writing.archive import Archive
from backup.writing.buffer import Buffer
from backup.writing.capacity import Room
from backup.writing.tally import START, Tally
from tape.drive import Volume
from tape.programs.aside import Eyes


class Sealing:
    """Keeps at most one archive open. What ``seal`` has done survives a loss of power."""

    def __init__(
        self,
        volume: Volume,
        request: SetRequest,
        journal: Journal,
        tally: Tally,
        *,
        spool: Path,
        links: LinkTable,
        eyes: Eyes,
    ) -> None:
        self.archive: Archive | None = None
        """The open one."""
        self.archives = list((request.resume or START).archives)
        """All that count, on any cartridge."""
        self.room = Room(volume, request.reserve_bytes)
        self.at_once = 1
        """So many pieces of a file on a share are read at once."""
        self.phases = Phases()
        self.keys = age.recipients(request.encrypt_to)
        self.written = 0
        """Bytes on the volume, of archives and indexes."""
        self._volume = volume
        self._request = request
        self._journal = journal
        self._tally = tally
        self._spool = spool
        self._links = links
        self._eyes = eyes
        self._folder = folder_of(request.set_id)
        self._zstd = frames.compressor(request.level) if request.compression == "zstd" else None
        self._buffer = Buffer(request.buffer_bytes, in_bursts=request.in_bursts)
        self._was_slow = False
        here = numbers(volume, request.set_id)
        counted = {archive.number for archive in self.archives}
        # A link refers only to a name on this cartridge: each cartridge can be read by itself.
        links.keep(counted & here)
        self._number = max(here | counted, default=0)

    @property
    def starved(self) -> int:
        """How often the drive had to stop for data in the middle of an archive."""
        return self._buffer.starved

    def archive_for(self, head: int, length: int) -> Archive:
        """The archive for the next member: a new one if this one would become too long."""
        archive, most = self.archive, self._request.archive_bytes
        # A member that is too long for any archive goes into this one: a new one would be too long as well.
        if archive and archive.length_with(head, length) > most and (length <= most or archive.length > most):
            self.seal()
            archive = None
        return archive or self.begin()

    def begin(self, version: int = index.VERSION) -> Archive:
        """Begin the next archive; ``version``: of its index. Raises what the journal raises."""
        self._journal.check()
        self._mark_anew()
        self._number += 1
        self.archive = Archive(
            self._volume,
            folder=self._folder,
            number=self._number,
            spool=self._spool,
            zstd=self._zstd,
            keys=self.keys,
            buffer=self._buffer,
            phases=self.phases,
            eyes=self._eyes,
            at_once=self.at_once,
            version=version,
        )
        return self.archive

    def _mark_anew(self) -> None:
        """When the rate limit of the sources has ended, the drive is fed as if there had been none."""
        throttle, was_slow = self._request.throttle, self._was_slow
        self._was_slow = throttle is not None and throttle.is_slowing()
        if was_slow and not self._was_slow:
            self._buffer.forget_its_starvations()

    def has_room_in_frame(self, length: int) -> bool:
        """Whether so much goes into the current frame, with nothing else to do."""
        archive = self.archive
        return (
            archive is not None
            and archive.frame_length + length < self._request.frame_bytes
            and archive.length_with(length, 0) <= self._request.archive_bytes
            and self.room.has(length, archive)
        )

    def end_frame_if_long(self) -> None:
        """End the current frame once it is as long as requested. Raises what the journal raises."""
        if self.archive and self.archive.frame_length >= self._request.frame_bytes:
            self.archive.end_frame()
            self._tally.look_up()

    def seal(self) -> None:
        """End the open archive, seal it with its index, and only then count it."""
        if self.archive is None:
            return
        record = self.archive.finish(follows=self.archives[-1].number if self.archives else None)
        path = self.archive.index.path
        self.archive = None
        name = f"{self._folder}/{path.name}" + (age.SUFFIX if self.keys else "")
        written, digest = self._put_index(path, name)
        record = replace(record, index_sha256=digest, label=self._request.label or None)
        self.seal_volume({f"{self._folder}/{record.name}": record.bytes, name: written})
        self.room.ask_anew()
        self._count(record, written)
        self._request.still_whole()
        started = perf_counter()
        self._journal.sealed(record, index.Again(partial(index.in_spool, path)))
        self.phases.catalogue += perf_counter() - started
        self._tally.report()
        with spooling():
            path.unlink()

    def seal_volume(self, sizes: Mapping[str, int]) -> None:
        """Seal the volume and check that these files have these sizes on it."""
        started = perf_counter()
        self._volume.seal()
        confirm(self._volume, sizes)
        self.phases.seal += perf_counter() - started

    def abandon(self, error: BaseException) -> None:
        """Give up the open archive: it does not count."""
        if self.archive is not None:
            self.archive.abandon(error)

    def _count(self, record: ArchiveRecord, index_bytes: int) -> None:
        self.archives.append(record)
        self.written += record.bytes + index_bytes
        self._links.commit()

    def _put_index(self, path: Path, name: str) -> tuple[int, str]:
        started = perf_counter()
        digest = hashlib.sha256()
        if self.keys:
            return age.put(self._volume, name, blocks_of(path), self.keys)
        written = put(self._volume, name, hashed(blocks_of(path), digest))
        self.phases.wait += perf_counter() - started
        return written, digest.hexdigest()
