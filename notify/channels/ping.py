"""A ping to a monitoring service outside: a run began, succeeded or failed, or Tapeline itself is alive.

Takes the addresses of healthchecks.io (and of services with its paths) and of Uptime Kuma's push monitors.
"""

from __future__ import annotations

import json
import logging
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from uuid import NAMESPACE_OID, uuid5

from notify.channel import ChannelRefused, ChannelUnavailable, RateLimited
from notify.events import Event
from notify.notice import Notice
from policy.errors import TapelineError
from policy.message import M, Message

if TYPE_CHECKING:
    import requests

MAX_ANSWER = 2000
"""Bytes of an answer that are read."""
PAUSE = 60.0
"""Seconds until a service that received too many pings is tried again."""


class Signal(StrEnum):
    """What a service learns; the values are the last part of healthchecks.io's addresses."""

    START = "start"
    SUCCESS = ""
    FAIL = "fail"
    LOG = "log"
    """An entry in its log that changes nothing."""


SIGNALS = {
    Event.STARTED: Signal.START,
    Event.SUCCESS: Signal.SUCCESS,
    Event.WARNINGS: Signal.SUCCESS,
    Event.FAILED: Signal.FAIL,
    Event.TAPE_ERROR: Signal.FAIL,
    Event.MISSED: Signal.FAIL,
    Event.CANCELLED: Signal.FAIL,
}
"""A skipped run sends none: it is neither a success nor a failure."""


def events_of(url: str) -> frozenset[Event]:
    """The events that a ping to this address reports; a push monitor knows no start."""
    unknown = {Signal.START} if _is_push_monitor(url) else set()
    return frozenset(event for event, signal in SIGNALS.items() if signal not in unknown)


def _is_push_monitor(url: str) -> bool:
    return "/api/push/" in urlsplit(url).path


class Ping:
    """One address. It identifies the check at the service, so it is never shown.

    ``timeout``: seconds without an answer.
    """

    def __init__(self, name: str, url: str, *, timeout: float = 10.0) -> None:
        self.name = name
        self._url = url
        self._timeout = timeout
        logging.getLogger("urllib3.connectionpool").addFilter(self._hide_path)

    def __repr__(self) -> str:
        return f"Ping(name={self.name!r})"

    def send(self, notice: Notice) -> None:
        """Report the event of a notice. Raises ChannelUnavailable, RateLimited, ChannelRefused."""
        signal = SIGNALS[notice.event] if notice.event else Signal.LOG
        status, answer = self._request(signal, notice)
        error = self._refusal(status) if status != 200 else self._error_in(answer)
        if error is not None:
            raise error

    def _request(self, signal: Signal, notice: Notice) -> tuple[int, str]:
        import requests  # noqa: PLC0415 - slow to load, and most commands send nothing

        try:
            with self._answer(signal, notice) as response:
                return response.status_code, _beginning(response)
        except (requests.RequestException, OSError, UnicodeError) as error:
            kind = type(error).__name__
        # Raised out here: the foreign error's text contains the address.
        raise ChannelUnavailable(
            M("{name}: the address cannot be reached ({kind}).", name=self.name, kind=kind),
            M("Check the network, the proxy and the address in {name}.", name=self.name),
        )

    def _answer(self, signal: Signal, notice: Notice) -> requests.Response:
        import requests  # noqa: PLC0415 - as above

        method, address, body = "POST", _signalled(self._url, signal, notice.run_id), notice.title
        if _is_push_monitor(self._url):
            method, address, body = "GET", _pushed(self._url, signal, notice.title), ""
        return requests.request(
            method,
            address,
            data=body.encode(errors="replace"),
            timeout=self._timeout,
            allow_redirects=False,
            stream=True,
        )

    def _refusal(self, status: int) -> TapelineError:
        what = M("{name}: the service answered with HTTP {status}.", name=self.name, status=status)
        if status == 429:
            return RateLimited(what, retry_after=PAUSE)
        if status == 408 or status >= 500:
            return ChannelUnavailable(what)
        return ChannelRefused(what, self._compare())

    def _error_in(self, answer: str) -> TapelineError | None:
        """healthchecks.io answers with HTTP 200 for a check that does not exist, too."""
        if _is_push_monitor(self._url):
            return None if _is_ok(answer) else ChannelRefused(self._unknown(), self._compare())
        if "(not found)" in answer:
            return ChannelRefused(self._unknown(), self._compare())
        if "(rate limited)" in answer:
            return RateLimited(
                M("{name}: the service takes no more pings now.", name=self.name), retry_after=PAUSE
            )
        return None

    def _unknown(self) -> Message:
        return M("{name}: the service knows no check with this address.", name=self.name)

    def _compare(self) -> Message:
        return M("Copy the address from the service into {name} again.", name=self.name)

    def _hide_path(self, record: logging.LogRecord) -> bool:
        path = urlsplit(self._url).path
        if isinstance(record.args, tuple) and len(path) > 1:
            record.args = tuple(
                "/***" if isinstance(value, str) and value.startswith(path) else value
                for value in record.args
            )
        return True


def _beginning(response: requests.Response) -> str:
    return next(response.iter_content(MAX_ANSWER), b"").decode(errors="replace")


def _signalled(url: str, signal: Signal, run_id: int | None) -> str:
    """healthchecks.io's address of a signal. ``rid`` tells it which start belongs to which end."""
    parts = urlsplit(url)
    path = f"{parts.path.rstrip('/')}/{signal}" if signal else parts.path
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if run_id is not None:
        query["rid"] = str(uuid5(NAMESPACE_OID, f"tapeline-run-{run_id}"))
    return urlunsplit(parts._replace(path=path, query=urlencode(query), fragment=""))


def _pushed(url: str, signal: Signal, text: str) -> str:
    """Uptime Kuma's address, whatever its page has put behind it."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query)) | {"status": "down" if signal is Signal.FAIL else "up", "msg": text}
    return urlunsplit(parts._replace(query=urlencode(query), fragment=""))


def _is_ok(answer: str) -> bool:
    try:
        content = json.loads(answer)
    except ValueError:
        return False
    return isinstance(content, dict) and content.get("ok") is True
