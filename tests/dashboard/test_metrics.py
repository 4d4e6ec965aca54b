"""Figures for a monitoring system, and whom the dashboard answers without a login."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import requests
import yaml

from tests.dashboard.dashboard import Dashboard
from tests.system import System

DOCS = Path(__file__).parent.parent.parent / "docs"


def test_the_alert_rules_are_of_figures_that_there_are(shared: Dashboard) -> None:
    """Each rule has its severity and its words; promtool, where it is installed, finds it as it should be."""
    [group] = yaml.safe_load((DOCS / "alerts.yaml").read_text())["groups"]
    given = set(re.findall(r"^(tapeline_\w+)", shared.get("/metrics"), re.MULTILINE))
    assert group["rules"]
    for rule in group["rules"]:
        assert set(re.findall(r"tapeline_\w+", rule["expr"])) <= given, rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert rule["annotations"]["summary"]
    promtool = shutil.which("promtool")
    if promtool:
        rules = Path(__file__).parent / "alerts_test.yaml"
        done = subprocess.run([promtool, "test", "rules", rules], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_metrics_answer_another_host_only_with_the_token(system: System) -> None:
    """Behind a proxy on this host everybody comes from loopback: then the login or the token counts."""
    system.environment["TAPELINE_FLOWER__METRICS_TOKEN"] = "figures"
    dashboard = Dashboard(system)
    metrics = f"{dashboard.url}/metrics"
    assert requests.get(metrics, timeout=10).ok
    token = {"Authorization": "Bearer figures"}
    for elsewhere in ({"X-Forwarded-For": "192.0.2.7"}, {"Host": "backup.example"}):
        assert requests.get(metrics, headers=elsewhere, timeout=10).status_code == 401
        assert "tapeline_up 1.0" in requests.get(metrics, headers={**elsewhere, **token}, timeout=10).text
        wrong = {**elsewhere, "Authorization": "Bearer wrong"}
        assert requests.get(metrics, headers=wrong, timeout=10).status_code == 401
    assert "figures" not in dashboard.get("/runs")


def test_without_a_login_only_this_host_is_answered_and_no_api(system: System) -> None:
    """A name of another site that leads here opens nothing; the API stays shut whatever is set."""
    system.environment |= {"TAPELINE_FLOWER__WITHOUT_LOGIN": "true", "FLOWER_UNAUTHENTICATED_API": "true"}
    dashboard = Dashboard(system)
    dashboard.session.auth = None
    assert "monthly" in dashboard.get("/schedules")
    for path in ("/today", "/schedules/monthly/run", "/metrics"):
        answer = dashboard.session.get(dashboard.url + path, headers={"Host": "rebound.example"}, timeout=10)
        assert answer.status_code in {401, 403}, path
    started = dashboard.press("/schedules/monthly/run")
    assert "/runs/1" in started.url
    for path in ("/api/workers", "/api/tasks", "/api/task/async-apply/tapeline.retry"):
        assert dashboard.session.get(dashboard.url + path, timeout=10).status_code in {401, 405}
        assert dashboard.session.post(dashboard.url + path, timeout=10).status_code in {401, 405}
