"""Schedules from the pages: made, looked at beforehand, saved, copied, deleted; and what is refused."""

from __future__ import annotations

import html
import re
from typing import Any

import requests
from sqlalchemy import select

from db.models import BackupTask, ScheduledTask
from db.schedules import schedules, sync
from policy.schedule import form as schedule_form
from tests.dashboard.dashboard import Dashboard
from tests.dashboard.forms import sent_by

WRONG = {
    "name": "a b",
    "when.type": "weekly", "when.at": "26:00", "when.every": "6h", "when.start": "2026-12-24T18:00",
    "when.day": "someday", "when.month": "13", "when.expression": "* * * * *",
    "backup.sources": "srv", "backup.type": "half", "backup.compression": "zip",
    "backup.compression_level": "99", "backup.archive_size": "4G", "backup.retention_days": "0",
    "backup.keep_sets": "many", "backup.excludes": "!", "backup.exclude_caches": "perhaps",
    "backup.one_file_system": "perhaps", "backup.max_file_size": "big", "backup.max_file_age_days": "-1",
    "backup.must_be_mounted": "srv", "backup.check": "rm -rf /", "backup.before": "a b",
    "backup.after": "a b", "backup.verify_percent": "101", "backup.encrypt_to": "AGE-SECRET-KEY-1PASTED",
    "backup.detect": "feel", "backup.on_silent_source": "maybe",
    "backup.guard.fewer_files": "101%", "backup.guard.fewer_bytes": "x", "backup.guard.deleted": "-1%",
    "backup.guard.changed": "all", "backup.guard.mount": "perhaps",
    "enabled": "perhaps", "time_zone": "Mars/Olympus", "drive": "tape 0", "tape_policy": "any",
    "grace": "5s", "wait_for_tape": "soon", "unreadable_label": "maybe", "on_format_failure": "maybe",
    "priority": "urgent", "window": "at night", "run_after": "a b", "rate": "fast", "after_run": "burn",
}  # fmt: skip
"""A wrong value for each field of the form."""


def send(dashboard: Dashboard, path: str, fields: dict[str, str]) -> requests.Response:
    dashboard.get("/today")
    data = {**fields, "_xsrf": dashboard.session.cookies["_xsrf"]}
    return dashboard.session.post(dashboard.url + path, data=data, timeout=60, allow_redirects=False)


def shown(dashboard: Dashboard, name: str) -> dict[str, Any]:
    return dashboard.system.ask(lambda session: dict(sync.shown(schedules.get(session, name))))  # type: ignore[no-any-return]


def names(dashboard: Dashboard) -> set[str]:
    return {each["name"] for each in dashboard.system.json("schedule", "list")}


def audit(dashboard: Dashboard, path: str) -> list[dict[str, Any]]:
    """What the audit has of a form, the newest first; once the last outcome is there."""
    entries = [each for each in dashboard.system.json("audit") if each["what"] == f"POST {path}"]
    if entries and entries[0]["outcome"] is None:
        dashboard.system.wait_for(lambda: dashboard.system.json("audit")[0]["outcome"], "the outcome")
        return audit(dashboard, path)
    return entries


