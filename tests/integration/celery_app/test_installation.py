"""Which processes of a host belong to this installation, told by real processes with their own settings."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from celery_app import installation, settings

OURS = "redis://control:secret@127.0.0.1:6380"


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("TAPELINE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("TAPELINE_BROKER_URL", OURS)
    settings.SOURCE.forget()
    yield
    settings.SOURCE.forget()


@contextmanager
def running(folder: Path, **environment: str) -> Iterator[psutil.Process]:
    """A process that waits, in a folder and with only these settings."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TAPELINE_")}
    program = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(
        program,
        cwd=folder,
        env={**clean, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield psutil.Process(process.pid)


@pytest.mark.parametrize(
    ("theirs", "is_ours"),
    [
        ("amqp://tape:other@localhost:5672/tapeline", True),
        ("amqp://control:secret@127.0.0.1/other", False),
        ("amqps://control:secret@127.0.0.1/tapeline", False),
        (OURS, False),
    ],
)
def test_rabbitmq_has_its_own_ports_and_virtual_hosts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, theirs: str, is_ours: bool
) -> None:
    """Another virtual host is another installation."""
    monkeypatch.setenv("TAPELINE_BROKER_URL", "amqp://control:secret@127.0.0.1/tapeline")
    settings.SOURCE.forget()
    with running(tmp_path, TAPELINE_BROKER_URL=theirs) as process:
        assert installation.is_ours(process) is is_ours


@pytest.mark.parametrize(
    ("theirs", "is_ours"),
    [
        (OURS, True),
        ("redis://tape:other@localhost:6380/0", True),
        ("redis://127.0.0.1:6380/1", False),
        ("redis://127.0.0.1:6379", False),
        ("redis://backup.example:6380", False),
        ("redis+socket:///run/redis.sock?virtual_host=0", False),
    ],
)
def test_the_same_broker_is_the_same_installation(tmp_path: Path, theirs: str, is_ours: bool) -> None:
    """Whoever its user is there, and wherever its address is written."""
    with running(tmp_path, TAPELINE_BROKER_URL=theirs) as process:
        assert installation.is_ours(process) is is_ours
    (tmp_path / "tapeline.toml").write_text(f'broker_url = "{theirs}"\n')
    with running(tmp_path) as process:
        assert installation.is_ours(process) is is_ours


def test_embedded_brokers_are_told_apart_by_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An embedded one is never a server that is named; a folder that is named nowhere may be ours."""
    with running(tmp_path) as process:
        assert not installation.is_ours(process)
    monkeypatch.delenv("TAPELINE_BROKER_URL")
    settings.SOURCE.forget()
    for folder, is_ours in [("state", True), ("other", False)]:
        with running(tmp_path, TAPELINE_STATE_DIR=folder) as process:
            assert installation.is_ours(process) is is_ours
    with running(tmp_path) as process:
        assert installation.is_ours(process)


def test_a_process_whose_settings_cannot_be_read_counts_as_ours(tmp_path: Path) -> None:
    """A check names a process too many rather than one too few."""
    (tmp_path / "tapeline.toml").write_text("broker_url = ")
    with running(tmp_path) as process:
        assert installation.is_ours(process)
    assert installation.is_ours(process)
