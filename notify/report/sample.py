"""A sample of a report, to show its message."""

from __future__ import annotations

from typing import Any

from policy.message import M

_TB = 10**12

REPORT: dict[str, Any] = {
    "every": "month",
    "begin": "2026-10-31T16:00:00+00:00",
    "end": "2026-11-30T16:00:00+00:00",
    "made_at": "2026-12-01T00:00:00+00:00",
    "needs_somebody": [
        M(
            "{what} has failed: {reason}",
            what=M("Run {id} of schedule '{schedule}'", id=12, schedule="nightly").to_json(),
            reason=M("There is no tape in drive {drive}.", drive="tape0").to_json(),
        ).to_json(),
    ],
    "schedules": [
        {
            "schedule": "monthly-full",
            "enabled": True,
            "protected_until": "2026-11-01T18:00:00+00:00",
            "full": {
                "id": "20261101T180002Z-9f3a",
                "finished_at": "2026-11-01T22:02:00+00:00",
                "files": 1_234_567,
                "bytes": 56 * _TB // 10,
                "warnings": 0,
                "verified_at": "2026-11-03T02:00:00+00:00",
                "damaged": 0,
            },
            "increment": None,
            "grows": 120 * 10**9,
            "sizes": [(44 + number) * _TB // 10 for number in range(12)],
            "owed_since": None,
            "next": "2026-12-01T18:00:00+00:00",
        },
        {
            "schedule": "nightly",
            "enabled": True,
            "protected_until": "2026-11-29T17:00:00+00:00",
            "full": None,
            "increment": {
                "id": "20261129T170001Z-1c02",
                "finished_at": "2026-11-29T17:20:00+00:00",
                "files": 812,
                "bytes": 34 * 10**9,
                "warnings": 1,
                "verified_at": None,
                "damaged": None,
            },
            "grows": None,
            "sizes": [],
            "owed_since": "2026-11-30T17:00:00+00:00",
            "next": "2026-12-01T17:00:00+00:00",
        },
    ],
    "runs": {"backups": 30, "restores": 1, "bytes": 66 * _TB // 10},
    "failures": {"failed": 2, "made_good": 1, "dismissed": 0, "open": 1},
    "verified": {"sets": 3, "damaged": 0},
    "tapes": {
        "used": 11,
        "free": 2,
        "out_of_use": 1,
        "bytes_used": 96 * _TB,
        "capacity": 162 * _TB,
        "changes": [
            {
                "at": "2026-12-01T18:00:00+00:00",
                "schedule": "monthly-full",
                "drive": "tape0",
                "take_out": "TP20261101",
                "bring": "TP20251101",
                "label": "TP20261201",
                "erases": 1,
            }
        ],
        "to_buy": 1,
        "buy_by": "2027-02-01T18:00:00+00:00",
        "until": "2026-12-31T00:00:00+00:00",
    },
    "wear": [
        M(
            "Tape {tape_id} has {count} read errors: verify what is on it, and clean the drive.",
            tape_id="TP20250301",
            count=3,
        ).to_json()
    ],
}
"""As ``db.report.gather`` makes it."""
