"""Flower with our pages, as a process of its own, and a browser's requests to it."""

from __future__ import annotations

import html
import re
import socket
from typing import Any

import requests

from dashboard.login import USER
from tests.system import System


class Dashboard:
    """The dashboard of a system, on a free port; ``environment`` of the system says how it is set up."""

    def __init__(self, system: System, *arguments: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.system = system
        self.url = f"http://127.0.0.1:{self.port}"
        system._spawn("flower", "flower", f"--port={self.port}", *arguments)
        system.wait_for(self._answers, "the dashboard")
        self.session = requests.Session()
        self.session.auth = (USER, self.password)

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/healthcheck", timeout=5).ok
        except requests.ConnectionError:
            return False

    @property
    def password(self) -> str:
        file = self.system.state / "dashboard.login"
        return file.read_text().strip().partition(":")[2] if file.exists() else ""

    def get(self, path: str, *, status: int = 200, **options: Any) -> str:
        answer = self.session.get(self.url + path, timeout=20, **options)
        assert answer.status_code == status, f"{path}: {answer.status_code}\n{self.system.logs()}"
        return answer.text

    def press(self, path: str, *, status: int = 200, headers: Any = None, **fields: str) -> requests.Response:
        """Fill in the form that a button leads to, and send it."""
        hidden = self.form(path)
        answer = self.session.post(self.url + path, data={**hidden, **fields}, headers=headers, timeout=20)
        assert answer.status_code == status, f"{path}: {answer.status_code} {answer.text}"
        return answer

    def form(self, path: str) -> dict[str, str]:
        """What the form of a page sends without anybody's doing."""
        found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]+)"', self.get(path))
        return {name: html.unescape(value) for name, value in found}
