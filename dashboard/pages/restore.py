"""Restore what was ticked: where to, from which tapes, what is there already; and start it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from sqlalchemy.orm import Session
from tornado.web import authenticated

from celery_app import wiring
from dashboard.access import AccessRule
from dashboard.pages.buttons import Button
from db.errors import NotAllowed
from db.libraries import whereabouts
from db.models import Drive, Options
from db.runs import lookup, starting
from db.sets import catalog, lineage, restores
from db.tapes import drives
from policy.errors import TapelineError, UsageError
from policy.message import M, Message
from policy.roles import Role
from tasks import chain
from tasks.requests import look_at_target

EXISTING = {
    "keep": M("Keep it: the file of the backup is not restored"),
    "beside": M("Put the file of the backup beside it, under another name"),
    "overwrite": M("Replace it"),
}
"""What happens to a file that is there already and differs."""
FIELDS = ("set", "to", "below", "existing", "identity", "seen")
MAX_PATHS = 1_000
AUDITED_PATHS, AUDITED_LENGTH = 3, 150
"""So many characters of so many paths are in the audit, whose texts have 500."""


@dataclass(slots=True)
class RestoreForm:
    """The form as it was filled in, and what is wrong with each field."""

    values: dict[str, str]
    paths: list[str]
    wrong: dict[str, TapelineError] = field(default_factory=dict)

    @property
    def drive(self) -> str:
        return self.values["to"].partition(":")[0]

    @property
    def target(self) -> str:
        """The folder on the drive's host."""
        root = self.values["to"].partition(":")[2]
        below = self.values["below"].strip().strip("/")
        return f"{root.rstrip('/')}/{below}" if below else root

    def options(self) -> Options:
        existing = self.values["existing"]
        return Options(
            target=self.target,
            paths=tuple(self.paths),
            overwrite=existing == "overwrite",
            beside=existing == "beside",
            within_roots=True,
            identity=self.values["identity"].strip() or None,
        )


class RestorePreview(Button):
    """``/files/restore``: POST shows what a restore would do. It changes nothing."""

    rule = AccessRule(Role.OPERATOR, only_shows=True)
    active = "files"

    @authenticated
    async def get(self) -> None:
        raise _nothing_ticked()

    @authenticated
    async def post(self) -> None:
        form = self.form()
        await self.show_form(form, is_first="existing" not in self.request.body_arguments)

    def form(self) -> RestoreForm:
        """What was sent. Raises UsageError if nothing was ticked."""
        values = {name: str(self.get_body_argument(name, "")) for name in FIELDS}
        ticked = list(dict.fromkeys(self.get_body_arguments("path", strip=False)))
        if not ticked:
            raise _nothing_ticked()
        if len(ticked) > MAX_PATHS:
            raise UsageError(
                M("{count} paths are ticked.", count=len(ticked)),
                M("Tick at most {count}; a folder has everything in it.", count=MAX_PATHS),
            )
        values["existing"] = values["existing"] or "keep"
        return RestoreForm(values, ticked)

    async def show_form(
        self, form: RestoreForm, *, is_first: bool = False, changed: Sequence[Message] = ()
    ) -> None:
        """Answer with the form, the plan, and what is in the folder already."""
        found = await self.ask(lambda session: prepared(session, form, is_first=is_first))
        there = None
        if not form.wrong and form.values["to"]:
            there = await self.work(lambda: _there(found, form))
            if there and there.get("refused"):
                form.wrong["to"] = TapelineError(Message.from_json(there["refused"]))
                there = None
        if form.wrong and not is_first:
            self.set_status(HTTPStatus.BAD_REQUEST)
        if changed:
            self.set_status(HTTPStatus.CONFLICT)
        self.page(
            "restore.html",
            form=form,
            there=there,
            changed=changed,
            EXISTING=EXISTING,
            is_first=is_first,
            **found,
        )


class StartRestore(RestorePreview):
    """``/files/restore/start``: POST starts it, unless it would not do what was shown."""

    rule = AccessRule(Role.OPERATOR)

    def entered(self) -> dict[str, str]:
        """Also the first few of the paths, and how many there are."""
        paths = list(dict.fromkeys(self.get_body_arguments("path", strip=False)))
        more = f" … ({len(paths)})" if len(paths) > AUDITED_PATHS else ""
        first = ", ".join(each[:AUDITED_LENGTH] for each in paths[:AUDITED_PATHS])
        return {**super().entered(), **({"path": first + more} if paths else {})}

    @authenticated
    async def post(self) -> None:
        form = self.form()
        found = await self.ask(lambda session: prepared(session, form))
        changed = [] if form.wrong else _changes(form.values["seen"], found["seen"])
        if form.wrong or changed:
            await self.show_form(form, changed=changed)
            return
        who, link, tapes = self.user, self.link, [each["id"] for each in found["tapes"]]

        def deed() -> str:
            options = form.options()
            with wiring.database().transaction() as session:
                same = lookup.same_restore(session, form.values["set"], options)
                if same is not None:
                    raise NotAllowed(
                        M("Run {run} restores the same into the same folder.", run=same),
                        M("Follow it on its page."),
                    )
                run = starting.start_restore(
                    session,
                    set_id=form.values["set"],
                    drive=form.drive,
                    options=options,
                    requested_by=who,
                    cartridges=tapes,
                )
                number = run.id
            chain.release(form.drive, brief=True)
            return link("runs", number)

        await self.press(deed)


