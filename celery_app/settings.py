"""The settings: environment (``TAPELINE_...``), then ``tapeline.toml``, then defaults; read only here."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from celery_app.addresses import PingUrl, ServerUrl
from celery_app.drive_settings import (
    AnyChangerSettings,
    AnyDriveSettings,
    DriveName,
    VirtualDriveSettings,
    check_feeding,
)
from celery_app.host.defaults import BadConfiguration, default_state_dir, zone_of_host
from celery_app.host.sections import CommandName, CommandSettings
from celery_app.sections import (
    BROKERS,
    ChannelName,
    ChannelSettings,
    FlowerSettings,
    HistoryDays,
    SigningSettings,
    TlsSettings,
    is_encrypted,
)
from celery_app.settings_file import SettingsFile, TomlFile, place_of, problem_of
from policy.message import M

PREFIX = "TAPELINE_"

HOST_FILE = Path("/etc/tapeline/tapeline.toml")


class Settings(BaseSettings):
    """All settings. A name in the file is the same in lower case in the environment."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        env_ignore_empty=True,
        use_attribute_docstrings=True,
    )

    language: Literal["en", "zh_CN"] = "en"
    """The language of messages, command output and the dashboard; help and logs stay English."""
    time_zone: str = Field(default_factory=zone_of_host)
    """The clock of command output and the dashboard, and of schedules that name none: ``Asia/Shanghai``. Not
    set: this host's."""
    state_dir: Path = Field(default_factory=default_state_dir)
    """Tapeline's files on this host: the embedded servers, locks, logs, spool. Not set:
    ``~/.local/state/tapeline``, for root ``/var/lib/tapeline``."""
    broker_url: ServerUrl | None = None
    """``redis://:password@host:6379/0``, or RabbitMQ: ``amqp://user:password@host:5672/vhost``; ``rediss://``
    and ``amqps://`` are encrypted. Not set: the embedded Redis."""
    broker_tls: TlsSettings | None = None
    """How to verify a broker of ``rediss://`` or ``amqps://``. Not set: with the certificates that this host
    trusts."""
    database_url: ServerUrl | None = None
    """``postgresql+psycopg2://user:password@host/database``. Not set: the embedded PostgreSQL."""
    database_tls: TlsSettings | None = None
    """The connection to the database is encrypted, and the server's certificate and name are checked."""
    signing: SigningSettings | None = None
    """Whether messages are signed. Not set: whoever may write to the broker may send them."""
    default_drive: str = "tape0"
    """The drive of the queue ``tape``; any other drive's queue is ``tape.<name>``."""
    drives: dict[DriveName, AnyDriveSettings] = {}
    """The drives of this host. Not set: a virtual drive of the default name."""
    restore_roots: list[Path] = []
    """The folders of this host that restores may write to, with everything below them; the dashboard offers
    them. Not set: any folder by command, and none from the dashboard."""
    copy_spool_dir: Path | None = None
    """Where this host keeps a set while ``tapeline sets copy`` copies it; it takes as much room as the set.
    Not set: ``<state_dir>/spool``."""
    changers: dict[DriveName, AnyChangerSettings] = {}
    """The media changers (libraries) that feed this host's drives. Not set: tapes are changed by hand."""
    commands: dict[CommandName, CommandSettings] = {}
    """The programs of this host that templates may name. Not set: none."""
    channels: dict[ChannelName, ChannelSettings] = {}
    """Where messages go. Not set: nowhere."""
    ping_url: PingUrl | None = None
    """The address of a check at healthchecks.io or of a push monitor of Uptime Kuma: each backup reports
    there that it began, succeeded or failed. Not set: nowhere."""
    ping_urls: dict[str, PingUrl] = {}
    """The addresses for single schedules, by their names; they replace ``ping_url``."""
    ping_alive_url: PingUrl | None = None
    """As ``ping_url``, for a sign of life of Tapeline itself; it goes out while nothing urgent needs
    somebody. Not set: nowhere."""
    ping_alive_seconds: float = Field(default=300, gt=0)
    """How often the sign of life is sent."""
    templates_dir: Path | None = None
    """The operator's own message templates, in a folder for each language. Not set: the shipped ones."""
    dashboard_url: str | None = None
    """Where operators reach the dashboard: messages link to the run's page, ``<url>/runs/<run>``."""
    flower: FlowerSettings = FlowerSettings()
    """The dashboard."""
    log_json: bool = False
    """Logs as JSON lines."""
    heartbeat_seconds: float = Field(default=10, gt=0)
    """How often a running step records a sign of life."""
    dead_after_seconds: float = Field(default=90, gt=0)
    """How long a step may be silent before it counts as dead."""
    stalled_after_seconds: float = Field(default=900, gt=0)
    """How long a run may make no progress, by a byte, a name or a step, before an operator gets a message;
    time in a program with a limit of its own does not count."""
    stalled_fails_after_seconds: float = Field(default=4 * 3600, gt=0)
    """How long a step may make no progress before the run fails; sealed archives are kept."""
    lost_after_seconds: float = Field(default=60, gt=0)
    """How long a message may be on its way before it counts as lost."""
    recover_seconds: float = Field(default=60, gt=0)
    """How often runs are checked: dead steps are resumed, and runs that wait for a tape read the label."""
    pool_patience_seconds: float = Field(default=60, gt=0)
    """How long a worker may have tasks without its processes taking one; then it ends and is restarted."""
    held_fails_after_seconds: float = Field(default=3 * 24 * 3600, gt=0)
    """How long a run whose sources are not as they were is held before it fails."""
    history_days: HistoryDays = 400
    """How many days an ended run keeps its story, its steps and its messages; 0: for ever."""
    reminder_seconds: float = Field(default=6 * 3600, gt=0)
    """How often an operator is reminded of a run that waits for a tape, or is held."""
    reminder_before_seconds: float = Field(default=24 * 3600, gt=0)
    """How long before a run is due an operator gets a message that it needs another tape."""
    reminder_again_seconds: float = Field(default=4 * 3600, gt=0)
    """How long before the run is due the drive is checked once more."""
    drive_silent_seconds: float = Field(default=300, gt=0)
    """How long the worker of a drive may be silent before an operator gets a message."""
    capacity_warning_percent: float = Field(default=90, gt=0, le=100)
    """How full a tape may be, in percent, before an operator gets a message."""
    clock_tolerance_seconds: float = Field(default=300, gt=0)
    """How far the clock of a drive's host may differ from the database's; beyond that no run works there."""
    source_patience_seconds: float = Field(default=1800, gt=0)
    """How long a source may be silent before the run fails, or goes on without it (``on_silent_source``)."""
    database_patience_seconds: float = Field(default=1800, ge=0)
    """How long a step waits for an unavailable database."""
    database_dump_bytes: int = Field(default=16 << 30, ge=0)
    """The largest dump of Tapeline's own database that goes onto the tape beside each backup; 0: none."""
    drive_patience_seconds: float = Field(default=300, ge=0)
    """How long a step retries when the drive is busy or its label is not read in time."""

    @model_validator(mode="after")
    def _are_in_order(self) -> Settings:
        """A heartbeat slower than its deadline kills every run."""
        pairs = (
            ("heartbeat_seconds", "dead_after_seconds"),
            ("stalled_after_seconds", "stalled_fails_after_seconds"),
        )
        for shorter, longer in pairs:
            if getattr(self, shorter) >= getattr(self, longer):
                raise ValueError(f"{shorter} must be less than {longer}")
        return self

    @field_validator("broker_url")
    @classmethod
    def _is_a_broker(cls, url: SecretStr | None) -> SecretStr | None:
        scheme = url.get_secret_value().partition("://")[0] if url else BROKERS[0]
        if scheme not in BROKERS:
            raise ValueError(f"begin it with one of: {', '.join(f'{name}://' for name in BROKERS)}")
        return url

    @field_validator("broker_tls")
    @classmethod
    def _has_an_encrypted_broker(cls, tls: TlsSettings | None, info: ValidationInfo) -> TlsSettings | None:
        url = info.data.get("broker_url")
        if tls is not None and not (url and is_encrypted(url.get_secret_value())):
            raise ValueError("the address in broker_url has to begin with rediss:// or amqps://")
        return tls

    @field_validator("database_tls")
    @classmethod
    def _has_a_database(cls, tls: TlsSettings | None, info: ValidationInfo) -> TlsSettings | None:
        if tls is not None and info.data.get("database_url") is None:
            raise ValueError("it needs database_url; the embedded database is reached by a socket")
        return tls

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError(f"'{name}' is not a time zone; write it as Asia/Shanghai")
        return name

    @field_validator("drives")
    @classmethod
    def _are_apart(cls, drives: dict[str, AnyDriveSettings]) -> dict[str, AnyDriveSettings]:
        """One drive under two names would have two workers, and so a format during a write."""
        names: dict[str, str] = {}
        for name, drive in drives.items():
            other = names.setdefault(drive.place, name)
            if other != name:
                raise ValueError(f"'{name}' and '{other}' are the same drive, {drive.place}; name it once")
        return drives

    @field_validator("changers")
    @classmethod
    def _feed_known_drives(
        cls, changers: dict[str, AnyChangerSettings], info: ValidationInfo
    ) -> dict[str, AnyChangerSettings]:
        check_feeding(changers, info.data.get("drives", {}))
        return changers

    @field_validator("dashboard_url")
    @classmethod
    def _is_a_web_address(cls, address: str | None) -> str | None:
        if address is not None and not address.startswith(("http://", "https://")):
            raise ValueError("write the whole address, with http:// or https://")
        return address

    @field_validator("templates_dir", "copy_spool_dir")
    @classmethod
    def _is_a_folder(cls, path: Path | None) -> Path | None:
        if path is not None and not path.expanduser().is_dir():
            raise ValueError(f"there is no folder {path}")
        return path and path.expanduser().absolute()

    @field_validator("state_dir")
    @classmethod
    def _is_absolute(cls, path: Path) -> Path:
        return path.expanduser().absolute()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = config_file()
        sources: tuple[PydanticBaseSettingsSource, ...] = (init_settings, env_settings)
        return (*sources, TomlFile(settings_cls, file)) if file else sources

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of the operators' clock."""
        return ZoneInfo(self.time_zone)

    @property
    def copy_spool(self) -> Path:
        """Where this host keeps sets while they are copied."""
        return self.copy_spool_dir or self.state_dir / "spool"

    def drive(self, name: str) -> AnyDriveSettings:
        """The settings of a drive of this host. Raises BadConfiguration."""
        if name in self.drives:
            return self.drives[name]
        if not self.drives and name == self.default_drive:
            return VirtualDriveSettings(driver="virtual", path=self.state_dir / "drives" / name)
        raise BadConfiguration(
            M("No drive '{name}' is configured on this host.", name=name),
            M("Add [drives.{name}] to tapeline.toml.", name=name),
        )

    def drive_folder(self, name: str) -> Path:
        """The folder on this host for what belongs to a drive: its lock, its mount point."""
        drive = self.drive(name)
        return drive.path if isinstance(drive, VirtualDriveSettings) else self.state_dir / "drives" / name

    @property
    def drive_names(self) -> list[str]:
        return sorted(self.drives) or [self.default_drive]

    def queue_of(self, drive: str) -> str:
        """The queue that the worker of a drive of this host consumes."""
        return "tape" if drive == self.default_drive else f"tape.{drive}"

    def drive_of(self, queue: str) -> str:
        """The drive that a tape queue belongs to."""
        return self.default_drive if queue == "tape" else queue.removeprefix("tape.")


