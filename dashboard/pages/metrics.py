"""``/metrics`` for Prometheus: ours and Flower's, for this host, for a login, or for a token."""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from http import HTTPStatus

import prometheus_client
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from sqlalchemy.orm import Session
from tornado.web import HTTPError

from celery_app import settings, wiring
from celery_app.sections import LOOPBACK
from dashboard.access import OPEN
from dashboard.page import Page
from db import alerts, failures, freezes, outbox
from db.errors import DatabaseUnavailable
from db.libraries import inventory
from db.models import now
from db.runs import lookup, times
from db.schedules import planner, plans, schedules
from db.states import RunState
from db.tapes import cartridges, drives
from policy.tapes.facts import CartridgeState

SEEN_BY_PROXY = ("X-Forwarded-For", "X-Real-Ip", "Forwarded")
"""Headers of a proxy on this host: the request then comes from elsewhere."""


UNSENT_AFTER = timedelta(minutes=1)
"""How long a message may be on its way after it was due."""


class Metrics(Page):
    """Not marked ``authenticated``: it decides itself who may ask."""

    rule = OPEN

    async def get(self) -> None:
        if not (self._is_from_here() or self._has_token() or self._has_login()):
            raise HTTPError(HTTPStatus.UNAUTHORIZED)
        self.application.purge_offline_worker_metrics()
        try:
            ours = await self.ask(lambda session: list(families(session)))
        except DatabaseUnavailable:
            ours = []
        ours.append(_one("tapeline_up", "Whether the database answers.", int(bool(ours))))
        self.set_header("Content-Type", prometheus_client.CONTENT_TYPE_LATEST)
        self.write(_text(ours) + prometheus_client.generate_latest())

    async def prepare(self) -> None:
        """With the token, a request may use any host name."""

    def _is_from_here(self) -> bool:
        is_direct = not any(name in self.request.headers for name in SEEN_BY_PROXY)
        return is_direct and self.request.remote_ip in LOOPBACK and self.is_asked_by_our_name()

    def _has_login(self) -> bool:
        options = self.application.options
        return bool((options.basic_auth or options.auth) and self.current_user)

    def _has_token(self) -> bool:
        token = settings.load().flower.metrics_token
        given = self.request.headers.get("Authorization", "")
        return token is not None and hmac.compare_digest(
            given.encode(), f"Bearer {token.get_secret_value()}".encode()
        )


class _Collected:
    def __init__(self, families: list[GaugeMetricFamily]) -> None:
        self._families = families

    def collect(self) -> list[GaugeMetricFamily]:
        return self._families


def _text(families: list[GaugeMetricFamily]) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(families))
    return bytes(prometheus_client.generate_latest(registry))


def _one(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, meaning, value=value)


def families(session: Session) -> Iterator[GaugeMetricFamily]:
    """Our figures, as they are in the database now."""
    yield from _of_runs(session)
    yield from _of_schedules(session)
    yield from _of_tapes(session)
    up = GaugeMetricFamily("tapeline_drive_up", "Whether the drive's worker lives.", labels=["drive"])
    for drive in drives.every(session):
        up.add_metric([drive.name], int(not wiring.is_silent(drive.last_seen_at)))
    yield up
    yield from _of_condition(session)
    yield from _of_libraries(session)
    yield _of_alerts(session)
    count = outbox.unsent(session, overdue=UNSENT_AFTER)
    yield _one("tapeline_messages_unsent", "Messages that no channel or not each has taken yet.", count)


def _of_alerts(session: Session) -> GaugeMetricFamily:
    family = GaugeMetricFamily("tapeline_alerts", "What needs somebody, as on Today.", labels=["urgent"])
    urgent = [each.is_urgent for each in alerts.current(session, wiring.is_silent)]
    family.add_metric(["yes"], urgent.count(True))
    family.add_metric(["no"], urgent.count(False))
    return family


def _of_condition(session: Session) -> Iterator[GaugeMetricFamily]:
    warned = GaugeMetricFamily(
        "tapeline_drive_alerts", "What the drive warned of after its last run.", labels=["drive"]
    )
    for drive in drives.every(session):
        warned.add_metric([drive.name], len(drive.alerts))
    yield warned
    wear = GaugeMetricFamily(
        "tapeline_tape_wear", "What of the tape's condition is past its limit.", labels=["tape"]
    )
    for tape in cartridges.every(session):
        wear.add_metric([tape.tape_id], len(tape.wear))
    yield wear


