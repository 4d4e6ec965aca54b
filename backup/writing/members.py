"""Puts the plan's paths into archives one after the other: whole, in pieces, as a link, or as deleted."""

from __future__ import annotations

from backup.entry import Entry, FileType, deletion, raw, shown, text
from backup.errors import Ended
from backup.format import tar
from backup.format.index import WITH_PIECES
from backup.request import Journal, SetRequest
from backup.source.detection import Detection
from backup.source.links import First, LinkTable
from backup.source.lookout import Unanswered
from backup.source.member import Member, examined
from backup.source.pack import SMALL, Pack
from backup.source.plan import PathAction
from backup.source.readahead.files import Batch
from backup.source.scan import unreadable
from backup.writing.dumping import Dumping
from backup.writing.pieces import head_of, next_piece, whole_of
from backup.writing.sealing import Sealing
from backup.writing.tally import START, Tally
from policy.message import M, Message
from tape.errors import TapeFull
from tape.programs.aside import Eyes

MAX_ARCHIVES = 16
"""A file longer than so many archives is cut even if it fits: an interruption costs one piece of it."""


class Members:
    """Takes packed files, and files that must be read here, into the archives of ``sealing``."""

    def __init__(
        self,
        request: SetRequest,
        journal: Journal,
        sealing: Sealing,
        tally: Tally,
        links: LinkTable,
        *,
        detection: Detection,
        eyes: Eyes,
    ) -> None:
        self._request = request
        self._journal = journal
        self._sealing = sealing
        self._tally = tally
        self._links = links
        self._detection = detection
        self._eyes = eyes
        self._begun = (request.resume or START).begun
        self._dumping = Dumping(request, sealing, tally)

    def take(self, batch: Batch) -> None:
        """Put a batch of the plan into archives. Raises TapeFull, Ended, and what the journal raises."""
        if batch.is_whole and self._sealing.has_room_in_frame(len(batch.pack[0])):
            self._take_pack(batch.pack)
            return
        for planned, pack in batch.each():
            if planned.kind is PathAction.GONE:
                self._forget(planned.path)
            elif pack is None:
                self._examine(planned.path)
            elif self._has_room(len(pack[0])):
                self._sealing.archive_for(len(pack[0]), 0)
                self._take_pack(pack)
            else:
                self._examine(planned.path)

    def _has_room(self, length: int) -> bool:
        return self._sealing.room.has(length, self._sealing.archive)

    def _examine(self, path: bytes) -> None:
        if self._dumping.wants(path):
            if self._dumping.take(path):
                self._taken()
            return
        try:
            member, warnings = self._eyes.ask(examined, path, about=shown(path))
        except Unanswered as error:
            self._tally.warn(path, unreadable(error))
            return
        for of, reason in warnings:
            self._tally.warn(of, reason)
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
        assert self._sealing.archive
        self._tally.read(self._sealing.archive.add_pack(pack))
        self._taken(len(pack[1]))

    def _forget(self, path: bytes) -> None:
        archive = self._sealing.archive_for(0, 0)
        archive.add_deletion(deletion(text(path)))
        if archive.deleted % 1000 == 0:
            self._tally.look_up()

    def _taken(self, files: int = 1) -> None:
        self._tally.files += files
        self._sealing.end_frame_if_long()
        self._end_if_asked()

    def _end_if_asked(self) -> None:
        if self._journal.is_ending():
            self._sealing.seal()
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
        elif self._has_room(needed):
            self._store_whole(member, head)
        elif member.length > self._request.archive_bytes or not self._sealing.room.could_ever(needed):
            self._store_in_pieces(member)
        else:
            self._sealing.seal()
            raise _full(member.entry)

    def _store_whole(self, member: Member, head: bytes) -> None:
        archive = self._sealing.archive_for(len(head), member.length)
        entry, problem = archive.add(member, head, self._tally.read)
        self._tally.size += _holes(member)
        if problem is not None:
            self._tally.warn(raw(entry.path), problem)
        elif entry.type is FileType.FILE and entry.nlink > 1:
            self._links.add(member.dev, entry)

    def _is_long(self, member: Member) -> bool:
        return member.length > max(MAX_ARCHIVES * self._request.archive_bytes, SMALL)

    def _has_begun(self, member: Member) -> bool:
        begun, entry = self._begun, member.entry
        if begun is None or member.fd is None or entry.path != begun.path:
            return False
        return begun.goes_on_with(entry, self._detection.today(raw(entry.path), member.dev))

    def _store_in_pieces(self, member: Member) -> None:
        """Each piece has an archive of its own, and is as long as is sure to fit, however it compresses."""
        begun = self._begun if self._has_begun(member) else None
        offset = begun.offset if begun else 0
        stored: list[Entry] = []
        problem: Message | None = None
        # Its content counts once, as the scan counted it, though each of its names has all pieces.
        counts = member.entry.nlink == 1 or self._links.is_first_cut(member.dev, member.entry)
        if begun is not None:
            member = member._replace(entry=begun.as_begun(member.entry))
        while offset < member.entry.size:
            self._sealing.seal()
            if stored:
                self._end_if_asked()
            number = len(begun.digests if begun else ()) + len(stored) + 1
            piece = next_piece(member, number, offset, self._room_for_piece(member, offset))
            entry, reason = self._sealing.begin(WITH_PIECES).add(
                piece,
                head_of(piece, self._request.set_id),
                self._tally.read if counts else self._tally.read_again,
                counts=counts,
            )
            self._tally.size += _holes(piece) if counts else 0
            stored.append(entry)
            problem = problem or reason
            offset += entry.size
        assert self._sealing.archive
        self._sealing.archive.add_whole(whole_of(member, stored, begun))
        self._sealing.seal()
        if problem is not None:
            self._tally.warn(raw(member.entry.path), problem)

    def _room_for_piece(self, member: Member, offset: int) -> int:
        """How many bytes of data the next piece may have. Raises TapeFull if that is not worth a seal."""
        room = self._sealing.room
        most = room.left()
        # What its headers, its index and incompressible data take besides.
        most -= 4 * len(head_of(next_piece(member, 1, offset, 1), self._request.set_id)) + most // 256
        least = min(self._request.archive_bytes, room.capacity() // 4) // 16
        if most < min(least, member.entry.size - offset) or most <= 0:
            raise _full(member.entry)
        return min(most, self._request.archive_bytes)

    def _link(self, entry: Entry, first: First) -> None:
        link = entry._replace(
            type=FileType.HARDLINK,
            target=first.path,
            sparse=first.sparse,
            blake3=first.blake3,
            place=first.place,
        )
        head = tar.header(link, 0)
        self._sealing.archive_for(len(head), 0).add_link(link, head)


def _full(entry: Entry) -> TapeFull:
    return TapeFull(
        M("The tape is full: {path} does not fit any more.", path=shown(entry.path)),
        M("Put in another tape: what was sealed stays readable."),
    )


def _holes(member: Member) -> int:
    """Bytes of the content that need no reading."""
    return member.entry.size - sum(length for _, length in member.segments)
