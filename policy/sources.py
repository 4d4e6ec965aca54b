"""The sources of a backup as facts: what was seen of each, and what a set stores of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

DUMPS = "/tapeline-dumps/"
"""The folder in a set of what commands print: no source is there."""


@dataclass(frozen=True, slots=True)
class FileSystem:
    """The file system of a source. None: the system does not report it, which is no difference."""

    kind: str | None = None
    """Its type, as the kernel names it: ``ext4``, ``nfs4``."""
    id: str | None = None
    """What stays the same after a reboot: the UUID of a disk, the address of a share."""
    mount_point: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """One source at one time. None: not known, which is not zero."""

    path: str
    """As the template names it."""
    is_there: bool = True
    place: FileSystem = FileSystem()
    first_level: int | None = None
    """How many names are in the folder itself."""
    files: int | None = None
    """Files in it and below it."""
    bytes: int | None = None
    """Their sizes, uncompressed."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Source:
        return cls(**{**data, "place": FileSystem(**data["place"])})


class Survey(NamedTuple):
    """A set's record of its sources, so that a later set can be compared with it."""

    rules: str
    """Identifies the named sources and the rules of exclusion: with other rules nothing is compared."""
    sources: tuple[Source, ...]
    detected_by: Mapping[str, str] = {}
    """For each file system of the sources, by the path at which it begins, what was compared there
    (``policy.detection``). A path that is not below one: every field."""

    def with_bytes(self, path: str, size: int) -> Survey:
        """The same, with the size of a source that was not known before."""
        changed = (replace(each, bytes=size) if each.path == path else each for each in self.sources)
        return self._replace(sources=tuple(changed))

    def of(self, path: str) -> Source | None:
        """The facts of a source."""
        return next((source for source in self.sources if source.path == path), None)

    def to_json(self) -> dict[str, Any]:
        return {
            "rules": self.rules,
            "sources": [source.to_json() for source in self.sources],
            "detected_by": dict(self.detected_by),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Survey:
        # A set of an earlier version does not record it: that compared every field.
        detected_by = data.get("detected_by", {})
        return cls(data["rules"], tuple(map(Source.from_json, data["sources"])), detected_by)


class Past(NamedTuple):
    """The record of a complete set of the same template."""

    survey: Survey
    is_accepted: bool
    """It was held, and a person has accepted it."""


NORM = 5
"""So many of the last sets define what is usual."""


def norm(past: Sequence[Past], rules: str) -> list[Survey]:
    """The surveys to compare a new one with, from these of the last sets, newest first: those with the same
    rules. What a person has accepted is the norm from then on."""
    surveys: list[Survey] = []
    for past_survey in past:
        if len(surveys) == NORM:
            break
        if past_survey.survey.rules == rules:
            surveys.append(past_survey.survey)
            if past_survey.is_accepted:
                break
    return surveys
