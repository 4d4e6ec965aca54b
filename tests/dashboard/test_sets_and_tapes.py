"""A set's and a tape's page: what they show, and the buttons that verify, expire and mark."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
import requests
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from dashboard import verdicts
from db.models import now
from db.runs import transitions
from db.schedules import schedules
from db.states import RunState
from policy.message import M
from policy.tapes.facts import SetState
from tests.dashboard import seeds
from tests.dashboard.dashboard import Dashboard
from tests.dashboard.test_browser import Open, browser, shoot
from tests.dashboard.test_files import in_chromium
from tests.system import System

__all__ = ["browser"]

SET, GONE = "20261001T000000Z-0002", "20251001T000000Z-0001"
USERS = ("vic", "olga", "ann")


@pytest.fixture
def seeded(system: System) -> Dashboard:
    """A dashboard with tapes and sets, and a login of each role."""
    logins = [f"{user}:{user}-pw" for user in (*USERS, "tapeline")]
    system.environment["TAPELINE_FLOWER__BASIC_AUTH"] = json.dumps(logins)
    roles = {"vic": "viewer", "olga": "operator", "ann": "admin"}
    system.environment["TAPELINE_FLOWER__ROLES"] = json.dumps(roles)
    seeds.sow(system.database)
    found = Dashboard(system)
    found.session = as_user(found, "ann")
    return found


def as_user(dashboard: Dashboard, user: str) -> requests.Session:
    session = requests.Session()
    session.auth = (user, f"{user}-pw")
    assert session.get(dashboard.url + "/today", timeout=20).ok
    session.headers["X-XSRFToken"] = session.cookies["_xsrf"]
    return session


def audited(dashboard: Dashboard, what: str) -> list[tuple[str, str, dict[str, str]]]:
    """Who did it, how it ended, and what of the form was kept; the newest first."""
    dashboard.system.wait_for(lambda: dashboard.system.json("audit")[0]["outcome"], "the last outcome")
    found = [each for each in dashboard.system.json("audit") if each["what"] == f"POST {what}"]
    return [(each["who"], each["outcome"], each["details"]) for each in found]


def test_a_set_is_verified_from_its_page(system: System) -> None:
    """One question, then the page of the run, which reads the set back; the page of the set shows it. A
    second answer to the same question starts nothing."""
    system.insert_blank()
    system.start("control", "tape")
    done = system.wait_for_state(system.run_schedule("monthly"), "SUCCEEDED", "FAILED")
    set_id = str(done["set_id"])
    dashboard = Dashboard(system)
    page = dashboard.get(f"/sets/{set_id}")
    assert f'href="/runs/{done["id"]}"' in page
    verify = f"/sets/{set_id}/verify"
    assert f'href="{verify}"' in page
    assert "in drive tape0" in page
    form = dashboard.form(verify)
    assert re.search(r"<option selected>tape0", dashboard.get(verify))
    for sample, status in (("0", 400), ("101", 400), ("x", 400)):
        wrong = {**form, "drive": "tape0", "sample": sample}
        assert dashboard.session.post(dashboard.url + verify, data=wrong, timeout=20).status_code == status
    wrong = dashboard.session.post(dashboard.url + verify, data={**form, "drive": "tape9"}, timeout=20)
    assert (wrong.status_code, "tape9" in wrong.text) == (400, True)
    answer = dashboard.press(verify, drive="tape0", sample="100")
    run_id = int(answer.url.rpartition("/")[2])
    verified = system.wait_for_state(run_id, "SUCCEEDED", "FAILED")
    assert (verified["state"], verified["kind"], verified["set_id"]) == ("SUCCEEDED", "verify", set_id)
    again = dashboard.session.post(
        dashboard.url + verify, data={**form, "drive": "tape0", "sample": "100"}, timeout=20
    )
    assert again.status_code == 409
    assert "not as it was" in again.text
    assert [run["kind"] for run in system.json("runs")] == ["verify", "backup"]
    assert re.search(r'id="verified">\d{4}-\d\d-\d\d \(100 %\)', dashboard.get(f"/sets/{set_id}"))
    assert f'href="/sets/{set_id}"' in dashboard.get(f"/runs/{done['id']}")
    assert audited(dashboard, verify)[0] == ("tapeline", "failed", {"drive": "tape0", "sample": "100"})
    _copied(dashboard, set_id)


def _copied(dashboard: Dashboard, set_id: str) -> None:
    """A set is copied from its page: read at once, then the run waits for the other tape."""
    copy, session = f"/sets/{set_id}/copy", dashboard.session
    form = dashboard.form(copy)
    for name, wrong in (("drive", "tape9"), ("pool", "nowhere")):
        given = {**form, "drive": "tape0", name: wrong}
        answer = session.post(dashboard.url + copy, data=given, timeout=20)
        assert (answer.status_code, wrong in answer.text) == (400, True)
    pressed = dashboard.press(copy, drive="tape0")
    run_id = int(pressed.url.rpartition("/")[2])
    waiting = dashboard.system.wait_for_state(run_id, "WAITING_FOR_TAPE", "FAILED")
    assert (waiting["state"], waiting["kind"]) == ("WAITING_FOR_TAPE", "copy")
    again = session.post(dashboard.url + copy, data={**form, "drive": "tape0"}, timeout=20)
    assert again.status_code == 409
    assert ("tapeline", "done", {"drive": "tape0"}) in audited(dashboard, copy)


def test_a_set_is_expired_once_with_a_reason(seeded: Dashboard) -> None:
    """By an admin, before its retention ends; the page asks; then it offers it no more."""
    expire = f"/sets/{SET}/expire"
    assert f'href="{expire}"' in seeded.get(f"/sets/{SET}")
    old = seeded.form(expire)
    without = seeded.session.post(seeded.url + expire, data=old, timeout=20)
    assert (without.status_code, "The reason is missing" in without.text) == (409, True)
    assert seeded.system.json("sets", "show", SET)["expired_at"] is None
    seeded.press(expire, why="backed up twice")
    assert seeded.system.json("sets", "show", SET)["expired_at"]
    page = seeded.get(f"/sets/{SET}")
    assert re.search(r'id="kept">expired \d{4}', page)
    assert f'href="{expire}"' not in page
    again = seeded.session.post(seeded.url + expire, data={**old, "why": "x"}, timeout=20)
    assert again.status_code == 409
    assert "is expired already" in seeded.get(expire, status=409)
    assert audited(seeded, expire)[1] == ("ann", "done", {"why": "backed up twice"})


def test_a_destroyed_set_offers_nothing(seeded: Dashboard) -> None:
    page = seeded.get(f"/sets/{GONE}")
    assert "/verify" not in page
    assert "/expire" not in page
    for deed in ("verify", "copy", "expire"):
        assert "is destroyed" in seeded.get(f"/sets/{GONE}/{deed}", status=404)
    seeded.get("/sets/20260101T000000Z-ffff", status=404)


def test_a_tape_is_marked_from_its_page(seeded: Dashboard) -> None:
    """Only what changes something is offered; what was asked about another state does nothing; a tape that a
    run uses is left as it is."""
    page = seeded.get("/tapes/1")
    assert re.findall(r'id="mark-(\w+)"', page) == ["retired"]
    assert f"<title>{SET}: 1.0 GB" in page, "the strip has the sets of this generation"
    assert re.findall(r'id="mark-(\w+)"', seeded.get("/tapes/2")) == ["active", "retired"]
    stale = seeded.form("/tapes/1/mark/retired")
    seeded.press("/tapes/1/mark/retired", why="scratched")
    assert seeded.system.json("tape", "show", seeds.OLD)["state"] == "retired"
    assert re.findall(r'id="mark-(\w+)"', seeded.get("/tapes/1")) == ["active"]
    seeded.press("/tapes/1/mark/active", why="a mistake")
    seeded.get("/tapes/1/mark/active", status=409)
    seeded.get("/tapes/1/mark/error", status=404)
    seeded.get("/tapes/999/mark/active", status=404)
    again = seeded.session.post(seeded.url + "/tapes/2/mark/active", data={**stale, "why": "x"}, timeout=20)
    assert (again.status_code, "not as it was" in again.text) == (409, True)
    assert seeded.system.json("tape", "show", seeds.HOSTILE)["state"] == "unknown"
    assert audited(seeded, "/tapes/1/mark/retired") == [("ann", "done", {"why": "scratched"})]


def test_a_tape_in_use_is_not_marked(seeded: Dashboard) -> None:
    """By the same check as the command."""
    form = seeded.form("/tapes/1/mark/retired")

    def use(session: object) -> None:
        run = transitions.get(session, seeds.FAILED)  # type: ignore[arg-type]
        run.state, run.finished_at = RunState.RUNNING, None
        run.tape_seen = {"state": "formatted", "label": seeds.OLD, "volume_uuid": seeds.OLD}

    seeded.system.ask(use)
    answer = seeded.session.post(seeded.url + "/tapes/1/mark/retired", data={**form, "why": "x"}, timeout=20)
    assert (answer.status_code, "uses tape" in answer.text) == (409, True)
    assert "uses tape" in seeded.system.cli("tape", "mark", seeds.OLD, "retired", code=1).stderr
    assert seeded.system.json("tape", "show", seeds.OLD)["state"] == "active"


def test_each_role_sees_and_presses_its_buttons_only(seeded: Dashboard) -> None:
    seen = {
        user: set(
            re.findall(
                r'href="(/[^"]*/(?:verify|copy|expire|mark/retired))"',
                "".join(
                    as_user(seeded, user).get(seeded.url + path, timeout=20).text
                    for path in (f"/sets/{SET}", "/tapes/1")
                ),
            )
        )
        for user in USERS
    }
    verify, expire, retire = f"/sets/{SET}/verify", f"/sets/{SET}/expire", "/tapes/1/mark/retired"
    copy = f"/sets/{SET}/copy"
    assert seen == {"vic": set(), "olga": {verify, copy}, "ann": {verify, copy, expire, retire}}
    for user, path, needed in (
        ("vic", verify, "operator"),
        ("vic", copy, "operator"),
        ("olga", expire, "admin"),
        ("olga", retire, "admin"),
    ):
        answer = as_user(seeded, user).post(seeded.url + path, data={"why": "x"}, timeout=20)
        assert answer.status_code == 403
        assert f"this needs the role {needed}" in answer.text
    assert audited(seeded, retire)[0][:2] == ("olga", "refused")


def test_reasons_that_schedules_share_are_listed_once() -> None:
    kept, month, pool = M("kept"), M("month"), M("pool")
    answers = [
        {"schedule": "a", "verdict": "refuse", "reasons": [month, kept], "sets_lost": []},
        {"schedule": "b", "verdict": "refuse", "reasons": [pool, kept], "sets_lost": []},
        {"schedule": "c", "verdict": "refuse", "reasons": [month, kept], "sets_lost": []},
        {"schedule": "d", "verdict": "format", "reasons": [kept], "sets_lost": ["s"]},
    ]
    assert verdicts.folded(answers) == [
        {
            "verdict": "refuse",
            "reasons": [kept],
            "groups": [
                {"schedules": ["a", "c"], "reasons": [month]},
                {"schedules": ["b"], "reasons": [pool]},
            ],
            "sets_lost": [],
        },
        {
            "verdict": "format",
            "reasons": [kept],
            "groups": [{"schedules": ["d"], "reasons": []}],
            "sets_lost": ["s"],
        },
    ]


@in_chromium
def test_a_tape_with_many_sets_is_a_short_page_on_a_phone(system: System, browser: Open) -> None:
    """Seven schedules and twelve sets took 14,000 pixels; what is folded is all there when it is opened."""
    with system.database.transaction() as session:
        for number in range(6):
            policy = "rotate" if number % 2 else "current_month"
            schedules.put(session, f"nr-{number}", drive="tape0", sources=["/srv"], tape_policy=policy)
        row, tape = schedules.get(session, "monthly"), seeds._tape(session, seeds.OLD)
        for day in range(1, 13):
            seeds._set(
                session, row, tape, f"202511{day:02d}T000000Z-0000", 1, SetState.COMPLETE, bytes=10**9,
                retention_until=now() + timedelta(days=100),
            )  # fmt: skip
    dashboard = Dashboard(system)
    chrome = browser(dashboard, phone=True)
    chrome.get(f"{dashboard.url}/tapes/1")
    shoot(chrome, "phone-tape")
    assert chrome.execute_script("return document.documentElement.scrollHeight") < 3000
    chrome.find_element(By.CSS_SELECTOR, "#common-refuse summary").send_keys(Keys.ENTER)
    answers = chrome.find_element(By.ID, "answers").text
    assert answers.count("Set 20251101T000000Z-0000 on it is kept until") == 1
    chrome.find_element(By.CSS_SELECTOR, "#earlier-sets summary").send_keys(Keys.ENTER)
    assert len(chrome.find_elements(By.CSS_SELECTOR, "#sets tr[data-set]")) == 12
    wide = chrome.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0
