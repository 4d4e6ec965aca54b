"""``tapeline doctor``: checks this host and names the remedy for each problem."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import typer

from celery_app import settings, wiring
from cli.host import changer_checks, command_checks, drive_checks, stack, wire_checks
from cli.host.drive_checks import CheckFailed
from cli.render import output
from cli.render.output import AsJson
from cli.render.troubles import in_hold, in_trouble
from db import (
    alerts,
    idle,
    outbox,
    views,
)
from db.admin import processes, server
from db.alerts import Alert, Topic
from db.models import Process, now
from db.schedules import schedules
from db.tapes import drives
from notify.channel import BrokenChannel
from policy import units
from policy.errors import TapelineError
from policy.message import M, Message

SPOOL_BYTES = 1_000_000_000
"""Space that the lists of a large backup take on the spool."""

TIMEOUT = 5.0
"""Seconds to wait for a worker that did not answer at once."""

RABBIT_ASKS = (3, 12)
"""The first RabbitMQ in which a worker asks how long it may keep a message."""

CLOCK_SECONDS = 5.0
"""How far the clocks of this host and the database may differ."""


@dataclass(frozen=True, slots=True)
class HostCheck:
    """One check."""

    name: Message
    detail: Message
    remedy: Message | None = None
    ok: bool = True
    is_warning: bool = False
    """Nothing is wrong, but a night could pass without an expected backup."""


class Doubtful(TapelineError):
    """A finding that was configured like this, but that somebody should know."""


def doctor(as_json: AsJson = False) -> None:
    """Check settings, servers, tables, workers, drives, commands, clock and disk of this host. Changes
    nothing, but starts the embedded servers for its own duration.

    Exit code 1 if anything is wrong; warnings (!) do not count.
    """
    report(list(_all()), as_json=as_json)


def report(findings: list[HostCheck], *, as_json: bool) -> None:
    """Print the findings, and end the command: with exit code 1 if anything is wrong."""
    if as_json:
        output.print_json([_json(finding) for finding in findings])
    else:
        width = output.widest(finding.name for finding in findings)
        for finding in findings:
            _print(finding, width)
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


def _all() -> Iterator[HostCheck]:
    yield HostCheck(M("Python"), M("{version}", version=sys.version.split()[0]))
    file = settings.config_file()
    configured = settings.load()
    yield HostCheck(M("Settings"), M("{file}", file=str(file) if file else "environment and defaults"))
    yield checked(M("State folder"), lambda: _state_folder(configured.state_dir))
    with ExitStack() as servers:
        yield checked(M("Servers"), lambda: _servers(servers))
        yield checked(M("Database"), _database)
        listed = cache(_listed)
        yield checked(M("Clock"), lambda: _clock(listed()))
        yield checked(M("Broker"), _broker)
        yield checked(M("Way to the database"), wire_checks.database)
        yield checked(M("Way to the broker"), wire_checks.broker)
        yield checked(M("Workers"), _workers)
        yield checked(M("Settings in use"), lambda: _settings_in_use(listed()))
        yield checked(M("Schedules"), lambda: _schedules(listed()))
        yield checked(M("Channels"), lambda: _channels(listed()))
        for title, check in command_checks.checks():
            yield checked(title, check)
    yield checked(M("Dashboard"), _dashboard)
    for name in configured.drive_names:
        for title, check in drive_checks.checks(name):
            yield checked(title, check)
    for title, check in changer_checks.checks():
        yield checked(title, check)


def _listed() -> list[Alert]:
    """Everything that needs somebody, as ``tapeline status`` lists it.

    A beat that has just started writes its record within a few seconds.
    """
    until = time.monotonic() + TIMEOUT
    while True:
        with wiring.database().transaction() as session:
            if idle.no_beat(session, schedules.present(session)) is None or time.monotonic() > until:
                return alerts.current(session, wiring.is_silent)
        time.sleep(0.2)


def _raise_for(listed: Iterable[Alert], topic: Topic) -> None:
    """Raises CheckFailed for the first urgent alert of a topic, else Doubtful for the first other one."""
    of_topic = sorted(
        (alert for alert in listed if alert.topic is topic), key=lambda alert: not alert.is_urgent
    )
    for alert in of_topic:
        kind = CheckFailed if alert.is_urgent else Doubtful
        raise kind(alert.message, alert.remedy)


def checked(name: Message, check: Callable[[], Message]) -> HostCheck:
    """The result of a check, or the error it ends with."""
    try:
        return HostCheck(name, check())
    except (Doubtful, changer_checks.Unproved) as doubt:
        return HostCheck(name, doubt.message, doubt.remedy, is_warning=True)
    except TapelineError as error:
        return HostCheck(name, error.message, error.remedy, ok=False)


def _state_folder(folder: Path) -> Message:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < SPOOL_BYTES:
        raise CheckFailed(
            M("{folder}: only {free} are free.", folder=str(folder), free=units.size(free)),
            M("Make room, or set state_dir to another disk."),
        )
    return M("{folder}, {free} free", folder=str(folder), free=units.size(free))


def _servers(opened: ExitStack) -> Message:
    opened.enter_context(stack.servers())
    return M("embedded") if stack.uses_embedded() else M("as set by database_url and broker_url")


def _database() -> Message:
    database = wiring.database()
    with database.transaction() as session:
        version, shown = server.version(session), server.time(session)
        apart = abs((datetime.now(UTC) - shown).total_seconds())
    database.check_version()
    if apart > CLOCK_SECONDS:
        raise CheckFailed(
            M("The clocks of this host and the database are {seconds} s apart.", seconds=round(apart)),
            M("Set both by NTP."),
        )
    return M("PostgreSQL {version}, tables of this version", version=version)


def _clock(listed: list[Alert]) -> Message:
    _raise_for(listed, Topic.CLOCK)
    return M("{now}, no leap since it was last seen", now=output.local(now().isoformat()))


def _broker() -> Message:
    from celery_app import health  # noqa: PLC0415 - loading Celery takes half a second

    health.check_writable()
    if health.is_rabbit():
        return _rabbit(health.rabbit_version())
    facts = health.broker_facts()
    if not facts["append_only"]:
        raise CheckFailed(
            M("Redis does not keep its messages on disk."), M("Set 'appendonly yes' in its configuration.")
        )
    if facts["eviction"] != "noeviction":
        raise CheckFailed(
            M("Redis may throw messages away (maxmemory-policy {policy}).", policy=facts["eviction"]),
            M("Set 'maxmemory-policy noeviction' in its configuration."),
        )
    return M("Redis {version}, append-only file on", version=facts["version"])


def _rabbit(version: str) -> Message:
    """It takes a message back that a worker keeps for long. Only since 3.12 can a worker ask for more time,
    and a setting of an older one cannot be seen from here."""
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < RABBIT_ASKS:
        raise Doubtful(
            M(
                "RabbitMQ {version} ends a worker that keeps a message for more than 30 minutes, unless its"
                " consumer_timeout is longer; that cannot be seen from here.",
                version=version,
            ),
            M("Set 'consumer_timeout = 604800000' in rabbitmq.conf, or install RabbitMQ 3.12 or newer."),
        )
    return M("RabbitMQ {version}", version=version)


def _workers() -> Message:
    from celery_app import health  # noqa: PLC0415 - loading Celery takes half a second

    needed = _needed_queues()
    answering = health.queues()
    if not needed <= answering.keys():
        # A busy worker is asked once more.
        answering = health.queues(timeout=TIMEOUT)
    if not answering:
        raise CheckFailed(M("No worker answers."), M("Start them with 'tapeline up', or as services."))
    missing = sorted(needed - answering.keys())
    if missing:
        raise CheckFailed(
            M("No worker answers for: {queues}.", queues=", ".join(missing)),
            M("Start it on its host: tapeline worker {queue}", queue=missing[0]),
        )
    return M("{names}", names=", ".join(sorted({name for names in answering.values() for name in names})))


def _needed_queues() -> set[str]:
    """The queue control, those of the drives that schedules use, and those of this host's drives."""
    from celery_app.queues import CONTROL  # noqa: PLC0415 - loading Celery takes half a second

    configured = settings.load()
    with wiring.database().transaction() as session:
        used = {row.drive for row in schedules.present(session) if row.enabled}
        named = {name: drives.queue_of(session, name) for name in used | set(configured.drives)}
    return {CONTROL, *(queue or configured.queue_of(name) for name, queue in named.items())}


