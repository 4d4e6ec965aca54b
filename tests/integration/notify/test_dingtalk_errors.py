"""What DingTalk and the way to it may answer, and what the sender makes of it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from notify.channel import ChannelRefused, ChannelUnavailable, RateLimited
from notify.channels.dingtalk import DingTalk
from notify.channels.dingtalk_answer import MEANINGS, Meaning
from notify.notice import Notice
from notify.words import Words
from policy.errors import Consequence, TapelineError


def test_wrong_secret_is_refused(robot: Any, notice: Notice) -> None:
    """A wrong secret is refused for good, with what to compare, in both languages."""
    wrong = DingTalk(robot.token, "SECwrong", base_url=robot.url)
    with pytest.raises(ChannelRefused) as refused:
        wrong.send(notice)
    assert "310000: sign not match" in str(refused.value)
    assert "加签密钥" in Words("zh_CN").error(refused.value)


def test_wrong_clock_is_refused(robot: Any, notice: Notice) -> None:
    """A clock that is more than an hour wrong is refused, and the remedy names the clock."""
    late = DingTalk(robot.token, robot.secret, base_url=robot.url, clock=lambda: time.time() - 3700)
    with pytest.raises(ChannelRefused, match=r"invalid timestamp.*clock"):
        late.send(notice)


def test_wrong_token_is_refused(robot: Any, notice: Notice) -> None:
    """A token of no robot is refused, and the remedy says where to find the right one."""
    with pytest.raises(ChannelRefused, match=r"300005.*webhook address"):
        DingTalk("wrong", robot.secret, base_url=robot.url).send(notice)


@pytest.mark.parametrize("code", sorted(code for code in MEANINGS if MEANINGS[code] is not Meaning.BUSY))
def test_error_with_http_200_is_no_success(dingtalk: DingTalk, robot: Any, notice: Notice, code: int) -> None:
    """Each documented error code is an error of its kind although HTTP says 200."""
    robot.answers({"errcode": code, "errmsg": "said so"})
    with pytest.raises(TapelineError, match=f"{code}: said so") as refused:
        dingtalk.send(notice)
    too_fast = MEANINGS[code] is Meaning.TOO_FAST
    assert type(refused.value) is (RateLimited if too_fast else ChannelRefused)
    assert refused.value.remedy is not None


@pytest.mark.parametrize("code", [-1, 987654])
def test_passing_trouble_is_tried_again(dingtalk: DingTalk, robot: Any, notice: Notice, code: int) -> None:
    """A busy DingTalk, and a code that nobody knows, lose no message."""
    robot.answers({"errcode": code, "errmsg": "系统繁忙"})
    with pytest.raises(ChannelUnavailable) as trouble:
        dingtalk.send(notice)
    assert type(trouble.value) is ChannelUnavailable
    assert trouble.value.consequence is Consequence.RETRY


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Login</html>",
        b"",
        b"[]",
        b"{}",
        b'{"errcode": "0"}',
        b'{"errcode": false}',
        b"null",
        b"[" * 99999,
    ],
)
def test_answer_of_a_stranger_is_no_success(
    dingtalk: DingTalk, robot: Any, notice: Notice, body: bytes
) -> None:
    """An HTTP 200 that does not say errcode 0 is never taken for a delivery."""
    robot.answers(body)
    with pytest.raises(ChannelUnavailable, match="did not answer as DingTalk does"):
        dingtalk.send(notice)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (500, ChannelUnavailable),
        (502, ChannelUnavailable),
        (408, ChannelUnavailable),
        (429, RateLimited),
        (302, ChannelRefused),
        (404, ChannelRefused),
    ],
)
def test_http_errors(
    dingtalk: DingTalk, robot: Any, notice: Notice, status: int, kind: type[TapelineError]
) -> None:
    """A server's trouble is tried again, a wrong address is not, and a redirection is not followed."""
    robot.answers({"errcode": 0, "errmsg": "ok"}, status)
    with pytest.raises(kind, match=f"HTTP {status}") as trouble:
        dingtalk.send(notice)
    assert type(trouble.value) is kind
    assert len(robot.requests) == 1


def test_slow_server_is_left(robot: Any, notice: Notice) -> None:
    """A server that does not answer is left at the time-out."""
    robot.never_answers()
    with pytest.raises(ChannelUnavailable, match="ReadTimeout"):
        DingTalk(robot.token, robot.secret, base_url=robot.url, timeout=0.2).send(notice)


def test_reset_connection_is_tried_again(dingtalk: DingTalk, robot: Any, notice: Notice) -> None:
    """A connection that breaks is a passing trouble, and is not tried twice by the sender itself."""
    robot.resets()
    with pytest.raises(ChannelUnavailable, match="ConnectionError"):
        dingtalk.send(notice)
    assert len(robot.requests) == 1


def test_nobody_listens(robot: Any, deaf: str, notice: Notice) -> None:
    """A refused connection is a passing trouble; the message names no address."""
    with pytest.raises(ChannelUnavailable) as trouble:
        DingTalk(robot.token, robot.secret, base_url=deaf).send(notice)
    assert "127.0.0.1" not in str(trouble.value)
