"""Pings to a monitoring service, as healthchecks.io and Uptime Kuma take them."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from notify import sending
from notify.channel import ChannelRefused, ChannelUnavailable, RateLimited
from notify.channels.ping import SIGNALS, Ping, events_of
from notify.events import Event
from notify.notice import Composer, Notice
from notify.samples import SAMPLES
from notify.words import Words
from tests.faults.monitor import CHECK, TOKEN, Monitor
from tests.faults.trickle import Trickle

COMPOSER = Composer(Words("en"))


@pytest.fixture
def monitor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Monitor]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    found = Monitor()
    yield found
    found.close()


def notice(event: Event) -> Notice:
    return COMPOSER.compose(SAMPLES[event])


def test_a_check_learns_of_start_success_and_failure(monitor: Monitor) -> None:
    """Each with the title of the message; the start and the end of a run carry the same id."""
    ping = Ping("ping_url", monitor.check_url)
    for event in (Event.STARTED, Event.SUCCESS, Event.WARNINGS, Event.FAILED, Event.MISSED, Event.CANCELLED):
        ping.send(notice(event))
    assert monitor.signals == ["start", "success", "success", "fail", "fail", "fail"]
    assert monitor.received[0].text == notice(Event.STARTED).title
    assert monitor.received[0].rid == monitor.received[1].rid is not None


def test_a_push_monitor_learns_of_up_and_down(monitor: Monitor) -> None:
    """Whatever its page has put behind the address; it knows no start, so none is sent to it."""
    ping = Ping("ping_url", monitor.push_url)
    ping.send(notice(Event.SUCCESS))
    ping.send(notice(Event.TAPE_ERROR))
    assert monitor.signals == ["up", "down"]
    assert monitor.received[1].text == notice(Event.TAPE_ERROR).title
    assert Event.STARTED in events_of(monitor.check_url)
    assert events_of(monitor.push_url) == SIGNALS.keys() - {Event.STARTED}


def test_a_skipped_run_is_neither_a_success_nor_a_failure() -> None:
    assert not {Event.SKIPPED, Event.READY, Event.WAITING_FOR_TAPE} & SIGNALS.keys()


def test_a_sign_of_life_is_a_success_and_a_test_changes_no_check(monitor: Monitor) -> None:
    ping = Ping("ping_alive_url", monitor.check_url)
    ping.send(COMPOSER.alive("backup-01"))
    ping.send(COMPOSER.test("backup-01", "ping_alive_url"))
    assert monitor.signals == ["success", "log"]
    assert monitor.received[0].text == "Tapeline · All is well on backup-01"


def test_an_address_with_a_query_keeps_it(monitor: Monitor) -> None:
    """healthchecks.io makes a missing check for ``?create=1``."""
    Ping("ping_url", monitor.check_url + "?create=1").send(notice(Event.FAILED))
    assert monitor.signals == ["fail"]


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (500, None, ChannelUnavailable),
        (408, None, ChannelUnavailable),
        (429, None, RateLimited),
        (404, None, ChannelRefused),
        (301, None, ChannelRefused),
        (200, "OK (not found)", ChannelRefused),
        (200, "OK (rate limited)", RateLimited),
    ],
)
def test_what_is_not_accepted_is_an_error(
    monitor: Monitor, status: int, body: str | None, kind: type[Exception]
) -> None:
    """healthchecks.io answers with HTTP 200 for a check that it does not know."""
    monitor.status, monitor.body = status, body
    with pytest.raises(kind, match="ping_url: ") as caught:
        Ping("ping_url", monitor.check_url).send(notice(Event.SUCCESS))
    assert type(caught.value) is kind
    assert CHECK not in str(caught.value)


@pytest.mark.parametrize("body", ['{"ok": false, "msg": "Monitor not found"}', "<html>", "true", "[]"])
def test_a_push_monitor_has_to_say_that_all_is_well(monitor: Monitor, body: str) -> None:
    """What answers instead of Uptime Kuma is no success."""
    monitor.body = body
    with pytest.raises(ChannelRefused, match="knows no check"):
        Ping("ping_url", monitor.push_url).send(notice(Event.SUCCESS))


def test_no_log_and_no_error_shows_the_address(
    monitor: Monitor, deaf: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Who knows the address could report successes."""
    with caplog.at_level(logging.DEBUG):
        Ping("ping_url", monitor.check_url).send(notice(Event.FAILED))
        Ping("ping_url", monitor.push_url).send(notice(Event.FAILED))
        with pytest.raises(ChannelUnavailable) as caught:
            Ping("ping_url", f"{deaf}/{CHECK}").send(notice(Event.FAILED))
    assert "/***" in caplog.text
    for text in (caplog.text, str(caught.value), repr(Ping("ping_url", monitor.check_url))):
        assert CHECK not in text
        assert TOKEN not in text
    assert caught.value.__cause__ is None


def test_a_slow_service_is_left_behind() -> None:
    """Though each byte of its answer comes in time."""
    trickle = Trickle()
    try:
        url = trickle.url.replace("json://", "http://") + CHECK
        error = sending.send(Ping("ping_url", url), notice(Event.SUCCESS), 2.0)
        assert trickle.asked.is_set()
        assert isinstance(error, ChannelUnavailable)
        assert "not complete after 2 s" in str(error)
    finally:
        trickle.close()
