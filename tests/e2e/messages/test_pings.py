"""Signs of life to a monitoring service: of each run, and of Tapeline itself, by real processes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from db.admin import alive
from db.models import Drive
from tests.faults.monitor import CHECK, Monitor
from tests.faults.trickle import Trickle
from tests.system import System


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    found = Monitor()
    yield found
    found.close()


@pytest.fixture
def source(short_path: Path) -> Path:
    folder = short_path / "source"
    folder.mkdir()
    (folder / "file").write_text("content")
    return folder


def configure(system: System, *lines: str) -> None:
    (system.folder / "tapeline.toml").write_text("\n".join(lines), encoding="utf-8")


def test_a_run_reports_its_start_and_its_end_and_a_slow_service_delays_none(
    system: System, source: Path, monitor: Monitor
) -> None:
    """The run of a schedule with an address of its own goes there and nowhere else; a service that never ends
    its answer, or knows no check, fails no run and is shown."""
    trickle = Trickle()
    slow = trickle.url.replace("json://", "http://") + CHECK
    configure(system, f'ping_url = "{monitor.check_url}"', "[ping_urls]", f'slow = "{slow}"')
    for name in ("slow", "monthly"):
        system.schedule(name, source)
    system.start("control", "tape")
    failed = system.run_schedule("monthly")
    system.wait_for_state(failed, "FAILED")
    system.wait_for(lambda: monitor.signals == ["start", "fail"], "word of the failure")
    system.insert_blank()
    run_id = system.run_schedule("slow")
    system.wait_for_state(run_id, "SUCCEEDED")
    trickle.asked.wait(20)
    system.cli("runs", "retry", str(failed))
    system.wait_for_state(failed, "SUCCEEDED")
    system.wait_for(lambda: monitor.signals[2:] == ["success"], "word of the success", 90)
    assert len({each.rid for each in monitor.received}) == 1
    trickle.close()
    assert [each["channel"] for each in system.json("notify", "channels")] == ["ping_url", "ping_urls.slow"]

    monitor.body = "OK (not found)"
    system.cli("schedule", "run", "monthly", code=None)
    system.wait_for(lambda: "ping_url" in system.json("status")["channels"], "the failure of the ping")
    assert "knows no check" in system.cli("status", code=None).stdout
    assert CHECK not in system.logs()


def test_tapeline_itself_gives_signs_of_life_while_all_is_well(
    system: System, source: Path, monitor: Monitor
) -> None:
    """They stop while something urgent needs somebody, and go on when it is over; one that does not go out is
    shown, and is no reason for the next one not to be tried."""
    configure(system, f'ping_alive_url = "{monitor.check_url}"', "ping_alive_seconds = 5")
    system.schedule("monthly", source)
    system.start("control", "tape")
    system.start_beat()
    system.wait_for(lambda: len(monitor.received) > 1, "signs of life")
    assert set(monitor.signals) == {"success"}
    assert system.json("status")["alive"]["sent_at"]

    monitor.status = 500
    system.wait_for(lambda: pinged(system).error, "the failure")
    assert "The sign of life does not go out: ping_alive_url: the service answered with HTTP 500." in (
        system.cli("status").stdout
    )
    assert any("sign of life" in each["detail"] for each in system.json("doctor") if not each["ok"])
    monitor.status = 200
    system.wait_for(lambda: not pinged(system).error, "the next attempt")

    silence(system, hours=1)
    system.wait_for(lambda: pinged(system).withheld, "silence")
    count = len(monitor.received)
    considered = pinged(system).considered_at
    system.wait_for(lambda: pinged(system).considered_at > considered + timedelta(seconds=8), "more silence")
    assert len(monitor.received) <= count + 1
    assert "none goes out while something urgent needs somebody" in system.cli("status").stdout
    silence(system, hours=0)
    system.wait_for(lambda: len(monitor.received) > count + 1, "signs of life again")


def pinged(system: System) -> Any:
    return system.ask(alive.last)


def silence(system: System, **ago: float) -> None:
    """Another drive's worker was last seen some time ago."""

    def change(session: Any) -> None:
        values = {"driver": "virtual", "host": "h", "worker": "w", "queue": "tape.other"}
        moment = datetime.now(UTC) - timedelta(**ago)
        found = session.get(Drive, "other") or Drive(name="other", registered_at=moment, **values)
        found.last_seen_at = moment
        session.add(found)

    system.ask(change)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('ping_url = "hc-ping.com/key"', "ping_url: write the whole address"),
        ('[ping_urls]\nnightly = "ftp://host/key"', "ping_urls.nightly: write the whole address"),
        ("ping_alive_seconds = 0", "ping_alive_seconds"),
        ('[channels.ping_url]\ntype = "apprise"\nurl = "json://h"', "'ping_url' is the name of a setting"),
    ],
)
def test_a_wrong_address_is_one_line_that_does_not_show_it(system: System, line: str, problem: str) -> None:
    (system.folder / "tapeline.toml").write_text(line)
    shown = system.cli("notify", "channels", code=2).stderr
    assert problem in shown
    assert "/key" not in shown


def test_a_test_is_only_logged_at_the_check(system: System, monitor: Monitor) -> None:
    """And what does not take it is an exit code."""
    configure(system, f'ping_alive_url = "{monitor.check_url}"', f'ping_url = "{monitor.push_url}"')
    assert [each["ok"] for each in system.json("notify", "test")] == [True, True]
    assert sorted(monitor.signals) == ["log", "up"]
    monitor.status = 500
    assert "HTTP 500" in system.cli("notify", "test", "--channel", "ping_alive_url", code=1).stdout
