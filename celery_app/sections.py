"""The tables of the settings: channels, encryption, signing, the dashboard."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    DirectoryPath,
    Field,
    FilePath,
    SecretStr,
    field_validator,
    model_validator,
)

from celery_app.drive_settings import Section
from db.states import PING
from notify.events import Event
from policy.roles import Role
from policy.times.report import Every

_MOBILE = re.compile(r"(\+[0-9]{1,4}-)?[0-9]{5,15}")


class _ChannelSettings(Section):
    """The settings that every channel has."""

    events: dict[Event, bool] = Field(default_factory=dict)
    """Events switched on or off for this channel; the others follow ``tapeline notify channels``."""
    report: Every = Every.MONTH
    """The event ``report``: ``month`` on the 1st about the month before, ``week`` on Monday about the week
    before; at eight, by ``time_zone``."""


class DingTalkSettings(_ChannelSettings):
    """A DingTalk robot."""

    type: Literal["dingtalk"]
    token: SecretStr
    """The ``access_token`` in the robot's address."""
    secret: SecretStr | None = None
    """``SEC…``, if the robot requires signed messages."""
    base_url: str = "https://oapi.dingtalk.com"
    """The robot's address."""
    at_mobiles: list[str] = Field(default=[])
    """Telephone numbers of members whom the robot calls (@) when somebody has to act: after a failure, for a
    tape. In DingTalk's form: ``13800000000``, or ``+852-51234567`` for another country."""

    @field_validator("at_mobiles")
    @classmethod
    def _are_numbers(cls, numbers: list[str]) -> list[str]:
        for number in numbers:
            if not _MOBILE.fullmatch(number):
                raise ValueError(f"'{number}' is not a telephone number such as 13800000000")
        return numbers


class AppriseSettings(_ChannelSettings):
    """Any channel that Apprise supports, by its URL."""

    type: Literal["apprise"]
    url: SecretStr
    """In Apprise's form: ``mailtos://user:password@example.com``."""


ChannelSettings = Annotated[DingTalkSettings | AppriseSettings, Field(discriminator="type")]


def _check_channel(name: str) -> str:
    """A ping is listed among the channels by the name of its setting."""
    if name.startswith(PING):
        raise ValueError(f"'{name}' is the name of a setting; give the channel another")
    return name


ChannelName = Annotated[str, AfterValidator(_check_channel)]


def _check_history(days: int) -> int:
    """A report counts the failures of a month by their messages."""
    if 0 < days < LEAST_HISTORY:
        raise ValueError(f"it is 0 for ever, or at least {LEAST_HISTORY} days: reports look back a month")
    return days


LEAST_HISTORY = 62
HistoryDays = Annotated[int, Field(ge=0), AfterValidator(_check_history)]


AMQP = ("amqp", "amqps")
BROKERS = ("redis", "rediss", "redis+socket", *AMQP)
"""How the address of a broker begins: Redis or RabbitMQ."""


def is_encrypted(broker_url: str) -> bool:
    """Whether the address of a broker requires TLS."""
    return broker_url.startswith(("rediss://", "amqps://"))


LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
"""Addresses that only this host reaches."""


class TlsSettings(Section):
    """An encrypted connection: whom it trusts, and what it presents. The server's name is always checked."""

    ca: FilePath
    """The authority's certificate that must have signed the server's."""
    certificate: FilePath | None = None
    """This host's own certificate, if the server requires one."""
    key: FilePath | None = None
    """The private key of this host's certificate; only the service's user may read it."""

    @model_validator(mode="after")
    def _is_a_pair(self) -> TlsSettings:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        return self


class SigningSettings(Section):
    """Messages are signed, and unsigned ones refused: set it on every host at the same time, or on none."""

    key: FilePath
    """This host's private RSA key (PEM); only the service's user may read it."""
    certificate: FilePath
    """The certificate of that key."""
    trusted: DirectoryPath
    """A folder with the certificates of all hosts whose messages are accepted, and nothing else."""


class FlowerSettings(Section):
    """The dashboard."""

    address: str = "127.0.0.1"
    """The address that it listens on."""
    port: int = Field(default=5555, ge=1, le=65535)
    """Its port."""
    basic_auth: list[SecretStr] = Field(default=[])
    """``user:password`` of those who may see it; required on any address but loopback. Not set on loopback:
    Tapeline makes a login, in the file ``dashboard.login`` of the state folder."""
    roles: dict[str, Role] = Field(default={})
    """Who may do what, by user (with OAuth: by mail address): ``viewer`` sees, ``operator`` also runs,
    retries and cancels, ``admin`` does everything. Without any role every login is an admin; otherwise a
    login that is not named is a viewer."""
    without_login: bool = False
    """Everybody on this host may see everything and press every button; only on loopback."""
    metrics_token: SecretStr | None = None
    """A bearer token with which ``/metrics`` answers other hosts too."""

    @model_validator(mode="after")
    def _is_guarded(self) -> FlowerSettings:
        if self.address not in LOOPBACK and not self.basic_auth:
            raise ValueError("an address other than loopback needs basic_auth")
        if self.without_login and (self.basic_auth or self.address not in LOOPBACK):
            raise ValueError("without_login is for loopback alone, and without basic_auth")
        if self.without_login and self.roles:
            raise ValueError("roles need logins: remove without_login")
        return self