def _schedules(listed: list[Alert]) -> Message:
    with wiring.database().transaction() as session:
        held = in_hold(views.held_json(session))
        planned = schedules.all_as_json(session)
    if held is not None:
        raise CheckFailed(held)
    _raise_for(listed, Topic.START)
    if not planned:
        raise Doubtful(*idle.NOTHING_TIMED)
    due = min(
        ((each["next_run_time"], each["time_zone"]) for each in planned if each["next_run_time"]),
        default=None,
    )
    if due is None:
        return M("nothing is due by itself")
    return M("next run {at}", at=output.on_named_clock(*due))


def _channels(listed: list[Alert]) -> Message:
    for name in settings.load().channels:
        channel = wiring.channel(name)
        if isinstance(channel, BrokenChannel):
            raise channel.error
    with wiring.database().transaction() as session:
        held_up, deliverers = outbox.troubles(session), processes.deliverers(session)
        known = {row.name for row in schedules.present(session)}
    for each in listed:
        if each.channel is not None:
            raise CheckFailed(in_trouble(each.channel, held_up[each.channel]), each.remedy)
    _raise_for(listed, Topic.ALIVE)
    for name in sorted(settings.load().ping_urls.keys() - known):
        raise CheckFailed(
            M("ping_urls.{name}: there is no schedule of this name.", name=name),
            M("Correct the name in tapeline.toml; 'tapeline schedule list' lists them."),
        )
    return _delivered_by(settings.load().channels, deliverers)


