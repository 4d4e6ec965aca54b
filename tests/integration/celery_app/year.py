"""A year of schedules, and by hand what has to come of it.

Times are UTC unless said. Berlin is at +1 (from 29 March 01:00 UTC to 25 October 01:00 UTC at +2), and
Shanghai at +8.
"""

from __future__ import annotations

from typing import Any

SCHEDULES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "b-daily": ("Europe/Berlin", "daily", {"at": "02:30"}),
    "s-daily": ("Asia/Shanghai", "daily", {"at": "02:30"}),
    "b-weekly": ("Europe/Berlin", "weekly", {"day": "sunday", "at": "02:00"}),
    "s-weekly": ("Asia/Shanghai", "weekly", {"day": "friday", "at": "23:00"}),
    "b-last-day": ("Europe/Berlin", "monthly", {"day": 31, "at": "22:00"}),
    "s-last-day": ("Asia/Shanghai", "monthly", {"day": 31, "at": "22:00"}),
    "b-first-weekday": ("Europe/Berlin", "monthly", {"day": "first weekday", "at": "06:00"}),
    "s-first-weekday": ("Asia/Shanghai", "monthly", {"day": "first weekday", "at": "06:00"}),
    "b-last-weekday": ("Europe/Berlin", "monthly", {"day": "last weekday", "at": "01:00"}),
    "s-last-weekday": ("Asia/Shanghai", "monthly", {"day": "last weekday", "at": "20:30"}),
    "b-last-friday": ("Europe/Berlin", "monthly", {"day": "last friday", "at": "20:00"}),
    "s-last-friday": ("Asia/Shanghai", "monthly", {"day": "last friday", "at": "20:00"}),
    "b-monthly": ("Europe/Berlin", "monthly", {"day": 1, "at": "02:00"}),
    "s-monthly": ("Asia/Shanghai", "monthly", {"day": 1, "at": "02:00"}),
    "b-yearly": ("Europe/Berlin", "yearly", {"month": 3, "day": 29, "at": "02:15"}),
    "s-yearly": ("Asia/Shanghai", "yearly", {"month": 1, "day": "first monday", "at": "07:00"}),
    "b-once": ("Europe/Berlin", "once", {"at": "2026-10-25T02:30"}),
    "s-once": ("Asia/Shanghai", "once", {"at": "2026-07-01T00:00"}),
    "b-interval": ("Europe/Berlin", "interval", {"every": "10d", "start": "2026-01-05T12:00"}),
    "s-interval": ("Asia/Shanghai", "interval", {"every": "7d", "start": "2026-01-01T00:00"}),
    "b-cron": ("Europe/Berlin", "cron", {"expression": "30 2 * * 0"}),
    "s-cron": ("Asia/Shanghai", "cron", {"expression": "0 4 1,15 * *"}),
    "by-hand": ("Asia/Shanghai", "manual", {}),
}

GRACE = {"s-monthly": 6 * 3600}
"""Seconds; of the others it is twelve hours."""

OUTAGES = [
    # Longer than a few hours, so that something is missed. Shanghai's clock is eight hours ahead.
    ("2026-05-10T12:00", "2026-05-14T06:00"),
    ("2026-08-31T12:00", "2026-09-01T06:00"),
]
"""Beat is down from, until. Besides, it is killed at random for up to four hours."""

BY_HAND = [("s-monthly", "2026-03-31T17:00")]
"""A run by hand that succeeds, at 01:00 of 1 April in Shanghai: April's run at 02:00 has nothing to do."""

EDITS: list[tuple[str, str, str, Any]] = [
    # From 1 July on a Tuesday; the week's backup was made on Sunday, 28 June.
    ("2026-07-01T00:00", "b-weekly", "schedule_config", {"day": "tuesday", "at": "03:00"}),
    ("2026-06-01T00:00", "s-interval", "enabled", False),
    ("2026-08-01T00:00", "s-interval", "enabled", True),
]
"""What an operator changes with SQL, and when."""

