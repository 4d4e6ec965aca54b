"""The pages, asked for as a browser does."""

from __future__ import annotations

import html
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from flower import urls
from sqlalchemy import select, update
from tornado.web import URLSpec

from dashboard.routes import ROUTES
from db import doubts
from db.admin import holds
from db.models import BackupArchive, BackupSet
from db.runs import transitions
from policy.guard import Doubt, GuardRule
from policy.message import M
from policy.tapes.facts import SetState
from tests.dashboard import seeds
from tests.dashboard.dashboard import Dashboard
from tests.system import System

OPEN = {"/healthcheck", "/metrics", "/logout"}
"""What answers without a login: nothing of it tells or changes anything, but the figures, on loopback."""

OURS = (
    "/today", "/runs", "/runs/1", "/files", "/files/search?name=img", "/tapes", "/tapes/1", "/schedules",
    "/drives", "/audit", "/library"
)  # fmt: skip
THEIRS = ("/workers", "/tasks", "/broker")
DOCS = Path(__file__).parent.parent.parent / "docs"


def test_no_page_or_api_answers_without_a_login(shared: Dashboard) -> None:
    """Every address of ours and of Flower's asks for the login first, whatever the method."""
    patterns = [pattern for pattern, _ in ROUTES]
    patterns += [each.regex.pattern if isinstance(each, URLSpec) else each[0] for each in urls.handlers]
    for path in sorted({_address(pattern) for pattern in patterns} - OPEN):
        if "static" in path or path in {".*", "/login"}:
            continue
        for method in ("GET", "POST"):
            status = requests.request(method, shared.url + path, timeout=10).status_code
            # A method that an address does not know is refused either way.
            assert status in {401, 403, 405}, f"{method} {path}: {status}"


@pytest.mark.parametrize(
    ("language", "said"), [("en", "There is no such page."), ("zh-CN", "没有这个页面。")]
)
def test_an_address_that_nobody_knows_is_answered_in_words(
    shared: Dashboard, language: str, said: str
) -> None:
    """Flower's own answer is English, and has no heading for a screen reader."""
    page = shared.get("/nothing", status=404, headers={"Accept-Language": language})
    assert said in page
    assert "<h1" in page
    assert "github" not in page


def _address(pattern: str) -> str:
    one = pattern.replace("(enable|disable)", "enable").rstrip("$").removesuffix("/?")
    return re.sub(r"\([^)]*\)", "1", one)


def test_a_failed_run_is_retried_from_its_page_and_succeeds(dashboard: Dashboard) -> None:
    """The page asks once, names the steps, and the story names who pressed the button and why."""
    system = dashboard.system
    system.start("control", "tape")
    system.start_beat()
    run_id = system.run_schedule("monthly")
    system.wait_for_state(run_id, "FAILED")
    page = dashboard.get(f"/runs/{run_id}")
    assert 'data-state="FAILED"' in page
    assert "precheck" in page
    assert f'href="/runs/{run_id}/retry"' in dashboard.get("/")
    form = dashboard.form(f"/runs/{run_id}/dismiss")
    without = dashboard.session.post(f"{dashboard.url}/runs/{run_id}/dismiss", data=form, timeout=20)
    assert without.status_code == 409, "without a reason"
    dashboard.press(f"/runs/{run_id}/dismiss", why="no tape <today>")
    assert "Dismissed by tapeline: no tape &lt;today&gt;" in dashboard.get(f"/runs/{run_id}")
    assert f'href="/runs/{run_id}/dismiss"' not in dashboard.get("/")
    system.insert_blank()
    old = dashboard.form(f"/runs/{run_id}/retry")
    dashboard.press(f"/runs/{run_id}/retry", **{"from": "precheck", "why": "tape <is> in"})
    system.wait_for_state(run_id, "SUCCEEDED")
    page = dashboard.get(f"/runs/{run_id}")
    assert "by tapeline: tape &lt;is&gt; in" in page
    assert "formatted as TP" in page
    assert "Format permits" in page
    assert f"/task/run{run_id}-2-1-precheck" in page
    assert f'href="/runs/{run_id}"' in dashboard.get(f"/task/run{run_id}-2-1-precheck")
    again = dashboard.session.post(f"{dashboard.url}/runs/{run_id}/retry", data=old, timeout=20)
    assert again.status_code == 409
    assert "only a FAILED or CANCELLED run can be retried" in again.text
    assert 'data-urgent="0"' in dashboard.get("/today")
    for path in ("/tapes", "/drives", "/schedules", "/runs?state=SUCCEEDED&schedule=monthly&drive=tape0"):
        assert "monthly" in dashboard.get(path)
    dashboard.system.ask(_destroy)
    assert "destroyed 2026-01-02" in dashboard.get("/tapes/1")
    figures = dashboard.get("/metrics")
    assert 'tapeline_runs{state="SUCCEEDED"} 1.0' in figures
    assert 'tapeline_drive_up{drive="tape0"} 1.0' in figures
    assert 'tapeline_last_run_failed{schedule="monthly"} 0.0' in figures
    assert "flower_events_total" in figures


