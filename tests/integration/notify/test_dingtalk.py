"""Our DingTalk sender against a webhook that checks and answers as DingTalk does."""

from __future__ import annotations

import logging
import time
import traceback
from dataclasses import replace
from typing import Any

import pytest

from notify.channel import ChannelUnavailable, RateLimited
from notify.channels.dingtalk import DingTalk, signature
from notify.channels.dingtalk_answer import PAUSE
from notify.channels.rate_limit import RateLimit
from notify.notice import Notice


def test_message_arrives(dingtalk: DingTalk, robot: Any, notice: Notice) -> None:
    """A signed message passes all that DingTalk checks, and arrives letter by letter."""
    dingtalk.send(notice)
    assert robot.messages == [
        {
            "msgtype": "markdown",
            "markdown": {"title": notice.title, "text": notice.markdown},
            "at": {"atMobiles": [], "isAtAll": False},
        }
    ]


def test_signature_is_the_documented_one() -> None:
    """The signature is HMAC-SHA256 with the secret, over time, line break and secret."""
    # Made with: printf '1700000000000\nSECx' | openssl dgst -sha256 -hmac SECx -binary | base64
    assert signature("SECx", "1700000000000") == "rgcjbH+yFyES+S0llX+cAPCwVRpsr7sbiX5Lnyo/ocU="


def test_every_time_of_day_is_signed_right(robot: Any, notice: Notice) -> None:
    """Signatures with characters that an address must quote are accepted as well."""
    signatures = ""
    for second in range(18):
        DingTalk(
            robot.token,
            robot.secret,
            base_url=robot.url,
            clock=lambda second=second: time.time() - second,  # type: ignore[misc]
        ).send(notice)
        signatures += robot.requests[-1][0].partition("&sign=")[2]
    assert "%2F" in signatures or "%2B" in signatures


def test_members_are_called_where_somebody_has_to_act(robot: Any, notice: Notice) -> None:
    """The one on duty is called at two in the morning for a failure, and sleeps through a success."""
    dingtalk = DingTalk(robot.token, robot.secret, base_url=robot.url, at_mobiles=["13800000000"])
    dingtalk.send(notice)
    dingtalk.send(replace(notice, calls=True))
    well, failed = robot.messages
    assert (well["at"]["atMobiles"], "@13800000000" in well["markdown"]["text"]) == ([], False)
    assert (failed["at"]["atMobiles"], "@13800000000" in failed["markdown"]["text"]) == (
        ["13800000000"],
        True,
    )


def test_robot_without_a_secret_sends_no_signature(robot: Any, notice: Notice) -> None:
    """Where the robot's security is by keyword, neither time nor signature are sent."""
    robot.answers({"errcode": 0, "errmsg": "ok"})
    DingTalk(robot.token, None, base_url=robot.url).send(notice)
    assert robot.requests[0][0] == f"/robot/send?access_token={robot.token}"


def test_too_many_messages_are_not_sent(robot: Any, notice: Notice) -> None:
    """The twenty-first message of a minute does not leave the house."""
    now = [0.0]
    limit = RateLimit(20, 60, lambda: now[0])
    dingtalk = DingTalk(robot.token, robot.secret, base_url=robot.url, limit=limit)
    for _ in range(20):
        dingtalk.send(notice)
    with pytest.raises(RateLimited) as early:
        dingtalk.send(notice)
    assert len(robot.requests) == 20
    now[0] += early.value.retry_after
    dingtalk.send(notice)
    assert len(robot.requests) == 21


def test_robots_are_limited_to_twenty_a_minute(robot: Any, notice: Notice) -> None:
    """Twenty a minute is the limit that every robot has by itself."""
    dingtalk = DingTalk(robot.token, robot.secret, base_url=robot.url)
    for _ in range(20):
        dingtalk.send(notice)
    with pytest.raises(RateLimited):
        dingtalk.send(notice)


def test_dingtalks_own_limit_is_kept(robot: Any, notice: Notice) -> None:
    """After DingTalk has said that it was too fast, nothing is sent for its ten minutes."""
    now = [0.0]
    dingtalk = DingTalk(
        robot.token, robot.secret, base_url=robot.url, limit=RateLimit(20, 60, lambda: now[0])
    )
    robot.answers({"errcode": 130101, "errmsg": "send too fast, exceed 20 times per minute"})
    with pytest.raises(RateLimited) as told:
        dingtalk.send(notice)
    assert told.value.retry_after == PAUSE
    with pytest.raises(RateLimited):
        dingtalk.send(notice)
    assert len(robot.requests) == 1
    now[0] += PAUSE
    robot.answer = None
    dingtalk.send(notice)


def error_of(dingtalk: DingTalk, notice: Notice) -> BaseException | None:
    try:
        dingtalk.send(notice)
    except ChannelUnavailable as error:
        return error
    return None


@pytest.mark.parametrize("trouble", ["echo", "reset", "nobody", "slow", "none"])
def test_secrets_are_never_shown(
    robot: Any, deaf: str, notice: Notice, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    """Neither token, secret nor signature is in a log, in an error with all its causes, or in a repr."""
    caplog.set_level(logging.DEBUG)
    match trouble:
        case "echo":
            robot.answers({"errcode": 1, "errmsg": f"{robot.token} and {robot.secret}"})
        case "reset":
            robot.resets()
        case "slow":
            robot.never_answers()
    base_url = deaf if trouble == "nobody" else robot.url
    dingtalk = DingTalk(robot.token, robot.secret, base_url=base_url, timeout=0.2)
    error = error_of(dingtalk, notice)
    assert (error is None) is (trouble == "none")
    # Not even hidden from tracebacks: reporters of errors read these two as well.
    assert error is None or (error.__cause__, error.__context__) == (None, None)
    shown = repr(dingtalk) + repr(error) + "".join(traceback.format_exception(error)) + caplog.text
    assert "Starting new HTTP connection" in shown
    for secret in (robot.token, robot.secret, "sign=", "access_token="):
        assert secret not in shown