# One line: schedule, state, first and last day, every so many days, time.
EXPECTED = """
b-daily          SUCCEEDED 2026-01-01 2026-03-28  1 01:30
b-daily          SUCCEEDED 2026-03-29 2026-03-29  1 01:00   # 02:30 does not exist: just after the gap
b-daily          SUCCEEDED 2026-03-30 2026-05-10  1 00:30
b-daily          SKIPPED   2026-05-13 2026-05-13  1 00:30   # the three of 11 to 13 May in one line
b-daily          SUCCEEDED 2026-05-14 2026-10-25  1 00:30   # 14 May caught up; 25 October the first 02:30
b-daily          SUCCEEDED 2026-10-26 2026-12-31  1 01:30

s-daily          SUCCEEDED 2026-01-01 2026-05-09  1 18:30   # 2 January 02:30 in Shanghai, and so on
s-daily          SKIPPED   2026-05-12 2026-05-12  1 18:30   # those of 10 to 12 May (UTC) in one line
s-daily          SUCCEEDED 2026-05-13 2026-12-31  1 18:30

b-weekly         SUCCEEDED 2026-01-04 2026-03-22  7 01:00
b-weekly         SUCCEEDED 2026-03-29 2026-03-29  7 01:00   # 02:00 does not exist: 03:00
b-weekly         SUCCEEDED 2026-04-05 2026-06-28  7 00:00
b-weekly         SUCCEEDED 2026-07-07 2026-10-20  7 01:00   # Tuesdays from here on
b-weekly         SUCCEEDED 2026-10-27 2026-12-29  7 02:00

s-weekly         SUCCEEDED 2026-01-02 2026-12-25  7 15:00

b-last-day       SUCCEEDED 2026-01-31 2026-01-31  1 21:00
b-last-day       SUCCEEDED 2026-02-28 2026-02-28  1 21:00
b-last-day       SUCCEEDED 2026-03-31 2026-03-31  1 20:00
b-last-day       SUCCEEDED 2026-04-30 2026-04-30  1 20:00
b-last-day       SUCCEEDED 2026-05-31 2026-05-31  1 20:00
b-last-day       SUCCEEDED 2026-06-30 2026-06-30  1 20:00
b-last-day       SUCCEEDED 2026-07-31 2026-07-31  1 20:00
b-last-day       SUCCEEDED 2026-08-31 2026-08-31  1 20:00   # caught up in the morning, ten hours late
b-last-day       SUCCEEDED 2026-09-30 2026-09-30  1 20:00
b-last-day       SUCCEEDED 2026-10-31 2026-10-31  1 21:00
b-last-day       SUCCEEDED 2026-11-30 2026-11-30  1 21:00
b-last-day       SUCCEEDED 2026-12-31 2026-12-31  1 21:00

s-last-day       SUCCEEDED 2026-01-31 2026-01-31  1 14:00
s-last-day       SUCCEEDED 2026-02-28 2026-02-28  1 14:00
s-last-day       SUCCEEDED 2026-03-31 2026-03-31  1 14:00
s-last-day       SUCCEEDED 2026-04-30 2026-04-30  1 14:00
s-last-day       SUCCEEDED 2026-05-31 2026-05-31  1 14:00
s-last-day       SUCCEEDED 2026-06-30 2026-06-30  1 14:00
s-last-day       SUCCEEDED 2026-07-31 2026-07-31  1 14:00
s-last-day       SKIPPED   2026-08-31 2026-08-31  1 14:00   # sixteen hours late
s-last-day       SUCCEEDED 2026-09-30 2026-09-30  1 14:00
s-last-day       SUCCEEDED 2026-10-31 2026-10-31  1 14:00
s-last-day       SUCCEEDED 2026-11-30 2026-11-30  1 14:00
s-last-day       SUCCEEDED 2026-12-31 2026-12-31  1 14:00

b-first-weekday  SUCCEEDED 2026-01-01 2026-01-01  1 05:00
b-first-weekday  SUCCEEDED 2026-02-02 2026-02-02  1 05:00   # 1 February is a Sunday
b-first-weekday  SUCCEEDED 2026-03-02 2026-03-02  1 05:00
b-first-weekday  SUCCEEDED 2026-04-01 2026-04-01  1 04:00
b-first-weekday  SUCCEEDED 2026-05-01 2026-05-01  1 04:00
b-first-weekday  SUCCEEDED 2026-06-01 2026-06-01  1 04:00
b-first-weekday  SUCCEEDED 2026-07-01 2026-07-01  1 04:00
b-first-weekday  SUCCEEDED 2026-08-03 2026-08-03  1 04:00   # 1 August is a Saturday
b-first-weekday  SUCCEEDED 2026-09-01 2026-09-01  1 04:00   # caught up two hours late
b-first-weekday  SUCCEEDED 2026-10-01 2026-10-01  1 04:00
b-first-weekday  SUCCEEDED 2026-11-02 2026-11-02  1 05:00
b-first-weekday  SUCCEEDED 2026-12-01 2026-12-01  1 05:00

s-first-weekday  SUCCEEDED 2026-02-01 2026-02-01  1 22:00   # 1 February is a Sunday: Monday, 2 February
s-first-weekday  SUCCEEDED 2026-03-01 2026-03-01  1 22:00
s-first-weekday  SUCCEEDED 2026-03-31 2026-03-31  1 22:00
s-first-weekday  SUCCEEDED 2026-04-30 2026-04-30  1 22:00
s-first-weekday  SUCCEEDED 2026-05-31 2026-05-31  1 22:00
s-first-weekday  SUCCEEDED 2026-06-30 2026-06-30  1 22:00
s-first-weekday  SUCCEEDED 2026-08-02 2026-08-02  1 22:00
s-first-weekday  SUCCEEDED 2026-08-31 2026-08-31  1 22:00   # caught up eight hours late
s-first-weekday  SUCCEEDED 2026-09-30 2026-09-30  1 22:00
s-first-weekday  SUCCEEDED 2026-11-01 2026-11-01  1 22:00
s-first-weekday  SUCCEEDED 2026-11-30 2026-11-30  1 22:00
s-first-weekday  SUCCEEDED 2026-12-31 2026-12-31  1 22:00   # Friday, 1 January 2027

b-last-weekday   SUCCEEDED 2026-01-30 2026-01-30  1 00:00
b-last-weekday   SUCCEEDED 2026-02-27 2026-02-27  1 00:00
b-last-weekday   SUCCEEDED 2026-03-30 2026-03-30  1 23:00   # Tuesday, 31 March in Berlin
b-last-weekday   SUCCEEDED 2026-04-29 2026-04-29  1 23:00
b-last-weekday   SUCCEEDED 2026-05-28 2026-05-28  1 23:00
b-last-weekday   SUCCEEDED 2026-06-29 2026-06-29  1 23:00
b-last-weekday   SUCCEEDED 2026-07-30 2026-07-30  1 23:00
b-last-weekday   SUCCEEDED 2026-08-30 2026-08-30  1 23:00
b-last-weekday   SUCCEEDED 2026-09-29 2026-09-29  1 23:00
b-last-weekday   SUCCEEDED 2026-10-30 2026-10-30  1 00:00
b-last-weekday   SUCCEEDED 2026-11-30 2026-11-30  1 00:00
b-last-weekday   SUCCEEDED 2026-12-31 2026-12-31  1 00:00

s-last-weekday   SUCCEEDED 2026-01-30 2026-01-30  1 12:30
s-last-weekday   SUCCEEDED 2026-02-27 2026-02-27  1 12:30
s-last-weekday   SUCCEEDED 2026-03-31 2026-03-31  1 12:30
s-last-weekday   SUCCEEDED 2026-04-30 2026-04-30  1 12:30
s-last-weekday   SUCCEEDED 2026-05-29 2026-05-29  1 12:30
s-last-weekday   SUCCEEDED 2026-06-30 2026-06-30  1 12:30
s-last-weekday   SUCCEEDED 2026-07-31 2026-07-31  1 12:30
s-last-weekday   SKIPPED   2026-08-31 2026-08-31  1 12:30   # seventeen and a half hours late
s-last-weekday   SUCCEEDED 2026-09-30 2026-09-30  1 12:30
s-last-weekday   SUCCEEDED 2026-10-30 2026-10-30  1 12:30
s-last-weekday   SUCCEEDED 2026-11-30 2026-11-30  1 12:30
s-last-weekday   SUCCEEDED 2026-12-31 2026-12-31  1 12:30

b-last-friday    SUCCEEDED 2026-01-30 2026-01-30  1 19:00
b-last-friday    SUCCEEDED 2026-02-27 2026-02-27  1 19:00
b-last-friday    SUCCEEDED 2026-03-27 2026-03-27  1 19:00
b-last-friday    SUCCEEDED 2026-04-24 2026-04-24  1 18:00
b-last-friday    SUCCEEDED 2026-05-29 2026-05-29  1 18:00
b-last-friday    SUCCEEDED 2026-06-26 2026-06-26  1 18:00
b-last-friday    SUCCEEDED 2026-07-31 2026-07-31  1 18:00
b-last-friday    SUCCEEDED 2026-08-28 2026-08-28  1 18:00
b-last-friday    SUCCEEDED 2026-09-25 2026-09-25  1 18:00
b-last-friday    SUCCEEDED 2026-10-30 2026-10-30  1 19:00
b-last-friday    SUCCEEDED 2026-11-27 2026-11-27  1 19:00
b-last-friday    SUCCEEDED 2026-12-25 2026-12-25  1 19:00

s-last-friday    SUCCEEDED 2026-01-30 2026-01-30  1 12:00
s-last-friday    SUCCEEDED 2026-02-27 2026-02-27  1 12:00
s-last-friday    SUCCEEDED 2026-03-27 2026-03-27  1 12:00
s-last-friday    SUCCEEDED 2026-04-24 2026-04-24  1 12:00
s-last-friday    SUCCEEDED 2026-05-29 2026-05-29  1 12:00
s-last-friday    SUCCEEDED 2026-06-26 2026-06-26  1 12:00
s-last-friday    SUCCEEDED 2026-07-31 2026-07-31  1 12:00
s-last-friday    SUCCEEDED 2026-08-28 2026-08-28  1 12:00
s-last-friday    SUCCEEDED 2026-09-25 2026-09-25  1 12:00
s-last-friday    SUCCEEDED 2026-10-30 2026-10-30  1 12:00
s-last-friday    SUCCEEDED 2026-11-27 2026-11-27  1 12:00
s-last-friday    SUCCEEDED 2026-12-25 2026-12-25  1 12:00

b-monthly        SUCCEEDED 2026-01-01 2026-01-01  1 01:00
b-monthly        SUCCEEDED 2026-02-01 2026-02-01  1 01:00
b-monthly        SUCCEEDED 2026-03-01 2026-03-01  1 01:00
b-monthly        SUCCEEDED 2026-04-01 2026-04-01  1 00:00
b-monthly        SUCCEEDED 2026-05-01 2026-05-01  1 00:00
b-monthly        SUCCEEDED 2026-06-01 2026-06-01  1 00:00
b-monthly        SUCCEEDED 2026-07-01 2026-07-01  1 00:00
b-monthly        SUCCEEDED 2026-08-01 2026-08-01  1 00:00
b-monthly        SUCCEEDED 2026-09-01 2026-09-01  1 00:00   # caught up six hours late
b-monthly        SUCCEEDED 2026-10-01 2026-10-01  1 00:00
b-monthly        SUCCEEDED 2026-11-01 2026-11-01  1 01:00
b-monthly        SUCCEEDED 2026-12-01 2026-12-01  1 01:00

s-monthly        SUCCEEDED 2026-01-31 2026-01-31  1 18:00
s-monthly        SUCCEEDED 2026-02-28 2026-02-28  1 18:00
s-monthly        SUCCEEDED 2026-03-31 2026-03-31  1 17:00   # by hand
s-monthly        SKIPPED   2026-03-31 2026-03-31  1 18:00   # April has its backup
s-monthly        SUCCEEDED 2026-04-30 2026-04-30  1 18:00
s-monthly        SUCCEEDED 2026-05-31 2026-05-31  1 18:00
s-monthly        SUCCEEDED 2026-06-30 2026-06-30  1 18:00
s-monthly        SUCCEEDED 2026-07-31 2026-07-31  1 18:00
s-monthly        SKIPPED   2026-08-31 2026-08-31  1 18:00   # twelve hours late, and its grace is six
s-monthly        SUCCEEDED 2026-09-30 2026-09-30  1 18:00
s-monthly        SUCCEEDED 2026-10-31 2026-10-31  1 18:00
s-monthly        SUCCEEDED 2026-11-30 2026-11-30  1 18:00
s-monthly        SUCCEEDED 2026-12-31 2026-12-31  1 18:00

b-yearly         SUCCEEDED 2026-03-29 2026-03-29  1 01:00   # 02:15 does not exist
s-yearly         SUCCEEDED 2026-01-04 2026-01-04  1 23:00   # Monday, 5 January
b-once           SUCCEEDED 2026-10-25 2026-10-25  1 00:30   # 02:30 comes twice: the first
s-once           SUCCEEDED 2026-06-30 2026-06-30  1 16:00

b-interval       SUCCEEDED 2026-01-05 2026-12-31 10 11:00   # every 240 hours, whatever the clock does
s-interval       SUCCEEDED 2026-01-07 2026-05-06  7 16:00
s-interval       SKIPPED   2026-05-13 2026-05-13  7 16:00   # fourteen hours late
s-interval       SUCCEEDED 2026-05-20 2026-05-27  7 16:00
s-interval       SUCCEEDED 2026-08-05 2026-12-30  7 16:00   # disabled in June and July

b-cron           SUCCEEDED 2026-01-04 2026-03-22  7 01:30
b-cron           SUCCEEDED 2026-03-29 2026-03-29  7 01:00   # 02:30 does not exist
b-cron           SUCCEEDED 2026-04-05 2026-10-25  7 00:30
b-cron           SUCCEEDED 2026-11-01 2026-12-27  7 01:30

s-cron           SUCCEEDED 2026-01-14 2026-01-14  1 20:00
s-cron           SUCCEEDED 2026-01-31 2026-01-31  1 20:00
s-cron           SUCCEEDED 2026-02-14 2026-02-14  1 20:00
s-cron           SUCCEEDED 2026-02-28 2026-02-28  1 20:00
s-cron           SUCCEEDED 2026-03-14 2026-03-14  1 20:00
s-cron           SUCCEEDED 2026-03-31 2026-03-31  1 20:00
s-cron           SUCCEEDED 2026-04-14 2026-04-14  1 20:00
s-cron           SUCCEEDED 2026-04-30 2026-04-30  1 20:00
s-cron           SUCCEEDED 2026-05-14 2026-05-14  1 20:00
s-cron           SUCCEEDED 2026-05-31 2026-05-31  1 20:00
s-cron           SUCCEEDED 2026-06-14 2026-06-14  1 20:00
s-cron           SUCCEEDED 2026-06-30 2026-06-30  1 20:00
s-cron           SUCCEEDED 2026-07-14 2026-07-14  1 20:00
s-cron           SUCCEEDED 2026-07-31 2026-07-31  1 20:00
s-cron           SUCCEEDED 2026-08-14 2026-08-14  1 20:00
s-cron           SUCCEEDED 2026-08-31 2026-08-31  1 20:00   # caught up ten hours late
s-cron           SUCCEEDED 2026-09-14 2026-09-14  1 20:00
s-cron           SUCCEEDED 2026-09-30 2026-09-30  1 20:00
s-cron           SUCCEEDED 2026-10-14 2026-10-14  1 20:00
s-cron           SUCCEEDED 2026-10-31 2026-10-31  1 20:00
s-cron           SUCCEEDED 2026-11-14 2026-11-14  1 20:00
s-cron           SUCCEEDED 2026-11-30 2026-11-30  1 20:00
s-cron           SUCCEEDED 2026-12-14 2026-12-14  1 20:00
s-cron           SUCCEEDED 2026-12-31 2026-12-31  1 20:00
"""

NEXT = {
    "b-daily": "2027-01-01T01:30",
    "s-daily": "2027-01-01T18:30",
    "b-weekly": "2027-01-05T02:00",
    "s-weekly": "2027-01-01T15:00",
    "b-last-day": "2027-01-31T21:00",
    "s-last-day": "2027-01-31T14:00",
    "b-first-weekday": "2027-01-01T05:00",
    "s-first-weekday": "2027-01-31T22:00",
    "b-last-weekday": "2027-01-29T00:00",
    "s-last-weekday": "2027-01-29T12:30",
    "b-last-friday": "2027-01-29T19:00",
    "s-last-friday": "2027-01-29T12:00",
    "b-monthly": "2027-01-01T01:00",
    "s-monthly": "2027-01-31T18:00",
    "b-yearly": "2027-03-29T00:15",  # the clocks change on the 28th in 2027
    "s-yearly": "2027-01-03T23:00",
    "b-once": None,
    "s-once": None,
    "b-interval": "2027-01-10T11:00",
    "s-interval": "2027-01-06T16:00",
    "b-cron": "2027-01-03T01:30",
    "s-cron": "2027-01-14T20:00",
    "by-hand": None,
}
"""When each is due next at the end of the year; UTC."""
