"""Who may do what: the role of a login, the role that each route needs, and the audit of what was pressed."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from flower.api import control, tasks, workers
from flower.views import auth, broker, error, monitor
from flower.views import tasks as task_pages
from flower.views import workers as worker_pages
from sqlalchemy.exc import SQLAlchemyError
from tornado.ioloop import IOLoop
from tornado.web import HTTPError, RequestHandler, StaticFileHandler

from celery_app import settings, wiring
from dashboard.language import words_for
from dashboard.login import user_of
from db.admin import audit
from db.admin.audit import Outcome
from policy.errors import TapelineError
from policy.message import M
from policy.roles import Role

log = structlog.get_logger("tapeline.dashboard")

READS = frozenset({"GET", "HEAD", "OPTIONS"})

FIELDS = (
    "why",
    "from",
    "place",
    "target",
    "set",
    "to",
    "below",
    "existing",
    "drive",
    "sample",
    "cartridge",
    "pool",
    "id",
)
"""What of a form is entered. Anything else in a request may contain what nobody should read for ever."""


@dataclass(frozen=True, slots=True)
class AccessRule:
    """What a route needs."""

    role: Role | None
    """None: it answers without a login and shows nothing of ours."""
    only_shows: bool = False
    """Nothing that it is sent changes anything, so nothing is entered in the audit."""


SHOWS = AccessRule(Role.VIEWER, only_shows=True)
OPEN = AccessRule(None)

FLOWERS: Mapping[type[RequestHandler], AccessRule] = {
    worker_pages.WorkersView: SHOWS,
    worker_pages.WorkerView: SHOWS,
    task_pages.TaskView: SHOWS,
    task_pages.TasksView: SHOWS,
    task_pages.TasksDataTable: SHOWS,
    broker.BrokerView: SHOWS,
    workers.ListWorkers: SHOWS,
    tasks.ListTasks: SHOWS,
    tasks.ListTaskTypes: SHOWS,
    tasks.GetQueueLengths: SHOWS,
    tasks.TaskInfo: SHOWS,
    tasks.TaskResult: SHOWS,
    # A task can be one of the runs', such as tapeline.retry.
    tasks.TaskApply: AccessRule(Role.OPERATOR),
    tasks.TaskAsyncApply: AccessRule(Role.OPERATOR),
    tasks.TaskSend: AccessRule(Role.OPERATOR),
    tasks.TaskAbort: AccessRule(Role.OPERATOR),
    control.TaskRevoke: AccessRule(Role.OPERATOR),
    control.TaskTimout: AccessRule(Role.ADMIN),
    control.TaskRateLimit: AccessRule(Role.ADMIN),
    control.WorkerShutDown: AccessRule(Role.ADMIN),
    control.WorkerPoolRestart: AccessRule(Role.ADMIN),
    control.WorkerPoolGrow: AccessRule(Role.ADMIN),
    control.WorkerPoolShrink: AccessRule(Role.ADMIN),
    control.WorkerPoolAutoscale: AccessRule(Role.ADMIN),
    control.WorkerQueueAddConsumer: AccessRule(Role.ADMIN),
    control.WorkerQueueCancelConsumer: AccessRule(Role.ADMIN),
    monitor.Metrics: OPEN,
    monitor.Healthcheck: OPEN,
    auth.LoginHandler: OPEN,
    auth.LogoutHandler: OPEN,
    error.NotFoundErrorHandler: OPEN,
    StaticFileHandler: OPEN,
}
"""Flower's own routes. One that is not here, of a newer Flower, needs an admin."""


class Forbidden(TapelineError):
    """The role of the login does not allow it."""


def role_of(user: str) -> Role:
    """The role of a login. Without roles in the settings everybody who may log in is an admin."""
    roles = settings.load().flower.roles
    return roles.get(user, Role.VIEWER) if roles else Role.ADMIN


class Guarded(RequestHandler):
    """A handler that answers only to the role of its rule, and enters in the audit what it is asked to do."""

    application: Any
    """Flower's."""
    rule: AccessRule = AccessRule(Role.ADMIN)
    _entry: int | None = None

    async def prepare(self) -> None:
        """Raises HTTPError for no login, Forbidden for the wrong role."""
        if self.rule.role is not None and self.current_user:
            await self._enter(self.rule.role)
        prepared = super().prepare()
        if inspect.isawaitable(prepared):
            await prepared

    @property
    def user(self) -> str:
        """Who asks, in the form of the run's story."""
        return user_of(self)

    @property
    def role(self) -> Role:
        return role_of(self.user)

    def entered(self) -> dict[str, str]:
        """What of the request is entered in the audit."""
        return {name: value for name in FIELDS if (value := RequestHandler.get_argument(self, name, ""))}

    async def enter_failed(self) -> None:
        """Enter in the audit that what only shows was asked for wrongly."""
        await self._record(Outcome.FAILED)

    async def _enter(self, needed: Role) -> None:
        if not self.role.may(needed):
            await self._record(Outcome.REFUSED)
            self.refuse(needed)
        if not (self.rule.only_shows or self.request.method in READS):
            self._entry = await self._record(None)

    def refuse(self, needed: Role) -> None:
        """Raises what becomes the answer 403."""
        why = forbidden(self.role, needed)
        raise HTTPError(403, words_for(self.request).error(why).replace("%", "%%"))

    async def _record(self, outcome: Outcome | None) -> int:
        """Raises HTTPError 503: what cannot be entered is not done."""
        entry = {
            "who": self.user,
            "role": self.role.value,
            "origin": str(self.request.remote_ip),
            "what": f"{self.request.method} {self.request.path}",
            "details": self.entered(),
            "outcome": outcome,
        }
        try:
            return await IOLoop.current().run_in_executor(None, lambda: _write(entry))
        except (TapelineError, SQLAlchemyError) as problem:
            log.warning("the audit cannot be written", error=str(problem))
            raise HTTPError(
                503, "the database does not answer, so this could not be entered in the audit"
            ) from None

    def on_finish(self) -> None:
        """How it ended, without a wait: the answer is out."""
        if self._entry is not None:
            number, outcome = self._entry, _outcome(self.get_status())
            IOLoop.current().run_in_executor(None, lambda: _settle(number, outcome))
        super().on_finish()


def forbidden(role: Role, needed: Role) -> Forbidden:
    """The error for a role that may not."""
    return Forbidden(
        M("Your role is {role}; this needs the role {needed}.", role=role.value, needed=needed.value),
        M("Ask an admin, who can assign it in the settings: [flower.roles]."),
    )


def guarded(route: Any) -> Any:
    """A route of Flower behind its rule."""
    handler = route.handler_class if hasattr(route, "handler_class") else route[1]
    rule = FLOWERS.get(handler, AccessRule(Role.ADMIN))
    if rule.role is None:
        return route
    ours = type(handler.__name__, (Guarded, handler), {"rule": rule})
    if hasattr(route, "handler_class"):
        route.handler_class = ours
        return route
    return (route[0], ours, *route[2:])


def _outcome(status: int) -> Outcome:
    return Outcome.DONE if status < 400 else Outcome.FAILED


def _write(entry: dict[str, Any]) -> int:
    with wiring.database().transaction() as session:
        return audit.enter(session, **entry)


def _settle(number: int, outcome: Outcome) -> None:
    try:
        with wiring.database().transaction() as session:
            audit.settle(session, number, outcome)
    except (TapelineError, SQLAlchemyError) as problem:
        log.warning("the outcome cannot be entered in the audit", entry=number, error=str(problem))
