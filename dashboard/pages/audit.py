"""Who did what, when and from where; kept for ever."""

from __future__ import annotations

from tornado.web import authenticated

from dashboard.page import Page, number
from db.admin import audit
from db.admin.audit import Outcome
from policy.message import M

A_PAGE = 100

ENDS = {Outcome.DONE: M("done"), Outcome.REFUSED: M("refused"), Outcome.FAILED: M("failed")}
COLOURS = {
    Outcome.DONE: "text-bg-success",
    Outcome.REFUSED: "text-bg-warning",
    Outcome.FAILED: "text-bg-danger",
}


class Audit(Page):
    """``/audit?who=&before=``."""

    active = "audit"

    @authenticated
    async def get(self) -> None:
        who, before = self.get_query_argument("who", "").strip(), self.get_query_argument("before", "")
        older_than = number("before", before) if before else None
        entries = await self.ask(
            lambda session: [
                audit.as_json(each)
                for each in audit.entries(session, limit=A_PAGE + 1, before=older_than, who=who or None)
            ]
        )
        shown = entries[:A_PAGE]
        self.page(
            "audit.html",
            entries=shown,
            who=who,
            before=before,
            older=str(shown[-1]["id"]) if len(entries) > A_PAGE else None,
            ends=ENDS,
            colours=COLOURS,
        )
