"""The pages of the guide and of the reference, in the dashboard's frame."""

from __future__ import annotations

from tornado.web import authenticated

from dashboard import manual
from dashboard.page import Page


class ManualPage(Page):
    """``/docs/guide/restore.md``: the path is that of the file, so that the links of the files lead on."""

    @authenticated
    async def get(self, name: str) -> None:
        if not name:
            self.redirect(self.link("docs", *manual.contents(self.show.words.language).split("/")))
            return
        path = manual.find(name)
        if path.suffix != ".md":
            self.set_header("Content-Type", manual.KINDS[path.suffix])
            self.finish(await self.work(path.read_bytes))
            return
        title, body = await self.work(lambda: manual.render(name))
        self.page("manual.html", title=title, body=body, contents=self.link("docs", ""))