def config_file() -> Path | None:
    """The file that ``TAPELINE_CONFIG`` names, else ``tapeline.toml`` here, else that of the host.

    If this user may not enter the working folder (root's, after sudo), it counts as having no such file.
    Raises BadConfiguration if the named file does not exist, or the host's may not be read.
    """
    named = os.environ.get(f"{PREFIX}CONFIG")
    if named:
        if not Path(named).is_file():
            raise BadConfiguration(
                M("TAPELINE_CONFIG: there is no file {path}.", path=named),
                M("Create it, or unset the variable."),
            )
        return Path(named)
    here, of_host = Path("tapeline.toml"), HOST_FILE
    if os.access(here, os.F_OK) and here.is_file():
        return here
    try:
        return of_host if of_host.is_file() else None
    except PermissionError as error:
        raise BadConfiguration(
            M("{file} cannot be read: {detail}.", file=str(of_host), detail=str(error.strerror)),
            M("Correct the file or its permissions."),
        ) from error


def use(file: Path) -> None:
    """Let this process, and those that it starts, take their settings from a file."""
    os.environ[f"{PREFIX}CONFIG"] = str(file)
    os.environ.pop(f"{PREFIX}STATE_DIR", None)
    SOURCE.forget()


def load() -> Settings:
    """The settings of this process; those that may change while it runs, as they are in the file now.

    Raises BadConfiguration, which names the field and the file, but only the first time.
    """
    return SOURCE.settings()


