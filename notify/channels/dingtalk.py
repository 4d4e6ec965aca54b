"""DingTalk's group robots: a webhook that requires a signature and reports errors in the answer's body."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import re
import time
from collections.abc import Callable, Sequence
from urllib.parse import quote_plus, urlsplit

from notify.channel import ChannelUnavailable, RateLimited
from notify.channels.dingtalk_answer import RobotAnswer
from notify.channels.dingtalk_message import encode
from notify.channels.rate_limit import RateLimit
from notify.notice import Notice
from policy.errors import UsageError
from policy.message import M

BASE_URL = "https://oapi.dingtalk.com"
MESSAGES_A_MINUTE = 20
MINUTE = 60.0

_QUERY = re.compile(r"\?access_token=\S*")


class DingTalk:
    """One robot. Raises UsageError for a ``base_url`` that is no web address.

    ``limit`` counts the messages of the last minute, including those that another process has sent.

    ``secret``: the robot's signing secret (``SEC…``), None if its security is by keyword or address.
    ``at_mobiles``: the telephone numbers of members to call when somebody has to act. ``timeout``: seconds
    without an answer. ``clock``: seconds since 1970, for the signature. Neither token nor secret is ever
    shown.
    """

    def __init__(
        self,
        token: str,
        secret: str | None,
        *,
        name: str = "dingtalk",
        at_mobiles: Sequence[str] = (),
        base_url: str = BASE_URL,
        timeout: float = 10.0,
        clock: Callable[[], float] = time.time,
        limit: RateLimit | None = None,
    ) -> None:
        self.name = name
        self._token = token
        self._secret = secret
        self._at_mobiles = list(at_mobiles)
        self._base_url = _checked(name, base_url)
        self._timeout = timeout
        self._clock = clock
        self._limit = limit or RateLimit(MESSAGES_A_MINUTE, MINUTE)
        logging.getLogger("urllib3.connectionpool").addFilter(_hide_query)

    def __repr__(self) -> str:
        return f"DingTalk(name={self.name!r})"

    def send(self, notice: Notice) -> None:
        """Deliver the notice. Raises RateLimited, ChannelUnavailable, ChannelRefused."""
        body = encode(notice, self._at_mobiles if notice.calls else ())
        self._limit.take()
        error = self._post(body).error()
        if isinstance(error, RateLimited):
            self._limit.close(error.retry_after)
        if error is not None:
            raise error

    def _post(self, body: bytes) -> RobotAnswer:
        import requests  # noqa: PLC0415 - slow to load, and most commands send nothing

        try:
            response = requests.post(
                self._address(),
                data=body,
                headers={"Content-Type": "application/json; charset=utf-8"},
                timeout=self._timeout,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            kind = type(error).__name__
        else:
            return RobotAnswer(response.status_code, self._hidden(response.content.decode(errors="replace")))
        # Raised out here: the foreign error's text contains the address, and with it token and signature.
        raise ChannelUnavailable(
            M("DingTalk cannot be reached ({kind}).", kind=kind),
            M("Check the network, the proxy and the address of the webhook."),
        )

    def _address(self) -> str:
        address = f"{self._base_url}/robot/send?access_token={quote_plus(self._token)}"
        if self._secret is None:
            return address
        timestamp = str(round(self._clock() * 1000))
        return f"{address}&timestamp={timestamp}&sign={quote_plus(signature(self._secret, timestamp))}"

    def _hidden(self, text: str) -> str:
        for secret in filter(None, (self._token, self._secret)):
            text = text.replace(secret, "***")
        return text


def _checked(name: str, base_url: str) -> str:
    """The address, if the resolver's codec can encode its host; it cannot encode one with two adjacent
    dots."""
    try:
        parts = urlsplit(base_url)
        is_address = parts.scheme in {"http", "https"} and bool((parts.hostname or "").encode("idna"))
        parts.port  # noqa: B018 - it raises for a port that is none
    except ValueError:
        is_address = False
    if not is_address:
        raise UsageError(
            M("The base_url of DingTalk robot '{name}' is no web address.", name=name),
            M("Write it as {base}, or leave it out.", base=BASE_URL),
        )
    return base_url.rstrip("/")


def signature(secret: str, timestamp: str) -> str:
    """DingTalk's signature of a time in milliseconds: base64, not yet quoted for an address."""
    text = f"{timestamp}\n{secret}".encode()
    return base64.b64encode(hmac.new(secret.encode(), text, hashlib.sha256).digest()).decode()


def _hide_query(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(
            _QUERY.sub("?***", value) if isinstance(value, str) else value for value in record.args
        )
    return True
