"""The libraries as a picture: drives and slots, what a schedule would do with each tape, and moves by a
button."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from sqlalchemy.orm import Session
from tornado.web import authenticated

from dashboard import verdicts
from dashboard.access import AccessRule
from dashboard.page import Page
from dashboard.pages.buttons import Button
from db.errors import NotFound
from db.libraries import as_json, inventory
from db.models import TapeLibrary
from db.schedules import schedules
from policy.errors import UsageError
from policy.message import M, Message
from policy.roles import Role
from tape.changer import Inventory
from tasks.library import supply
from tasks.requests import library_move
from tasks.requests.library_move import Request

WHAT = {
    "empty": M("empty"),
    "tape": M("known tape"),
    "new": M("new: no drive has shown it yet"),
    "cleaning": M("cleaning cartridge"),
    "unread": M("no readable barcode"),
    "twice": M("another cartridge has this barcode"),
}
"""What is in a place."""
DEEDS = {
    "load": M("Load"),
    "unload": M("Put away"),
    "export": M("Export"),
    "import": M("Import"),
    "inventory": M("Read the barcodes"),
}


class Libraries(Page):
    """``/library``; ``?schedule=NAME`` colours each tape by what a run of it would do."""

    active = "library"

    @authenticated
    async def get(self) -> None:
        chosen = self.get_query_argument("schedule", "")
        facts = await self.ask(lambda session: _found(session, chosen))
        self.page("library.html", **facts, chosen=chosen, WHAT=WHAT)


def _found(session: Session, chosen: str) -> dict[str, Any]:
    asking = verdicts.askers(session, schedules.present(session))
    asker = next((each for each in asking if each.name == chosen), None)
    return {
        "libraries": [_shown(session, row, asker) for row in inventory.every(session)],
        "schedules": [each.name for each in asking],
    }


def _shown(session: Session, row: TapeLibrary, asker: verdicts.ScheduleAsker | None) -> dict[str, Any]:
    library = as_json.library(session, row)
    answers = _answers(session, row, asker) if asker else {}
    for slot in library["slots"]:
        slot["answer"] = answers.get(slot["barcode"]) if slot["what"] in {"tape", "new"} else None
    under_way = [move for move in library["moves"] if move["ended_at"] is None]
    return {**library, "under_way": under_way}


def _answers(session: Session, row: TapeLibrary, asker: verdicts.ScheduleAsker) -> dict[str, dict[str, Any]]:
    """What a run would do with each tape in a slot, by its barcode."""
    stored = supply.in_slots(session, Inventory.from_json(row.inventory), cleaning=row.clean_with, pools={})
    return {each.barcode: asker.ask(each.facts) for each in stored}


class MoveCartridge(Button):
    """Ask a worker of a library for a move."""

    rule = AccessRule(Role.OPERATOR)
    active = "library"

    @authenticated
    async def get(self, name: str, verb: str) -> None:
        _check(verb)
        text, seen = await self.ask(lambda session: _question(session, name, verb, self._numbers()))
        self.question(text, DEEDS[verb], self.link("library"), seen=seen)

    @authenticated
    async def post(self, name: str, verb: str) -> None:
        _check(verb)
        place, target = self._numbers()
        asked = Request(name, verb, place, target, self.seen().removeprefix("=") or None, self.user)
        queue = await self.ask(lambda session: library_move.queue_for(session, asked))
        await self.work(lambda: library_move.send(queue, asked))
        self.redirect(self.link("library"), status=HTTPStatus.SEE_OTHER)

    def _numbers(self) -> tuple[int, int]:
        return self._number("place"), self._number("target")

    def _number(self, field: str) -> int:
        given = self.get_argument(field, "0")
        if not (given.isascii() and given.isdigit() and len(given) < 6):
            raise UsageError(M("{field}: '{value}' is not a number.", field=field, value=given))
        return int(given)


def _check(verb: str) -> None:
    if verb not in DEEDS:
        raise NotFound(M("There is no page '{name}'.", name=verb), M("The page Library has the buttons."))


def _question(session: Session, name: str, verb: str, numbers: tuple[int, int]) -> tuple[Message, str]:
    """The question, and the barcode that it is about: another one there, and the answer does nothing."""
    row = inventory.get(session, name)
    place, target = numbers
    if verb == "inventory":
        return M("Let library {library} read every barcode again? It takes minutes.", library=name), ""
    if verb == "import":
        return M("Move what is in the mail slots of library {library} into empty slots?", library=name), ""
    content = _place(row, verb, place)
    facts = {"barcode": content["barcode"] or "-", "library": name, "place": place}
    drive = row.drives.get(str(target if verb == "load" else place), "-")
    texts = {
        "load": M("Load {barcode} from slot {place} into drive {drive}?", drive=drive, **facts),
        "unload": M("Put {barcode} from drive {drive} into its slot?", drive=drive, **facts),
        "export": M("Move {barcode} from slot {place} into a mail slot, to be taken out?", **facts),
    }
    return texts[verb], f"={content['barcode'] or ''}"


def _place(row: TapeLibrary, verb: str, number: int) -> Mapping[str, Any]:
    """What is in a slot, or for ``unload`` in a drive. Raises UsageError if nothing is."""
    places = row.inventory["bays" if verb == "unload" else "slots"]
    place = next((each for each in places if each["number"] == number and each["full"]), None)
    if place is None:
        raise UsageError(M("There is no cartridge in that place."), M("Look at the page, and decide again."))
    return dict(place)
