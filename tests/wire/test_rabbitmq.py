"""RabbitMQ as the broker, by the setting alone: backup and restore, a killed worker, and what is said if it
is away, full or refuses."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from celery_app import health, settings
from celery_app.health import BrokerUnavailable
from celery_app.sections import TlsSettings
from cli.host.rights import permissions
from db.runs import steps, transitions
from db.states import Step
from tests.system import System
from tests.wire import rabbit
from tests.wire.certificates import Authority
from tests.wire.rabbit import Node
from tests.wire.servers import free_port

pytestmark = pytest.mark.skipif(
    rabbit.missing() is not None, reason=f"NOT TESTED: RabbitMQ: {rabbit.missing()}"
)

DRIVE_HOST, PASSWORD = "drive_host_r", "s3cret"
Broker = Callable[..., None]


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """One node for all of these tests."""
    home = Path(tempfile.mkdtemp(prefix="tl-"))
    with rabbit.node(home) as running:
        yield running
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def system(node: Node, short_path: Path, database_url: str) -> Iterator[System]:
    """An installation whose drive host has a user of its own in RabbitMQ. Nothing finds a lost message in the
    time of a test: what arrives is RabbitMQ's."""
    made = System(short_path, database_url, node.url, TAPELINE_LOST_AFTER_SECONDS="600")
    (short_path / "source").mkdir()
    (short_path / "source" / "data").write_bytes(b"tapeline" * 1000)
    made.schedule("monthly", short_path / "source")
    made.insert_blank()
    yield made
    made.close()


