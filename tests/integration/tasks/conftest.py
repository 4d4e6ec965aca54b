"""What the tests of ``recover`` see of it: the messages that it sends."""

from __future__ import annotations

from typing import Any

import pytest

from celery_app import settings, wiring
from db.engine import Database
from db.models import ChainRun
from db.states import Step
from tasks import chain


@pytest.fixture
def sent(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is sent: a step for each chain, a name for each other message, a drive for each that is let go."""
    configured = settings.Settings(time_zone="UTC", heartbeat_seconds=0.01, dead_after_seconds=0.02)
    found: list[Any] = []

    def send(_: ChainRun, step: Step) -> bool:
        found.append(step)
        return True

    monkeypatch.setattr(settings, "load", lambda: configured)
    monkeypatch.setattr(wiring, "database", lambda: database)
    monkeypatch.setattr(chain, "send", send)
    monkeypatch.setattr(chain, "ask", lambda name, **about: found.append((name, about["run_id"])))
    monkeypatch.setattr(chain, "release", found.append)
    return found
