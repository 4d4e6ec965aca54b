"""Does a plan look as if somebody encrypts the sources? A pure function from counts and samples.

Files that somebody encrypts change all at once, and then contain noise. Or they are deleted, and as many new
files end with one suffix that no file had before. Old tapes may be needed soon, so none is formatted then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import log2

from policy.guard import MIN_FILES, Doubt, GuardLimits, GuardRule, PlannedSource
from policy.message import M

FAR = 80.0
"""Percent of the samples, or of the deleted files."""
MIN_SAMPLES = 10
"""Fewer files are not judged."""
MIN_BYTES = 2048
"""The entropy of fewer bytes cannot be measured."""
NOISE = 7.8
"""Bits in a byte; text has 4 to 5, a program 6."""

_PACKED = (
    b"\x1f\x8b",  # gzip
    b"PK\x03\x04",  # zip, documents of offices
    b"\x28\xb5\x2f\xfd",  # Zstandard
    b"\xfd7zXZ",
    b"7z\xbc\xaf",
    b"BZh",
    b"Rar!",
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG",
    b"GIF8",
    b"RIFF",
    b"OggS",
    b"ID3",
    b"fLaC",
    b"%PDF",
    b"\x1aE\xdf\xa3",  # Matroska
    b"age-encryption.org",
)
"""The beginnings of file formats that look like noise but identify themselves."""


def is_noise(sample: bytes) -> bool | None:
    """Whether the beginning of a file is noise of no known format; None: it is too short."""
    if len(sample) < MIN_BYTES:
        return None
    if sample.startswith(_PACKED) or sample[4:8] == b"ftyp":
        return False
    return entropy(sample) >= NOISE


def entropy(sample: bytes) -> float:
    """Bits in a byte of a sample."""
    total = len(sample)
    return -sum(count / total * log2(count / total) for count in Counter(sample).values())


def doubts(limits: GuardLimits, planned: Iterable[PlannedSource]) -> tuple[Doubt, ...]:
    """A doubt for each source of an increment that looks like this."""
    return tuple(
        doubt for source in planned if (doubt := _scrambled(limits, source) or _renamed(limits, source))
    )


def _scrambled(limits: GuardLimits, source: PlannedSource) -> Doubt | None:
    judged = [noise for noise in source.samples if noise is not None]
    if limits.changed is None or not _are_many(source.changed, source.known, limits.changed):
        return None
    if len(judged) < MIN_SAMPLES or sum(judged) * 100 < FAR * len(judged):
        return None
    text = M(
        "Of {known} files of source {source}, {count} have changed, and {noise} of {samples} samples hold"
        " noise: somebody may be encrypting them.",
        known=f"{source.known:,}",
        source=source.path,
        count=f"{source.changed:,}",
        noise=sum(judged),
        samples=len(judged),
    )
    return Doubt(GuardRule.ENCRYPTED, source.path, text, None, source.changed_names)


def _renamed(limits: GuardLimits, source: PlannedSource) -> Doubt | None:
    if limits.deleted is None or not _are_many(source.deleted, source.known, limits.deleted):
        return None
    suffix, count = source.new_suffix
    if not suffix or count * 100 < FAR * source.deleted or suffix in source.deleted_suffixes:
        return None
    text = M(
        "Of {known} files of source {source}, {deleted} are gone, and {count} new ones end with {suffix}, as"
        " none did before: somebody may be encrypting them.",
        known=f"{source.known:,}",
        source=source.path,
        deleted=f"{source.deleted:,}",
        count=f"{count:,}",
        suffix=suffix,
    )
    return Doubt(GuardRule.ENCRYPTED, source.path, text, None, source.deleted_names)


def _are_many(part: int, known: int | None, limit: float) -> bool:
    return known is not None and known >= MIN_FILES and part * 100 > limit * known
