"""Make, change and copy a schedule by a form: filled in, looked at beforehand, saved."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any

import structlog
from sqlalchemy.orm import Session
from tornado.web import authenticated

from celery_app import settings
from celery_app.host import wanted
from dashboard.access import AccessRule
from dashboard.pages.buttons import Button
from db.errors import NotAllowed
from db.models import ScheduledTask, now
from db.schedules import needs, preview, schedules, sync
from db.schedules.sync import Action, ScheduleChange
from db.tapes import drives
from policy.errors import TapelineError, UsageError, UsageErrors
from policy.message import M, Message
from policy.roles import Role
from policy.schedule import form as schedule_form
from policy.schedule.file import WantedSchedule
from policy.schedule.table import FieldError
from policy.times.calendar import CalendarEntry
from policy.times.local_time import zone_named

log = structlog.get_logger("tapeline.dashboard")

NAME = "name"
TABLES = {
    "when": M("When"),
    "backup": M("What it backs up"),
    "backup.guard": M("Guard over the sources"),
    "": M("Drive, tapes and runs"),
}
"""The parts of the form, by the table of the file that their fields are in."""
MAX_ROWS = 20
"""Rows of a table of the preview."""


@dataclass(slots=True)
class ScheduleForm:
    """The form as it was filled in, and what is wrong with each field."""

    name: str
    texts: dict[str, str]
    """By field."""
    seen: str = "{}"
    """The schedule as it was when the form was made: nothing for a new one."""
    wrong: dict[str, TapelineError] = field(default_factory=dict)
    wanted: list[WantedSchedule] = field(default_factory=list)
    """The schedule, if nothing is wrong."""

    def check(self) -> None:
        """Read it as a file of schedules is read; what is wrong is noted beside its field."""
        try:
            self.wanted = wanted.read(schedule_form.document(self.name, self.texts))
        except UsageErrors as error:
            self.note(error)

    def note(self, found: UsageErrors) -> None:
        for each in found.errors:
            place = each.place[2:] if isinstance(each, FieldError) else ()
            self.wrong.setdefault(".".join(place) or NAME, self._shorter(each))

    def _shorter(self, error: UsageError) -> UsageError:
        """Beside its field an error needs no path."""
        where = str(error.message.params.get("where", "")).removeprefix(f"schedules.{self.name}").lstrip(".")
        where = NAME if where == "schedules" else where
        return UsageError(Message(error.message.id, {**error.message.params, "where": where}), error.remedy)

    def changes(self) -> dict[str, str]:
        """For the audit: each changed field with its values, or the names of the wrong ones only, because
        nobody knows what was pasted there."""
        if self.wrong:
            return {"wrong": ", ".join(self.wrong)}
        before = _fields(self.seen)
        after = {each: value for each, value in self.texts.items() if value != before.get(each, "")}
        return {each: f"{before.get(each) or '–'} → {value or '–'}" for each, value in after.items()}


def of_row(row: ScheduledTask, name: str, *, is_copy: bool = False) -> ScheduleForm:
    """The form of a schedule as it is now."""
    texts = schedule_form.texts(sync.shown(row))
    return ScheduleForm(name, texts, "{}" if is_copy else seen_of(row))


def empty() -> ScheduleForm:
    """The form of a new schedule: every field has its default."""
    texts = {each.place: each.default for each in schedule_form.fields()}
    configured = settings.load()
    texts |= {"time_zone": configured.time_zone, "drive": configured.default_drive, "when.type": "monthly"}
    return ScheduleForm("", texts)


def seen_of(row: ScheduledTask | None) -> str:
    return json.dumps(schedule_form.texts(sync.shown(row)) if row is not None else {})


def _fields(seen: str) -> dict[str, str]:
    try:
        return dict(json.loads(seen))
    except (ValueError, TypeError):
        return {}


class _Editor(Button):
    """``/schedules/new`` and ``/schedules/NAME/edit``: the form, and saving it."""

    rule = AccessRule(Role.ADMIN)
    active = "schedules"
    only_previews = False

    def entered(self) -> dict[str, str]:
        """What the form would change, never as it was typed in."""
        if self.request.method != "POST":
            return {}
        filled = self.filled()
        filled.check()
        return {NAME: filled.name, **filled.changes()}

    def filled(self) -> ScheduleForm:
        """What was sent."""
        texts = {
            each.place: str(self.get_body_argument(each.place, "", strip=False)).replace("\r\n", "\n")
            for each in schedule_form.fields()
        }
        name = self.path_args[0] if self.path_args else str(self.get_body_argument(NAME, "")).strip()
        return ScheduleForm(name, texts, str(self.get_body_argument("seen", "{}")))

    @property
    def place(self) -> tuple[str, ...]:
        """The path of the form."""
        return ("schedules", self.path_args[0], "edit") if self.path_args else ("schedules", "new")

    async def show_form(self, form: ScheduleForm, changed: list[Message] | None = None) -> None:
        if form.wrong:
            self.set_status(HTTPStatus.BAD_REQUEST)
        if changed:
            self.set_status(HTTPStatus.CONFLICT)
        known = await self.ask(drives.names)
        fields: dict[str, list[schedule_form.FormField]] = {table: [] for table in TABLES}
        for each in schedule_form.fields():
            fields.setdefault(each.table, []).append(each)
        self.page(
            "schedule_form.html",
            form=form,
            changed=changed or [],
            tables=[(TABLES.get(table, M("More")), table, inner) for table, inner in fields.items()],
            place=self.place,
            is_new=not self.path_args,
            suggestions={"drive": known, "tape_policy": ["current_month", "rotate"]},
        )

    async def save(self, form: ScheduleForm) -> list[Message]:
        """Save it, and redirect; or what has changed since the form was made."""
        changed = await self.ask(lambda session: _save(session, form, is_new=not self.path_args))
        if not form.wrong and not changed:
            log.info("a schedule was saved", schedule=form.name, by=self.user)
            self.redirect(f"{self.link('schedules')}#{form.name}", status=HTTPStatus.SEE_OTHER)
        return changed

    async def show_preview(self, form: ScheduleForm) -> list[Message]:
        """Answer with what it would do; or what has changed since the form was made."""
        found, changed = await self.ask(lambda session: previewed(session, form, is_new=not self.path_args))
        if not form.wrong and not changed:
            self.page("schedule_preview.html", form=form, place=self.place, **found)
        return changed

    @authenticated
    async def post(self, *_path: str) -> None:
        form = self.filled()
        if self.get_query_argument("again", ""):
            await self.show_form(form)
            return
        form.check()
        changed: list[Message] = []
        if not form.wrong:
            changed = await (self.show_preview(form) if self.only_previews else self.save(form))
        if not form.wrong and not changed:
            return
        if self.only_previews:
            await self.enter_failed()
        if changed:
            row = await self.ask(lambda session: next(iter(schedules.named(session, form.name)), None))
            form.seen = seen_of(row)
        await self.show_form(form, changed)


class NewSchedule(_Editor):
    """``/schedules/new?copy=``."""

    @authenticated
    async def get(self) -> None:
        original = self.get_query_argument("copy", "")
        if not original:
            await self.show_form(empty())
            return
        await self.show_form(
            await self.ask(
                lambda session: of_row(schedules.get(session, original), f"{original}-2", is_copy=True)
            )
        )


class EditSchedule(_Editor):
    """``/schedules/NAME/edit``."""

    @authenticated
    async def get(self, name: str) -> None:
        await self.show_form(await self.ask(lambda session: of_row(editable(session, name), name)))


class PreviewNew(_Editor):
    """``/schedules/new/preview``: POST shows what it would do, and changes nothing."""

    rule = AccessRule(Role.ADMIN, only_shows=True)
    only_previews = True

    @authenticated
    async def get(self) -> None:
        self.redirect(self.link("schedules", "new"), status=HTTPStatus.SEE_OTHER)


class PreviewEdit(_Editor):
    """``/schedules/NAME/edit/preview``: POST shows what it would do, and changes nothing."""

    rule = AccessRule(Role.ADMIN, only_shows=True)
    only_previews = True

    @authenticated
    async def get(self, name: str) -> None:
        self.redirect(self.link("schedules", name, "edit"), status=HTTPStatus.SEE_OTHER)


def editable(session: Session, name: str) -> ScheduledTask:
    """A schedule that no file declares. Raises NotFound; NotAllowed names the file."""
    row = schedules.get(session, name)
    if row.declared_in is not None:
        raise NotAllowed(
            M("Schedule '{name}' is declared by {file}.", name=name, file=row.declared_in),
            M("Edit it there, then: tapeline schedule apply FILE (with --editable it is edited here)"),
        )
    return row


def _changed(
    session: Session, form: ScheduleForm, *, is_new: bool
) -> tuple[ScheduleChange | None, list[Message]]:
    """What the form would change, and what has changed since it was made. What only the database knows to be
    wrong is noted in the form."""
    if is_new:
        if schedules.named(session, form.name):
            form.wrong[NAME] = UsageError(
                M("There is a schedule '{name}' already.", name=form.name), M("Write another name.")
            )
            return None, []
    else:
        current = editable(session, form.name)
        session.refresh(current, with_for_update=True)
        moved = differing(form.seen, seen_of(current))
        if moved:
            return None, moved
    try:
        wanted.check_commands(session, form.wanted)
        changes = sync.differences(session, form.wanted, prune=False)
    except UsageErrors as error:
        form.note(error)
        return None, []
    return (changes[0] if changes else ScheduleChange(form.name, Action.CHANGE)), []


def differing(seen: str, current: str) -> list[Message]:
    """The fields of a schedule that are not as a form shows them."""
    before, after = _fields(seen), _fields(current)
    return [
        M("{name}: {before} is now {after}.", name=each, before=_told(before, each), after=_told(after, each))
        for each in after
        if before.get(each) != after[each]
    ]


def _told(texts: Mapping[str, str], name: str) -> str:
    return ", ".join(str(texts.get(name, "")).split("\n")) or "–"


def _save(session: Session, form: ScheduleForm, *, is_new: bool) -> list[Message]:
    change, changed = _changed(session, form, is_new=is_new)
    if change is not None and (change.fields or change.action is not Action.CHANGE):
        sync.apply(session, form.wanted, [change], now())
        sync.declare(session, [form.name], None)
    return changed


def previewed(session: Session, form: ScheduleForm, *, is_new: bool) -> tuple[dict[str, Any], list[Message]]:
    """What a form would do, for the page."""
    change, changed = _changed(session, form, is_new=is_new)
    if change is None:
        return {}, changed
    found = preview.of(session, form.wanted, change, now())
    zone = form.wanted[0].schedule["time_zone"]
    return {
        "change": change,
        "fields": [
            (each.name, schedule_form.text_of(each.before) or "–", schedule_form.text_of(each.after) or "–")
            for each in change.fields
            if each.before is not None or schedule_form.text_of(each.after)
        ],
        "is_enabled": form.wanted[0].schedule["enabled"],
        "zone": zone,
        "times": [at.astimezone(zone_named(zone)) for at in found.times],
        "changes_retention": any(
            each.name in {"backup.retention_days", "backup.keep_sets"} for each in change.fields
        ),
        **shown(found),
    }, []


def shown(found: preview.SchedulePreview) -> dict[str, Any]:
    """A preview as its tables."""
    return {
        "found": found,
        "tapes": _gathered((each.planned.at, _needs(each)) for each in found.tapes),
        "moved": _gathered(
            (each.at, (each.schedule, _needs(each.before), _needs(each.after))) for each in found.moved
        ),
        "max_rows": MAX_ROWS,
        "until": found.until.isoformat(),
    }


def _gathered(rows: Iterable[tuple[datetime, Any]]) -> list[tuple[str, str, int, Any]]:
    """What is the same for many runs, once: for each the first time, the last one, and how many there are."""
    times: dict[str, list[datetime]] = {}
    facts: dict[str, Any] = {}
    for at, row in rows:
        times.setdefault(repr(row), []).append(at)
        facts.setdefault(repr(row), row)
    return [(each[0].isoformat(), each[-1].isoformat(), len(each), facts[key]) for key, each in times.items()]


def _needs(entry: CalendarEntry | None) -> tuple[Message, str, tuple[str, ...]]:
    """The tape of a run in words, its drive, and the sets that its format erases."""
    if entry is None:
        return M("no run"), "", ()
    return needs.needed(entry), entry.planned.drive, entry.erases