def _read() -> Settings:
    file = config_file()
    where = str(file) if file else "environment"
    _check_variables()
    try:
        return Settings()
    except ValidationError as error:
        raise _explain(error, where) from error
    except tomllib.TOMLDecodeError as error:
        raise BadConfiguration(
            M("{file} is not valid TOML: {detail}.", file=where, detail=str(error)),
            M("Correct that line."),
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfiguration(
            M("{file} cannot be read: {detail}.", file=where, detail=str(error)),
            M("Correct the file or its permissions."),
        ) from error
    except ValueError as error:
        # pydantic-settings reports a variable that is not the required JSON in this way.
        raise BadConfiguration(M("Environment: {detail}.", detail=str(error)), M("Correct it.")) from error


_OF_KUBERNETES = re.compile(
    rf"{PREFIX}(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
"""The variables that Kubernetes puts into each container for a service named ``tapeline`` or
``tapeline-…``."""


SOURCE = SettingsFile(_read, config_file)
"""Where the settings of this process come from, and whether it uses old ones."""


def _check_variables() -> None:
    """A misspelt variable would be ignored silently."""
    known = {*Settings.model_fields, "config"}
    for name in sorted(os.environ):
        if _OF_KUBERNETES.fullmatch(name):
            continue
        if name.startswith(PREFIX) and name.removeprefix(PREFIX).split("__")[0].lower() not in known:
            raise BadConfiguration(
                M("{where}: there is no such setting.", where=name),
                M("Correct its name, or unset it; docs/settings.md lists them."),
            )


def _explain(error: ValidationError, where: str) -> BadConfiguration:
    first = error.errors(include_url=False, include_input=False)[0]
    place = place_of(first)
    field = ".".join(place)
    variable = PREFIX + "__".join(place).upper()
    if variable in os.environ:
        where = variable
    more = error.error_count() - 1
    return BadConfiguration(
        M("{where}: {field}: {problem}.", where=where, field=field, problem=problem_of(first)),
        M("Correct it ({more} more after this one).", more=more) if more else M("Correct it."),
    )
