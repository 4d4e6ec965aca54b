"""The guide and the reference in the dashboard: every page is there, and every link of it leads somewhere."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from dashboard import manual
from db.errors import NotFound
from tests.dashboard.dashboard import Dashboard

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def test_the_bar_leads_to_the_guide_in_the_readers_language(shared: Dashboard) -> None:
    """On Flower's pages, too; from the contents on to a chapter, a picture and a file."""
    for page in ("/today", "/workers"):
        assert 'id="guide" href="/docs/"' in shared.get(page)
        assert "flower.readthedocs" not in shared.get(page)
    english, chinese = (
        shared.session.get(shared.url + "/docs/", timeout=20, headers={"Accept-Language": language})
        for language in ("en", "zh-CN")
    )
    assert english.url.endswith("/docs/guide/README.md")
    assert chinese.url.endswith("/docs/guide/zh_CN/README.md")
    assert '<a href="restore.md">Restore</a>' in english.text
    chapter = shared.get("/docs/guide/restore.md")
    assert "<title>Restore · Tapeline</title>" in chapter
    assert 'id="with-tapeline"' in chapter
    picture = shared.session.get(shared.url + "/docs/images/dashboard-today.png", timeout=20)
    assert picture.headers["Content-Type"] == "image/png"
    assert picture.content.startswith(b"\x89PNG")
    file = shared.session.get(shared.url + "/docs/schedules.example.toml", timeout=20)
    assert file.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    "name", ["nothing.md", "../setup.cfg", "%2e%2e/setup.cfg", "..%2fsetup.cfg", "guide", "/etc/passwd"]
)
def test_nothing_but_the_pages_is_shown(shared: Dashboard, name: str) -> None:
    answer = shared.session.get(f"{shared.url}/docs/{name}", timeout=20)
    assert answer.status_code == 404
    assert "install_requires" not in answer.text


@pytest.mark.parametrize("name", PAGES)
def test_every_link_of_a_page_leads_somewhere(name: str) -> None:
    """What is no page of ours is only text."""
    title, body = manual.render(name)
    assert title
    for href in re.findall(r'(?:href|src)="([^"]*)"', body):
        target, _, heading = unquote(href).partition("#")
        if ":" in target:
            continue
        path = posixpath.normpath(posixpath.join(posixpath.dirname(name), target)) if target else name
        assert manual.find(path).is_file(), href
        if heading:
            assert f'id="{heading}"' in manual.render(path)[1], href


def test_what_is_no_page_is_refused() -> None:
    with pytest.raises(NotFound, match=r"no page '\.\./README\.md'"):
        manual.find("../README.md")


def test_another_packages_docs_are_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many a package puts a folder of that name beside our modules."""
    foreign = tmp_path / "docs"
    foreign.mkdir()
    (foreign / "theirs.md").write_text("# Theirs\n")
    monkeypatch.setattr(manual, "PLACES", (foreign, DOCS))
    manual._files.cache_clear()
    try:
        assert manual.find("guide/README.md") == DOCS / "guide" / "README.md"
        with pytest.raises(NotFound):
            manual.find("theirs.md")
    finally:
        manual._files.cache_clear()
