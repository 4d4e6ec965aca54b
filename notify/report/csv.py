"""The report as CSV: one line for each schedule, in figures that a spreadsheet reads."""

from __future__ import annotations

import csv
import io
from typing import Any

COLUMNS = (
    "schedule",
    "enabled",
    "protected_until",
    "full_set",
    "full_finished_at",
    "full_files",
    "full_bytes",
    "full_verified_at",
    "full_damaged",
    "increment_set",
    "increment_finished_at",
    "increment_files",
    "increment_bytes",
    "grows_bytes_a_month",
    "owed_since",
    "next",
)


def text(report: dict[str, Any]) -> str:
    """The lines, with the names of the columns first; moments as in JSON, sizes in bytes."""
    # A spreadsheet needs the mark to see that it is UTF-8.
    written = io.StringIO("\ufeff", newline="")
    written.seek(0, io.SEEK_END)
    lines = csv.writer(written)
    lines.writerow(COLUMNS)
    lines.writerows([_safe(value) for value in _row(each)] for each in report["schedules"])
    return written.getvalue()


def _row(schedule: dict[str, Any]) -> list[Any]:
    full, later = schedule["full"] or {}, schedule["increment"] or {}
    return [
        schedule["schedule"],
        schedule["enabled"],
        schedule["protected_until"],
        *(full.get(field) for field in ("id", "finished_at", "files", "bytes", "verified_at", "damaged")),
        *(later.get(field) for field in ("id", "finished_at", "files", "bytes")),
        schedule["grows"],
        schedule["owed_since"],
        schedule["next"],
    ]


def _safe(value: Any) -> Any:
    """A name is never a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t"} else value
