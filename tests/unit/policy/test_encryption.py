"""Whether a plan looks as if somebody encrypts the sources."""

from __future__ import annotations

import gzip
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from policy import encryption
from policy.encryption import MIN_BYTES, MIN_SAMPLES, is_noise
from policy.guard import MIN_FILES, GuardLimits, GuardRule, PlannedSource

NOISE = Random(1).randbytes(16 << 10)
TEXT = b"The quick brown fox jumps over the lazy dog. " * 400
CHANGED = PlannedSource("/a", 200, 0, 200, 0, 180, samples=(True,) * 40 + (False,) * 10)
RENAMED = PlannedSource(
    "/a", 200, 0, 200, 180, 0, new_suffix=(".locked", 180), deleted_suffixes=frozenset({".doc", ""})
)


def doubts(planned: PlannedSource, limits: GuardLimits | None = None, **changes: Any) -> int:
    found = encryption.doubts(limits or GuardLimits(), [replace(planned, **changes)])
    assert all(doubt.rule is GuardRule.ENCRYPTED for doubt in found)
    return len(found)


@pytest.mark.parametrize(
    ("sample", "answer"),
    [
        (NOISE, True),
        (NOISE[:MIN_BYTES], True),
        (NOISE[: MIN_BYTES - 1], None),
        (b"", None),
        (TEXT, False),
        (gzip.compress(NOISE), False),
        (b"\x00\x00\x00\x18ftypmp42" + NOISE, False),
        (b"\xff\xd8\xff\xe0" + NOISE, False),
        (b"age-encryption.org/v1\n" + NOISE, False),
    ],
)
def test_noise(sample: bytes, answer: bool | None) -> None:
    """What says that it is a photo, an archive or an age file is none, however even its bytes are."""
    assert is_noise(sample) is answer


def test_entropy_is_in_bits() -> None:
    """From one byte alone to all of them alike."""
    assert (encryption.entropy(b"aaaa"), encryption.entropy(bytes(range(256)))) == (0.0, 8.0)


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({}, 1),
        ({"samples": (True,) * 39 + (False,) * 11}, 0),
        ({"samples": (True,) * MIN_SAMPLES + (None,) * 40}, 1),
        ({"samples": (True,) * (MIN_SAMPLES - 1) + (None,) * 41}, 0),
        ({"changed": 121}, 1),
        ({"changed": 120}, 0),
        ({"known": None}, 0),
        ({"known": MIN_FILES, "changed": MIN_FILES}, 1),
        ({"known": MIN_FILES - 1, "changed": MIN_FILES - 1}, 0),
    ],
)
def test_files_that_were_overwritten(changes: dict[str, Any], count: int) -> None:
    """Many have changed, and most of those that were looked into are noise now."""
    assert doubts(CHANGED, **changes) == count


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({}, 1),
        ({"new_suffix": (".locked", 144)}, 1),
        ({"new_suffix": (".locked", 143)}, 0),
        ({"new_suffix": ("", 180)}, 0),
        ({"deleted_suffixes": frozenset({".locked"})}, 0),
        ({"deleted": 60}, 0),
        ({"deleted": 61}, 1),
    ],
)
def test_files_that_were_renamed(changes: dict[str, Any], count: int) -> None:
    """Many are gone, and about as many new ones have one suffix that none of them had."""
    assert doubts(RENAMED, **changes) == count


def test_a_limit_that_is_off_is_off() -> None:
    """Whoever has said that all may change, or go, is not asked about it."""
    assert doubts(CHANGED, replace(GuardLimits(), changed=None)) == 0
    assert doubts(RENAMED, replace(GuardLimits(), deleted=None)) == 0
