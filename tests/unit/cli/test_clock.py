"""Times that commands print and take are on the clock of the setting ``time_zone``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest

from celery_app import settings
from cli import moment
from cli.render import output
from policy.errors import UsageError


@pytest.fixture(autouse=True)
def in_shanghai(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TAPELINE_TIME_ZONE", "Asia/Shanghai")
    settings.SOURCE.forget()
    yield
    settings.SOURCE.forget()


def test_a_stored_time_is_shown_on_the_clock_of_the_setting() -> None:
    """Whatever the clock of the host, and with the year where it is another one, there."""
    assert output.local("2020-12-31T17:30:00+00:00") == "2021-01-01 01:30:00"
    this_year = datetime.now(settings.load().zone).year
    assert output.local(f"{this_year}-06-01T17:30:00+00:00") == "06-02 01:30:00"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-20 18:00", "2026-11-20T18:00:00+08:00"),
        ("2026-11-20T18:00:00+01:00", "2026-11-20T18:00:00+01:00"),
        ("2026-11-20", "2026-11-20T23:59:59.999999+08:00"),
    ],
)
def test_a_time_is_read_on_the_same_clock(text: str, at: str) -> None:
    """Unless it names another one; a date alone is the end of that day."""
    assert moment.parse("--at", text) == datetime.fromisoformat(at)


def test_what_is_no_time_is_named() -> None:
    with pytest.raises(UsageError, match="--at: 'yesterday' is not a time"):
        moment.parse("--at", "yesterday")
