"""Which run of a schedule another one follows: that of the period in which the other one is due."""

from __future__ import annotations

from datetime import datetime

from policy.times import period
from policy.times.period import OWN_PERIOD, ScheduleType
from policy.times.recurrence import Recurrence, latest


def is_of_its_period(
    schedule_type: ScheduleType,
    rule: Recurrence,
    time_zone: str,
    *,
    since: datetime,
    moment: datetime,
    due: datetime,
) -> bool:
    """Whether what was due of a schedule at ``due`` is what a follower that is due at ``moment`` follows.

    By its own period: of a daily one that of the same day. Where each occurrence is its own period, the last
    one up to ``moment`` or a later one; of one that has no times, what is started after ``moment``.
    ``since``: nothing of it was due before. Raises UsageError for an unknown time zone.
    """
    if schedule_type is ScheduleType.MANUAL:
        return due >= moment
    if schedule_type in OWN_PERIOD:
        return due >= latest(rule, min(since, moment), moment)
    of_moment = period.key(schedule_type, moment, time_zone)
    return period.key(schedule_type, due, time_zone) == of_moment