def test_a_schedule_is_made_changed_copied_and_taken_out(dashboard: Dashboard) -> None:
    """Nothing is saved by a preview, which names times on the schedule's clock and the tape; the audit has
    who changed which field; what is taken out is applied unchanged."""
    system = dashboard.system
    new = sent_by(dashboard.get("/schedules/new"), "schedule")
    new |= {"name": "nightly", "when.type": "daily", "when.at": "02:30", "time_zone": "Asia/Shanghai"}
    new |= {"backup.sources": '/srv/files\n{ command = "dump-a", name = "a.sql" }', "backup.keep_sets": "3"}
    new |= {"drive": "tape7", "window": "03:00-06:00", "rate": "50MB/s 08:00-18:00", "run_after": "nightly"}
    circle = html.unescape(send(dashboard, "/schedules/new/preview", new).text)
    assert "these follow each other: nightly → nightly." in circle
    new |= {"run_after": "monthly"}
    preview = send(dashboard, "/schedules/new/preview", new)
    assert preview.status_code == 200, preview.text
    assert re.search(r'id="times"><li>\w+ 20\d\d-\d\d-\d\d 02:30</li>', preview.text)
    assert "Asia/Shanghai" in preview.text
    assert "insert a blank tape" in html.unescape(preview.text)
    assert names(dashboard) == {"monthly"}
    confirm = sent_by(preview.text, "confirm")
    again = send(dashboard, "/schedules/new/preview?again=1", confirm)
    assert sent_by(again.text, "schedule").items() >= {"name": "nightly", "backup.keep_sets": "3"}.items()
    saved = send(dashboard, "/schedules/new", confirm)
    assert (saved.status_code, saved.headers["Location"]) == (303, "/schedules#nightly")
    page = dashboard.get("/schedules")
    for text in ("03:00-06:00", "50MB/s 08:00-18:00", "<dt>After</dt><dd>monthly</dd>"):
        assert text in page
    assert "19:00 nightly" in page, "the calendar has it when its window opens, on the clock of the page"
    fields = shown(dashboard, "nightly")
    assert fields["backup.sources"] == ["/srv/files", {"command": "dump-a", "name": "a.sql"}]
    assert (fields["when"], fields["backup.keep_sets"]) == ({"type": "daily", "at": "02:30"}, 3)
    [made] = audit(dashboard, "/schedules/new")
    assert (made["who"], made["outcome"]) == ("tapeline", "done")
    assert made["details"].items() >= {"name": "nightly", "when.at": "– → 02:30"}.items()
    assert "exists" not in send(dashboard, "/schedules/new", confirm).text
    assert "There is a schedule 'nightly' already" in html.unescape(
        send(dashboard, "/schedules/new", confirm).text
    )

    form = sent_by(dashboard.get("/schedules/nightly/edit"), "schedule")
    assert "Nothing differs" in send(dashboard, "/schedules/nightly/edit/preview", form).text
    edit = send(
        dashboard, "/schedules/nightly/edit/preview", {**form, "backup.keep_sets": "", "enabled": "false"}
    )
    assert "it is disabled" in edit.text
    assert send(dashboard, "/schedules/nightly/edit", sent_by(edit.text, "confirm")).status_code == 303
    assert shown(dashboard, "nightly") == {**fields, "backup.keep_sets": None, "enabled": False}
    [changed] = audit(dashboard, "/schedules/nightly/edit")
    assert changed["details"] == {"name": "nightly", "backup.keep_sets": "3 → –", "enabled": "true → false"}

    copy = sent_by(dashboard.get("/schedules/new?copy=nightly"), "schedule")
    assert copy["name"] == "nightly-2"
    assert send(dashboard, "/schedules/new", copy).status_code == 303
    assert shown(dashboard, "nightly-2") == shown(dashboard, "nightly")
    (system.folder / "out.toml").write_text(dashboard.get("/schedules/nightly-2/toml"))
    applied = system.cli("schedule", "apply", "out.toml", "--dry-run").stdout
    assert "The schedules match the file." in applied


def test_each_wrong_field_is_named_beside_it_and_nothing_is_done(dashboard: Dashboard) -> None:
    """All of them at once, also what only the engine knows; the audit names the fields, and never what
    somebody has pasted into them."""
    assert WRONG.keys() == {"name"} | {each.place for each in schedule_form.fields()}
    for path in ("/schedules/new/preview", "/schedules/new"):
        answer = send(dashboard, path, WRONG)
        assert answer.status_code == 400
        assert set(re.findall(r'<span class="tl-error" id="wrong-([\w.]+)"', answer.text)) == WRONG.keys() - {
            "when.type"
        }
        assert sent_by(answer.text, "schedule").items() >= WRONG.items()
        [entry] = audit(dashboard, path)
        assert entry["outcome"] == "failed"
        assert entry["details"]["wrong"].startswith("name, enabled, time_zone, drive, tape_policy, grace, ")
        assert "PASTED" not in str(entry)
    other = send(dashboard, "/schedules/new", {**WRONG, "when.type": "dayly"})
    assert 'id="wrong-when.type"' in other.text
    missing = send(dashboard, "/schedules/new", {"name": "x", "when.type": "weekly"})
    assert set(re.findall(r'id="wrong-([\w.]+)"', missing.text)) == {"when.at", "when.day", "backup.sources"}
    assert names(dashboard) == {"monthly"}
    left = dashboard.system.ask(lambda session: set(session.scalars(select(BackupTask.name))))
    assert left == {"monthly"}


