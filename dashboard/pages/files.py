"""What is backed up, as a tree at a moment; the versions of a file; and the search by name over all sets."""

from __future__ import annotations

from datetime import datetime, time
from time import monotonic
from typing import Any

from sqlalchemy.orm import Session
from tornado.web import authenticated

from celery_app import settings
from dashboard.page import Page
from db.errors import NotFound
from db.libraries import whereabouts
from db.models import BackupSet, now
from db.sets import browsing, catalog, lineage, restores, templates, versions
from policy import units
from policy.errors import TapelineError, UsageError
from policy.message import M
from policy.tapes.facts import SetState
from policy.times import written

A_PAGE = 100
COUNTED = 1_000
"""So many more matches are counted on a page; the pages show all of them."""
SEARCH_SECONDS = 20
"""How long a search may take: one for a path, or for two letters, reads every name."""
SIZES_SECONDS = 10.0
"""How long the sizes of a page's folders may take; those that were not counted by then have a dash."""
TYPES = {
    "folder": M("folder"),
    "file": M("file"),
    "hardlink": M("hard link"),
    "symlink": M("symbolic link"),
    "fifo": M("pipe"),
    "deleted": M("deleted"),
}
SEARCHED = ("name", "larger", "smaller", "since", "until")
"""The fields of the search."""


class FilesPage(Page):
    """``/files?template=&at=&path=&after=&sizes=``: a folder as it was at a time; or with ``set``, in a set.
    ``sizes``: with what is in each of its folders."""

    active = "files"

    @authenticated
    async def get(self) -> None:
        asked = {
            name: self.get_query_argument(name, "") for name in ("template", "at", "path", "after", "set")
        }
        is_measured = bool(self.get_query_argument("sizes", ""))
        found = await self.ask(lambda session: _folder(session, asked, is_measured=is_measured))
        self.page("files.html", **found, TYPES=TYPES, search=dict.fromkeys(SEARCHED, ""), wrong={})


class VersionsPage(Page):
    """``/files/versions?template=&path=&before=``."""

    active = "files"

    @authenticated
    async def get(self) -> None:
        asked = {name: self.get_query_argument(name, "") for name in ("template", "path", "before")}
        found = await self.ask(lambda session: _versions(session, asked))
        self.page("versions.html", **found, TYPES=TYPES)


class SearchPage(Page):
    """``/files/search?name=&larger=&smaller=&since=&until=&after=``."""

    active = "files"

    @authenticated
    async def get(self) -> None:
        given = {name: self.get_query_argument(name, "").strip() for name in (*SEARCHED, "after")}
        search, wrong = _search(given)
        found = None
        if not wrong:
            found = await self.ask(lambda session: _matches(session, search, _place(given["after"])))
        else:
            self.set_status(400)
        self.page("search.html", search=given, wrong=wrong, found=found, TYPES=TYPES)


def _folder(session: Session, asked: dict[str, str], *, is_measured: bool) -> dict[str, Any]:
    known = templates.with_sets(session)
    values: dict[str, Any] = {
        "asked": asked, "templates": [name for _, name, _ in known], "wrong_at": None, "stored": None,
        "children": [], "sizes": {}, "is_measured": is_measured, "path": "/", "parents": [], "next": None,
        "lost": None, "now": now(),
    }  # fmt: skip
    try:
        stored = _set(session, known, asked)
    except NotFound:
        raise
    except UsageError as error:
        return {**values, "wrong_at": error}
    if stored is None:
        return values
    sets = lineage.chain(session, stored.id)
    path = asked["path"] or browsing.top(sets)
    key, place = _key(asked["after"])
    page = browsing.folder(session, sets, path, key, A_PAGE, place=place)
    return {
        **values,
        "stored": stored,
        "path": path,
        "parents": _parents(path),
        "children": page.children,
        "sizes": _sizes(session, sets, page.children) if is_measured else {},
        "next": _written(page),
        "last": page.children[-1].name if page.children else None,
        "lost": next((each.id for each in sets if each.state is SetState.DESTROYED), None),
    }


def _sizes(session: Session, sets: list[BackupSet], children: list[browsing.FolderEntry]) -> dict[str, int]:
    """How much is in each folder of a page at the time of its set, of as many as there is time for."""
    until = monotonic() + SIZES_SECONDS
    found: dict[str, int] = {}
    for each in children:
        if each.type != browsing.FOLDER:
            continue
        size = 0
        for file in lineage.tree(session, sets, catalog.wanted([each.path])):
            size += file.size if file.type in {"file", "hardlink"} else 0
            if monotonic() > until:
                return found
        found[each.path] = size
    return found


def _set(
    session: Session, known: list[tuple[int, str, str | None]], asked: dict[str, str]
) -> BackupSet | None:
    """The set that is shown; None: there is none of any template. Raises NotFound, UsageError."""
    if asked["set"]:
        return catalog.get(session, asked["set"])
    if not known:
        return None
    number, asked["template"], _ = _named(known, asked["template"])
    found = lineage.at(
        session, number, written.moment("at", asked["at"], settings.load().zone) if asked["at"] else now()
    )
    if found is None:
        raise UsageError(
            M("There is no backup of {at} or before.", at=asked["at"]), M("Choose a later time.")
        )
    return found


