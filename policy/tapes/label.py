"""Labels: ``TP{YYYY}{MM}{seq:02d}`` for scheduled full backups, and the rule for labels given by hand. The
hundredth tape of a month has three digits: a hundred drives need more than 99."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from policy.errors import UsageError
from policy.message import M

MAX_SEQUENCE = 999
TWO_DIGITS = 99

_MONTHLY = re.compile(r"TP(?P<year>[0-9]{4})(?P<month>0[1-9]|1[0-2])(?P<sequence>[0-9]{2}|[1-9][0-9]{2})")
# Characters that every driver can write and no command line can misread; a label never begins with a dash.
_ALLOWED = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")


@dataclass(frozen=True, slots=True, order=True)
class MonthlyLabel:
    """A label of the form ``TP{YYYY}{MM}{seq:02d}``; ``sequence`` counts the cartridges of a month from 1."""

    year: int
    month: int
    sequence: int

    def __str__(self) -> str:
        return f"TP{self.year:04d}{self.month:02d}{self.sequence:02d}"

    def is_of(self, moment: datetime) -> bool:
        """Whether the label belongs to the month of a local time."""
        return (self.year, self.month) == (moment.year, moment.month)


# Called for hundreds of tapes, for each run that is simulated.
@lru_cache(maxsize=4096)
def parse(label: str | None) -> MonthlyLabel | None:
    """Read a monthly label; None if it is not one (a foreign label, no label, sequence 00)."""
    match = _MONTHLY.fullmatch(label or "")
    if not match or match["sequence"] == "00":
        return None
    return MonthlyLabel(int(match["year"]), int(match["month"]), int(match["sequence"]))


def check(label: str) -> str:
    """Return a label given by hand, or raise UsageError that states the rule."""
    if not _ALLOWED.fullmatch(label):
        raise UsageError(
            M("The label '{label}' breaks the rule for labels.", label=label),
            M("Use 1 to 32 of the characters A-Z a-z 0-9 _ . - and begin with a letter or a digit."),
        )
    return label


def to_ask_for(moment: datetime, taken: Collection[str]) -> str:
    """The label for a scheduled full backup: 01 of the local month, or the next free number.

    ``taken``: labels of other cartridges. Raises UsageError when all 999 numbers of the month are used.
    """
    for sequence in range(1, MAX_SEQUENCE + 1):
        label = str(MonthlyLabel(moment.year, moment.month, sequence))
        if label not in taken:
            return label
    raise UsageError(
        M("All {count} labels of {month} are taken.", count=MAX_SEQUENCE, month=f"{moment:%Y-%m}"),
        M("Retire cartridges that are gone, or give a label by hand."),
    )


def serial_for(label: str) -> str:
    """The volume serial for LTFS (six characters A-Z 0-9), derived from the label.

    For a monthly label the digits of year, month and number, so that every tape of a century has another one;
    from the hundredth of a month on, a letter and a character stand for the number. For any other label a
    letter and five characters derived from it.
    """
    monthly = parse(label)
    if monthly:
        month = f"{monthly.year % 100:02d}{monthly.month:02d}"
        return f"{month}{_two_characters(monthly.sequence)}"
    number = int.from_bytes(hashlib.blake2b(label.encode(), digest_size=8).digest())
    head, rest = divmod(number, 36**5)
    return _LETTERS[head % 26] + "".join(_DIGITS[rest // 36**place % 36] for place in range(5))


def _two_characters(sequence: int) -> str:
    if sequence <= TWO_DIGITS:
        return f"{sequence:02d}"
    letter, rest = divmod(sequence - TWO_DIGITS - 1, 36)
    return f"{_LETTERS[letter]}{_DIGITS[rest]}"


_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIGITS = f"0123456789{_LETTERS}"
