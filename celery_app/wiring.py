"""The parts, made from the settings: one place where names become objects."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from celery_app import settings
from celery_app.drive_settings import LtfsDriveSettings, LtfsWindowsDriveSettings, MtxChangerSettings
from celery_app.host.defaults import BadConfiguration
from celery_app.sections import AppriseSettings, ChannelSettings, TlsSettings
from db.engine import Database
from db.models import now
from db.states import PING, Kind
from notify.events import Event
from notify.words import Language, Words
from policy.errors import TapelineError
from policy.message import M
from policy.times.report import Every

# Every process imports this module: drivers, channels and templates are loaded where they are made.
if TYPE_CHECKING:
    from celery_app.drive_settings import AnyChangerSettings
    from db import outbox
    from notify.channel import Channel
    from notify.facts import Facts
    from notify.notice import Composer
    from notify.outlet import Outlet
    from tape.changer import Changer
    from tape.drive import Drive


def database_url() -> str:
    """The database: the setting, else the embedded PostgreSQL."""
    configured = settings.load()
    if configured.database_url:
        return encrypted(configured.database_url.get_secret_value(), configured.database_tls)
    from embedded.postgres import Postgres  # noqa: PLC0415 - see above

    return Postgres(settings.load().state_dir).url


def encrypted(url: str, tls: TlsSettings | None) -> str:
    """The address, with the TLS of the settings: the server's certificate and its name are checked."""
    if tls is None:
        return url
    files = {"sslrootcert": tls.ca, "sslcert": tls.certificate, "sslkey": tls.key}
    query = {"sslmode": "verify-full", **{name: str(path) for name, path in files.items() if path}}
    try:
        return make_url(url).update_query_dict(query).render_as_string(hide_password=False)
    except ArgumentError:
        # An error in it is reported where it is used.
        return url


@cache
def database() -> Database:
    """The database of this process."""
    return Database(database_url())


def drive(name: str) -> Drive:
    """A drive of this host by its name. Raises BadConfiguration."""
    drive_settings = settings.load().drive(name)
    if isinstance(drive_settings, LtfsDriveSettings):
        return _ltfs(name, drive_settings)
    if isinstance(drive_settings, LtfsWindowsDriveSettings):
        return _ltfs_windows(name, drive_settings)
    from tape.virtual.drive import VirtualDrive  # noqa: PLC0415 - see above

    return VirtualDrive(
        name,
        drive_settings.path,
        label_limit=drive_settings.label_limit_seconds,
        format_limit=drive_settings.format_limit_seconds,
    )


def _ltfs(name: str, drive_settings: LtfsDriveSettings) -> Drive:
    from tape.ltfs.drive import LtfsDrive  # noqa: PLC0415 - only Linux has what it needs
    from tape.ltfs.setup import ProgramLimits, Setup  # noqa: PLC0415 - as above

    limits = ProgramLimits(
        label=drive_settings.label_limit_seconds,
        format=drive_settings.format_limit_seconds,
        mount=drive_settings.mount_limit_seconds,
        unmount=drive_settings.unmount_limit_seconds,
        check=drive_settings.check_limit_seconds,
        deep_recovery=drive_settings.deep_check_limit_seconds,
        move=drive_settings.move_limit_seconds,
    )
    setup = Setup(
        device=drive_settings.device,
        folder=settings.load().drive_folder(name),
        mount_point=drive_settings.mount_point,
        backend=drive_settings.backend,
        sync_type=drive_settings.sync_type,
        mount_options=drive_settings.mount_options,
        programs={str(program): path for program, path in drive_settings.programs.items()},
        limits=limits,
    )
    return LtfsDrive(name, setup)