def _of_libraries(session: Session) -> Iterator[GaugeMetricFamily]:
    labels = ["library"]
    blanks = GaugeMetricFamily(
        "tapeline_library_blanks", "Tapes in its slots that count as blank.", labels=labels
    )
    old = GaugeMetricFamily(
        "tapeline_library_old", "Whether its inventory is not believed until it is read again.", labels=labels
    )
    for row in inventory.every(session):
        stock = inventory.supply(session, row).blanks.values()
        blanks.add_metric([row.name], sum(map(len, stock)))
        old.add_metric([row.name], int(row.old is not None))
    yield blanks
    yield old


def _of_runs(session: Session) -> Iterator[GaugeMetricFamily]:
    counted = lookup.counts(session)
    runs = GaugeMetricFamily("tapeline_runs", "Runs by state.", labels=["state"])
    for state in RunState:
        runs.add_metric([state.value], counted.get(state, 0))
    yield runs
    waiting = counted.get(RunState.WAITING_FOR_TAPE, 0) + counted.get(RunState.HELD, 0)
    yield _one(
        "tapeline_waiting_for_operator",
        "Runs that wait for somebody to change the tape, or to accept their sources.",
        waiting,
    )
    frozen = len(freezes.standing(session))
    yield _one("tapeline_freezes", "Why no tape is formatted: so many freezes are to be lifted.", frozen)


def _of_schedules(session: Session) -> Iterator[GaugeMetricFamily]:
    labels = ["schedule"]
    success = GaugeMetricFamily(
        "tapeline_last_success_timestamp_seconds", "When the newest success was due.", labels=labels
    )
    since = GaugeMetricFamily("tapeline_seconds_since_success", "Seconds since then.", labels=labels)
    enabled = GaugeMetricFamily("tapeline_schedule_enabled", "Whether it runs by itself.", labels=labels)
    size = GaugeMetricFamily("tapeline_last_backup_bytes", "Size of the newest backup.", labels=labels)
    rate = GaugeMetricFamily(
        "tapeline_last_backup_bytes_per_second", "How fast the newest backup was.", labels=labels
    )
    owed = GaugeMetricFamily(
        "tapeline_backup_owed_seconds",
        "Seconds since the oldest backup was due that is still owed; 0: none is.",
        labels=labels,
    )
    failed = GaugeMetricFamily(
        "tapeline_last_run_failed", "Whether the newest run that ended has failed.", labels=labels
    )
    following = GaugeMetricFamily(
        "tapeline_next_run_timestamp_seconds", "When it is due next.", labels=labels
    )
    moment = now()
    in_failure = {run.schedule_id for run in failures.newest(session)}
    newest = times.newest_backups(session)
    since_due = {row.id: planner.owed_since(row, moment) for row in plans.in_doubt(session, moment)}
    for row in schedules.listed(session):
        due = since_due.get(row.id)
        owed.add_metric([row.name], (moment - due).total_seconds() if due else 0)
        failed.add_metric([row.name], int(row.id in in_failure))
        following_time = planner.planned_time(row)
        if following_time:
            following.add_metric([row.name], following_time.timestamp())
        enabled.add_metric([row.name], int(row.enabled))
        if row.last_success_time:
            success.add_metric([row.name], row.last_success_time.timestamp())
            since.add_metric([row.name], (moment - row.last_success_time).total_seconds())
        if row.id in newest:
            written, seconds = newest[row.id]
            size.add_metric([row.name], written)
            rate.add_metric([row.name], written / seconds if seconds > 0 else 0)
    yield from (success, since, owed, failed, following, enabled, size, rate)


def _of_tapes(session: Session) -> Iterator[GaugeMetricFamily]:
    labels = ["tape", "state"]
    used = GaugeMetricFamily("tapeline_tape_used_bytes", "What is on the tape.", labels=labels)
    capacity = GaugeMetricFamily("tapeline_tape_capacity_bytes", "What fits on the tape.", labels=labels)
    tapes = cartridges.every(session)
    for tape in tapes:
        used.add_metric([tape.tape_id, tape.state.value], tape.bytes_used)
        if tape.capacity:
            capacity.add_metric([tape.tape_id, tape.state.value], tape.capacity)
    yield from (used, capacity)
    count = GaugeMetricFamily("tapeline_tapes", "Tapes by state.", labels=["state"])
    counted = Counter(tape.state for tape in tapes)
    for state in CartridgeState:
        count.add_metric([state.value], counted[state])
    yield count
