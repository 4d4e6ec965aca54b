"""The buttons that freeze all formats, and lift a freeze."""

from __future__ import annotations

from http import HTTPStatus

import structlog
from sqlalchemy.orm import Session
from tornado.web import authenticated

from dashboard.access import AccessRule
from dashboard.pages.buttons import Button, needed_reason
from db import freezes
from db.errors import NotAllowed
from policy.message import M
from policy.roles import Role

log = structlog.get_logger("tapeline.dashboard")


class FreezeFormats(Button):
    """Freeze all formats."""

    rule = AccessRule(Role.ADMIN)
    active = "tapes"

    @authenticated
    async def get(self) -> None:
        self.question(
            M("Let no tape be formatted until somebody lifts it? Backups that need a format wait, or fail."),
            M("Freeze formats"),
            self.link("tapes"),
            asks_why=True,
        )

    @authenticated
    async def post(self) -> None:
        who, why = self.user, self.reason()

        def do(session: Session) -> str:
            return freezes.freeze(session, None, who, needed_reason(why)).name

        log.info("formats are frozen", name=await self.ask(do), by=who)
        self.redirect(self.link("today"), status=HTTPStatus.SEE_OTHER)


class Unfreeze(Button):
    """Lift a freeze by its name."""

    rule = AccessRule(Role.ADMIN)
    active = "today"

    @authenticated
    async def get(self, name: str) -> None:
        standing = await self.ask(
            lambda session: {each.name: each.reason for each in freezes.standing(session)}
        )
        if name not in standing:
            raise NotAllowed(M("Freeze '{name}' is lifted already.", name=name))
        self.question(
            M(
                "Lift freeze {name}? Tapes past their retention can be formatted again. {reason}",
                name=name,
                reason=standing[name],
            ),
            M("Lift the freeze"),
            self.link("today"),
            asks_why=True,
            danger=True,
        )

    @authenticated
    async def post(self, name: str) -> None:
        who, why = self.user, self.reason()
        await self.ask(lambda session: freezes.lift(session, name, who, needed_reason(why)))
        log.info("a freeze is lifted", name=name, by=who)
        self.redirect(self.link("today"), status=HTTPStatus.SEE_OTHER)
