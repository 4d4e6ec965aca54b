"""A RabbitMQ of one's own: a node on loopback with its own folder, that ends with the test."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.wire.certificates import Authority
from tests.wire.servers import free_port

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
START_SECONDS = 60.0
USER = PASSWORD = "guest"


def missing() -> str | None:
    """Why nothing of this can be tested here, or None."""
    if not SERVER.exists() or shutil.which("erl") is None:
        return "no rabbitmq-server (Debian: apt install rabbitmq-server)"
    return None


class Node:
    """A running node, and what its administrator can do."""

    def __init__(self, port: int, tls_port: int, authority: Authority, environment: dict[str, str]) -> None:
        self.port, self.tls_port, self.authority, self._environment = port, tls_port, authority, environment

    @property
    def url(self) -> str:
        return f"amqp://{USER}:{PASSWORD}@127.0.0.1:{self.port}//"

    def ctl(self, *arguments: str) -> str:
        """``rabbitmqctl``."""
        done = subprocess.run(
            [str(SERVER.with_name("rabbitmqctl")), *arguments],
            env=self._environment, check=True, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        return done.stdout


@contextmanager
def node(home: Path) -> Iterator[Node]:
    """A node that listens on loopback, plainly and by TLS."""
    authority = Authority(home, "authority")
    certificate, key = authority.issue("rabbit")
    port, tls_port, names, cluster = free_port(), free_port(), free_port(), free_port()
    (home / "rabbitmq.conf").write_text(
        f"listeners.tcp.local = 127.0.0.1:{port}\nlisteners.ssl.local = 127.0.0.1:{tls_port}\n"
        f"ssl_options.cacertfile = {authority.certificate}\nssl_options.certfile = {certificate}\n"
        f"ssl_options.keyfile = {key}\ndisk_free_limit.absolute = 50MB\nlog.console = true\n"
    )
    (home / "plugins").write_text("[].\n")
    environment = {
        **os.environ,
        "HOME": str(home),
        "RABBITMQ_NODENAME": f"tapeline{port}@localhost",
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RABBITMQ_DIST_PORT": str(cluster),
        "ERL_EPMD_PORT": str(names),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    with (home / "console").open("wb") as console:
        process = subprocess.Popen(
            [str(SERVER)], env=environment, cwd=home, stdout=console, stderr=console, start_new_session=True
        )
    try:
        _wait(process, home / "console")
        yield Node(port, tls_port, authority, environment)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(START_SECONDS)
        subprocess.run(["epmd", "-kill"], env=environment, check=False, capture_output=True, timeout=30)


def _wait(process: subprocess.Popen[bytes], console: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while b"Server startup complete" not in console.read_bytes():
        assert process.poll() is None, console.read_text()
        assert time.monotonic() < deadline, console.read_text()
        time.sleep(0.1)
