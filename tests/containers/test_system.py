"""docker/ as an operator has it: built, brought up, a backup through it, taken down."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from tape.virtual.shelf import insert, new_cartridge
from tests.containers import engine as engines
from tests.containers.engine import ROOT, Engine, NoEngine, run
from tests.ltfs import programs

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]

DOCKER = ROOT / "docker"
PORT = 15585
OURS = ("control", "beat", "flower", "tape")
TIMEOUT = 180.0
IN_IMAGE = "/opt/tapeline/bin/python"


class Project:
    """One Compose project with a ``.env`` of its own."""

    def __init__(self, engine: Engine, name: str, folder: Path, *files: Path, **variables: str) -> None:
        self.engine = engine
        self.folder = folder
        env = (DOCKER / ".env.example").read_text()
        for key, value in variables.items():
            env = re.sub(rf"^{key}=.*$", f"{key}={value}", env, flags=re.MULTILINE)
        (folder / f"{name}.env").write_text(env)
        self._command = [
            *engine.compose_program,
            *("--project-name", name, "--env-file", str(folder / f"{name}.env")),
            *(word for file in files for word in ("--file", str(file))),
        ]

    def compose(self, *arguments: str, limit: float = 1200, check: bool = True) -> str:
        environment = {**self.engine.environment, "COMPOSE_PROFILES": "virtual-drive"}
        return run([*self._command, *arguments], environment, limit, check=check)

    def tapeline(self, service: str, *arguments: str, check: bool = True) -> str:
        """The operator's command in a running container."""
        return self.compose("exec", "-T", service, "tapeline", *arguments, limit=TIMEOUT, check=check)

    def json(self, service: str, *arguments: str) -> Any:
        return json.loads(self.tapeline(service, *arguments, "--json", check=False))

    def container(self, service: str) -> str:
        return self.compose("ps", "-q", service).split()[-1]

    def inspect(self, service: str, what: str) -> str:
        return self.engine.docker("inspect", "--format", what, self.container(service)).strip()

    def wait_until_healthy(self, *services: str) -> None:
        """What the engine itself says, by the health checks of image and files."""
        deadline = time.monotonic() + TIMEOUT
        for service in services:
            while self.inspect(service, "{{.State.Health.Status}}") != "healthy":
                assert time.monotonic() < deadline, f"{service}\n{self.compose('logs', '--tail', '60')}"
                time.sleep(2)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    try:
        with engines.engine() as found:
            yield found
    except NoEngine as error:
        pytest.skip(f"NOT TESTED: the containers: {error}")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that containers' users may read."""
    made = Path(tempfile.mkdtemp(prefix="tl-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def base(engine: Engine, folder: Path) -> str:
    try:
        return engines.make_base(engine, folder)
    except NoEngine as error:
        pytest.skip(f"NOT TESTED: the containers: {error}")


@pytest.fixture(scope="module")
def images(engine: Engine, base: str) -> dict[str, str]:
    """The variables of ``.env`` that name images."""
    engines.make_servers(engine, base)
    return {
        "BASE_IMAGE": base,
        "POSTGRES_IMAGE": "tapeline-test-postgres",
        "REDIS_IMAGE": "tapeline-test-redis",
        "TAPELINE_IMAGE": "tapeline-test",
    }


@pytest.fixture(scope="module")
def system(engine: Engine, images: dict[str, str], folder: Path) -> Iterator[Project]:
    """``docker compose up``, with a folder to back up."""
    config, sources = folder / "config", folder / "sources"
    config.mkdir()
    sources.mkdir()
    (sources / "资料.txt").write_text("内容")
    (sources / "data").write_bytes(os.urandom(3_000_000))
    (config / "schedules.toml").write_text(
        '[schedules.monthly]\nwhen = { type = "monthly", day = 1, at = "02:00" }\n'
        'backup = { sources = ["/sources"] }\n'
    )
    project = Project(
        engine,
        "tapeline-test",
        folder,
        DOCKER / "compose.yaml",
        **images,
        POSTGRES_PASSWORD="aa11",
        REDIS_PASSWORD="bb22",
        FLOWER_PASSWORD="cc33",
        FLOWER_PORT=str(PORT),
        TAPELINE_CONFIG_DIR=str(config),
        SOURCES=str(sources),
    )
    project.compose("up", "--detach", "--build")
    yield project
    project.compose("down", "--volumes")


def test_the_image(engine: Engine, system: Project) -> None:
    """Not root, no secret in its history or environment, no pip, and not much larger than its base."""
    facts = json.loads(engine.docker("inspect", "tapeline-test"))[0]
    base = json.loads(engine.docker("inspect", engines.BASE))[0]
    assert facts["Config"]["User"] == "10301:10301"
    assert facts["Config"]["Healthcheck"]["Test"] == ["CMD", "tapeline", "health"]
    assert facts["Size"] - base["Size"] < 230_000_000
    told = engine.docker("history", "--no-trunc", "tapeline-test") + json.dumps(facts["Config"]["Env"])
    assert not re.search("password|secret|token", told, re.IGNORECASE)
    found = system.compose("exec", "-T", "control", "sh", "-c", "id -u; ls /opt/tapeline/bin")
    assert found.split()[0] == "10301"
    assert "pip" not in found.split()


def test_a_backup_through_it(system: Project) -> None:
    """All of it becomes healthy; a schedule, a blank cartridge, a run, and the set is whole."""
    system.wait_until_healthy("postgres", "redis", *OURS)
    assert system.inspect("migrate", "{{.State.ExitCode}}") == "0"
    system.tapeline("control", "schedule", "apply", "--yes", "/etc/tapeline/schedules.toml")
    system.tapeline("tape", "drive", "load", "--new", "A00001L9")
    system.tapeline("control", "schedule", "run", "monthly")
    [made] = system.json("control", "sets", "list")
    assert (made["state"], made["files"]) == ("complete", 3)
    system.tapeline("control", "sets", "verify", made["id"])
    assert {each["check"] for each in system.json("control", "doctor") if not each["ok"]} <= {
        "Drive tape0",
        "Channels",
    }


def test_the_dashboard_asks_for_a_login(system: Project) -> None:
    """It is the only thing that the host's network can reach, and on loopback alone."""
    url = f"http://127.0.0.1:{PORT}"
    assert requests.get(f"{url}/runs", timeout=20).status_code == 401
    assert requests.get(f"{url}/metrics", timeout=20).status_code == 401
    assert "monthly" in requests.get(f"{url}/runs", auth=("tapeline", "cc33"), timeout=20).text
    for service in ("postgres", "redis", "control", "tape"):
        assert system.inspect(service, "{{json .HostConfig.PortBindings}}") in {"{}", "null"}, service
    assert json.loads(system.inspect("flower", "{{json .HostConfig.PortBindings}}")) == {
        "5555/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(PORT)}]
    }


def test_what_hangs_is_unhealthy(engine: Engine, system: Project) -> None:
    """The check of the image asks the process, and not only whether there is one."""
    control = system.container("control")
    engine.docker("kill", "--signal", "STOP", control)
    assert "does not answer" in system.tapeline("control", "health", check=False)
    engine.docker("kill", "--signal", "CONT", control)
    assert "answers" in system.tapeline("control", "health")


def test_a_worker_ends_by_itself_when_it_is_asked_to(engine: Engine, system: Project) -> None:
    """The first process of its container gets the signal and seals; nothing has to be killed."""
    tape = system.container("tape")
    system.compose("stop", "tape")
    assert engine.docker("inspect", "--format", "{{.State.ExitCode}}", tape).strip() == "0"
    system.compose("start", "tape")


def test_what_is_there_outlives_the_containers(engine: Engine, system: Project) -> None:
    """Down and up again: runs, sets and the cartridge are there, and the next run appends to it.

    Until the last of our processes has ended, the servers answer.
    """
    system.wait_until_healthy(*OURS)
    numbers = {name: system.container(name) for name in ("postgres", "redis", *OURS)}
    system.compose("stop")
    states = {
        name: json.loads(engine.docker("inspect", number))[0]["State"] for name, number in numbers.items()
    }
    assert {states[name]["ExitCode"] for name in OURS} == {0}, states
    ended = {name: datetime.fromisoformat(state["FinishedAt"]) for name, state in states.items()}
    assert max(ended[name] for name in OURS) < min(ended["postgres"], ended["redis"]), ended
    system.compose("down")
    system.compose("up", "--detach")
    system.tapeline("control", "schedule", "run", "monthly")
    assert [found["state"] for found in system.json("control", "sets", "list")] == ["complete", "complete"]
    assert len({found["tapes"][0] for found in system.json("control", "sets", "list")}) == 1


def _module(name: str) -> str:
    """Where a module is; loading this one takes a FUSE library, which this machine may lack."""
    found = importlib.util.find_spec(name)
    assert found, f"{name} is not installed"
    return str(found.origin)


@pytest.fixture
def drive_host(engine: Engine, system: Project, images: dict[str, str], folder: Path) -> Iterator[Project]:
    """A drive host beside it; its LTFS is the stand-in, a real FUSE file system mounted in the container."""
    hardware, programs_folder = folder / "sg3", folder / "ltfs" / "bin"
    hardware.mkdir()
    new_cartridge(hardware, "TAPE01L8", capacity=64 * 1024 * 1024)
    insert(hardware, "TAPE01L8")
    run(["chown", "-R", "10301:10301", str(hardware)], dict(os.environ), 20)
    # As udev makes it for everybody; a machine without udev keeps it to root.
    os.mknod(folder / "fuse", 0o666 | stat.S_IFCHR, os.makedev(10, 229))
    (folder / "fuse").chmod(0o666)
    for path in programs.install(programs_folder).values():
        text = Path(path).read_text().replace(sys.executable, IN_IMAGE)
        Path(path).write_text(text.replace(repr(str(ROOT)), "'/opt/stand-in'"))
    engine.docker(
        *("build", "--file", str(DOCKER / "Dockerfile"), "--target", "drive-host"),
        *(
            "--build-arg",
            f"BASE_IMAGE={images['BASE_IMAGE']}",
            "--tag",
            "tapeline-test-drive-host",
            str(ROOT),
        ),
        limit=900,
    )
    site = engine.docker(
        "run",
        "--rm",
        "tapeline-test",
        IN_IMAGE,
        "-c",
        "import sysconfig; print(sysconfig.get_path('purelib'))",
    ).strip()
    (folder / "stand-in.yaml").write_text(
        json.dumps(
            {
                "services": {
                    "tape": {
                        "environment": {
                            "TAPELINE_DRIVES__TAPE0__DEVICE": "/hardware",
                            "TAPELINE_DRIVES__TAPE0__LABEL_LIMIT_SECONDS": "60",
                        },
                        "command": ["tapeline", "worker", "--drive", "tape0"],
                        "devices": [f"{folder}/fuse:/dev/fuse"],
                        "volumes": [
                            f"{hardware}:/hardware",
                            f"{ROOT}/tests:/opt/stand-in/tests:ro",
                            f"{ROOT}/tape:/opt/stand-in/tape:ro",
                            f"{ROOT}/policy:/opt/stand-in/policy:ro",
                            f"{_module('mfusepy')}:{site}/mfusepy.py:ro",
                        ],
                        "networks": ["system"],
                    }
                },
                "networks": {"system": {"external": True, "name": "tapeline-test_default"}},
            }
        )
    )
    system.compose("stop", "tape")
    project = Project(
        engine,
        "tapeline-drive",
        folder,
        DOCKER / "compose.drive-host.yaml",
        folder / "stand-in.yaml",
        **images,
        TAPELINE_BROKER_URL="redis://:bb22@redis:6379/0",
        TAPELINE_DATABASE_URL="postgresql+psycopg2://tapeline:aa11@postgres/tapeline",
        TAPE_DEVICE="/dev/null",
        TAPELINE_CONFIG_DIR=str(folder / "config"),
        SOURCES=str(folder / "sources"),
        LTFS=str(folder / "ltfs"),
    )
    project.compose("up", "--detach", "--no-build")
    yield project
    project.compose("down", "--volumes")


def test_a_drive_host_mounts_as_an_unprivileged_user(system: Project, drive_host: Project) -> None:
    """Its worker formats, mounts, fills and unmounts the tape; when it is killed, LTFS is not."""
    drive_host.wait_until_healthy("tape")
    system.tapeline("control", "schedule", "run", "monthly")
    newest = max(system.json("control", "sets", "list"), key=lambda found: found["id"])
    assert newest["state"] == "complete"
    assert "mkltfs" in system.tapeline(
        "control", "runs", "show", str(system.json("control", "runs")[0]["id"])
    )
    assert "ltfs:" not in drive_host.compose("exec", "-T", "tape", "cat", "/proc/mounts")
