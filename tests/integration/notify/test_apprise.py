"""Other channels, through Apprise, against a local server."""

from __future__ import annotations

from typing import Any

import pytest

from notify.channel import ChannelUnavailable
from notify.channels.apprise_channel import AppriseChannel
from notify.events import Event
from notify.notice import Composer, Notice
from notify.samples import SAMPLES
from notify.words import Words
from policy.errors import UsageError
from tests.faults.postbox import Postbox

# Apprise imports all its services when it first needs one, and with them what the machine has to offer.
pytestmark = [
    pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ImportWarning"),
]


@pytest.fixture
def url(robot: Any) -> str:
    return str(robot.url).replace("http://", "json://user:passw0rd@")


def test_notice_arrives(url: str, robot: Any, notice: Notice) -> None:
    """Title and plain text reach the service unchanged."""
    robot.answers({})
    AppriseChannel("ops", url).send(notice)
    assert robot.messages[0]["title"] == notice.title
    assert robot.messages[0]["message"] == notice.plain


@pytest.mark.parametrize("trouble", ["error", "reset"])
def test_failed_delivery_is_an_error(url: str, robot: Any, notice: Notice, trouble: str) -> None:
    """Apprise's False becomes an error that is tried again, and that names the channel and no password."""
    if trouble == "error":
        robot.answers({}, 500)
    else:
        robot.resets()
    with pytest.raises(ChannelUnavailable, match="'ops'") as failed:
        AppriseChannel("ops", url).send(notice)
    assert "passw0rd" not in str(failed.value)


@pytest.mark.parametrize(
    "wrong", ["", "nonsense", "unknown://x", "json://a.example, json://b.example", "http://"]
)
def test_what_is_not_one_url_is_refused(wrong: str) -> None:
    """A URL that Apprise does not know, or several in one, are refused when the settings are read."""
    with pytest.raises(UsageError, match="is not one URL"):
        AppriseChannel("ops", wrong)


def test_dingtalk_through_apprise_is_refused() -> None:
    """Apprise loses DingTalk's messages, so the remedy points at our own channel."""
    with pytest.raises(UsageError, match="own DingTalk channel") as refused:
        AppriseChannel("ops", "dingtalk://SECsecret@0123456789token")
    assert "0123456789token" not in str(refused.value)


def test_password_is_not_shown(url: str) -> None:
    """The URL, which may hold a password, is in no repr."""
    assert repr(AppriseChannel("ops", url)) == "AppriseChannel(name='ops')"


def test_a_wrong_url_is_logged_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """It may hold a password."""
    with pytest.raises(UsageError):
        AppriseChannel("ops", "mailtoz://user:passw0rd@example.com")
    assert "passw0rd" not in caplog.text


def test_a_report_is_a_mail_with_tables_and_figures(url: str, robot: Any) -> None:
    """HTML with its charts, plain text beside it, the figures attached; another service gets the text."""
    report = Composer(Words("zh_CN")).compose(SAMPLES[Event.REPORT])
    postbox = Postbox()
    try:
        AppriseChannel("mail", postbox.url).send(report)
        AppriseChannel("mail", postbox.url).send(Composer(Words("en")).compose(SAMPLES[Event.FAILED]))
    finally:
        postbox.close()
    mail, other = postbox.mails
    assert "备份报告" in mail["Subject"]
    page, text = mail.get_body(("html",)), mail.get_body(("plain",))
    assert page is not None
    assert 'bgcolor="#2f6fb0"' in page.get_content()
    assert text is not None
    assert "monthly-full" in text.get_content()
    [figures] = mail.iter_attachments()
    assert figures.get_filename() == "tapeline-month-2026-11-01.csv"
    assert "monthly-full" in figures.get_payload(decode=True).decode("utf-8-sig")  # type: ignore[union-attr]
    assert not list(other.iter_attachments())
    robot.answers({})
    AppriseChannel("ops", url).send(report)
    assert robot.messages[0]["message"] == report.plain
