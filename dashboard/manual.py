"""The guide and the reference as pages: the files of docs/, as they were installed."""

from __future__ import annotations

import posixpath
import re
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from tornado.web import authenticated

from dashboard.page import Page
from db.errors import NotFound
from policy.message import M

PLACES = (
    Path(__file__).parents[1] / "docs",
    Path(sysconfig.get_path("data")) / "share" / "tapeline" / "docs",
)
"""In a checkout, and where a wheel puts them (``options.data_files`` of setup.cfg)."""
PLAIN = "text/plain; charset=utf-8"
KINDS = {
    ".md": "text/html; charset=utf-8",
    ".png": "image/png",
    ".json": PLAIN,
    ".toml": PLAIN,
    ".yaml": PLAIN,
}


@cache
def _files() -> dict[str, Path]:
    """Every page and picture by its path: what a request names is looked up, and never put together."""
    # A folder docs beside our modules may be another package's.
    folder = next((place for place in PLACES if (place / contents("en")).is_file()), None)
    return {path.relative_to(folder).as_posix(): path for path in _below(folder)} if folder else {}


def _below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.suffix in KINDS)


class ManualPage(Page):
    """``/docs/guide/restore.md``: the path is that of the file, so that the links of the files lead on."""

    @authenticated
    async def get(self, name: str) -> None:
        if not name:
            self.redirect(self.link("docs", *contents(self.show.words.language).split("/")))
            return
        path = find(name)
        if path.suffix != ".md":
            self.set_header("Content-Type", KINDS[path.suffix])
            self.finish(await self.work(path.read_bytes))
            return
        title, body = await self.work(lambda: render(name))
        self.page("manual.html", title=title, body=body, contents=self.link("docs", ""))


def find(name: str) -> Path:
    """The file of a page or a picture. Raises NotFound."""
    path = _files().get(name)
    if path is None:
        raise NotFound(
            M("The guide has no page '{name}'.", name=name),
            M("Open the guide from the bar; 'make install' and 'pip install' bring its pages along."),
        )
    return path


def contents(language: str) -> str:
    """The page with the guide's contents in a language."""
    return "guide/zh_CN/README.md" if language.startswith("zh") else "guide/README.md"


def render(name: str) -> tuple[str, str]:
    """The title of a page and its HTML. A heading has the anchor by which other pages name it; a link to what
    is no page is only its text. Raises NotFound."""
    text = find(name).read_text(encoding="utf-8")
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = parser.parse(text)
    title = ""
    for token, inside in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "heading_open" and inside is not None:
            title = title or _plain(inside)
            token.attrSet("id", anchor(inside.content))
        elif token.type == "table_open":
            token.attrSet("class", "table")
        for child in token.children or []:
            if child.type == "link_open" and not _leads_on(name, str(child.attrGet("href"))):
                del child.attrs["href"]
    return title, parser.renderer.render(tokens, parser.options, {})


def _leads_on(name: str, href: str) -> bool:
    """Whether a link of a page leads to another site, to a heading, or to one of our pages."""
    target = href.partition("#")[0]
    path = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
    return not target or ":" in target or path in _files()


def anchor(heading: str) -> str:
    """The anchor of a heading, by the rule of those who show Markdown files."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _plain(inline: Token) -> str:
    return "".join(child.content for child in inline.children or [])
