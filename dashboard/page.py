"""The base of all our pages: a login, a language, the database, and errors in one line."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from flower.views import BaseHandler
from sqlalchemy.orm import Session
from tornado.ioloop import IOLoop
from tornado.web import HTTPError, RequestHandler, StaticFileHandler

from celery_app import wiring
from celery_app.sections import LOOPBACK
from dashboard.access import SHOWS, Forbidden, Guarded, forbidden
from dashboard.headers import POLICY
from dashboard.language import words_for
from dashboard.show import Show
from db.errors import DatabaseUnavailable, NotAllowed, NotFound
from policy.errors import TapelineError, UsageError
from policy.message import M
from policy.roles import Role

log = logging.getLogger(__name__)

T = TypeVar("T")

PLACES = {
    "today": M("Today"),
    "runs": M("Runs"),
    "files": M("Files"),
    "tapes": M("Tapes"),
    "schedules": M("Schedules"),
    "drives": M("Drives"),
    "library": M("Library"),
    "audit": M("Audit"),
}
"""The places of the navigation; the heading of their pages for a screen reader."""

STATUS: dict[type[TapelineError], HTTPStatus] = {
    Forbidden: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    NotAllowed: HTTPStatus.CONFLICT,
    UsageError: HTTPStatus.BAD_REQUEST,
    DatabaseUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}


class Page(Guarded, BaseHandler):  # type: ignore[misc]  # Flower has no types
    """A page of ours: every method is marked ``authenticated``, and a test enforces that."""

    rule = SHOWS
    active = ""
    """The entry of the navigation that it belongs to."""

    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("Cache-Control", "no-store")

    async def prepare(self) -> None:
        """Without logins, a host name that another site points at this host opens nothing."""
        options = self.application.options
        if not (options.basic_auth or options.auth or self.is_asked_by_our_name()):
            raise HTTPError(HTTPStatus.FORBIDDEN, "without a login this dashboard answers as localhost alone")
        await super().prepare()

    def refuse(self, needed: Role) -> None:
        """Raises Forbidden, which becomes a page."""
        raise forbidden(self.role, needed)

    def may(self, role: str) -> bool:
        """Whether the login has a role: a button that it may not press is not shown."""
        return self.role.may(Role(role))

    def is_asked_by_our_name(self) -> bool:
        """Whether the requested address is this host's own, and not a name that only resolves to it."""
        return self.request.host_name.strip("[]") in LOOPBACK

    def check_xsrf_cookie(self) -> None:
        """A button works only from our own page, for a logged-in user; Flower requires less."""
        site = self.request.headers.get("Sec-Fetch-Site")
        origin = self.request.headers.get("Origin")
        if site not in {None, "same-origin"} or (origin and urlsplit(origin).netloc != self.request.host):
            raise HTTPError(HTTPStatus.FORBIDDEN, "the request comes from another site")
        RequestHandler.check_xsrf_cookie(self)

    @property
    def show(self) -> Show:
        return Show(words_for(self.request))

    def link(self, *parts: str | int, **query: str | None) -> str:
        """The address of one of our pages or Flower's, with any prefix of Flower."""
        return address(self, *parts, **query)

    async def work(self, what: Callable[[], T]) -> T:
        """Run what waits for a database or a broker without delaying other requests."""
        return await IOLoop.current().run_in_executor(None, what)

    async def ask(self, question: Callable[[Session], T]) -> T:
        """Ask the database in one transaction. Raises DatabaseUnavailable."""

        def asked() -> T:
            with wiring.database().transaction() as session:
                return question(session)

        return await self.work(asked)

    def page(self, template: str, **values: Any) -> None:
        """Answer with a template of ours."""
        common = {"show": self.show, "M": M, "link": self.link, "active": self.active, "may": self.may}
        common["heading"] = self.show(PLACES[self.active]) if self.active in PLACES else "Tapeline"
        self.render(template, **common, **values)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if isinstance(value, TapelineError):
            log.warning("%s: %s", self.request.path, value)
        else:
            super().log_exception(typ, value, tb)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        if isinstance(error, TapelineError):
            status_code = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
        elif status_code == HTTPStatus.INTERNAL_SERVER_ERROR:
            error = TapelineError(M("The dashboard could not make this page."), M("Its log says why."))
        else:
            super().write_error(status_code, **kwargs)
            return
        self.set_status(status_code)
        self.page("problem.html", error=error)


def number(field: str, value: str) -> int:
    """A whole number of a query, from 1 on. Raises UsageError that names the field."""
    if not (value.isascii() and value.isdigit() and 0 < len(value) < 18 and int(value) > 0):
        raise UsageError(M("{field}: '{value}' is not a number.", field=field, value=value))
    return int(value)


def address(handler: Any, *parts: str | int, **query: str | None) -> str:
    """The address of a page below Flower's prefix."""
    prefix = (handler.application.options.url_prefix or "").strip("/")
    path = "/".join(quote(str(part), safe="") for part in parts)
    given = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items() if value)
    return (f"/{prefix}" if prefix else "") + f"/{path}" + (f"?{given}" if given else "")


class Static(StaticFileHandler):
    """Our style sheet and script; they contain nothing personal."""

    def initialize(self) -> None:  # type: ignore[override]  # the folder is always the same
        super().initialize(path=str(Path(__file__).parent / "static"))
