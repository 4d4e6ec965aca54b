"""The dashboard for Grafana asks only for what ``/metrics`` has, in queries that Prometheus understands."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.dashboard.dashboard import Dashboard

DOCS = Path(__file__).parent.parent.parent / "docs"
PROMETHEUS = shutil.which("prometheus")


def targets() -> list[tuple[str, str]]:
    """Each query, and how its lines are named."""
    panels = json.loads((DOCS / "grafana.json").read_text(encoding="utf-8"))["panels"]
    return [(each["expr"], each["legendFormat"]) for panel in panels for each in panel["targets"]]


def labels(text: str) -> dict[str, set[str]]:
    """The labels of each figure."""
    found: dict[str, set[str]] = {}
    for name, given in re.findall(r"^(tapeline_\w+)(?:\{(.*)\})? ", text, re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', given))
    return found


def test_the_queries_are_of_figures_and_labels_that_there_are(shared: Dashboard) -> None:
    text = shared.get("/metrics")
    documented = (DOCS / "operations.md").read_text(encoding="utf-8")
    given = labels(text)
    # What this installation has none of has no line, and so no label here.
    kinds = set(re.findall(r"^# TYPE (tapeline_\w+)", text, re.MULTILINE))
    assert targets()
    for expression, legend in targets():
        names = re.findall(r"tapeline_\w+", expression)
        assert names
        assert set(names) <= kinds, expression
        for name in names:
            asked = set(re.findall(r"(\w+)\s*=", expression.partition(name)[2].partition("}")[0]))
            asked |= set(re.findall(r"\{\{(\w+)\}\}", legend))
            assert asked <= given.get(name, asked), expression
            assert f"`{name}`" in documented


@contextmanager
def prometheus(dashboard: Dashboard, folder: Path) -> Iterator[str]:
    """A Prometheus that reads the dashboard's figures, on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    scrape = {"job_name": "tapeline", "static_configs": [{"targets": [f"127.0.0.1:{dashboard.port}"]}]}
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump({"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]}))
    command = [str(PROMETHEUS), f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log
        )
        try:
            yield f"http://127.0.0.1:{port}/api/v1/query"
        finally:
            process.terminate()
            process.wait(20)


def query(url: str, expression: str) -> dict[str, Any]:
    answer = requests.get(url, params={"query": expression}, timeout=10).json()
    return dict(answer)


@pytest.mark.skipif(PROMETHEUS is None, reason="Prometheus is not installed")
def test_prometheus_answers_each_query(shared: Dashboard, tmp_path: Path) -> None:
    """A real one, that reads the figures by itself; and it finds a wrong query wrong."""
    with prometheus(shared, tmp_path) as url:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if query(url, "tapeline_up")["data"]["result"]:
                    break
            except requests.ConnectionError:
                pass
            time.sleep(0.2)
        for expression, _ in targets():
            assert query(url, expression)["status"] == "success", expression
        answered = [expression for expression, _ in targets() if query(url, expression)["data"]["result"]]
        assert len(answered) >= len(targets()) - 6, answered
        assert query(url, "sum(tapeline_up")["status"] == "error"
