"""``tapeline status``: an overview of everything."""

from __future__ import annotations

from typing import Any

import typer

from celery_app import wiring
from cli.commands.tapes import drives_json, seen
from cli.host import stack
from cli.render import ending, output
from cli.render.output import AsJson
from cli.render.troubles import in_trouble, say_held
from db import (
    alerts,
    freezes,
    outbox,
    views,
)
from db.admin import alive
from db.runs.lookup import RunFilter
from db.schedules import plans, schedules
from db.states import ACTIVE, ENDED, RunState
from notify import states
from policy import units
from policy.message import M, Message
from policy.tapes.facts import described


def status(as_json: AsJson = False) -> None:
    """Show what runs, what waits for somebody, what is in the drives and what could not be sent.

    Exit code 1 if no worker answers: then nothing is backed up; 4 while a run waits for an operator.
    """
    with stack.database() as database:
        with database.transaction() as session:
            overview = _collect(session)
        overview |= _answering()
    if as_json:
        output.print_json(overview)
    else:
        _print(overview)
    if not overview["workers"]:
        raise typer.Exit(1)
    waiting = any(run["state"] in {"WAITING_FOR_TAPE", "HELD"} for run in overview["active"])
    raise typer.Exit(4 if waiting else 0)


def _collect(session: Any) -> dict[str, Any]:
    active = views.runs_json(session, RunFilter(states=ACTIVE))
    ended = views.runs_json(session, RunFilter(states=ENDED, limit=1))
    following = plans.next_planned(session)
    return {
        "active": active[::-1],
        "last": ended[0] if ended else None,
        "drives": drives_json(session),
        "schedules": sum(row.enabled for row in schedules.listed(session)),
        "next": schedules.as_json(following) if following else None,
        "alerts": [
            each.to_json()
            for each in alerts.current(session, wiring.is_silent)
            # Shown below, with the command that releases it.
            if not each.may_release
        ],
        "unsent_messages": outbox.unsent(session),
        "channels": outbox.troubles(session),
        "alive": alive.as_json(pinged) if (pinged := alive.last(session)) else None,
        "held": views.held_json(session),
        "frozen": [freezes.as_json(each) for each in freezes.standing(session)],
    }


def _answering() -> dict[str, Any]:
    """Whether any worker answers; an unavailable broker is the reason why none does."""
    from celery_app import health  # noqa: PLC0415 - loading Celery takes half a second

    try:
        return {"workers": health.workers(), "broker": None}
    except health.BrokerUnavailable as error:
        return {"workers": [], "broker": error.in_one().to_json()}


def _due(schedule: dict[str, Any]) -> str:
    return str(schedule["next_run_time"])


def _print_alerts(overview: dict[str, Any]) -> None:
    for alert in overview["alerts"]:
        held_up = overview["channels"].get(alert["channel"])
        text = in_trouble(alert["channel"], held_up) if held_up else Message.from_json(alert["message"])
        output.say(text, style="red" if alert["urgent"] else "yellow")


def _print_workers(overview: dict[str, Any]) -> None:
    if overview["broker"]:
        output.say(Message.from_json(overview["broker"]), style="red")
    if not overview["workers"]:
        output.say(
            M("Nothing runs: no worker answers. Start them with 'tapeline up', or as services."), style="red"
        )


def _print_progress(run: dict[str, Any]) -> None:
    progress = run["progress"] or {}
    if run["state"] != RunState.RUNNING or not progress.get("bytes_total"):
        return
    done, total = progress["bytes"], progress["bytes_total"]
    parts = [f"{min(100 * done / total, 100):.1f} %", f"{units.size(done)} / {units.size(total)}"]
    parts.append(units.rate(progress["bytes_per_second"]))
    if progress.get("seconds_left"):
        left = wiring.words().duration(progress["seconds_left"])
        parts.append(output.in_words(M("{time} left", time=left)))
    output.console.print("  " + " · ".join(parts), markup=False, soft_wrap=True)


def _print_sign_of_life(ping: dict[str, Any] | None) -> None:
    """A failure to send it is among the alerts."""
    if ping is None or ping["error"]:
        return
    at = output.local(ping["sent_at"]) if ping["sent_at"] else "-"
    if ping["withheld"]:
        text = M("Sign of life: last sent {at}; none goes out while something urgent needs somebody.", at=at)
        output.say(text, style="yellow")
    else:
        output.say(M("Sign of life: last sent {at}", at=at))


def _print(overview: dict[str, Any]) -> None:
    _print_workers(overview)
    _print_alerts(overview)
    for run in overview["active"]:
        working = next((s["name"] for s in run["steps"] if s["state"] == "RUNNING"), "-")
        # A waiting run has no active step: what it waits for is what somebody must know.
        waits = (run["state"] in {"WAITING_FOR_TAPE", "HELD"} or run["opens_at"] or run["awaits"]) and run[
            "reason"
        ]
        output.say(
            M(
                "Run {id} ({schedule}): {state}, {step}",
                id=run["id"],
                schedule=run["schedule"] or run["kind"],
                state=run["state"],
                step=waits or working,
            ),
            style=states.style(run["state"]),
        )
        _print_progress(run)
    if not overview["active"]:
        output.say(M("No run is under way."))
    if overview["last"]:
        last = overview["last"]
        output.say(
            M(
                "Last run: {id} ({schedule}), {state}, {at}",
                id=last["id"],
                schedule=last["schedule"] or last["kind"],
                state=ending.state(last),
                at=output.local(last["finished_at"]),
            ),
            style=ending.style(last),
        )
    for drive in overview["drives"]:
        medium = drive["medium"]
        output.say(
            M(
                "Drive {name} on {host}: {tape}; worker seen {seen}",
                name=drive["name"],
                host=drive["host"],
                tape=described(medium["state"], medium.get("label"))
                if medium
                else M("not looked at yet").to_json(),
                seen=seen(drive),
            ),
            style="red" if drive["silent"] else None,
        )
    output.say(M("Enabled schedules: {count}", count=overview["schedules"]))
    if overview["next"]:
        following = overview["next"]
        at = output.on_named_clock(_due(following), following["time_zone"])
        output.say(M("{name}: next run {at}", name=following["name"], at=at))
    say_held(overview["held"])
    _print_sign_of_life(overview["alive"])
    if overview["unsent_messages"]:
        output.say(
            M("Messages that could not be sent yet: {count}", count=overview["unsent_messages"]),
            style="yellow",
        )
