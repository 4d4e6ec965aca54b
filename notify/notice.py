"""A notice: what an operator reads on a phone about one event of one run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from db.states import Kind, Trigger
from notify import markdown
from notify.events import Event
from notify.facts import Facts
from notify.words import Words
from policy.message import M, Message

__all__ = ["Facts", "Notice", "compose"]

WARNINGS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Notice:
    """The same text in two forms, in the operator's language."""

    title: str
    markdown: str
    plain: str
    where_the_rest_is: str
    """One plain line that a channel puts where it has to cut the text."""


@dataclass(frozen=True, slots=True)
class _Line:
    value: str
    name: Message | None = None
    is_code: bool = False
    is_link: bool = False


def compose(facts: Facts, words: Words) -> Notice:
    """Say what happened, to which tape, what is safe and what goes on. Raises UsageError (time zone)."""
    title = markdown.one_line(words.text(_title(facts)))
    reason = [markdown.one_line(words.text(facts.reason))] if facts.reason else []
    lines = list(_lines(facts, words))
    listed = "\n".join(f"- {_as_markdown(line, words)}" for line in lines)
    rest = M("Shortened. All of it: tapeline runs show {id}", id=facts.run_id)
    return Notice(
        title=title,
        markdown="\n\n".join([f"### {markdown.escape(title)}", *map(markdown.escape, reason), listed]),
        plain="\n".join([*reason, *(_as_plain(line, words) for line in lines)]),
        where_the_rest_is=words.text(rest),
    )


def _title(facts: Facts) -> Message:
    kind = _KINDS[facts.kind].to_json()
    name = facts.schedule or M("run {id}", id=facts.run_id).to_json()
    return {
        Event.SUCCESS: M("Tapeline · {kind} succeeded: {name}", kind=kind, name=name),
        Event.WARNINGS: M("Tapeline · {kind} completed with warnings: {name}", kind=kind, name=name),
        Event.FAILED: M("Tapeline · {kind} failed: {name}", kind=kind, name=name),
        Event.SKIPPED: M("Tapeline · {kind} skipped: {name}", kind=kind, name=name),
        Event.CANCELLED: M("Tapeline · {kind} cancelled: {name}", kind=kind, name=name),
        Event.WAITING_FOR_TAPE: M("Tapeline · {kind} waits for a tape: {name}", kind=kind, name=name),
        Event.FORMAT_WARNING: M("Tapeline · {kind} goes on without a format: {name}", kind=kind, name=name),
    }[facts.event]


def _lines(facts: Facts, words: Words) -> Iterator[_Line]:
    """To which tape, what is safe, what to do: in this order."""
    yield from _tape(facts)
    yield from _result(facts, words)
    yield from _warnings(facts, words)
    if safe := _safe(facts):
        yield _Line(words.text(safe), M("Safe"))
    if facts.remedy:
        yield _Line(words.text(facts.remedy), M("What to do"))
    if facts.next_command:
        yield _Line(facts.next_command, M("Next"), is_code=True)
    if facts.link:
        yield _Line(facts.link, M("Details"), is_link=True)
    yield _Line(words.text(_run(facts)), M("Run"))
    yield _Line(words.moment(facts.at, facts.time_zone), M("Time"))


def _tape(facts: Facts) -> Iterator[_Line]:
    if facts.label:
        yield _Line(facts.label, M("Tape"))
    if facts.drive:
        yield _Line(facts.drive, M("Drive"))


def _result(facts: Facts, words: Words) -> Iterator[_Line]:
    if facts.set_id:
        yield _Line(facts.set_id, M("Backup set"))
    if amount := ", ".join(_amount(facts, words)):
        yield _Line(amount, M("Restored") if facts.kind is Kind.RESTORE else M("Stored"))
    if facts.seconds is not None:
        yield _Line(", ".join(_pace(facts, facts.seconds, words)), M("Took"))


_KINDS = {
    Kind.BACKUP: M("Backup"),
    Kind.RESTORE: M("Restore"),
    Kind.VERIFY: M("Verification"),
    Kind.IMPORT: M("Import"),
}


def _amount(facts: Facts, words: Words) -> Iterator[str]:
    if facts.files is not None:
        yield words.text(M("{count} files", count=words.number(facts.files)))
    if facts.size is not None:
        yield words.size(facts.size)


def _pace(facts: Facts, seconds: float, words: Words) -> Iterator[str]:
    yield words.duration(seconds)
    rate = words.rate(facts.size, seconds) if facts.size else None
    if rate:
        yield rate


def _warnings(facts: Facts, words: Words) -> Iterator[_Line]:
    if not facts.warnings:
        return
    yield _Line(words.number(facts.warnings), M("Warnings"))
    for warning in facts.first_warnings[:WARNINGS_SHOWN]:
        yield _Line(words.text(warning))


def _safe(facts: Facts) -> Message | None:
    if facts.safe or facts.kind is not Kind.BACKUP:
        return facts.safe
    if facts.event not in {Event.FAILED, Event.CANCELLED, Event.WAITING_FOR_TAPE}:
        return None
    if facts.files:
        return M("What is stored so far is sealed on tape and can be restored.")
    return M("This run has stored nothing yet. What there is from before: tapeline sets list")


def _run(facts: Facts) -> Message:
    match facts.trigger:
        case Trigger.SCHEDULE:
            return M("{id}, by its schedule", id=facts.run_id)
        case Trigger.MANUAL:
            return M("{id}, started by hand", id=facts.run_id)


def _as_markdown(line: _Line, words: Words) -> str:
    if line.is_link and line.name:
        return markdown.link(words.text(line.name), line.value)
    value = markdown.code(line.value) if line.is_code else markdown.escape(line.value)
    return words.text(_named(markdown.bold(words.text(line.name)), value)) if line.name else value


def _named(name: str, value: str) -> Message:
    return M("{name}: {value}", name=name, value=value)


def _as_plain(line: _Line, words: Words) -> str:
    value = markdown.one_line(line.value)
    return words.text(_named(words.text(line.name), value)) if line.name else value