def test_an_old_form_changes_nothing_and_says_what_has_changed(dashboard: Dashboard) -> None:
    """For a change, and for a deletion; the form that comes back can be saved."""
    form = sent_by(dashboard.get("/schedules/monthly/edit"), "schedule")
    question = dashboard.form("/schedules/monthly/delete")

    def keep(session: Any, days: int) -> None:
        schedules.get(session, "monthly").template.retention_days = days

    dashboard.system.ask(lambda session: keep(session, 60))
    for path in ("/schedules/monthly/edit/preview", "/schedules/monthly/edit"):
        stale = send(dashboard, path, {**form, "backup.retention_days": "30"})
        assert stale.status_code == 409
        assert "backup.retention_days: – is now 60." in html.unescape(stale.text)
        assert shown(dashboard, "monthly")["backup.retention_days"] == 60
        assert audit(dashboard, path)[0]["outcome"] == "failed"
    deletion = dashboard.session.post(f"{dashboard.url}/schedules/monthly/delete", data=question, timeout=20)
    assert deletion.status_code == 409
    assert "backup.retention_days: – is now 60." in html.unescape(deletion.text)
    assert names(dashboard) == {"monthly"}
    again = sent_by(stale.text, "schedule")
    preview = send(dashboard, "/schedules/monthly/edit/preview", again)
    assert send(dashboard, "/schedules/monthly/edit", sent_by(preview.text, "confirm")).status_code == 303
    assert shown(dashboard, "monthly")["backup.retention_days"] == 30


def test_what_a_file_declares_is_edited_there(dashboard: Dashboard) -> None:
    """It is shown as such, and neither edited nor deleted; a copy is."""
    system = dashboard.system
    form = sent_by(dashboard.get("/schedules/monthly/edit"), "schedule")
    (system.folder / "all.toml").write_text(system.cli("schedule", "export").stdout)
    system.cli("schedule", "apply", "all.toml", "--yes")
    page = dashboard.get("/schedules")
    assert re.search(r"Declared by [^<]*:[^<]*/all\.toml, and edited there", page)
    assert "/schedules/monthly/edit" not in page
    assert "/schedules/monthly/delete" not in page
    assert "all.toml" in dashboard.get("/schedules/monthly/edit", status=409)
    assert "all.toml" in dashboard.get("/schedules/monthly/delete", status=409)
    assert send(dashboard, "/schedules/monthly/edit", {**form, "enabled": "false"}).status_code == 409
    assert shown(dashboard, "monthly")["enabled"] is True
    assert "all.toml declares it" in dashboard.get("/schedules/monthly/disable")
    copy = sent_by(dashboard.get("/schedules/new?copy=monthly"), "schedule")
    assert send(dashboard, "/schedules/new", copy).status_code == 303
    assert "/schedules/monthly-2/edit" in dashboard.get("/schedules")


def test_a_schedule_is_deleted_and_comes_back_with_its_history(dashboard: Dashboard) -> None:
    """The question names the run that is active and what stays; one that never ran leaves nothing."""
    system = dashboard.system
    form = sent_by(dashboard.get("/schedules/new?copy=monthly"), "schedule")
    assert send(dashboard, "/schedules/new", form).status_code == 303
    assert "It never ran" in dashboard.get("/schedules/monthly-2/delete")
    dashboard.press("/schedules/monthly-2/delete")
    run = system.run_schedule("monthly")
    assert f"Run {run} of it is active" in dashboard.get("/schedules/monthly/disable")
    question = dashboard.get("/schedules/monthly/delete")
    assert f"Run {run} of it is active" in question
    assert "its runs and sets stay" in question
    dashboard.press("/schedules/monthly/delete")
    assert names(dashboard) == set()
    left = system.ask(lambda session: set(session.scalars(select(ScheduledTask.name))))
    assert left == {"monthly"}
    back = send(dashboard, "/schedules/new/preview", {**form, "name": "monthly"})
    assert "comes back with its runs and sets" in back.text
    assert send(dashboard, "/schedules/new", sent_by(back.text, "confirm")).status_code == 303
    assert system.json("schedule", "show", "monthly")["counts"]["runs"] == 1
