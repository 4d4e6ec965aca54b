"""Whether all is well, in one word for a monitoring service."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy.orm import Session

from db import alerts
from db.alerts import Topic
from policy.message import Message


def against_a_sign_of_life(session: Session, is_silent: Callable[[datetime], bool]) -> Message | None:
    """The most urgent thing that needs somebody; None: all is well, which a sign of life may report.

    A sign of life that did not go out does not count, or the first failure would be the last attempt.
    """
    current = alerts.current(session, is_silent)
    return next((each.message for each in current if each.is_urgent and each.topic is not Topic.ALIVE), None)
