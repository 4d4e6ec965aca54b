"""The report by its front doors: the command, and the message that beat starts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from db.models import ChainRun
from db.states import Kind, RunState, Trigger
from tests.faults.catcher import Catcher
from tests.system import System


def test_it_is_printed_written_and_sent(system: System, short_path: Path) -> None:
    """As text, as a page and as figures; once to a channel of the month and to one of the week."""
    source = short_path / "source"
    source.mkdir()
    catcher = Catcher()
    channels = [f'[channels.{name}]\ntype = "apprise"\nurl = "{catcher.url}"' for name in ("ops", "boss")]
    (system.folder / "tapeline.toml").write_text("\n".join([*channels, 'report = "week"']))
    system.schedule("monthly", source)
    assert "monthly: no backup yet" in system.cli("report").stdout
    page, figures = short_path / "report.html", short_path / "report.csv"
    system.cli("report", "--every", "week", "--html", str(page), "--csv", str(figures))
    assert "<!doctype html>" in page.read_text()
    assert "monthly" in figures.read_text("utf-8-sig")
    assert system.json("report")["schedules"][0]["schedule"] == "monthly"
    assert "--every" in system.cli("report", "--every", "day", code=2).stderr
    assert "nowhere" in system.cli("report", "--html", str(short_path / "nowhere" / "r.html"), code=1).stderr

    system.ask(begin_long_ago)
    system.start("control")
    system.start_beat()
    system.wait_for(lambda: len(reports(catcher)) == 2, "a report of the month and one of the week")
    made = system.log("control").count(b"tapeline.report")
    system.wait_for(lambda: system.log("control").count(b"tapeline.report") > made + 4, "more looks")
    assert len(reports(catcher)) == 2
    catcher.close()


def reports(catcher: Catcher) -> list[dict[str, Any]]:
    return [message for message in catcher.messages if "Report 20" in message["title"]]


def begin_long_ago(session: Any) -> None:
    moment = datetime.now(UTC) - timedelta(days=70)
    session.add(
        ChainRun(
            kind=Kind.VERIFY, trigger=Trigger.MANUAL, state=RunState.SUCCEEDED, drive="tape0", due_at=moment,
            created_at=moment, finished_at=moment,
        )
    )  # fmt: skip
