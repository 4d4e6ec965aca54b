"""DingTalk's answers: HTTP 200 with an ``errcode``; only the code distinguishes success from failure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from notify.channel import ChannelRefused, ChannelUnavailable, RateLimited
from notify.markdown import one_line
from policy.errors import TapelineError
from policy.message import M, Message

PAUSE = 600.0
"""Seconds for which DingTalk accepts nothing from a robot that was too fast."""


class Meaning(Enum):
    """What an ``errcode`` means for the sender."""

    BUSY = auto()
    """DingTalk itself has a problem: try again."""
    TOO_FAST = auto()
    """More than 20 messages in a minute."""
    SECURITY = auto()
    """Signature, time, keyword or address do not match the robot's security settings."""
    TOKEN = auto()
    """The access token belongs to no robot."""
    ROBOT_GONE = auto()
    """The robot was stopped or removed, or its group dissolved."""
    CONTENT = auto()
    """DingTalk's filter rejects the text, or the message is malformed."""


MEANINGS = {
    -1: Meaning.BUSY,
    90030: Meaning.TOO_FAST,  # the webhook's quota is used up
    130101: Meaning.TOO_FAST,
    410100: Meaning.TOO_FAST,
    310000: Meaning.SECURITY,
    40014: Meaning.TOKEN,
    300001: Meaning.TOKEN,
    300005: Meaning.TOKEN,
    400101: Meaning.TOKEN,
    400013: Meaning.ROBOT_GONE,  # the group was dissolved
    400102: Meaning.ROBOT_GONE,  # stopped
    400106: Meaning.ROBOT_GONE,  # does not exist
    40035: Meaning.CONTENT,  # a parameter is missing or no JSON
    43004: Meaning.CONTENT,  # the Content-Type
    400105: Meaning.CONTENT,  # the message type
    430101: Meaning.CONTENT,  # a link that is not trusted
    430102: Meaning.CONTENT,  # the text
    430103: Meaning.CONTENT,  # an image
    430104: Meaning.CONTENT,  # anything else in it
    460101: Meaning.CONTENT,  # longer than 20,000 bytes
}


@dataclass(frozen=True, slots=True)
class RobotAnswer:
    """The HTTP status and its text, with secrets hidden."""

    status: int
    text: str

    def error(self) -> TapelineError | None:
        """Why the message was not accepted; None: it was."""
        if self.status != 200:
            return _http_error(self.status)
        body = self._json_object()
        code = body.get("errcode")
        # JSON's false equals 0 in Python and is no success.
        if type(code) is not int:
            return ChannelUnavailable(
                M("What answered for DingTalk did not answer as DingTalk does."),
                M("Check the webhook's address and any proxy on the way to it."),
            )
        return None if code == 0 else _error(code, one_line(str(body.get("errmsg", ""))))

    def _json_object(self) -> dict[str, Any]:
        try:
            body = json.loads(self.text)
        except (ValueError, RecursionError):
            return {}
        return body if isinstance(body, dict) else {}


def _http_error(status: int) -> TapelineError:
    what = M("DingTalk answered with HTTP {status}.", status=status)
    if status == 429:
        return RateLimited(what, retry_after=PAUSE)
    if status == 408 or status >= 500:
        return ChannelUnavailable(what)
    return ChannelRefused(what, M("Check the webhook's address and any proxy on the way to it."))


def _error(code: int, reason: str) -> TapelineError:
    what = M("DingTalk answered with error {code}: {said}", code=code, said=reason)
    match MEANINGS.get(code):
        case Meaning.TOO_FAST:
            return RateLimited(
                what,
                M("A run's message is sent then by itself; a test is not: send it again."),
                retry_after=PAUSE,
            )
        case Meaning.SECURITY | Meaning.TOKEN | Meaning.ROBOT_GONE | Meaning.CONTENT as meaning:
            return ChannelRefused(what, _remedy(meaning))
        # An unknown code may be temporary, and a retry loses nothing; a refusal would lose the notice.
        case Meaning.BUSY | None:
            return ChannelUnavailable(what)


def _remedy(meaning: Meaning) -> Message:
    return {
        Meaning.SECURITY: M(
            "Compare the robot's security settings in DingTalk with Tapeline's: the signing secret, this"
            " machine's clock, its address, the keyword ('Tapeline' is in every message)."
        ),
        Meaning.TOKEN: M("Copy the robot's webhook address from DingTalk into the settings again."),
        Meaning.ROBOT_GONE: M("Add a robot to the group in DingTalk and put its webhook into the settings."),
        Meaning.CONTENT: M(
            "Use another channel beside DingTalk; the run's story is in 'tapeline runs show'."
        ),
    }[meaning]