@pytest.fixture
def broker(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Broker:
    """Has this process use a broker."""

    def use(url: str, **more: object) -> None:
        made = settings.Settings.model_validate({"state_dir": tmp_path, "broker_url": url, **more})
        monkeypatch.setattr(settings, "load", lambda: made)

    use(node.url)
    return use


def _said() -> str:
    with pytest.raises(BrokerUnavailable) as error:
        health.check_writable()
    said = str(error.value)
    assert "\n" not in said
    return said


def test_a_backup_and_its_restore(system: System, node: Node, short_path: Path) -> None:
    """The whole chain passes through RabbitMQ; the drive host's user has only the rights that it needs."""
    for command in permissions(DRIVE_HOST, PASSWORD, node.url).replace("||", ";").split("; "):
        name, *arguments = command.replace("'", "").split()
        assert name == "rabbitmqctl"
        if arguments[0] != "change_password":
            node.ctl(*arguments)
    own = system.environment["TAPELINE_BROKER_URL"]
    system.start("control")
    system.environment["TAPELINE_BROKER_URL"] = own.replace("guest:guest", f"{DRIVE_HOST}:{PASSWORD}")
    system.start("tape")
    system.environment["TAPELINE_BROKER_URL"] = own
    run = system.wait_for_state(system.run_schedule("monthly"), "SUCCEEDED", "FAILED")
    assert run["state"] == "SUCCEEDED", system.logs()
    assert "worker_disable_prefetch" not in system.log("tape").decode()
    target = short_path / "restored"
    restore = system.json("sets", "restore", run["set_id"], "--to", str(target))
    assert system.wait_for_state(restore["run"], "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED", system.logs()
    source = short_path / "source" / "data"
    assert (target / source.relative_to("/")).read_bytes() == source.read_bytes()
    found = {finding["check"]: finding for finding in system.json("doctor")}
    assert "RabbitMQ 3." in found["Broker"]["detail"] or "RabbitMQ 4." in found["Broker"]["detail"]
    assert found["Broker"]["ok"]
    assert "tape@test" in found["Workers"]["detail"]
    # Each worker asks for as long as the longest run may take.
    consumers = node.ctl("-q", "list_consumers", "queue_name", "arguments").splitlines()
    ours = [line for line in consumers if line.split()[0] in {"control", "tape"}]
    assert len(ours) == 2
    assert all('"x-consumer-timeout",604800000' in line.replace(", ", ",") for line in ours), ours


def test_what_a_killed_worker_had_is_delivered_to_the_next(system: System, node: Node) -> None:
    """A worker has been given a message and is killed before it begins: the next one gets the message, and
    the run succeeds without anybody's help."""
    system.start("control", "tape")
    process = psutil.Process(system.processes["tape"].pid)
    process.suspend()
    run_id = system.run_schedule("monthly")
    system.wait_for(lambda: _unacknowledged(node), "the stopped worker to be given the message")
    system.kill("tape", signal.SIGKILL)
    system.start("tape")
    run = system.wait_for_state(run_id, "SUCCEEDED", "FAILED")
    assert run["state"] == "SUCCEEDED", system.logs()
    assert [step["attempts"] for step in run["steps"]] == [1] * 6


def test_a_restart_of_rabbitmq_costs_a_run_nothing(system: System, node: Node, short_path: Path) -> None:
    """It stops while a run writes, and is back before its end. Each step is done once; the next run works."""
    (short_path / "source" / "data").write_bytes(os.urandom(60_000))
    system.take_out()
    system.insert_blank("A00002L9", speed=20_000)
    system.start("control", "tape")
    run_id = system.run_schedule("monthly")
    system.wait_for(lambda: _writes(system, run_id), "the run to write")
    node.ctl("stop_app")
    node.ctl("start_app")
    run = system.wait_for_state(run_id, "SUCCEEDED", "FAILED")
    assert run["state"] == "SUCCEEDED", system.logs()
    assert [step["attempts"] for step in run["steps"]] == [1] * 6
    verified = system.json("sets", "verify", run["set_id"])["run"]
    assert system.wait_for_state(verified, "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED", system.logs()


def _writes(system: System, run_id: int) -> bool:
    with system.database.transaction() as session:
        step = steps.running(session, transitions.get(session, run_id))
        return step is not None and step.step is Step.RUN_BACKUP


def _unacknowledged(node: Node) -> bool:
    listed = node.ctl("-q", "list_queues", "name", "messages_unacknowledged")
    return any(line.split()[:2] == ["tape", "1"] for line in listed.splitlines())


def test_what_is_wrong_is_named(node: Node, broker: Broker, tmp_path: Path) -> None:
    """A wrong password, no such virtual host, a server that is away: one line each, with its remedy."""
    health.check_writable()
    broker(node.url.replace("guest:guest", "guest:wrong"))
    assert "The broker refuses this host's user" in _said()
    broker(node.url.removesuffix("/") + "elsewhere")
    assert "Correct the virtual host at the end of broker_url" in _said()
    broker(f"amqp://guest:guest@127.0.0.1:{free_port()}//")
    assert "The broker does not answer. Start it" in _said()


def test_a_full_rabbitmq_takes_no_messages(
    node: Node, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers and confirms nothing: that is said, and nobody waits for ever."""
    monkeypatch.setattr(health, "CONNECT_SECONDS", 0.5)
    node.ctl("set_disk_free_limit", "900GB")
    try:
        health.check_broker()
        assert "RabbitMQ takes no messages: its disk or memory is full" in _said()
    finally:
        node.ctl("set_disk_free_limit", "50MB")


def test_an_encrypted_rabbitmq_is_checked(node: Node, broker: Broker, tmp_path: Path) -> None:
    """Its certificate has to be signed by the authority of the settings, and for its name."""
    other = Authority(tmp_path, "other")
    url = f"amqps://guest:guest@localhost:{node.tls_port}//"
    broker(url, broker_tls=TlsSettings(ca=node.authority.certificate))
    health.check_writable()
    broker(url, broker_tls=TlsSettings(ca=other.certificate))
    assert "The encrypted connection to the broker fails" in _said()
    broker(url)
    assert "The encrypted connection to the broker fails" in _said()
