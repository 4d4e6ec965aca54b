"""The outbox is delivered: each event once to each channel that wants it, whatever the channels do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from db import events, outbox
from db.engine import Database
from db.models import Notification
from notify import deliver
from notify.channel import BrokenChannel, ChannelRefused, ChannelUnavailable, RateLimited
from notify.deliver import deliver_due, leave_out_unwanted
from notify.events import Event
from notify.notice import Composer, Notice
from notify.outlet import Outlet, monthly, switched
from notify.report.sample import REPORT
from notify.samples import SAMPLES
from notify.words import Words
from policy.message import M
from policy.times.report import Every

COMPOSER = Composer(Words("en"))
NOW = datetime(2026, 11, 30, 22, 5, tzinfo=UTC)


@dataclass
class Post:
    """A channel that takes messages, or raises."""

    name: str = "ops"
    error: Exception | None = None
    taken: list[str] = field(default_factory=list)
    asked: int = 0

    def send(self, notice: Notice) -> None:
        self.asked += 1
        if self.error is not None:
            raise self.error
        self.taken.append(notice.title)


@dataclass
class Clock:
    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (outbox, events, deliver):
        monkeypatch.setattr(module, "now", clock)
    return clock


@pytest.fixture
def say(database: Database, clock: Clock) -> Callable[..., None]:
    def say(*said: Event) -> None:
        with database.transaction() as session:
            for event in said:
                assert events.announce_once(session, f"test:{event}", event, SAMPLES[event].to_json())

    return say


def rows(database: Database) -> list[Notification]:
    with database.transaction() as session:
        return list(session.scalars(select(Notification).order_by(Notification.id)))


def down() -> ChannelUnavailable:
    return ChannelUnavailable(M("No channel is set up."))


def test_each_channel_is_told_of_its_own_events(database: Database, say: Callable[..., None]) -> None:
    """An event that is off for a channel does not go through it, and nothing waits for it."""
    ops, quiet = Post("ops"), Post("quiet")
    outlets = {
        "ops": Outlet(ops, switched({Event.STARTED: True})),
        "quiet": Outlet(quiet, frozenset({Event.FAILED})),
    }
    say(Event.STARTED, Event.FAILED, Event.READY)
    assert deliver_due(database, outlets, COMPOSER) == 3
    assert [title.split(": ")[0] for title in ops.taken] == [
        "Tapeline · Backup started",
        "Tapeline · Backup failed",
    ]
    assert len(quiet.taken) == 1
    assert [row.next_attempt_at for row in rows(database)] == [None] * 3


def test_an_event_is_said_once(database: Database, say: Callable[..., None]) -> None:
    """The same event about the same thing is put into the outbox once, however often it is found."""
    say(Event.DRIVE_SILENT)
    with database.transaction() as session:
        assert not events.announce_once(session, "test:drive_silent", "drive_silent", {})
        assert events.announce_once(session, "test:drive_silent", "drive_back", {})
    assert len(rows(database)) == 2


def test_a_channel_that_is_down_holds_up_nobody(database: Database, say: Callable[..., None]) -> None:
    """It is asked once in a pass; the others get everything, and its messages stay."""
    dead, ops = Post("dead", error=down()), Post("ops")
    say(Event.FAILED, Event.SUCCESS, Event.REMINDER)
    assert deliver_due(database, {"dead": Outlet(dead), "ops": Outlet(ops)}, COMPOSER) == 3
    assert (dead.asked, len(ops.taken)) == (1, 3)
    assert all(row.next_attempt_at for row in rows(database))


def test_it_is_tried_again_and_said_once(database: Database, say: Callable[..., None], clock: Clock) -> None:
    """When the channel is back, what waited is delivered once; a channel that had it gets nothing more."""
    dead, ops = Post("dead", error=down()), Post("ops")
    outlets = {"dead": Outlet(dead), "ops": Outlet(ops)}
    say(Event.FAILED)
    deliver_due(database, outlets, COMPOSER)
    assert deliver_due(database, outlets, COMPOSER) == 0
    assert dead.asked == 1
    dead.error = None
    clock.now += timedelta(seconds=31)
    assert deliver_due(database, outlets, COMPOSER) == 1
    assert (len(dead.taken), len(ops.taken)) == (1, 1)


def test_it_is_given_up_three_days_after_the_first_attempt(
    database: Database, say: Callable[..., None], clock: Clock
) -> None:
    """A message that lay there for a week before anybody tried it is still tried for three days."""
    dead = Post("ops", error=down())
    outlets = {"ops": Outlet(dead)}
    say(Event.FAILED)
    clock.now += timedelta(days=7)
    deliver_due(database, outlets, COMPOSER)
    clock.now += timedelta(days=2, hours=23)
    deliver_due(database, outlets, COMPOSER)
    assert rows(database)[0].next_attempt_at
    clock.now += timedelta(hours=2)
    deliver_due(database, outlets, COMPOSER)
    assert rows(database)[0].next_attempt_at is None
    assert dead.asked == 3


def test_what_is_wrong_with_a_channel_is_known(
    database: Database, say: Callable[..., None], clock: Clock
) -> None:
    """Each channel in trouble is named with what waits, what was lost, since when and why."""
    dead = Post("dead", error=down())
    closed = Post("closed", error=ChannelRefused(M("Correct it.")))
    say(Event.FAILED)
    deliver_due(database, {"dead": Outlet(dead), "closed": Outlet(closed), "ops": Outlet(Post())}, COMPOSER)
    with database.transaction() as session:
        found = outbox.troubles(session)
        assert found["closed"].pop("said") == {"id": "Correct it.", "params": {}}
        assert found["dead"].pop("said")["id"] == "No channel is set up."
        assert found == {
            "dead": {"waiting": 1, "lost": 0, "since": NOW.isoformat(), "error": "No channel is set up."},
            "closed": {"waiting": 0, "lost": 1, "since": NOW.isoformat(), "error": "Correct it."},
        }
    clock.now += timedelta(minutes=1)
    dead.error = None
    deliver_due(database, {"dead": Outlet(dead)}, COMPOSER)
    with database.transaction() as session:
        assert outbox.troubles(session).keys() == {"closed"}


def test_a_channel_that_works_again_is_clear(
    database: Database, say: Callable[..., None], clock: Clock
) -> None:
    """What it lost before it took a message again is past; what it loses later counts."""
    ops = Post("ops", error=ChannelRefused(M("Correct it.")))
    outlets = {"ops": Outlet(ops)}

    def trouble() -> object:
        with database.transaction() as session:
            return outbox.troubles(session)

    say(Event.FAILED)
    deliver_due(database, outlets, COMPOSER)
    assert trouble()
    clock.now += timedelta(minutes=1)
    ops.error = None
    say(Event.SUCCESS)
    deliver_due(database, outlets, COMPOSER)
    assert trouble() == {}
    clock.now += timedelta(minutes=1)
    ops.error = ChannelRefused(M("Correct it."))
    say(Event.WARNINGS)
    deliver_due(database, outlets, COMPOSER)
    assert trouble()


@pytest.mark.parametrize(
    "bad",
    [
        Post("bad", error=ChannelRefused(M("Correct it."))),
        Post("bad", error=UnicodeError("label empty")),
        BrokenChannel("bad", ChannelUnavailable(M("Correct it."))),
    ],
    ids=["refuses", "raises", "broken"],
)
def test_the_others_carry_that_a_channel_does_not_work(
    database: Database, say: Callable[..., None], clock: Clock, bad: Post
) -> None:
    """Once, with the reason; a channel that is only down is reported after an hour."""
    ops = Post("ops")
    outlets = {"bad": Outlet(bad), "ops": Outlet(ops)}
    say(Event.FAILED)
    deliver_due(database, outlets, COMPOSER)
    at_once = ["Tapeline · Channel bad does not work" in title for title in ops.taken]
    if isinstance(bad, Post) and isinstance(bad.error, UnicodeError):
        assert at_once == [False]
        clock.now += timedelta(hours=2)
        deliver_due(database, outlets, COMPOSER)
    say(Event.SUCCESS)
    deliver_due(database, outlets, COMPOSER)
    assert [title for title in ops.taken if "does not work" in title] == [
        "Tapeline · Channel bad does not work"
    ]


def test_its_own_alert_does_not_wait_for_a_broken_channel(
    database: Database, say: Callable[..., None], clock: Clock
) -> None:
    """When it works it gets what it missed, and not that it did not work."""
    bad = Post("bad", error=ChannelRefused(M("Correct it.")))
    say(Event.FAILED)
    deliver_due(database, {"bad": Outlet(bad)}, COMPOSER)
    [_, alert] = rows(database)
    assert (alert.event, alert.next_attempt_at) == ("channel_down", None)


def test_what_no_channel_wants_starts_nothing(database: Database, say: Callable[..., None]) -> None:
    """It is closed without asking a channel; anything else is due."""
    say(Event.STARTED)
    assert not leave_out_unwanted(database, {"ops": Outlet(Post()).events})
    assert rows(database)[0].next_attempt_at is None
    say(Event.FAILED)
    assert leave_out_unwanted(database, {"ops": Outlet(Post()).events})
    assert not leave_out_unwanted(database, {})


def test_the_next_process_knows_the_pace(database: Database, say: Callable[..., None], clock: Clock) -> None:
    """What a channel took within the minute, and for how long it takes nothing."""
    say(Event.FAILED)
    deliver_due(database, {"ops": Outlet(Post())}, COMPOSER)
    clock.now += timedelta(seconds=20)
    say(Event.SUCCESS)
    fast = Post(error=RateLimited(M("Correct it."), retry_after=600))
    deliver_due(database, {"ops": Outlet(fast)}, COMPOSER)
    clock.now += timedelta(seconds=30)
    with database.transaction() as session:
        assert outbox.paces(session, timedelta(minutes=1)) == {"ops": outbox.Pace([50], closed_for=570)}
        assert outbox.paces(session, timedelta(seconds=40))["ops"].ages == []


def test_a_service_that_shows_one_state_gets_no_outdated_one(
    database: Database, say: Callable[..., None], clock: Clock
) -> None:
    """A start that could not be sent in time is left out once the success is there, and is no failure; a
    channel of messages still gets it."""
    ping, ops = Post("ping_url", error=down()), Post("ops", error=down())
    outlets = {
        "ping_url": Outlet(ping, frozenset(Event), has_one_state=True),
        "ops": Outlet(ops, frozenset(Event)),
    }
    say(Event.STARTED)
    deliver_due(database, outlets, COMPOSER)
    ping.error = ops.error = None
    say(Event.SUCCESS)
    clock.now += timedelta(seconds=1)
    deliver_due(database, outlets, COMPOSER)
    clock.now += timedelta(seconds=60)
    deliver_due(database, outlets, COMPOSER)
    assert ["started" in title for title in ops.taken] == [False, True]
    assert ["started" in title for title in ping.taken] == [False]
    assert [row.next_attempt_at for row in rows(database)] == [None, None]
    with database.transaction() as session:
        assert outbox.troubles(session) == {}


def test_an_outlet_gets_only_what_concerns_it(database: Database, say: Callable[..., None]) -> None:
    """The ping of a schedule learns of its runs only."""
    ping = Post("ping_urls.nightly")
    outlets = {"ping_urls.nightly": Outlet(ping, concerns=lambda facts: facts.schedule == "nightly")}
    say(Event.FAILED)
    assert deliver_due(database, outlets, COMPOSER) == 0
    assert rows(database)[0].next_attempt_at is None


def test_a_tape_that_is_ready_is_said_once_a_month_unless_a_channel_chose(database: Database) -> None:
    """By default the first one of a schedule in a month; each where it is on; none where it is off."""
    posts = {name: Post(name) for name in ("default", "each", "never")}
    choices = {"default": {}, "each": {Event.READY: True}, "never": {Event.READY: False}}
    outlets = {name: Outlet(posts[name], switched(made), monthly(made)) for name, made in choices.items()}
    with database.transaction() as session:
        for number, is_first in enumerate((True, False)):
            facts = replace(SAMPLES[Event.READY], is_first_of_month=is_first).to_json()
            events.announce_once(session, f"schedule:1:{number}", Event.READY, facts)
    deliver_due(database, outlets, COMPOSER)
    assert {name: len(post.taken) for name, post in posts.items()} == {"default": 1, "each": 2, "never": 0}


def test_a_channel_gets_the_reports_of_its_own_stretch(database: Database) -> None:
    """Of a week or of a month, and none where the event is off."""
    posts = {name: Post(name) for name in ("weekly", "monthly", "none")}
    outlets = {
        "weekly": Outlet(posts["weekly"], every=Every.WEEK),
        "monthly": Outlet(posts["monthly"]),
        "none": Outlet(posts["none"], switched({Event.REPORT: False})),
    }
    with database.transaction() as session:
        for every in Every:
            facts = replace(SAMPLES[Event.REPORT], report={**REPORT, "every": every.value}).to_json()
            events.announce_once(session, f"report:{every}:2026-11-30", Event.REPORT, facts)
    deliver_due(database, outlets, COMPOSER)
    assert {name: len(post.taken) for name, post in posts.items()} == {"weekly": 1, "monthly": 1, "none": 0}
