"""The report as chapters of lines, which every form is made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from notify.words import Words
from policy.message import M, Message
from policy.times.local_time import zone_named


@dataclass(frozen=True, slots=True)
class Chapter:
    """A heading with its lines."""

    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What the database gathered (``db.report.gather``), in words. ``time_zone``: the operators' clock."""

    data: dict[str, Any]
    words: Words
    time_zone: str

    @property
    def title(self) -> str:
        """The stretch of time, and whether all is well."""
        days = {"first": str(self.day(self.data["begin"])), "last": str(self._last_day())}
        named = self._text(M("Report {first} to {last}", **days))
        count = len(self.data["needs_somebody"])
        state = M("{count} open", count=count) if count else M("all is well")
        return self._text(M("{report}: {state}", report=named, state=state.to_json()))

    @property
    def name(self) -> str:
        """The name of a file with it, without its ending."""
        return f"tapeline-{self.data['every']}-{self.day(self.data['begin'])}"

    @property
    def chapters(self) -> list[Chapter]:
        """All that has lines."""
        sections = [
            (M("Needs somebody"), self._urgent()),
            (M("Protected"), self._protected()),
            (M("What happened"), self._happened()),
            (M("Tapes"), self._tapes()),
            (M("Tapes to change"), self._changes()),
            (M("Wear"), self._wear()),
        ]
        made = [Chapter(self._text(title), tuple(map(self._text, lines))) for title, lines in sections]
        return [each for each in made if each.lines]

    def _urgent(self) -> Iterator[Message]:
        yield from map(Message.from_json, self.data["needs_somebody"])

    def _protected(self) -> Iterator[Message]:
        for schedule in self.data["schedules"]:
            facts = {"schedule": schedule["schedule"]}
            if schedule["protected_until"] is None:
                yield M("{schedule}: no backup yet", **facts)
                continue
            as_of = M("as of {at}", at=self.at(schedule["protected_until"]))
            parts = [as_of, *self._full(schedule), *self._increment(schedule["increment"])]
            yield M("{schedule}: {facts}", facts=self._joined(parts), **facts)
            if schedule["owed_since"] and schedule["enabled"]:
                yield M("{schedule}: owes a backup since {at}", at=self.at(schedule["owed_since"]), **facts)
        if not self.data["schedules"]:
            yield M("No schedules.")

    def _full(self, schedule: dict[str, Any]) -> Iterator[Message]:
        full = schedule["full"]
        if full is None:
            yield M("no full backup")
            return
        yield M(
            "full backup of {day}: {files} files, {size}",
            day=str(self.day(full["finished_at"])),
            files=self.words.number(full["files"]),
            size=self.words.size(full["bytes"]),
        )
        if schedule["grows"] is not None:
            yield self._growth(schedule["grows"])
        if full["damaged"]:
            yield M("{count} damaged", count=full["damaged"])
        elif full["verified_at"]:
            yield M("verified {day}", day=str(self.day(full["verified_at"])))
        else:
            yield M("never verified")

    def _increment(self, later: dict[str, Any] | None) -> Iterator[Message]:
        if later is not None:
            yield M(
                "newest increment of {day}: {files} files, {size}",
                day=str(self.day(later["finished_at"])),
                files=self.words.number(later["files"]),
                size=self.words.size(later["bytes"]),
            )

    def _growth(self, grows: int) -> Message:
        size = self.words.size(abs(grows))
        return M("grows {size} a month", size=size) if grows >= 0 else M("shrinks {size} a month", size=size)

    def _happened(self) -> Iterator[Message]:
        runs, failed, verified = self.data["runs"], self.data["failures"], self.data["verified"]
        yield M(
            "Backups: {count}, {size}",
            count=self.words.number(runs["backups"]),
            size=self.words.size(runs["bytes"]),
        )
        yield M(
            "Failures: {failed}; made good: {good}, dismissed: {dismissed}, open: {open}",
            failed=failed["failed"],
            good=failed["made_good"],
            dismissed=failed["dismissed"],
            open=failed["open"],
        )
        yield M("Verified sets: {sets}, damaged files: {damaged}", **verified)
        yield M("Restores: {count}", count=runs["restores"])

    def _tapes(self) -> Iterator[Message]:
        tapes = self.data["tapes"]
        yield M(
            "With data that is kept: {used}; free: {free}; out of use: {out}",
            used=tapes["used"],
            free=tapes["free"],
            out=tapes["out_of_use"],
        )
        if tapes["to_buy"]:
            yield M(
                "New tapes within 90 days: {count}; the first one by {day}",
                count=tapes["to_buy"],
                day=str(self.day(tapes["buy_by"])),
            )
        else:
            yield M("New tapes within 90 days: none")

    def _changes(self) -> Iterator[Message]:
        for change in self.data["tapes"]["changes"]:
            bring = change["bring"] or M("a blank tape").to_json()
            facts = {"at": self.at(change["at"]), "drive": change["drive"], "schedule": change["schedule"]}
            if change["label"] is None:
                yield M("{at}, {drive}: no tape is known that {schedule} could write on", **facts)
            elif change["take_out"]:
                yield M(
                    "{at}, {drive}: take out {old}, bring {new} ({schedule})",
                    old=change["take_out"],
                    new=bring,
                    **facts,
                )
            else:
                yield M("{at}, {drive}: bring {new} ({schedule})", new=bring, **facts)

    def _wear(self) -> Iterator[Message]:
        yield from map(Message.from_json, self.data["wear"])

    def at(self, iso: str) -> str:
        """A moment on the operators' clock, without its zone."""
        return f"{self._local(iso):%Y-%m-%d %H:%M}"

    def day(self, iso: str) -> date:
        """A day on the operators' clock."""
        return self._local(iso).date()

    def _last_day(self) -> date:
        """The end itself is the first moment after it."""
        end = self._local(self.data["end"])
        return date.fromordinal(end.toordinal() - 1) if end.hour == end.minute == 0 else end.date()

    def _local(self, iso: str) -> datetime:
        return datetime.fromisoformat(iso).astimezone(zone_named(self.time_zone))

    def _joined(self, parts: list[Message]) -> str:
        return ("，" if self.words.language == "zh_CN" else ", ").join(map(self._text, parts))

    def _text(self, message: Message) -> str:
        return self.words.text(message)
