"""The parts, made from the settings: one place where names become objects."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache

from celery_app import settings
from celery_app.settings import AppriseSettings, ChannelSettings
from db.engine import Database
from db.models import now
from embedded.postgres import Postgres
from notify.channel import Channel
from notify.dingtalk import DingTalk
from notify.notice import Composer
from notify.outlet import Outlet, switched
from notify.words import Language, Words
from tape.drive import Drive
from tape.virtual import VirtualDrive


def database_url() -> str:
    """The database: the setting, else the embedded PostgreSQL."""
    configured = settings.load().database_url
    if configured:
        return configured.get_secret_value()
    return Postgres(settings.load().state_dir).url


@cache
def database() -> Database:
    """The database of this process."""
    return Database(database_url())


def drive(name: str) -> Drive:
    """A drive of this host by its name. Raises BadConfiguration."""
    found = settings.load().drive(name)
    return VirtualDrive(
        name,
        found.path,
        label_limit=found.label_limit_seconds,
        format_limit=found.format_limit_seconds,
    )


def is_silent(last_seen_at: datetime) -> bool:
    """Whether a drive's worker that was seen then has been silent for longer than the setting allows."""
    return now() - last_seen_at > timedelta(seconds=settings.load().drive_silent_seconds)


@cache
def outlets() -> dict[str, Outlet]:
    """The channels that messages go to, by name, with the events that each is told of."""
    return {
        name: Outlet(_channel(name, found), switched(found.events))
        for name, found in settings.load().channels.items()
    }


def _channel(name: str, found: ChannelSettings) -> Channel:
    if isinstance(found, AppriseSettings):
        from notify.apprise_channel import AppriseChannel  # noqa: PLC0415 - slow to load, and seldom used

        return AppriseChannel(name, found.url.get_secret_value())
    secret = found.secret.get_secret_value() if found.secret else None
    return DingTalk(found.token.get_secret_value(), secret, name=name, base_url=found.base_url)


@cache
def words() -> Words:
    """The texts of the language that is set."""
    return Words(settings.load().language)


@cache
def composer() -> Composer:
    """What makes messages of facts, in the language that is set."""
    return composer_of(settings.load().language)


def composer_of(language: Language) -> Composer:
    """What makes messages of facts, in any language."""
    found = settings.load()
    return Composer(Words(language), templates_dir=found.templates_dir, dashboard_url=found.dashboard_url)
