"""A mail server on this machine that keeps what it is sent."""

from __future__ import annotations

import email
import email.policy
import socketserver
import threading
from email.message import EmailMessage


class Postbox:
    """Speaks as much SMTP as one mail needs."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        postbox = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self._say("220 postbox")
                for line in self.rfile:
                    match line[:4].upper():
                        case b"DATA":
                            self._say("354 go on")
                            postbox.mails.append(self._mail())
                            self._say("250 kept")
                        case b"QUIT":
                            self._say("221 bye")
                            return
                        case _:
                            self._say("250 ok")

            def _mail(self) -> EmailMessage:
                lines = iter(self.rfile.readline, b".\r\n")
                raw = b"".join(line.removeprefix(b".") if line.startswith(b"..") else line for line in lines)
                found = email.message_from_bytes(raw, policy=email.policy.default)
                assert isinstance(found, EmailMessage)
                return found

            def _say(self, text: str) -> None:
                self.wfile.write(f"{text}\r\n".encode())

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The address as Apprise writes it."""
        port = self._server.server_address[1]
        return f"mailto://127.0.0.1:{port}/?mode=insecure&from=tapeline@example.com&to=ops@example.com"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
