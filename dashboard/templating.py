"""Our templates beside Flower's, and the few lines that we add to Flower's own pages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flower.urls import settings
from tornado.template import BaseLoader, Template

from dashboard.navigation import THEIRS

OURS = Path(__file__).parent / "templates"
FLOWERS = Path(settings["template_path"])

NEWEST = "2.2.0"
"""The newest Flower in which ``PATCHES`` were tried; setup.cfg asks for at least this one."""


@dataclass(frozen=True, slots=True)
class Patch:
    """A text of one of Flower's templates, and its replacement."""

    template: str
    text: str
    becomes: str


def _followed_by(template: str, text: str, include: str) -> Patch:
    return Patch(template, text, f'{text}{{% include "{include}" %}}')


_ICON = "{% from dashboard.page import address %}{{ address(handler, 'tapeline', 'static', 'icon.svg') }}"

PATCHES = (
    _followed_by(
        "base.html", '<link href="{{ static_url(\'css/flower.css\') }}" rel="stylesheet">', "_head.html"
    ),
    Patch("base.html", "{% block title %}Flower{% end %}", "{% block title %}Tapeline{% end %}"),
    Patch("base.html", "{{ static_url('favicon.ico') }}", _ICON),
    Patch("navbar.html", "{{ static_url('favicon.ico') }}", _ICON),
    Patch("navbar.html", "<span>Flower</span>", "<span>Tapeline</span>"),
    _followed_by("navbar.html", '<ul class="app-nav navbar-nav">', "_navigation.html"),
    *(Patch("navbar.html", f">{name}</a>", f">{{{{ flowers(handler, '{name}') }}}}</a>") for name in THEIRS),
    Patch(
        "navbar.html",
        'href="https://flower.readthedocs.io/" target="_blank" rel="noopener"',
        '{% from dashboard.navigation import guide %}id="guide" href="{{ guide(handler)[1] }}"',
    ),
    Patch(
        "navbar.html",
        'aria-label="Flower documentation" title="Documentation"',
        'aria-label="{{ guide(handler)[0] }}" title="{{ guide(handler)[0] }}"',
    ),
    Patch(
        "navbar.html",
        '<span class="visually-hidden">Documentation</span>',
        '<span class="visually-hidden">{{ guide(handler)[0] }}</span>',
    ),
    # The page of Flower's source code is on another host, and of no use to an operator.
    Patch("navbar.html", 'href="https://github.com/mher/flower" target="_blank" rel="noopener"', "hidden"),
    _followed_by("task.html", "{% block container %}", "_task_of_run.html"),
)


def misplaced(folder: Path = FLOWERS) -> list[Patch]:
    """The patches whose text is not exactly once in Flower's template: a newer Flower has moved it.

    Its page then lacks our entry, or has it in another place.
    """
    return [patch for patch in PATCHES if _source(folder / patch.template).count(patch.text) != 1]


def _source(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


class Loader(BaseLoader):
    """Finds a template by its bare name: ours, else Flower's."""

    def resolve_path(self, name: str, parent_path: str | None = None) -> str:  # noqa: ARG002 - Tornado's
        return name

    def _create_template(self, name: str) -> Template:
        ours = OURS / name
        source = (ours if ours.is_file() else FLOWERS / name).read_text(encoding="utf-8")
        for patch in PATCHES:
            if patch.template == name:
                source = source.replace(patch.text, patch.becomes, 1)
        return Template(source, name=name, loader=self)
