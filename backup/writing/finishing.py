"""The end of a set: the database beside its archives, then the document that makes it complete."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path

from backup.format import age, manifest
from backup.format.documents import folder_of
from backup.format.volume_file import blocks_of, hashed, put
from backup.records import DATABASE, DatabaseRecord
from backup.request import Journal, SetRequest
from backup.spool import spooling
from backup.writing.sealing import Sealing
from backup.writing.tally import Tally
from policy import units
from policy.message import M
from tape.drive import Volume
from tape.errors import TapeFull


class Finishing:
    """Makes a set complete on its volume."""

    def __init__(
        self,
        volume: Volume,
        request: SetRequest,
        journal: Journal,
        sealing: Sealing,
        tally: Tally,
        *,
        spool: Path,
    ) -> None:
        self._volume = volume
        self._request = request
        self._journal = journal
        self._sealing = sealing
        self._tally = tally
        self._spool = spool
        self._folder = folder_of(request.set_id)

    def run(self, sources: Collection[bytes]) -> tuple[datetime, int]:
        """Write and seal; returns the time at which the set became complete, and the bytes that this took."""
        database = self._put_database()
        self._request.still_whole()
        finished = datetime.now(UTC)
        name, size = manifest.finish(
            self._volume,
            self._request,
            sources,
            self._sealing.archives,
            self._tally.warnings,
            finished_at=finished,
            database=database,
        )
        sizes = {name: size} | ({f"{self._folder}/{database.name}": database.bytes} if database else {})
        self._sealing.seal_volume(sizes)
        return finished, sum(sizes.values())

    def _put_database(self) -> DatabaseRecord | None:
        """The database as it is now, beside the archives; the backup is complete without it too."""
        if self._request.dump is None:
            return None
        path = self._spool / DATABASE
        reason = self._request.dump(path, self._journal.check)
        if reason is None:
            with spooling():
                size = path.stat().st_size
            if self._sealing.room.has(size, None):
                with suppress(TapeFull):
                    return self._copied(path)
            reason = M("The tape has no room for it ({size}).", size=units.size(size))
        self._tally.warn(
            DATABASE.encode(),
            M("The backup has no copy of Tapeline's database beside it. {reason}", reason=reason.to_json()),
        )
        return None

    def _copied(self, path: Path) -> DatabaseRecord:
        keys = self._sealing.keys or age.recipients(self._request.encrypt_dump_to)
        name = self._name_for_database(DATABASE + (age.SUFFIX if keys else ""))
        place, digest = f"{self._folder}/{name}", hashlib.sha256()
        if keys:
            return DatabaseRecord(name, *age.put(self._volume, place, blocks_of(path), keys))
        size = put(self._volume, place, hashed(blocks_of(path), digest))
        return DatabaseRecord(name, size, digest.hexdigest())

    def _name_for_database(self, wanted: str) -> str:
        """A dump that a crash cut off keeps its name and does not count."""
        stem, _, suffix = wanted.partition(".")
        names = chain([f"{stem}.{suffix}"], (f"{stem}-{number}.{suffix}" for number in count(2)))
        return next(name for name in names if self._volume.size(f"{self._folder}/{name}") is None)