def _destroy(session: Any) -> None:
    """As if the tape had been formatted since."""
    stored = session.scalars(select(BackupSet)).one()
    stored.state, stored.destroyed_at = SetState.DESTROYED, datetime(2026, 1, 2, tzinfo=UTC)


def test_a_run_is_started_and_cancelled_from_its_page(dashboard: Dashboard) -> None:
    """Without a worker it waits in the queue, where it can be cancelled at once, and only once; and
    taken up again."""
    started = dashboard.press("/schedules/monthly/run")
    run_id = int(started.url.rsplit("/", 1)[1])
    assert dashboard.system.json("runs", "show", str(run_id))["requested_by"] == "tapeline"
    assert "Queued for drive tape0 by tapeline." in started.text
    dashboard.press(f"/runs/{run_id}/cancel")
    assert dashboard.system.json("runs", "show", str(run_id))["state"] == "CANCELLED"
    assert "Cancelled by tapeline" in dashboard.get(f"/runs/{run_id}")
    assert "has ended already" in dashboard.get(f"/runs/{run_id}/cancel", status=409)
    dashboard.press(f"/runs/{run_id}/retry")
    assert dashboard.system.json("runs", "show", str(run_id))["state"] == "RUNNING"
    assert "only a FAILED or CANCELLED run" in dashboard.get(f"/runs/{run_id}/retry", status=409)
    dashboard.get("/runs/999999", status=404)
    again = dashboard.press("/schedules/monthly/disable")
    assert "/schedules/monthly/enable" in again.text
    dashboard.press("/schedules/monthly/enable")
    assert dashboard.system.json("schedule", "show", "monthly")["enabled"]


def test_what_a_restored_database_holds_is_released_from_its_page(dashboard: Dashboard) -> None:
    """Today names it with a button, which asks once; the story has who released it."""
    run_id = dashboard.system.run_schedule("monthly")
    dashboard.system.ask(holds.hold_everything)
    page = dashboard.get("/today")
    for path, words in (
        (f"/runs/{run_id}/release", "First import every tape"),
        ("/schedules/monthly/release", "Import every tape first"),
    ):
        assert f'href="{path}"' in page
        assert words in dashboard.get(path)
    assert dashboard.system.json("status")["held"] == {"runs": [run_id], "schedules": ["monthly"]}
    assert "Released by tapeline." in dashboard.press(f"/runs/{run_id}/release").text
    dashboard.press("/schedules/monthly/release")
    assert dashboard.system.json("status")["held"] == {"runs": [], "schedules": []}
    assert "/release" not in dashboard.get("/today")
    assert "is not held" in dashboard.get(f"/runs/{run_id}/release", status=409)
    assert "is not held" in dashboard.get("/schedules/monthly/release", status=409)


