"""A notice: the text about one event that an operator reads on a phone."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import structlog

from notify import markdown
from notify.events import CALLS, Event
from notify.facts import Facts
from notify.message_template import BrokenTemplate, Templates
from notify.report.lines import Report
from notify.words import Words
from policy.message import M

log = structlog.get_logger("tapeline.notify")

WARNINGS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Attached:
    """A file beside a message."""

    name: str
    mime_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Notice:
    """The same text in two forms, in the operator's language."""

    title: str
    markdown: str
    plain: str
    where_the_rest_is: str
    """One plain line that a channel puts where it cuts the text."""
    calls: bool = False
    """Somebody has to act: a channel that can call people does so."""
    event: Event | None = None
    """What it is about; None: it is a test."""
    run_id: int | None = None
    html: str | None = None
    """The text for a mail, if it has tables and charts."""
    attached: Attached | None = None
    """A file for channels that take one."""


class Composer:
    """Makes notices from facts.

    ``templates_dir``: the operator's own templates. ``dashboard_url``: the dashboard's address from outside;
    each run is then linked. ``time_zone``: the clock of facts that name none.
    """

    def __init__(
        self,
        words: Words,
        *,
        templates_dir: Path | None = None,
        dashboard_url: str | None = None,
        time_zone: str = "UTC",
    ) -> None:
        self._words = words
        self._time_zone = time_zone
        self._dashboard_url = dashboard_url.rstrip("/") if dashboard_url else None
        self.templates = Templates(words, templates_dir)

    def compose(self, facts: Facts) -> Notice:
        """Describe what happened, to which tape, what is safe and what continues."""
        rest = (
            M("Shortened. All of it: tapeline runs show {id}", id=facts.run_id)
            if facts.run_id is not None
            else M("Shortened. See: tapeline status")
        )
        try:
            notice = self._notice(facts.event.value, self._variables(facts), self._words.text(rest))
        except BrokenTemplate as error:
            log.warning("a message is made without its template", about=facts.event.value, error=str(error))
            notice = self._bare(facts, self._words.text(rest))
        notice = replace(notice, calls=facts.event in CALLS, event=facts.event, run_id=facts.run_id)
        return self._with_report(notice, facts) if facts.report else notice

    def _with_report(self, notice: Notice, facts: Facts) -> Notice:
        from notify.report import csv, html  # noqa: PLC0415 - few messages are reports

        assert facts.report is not None
        report = self._report(facts)
        table = Attached(f"{report.name}.csv", "text/csv", csv.text(report.data).encode())
        return replace(notice, html=html.html(report), attached=table)

    def _report(self, facts: Facts) -> Report:
        return Report(facts.report or {}, self._words, facts.time_zone or self._time_zone)

    def alive(self, host: str) -> Notice:
        """The text of the sign of life that Tapeline itself sends."""
        title = self._words.text(M("Tapeline · All is well on {host}", host=host))
        return Notice(title, markdown.escape(title), title, "", event=Event.SUCCESS)

    def test(self, host: str, channel: str) -> Notice:
        """The message of ``tapeline notify test``."""
        return self._notice("test", {"host": host, "channel": channel, "link": self._dashboard_url}, "")

    def _notice(self, template: str, variables: dict[str, Any], rest: str) -> Notice:
        text = self.templates.fill_in(template, variables)
        # A robot of DingTalk may accept only messages with its keyword: this one is in every message.
        title = f"Tapeline · {text.title}"
        return Notice(title, f"### {markdown.escape(title)}\n\n{text.markdown}", text.plain, rest)

    def _bare(self, facts: Facts, rest: str) -> Notice:
        """The minimum: a message that cannot be made is not lost, and does not delay others."""
        about = facts.schedule or facts.drive or facts.channel or ""
        title = markdown.one_line(f"Tapeline · {facts.event.value}: {about}")
        plain = markdown.one_line(self._words.text(facts.reason)) if facts.reason else rest
        return Notice(title, f"### {markdown.escape(title)}\n\n{markdown.escape(plain)}", plain, rest)

    def _variables(self, facts: Facts) -> dict[str, Any]:
        """The facts by name, and what is derived from them."""
        named = {field.name: getattr(facts, field.name) for field in fields(facts)}
        is_told = bool(
            facts.next_command and facts.remedy and facts.next_command in self._words.text(facts.remedy)
        )
        return {
            **named,
            "first_warnings": facts.first_warnings[:WARNINGS_SHOWN],
            "next_command": None if is_told else facts.next_command,
            "link": self._link(facts),
            "time_zone": facts.time_zone or self._time_zone,
            "report": self._report(facts) if facts.report else None,
        }

    def _link(self, facts: Facts) -> str | None:
        if self._dashboard_url is None or facts.run_id is None:
            return self._dashboard_url
        return f"{self._dashboard_url}/runs/{facts.run_id}"
