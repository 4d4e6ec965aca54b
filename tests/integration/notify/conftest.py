"""A robot's webhook on this machine, which checks what DingTalk checks and answers as DingTalk answers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

import pytest

from notify.channels.dingtalk import DingTalk
from notify.notice import Notice

TOKEN = "4f3c0ffee0token"
SECRET = "SEC0123456789secret+/="
HOUR = 3_600_000

BODY_KEYS = {"msgtype", "markdown", "at"}


@dataclass
class Robot:
    """What the webhook was sent, and how it is to answer; the default answer is DingTalk's verdict."""

    token: ClassVar[str] = TOKEN
    secret: ClassVar[str] = SECRET
    url: str = ""
    answer: Callable[[BaseHTTPRequestHandler], None] | None = None
    released: threading.Event = field(default_factory=threading.Event)
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    def answers(self, body: bytes | dict[str, Any], status: int = 200) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answer = lambda request: reply(request, status, data)

    def never_answers(self) -> None:
        self.answer = lambda _: wait(self.released)

    def resets(self) -> None:
        self.answer = reset

    @property
    def messages(self) -> list[Any]:
        return [json.loads(body) for _, _, body in self.requests]


def wait(released: threading.Event) -> None:
    released.wait(30)


def reply(request: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    request.send_response(status)
    request.send_header("Content-Type", "application/json")
    if status in range(300, 400):
        request.send_header("Location", "/elsewhere")
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


def reset(request: BaseHTTPRequestHandler) -> None:
    # Closing with a linger of no time at all sends RST.
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.connection.shutdown(socket.SHUT_RD)
    request.rfile.close()
    request.wfile.close()
    request.connection.close()
    request.wfile = io.BytesIO()  # for what the server still wants to flush


def verdict(path: str, content_type: str, body: bytes) -> dict[str, Any]:
    """What DingTalk answers to a message, by its documentation."""
    address = urlsplit(path)
    query = dict(parse_qsl(address.query, strict_parsing=True))
    if address.path != "/robot/send" or query.get("access_token") != TOKEN:
        return {"errcode": 300005, "errmsg": "token is not exist"}
    if content_type.replace(" ", "").lower() != "application/json;charset=utf-8":
        return {"errcode": 43004, "errmsg": "无效的HTTP HEADER Content-Type"}
    return verdict_on_signature(query) or verdict_on_body(body) or {"errcode": 0, "errmsg": "ok"}


def verdict_on_signature(query: dict[str, str]) -> dict[str, Any] | None:
    if abs(int(query["timestamp"]) - time.time() * 1000) > HOUR:
        return {"errcode": 310000, "errmsg": "invalid timestamp"}
    if query["sign"] != sign(query["timestamp"]):
        return {"errcode": 310000, "errmsg": "sign not match"}
    return None


def verdict_on_body(body: bytes) -> dict[str, Any] | None:
    if len(body) > 20_000:
        return {"errcode": 460101, "errmsg": "message too long, exceed 20000 bytes"}
    if not is_documented(json.loads(body.decode())):
        return {"errcode": 40035, "errmsg": "缺少参数 json"}
    return None


def sign(timestamp: str) -> str:
    digest = hmac.digest(SECRET.encode(), f"{timestamp}\n{SECRET}".encode(), hashlib.sha256)
    return base64.b64encode(digest).decode()


def is_documented(message: dict[str, Any]) -> bool:
    at = message["at"]
    return (
        message.keys() == BODY_KEYS
        and message["msgtype"] == "markdown"
        and message["markdown"].keys() == {"title", "text"}
        and all(isinstance(value, str) and value for value in message["markdown"].values())
        and at.keys() == {"atMobiles", "isAtAll"}
        and isinstance(at["atMobiles"], list)
        and at["isAtAll"] is False
    )


@pytest.fixture
def robot(monkeypatch: pytest.MonkeyPatch) -> Iterator[Robot]:
    """A webhook on a free port of the loopback interface, reached without any proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    robot = Robot()

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            robot.requests.append((self.path, dict(self.headers), body))
            if robot.answer is not None:
                robot.answer(self)
            else:
                reply(self, 200, json.dumps(verdict(self.path, self.headers["Content-Type"], body)).encode())

        def log_message(self, *args: Any) -> None:
            """Say nothing on the terminal."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Webhook) as server:
        robot.url = f"http://127.0.0.1:{server.server_address[1]}"
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        yield robot
        robot.released.set()
        server.shutdown()
        serving.join()


@pytest.fixture
def notice() -> Notice:
    return Notice(
        title="Tapeline · 备份失败：nightly",
        markdown="### Tapeline · 备份失败：nightly\n\n- **磁带**：TP20261101 & “照片”",
        plain="磁带：TP20261101 & <照片>",
        where_the_rest_is="tapeline runs show 12",
    )


@pytest.fixture
def dingtalk(robot: Any) -> DingTalk:
    return DingTalk(robot.token, robot.secret, base_url=robot.url, timeout=5)


@pytest.fixture
def deaf() -> Iterator[str]:
    """An address where nobody listens: the port is taken, so that nobody else can begin to."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"
