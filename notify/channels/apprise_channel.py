"""Every channel that Apprise supports (mail, chat, telephone), by its URL. Importing it loads Apprise."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import apprise
from apprise.attachment.memory import AttachMemory

from notify.channel import ChannelUnavailable
from notify.notice import Notice
from policy.errors import UsageError
from policy.message import M


class AppriseChannel:
    """One Apprise URL. It may contain a password, so it is never shown.

    Raises UsageError for a URL that Apprise does not understand, for several in one, and for DingTalk.
    """

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self._service = _service(name, url)

    def __repr__(self) -> str:
        return f"AppriseChannel(name={self.name!r})"

    def send(self, notice: Notice) -> None:
        """Deliver the notice. Raises ChannelUnavailable: Apprise does not report why it failed."""
        delivered = self._service.notify(title=notice.title, **self._body(notice))
        if not delivered:
            raise ChannelUnavailable(
                M("Apprise could not deliver to channel '{name}'.", name=self.name),
                M("Check its URL and that the service answers."),
            )

    def _body(self, notice: Notice) -> dict[str, Any]:
        """HTML and a file for a mail; plain text for every other service."""
        [server] = self._service
        if notice.html is None or server.service_name != "E-Mail":
            return {"body": notice.plain, "body_format": apprise.NotifyFormat.TEXT}
        body: dict[str, Any] = {"body": notice.html, "body_format": apprise.NotifyFormat.HTML}
        if notice.attached is not None:
            file = notice.attached
            body["attach"] = AttachMemory(content=file.content, name=file.name, mimetype=file.mime_type)
        return body


@contextmanager
def _without_its_log() -> Iterator[None]:
    """Apprise logs an address that it does not understand completely, including the password in it."""
    logger = logging.getLogger("apprise")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _service(name: str, url: str) -> apprise.Apprise:
    service = apprise.Apprise()
    with _without_its_log():
        is_known = service.add(url)
    if not is_known or len(service) != 1:
        raise UsageError(
            M("Channel '{name}' is not one URL that Apprise understands.", name=name),
            M("Write one URL for each channel, as Apprise documents it for the service."),
        )
    # Apprise signs DingTalk's messages incorrectly and treats every HTTP 200 as success.
    if any("dingtalk" in str(server.service_name).lower() for server in service):
        raise UsageError(
            M("Channel '{name}' sends to DingTalk through Apprise, which loses messages.", name=name),
            M("Put the robot's webhook and secret into the settings of Tapeline's own DingTalk channel."),
        )
    return service