def _nothing_ticked() -> UsageError:
    return UsageError(M("Nothing is ticked."), M("Tick files and folders on the page Files."))


def prepared(session: Session, form: RestoreForm, *, is_first: bool = False) -> dict[str, Any]:
    """The plan of a restore and the folders that may be chosen; what is wrong is noted in the form. Raises
    NotFound."""
    set_id = form.values["set"]
    stored = catalog.get(session, set_id)
    restores.check_paths(session, set_id, form.paths, ())
    plan = restores.plan(session, set_id, catalog.wanted(form.paths))
    offered = {
        f"{row.name}:{root}": (row, root) for row in drives.every(session) for root in row.restore_roots
    }
    if is_first:
        form.values["to"] = next(iter(offered), "")
    is_closed = any(each.encrypted for each in lineage.chain(session, set_id))
    _check(form, offered, is_closed=is_closed)
    pace = restores.pace(session, form.drive) if form.drive else None
    sizes: dict[int, int] = {}
    for archive in plan.archives:
        sizes[archive.cartridge_id] = sizes.get(archive.cartridge_id, 0) + archive.bytes
    names = [tape.tape_id for tape in plan.cartridges]
    places = whereabouts.of_tapes(session, names)
    chosen = offered.get(form.values["to"])
    return {
        "stored": stored,
        "plan": plan,
        "seconds": plan.size / pace if pace else None,
        "tapes": [
            {"id": tape.id, "places": [(tape.tape_id, places[tape.tape_id])], "bytes": sizes[tape.id]}
            for tape in plan.cartridges
        ],
        "offered": [(value, row.host, row.name, root) for value, (row, root) in offered.items()],
        "drive": chosen[0] if chosen else None,
        "busy": drives.running(session, chosen[0].name) if chosen else None,
        "is_closed": is_closed,
        "seen": json.dumps({"files": plan.files, "bytes": plan.size, "tapes": names}),
    }


def _check(form: RestoreForm, offered: dict[str, tuple[Drive, str]], *, is_closed: bool) -> None:
    values = form.values
    if not offered:
        form.wrong["to"] = UsageError(
            M("No drive's host allows restores from here."),
            M("Set restore_roots in the settings of a drive's host, and restart its worker."),
        )
    elif values["to"] not in offered:
        form.wrong["to"] = UsageError(
            M("{target} is in no folder that this host allows restores into.", target=values["to"]),
            M("Choose one of the list."),
        )
    below = values["below"].replace("\\", "/").split("/")
    if any(part in {".", ".."} or "\0" in part or ":" in part for part in below):
        form.wrong["below"] = UsageError(
            M("'{path}' leads out of the folder.", path=values["below"]), M("Write names of folders only.")
        )
    if values["existing"] not in EXISTING:
        form.wrong["existing"] = UsageError(
            M("There is no '{value}'.", value=values["existing"]), M("Choose one of the list.")
        )
    identity = values["identity"].strip()
    if is_closed and not identity:
        form.wrong["identity"] = UsageError(
            M("Set {set} is encrypted.", set=values["set"]),
            M("Name the file with the secret key, on the drive's host."),
        )


def _there(found: dict[str, Any], form: RestoreForm) -> dict[str, Any] | None:
    """What the drive's host sees in the folder; None: its worker is at work, or silent."""
    if found["drive"] is None or found["busy"] is not None:
        return None
    return look_at_target.ask(found["drive"], form.values["set"], form.paths, form.target)


def _changes(seen: str, now: str) -> list[Message]:
    """What is not as it was shown."""
    try:
        before = dict(json.loads(seen))
    except (ValueError, TypeError):
        before = {}
    after = json.loads(now)
    words = {"files": M("Files"), "bytes": M("Size"), "tapes": M("Tapes")}
    return [
        M(
            "{name}: {before} is now {after}.",
            name=words[key].to_json(),
            before=_told(before.get(key)),
            after=_told(after[key]),
        )
        for key in words
        if before.get(key) != after[key]
    ]


def _told(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value if value is not None else "–")
