"""The guard over the sources: is what would be backed up as it was? A pure function from facts to doubts.

A folder whose mount is gone would be backed up as a healthy, empty full backup, and push the real ones past
retention. So if the sources are not as they were, the run is held until a person has accepted them. The guard
decides twice: ``before`` the run uses a tape, and ``after`` the plan, before the first byte is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median_high
from typing import Any

from policy import units
from policy.message import M, Message
from policy.paths import as_stored
from policy.sources import FileSystem, Source, Survey

MIN_FILES = 20
"""With fewer files, or names, no share is judged: one of three is a third."""
MIN_BYTES = 16 << 20
"""With fewer bytes no share is judged."""
NAMES = 5
"""A doubt lists so many names."""
WORSE = 10.0
"""An acceptance still counts if a share has since grown by so many percent of the whole."""


class GuardRule(StrEnum):
    """What is not as it was."""

    GONE = "gone"
    PLACE = "place"
    EMPTY = "empty"
    FIRST_LEVEL = "first_level"
    FEWER_FILES = "fewer_files"
    FEWER_BYTES = "fewer_bytes"
    DELETED = "deleted"
    CHANGED = "changed"
    ENCRYPTED = "encrypted"
    """From ``policy.encryption``."""


_FEWER = frozenset(
    {GuardRule.EMPTY, GuardRule.FIRST_LEVEL, GuardRule.FEWER_FILES, GuardRule.FEWER_BYTES, GuardRule.DELETED}
)
_FOLLOWS: dict[GuardRule, frozenset[GuardRule]] = {
    GuardRule.GONE: _FEWER,
    GuardRule.EMPTY: _FEWER,
    GuardRule.FIRST_LEVEL: _FEWER - {GuardRule.EMPTY},
    GuardRule.FEWER_FILES: frozenset({GuardRule.FEWER_BYTES, GuardRule.DELETED}),
    # On another file system each file has another inode.
    GuardRule.PLACE: frozenset({GuardRule.CHANGED}),
}
"""The doubts that a person accepts together with this one: they are found later, for the same reason."""


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """How far a source may differ from its former state, in percent. None: not checked."""

    fewer_files: float | None = 50.0
    """Also how many fewer names the folder itself may have, and whether it may be empty."""
    fewer_bytes: float | None = 50.0
    deleted: float | None = 30.0
    changed: float | None = 60.0
    mount: bool = True
    """Whether it must be on the same file system."""

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> GuardLimits:
        """From the ``guard`` of a template; an omitted limit has its default."""
        return cls(**{name: _percent(value) for name, value in given.items()})


def _percent(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    return None if value == OFF else float(value.removesuffix("%"))


OFF = "off"
"""A template's word for "not checked"."""