def test_a_held_run_is_accepted_from_its_page(dashboard: Dashboard) -> None:
    """The figures and names are there, escaped; it asks once, with a reason; an old question is refused."""
    system = dashboard.system
    run_id = int(dashboard.press("/schedules/monthly/run").url.rsplit("/", 1)[1])
    doubt = Doubt(GuardRule.DELETED, "/data", M("Of {count} files.", count="<b>"), 50.0, ("/data/<a>",))
    system.ask(lambda s: doubts.hold(s, transitions.get(s, run_id, lock=True), [doubt], timedelta(days=1)))
    page = dashboard.get(f"/runs/{run_id}")
    assert "Of &lt;b&gt; files. First: /data/&lt;a&gt;" in page
    assert 'data-state="HELD"' in page
    assert f'href="/runs/{run_id}/accept"' in dashboard.get("/today")
    form = dashboard.form(f"/runs/{run_id}/accept")
    path = f"{dashboard.url}/runs/{run_id}/accept"
    assert dashboard.session.post(path, data=form, timeout=20).status_code == 409, "without a reason"
    old = dashboard.session.post(path, data={**form, "seen": "0-0", "why": "x"}, timeout=20)
    assert old.status_code == 409
    dashboard.press(f"/runs/{run_id}/accept", why="tidied <up>")
    assert "accepted by tapeline: tidied &lt;up&gt;" in dashboard.get(f"/runs/{run_id}")
    again = dashboard.session.post(path, data={**form, "why": "x"}, timeout=20)
    assert (again.status_code, "only a HELD run" in again.text) == (409, True)


def test_formats_are_frozen_and_that_is_lifted(dashboard: Dashboard) -> None:
    """By two buttons, each with a reason; Today names what is frozen."""
    assert 'href="/freeze"' in dashboard.get("/tapes")
    dashboard.press("/freeze", status=409)
    assert "freeze-1" in dashboard.press("/freeze", why="an <audit>").text
    assert "an &lt;audit&gt;" in dashboard.get("/today")
    assert dashboard.system.json("status")["frozen"][0]["by"] == "tapeline"
    dashboard.press("/freezes/freeze-1/lift", why="over")
    assert "freeze-1" not in dashboard.get("/today")
    assert "lifted already" in dashboard.get("/freezes/freeze-1/lift", status=409)


def test_two_clicks_at_once_are_one_run_and_an_old_question_starts_none(dashboard: Dashboard) -> None:
    """Whoever presses twice gets the same run both times; a page of yesterday starts nothing today."""
    form = dashboard.form("/schedules/monthly/run")

    def click(_: int) -> requests.Response:
        return dashboard.session.post(f"{dashboard.url}/schedules/monthly/run", data=form, timeout=20)

    with ThreadPoolExecutor(4) as hands:
        answers = list(hands.map(click, range(4)))
    assert {answer.status_code for answer in answers} == {200}, [answer.text for answer in answers]
    assert len({answer.url for answer in answers}) == 1
    assert len(dashboard.system.json("runs")) == 1
    for seen in ("2026-01-01T00:00:00+00:00", "2999-01-01T00:00:00+00:00", "", "now"):
        answer = dashboard.session.post(
            f"{dashboard.url}/schedules/monthly/run", data={**form, "seen": seen}, timeout=20
        )
        assert (answer.status_code, "too old" in answer.text) == (409, True), seen
    assert len(dashboard.system.json("runs")) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://elsewhere.example"},
        {"Origin": "null"},
    ],
)
def test_a_button_pressed_from_another_site_does_nothing(shared: Dashboard, headers: dict[str, str]) -> None:
    """Even with the login and the token of the form."""
    for path in (f"/runs/{seeds.FAILED}/retry", "/schedules/monthly/run", "/schedules/monthly/disable"):
        shared.press(path, headers=headers, status=403)
    theirs = shared.session.post(f"{shared.url}/api/worker/shutdown/none", headers=headers, timeout=10)
    assert theirs.status_code == 403
    _check_untouched(shared)


