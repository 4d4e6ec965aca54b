"""The files of a set that are wanted, as the catalogue knows them: on disk, archive by archive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import zstandard

from backup import index
from backup.age import Identities
from backup.documents import folder_of
from backup.entry import Entry, raw
from backup.errors import SetUnreadable
from backup.scan import split
from backup.spool import spooling
from policy.message import M, Message
from tape.drive import Volume


class Choice(NamedTuple):
    """A file by its place in the order of its set."""

    archive: int
    position: int
    path: bytes


class Choices:
    """What is wanted of one set. Added in tape order, then read archive by archive. Raises SpoolFailed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with spooling():
            self._sink = zstandard.open(path, "wb")

    def add(self, choice: Choice) -> None:
        with spooling():
            self._sink.write(b"%d %d\0%b\0" % choice)

    def end(self) -> None:
        with spooling():
            self._sink.close()

    def by_archive(self) -> Iterator[tuple[int, Iterator[Choice]]]:
        """The choices of each archive; good until the next one is asked for."""
        return groupby(self._read(), key=lambda choice: choice.archive)

    def _read(self) -> Iterator[Choice]:
        with spooling():
            source = zstandard.open(self._path, "rb")
        with source:
            fields = split(source)
            while True:
                with spooling():
                    numbers, path = next(fields, None), next(fields, b"")
                if numbers is None:
                    return
                archive, position = numbers.split()
                yield Choice(int(archive), int(position), path)


def entries(
    volume: Volume,
    wanted: tuple[str, int, Iterator[Choice]],
    lost: Callable[[bytes, Message], None],
    keys: Identities = (),
) -> Iterator[Entry]:
    """The entries of an archive that are wanted; each that its index on the volume does not tell is ``lost``.

    ``wanted``: the set, the number of the archive, and the files. Raises TapeReadError, KeyNeeded.
    """
    set_id, number, choices = wanted
    choice = next(choices, None)
    try:
        for position, entry in enumerate(index.on_volume(volume, folder_of(set_id), number, keys)):
            if choice is None:
                return
            if position == choice.position:
                if raw(entry.path) == choice.path:
                    yield entry
                else:
                    lost(choice.path, M("The index on the tape has another file in its place."))
                choice = next(choices, None)
        reason = M("The index on the tape does not have it.")
    except (SetUnreadable, FileNotFoundError):
        reason = M("The index of its archive {number} is damaged.", number=number)
    while choice is not None:
        lost(choice.path, reason)
        choice = next(choices, None)