def _delivered_by(channels: Collection[str], deliverers: Sequence[Process]) -> Message:
    """A channel is known to the processes that deliver; it is of no use if only this host knows it."""
    for process in deliverers:
        for name in sorted(set(channels) - set(process.channels)):
            raise CheckFailed(
                M(
                    "{process} delivers the messages and does not know channel {name}.",
                    process=process.name,
                    name=name,
                ),
                M(
                    "Add [channels.{name}] to the file that it reads there: {file}",
                    name=name,
                    file=process.file or "tapeline.toml",
                ),
            )
    names = ", ".join(sorted({*channels, *(name for each in deliverers for name in each.channels)}))
    if not names:
        raise CheckFailed(*idle.NO_CHANNEL)
    return M("{names}", names=names)


def _dashboard() -> Message:
    from dashboard import templating  # noqa: PLC0415 - loading Flower takes half a second

    installed = version("flower")
    templates = sorted({patch.template for patch in templating.misplaced()})
    if templates:
        raise CheckFailed(
            M(
                "Flower {version} changed {templates}; the dashboard's pages lack entries or styles there.",
                version=installed,
                templates=", ".join(templates),
            ),
            M("Install the Flower that fits: pip install flower=={version}", version=templating.NEWEST),
        )
    return M("Flower {version} with our entries", version=installed)


def _settings_in_use(listed: list[Alert]) -> Message:
    _raise_for(listed, Topic.SETTINGS)
    with wiring.database().transaction() as session:
        present = processes.present(session)
        names = ", ".join(
            f"{each.name}: {each.file or '-'} ({output.local(each.read_at.isoformat())})" for each in present
        )
    return M("{names}", names=names) if names else M("no process has entered any yet")


def _json(finding: HostCheck) -> dict[str, Any]:
    return {
        "check": str(finding.name),
        "ok": finding.ok,
        "warning": finding.is_warning,
        "detail": str(finding.detail),
        "remedy": str(finding.remedy) if finding.remedy else None,
    }


def _print(finding: HostCheck, width: int) -> None:
    mark, style = ("✓", "green") if finding.ok else ("✗", "red")
    if finding.is_warning:
        mark, style = "!", "yellow"
    text = wiring.words().joined(finding.detail, finding.remedy)
    output.print_finding(mark, finding.name, width, text, style)
