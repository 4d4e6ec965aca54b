"""Links from Flower's pages to ours."""

from __future__ import annotations

import re
from http import HTTPStatus

from tornado.web import RequestHandler

from dashboard.language import words_for
from dashboard.page import PLACES, address
from policy.message import M

THEIRS = {"Workers": M("Workers"), "Tasks": M("Tasks"), "Broker": M("Broker")}
"""Entries of Flower's own."""
_TASK = re.compile(r"run([0-9]{1,18})-[0-9]+-[0-9]+-[a-z_]+")
"""In the form of ``tasks.chain.message_id``."""


def entries(handler: RequestHandler) -> list[tuple[str, str, str]]:
    """Each of our places: its name, its text and its address."""
    words = words_for(handler.request)
    return [(place, words.text(text), address(handler, place)) for place, text in PLACES.items()]


def guide(handler: RequestHandler) -> tuple[str, str]:
    """Our guide, in the place of Flower's: its text and its address."""
    return words_for(handler.request).text(M("Guide")), address(handler, "docs", "")


def flowers(handler: RequestHandler, name: str) -> str:
    """The name of one of Flower's entries."""
    return words_for(handler.request).text(THEIRS[name])


def problem(handler: RequestHandler) -> tuple[str, str]:
    """Why one of Flower's addresses shows nothing, and the remedy: Flower itself would write English."""
    say = words_for(handler.request).text
    match handler.get_status():
        case HTTPStatus.NOT_FOUND:
            return say(M("There is no such page.")), say(M("The bar has all pages."))
        case HTTPStatus.FORBIDDEN:
            return say(M("The dashboard refused this request.")), say(
                M("Log in again, and start from the bar.")
            )
        case _:
            return say(M("The dashboard could not make this page.")), say(M("Its log says why."))


def run_of_task(handler: RequestHandler, task_id: str) -> tuple[str, str] | None:
    """The run that a task belongs to: its text and its address; None for a task of no run."""
    match = _TASK.fullmatch(task_id)
    if not match:
        return None
    number = int(match[1])
    return words_for(handler.request).text(M("Run {id}", id=number)), address(handler, "runs", number)
