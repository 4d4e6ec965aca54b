"""How many statements the pages and commands of an operator send: as many after years as on the first day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from celery_app import reading
from cli.commands import status
from dashboard.pages import drives as drives_page
from dashboard.pages import metrics, schedule_removal, tape, tapes, today
from dashboard.pages import schedules as schedules_page
from db import alerts, views
from db.engine import Database
from db.models import TapeCartridge, now
from db.schedules import calendar, schedules
from db.states import BackupType
from db.tapes import drives
from policy.times.period import ScheduleType
from tests import many_sets, statements

ASKED = dict.fromkeys(("state", "pool", "name", "for", "page"), "")

Question = Callable[[Session], Any]
QUESTIONS: dict[str, Question] = {
    "calendar": lambda session: calendar.entries(session, now(), now() + timedelta(days=35)),
    "/schedules": lambda session: schedules_page._found(session, ASKED),
    "/schedules/job0/delete": lambda session: schedule_removal._removal(session, "job0"),
    "/today": today._found,
    "/tapes": lambda session: tapes._found(session, ASKED),
    "/tapes/1": lambda session: tape._found(session, str(_first(session))),
    "/drives": drives_page._found,
    "/metrics": lambda session: list(metrics.families(session)),
    "status": status._collect,
    "tape list": views.tapes_counted,
    "alerts": lambda session: alerts.alerts(session, now(), (), lambda _seen: False),
}


def _first(session: Session) -> int:
    return min(each.id for each in session.query(TapeCartridge))


def a_history(session: Session, size: int) -> None:
    """So many schedules, drives with a tape each, and tapes on the shelf, each with a chain of sets that is
    as long."""
    for number in range(size):
        row = schedules.put(
            session, f"job{number}", drive=f"tape{number}", sources=["/data"], tape_policy="rotate",
            schedule_type=ScheduleType.DAILY, schedule_config={"at": "02:00"},
            template={"type": BackupType.FULL if number % 2 else BackupType.INCREMENTAL},
        )  # fmt: skip
        for place in (2 * number, 2 * number + 1):
            name = f"TP2025{place % 12 + 1:02}{place // 12 + 1:02}"
            of_tape = many_sets.a_tape(session, name, str(place))
            many_sets.add_sets(
                session, of_tape, range(place * 100, place * 100 + size), row.template_id,
                retention_until=now() + timedelta(days=400) if place % 3 else many_sets.BEGAN,
            )  # fmt: skip
        medium = {**many_sets.MEDIUM, "label": name, "volume_uuid": f"u{place}", "medium_serial": f"m{place}"}
        drives.register(
            session, name=f"tape{number}", driver="virtual", host="h", worker="w", queue=f"tape{number}"
        )
        drives.looked(session, f"tape{number}", medium)


@pytest.mark.parametrize("name", QUESTIONS)
def test_years_of_history_are_asked_for_in_as_many_statements(
    database: Database, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With three schedules, drives and sets on a tape, or with twelve of each."""
    # The page records in a transaction of its own that its process lives.
    monkeypatch.setattr(reading, "enter", lambda *_: None)
    asked = {}
    for size in (3, 12):
        with database.transaction() as session:
            a_history(session, size)
            with statements.counted(session) as sent:
                QUESTIONS[name](session)
            asked[size] = len(sent)
            session.rollback()
    assert asked[3] == asked[12], name