def _named(known: list[tuple[int, str, str | None]], name: str) -> tuple[int, str, str | None]:
    """The template of this name, or the first one. Raises NotFound."""
    for each in known:
        if name in ("", each[1]):
            return each
    raise NotFound(
        M("Template '{name}' has no backup.", name=name),
        M("The page of the files lists those that have one."),
    )


def _key(text: str) -> tuple[bytes, browsing.FolderPlace | None]:
    """Where a page of a folder begins: after a name, and where that is in a set. Raises UsageError."""
    key, *place = text.split(",")
    try:
        if not place:
            return bytes.fromhex(key), None
        set_id, archive, position = place
        return bytes.fromhex(key), browsing.FolderPlace(set_id, int(archive[:9]), int(position[:18]))
    except ValueError as error:
        raise UsageError(M("{field}: '{value}' is not a number.", field="after", value=text)) from error


def _written(page: browsing.FolderPage) -> str | None:
    """The address's part that begins the next page."""
    if page.after is None:
        return None
    place = page.place
    return page.after.hex() + (f",{place.set_id},{place.archive},{place.position}" if place else "")


def _parents(path: str) -> list[tuple[str, str]]:
    """The folders down to this one: name and path of each."""
    names = [name for name in path.split("/") if name]
    return [("/", "/"), *((name, "/" + "/".join(names[: at + 1])) for at, name in enumerate(names))]


def _versions(session: Session, asked: dict[str, str]) -> dict[str, Any]:
    template = _named(templates.with_sets(session), asked["template"])
    rows, before = versions.of_file(session, asked["path"], template[0], asked["before"] or None)
    if not rows and not before:
        raise NotFound(
            M("'{path}' is in no set of template '{name}'.", path=asked["path"], name=template[1]),
            M("The search finds a file by a part of its name."),
        )
    return {
        "asked": {**asked, "template": template[1]},
        "rows": _with_places(session, rows, template[2]),
        "before": before,
        "folder": asked["path"].rpartition("/")[0] or "/",
    }


def _with_places(session: Session, rows: list[dict[str, Any]], drive: str | None) -> list[dict[str, Any]]:
    """Versions with the places of their tapes, and how long it takes to read each at the pace of a drive."""
    places = whereabouts.of_tapes(session, {tape for row in rows for tape in row["tapes"]})
    pace = restores.pace(session, drive or settings.load().default_drive)
    return [
        {
            **row,
            "places": [(tape, places[tape]) for tape in row["tapes"] if tape in places],
            "seconds": row["size"] / pace if pace else None,
        }
        for row in rows
    ]


def _search(given: dict[str, str]) -> tuple[versions.FileSearch, dict[str, TapelineError]]:
    """What is searched, and what is wrong with each field."""
    wrong: dict[str, TapelineError] = {}
    if not given["name"].strip("*? "):
        wrong["name"] = UsageError(M("Write a part of the name, or a pattern with * and ?."))
    sizes = {field: _size(field, given[field], wrong) for field in ("larger", "smaller")}
    since = _time("since", given["since"], wrong)
    until = _time("until", given["until"], wrong)
    search = versions.FileSearch(
        given["name"],
        at_least=sizes["larger"],
        at_most=sizes["smaller"],
        changed_since=since,
        changed_until=until,
    )
    return search, wrong


def _size(field: str, text: str, wrong: dict[str, TapelineError]) -> int | None:
    if not text:
        return None
    try:
        return units.read_size(text)
    except ValueError:
        wrong[field] = UsageError(
            M("'{text}' is not a size.", text=text), M("Write a number with its unit: 500 kB, 1.5 GB, 4 GiB.")
        )
        return None


def _time(field: str, text: str, wrong: dict[str, TapelineError]) -> datetime | None:
    if not text:
        return None
    of_day = time.min if field == "since" else time.max
    try:
        return written.moment(field, text, settings.load().zone, of_day)
    except UsageError as error:
        wrong[field] = error
        return None


def _place(text: str) -> versions.VersionPlace | None:
    """Where a page begins. Raises UsageError."""
    if not text:
        return None
    set_id, _, rest = text.partition(",")
    archive, _, position = rest.partition(",")
    if not (archive.isdigit() and position.isdigit() and len(rest) < 30):
        raise UsageError(M("{field}: '{value}' is not a number.", field="after", value=text))
    return versions.VersionPlace(set_id, int(archive), int(position))


def _matches(
    session: Session, search: versions.FileSearch, after: versions.VersionPlace | None
) -> dict[str, Any]:
    found = versions.find(session, search, A_PAGE, after=after, counted=COUNTED, seconds=SEARCH_SECONDS)
    end = found.end
    return {
        "rows": _with_places(session, found.versions, None),
        "more": found.more,
        "is_counted": found.is_counted,
        "next": f"{end.set_id},{end.archive},{end.position}" if end else None,
    }
