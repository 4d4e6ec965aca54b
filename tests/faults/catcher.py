"""A channel on this machine that keeps every message it is sent."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Catcher:
    """What operators would have read: one entry for each message that went out."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        catcher = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                catcher.messages.append(json.loads(self.rfile.read(length)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing: the messages themselves are looked at."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The address as Apprise writes it."""
        return f"json://127.0.0.1:{self._server.server_address[1]}/"

    def about(self, schedule: str) -> list[str]:
        """The titles of the messages about the runs of a schedule, in order."""
        return [message["title"] for message in self.messages if message["title"].endswith(f": {schedule}")]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