def _ltfs_windows(name: str, drive_settings: LtfsWindowsDriveSettings) -> Drive:
    from tape.ltfs_windows.drive import WindowsDrive  # noqa: PLC0415 - see above
    from tape.ltfs_windows.setup import Commands, WindowsLimits, WindowsSetup  # noqa: PLC0415 - see above

    limits = WindowsLimits(
        label=drive_settings.label_limit_seconds,
        format=drive_settings.format_limit_seconds,
        check=drive_settings.check_limit_seconds,
        move=drive_settings.move_limit_seconds,
    )
    setup = WindowsSetup(
        letter=drive_settings.letter,
        tools=drive_settings.tools,
        folder=settings.load().drive_folder(name),
        file_system=drive_settings.file_system,
        commands=Commands(**drive_settings.commands.model_dump()),
        limits=limits,
        encoding=drive_settings.code_page,
    )
    return WindowsDrive(name, setup)


def changer_settings(name: str) -> AnyChangerSettings:
    """The settings of a changer of this host. Raises BadConfiguration."""
    configured = settings.load().changers.get(name)
    if configured is None:
        raise BadConfiguration(
            M("No changer '{name}' is configured on this host.", name=name),
            M(
                "Add [changers.{name}] to tapeline.toml, or run the command on the host that has it.",
                name=name,
            ),
        )
    return configured


def changer(name: str) -> Changer:
    """A changer of this host by its name. Raises BadConfiguration."""
    configured = changer_settings(name)
    if isinstance(configured, MtxChangerSettings):
        from tape.mtx.changer import MtxChanger, MtxSetup  # noqa: PLC0415 - see above

        setup = MtxSetup(
            device=configured.device,
            folder=settings.load().state_dir / "changers" / name,
            programs={str(program): path for program, path in configured.programs.items()},
            mail_slots=configured.mail_slots,
            status_limit=configured.status_limit_seconds,
            move_limit=configured.move_limit_seconds,
            inventory_limit=configured.inventory_limit_seconds,
        )
        return MtxChanger(name, setup)
    from tape.virtual import library  # noqa: PLC0415 - see above
    from tape.virtual.changer import VirtualChanger  # noqa: PLC0415 - see above

    library.make(
        configured.path,
        {number: settings.load().drive_folder(drive) for number, drive in configured.drives.items()},
        slots=configured.slots,
        mail_slots=configured.mail_slots,
        move_seconds=configured.move_seconds,
    )
    return VirtualChanger(name, configured.path)


def is_silent(last_seen_at: datetime) -> bool:
    """Whether a drive's worker, last seen at this moment, has been silent for longer than the setting
    allows."""
    return now() - last_seen_at > timedelta(seconds=settings.load().drive_silent_seconds)


def wanted() -> dict[str, frozenset[Event]]:
    """The channels and the pings by name, each with the events that it may get."""
    from notify.outlet import monthly, switched  # noqa: PLC0415 - see above

    channels = settings.load().channels
    by_channel = {name: switched(each.events) | monthly(each.events) for name, each in channels.items()}
    return by_channel | _pinged()


def reports() -> set[Every]:
    """The stretches of time that some channel wants a report of."""
    from notify.outlet import switched  # noqa: PLC0415 - see above

    channels = settings.load().channels.values()
    return {each.report for each in channels if Event.REPORT in switched(each.events)}


def outlets() -> dict[str, Outlet]:
    """The channels of the settings, made anew, by name. A channel with wrong settings is ``BrokenChannel``
    and does not affect the others."""
    from db import outbox  # noqa: PLC0415 - see above
    from notify.channels.dingtalk import MINUTE  # noqa: PLC0415 - see above
    from notify.outlet import Outlet, monthly, switched  # noqa: PLC0415 - see above

    with database().transaction() as session:
        paces = outbox.paces(session, timedelta(seconds=MINUTE))
    made = {
        name: Outlet(channel(name, paces.get(name)), switched(each.events), monthly(each.events), each.report)
        for name, each in settings.load().channels.items()
    }
    for name, events in _pinged().items():
        concerns = partial(_is_pinged, name)
        made[name] = Outlet(channel(name), events, frozenset(), concerns=concerns, has_one_state=True)
    return made


PING_EACH = "ping_url"
ALIVE = "ping_alive_url"


