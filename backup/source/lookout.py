"""Who reads the sources: this process, or one that can be left behind (``tape.programs.aside``)."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from backup import elsewhere, system
from backup.elsewhere import ReadFrom
from backup.entry import raw, shown
from backup.errors import SourceSilent
from backup.source.place import looked, share_of
from policy.sources import Source
from tape.programs.aside import (
    Aside,
    Eyes,
    Reading,
    Wait,
)

T = TypeVar("T")

AHEAD = 8 << 20
"""So many bytes of a long file are requested from the disk before they are needed."""


class Here:
    """In this very process: if nothing can be left behind, or need not be."""

    wait: Wait | None = None

    def ask(self, function: Callable[..., T], *arguments: Any, about: str) -> T:
        """As ``Eyes`` has it."""
        del about
        return function(*arguments)

    def close(self, descriptor: int) -> None:
        """As ``Eyes`` has it."""
        os.close(descriptor)

    def reading(self, descriptor: int, offset: int, length: int, about: str, *, at_once: int = 1) -> Reading:
        """As ``Eyes`` has it, but one piece at a time."""
        del about, at_once
        return _ReadHere(descriptor, offset, length)


class _ReadHere:
    def __init__(self, descriptor: int, offset: int, length: int) -> None:
        self._descriptor = descriptor
        self._at = self._asked = offset
        self._end = offset + length
        os.lseek(descriptor, offset, os.SEEK_SET)

    def into(self, buffer: memoryview) -> int:
        if self._asked < min(self._at + AHEAD, self._end):
            system.read_soon(self._descriptor, self._asked, AHEAD)
            self._asked += AHEAD
        count = system.read_into(self._descriptor, buffer)
        self._at += count
        return count


HERE = Here()


class Unanswered(OSError):
    """What is asked for is on a share that did not answer, and that the backup goes on without."""


class Silence:
    """A ``Wait`` that goes on without a share that does not answer, as long as there is another source.

    The first silence costs the whole patience of the ``Wait`` that it is made of. From then on whatever is on
    the same share raises Unanswered at once.
    """

    def __init__(self, wait: Wait, note: Callable[[str], None], sources: Iterable[str]) -> None:
        """``note``: called with each share, or source, that is given up."""
        self._wait = wait
        self._note = note
        self._sources = frozenset(sources)
        self._given_up: list[str] = []

    def is_given_up(self, path: bytes) -> bool:
        """Whether a path is on what was given up."""
        return bool(self._given_up) and self._is_left_out(shown(path))

    def _is_left_out(self, about: str) -> bool:
        return any(about == at or about.startswith(at + "/") for at in self._given_up)

    def __call__(self, about: str, seconds: float) -> None:
        self.check(about)
        try:
            self._wait(about, seconds)
        except SourceSilent:
            # A local disk that does not answer is no share, and whoever asks for its next file waits again.
            at = share_of(raw(about)) or (about if about in self._sources else None)
            if at is None:
                raise
            self._given_up.append(at.rstrip("/"))
            if all(map(self._is_left_out, self._sources)):
                raise
            self._note(at)
            self.check(about)

    def for_one_of(self, paths: Sequence[bytes], seconds: float) -> None:
        """The same for several paths, of which one does not answer. If they are on several file systems,
        whoever asks for each of them finds out which one it is."""
        for path in paths:
            self.check(shown(path))
        if len({share_of(path) for path in paths}) == 1:
            self(shown(paths[0]), seconds)
            return
        try:
            self._wait(shown(paths[0]), seconds)
        except SourceSilent as error:
            raise Unanswered(errno.ETIMEDOUT, "one of several does not answer") from error

    def check(self, about: str) -> None:
        """Raises Unanswered if what is asked for was given up."""
        if self._is_left_out(about):
            raise Unanswered(errno.ETIMEDOUT, "its share does not answer")


class _WithoutTheSilent:
    """Eyes that do not look at what was given up."""

    def __init__(self, silence: Silence, first: Callable[[], object] | None = None) -> None:
        self.wait: Wait | None = silence
        self._silence = silence
        self._aside = Aside(silence, first)

    def __enter__(self) -> _WithoutTheSilent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._aside.end()

    def ask(self, function: Callable[..., T], *arguments: Any, about: str) -> T:
        """As ``Eyes`` has it. Raises Unanswered."""
        self._silence.check(about)
        return self._aside.ask(function, *arguments, about=about)

    def reading(self, descriptor: int, offset: int, length: int, about: str, *, at_once: int = 1) -> Reading:
        """As ``Eyes`` has it."""
        return self._aside.reading(descriptor, offset, length, about, at_once=at_once)

    def close(self, descriptor: int) -> None:
        """As ``Eyes`` has it."""
        self._aside.close(descriptor)


@contextmanager
def opened(wait: Wait | None, rules: Sequence[ReadFrom] = ()) -> Iterator[Eyes]:
    """Eyes for the time of a context: in another process if somebody watches the time, else here. ``rules``:
    what is read elsewhere than it is named; they apply in this process, too."""
    with elsewhere.applied(rules), nullcontext(HERE) if wait is None else _aside(wait, rules) as eyes:
        yield eyes


def _aside(wait: Wait, rules: Sequence[ReadFrom]) -> Aside | _WithoutTheSilent:
    first = partial(elsewhere.install, tuple(rules)) if rules else None
    return _WithoutTheSilent(wait, first) if isinstance(wait, Silence) else Aside(wait, first)


def looked_at_each(sources: Iterable[str], eyes: Eyes) -> Iterator[Source]:
    """The facts of each source, but of those that were given up."""
    for source in sources:
        try:
            [seen] = eyes.ask(looked, (source,), about=source)
        except Unanswered:
            continue
        yield seen
