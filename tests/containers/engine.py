"""A container engine for the tests: the one that answers, else a Docker of their own, started by hand."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
BASE = "tapeline-test-base"
START_SECONDS = 60.0
BUILD_SECONDS = 900.0
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


class NoEngine(Exception):
    """No container can be run on this machine; the text says why."""


class Engine:
    """Docker and Compose as command lines, with an engine that answers at ``host``."""

    def __init__(self, host: str | None) -> None:
        self.environment = {**os.environ, **({"DOCKER_HOST": host} if host else {})}
        self.compose_program = compose_program(self.environment)

    def docker(self, *arguments: str, limit: float = 120, check: bool = True) -> str:
        """Run ``docker`` and return what it printed; shows all of it when it fails."""
        return run(["docker", *arguments], self.environment, limit, check=check)

    def has(self, image: str) -> bool:
        return bool(self.docker("images", "--quiet", image).strip())


@contextmanager
def engine() -> Iterator[Engine]:
    """An engine for as long as it is needed. Raises NoEngine."""
    if shutil.which("docker") is None:
        raise NoEngine("docker is not installed")
    if _answers(None):
        yield Engine(None)
        return
    if shutil.which("dockerd") is None or os.geteuid() != 0:
        raise NoEngine("no engine answers, and one can only be started by root where dockerd is installed")
    folder = Path(tempfile.mkdtemp(prefix="tl-"))
    try:
        with _daemon(folder) as host:
            yield Engine(host)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _daemon(folder: Path) -> Iterator[str]:
    host = f"unix://{folder}/docker.sock"
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(
            [
                *(
                    "dockerd",
                    "--host",
                    host,
                    "--data-root",
                    f"{folder}/data",
                    "--exec-root",
                    f"{folder}/exec",
                ),
                *("--pidfile", f"{folder}/pid", "--cgroup-parent", "/docker"),
            ],
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(host):
            if daemon.poll() is not None or time.monotonic() > deadline:
                last = (folder / "log").read_text(errors="replace").strip().splitlines()[-1:]
                raise NoEngine(f"dockerd does not start here: {' '.join(last)}")
            time.sleep(0.5)
        yield host
    finally:
        daemon.terminate()
        daemon.wait(START_SECONDS)


def _answers(host: str | None) -> bool:
    at = ["--host", host] if host else []
    return (
        subprocess.run(["docker", *at, "version"], capture_output=True, timeout=30, check=False).returncode
        == 0
    )


def compose_program(environment: dict[str, str]) -> list[str]:
    """How Compose is called here. Raises NoEngine."""
    for program in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(program[0]) and _runs([*program, "version"], environment):
            return program
    raise NoEngine("Compose is not installed")


def _runs(command: list[str], environment: dict[str, str]) -> bool:
    done = subprocess.run(command, env=environment, capture_output=True, timeout=30, check=False)
    return done.returncode == 0


def make_base(engine: Engine, folder: Path) -> str:
    """Debian with Python as an image, made of Debian's packages: no registry of images is asked."""
    if engine.has(BASE):
        return BASE
    if shutil.which("debootstrap") is None or os.geteuid() != 0:
        raise NoEngine("the base image takes debootstrap and root")
    root = folder / "rootfs"
    packages = "python3,python3-venv,python3-pip,ca-certificates"
    run(
        ["debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", str(root)],
        dict(os.environ),
        BUILD_SECONDS,
    )
    if CA_BUNDLE.exists():
        shutil.copy(CA_BUNDLE, root / CA_BUNDLE.relative_to("/"))
        (root / "etc/pip.conf").write_text(f"[global]\ncert = {CA_BUNDLE}\n")
    run(["tar", "-C", str(root), "-cf", str(folder / "base.tar"), "."], dict(os.environ), BUILD_SECONDS)
    engine.docker("import", str(folder / "base.tar"), BASE, limit=BUILD_SECONDS)
    shutil.rmtree(root)
    (folder / "base.tar").unlink()
    return BASE


def make_servers(engine: Engine, base: str) -> None:
    """Stand-ins for the official images of PostgreSQL and Redis."""
    for name in ("postgres", "redis"):
        engine.docker(
            *(
                "build",
                "--build-arg",
                f"BASE_IMAGE={base}",
                "--target",
                name,
                "--tag",
                f"tapeline-test-{name}",
            ),
            str(Path(__file__).parent / "servers"),
            limit=BUILD_SECONDS,
        )


def run(command: list[str], environment: dict[str, str], limit: float, *, check: bool = True) -> str:
    """Run a program and return what it printed; what it printed is shown when it fails."""
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=limit,
        check=False,
    )
    assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout[-6000:]}"
    return done.stdout