def pings() -> dict[str, str]:
    """The addresses for pings about runs, by the name of the setting."""
    configured = settings.load()
    every = {PING_EACH: configured.ping_url} if configured.ping_url else {}
    single = {f"ping_urls.{schedule}": url for schedule, url in configured.ping_urls.items()}
    return {name: url.get_secret_value() for name, url in (every | single).items()}


def _pinged() -> dict[str, frozenset[Event]]:
    addresses = pings()
    if not addresses:
        return {}
    from notify.channels.ping import events_of  # noqa: PLC0415 - see above

    return {name: events_of(url) for name, url in addresses.items()}


def _is_pinged(name: str, facts: Facts) -> bool:
    """Whether a ping is about this run. Of runs only backups: a restore that succeeds makes no failed backup
    good."""
    has_own = facts.schedule in settings.load().ping_urls
    return facts.kind is Kind.BACKUP and name == (f"ping_urls.{facts.schedule}" if has_own else PING_EACH)


def ping(name: str) -> Channel:
    """The ping of a setting, which must be set."""
    from notify.channels.ping import Ping  # noqa: PLC0415 - see above

    alive = settings.load().ping_alive_url
    return Ping(name, (pings() | ({ALIVE: alive.get_secret_value()} if alive else {}))[name])


def channel(name: str, pace: outbox.Pace | None = None) -> Channel:
    """A channel of the settings, or its replacement if they are wrong; or the ping of a setting."""
    from db import outbox  # noqa: PLC0415 - see above
    from notify.channel import BrokenChannel  # noqa: PLC0415 - see above

    if name.startswith(PING):
        return ping(name)
    try:
        return _channel(name, settings.load().channels[name], pace or outbox.Pace([]))
    except TapelineError as error:
        return BrokenChannel(name, error)
    except Exception as error:  # noqa: BLE001 - a library's error must not cost the other channels
        # Its text may contain the address, and with it a password.
        what = M("Channel '{name}' cannot be set up ({kind}).", name=name, kind=type(error).__name__)
        return BrokenChannel(
            name, TapelineError(what, M("Correct [channels.{name}] in tapeline.toml.", name=name))
        )


def _channel(name: str, channel_settings: ChannelSettings, pace: outbox.Pace) -> Channel:
    if isinstance(channel_settings, AppriseSettings):
        from notify.channels.apprise_channel import AppriseChannel  # noqa: PLC0415 - slow to load, and seldom used

        return AppriseChannel(name, channel_settings.url.get_secret_value())
    from notify.channels.dingtalk import MESSAGES_A_MINUTE, MINUTE, DingTalk  # noqa: PLC0415 - see above
    from notify.channels.rate_limit import RateLimit  # noqa: PLC0415 - see above

    secret = channel_settings.secret.get_secret_value() if channel_settings.secret else None
    limit = RateLimit(MESSAGES_A_MINUTE, MINUTE, ages=pace.ages, closed_for=pace.closed_for)
    return DingTalk(
        channel_settings.token.get_secret_value(),
        secret,
        name=name,
        at_mobiles=channel_settings.at_mobiles,
        base_url=channel_settings.base_url,
        limit=limit,
    )


def words() -> Words:
    """The texts of the configured language."""
    return _words(settings.load().language)


@cache
def _words(language: Language) -> Words:
    return Words(language)


def composer() -> Composer:
    """Makes messages from facts, in the configured language."""
    return composer_of(settings.load().language)


def composer_of(language: Language) -> Composer:
    """Makes messages from facts, in any language."""
    configured = settings.load()
    return _composer(language, configured.templates_dir, configured.dashboard_url, configured.time_zone)


# Its templates are compiled at first use, and again only when their file has changed.
@lru_cache(maxsize=8)
def _composer(
    language: Language, templates_dir: Path | None, dashboard_url: str | None, time_zone: str
) -> Composer:
    from notify.notice import Composer  # noqa: PLC0415 - see above

    return Composer(
        Words(language), templates_dir=templates_dir, dashboard_url=dashboard_url, time_zone=time_zone
    )
