"""An installation on two hosts: the drive's host is a network namespace, with a cable that can be cut."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedded.folders import write_public
from embedded.postgres import PORT, USER, Postgres
from embedded.redis import Redis
from tests.faults.fragile import FragileSystem

BITS = 30
_FIRST = 4 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
CONTROL_HOST, DRIVE_HOST = f"198.51.100.{_FIRST + 1}", f"198.51.100.{_FIRST + 2}"
"""Addresses for documentation, which hardly a network has; others in each process of the tests."""
REDIS_PORT = 6379


def missing() -> str | None:
    """Why two hosts cannot be had here, or None."""
    programs = [name for name in ("ip", "iptables") if shutil.which(name) is None]
    if programs:
        return f"no {' and no '.join(programs)} (Debian: apt install iproute2 iptables)"
    if os.geteuid() != 0:
        return "only root makes network namespaces"
    made = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True, check=False)
    return None if made.returncode == 0 else f"no network namespaces: {made.stderr.strip()}"


class Cable:
    """Between this host, which is the control host, and a namespace that is the drive's host."""

    def __init__(self) -> None:
        self.name = f"tl{os.getpid()}"
        self._run("ip", "netns", "add", self.name)
        here, there = f"{self.name}a", f"{self.name}b"
        self._run("ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", self.name)
        self._run("ip", "address", "add", f"{CONTROL_HOST}/{BITS}", "dev", here)
        self._run("ip", "link", "set", here, "up")
        for command in (
            ("address", "add", f"{DRIVE_HOST}/{BITS}", "dev", there),
            ("link", "set", there, "up"),
            ("link", "set", "lo", "up"),
        ):
            self._run("ip", "-n", self.name, *command)

    def cut(self) -> None:
        """Every packet is lost without a word, in both directions."""
        self._drop()

    def lose(self, share: float) -> None:
        """So many of the packets are lost, in both directions: everything becomes slow."""
        self._drop("-m", "statistic", "--mode", "random", "--probability", str(share))

    def _drop(self, *which: str) -> None:
        self.heal()
        for chain in ("INPUT", "OUTPUT"):
            self.inside("iptables", "-A", chain, *which, "-j", "DROP")

    def heal(self) -> None:
        """Every packet arrives again."""
        self.inside("iptables", "-F")

    def inside(self, *command: str) -> None:
        """Run a command on the drive's host."""
        self._run(*self.command(*command))

    def command(self, *command: str) -> list[str]:
        """A command, as it is started for the drive's host."""
        return ["ip", "netns", "exec", self.name, *command]

    def close(self) -> None:
        """Remove the namespace, and its end of the cable with it."""
        self._run("ip", "netns", "del", self.name)

    @staticmethod
    def _run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, timeout=30)


class NetworkPostgres(Postgres):
    """The embedded PostgreSQL, which the drive's host reaches as well."""

    def _write_config(self) -> None:
        super()._write_config()
        text = self._config.read_text("utf-8")
        write_public(self._config, f"{text}listen_addresses = '{CONTROL_HOST}'\n")
        rules = self.data / "pg_hba.conf"
        rule = f"host all all {DRIVE_HOST}/32 trust\n"
        if rule not in rules.read_text("utf-8"):
            with rules.open("a", encoding="utf-8") as file:
                file.write(rule)


class NetworkRedis(Redis):
    """The embedded Redis, which the drive's host reaches as well."""

    def _configuration(self) -> str:
        return f"{super()._configuration()}port {REDIS_PORT}\nbind {CONTROL_HOST}\nprotected-mode no\n"


class TwoHosts(FragileSystem):
    """The tape worker runs on the drive's host, everything else on the control host."""

    def __init__(self, folder: Path) -> None:
        self.cable = Cable()
        try:
            super().__init__(folder)
        except BaseException:
            self.cable.close()
            raise

    def _servers(self, folder: Path) -> tuple[Redis, Postgres]:
        return NetworkRedis(folder), NetworkPostgres(folder, durable=False)

    def command(self, name: str, *arguments: str) -> list[str]:
        return self.cable.command(*arguments) if name == "tape" else list(arguments)

    def environment_of(self, name: str) -> dict[str, str]:
        if name != "tape":
            return self.environment
        return {
            **self.environment,
            "TAPELINE_DATABASE_URL": f"postgresql+psycopg2://{USER}@{CONTROL_HOST}:{PORT}/{USER}",
            "TAPELINE_BROKER_URL": f"redis://{CONTROL_HOST}:{REDIS_PORT}/0",
        }

    @contextmanager
    def without_cable(self) -> Iterator[None]:
        """The hosts do not reach each other for the time of the context."""
        self.cable.cut()
        try:
            yield
        finally:
            self.cable.heal()

    def close(self) -> None:
        self.cable.heal()
        super().close()
        self.cable.close()
