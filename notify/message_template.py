"""Templates: one for each event and language, in Markdown, also used for plain text.

The first line is the title. An operator's own template replaces the shipped one of the same name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from jinja2 import BaseLoader, ChoiceLoader, FileSystemLoader, StrictUndefined, TemplateSyntaxError
from jinja2.ext import Extension
from jinja2.lexer import Token
from jinja2.sandbox import SandboxedEnvironment
from markupsafe import Markup

from notify import markdown
from notify.words import Words
from policy.errors import UsageError
from policy.message import M, Message

log = structlog.get_logger("tapeline.notify")

SHIPPED = Path(__file__).parent / "templates"
SUFFIX = ".md.j2"


@dataclass(frozen=True, slots=True)
class Text:
    """A filled-in template in its two forms."""

    title: str
    markdown: str
    plain: str


class BrokenTemplate(Exception):
    """A template cannot be filled in; the text names the place and the reason, in English, for its author."""


class Templates:
    """The templates of one language. ``folder``: the operator's, with a folder for each language."""

    def __init__(self, words: Words, folder: Path | None = None) -> None:
        self._words = words
        self._folder = folder / words.language if folder else None
        self._shipped = Pair(words, [SHIPPED / words.language])
        self._own = Pair(words, [self._folder, SHIPPED / words.language]) if self._folder else None

    def fill_in(self, name: str, facts: Mapping[str, Any]) -> Text:
        """The text of an event. If an operator's template is broken, the shipped one is used."""
        if self._own is None:
            return self._shipped.fill_in(name, facts)
        try:
            return self._own.fill_in(name, facts)
        except BrokenTemplate as error:
            log.warning("a template is broken; the shipped one is used", template=name, error=str(error))
            return self._with_warning(self._shipped.fill_in(name, facts), name, error)

    def is_overridden(self, name: str) -> bool:
        """Whether the operator has a template of this name."""
        return self._folder is not None and (self._folder / f"{name}{SUFFIX}").is_file()

    def _with_warning(self, text: Text, name: str, error: BrokenTemplate) -> Text:
        warning = self._words.text(
            M("Your template {file} is broken ({problem}): this is the shipped one.", **_broken(name, error))
        )
        return Text(
            text.title,
            f"{text.markdown}\n\n{markdown.escape(warning)}",
            f"{text.plain}\n{markdown.one_line(warning)}",
        )


def _broken(name: str, error: BrokenTemplate) -> dict[str, str]:
    return {"file": f"{name}{SUFFIX}", "problem": str(error)}


class Pair:
    """The same templates as Markdown and as plain text."""

    def __init__(self, words: Words, folders: Iterable[Path]) -> None:
        loader = ChoiceLoader([FileSystemLoader(folder) for folder in folders])
        self._markdown = _environment(words, loader, markdown.escape, _MARKDOWN)
        self._plain = _environment(words, loader, markdown.one_line, _plain_form(words))
        self._plain.add_extension(WithoutMarkup)

    def fill_in(self, name: str, facts: Mapping[str, Any]) -> Text:
        """Raises BrokenTemplate."""
        _, body = _rendered(self._markdown, name, facts)
        title, plain = _rendered(self._plain, name, facts)
        return Text(title, body, re.sub("\n{2,}", "\n", plain))


def _rendered(environment: SandboxedEnvironment, name: str, facts: Mapping[str, Any]) -> tuple[str, str]:
    try:
        text = environment.get_template(f"{name}{SUFFIX}").render(facts)
    except Exception as error:
        raise BrokenTemplate(_where(error)) from error
    title, _, body = text.strip().partition("\n")
    if not title.strip():
        raise BrokenTemplate("the first line, which is the title, is empty")
    return title.strip(), re.sub("\n{3,}", "\n\n", body.strip())


def _where(error: Exception) -> str:
    what = f"{type(error).__name__}: {error}"
    if isinstance(error, TemplateSyntaxError):
        return f"{error.name} line {error.lineno}: {what}"
    trace = error.__traceback__
    places = []
    while trace:
        if trace.tb_frame.f_code.co_filename.endswith(SUFFIX):
            places.append(f"{Path(trace.tb_frame.f_code.co_filename).name} line {trace.tb_lineno}: ")
        trace = trace.tb_next
    return (places[-1] if places else "") + what


Form = Mapping[str, Callable[..., str]]

_MARKDOWN: Form = {"code": markdown.code, "link": lambda address, name: markdown.link(name, address)}


def _plain_form(words: Words) -> Form:
    def link(address: str, name: str) -> str:
        return words.text(M("{name}: {value}", name=name, value=markdown.one_line(address)))

    return {"code": markdown.one_line, "link": link}


def _environment(
    words: Words, loader: BaseLoader, escape: Callable[[str], str], form: Form
) -> SandboxedEnvironment:
    """Every value of a template passes through ``escape``, so that a name never becomes markup."""

    def text(value: Any) -> str:
        return words.text(value) if isinstance(value, Message) else str(value)

    def written(value: Any) -> Markup:
        return value if isinstance(value, Markup) else Markup("" if value is None else escape(text(value)))  # noqa: S704

    environment = SandboxedEnvironment(
        loader=loader,
        # Safe text has the type Markup; ``written`` makes it from everything else.
        autoescape=True,
        finalize=written,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        **{name: _safe(write) for name, write in {**form, **_figures(words)}.items()},
    }
    return environment


def _figures(words: Words) -> Form:
    return {
        "number": words.number,
        "size": words.size,
        "rate": lambda size, seconds: words.rate(size, seconds) or "",
        "duration": words.duration,
        "moment": partial(_moment, words),
    }


def _moment(words: Words, moment: datetime, time_zone: str) -> str:
    """An unknown time zone must not lose a message."""
    try:
        return words.moment(moment, time_zone)
    except UsageError:
        return words.moment(moment, "UTC")


def _safe(write: Callable[..., str]) -> Callable[..., Markup]:
    return lambda *values: Markup(write(*values))  # noqa: S704 - ``write`` escapes, or writes figures


class WithoutMarkup(Extension):
    """Removes the Markdown of the template's own text; values stay unchanged."""

    def filter_stream(self, stream: Iterable[Token]) -> Iterable[Token]:
        for token in stream:
            yield Token(token.lineno, "data", _plain(token.value)) if token.type == "data" else token


def _plain(text: str) -> str:
    return re.sub(r"(?m)^(#+ |- )", "", re.sub(r"\*\*|`", "", text))
