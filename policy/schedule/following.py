"""Schedules that follow others: names that do not exist, and circles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from policy.message import M, Message
from policy.schedule.file import WantedSchedule
from policy.schedule.table import FieldError
from policy.times.period import ScheduleType


def problems(wanted: list[WantedSchedule], others: Mapping[str, str | None]) -> Iterator[FieldError]:
    """What is wrong with ``run_after`` of these schedules. ``others``: those that stay as they are, each with
    the one that it follows."""
    firsts = {**others, **{want.name: want.schedule["run_after"] for want in wanted}}
    for want in wanted:
        first = want.schedule["run_after"]
        if first is None:
            continue
        if want.schedule["schedule_type"] is ScheduleType.MANUAL:
            yield _error(
                want.name,
                M(
                    "{where}: a schedule of type manual has no times.",
                    where=_where(want.name),
                ),
                M("Give it times, or leave run_after out."),
            )
        elif first not in firsts:
            yield _unknown(want.name, first, firsts)
        elif circle := _circle(want.name, firsts):
            yield _error(
                want.name,
                M("{where}: these follow each other: {names}.", where=_where(want.name), names=circle),
                M("Let one of them follow none."),
            )
    for name, first in others.items():
        if first is not None and first not in firsts:
            yield _unknown(name, first, firsts)


def _circle(name: str, firsts: Mapping[str, str | None]) -> str | None:
    path, at = [name], firsts.get(name)
    while at is not None and at not in path:
        path.append(at)
        at = firsts.get(at)
    return " → ".join([*path, name]) if at == name else None


def _unknown(name: str, first: str, firsts: Mapping[str, str | None]) -> FieldError:
    others = ", ".join(sorted(each for each in firsts if each != name))
    remedy = M("There are: {names}", names=others) if others else M("Leave run_after out.")
    return _error(name, M("{where}: there is no schedule '{name}'.", where=_where(name), name=first), remedy)


def _where(name: str) -> str:
    return f"schedules.{name}.run_after"


def _error(name: str, message: Message, remedy: Message) -> FieldError:
    return FieldError(message, remedy, ["schedules", name, "run_after"])
