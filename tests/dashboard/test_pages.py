"""The pages, asked for as a browser does."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from flower import urls
from sqlalchemy import select
from tornado.web import URLSpec

from dashboard.routes import ROUTES
from db.models import BackupSet
from policy.tapes import SetState
from tests.dashboard.conftest import insert_blank
from tests.dashboard.site import Site
from tests.system import System

OPEN = {"/healthcheck", "/metrics", "/logout"}
"""What answers without a login: nothing of it tells or changes anything, but the figures, on loopback."""


def test_no_page_or_api_answers_without_a_login(site: Site) -> None:
    """Every address of ours and of Flower's asks for the login first, whatever the method."""
    patterns = [pattern for pattern, _ in ROUTES]
    patterns += [each.regex.pattern if isinstance(each, URLSpec) else each[0] for each in urls.handlers]
    asked = {
        re.sub(
            r"\([^)]*\)", "1", pattern.replace("(enable|disable)", "enable").rstrip("$").removesuffix("/?")
        )
        for pattern in patterns
    }
    for path in sorted(asked - OPEN):
        if "static" in path or path in {".*", "/login"}:
            continue
        for method in ("GET", "POST"):
            status = requests.request(method, site.url + path, timeout=10).status_code
            # A method that an address does not know is refused either way.
            assert status in {401, 403, 405}, f"{method} {path}: {status}"


def _address(pattern: str) -> str:
    one = pattern.replace("(enable|disable)", "enable").rstrip("$").removesuffix("/?")
    return re.sub(r"\([^)]*\)", "1", one)


def test_a_failed_run_is_retried_from_its_page_and_succeeds(site: Site) -> None:
    """The page asks once, names the steps, and the story names who pressed the button and why."""
    system = site.system
    system.start("control", "tape")
    run_id = system.run_schedule("monthly")
    system.wait_for_state(run_id, "FAILED")
    page = site.get(f"/runs/{run_id}")
    assert 'data-state="FAILED"' in page
    assert "precheck" in page
    insert_blank(system)
    site.press(f"/runs/{run_id}/retry", **{"from": "precheck", "why": "tape <is> in"})
    system.wait_for_state(run_id, "SUCCEEDED")
    page = site.get(f"/runs/{run_id}")
    assert "by tapeline: tape &lt;is&gt; in" in page
    assert "formatted as TP" in page
    assert "Format permits" in page
    assert f"/task/run{run_id}-2-1-precheck" in page
    assert f'href="/runs/{run_id}"' in site.get(f"/task/run{run_id}-2-1-precheck")
    for path in ("/tapes", "/drives", "/schedules", "/runs?state=SUCCEEDED&schedule=monthly&drive=tape0"):
        assert "monthly" in site.get(path) or path == "/drives"
    site.system.ask(_destroy)
    assert "destroyed: the tape was formatted on 2026-01-02" in site.get("/tapes")
    figures = site.get("/metrics")
    assert 'tapeline_runs{state="SUCCEEDED"} 1.0' in figures
    assert 'tapeline_drive_up{drive="tape0"} 1.0' in figures
    assert "flower_events_total" in figures


def _destroy(session: Any) -> None:
    """As if the tape had been formatted since."""
    stored = session.scalars(select(BackupSet)).one()
    stored.state, stored.destroyed_at = SetState.DESTROYED, datetime(2026, 1, 2, tzinfo=UTC)


def test_a_run_is_started_and_cancelled_from_its_page(site: Site) -> None:
    """Without a worker it waits in the queue, where it can be cancelled at once."""
    started = site.press("/schedules/monthly/run")
    run_id = int(started.url.rsplit("/", 1)[1])
    assert site.system.json("runs", "show", str(run_id))["requested_by"] == "tapeline"
    site.press(f"/runs/{run_id}/cancel")
    assert site.system.json("runs", "show", str(run_id))["state"] == "CANCELLED"
    assert "Cancelled by tapeline" in site.get(f"/runs/{run_id}")
    site.get("/runs/999999", status=404)
    again = site.press("/schedules/monthly/disable")
    assert "/schedules/monthly/enable" in again.text
    site.press("/schedules/monthly/enable")
    assert site.system.json("schedule", "show", "monthly")["enabled"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://elsewhere.example"},
    ],
)
def test_a_button_pressed_from_another_site_does_nothing(site: Site, headers: dict[str, str]) -> None:
    """Even with the login and the token of the form."""
    site.press("/schedules/monthly/run", headers=headers, status=403)
    assert site.system.json("runs") == []


def test_a_button_pressed_without_the_forms_token_does_nothing(site: Site) -> None:
    """The login alone, which a browser sends by itself, is not enough."""
    answer = site.session.post(f"{site.url}/schedules/monthly/run", timeout=10)
    assert answer.status_code == 403
    assert site.system.json("runs") == []


def test_every_answer_has_its_headers(site: Site) -> None:
    """Ours and Flower's: no framing, nothing from elsewhere, and on our pages no script within the page."""
    for path in ("/runs", "/tapes", "/workers", "/runs/999999"):
        headers = site.session.get(site.url + path, timeout=10).headers
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"
    assert (
        "script-src 'self';"
        in site.session.get(f"{site.url}/runs", timeout=10).headers["Content-Security-Policy"]
    )


def test_the_pages_speak_the_language_of_the_browser(site: Site) -> None:
    """Chinese to a Chinese browser, where the setting names no language; Flower's pages have our entries."""
    assert "所有状态" in site.get("/runs", headers={"Accept-Language": "zh-CN,zh;q=0.9"})
    assert "Every state" in site.get("/runs", headers={"Accept-Language": "de"})
    assert 'href="/runs"' in site.get("/workers")


def test_bad_input_is_one_line_on_a_page(site: Site) -> None:
    """A filter that does not exist is named, with those that do."""
    assert "WAITING_FOR_TAPE" in site.get("/runs?state=NONSENSE", status=400)
    assert "is not a number" in site.get("/runs?before=x", status=400)


def test_metrics_answer_another_host_only_with_the_token(system: System) -> None:
    """Behind a proxy on this host everybody comes from loopback: then the login or the token counts."""
    system.environment["TAPELINE_FLOWER__METRICS_TOKEN"] = "figures"
    site = Site(system)
    behind = {"X-Forwarded-For": "192.0.2.7"}
    metrics = f"{site.url}/metrics"
    assert requests.get(metrics, timeout=10).ok
    assert requests.get(metrics, headers=behind, timeout=10).status_code == 401
    token = {**behind, "Authorization": "Bearer figures"}
    assert "tapeline_up 1.0" in requests.get(metrics, headers=token, timeout=10).text
    wrong = {**behind, "Authorization": "Bearer wrong"}
    assert requests.get(metrics, headers=wrong, timeout=10).status_code == 401
    assert "figures" not in site.get("/runs")
