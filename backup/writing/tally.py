"""The progress of a set, reported to the journal while it is written."""

from __future__ import annotations

from backup.entry import shown
from backup.request import Journal, ResumePoint, SetRequest
from policy.message import Message

START = ResumePoint((), 0, 0, 0, None)
"""Of a set with nothing written yet."""


class Tally:
    """Counts what was read from the sources. Asks the journal, a few times for each frame, whether to
    continue."""

    def __init__(self, request: SetRequest, journal: Journal) -> None:
        resume = request.resume or START
        self.files, self.size, self.warnings = resume.files, resume.bytes, resume.warnings
        self._journal = journal
        self._frame_bytes = request.frame_bytes
        self._unchecked = 0
        self._throttle = request.throttle

    def read(self, count: int) -> None:
        """So many bytes of content were read. Raises what the journal raises."""
        self.size += count
        self.read_again(count)

    def read_again(self, count: int) -> None:
        """So many bytes were read that are already counted: a second name of a file. Raises as ``read``."""
        self._unchecked += count
        if self._throttle is not None:
            self._throttle.took(count)
        if self._unchecked >= self._frame_bytes:
            self.look_up()

    def warn(self, path: bytes, reason: Message) -> None:
        """Something was not backed up as it should be."""
        self.warnings += 1
        self._journal.warned(shown(path), reason)

    def report(self) -> None:
        """Report the progress."""
        self._journal.progress(self.files, self.size)

    def look_up(self) -> None:
        """Report the progress and ask whether to continue. Raises what the journal raises."""
        self._unchecked = 0
        self.report()
        self._journal.check()
