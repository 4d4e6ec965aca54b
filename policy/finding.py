"""The findings of a precheck: each check with its verdict, and their combined meaning."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from policy.message import Message


class PrecheckVerdict(StrEnum):
    """The meaning of a finding for a run that would start now."""

    OK = "ok"
    """It would go ahead."""
    WARNING = "warning"
    """It would go ahead, but somebody should know this."""
    WAIT = "wait"
    """Somebody has to change the tape, or to accept the sources, first."""
    REFUSED = "refused"
    """It would be skipped, or fail."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check."""

    check: str
    """Its name for scripts."""
    detail: Message
    verdict: PrecheckVerdict = PrecheckVerdict.OK
    remedy: Message | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "check": self.check,
            "verdict": self.verdict.value,
            "detail": str(self.detail),
            "remedy": str(self.remedy) if self.remedy else None,
        }


def exit_code(findings: Iterable[Finding]) -> int:
    """0: a run would go ahead; 4: it needs another tape, or its sources accepted; 1: it would not."""
    verdicts = {finding.verdict for finding in findings}
    if PrecheckVerdict.REFUSED in verdicts:
        return 1
    return 4 if PrecheckVerdict.WAIT in verdicts else 0
