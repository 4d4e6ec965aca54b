"""A form as a browser sends it when nothing is changed."""

from __future__ import annotations

from html.parser import HTMLParser


class _Form(HTMLParser):
    def __init__(self, form: str) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self._form, self._inside, self._field = form, False, ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = given.get("id") == self._form
        if not self._inside:
            return
        match tag:
            case "input":
                self.values[given["name"]] = given.get("value", "")
            case "select":
                self._field = given["name"]
            case "option" if "selected" in given or (self._field and self._field not in self.values):
                if self._field:
                    self.values[self._field] = given["value"]
            case "textarea":
                self._field = given["name"]
                self.values[self._field] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag in {"select", "textarea"}:
            self._field = ""

    def handle_data(self, data: str) -> None:
        if self._field and self.get_starttag_text() and str(self.get_starttag_text()).startswith("<textarea"):
            self.values[self._field] += data


def sent_by(page: str, form: str) -> dict[str, str]:
    """The fields of a form of a page, by name."""
    reader = _Form(form)
    reader.feed(page)
    return {name: value.removeprefix("\n") for name, value in reader.values.items()}
