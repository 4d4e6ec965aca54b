"""``tapeline notify``: what messages look like, whether channels work, and your own templates."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from celery_app import settings, wiring
from cli.render import output
from cli.render.output import AsJson, examples
from notify import sending
from notify.channel import Channel
from notify.events import Event
from notify.message_template import SHIPPED, SUFFIX
from notify.notice import Notice
from notify.outlet import monthly
from notify.samples import SAMPLES
from notify.words import Language
from policy.errors import TapelineError, UsageError
from policy.message import M

app = typer.Typer(no_args_is_help=True)


@app.command(
    short_help="Show what messages look like.",
    epilog=examples("tapeline notify preview", "tapeline notify preview failed --language zh_CN"),
)
def preview(
    event: Annotated[str | None, typer.Argument(help="One event; all if none is named.")] = None,
    language: Annotated[str | None, typer.Option(help="zh_CN or en; else the configured one.")] = None,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="In DingTalk's form.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the message of each event, made from sample facts with the templates in use. Sends nothing."""
    composer = wiring.composer_of(_language(language))
    notices = {each: composer.compose(SAMPLES[each]) for each in ([_event(event)] if event else Event)}
    if as_json:
        output.print_json([_json(each, notice) for each, notice in notices.items()])
        return
    for each, notice in notices.items():
        output.console.rule(each.value)
        text = notice.markdown if as_markdown else f"{notice.title}\n{notice.plain}"
        output.console.print(text, markup=False, soft_wrap=True)


def _json(event: Event, notice: Notice) -> dict[str, Any]:
    return {"event": event, "title": notice.title, "markdown": notice.markdown, "plain": notice.plain}


def _event(name: str) -> Event:
    try:
        return Event(name)
    except ValueError as error:
        raise UsageError(
            M("There is no event '{name}'.", name=name), M("Events: {events}.", events=", ".join(Event))
        ) from error


def _language(name: str | None) -> Language:
    known: tuple[Language, ...] = get_args(Language)
    if name is None:
        return settings.load().language
    for language in known:
        if language == name:
            return language
    raise UsageError(
        M("--language: '{name}' is not a language that Tapeline speaks.", name=name), M("Use zh_CN or en.")
    )


@app.command(
    name="test",
    short_help="Send a test message for real.",
    epilog=examples("tapeline notify test", "tapeline notify test --channel ops"),
)
def send_test(
    channel: Annotated[str | None, typer.Option(help="One channel; all if none is named.")] = None,
    as_json: AsJson = False,
) -> None:
    """Send a test message through each channel now and show what the channel answered.

    A ping to healthchecks.io is only logged there; Uptime Kuma has no such thing and shows its monitor as up.

    Exit code 1 if any channel did not accept it.
    """
    answers = {name: _send(target) for name, target in _channels(channel).items()}
    if as_json:
        output.print_json(
            [{"channel": n, "ok": e is None, "error": str(e) if e else None} for n, e in answers.items()]
        )
    else:
        for name, error in answers.items():
            _say(name, error)
    raise typer.Exit(1 if any(answers.values()) else 0)


def _channels(name: str | None) -> dict[str, Channel]:
    known = [*wiring.wanted(), *([wiring.ALIVE] if settings.load().ping_alive_url else [])]
    if not known:
        raise UsageError(
            M("No channel is set up."),
            M("Add [channels.NAME] to tapeline.toml; docs/settings.md shows how."),
        )
    if name is not None and name not in known:
        raise UsageError(
            M("There is no channel '{name}'.", name=name), M("Channels: {names}.", names=", ".join(known))
        )
    return {each: wiring.channel(each) for each in known if name in {None, each}}


def _send(channel: Channel) -> TapelineError | None:
    return sending.send(channel, wiring.composer().test(socket.gethostname(), channel.name))


def _say(name: str, error: TapelineError | None) -> None:
    if error is None:
        output.say(M("✓ {channel}: the message was taken.", channel=name), style="green")
    else:
        problem = wiring.words().error(error)
        output.say(M("✗ {channel}: {problem}", channel=name, problem=problem), style="red")


@app.command(short_help="List the channels and their events.", epilog=examples("tapeline notify channels"))
def channels(as_json: AsJson = False) -> None:
    """List the channels with the events that are on and off for each, and the pings to monitoring services.

    An event in brackets comes once a month for each schedule, as a sign that reminders work.
    """
    listed = [_channel_json(name, events) for name, events in wiring.wanted().items()]
    if as_json:
        output.print_json(listed)
        return
    output.print_table(
        [M("Channel"), M("On"), M("Off")],
        (
            [
                each["channel"],
                ", ".join([*each["on"], *(f"({event})" for event in each["monthly"])]),
                ", ".join(each["off"]) or None,
            ]
            for each in listed
        ),
        M("No channel is set up."),
    )


def _channel_json(name: str, events: Collection[Event]) -> dict[str, Any]:
    channel = settings.load().channels.get(name)
    once = monthly(channel.events) if channel else frozenset()
    return {
        "channel": name,
        "on": [event for event in Event if event in events and event not in once],
        "monthly": [event for event in Event if event in once],
        "off": [event for event in Event if event not in events],
    }


@app.command(
    short_help="List the templates, or copy them to change them.",
    epilog=examples("tapeline notify templates", "tapeline notify templates --copy /etc/tapeline/templates"),
)
def templates(
    copy: Annotated[
        Path | None,
        typer.Option("--copy", metavar="FOLDER", help="Copy the shipped ones; existing files stay."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the templates of the configured language, and which of your own are in use.

    With templates_dir set to a folder, FOLDER/LANGUAGE/EVENT.md.j2 replaces the shipped one.
    """
    if copy is not None:
        _copy(copy)
        return
    own = wiring.composer().templates
    names = sorted(path.name.removesuffix(SUFFIX) for path in (SHIPPED / settings.load().language).iterdir())
    listed = [{"template": name, "own": own.is_overridden(name)} for name in names]
    if as_json:
        output.print_json(listed)
        return
    output.print_table(
        [M("Template"), M("Your own")],
        ([each["template"], "✓" if each["own"] else "–"] for each in listed),
        M("No templates."),
    )


def _copy(folder: Path) -> None:
    copied = 0
    for shipped in sorted(SHIPPED.rglob(f"*{SUFFIX}")):
        target = folder / shipped.relative_to(SHIPPED)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(shipped, target)
            copied += 1
    output.say(
        M(
            "{count} templates copied to {folder}. Delete those that you do not change; set templates_dir.",
            count=copied,
            folder=str(folder.absolute()),
        )
    )