def test_a_button_is_a_form_with_its_token(shared: Dashboard) -> None:
    """The login alone, which a browser sends by itself, is not enough; and to look is not to press."""
    for path in (f"/runs/{seeds.FAILED}/retry", "/schedules/monthly/run", "/schedules/monthly/disable"):
        shared.get(path)
        assert shared.session.post(f"{shared.url}{path}", timeout=10).status_code == 403
    _check_untouched(shared)


def _check_untouched(shared: Dashboard) -> None:
    assert [run["state"] for run in shared.system.json("runs")] == ["FAILED"]
    assert shared.system.json("schedule", "show", "monthly")["enabled"]


def test_every_answer_has_its_headers(shared: Dashboard) -> None:
    """Ours and Flower's: no framing, nothing from elsewhere, and on our pages no script within the page."""
    for path in (*OURS, *THEIRS, "/runs/999999"):
        headers = shared.session.get(shared.url + path, timeout=10).headers
        policy = headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy
        assert ("script-src 'self';" in policy) == (path not in THEIRS)
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"


def test_names_are_never_markup(shared: Dashboard) -> None:
    """Whatever a schedule, a tape, a path, a host or a reason is called, in text and in attributes."""
    hostile = shared.session.get(shared.url + "/schedules", timeout=10).text
    [schedule] = set(re.findall(r'href="/schedules/([^"/]+)/run"', hostile)) - {"monthly"}
    for path in (
        *OURS,
        "/runs?before=2",
        "/tapes?name=%3Cimg",
        f"/schedules/{schedule}/run",
        "/runs?state=<b>",
    ):
        page = shared.session.get(shared.url + path, timeout=10).text
        assert "<img src=x" not in page, path
        assert "alert(1)&gt;&quot;" in page or path == "/runs?state=<b>", path
        assert '"49"' not in page
        # Attributes end where they should: no name has broken out of its quotes.
        assert "onerror=" not in re.sub(r'"[^"]*"|>[^<]*<', "", page), path


def test_the_name_and_the_icon_are_ours(shared: Dashboard) -> None:
    """On Flower's pages too, in the title, the tab and the bar."""
    for path in ("/today", "/workers", "/broker"):
        page = shared.get(path)
        assert re.search(r"<title>.*(Tapeline|Workers|Broker).*</title>", page, re.DOTALL), path
        assert "<span>Tapeline</span>" in page
        assert page.count('"/tapeline/static/icon.svg"') == 2
        assert ">Flower<" not in page
    assert shared.session.get(f"{shared.url}/tapeline/static/icon.svg", timeout=10).headers[
        "Content-Type"
    ] == ("image/svg+xml")


def test_nothing_is_loaded_from_elsewhere(shared: Dashboard) -> None:
    """Scripts, style sheets, fonts, pictures: all from this server, on Flower's pages too."""
    loaded = set()
    for path in (*OURS, *THEIRS):
        page = shared.get(path)
        loaded |= set(re.findall(r'<(?:script|img|link|iframe|use)\b[^>]*?(?:src|href)="([^"]+)"', page))
    assert loaded
    for address in loaded:
        assert re.match(r"/(?!/)|#", address), address
        if ".css" in address:
            found = re.findall(r"url\(['\"]?([^)'\"]+)|@import", shared.get(address))
            assert all(each.startswith(("data:", "/", "#", "..")) for each in found), address


def test_the_first_page_says_what_needs_somebody(shared: Dashboard) -> None:
    """The failure with its way to retry, the tape in doubt, the damaged set."""
    page = shared.get("/")
    assert shared.session.get(shared.url + "/", timeout=10).url.endswith("/today")
    assert f'href="/runs/{seeds.FAILED}/retry"' in page
    assert "is in doubt: a format was cut off, or its barcode is wrong." in page
    assert "its verification found 2 damaged" in page
    assert int(re.findall(r'data-urgent="(\d+)"', page)[0]) >= 3


