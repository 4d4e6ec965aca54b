"""A web server that never ends its answer: one byte after the other, for as long as anybody listens."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Trickle:
    """Each byte comes well within any time-out of a socket."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self._ended = threading.Event()
        trickle = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                trickle.asked.set()
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Pad: ")
                while not trickle._ended.wait(0.2):
                    try:
                        self.wfile.write(b"x")
                    except OSError:
                        return

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The address as Apprise writes it."""
        return f"json://127.0.0.1:{self._server.server_address[1]}/"

    def close(self) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