@dataclass(frozen=True, slots=True)
class PlannedSource:
    """A plan's figures for one source. Only regular files."""

    path: str
    files: int
    bytes: int
    known: int | None = None
    """Files of the sets that an increment follows; None: it is a full one."""
    deleted: int = 0
    changed: int = 0
    deleted_names: tuple[str, ...] = ()
    changed_names: tuple[str, ...] = ()
    samples: tuple[bool | None, ...] = ()
    """For some of the changed files, whether they contain noise (``policy.encryption.is_noise``)."""
    new_suffix: tuple[str, int] = ("", 0)
    """The suffix of most of the new files, and how many have it."""
    deleted_suffixes: frozenset[str] = frozenset()
    """The suffixes of the deleted files."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """One difference, with its figures."""

    rule: GuardRule
    source: str
    message: Message
    share: float | None = None
    """In percent, if the rule has a limit."""
    names: tuple[str, ...] = ()
    """The first few names."""

    def to_json(self) -> dict[str, Any]:
        return {
            "rule": self.rule.value,
            "source": self.source,
            "message": self.message.to_json(),
            "share": self.share,
            "names": list(self.names),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Doubt:
        return cls(
            GuardRule(data["rule"]),
            data["source"],
            Message.from_json(data["message"]),
            data["share"],
            tuple(data["names"]),
        )

    @property
    def in_words(self) -> Message:
        """The figures, and the first names if there are some."""
        if not self.names:
            return self.message
        return M("{doubt} First: {names}", doubt=self.message.to_json(), names=", ".join(self.names))

    def covers(self, other: Doubt) -> bool:
        """Whether a person who has accepted this doubt has accepted the other, too."""
        if self.source != other.source:
            return False
        if self.rule is not other.rule:
            return other.rule in _FOLLOWS.get(self.rule, frozenset())
        return self.share is None or other.share is None or other.share <= self.share + WORSE


def open_doubts(doubts: Iterable[Doubt], accepted: Sequence[Doubt]) -> tuple[Doubt, ...]:
    """The doubts that nobody has accepted."""
    return tuple(doubt for doubt in doubts if not any(each.covers(doubt) for each in accepted))


def before(limits: GuardLimits, surveys: Sequence[Survey], seen: Iterable[Source]) -> tuple[Doubt, ...]:
    """The doubts of a first inspection of the sources. ``surveys``: the norm, newest first; a source that is
    not in it raises no doubt."""
    doubts: list[Doubt] = []
    for source in seen:
        was = surveys[0].of(source.path) if surveys else None
        if was is not None and was.is_there:
            doubts += _at_a_look(limits, was, source)
    return tuple(doubts)


def _at_a_look(limits: GuardLimits, was: Source, source: Source) -> Iterator[Doubt]:
    if not source.is_there:
        gone = M("Source {source} was there at the last backup, and is not now.", source=source.path)
        yield Doubt(GuardRule.GONE, source.path, gone)
        return
    if limits.mount and _differs(was.place, source.place):
        text = M(
            "Source {source} is on another file system than at the last backup: {now}, before: {before}.",
            source=source.path,
            now=_in_words(source.place),
            before=_in_words(was.place),
        )
        yield Doubt(GuardRule.PLACE, source.path, text)
    if limits.fewer_files is not None and was.first_level and source.first_level is not None:
        yield from _of_first_level(limits.fewer_files, source, source.first_level, was.first_level)


def _differs(was: FileSystem, now: FileSystem) -> bool:
    """An unknown fact is no difference."""
    pairs = ((was.kind, now.kind), (was.id, now.id), (was.mount_point, now.mount_point))
    return any(None not in pair and pair[0] != pair[1] for pair in pairs)


def _in_words(place: FileSystem) -> str:
    return " ".join(part for part in (place.kind, place.id, place.mount_point) if part)


def _of_first_level(limit: float, source: Source, now: int, before: int) -> Iterator[Doubt]:
    if now == 0:
        text = M("Source {source} is empty: it had {before} names.", source=source.path, before=before)
        yield Doubt(GuardRule.EMPTY, source.path, text, 100.0)
    elif before >= MIN_FILES and _is_beyond(before - now, before, limit):
        text = M(
            "Source {source} has {now} names in its first level, and had {before}: {share} % fewer.",
            source=source.path,
            now=now,
            before=before,
            share=_shown(before - now, before),
        )
        yield Doubt(GuardRule.FIRST_LEVEL, source.path, text, _share(before - now, before))


def after(
    limits: GuardLimits, surveys: Sequence[Survey], planned: Iterable[PlannedSource]
) -> tuple[Doubt, ...]:
    """The doubts of a plan about the sources, compared with the median of the norm; and, for an increment,
    with the sets that it follows. A source that is not in the norm, or was empty, raises no doubt."""
    doubts: list[Doubt] = []
    for source in planned:
        kept = [was for each in surveys if (was := each.of(source.path)) is not None]
        if kept:
            doubts += _of_files(limits, source, _usual([was.files for was in kept]))
            doubts += _of_bytes(limits, source, _usual([was.bytes for was in kept]))
            doubts += _of_an_increment(limits, source)
    return tuple(doubts)


def of_dump(limits: GuardLimits, surveys: Sequence[Survey], path: str, size: int) -> tuple[Doubt, ...]:
    """The doubts about what a command has printed, whose size is known only when it has been read."""
    kept = [was for each in surveys if (was := each.of(path)) is not None]
    usual = _usual([was.bytes for was in kept])
    if limits.fewer_bytes is None or not usual:
        return ()
    if size == 0:
        text = M("Dump {source} is empty: usual are {usual}.", source=path, usual=units.size(usual))
        return (Doubt(GuardRule.EMPTY, path, text, 100.0),)
    return tuple(_of_bytes(limits, PlannedSource(path, 1, size), usual))


def _usual(kept: Sequence[int | None]) -> int:
    """The median of the known figures, newest first; nothing if the last set had nothing. An earlier set that
    had nothing does not show how much is usual."""
    known = [count for count in kept if count is not None]
    return median_high([count for count in known if count]) if known and known[0] else 0


def _of_files(limits: GuardLimits, source: PlannedSource, usual: int) -> Iterator[Doubt]:
    if limits.fewer_files is None or not usual:
        return
    if source.files == 0:
        text = M(
            "Source {source} has no file any more: usual are {usual}.",
            source=source.path,
            usual=f"{usual:,}",
        )
        yield Doubt(GuardRule.EMPTY, source.path, text, 100.0, source.deleted_names)
    elif usual >= MIN_FILES and _is_beyond(usual - source.files, usual, limits.fewer_files):
        text = M(
            "Source {source} has {now} files, usual are {usual}: {share} % fewer.",
            source=source.path,
            now=f"{source.files:,}",
            usual=f"{usual:,}",
            share=_shown(usual - source.files, usual),
        )
        share = _share(usual - source.files, usual)
        yield Doubt(GuardRule.FEWER_FILES, source.path, text, share, source.deleted_names)


def _of_bytes(limits: GuardLimits, source: PlannedSource, usual: int) -> Iterator[Doubt]:
    if limits.fewer_bytes is None or usual < MIN_BYTES:
        return
    if _is_beyond(usual - source.bytes, usual, limits.fewer_bytes):
        text = M(
            "Source {source} has {now}, usual are {usual}: {share} % less.",
            source=source.path,
            now=units.size(source.bytes),
            usual=units.size(usual),
            share=_shown(usual - source.bytes, usual),
        )
        yield Doubt(GuardRule.FEWER_BYTES, source.path, text, _share(usual - source.bytes, usual))


def _of_an_increment(limits: GuardLimits, source: PlannedSource) -> Iterator[Doubt]:
    known = source.known
    if known is None or known < MIN_FILES:
        return
    for rule, count, limit, names in (
        (GuardRule.DELETED, source.deleted, limits.deleted, source.deleted_names),
        (GuardRule.CHANGED, source.changed, limits.changed, source.changed_names),
    ):
        if limit is None or not _is_beyond(count, known, limit):
            continue
        facts = {
            "known": f"{known:,}",
            "source": source.path,
            "count": f"{count:,}",
            "share": _shown(count, known),
        }
        text = (
            M("Of {known} files of source {source}, {count} are deleted: {share} %.", **facts)
            if rule is GuardRule.DELETED
            else M("Of {known} files of source {source}, {count} have changed: {share} %.", **facts)
        )
        yield Doubt(rule, source.path, text, _share(count, known), names)


def _is_beyond(part: int, whole: int, limit: float) -> bool:
    """A share equal to the limit is within it."""
    return part * 100 > limit * whole


def _share(part: int, whole: int) -> float:
    return part * 100 / whole


def _shown(part: int, whole: int) -> str:
    return f"{_share(part, whole):.0f}"


def not_mounted(demanded: Iterable[str], seen: Iterable[Source]) -> tuple[str, ...]:
    """The folders of ``must_be_mounted`` at or below which there is a source, but no mounted file system."""
    sources = list(seen)
    return tuple(point for point in demanded if not all(_is_met(point, each) for each in sources))


def _is_met(point: str, source: Source) -> bool:
    if not is_at_or_below(source.path, point):
        return True
    mounted = source.place.mount_point
    return source.is_there and mounted is not None and is_at_or_below(mounted, point)


def is_at_or_below(path: str, folder: str) -> bool:
    """Whether a path, as people write it, is a folder or is inside it."""
    at, within = (as_stored(text).rstrip("/") + "/" for text in (folder, path))
    return within.startswith(at)
