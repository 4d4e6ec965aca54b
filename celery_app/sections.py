"""The tables of the settings: channels, encryption, signing, the dashboard."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import DirectoryPath, Field, FilePath, SecretStr, field_validator, model_validator

from celery_app.drive_settings import Section
from notify.events import Event

_MOBILE = re.compile(r"(\+[0-9]{1,4}-)?[0-9]{5,15}")


class _ChannelSettings(Section):
    """What every channel has."""

    events: dict[Event, bool] = Field(default_factory=dict)
    """Events switched on or off for this channel; the others stay as ``tapeline notify channels`` says."""


class DingTalkSettings(_ChannelSettings):
    """A DingTalk robot."""

    type: Literal["dingtalk"]
    token: SecretStr
    """The ``access_token`` in the robot's address."""
    secret: SecretStr | None = None
    """``SEC…``, where the robot asks for signed messages."""
    base_url: str = "https://oapi.dingtalk.com"
    """Where the robot is reached."""
    at_mobiles: list[str] = Field(default=[])
    """Telephone numbers of members whom the robot calls (@) when somebody has to act: after a failure, for a
    tape. As DingTalk has them: ``13800000000``, or ``+852-51234567`` for another country."""

    @field_validator("at_mobiles")
    @classmethod
    def _are_numbers(cls, numbers: list[str]) -> list[str]:
        for number in numbers:
            if not _MOBILE.fullmatch(number):
                raise ValueError(f"'{number}' is not a telephone number such as 13800000000")
        return numbers


class AppriseSettings(_ChannelSettings):
    """Any channel that Apprise knows, by its URL."""

    type: Literal["apprise"]
    url: SecretStr
    """As Apprise writes it: ``mailtos://user:password@example.com``."""


ChannelSettings = Annotated[DingTalkSettings | AppriseSettings, Field(discriminator="type")]


def is_encrypted(broker_url: str) -> bool:
    """Whether the address of a broker asks for TLS."""
    return broker_url.startswith("rediss://")


LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
"""Addresses that only this host reaches."""


class TlsSettings(Section):
    """An encrypted connection: whom it believes, and what it shows. The server's name is always checked."""

    ca: FilePath
    """The certificate that the server's must be signed by."""
    certificate: FilePath | None = None
    """This host's own certificate, where the server asks for one."""
    key: FilePath | None = None
    """The private key of this host's certificate, readable by the service's user alone."""

    @model_validator(mode="after")
    def _is_a_pair(self) -> TlsSettings:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        return self


class SigningSettings(Section):
    """Messages are signed, and unsigned ones refused: set it on every host at the same time, or on none."""

    key: FilePath
    """This host's private RSA key (PEM), readable by the service's user alone."""
    certificate: FilePath
    """The certificate of that key."""
    trusted: DirectoryPath
    """A folder with the certificates of all hosts whose messages are taken, and nothing else."""


class FlowerSettings(Section):
    """The dashboard."""

    address: str = "127.0.0.1"
    """Where it listens."""
    port: int = Field(default=5555, ge=1, le=65535)
    """Its port."""
    basic_auth: list[SecretStr] = Field(default=[])
    """``user:password`` of those who may see it; required on any address but loopback. None on loopback: one
    is made, in the file ``dashboard.login`` of the state folder."""
    without_login: bool = False
    """Whoever is on this host may see everything and press every button; on loopback alone."""
    metrics_token: SecretStr | None = None
    """With it as bearer token ``/metrics`` answers other hosts too."""

    @model_validator(mode="after")
    def _is_guarded(self) -> FlowerSettings:
        if self.address not in LOOPBACK and not self.basic_auth:
            raise ValueError("an address other than loopback needs basic_auth")
        if self.without_login and (self.basic_auth or self.address not in LOOPBACK):
            raise ValueError("without_login is for loopback alone, and without basic_auth")
        return self
