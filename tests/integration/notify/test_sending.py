"""A channel has an end in total time, and no error of it comes through."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from notify import sending
from notify.channel import ChannelRefused, ChannelUnavailable
from notify.channels.apprise_channel import AppriseChannel
from notify.notice import Notice
from policy.message import M
from tests.faults.trickle import Trickle

# Apprise imports all its services when it first needs one, and with them what the machine has to offer.
pytestmark = [
    pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ImportWarning"),
]

NOTICE = Notice("title", "text", "text", "")


@pytest.fixture
def trickle() -> Iterator[Trickle]:
    found = Trickle()
    yield found
    found.close()


class Failing:
    name = "ops"

    def __init__(self, error: Exception) -> None:
        self._error = error

    def send(self, _notice: Notice) -> None:
        raise self._error


def test_an_answer_that_never_ends_is_left_behind(trickle: Trickle) -> None:
    """Though each byte of it comes in time."""
    error = sending.send(AppriseChannel("ops", trickle.url), NOTICE, 2.0)
    assert trickle.asked.is_set()
    assert isinstance(error, ChannelUnavailable)
    assert "not complete after 2 s" in str(error)


def test_an_unexpected_error_is_one_of_the_channel() -> None:
    """Its text, which may hold an address with a password, is not shown."""
    error = sending.send(Failing(UnicodeError("https://user:secret@host")), NOTICE)
    assert isinstance(error, ChannelUnavailable)
    assert "UnicodeError" in str(error)
    assert "secret" not in str(error)


def test_a_refusal_is_what_it_is() -> None:
    refusal = ChannelRefused(M("Correct it."))
    assert sending.send(Failing(refusal), NOTICE) is refusal
