"""The clock of a single host jumps far ahead: everything looks expired, and nothing is lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select, text

from db.models import ClockMark
from tests.e2e.backups.test_precheck_agrees import Operator
from tests.system import System

IN_A_MONTH = datetime.now(UTC) + timedelta(days=30)


def move_clock(system: System, days: int) -> None:
    """The database's clock, which is the one of every process; this test's own stays."""

    def move(session: Any) -> None:
        name = session.scalar(text("SELECT current_database()"))
        session.execute(
            text(
                "CREATE OR REPLACE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS "
                f"$$ SELECT pg_catalog.clock_timestamp() + interval '{days} days' $$"
            )
        )
        session.execute(text(f'ALTER DATABASE "{name}" SET search_path = public, pg_catalog'))

    system.ask(move)


def test_a_clock_that_jumps_ahead_erases_nothing_until_somebody_confirms_it(
    system: System, short_path: Path
) -> None:
    """The first permit after the jump is denied already, whoever looks first; status, doctor and the run show
    why, and with which command it goes on. Nothing is marked as expired meanwhile."""
    source = short_path / "source"
    source.mkdir()
    (source / "a").write_bytes(b"x" * 10_000)
    # As on a single host, whose own clock jumps along.
    system.environment["TAPELINE_CLOCK_TOLERANCE_SECONDS"] = "1e9"
    system.environment["TAPELINE_RECOVER_SECONDS"] = "0.5"
    system.schedule("monthly", source, tape_policy="rotate", wait_for_tape_seconds=3600)
    Operator(system, source).insert_known("TP20190101", IN_A_MONTH)
    assert "is kept until" in system.cli("format", "--dry-run", code=None).stdout
    refused = system.cli("clock", "confirm", "--why", "nothing has happened", code=1)
    assert "in no doubt" in refused.stderr

    move_clock(system, 400)
    system.start("control", "tape")
    system.start_beat()
    run_id = system.run_schedule("monthly")
    waiting = system.wait_for_state(run_id, "WAITING_FOR_TAPE", "SUCCEEDED", "FAILED")
    assert waiting["state"] == "WAITING_FOR_TAPE", system.cli("runs", "show", str(run_id)).stdout
    assert "tapeline clock confirm" in system.cli("runs", "show", str(run_id)).stdout
    assert "tapeline clock confirm" in system.cli("status", code=4).stdout
    [clock] = [each for each in system.json("doctor") if each["check"] == "Clock"]
    assert not clock["ok"]
    assert "tapeline clock confirm" in system.cli("sets", "expire", code=1).stderr
    assert [each["retention_until"] for each in system.json("sets", "list")] == [IN_A_MONTH.isoformat()]
    looks = system.log("tape").count(b"tapeline.look[")
    system.wait_for(lambda: system.log("tape").count(b"tapeline.look[") >= looks + 2, "looks")
    assert system.json("runs", "show", str(run_id))["state"] == "WAITING_FOR_TAPE"

    system.cli("clock", "confirm", "--why", " ", code=2)
    system.cli("clock", "confirm", "--why", "off for a year")
    assert system.wait_for_state(run_id, "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED"
    mark = system.ask(
        lambda session: session.scalars(select(ClockMark).order_by(ClockMark.id.desc())).first()
    )
    assert (mark.why, mark.begun_at - mark.leapt_from > timedelta(days=399)) == ("off for a year", True)
    assert mark.confirmed_by
    assert "confirm" not in system.cli("status", code=0).stdout
