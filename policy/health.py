"""When the condition of a cartridge deserves a warning: pure thresholds over the counters of drive and
chip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from policy.message import M, Message

TERABYTE = 10**12


@dataclass(frozen=True, slots=True)
class HealthLimits:
    """The limits of a warning; None: never."""

    loads: int | None = None
    written_tb: float | None = None
    write_errors: int | None = None
    read_errors: int | None = None


WANTS_CLEANING = frozenset({"Cleaning required", "Cleaning requested"})
WORN_OUT = frozenset({"Cleaning media", "Expired cleaning media"})
"""TapeAlert flags 20 and 21, and 11 and 22, as sg_logs and LTFS name them."""
MAX_CLEANINGS = 50
"""How often a cleaning cartridge cleans (its makers)."""


def wants_cleaning(health: Mapping[str, Any]) -> bool:
    """Whether the drive asks for its cleaning cartridge."""
    return bool(WANTS_CLEANING & set(health.get("tape_alerts") or ()))


def alerts(tape_id: str, health: Mapping[str, Any]) -> Iterator[Message]:
    """The drive's own warnings; the cause may be the drive or the tape."""
    for alert in health.get("tape_alerts") or ():
        yield M("The drive reports for tape {tape_id}: {alert} (TapeAlert).", tape_id=tape_id, alert=alert)


def wear(tape_id: str, health: Mapping[str, Any], limits: HealthLimits) -> Iterator[Message]:
    """The warnings about a cartridge after a run. A counter that is not known causes none."""
    if _reaches(health, "write_errors", limits.write_errors):
        yield M(
            "Tape {tape_id} has {count} write errors: take it out of use soon.",
            tape_id=tape_id,
            count=health["write_errors"],
        )
    if _reaches(health, "read_errors", limits.read_errors):
        yield M(
            "Tape {tape_id} has {count} read errors: verify what is on it, and clean the drive.",
            tape_id=tape_id,
            count=health["read_errors"],
        )
    if _reaches(health, "loads", limits.loads):
        yield M(
            "Tape {tape_id} was loaded {count} times: it wears out.", tape_id=tape_id, count=health["loads"]
        )
    written = None if limits.written_tb is None else limits.written_tb * TERABYTE
    if _reaches(health, "written_bytes", written):
        yield M(
            "{count} TB have been written to tape {tape_id}: it wears out.",
            tape_id=tape_id,
            count=round(health["written_bytes"] / TERABYTE),
        )


def _reaches(health: Mapping[str, Any], name: str, limit: float | None) -> bool:
    value = health.get(name)
    return limit is not None and value is not None and value >= limit
