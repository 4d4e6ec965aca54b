"""Our templates beside Flower's, and the few lines that Flower's own pages get from us."""

from __future__ import annotations

from pathlib import Path

from flower.urls import settings
from tornado.template import BaseLoader, Template

from dashboard.navigation import THEIRS

OURS = Path(__file__).parent / "templates"
FLOWERS = Path(settings["template_path"])

AFTER = {
    "base.html": ('<link href="{{ static_url(\'css/flower.css\') }}" rel="stylesheet">', "_head.html"),
    "navbar.html": ('<ul class="app-nav navbar-nav">', "_navigation.html"),
    "task.html": ("{% block container %}", "_task_of_run.html"),
}
"""After which text of a template of Flower's what of ours stands. Where Flower has no such text any more the
page stays as Flower has it."""


INSTEAD = {"navbar.html": {f">{name}</a>": f">{{{{ flowers(handler, '{name}') }}}}</a>" for name in THEIRS}}
"""What of a template of Flower's is said in the browser's language."""


class Loader(BaseLoader):
    """Finds a template by its bare name: ours, else Flower's."""

    def resolve_path(self, name: str, parent_path: str | None = None) -> str:  # noqa: ARG002 - Tornado's
        return name

    def _create_template(self, name: str) -> Template:
        ours = OURS / name
        source = (ours if ours.is_file() else FLOWERS / name).read_text(encoding="utf-8")
        if name in AFTER:
            text, include = AFTER[name]
            source = source.replace(text, f'{text}{{% include "{include}" %}}', 1)
        for text, other in INSTEAD.get(name, {}).items():
            source = source.replace(text, other, 1)
        return Template(source, name=name, loader=self)
