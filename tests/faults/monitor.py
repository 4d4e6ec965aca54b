"""A monitoring service on this machine, which answers as healthchecks.io and as Uptime Kuma do."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

CHECK = "5b1ad5b2-94bb-4e2f-9f4e-7e0d2f3a1c11"
TOKEN = "hG3kPushToken"


@dataclass(frozen=True)
class Received:
    """One request, as the service understands it."""

    signal: str
    """``start``, ``success``, ``fail`` or ``log``; ``up`` or ``down`` of a push monitor."""
    text: str
    rid: str | None


class Monitor:
    """One check and one push monitor; ``status`` and ``body`` replace the answers."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.status = 200
        self.body: str | None = None
        monitor = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self._answer(*monitor._checked(self.path, text))

            def do_GET(self) -> None:
                self._answer(*monitor._pushed(self.path))

            def _answer(self, status: int, body: str) -> None:
                self.send_response(status if monitor.status == 200 else monitor.status)
                self.end_headers()
                self.wfile.write((monitor.body or body).encode())

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def signals(self) -> list[str]:
        return [each.signal for each in self.received]

    @property
    def check_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/{CHECK}"

    @property
    def push_url(self) -> str:
        """As Uptime Kuma's page shows it."""
        port = self._server.server_address[1]
        return f"http://127.0.0.1:{port}/api/push/{TOKEN}?status=up&msg=OK&ping="

    def _checked(self, path: str, text: str) -> tuple[int, str]:
        parts = urlsplit(path)
        _, check, *rest = parts.path.split("/")
        if check != CHECK:
            return 200, "OK (not found)"
        if rest not in ([], ["start"], ["fail"], ["log"]):
            return 400, "invalid url format"
        if self.status == 200 and self.body is None:
            query = dict(parse_qsl(parts.query))
            self.received.append(Received(rest[0] if rest else "success", text, query.get("rid")))
        return 200, "OK"

    def _pushed(self, path: str) -> tuple[int, str]:
        parts = urlsplit(path)
        query = dict(parse_qsl(parts.query))
        if parts.path != f"/api/push/{TOKEN}":
            return 404, json.dumps({"ok": False, "msg": "Monitor not found or not active."})
        if self.status == 200 and self.body is None:
            self.received.append(Received(query["status"], query["msg"], None))
        return 200, json.dumps({"ok": True})

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