def test_tapes_are_listed_filtered_and_asked_about(shared: Dashboard) -> None:
    """A page has 25; what a run would do with a tape is said with the permit's own reasons."""
    first, second = shared.get("/tapes"), shared.get("/tapes?page=2")
    assert [page.count("data-tape=") for page in (first, second)] == [25, 25]
    assert "page 1 of 3" in first
    assert shared.get("/tapes?state=unknown").count("data-tape=") == 1
    assert shared.get("/tapes?pool=vault").count("data-tape=") == 1
    assert "No tape is like that" in shared.get("/tapes?name=nothing")
    found = html.unescape(shared.get(f"/tapes?name={seeds.OLD}&for=monthly"))
    assert "would not use it" in found
    assert "It takes a blank tape, or one labelled TP" in found
    assert "Set 20261001T000000Z-0002 on it is kept until" in found
    assert "The write-protect switch of the tape is set (TP20251001)." in found


def test_a_tape_has_its_story(shared: Dashboard) -> None:
    """Its condition, and the sets of every generation; those of earlier ones are gone."""
    tape = re.findall(r'href="/tapes/(\d+)"', shared.get(f"/tapes?name={seeds.OLD}"))[0]
    page = shared.get(f"/tapes/{tape}")
    assert re.findall(r'data-set="(\S+)" data-state="(\w+)"', page) == [
        ("20261001T000000Z-0002", "complete"),
        ("20251001T000000Z-0001", "destroyed"),
    ]
    assert "2 damaged" in page
    assert "How full it was after each month" in page
    assert "write-protect" in shared.get("/drives")
    shared.get("/tapes/999999", status=404)


def test_what_was_written_is_of_the_month_that_the_tapes_are_of(system: System) -> None:
    """On the first of a month at two in Shanghai it is still the month before by UTC."""
    system.environment["TAPELINE_TIME_ZONE"] = "Asia/Shanghai"
    seeds.sow(system.database)
    sealed = datetime(2026, 11, 30, 18, tzinfo=UTC)
    system.ask(lambda session: session.execute(update(BackupArchive).values(sealed_at=sealed)))
    dashboard = Dashboard(system)
    assert "2026-12: 2.0 GB" in dashboard.get("/tapes")
    assert "2026-12: 1.0 GB" in dashboard.get("/tapes/1")


def test_a_long_story_is_shown_from_its_end(shared: Dashboard) -> None:
    """The newest lines at first, all of them when asked for."""
    page = shared.get(f"/runs/{seeds.FAILED}")
    assert "Earlier lines: 1" in page
    assert "Queued for drive" not in page
    assert "Queued for drive" in shared.get(f"/runs/{seeds.FAILED}?story=whole")


def test_the_pages_speak_the_language_of_the_browser(shared: Dashboard) -> None:
    """Chinese to a Chinese browser, where the setting names no language; Flower's pages have our entries."""
    chinese = {"Accept-Language": "zh-CN,zh;q=0.9"}
    assert "所有状态" in shared.get("/runs", headers=chinese)
    assert "Every state" in shared.get("/runs", headers={"Accept-Language": "de"})
    theirs = shared.get("/workers", headers=chinese)
    assert 'href="/runs"' in theirs
    assert ">今日</a>" in theirs
    assert ">任务</a>" in theirs


def test_bad_input_is_one_line_on_a_page(shared: Dashboard) -> None:
    """A filter that does not exist is named, with those that do."""
    assert "WAITING_FOR_TAPE" in shared.get("/runs?state=NONSENSE", status=400)
    for path in ("/runs?before=x", "/runs?before=-1", "/tapes?page=0", "/tapes?page=9999999999999999999"):
        assert "is not a number" in shared.get(path, status=400), path
    shared.get("/runs/99999999999999999999", status=404)
    shared.get("/schedules/nothing/run", status=404)
