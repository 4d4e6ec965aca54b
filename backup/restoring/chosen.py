"""The wanted files of a set, according to the catalogue: on disk, archive by archive."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import zstandard

from backup.entry import Entry, raw
from backup.errors import SetUnreadable
from backup.format import index
from backup.format.age import Identities
from backup.format.documents import folder_of
from backup.restoring.salvage import Recovered
from backup.source.scan import split
from backup.spool import spooling
from policy.message import M, Message
from tape.drive import Volume
from tape.errors import TapeReadError


class Choice(NamedTuple):
    """A file by its position in the order of its set."""

    archive: int
    position: int
    path: bytes
    blake3: bytes
    """Of its data, from the catalogue; empty if there are none."""


class Choices:
    """The wanted files of one set. Add them in tape order, then read them archive by archive. Raises
    SpoolFailed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with spooling():
            self._sink = zstandard.open(path, "wb")

    def add(self, choice: Choice) -> None:
        with spooling():
            archive, position, path, blake3 = choice
            self._sink.write(b"%d %d %b\0%b\0" % (archive, position, blake3.hex().encode(), path))

    def end(self) -> None:
        with spooling():
            self._sink.close()

    def by_archive(self) -> Iterator[tuple[int, Iterator[Choice]]]:
        """The choices of each archive; valid until the next one is requested."""
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
                archive, position, blake3 = numbers.split(b" ")
                yield Choice(int(archive), int(position), path, bytes.fromhex(blake3.decode()))


def entries(
    volume: Volume,
    wanted: tuple[str, int, Iterable[Choice]],
    lost: Callable[[bytes, Message], None],
    keys: Identities = (),
) -> Iterator[Entry]:
    """The wanted entries of an archive; each that the volume does not have is reported to ``lost``.

    ``wanted``: the set, the number of the archive, and the files. If the index is damaged, the headers of the
    archive itself show where its files are, and the catalogue what they must be. Raises TapeReadError,
    KeyNeeded.
    """
    set_id, number, choices = wanted
    rest = _Rest(choices)
    try:
        yield from _by_index(index.on_volume(volume, folder_of(set_id), number, keys), rest)
        reason = M("The index on the tape does not have it.")
    except (SetUnreadable, FileNotFoundError):
        reason = M("The index of its archive {number} is damaged.", number=number)
        yield from _by_headers(volume, folder_of(set_id), number, rest, keys)
    while rest.choice is not None:
        lost(rest.choice.path, reason)
        rest.step()


class _Rest:
    """The choices without an entry so far; the first of them is available."""

    def __init__(self, choices: Iterable[Choice]) -> None:
        self._choices = iter(choices)
        self.choice = next(self._choices, None)

    def step(self) -> None:
        self.choice = next(self._choices, None)


def _by_index(entries: Iterator[Entry], rest: _Rest) -> Iterator[Entry]:
    for position, entry in enumerate(entries):
        if rest.choice is None:
            return
        if (position, raw(entry.path)) == rest.choice[1:3]:
            rest.step()
            yield entry


def _by_headers(volume: Volume, folder: str, number: int, rest: _Rest, keys: Identities) -> Iterator[Entry]:
    recovered = Recovered()
    try:
        # As far as the archive can be read, its files are found.
        with suppress(OSError, ValueError, EOFError, zstandard.ZstdError, TapeReadError):
            recovered.scan(volume, folder, number, keys)
        for entry in recovered:
            if rest.choice is not None and raw(entry.path) == rest.choice.path:
                blake3 = rest.choice.blake3 or None
                rest.step()
                yield entry._replace(blake3=blake3)
    finally:
        recovered.close()
